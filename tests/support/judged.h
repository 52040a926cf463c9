/* Answers before the judge of programs, for tests: one after the other, or several at once. */
#ifndef DUET_TESTS_SUPPORT_JUDGED_H
#define DUET_TESTS_SUPPORT_JUDGED_H

#include <stdlib.h>
#include <string.h>
#include "trainer/reward/code/judge.h"
#include "tests/support/check_unit.h"

static inline struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static inline struct sandbox *judged_open(void)
{
    enum sandbox_level level;
    char says[256];
    struct sandbox *s = sandbox_open(&level, says, sizeof says);
    ck_assert_msg(s && level == SANDBOX_FULL, "level %d: %s", (int)level, says);
    return s;
}

/* Until all n are over. */
static inline void judged_wait(struct sandbox *s, struct judging *j, int n)
{
    for (;;) {
        struct pollfd fd[64];
        int over = 0, fds = 0;
        for (int i = 0; i < n; i++) {
            over += judge_step(&j[i], s);
            fds += judge_wait(&j[i], fd + fds);
        }
        if (over == n) return;
        poll(fd, (nfds_t)fds, -1);
    }
}

static inline struct code_verdict judged_answer(struct sandbox *s, const struct code_rules *rules,
                                                enum code_language language, const char *answer,
                                                const char *tests)
{
    struct judging j;
    judge_begin(&j, rules, language, true, span_of(answer), span_of(tests));
    judged_wait(s, &j, 1);
    ck_assert_msg(!j.failed, "the sandbox did not run it");
    const struct code_verdict v = j.verdict;
    judge_end(&j);
    return v;
}

/* The verdict on `code`, in a fence of its language behind a thought. */
static inline struct code_verdict judged(struct sandbox *s, const struct code_rules *rules,
                                         enum code_language language, const char *code,
                                         const char *tests)
{
    static const char *const fence[] = {"python", "c"};
    const size_t size = strlen(code) + 100;
    char *answer = malloc(size);
    snprintf(answer, size, "thought</think>\n```%s\n%s\n```\n", fence[language], code);
    const struct code_verdict v = judged_answer(s, rules, language, answer, tests);
    free(answer);
    return v;
}

#endif
