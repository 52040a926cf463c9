/* Why an answer is right or not, what the grader read in it, and which answers are one vote: every
 * task, and files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "trainer/data/completion.h"
#include "comm/base/problems.h"
#include "trainer/data/source.h"
#include "trainer/reward/verdict.h"
#include "tests/support/check_unit.h"

static char nothing[] = "", path[64];

/* A file: a source whose only held-out problem has that answer. */
static struct source *open_source(int task, const char *answer)
{
    struct problems p = {0};
    struct settings set = {.run = {.seed = 4}};
    set.data = (struct data_settings){
        .task = task, .difficulty = 3, .file = nothing, .heldout_file = nothing};
    if (task == TASK_FILE) {
        snprintf(path, sizeof path, "/tmp/duet-reasons-XXXXXX");
        int fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        dprintf(fd, "{\"prompt\":\"p\",\"answer\":\"%s\"}\n", answer);
        close(fd);
        set.data.file = set.data.heldout_file = path;
    }
    struct source *s = source_open(&set, (struct source_needs){SPLITS_BOTH, SPLITS_BOTH}, NULL, &p);
    ck_assert_msg(s != NULL, "%s", p.n ? p.text[0] : "no problem");
    if (task == TASK_FILE) unlink(path);
    return s;
}

static const struct {
    int task;
    struct problem problem;
} tasks[] = {
    {TASK_COUNTDOWN, {.answer = "(6-2)*8", .data = {3, 32, 8, 6, 2}}},
    {TASK_ARITHMETIC, {.answer = "632", .data = {347, '+', 285}}},
    {TASK_EQUATIONS, {.answer = "-7/3"}},
    {TASK_FILE, {.answer = "7"}},
    {TASK_FILE, {.answer = "Paris"}},
};
enum { COUNTDOWN, ARITHMETIC, EQUATIONS, FILE_NUMBER, FILE_TEXT };

static const struct {
    int of;
    const char *completion;
    bool truncated;
    enum reason why;
    const char *read; /* NULL: there is no answer */
} rows[] = {
    {COUNTDOWN, "8+6", true, REASON_TRUNCATED, NULL},
    {COUNTDOWN, "8+6", false, REASON_NO_END_OF_THOUGHT, NULL},
    {COUNTDOWN, "8+6</think>8", false, REASON_NO_ANSWER, NULL},
    {COUNTDOWN, "8+6</think><answer>8", false, REASON_NOT_CLOSED, NULL},
    {COUNTDOWN, "8+6</think><answer>8", true, REASON_TRUNCATED, NULL},
    {COUNTDOWN, "</think><answer></answer>", false, REASON_EMPTY, ""},
    {COUNTDOWN, "</think><answer>?</answer>", false, REASON_GIVEN_UP, "?"},
    {COUNTDOWN, "</think><answer>8 apples</answer>", false, REASON_NOT_AN_EXPRESSION, "8 apples"},
    {COUNTDOWN, "</think><answer>8*4</answer>", false, REASON_OTHER_NUMBER, "32"},
    {COUNTDOWN, "</think><answer>8*8/2</answer>", false, REASON_OTHER_NUMBER, "32"},
    {COUNTDOWN, "</think><answer>8*6</answer>", false, REASON_NUMBER_LEFT, "48"},
    {COUNTDOWN, "</think><answer>6/8/2</answer>", false, REASON_WRONG_VALUE, "3/8"},
    {COUNTDOWN, "</think><answer>8*(6-2)</answer>", false, REASON_RIGHT, "32"},
    {COUNTDOWN, "</think><answer>8*(6-2)</answer>and on", true, REASON_RIGHT, "32"},
    {ARITHMETIC, "</think><answer>632</answer>", false, REASON_RIGHT, "632"},
    {ARITHMETIC, "</think><answer>0632</answer>", false, REASON_OTHER_FORM, "632"},
    {ARITHMETIC, "</think><answer>632.0</answer>", false, REASON_OTHER_FORM, "632"},
    {ARITHMETIC, "</think><answer>633</answer>", false, REASON_WRONG_VALUE, "633"},
    {ARITHMETIC, "</think><answer>99999999999999999999</answer>", false, REASON_WRONG_VALUE,
     "99999999999999999999"},
    {ARITHMETIC, "</think><answer>347+285</answer>", false, REASON_NOT_A_NUMBER, "347+285"},
    {ARITHMETIC, "</think><answer> </answer>", false, REASON_NOT_A_NUMBER, ""},
    {EQUATIONS, "</think><answer>-7/3</answer>", false, REASON_RIGHT, "-7/3"},
    {EQUATIONS, "</think><answer>-14/6</answer>", false, REASON_OTHER_FORM, "-7/3"},
    {EQUATIONS, "</think><answer>7/-3</answer>", false, REASON_OTHER_FORM, "-7/3"},
    {EQUATIONS, "</think><answer>-2.5</answer>", false, REASON_WRONG_VALUE, "-5/2"},
    {EQUATIONS, "</think><answer>7/0</answer>", false, REASON_NOT_A_NUMBER, "7/0"},
    {EQUATIONS, "</think><answer>x=1</answer>", false, REASON_NOT_A_NUMBER, "x=1"},
    {FILE_NUMBER, "</think><answer> 07.0 </answer>", false, REASON_RIGHT, "7"},
    {FILE_NUMBER, "</think><answer>-.50</answer>", false, REASON_WRONG_VALUE, "-0.5"},
    {FILE_NUMBER, "</think><answer>seven</answer>", false, REASON_NOT_A_NUMBER, "seven"},
    {FILE_NUMBER, "</think><answer> </answer>", false, REASON_EMPTY, ""},
    {FILE_TEXT, "</think><answer>\nParis </answer>", false, REASON_RIGHT, "Paris"},
    {FILE_TEXT, "</think><answer>Rome</answer>", false, REASON_OTHER_TEXT, "Rome"},
    {FILE_TEXT, "</think><answer>7</answer>", false, REASON_OTHER_TEXT, "7"},
};

static struct verdict grade(int of, const char *completion, bool truncated)
{
    const struct problem *p = &tasks[of].problem;
    struct source *s = open_source(tasks[of].task, p->answer);
    struct span text = {completion, strlen(completion)};
    struct verdict v = verdict_of(source_task(s), p, text, truncated);
    source_free(s);
    return v;
}

START_TEST(each_reason)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verdict r = grade(rows[i].of, rows[i].completion, rows[i].truncated);
        ck_assert_msg(r.why == rows[i].why, "%s: %s, not %s", rows[i].completion,
                      reason_text(r.why), reason_text(rows[i].why));
        ck_assert_msg(r.has_read == (rows[i].read != NULL), "%s", rows[i].completion);
        ck_assert_str_eq(r.read, rows[i].read ? rows[i].read : "");
    }
    for (int i = 0; i < REASONS; i++)
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(reason_text((enum reason)i), reason_text((enum reason)j));
}
END_TEST

/* Two answers: do they vote, and as one? */
START_TEST(votes_as_the_grader_sees_them)
{
    static const struct {
        int of;
        const char *a, *b;
        bool votes, same;
    } pairs[] = {
        {FILE_NUMBER, "7", "7.0", true, true},
        {FILE_NUMBER, "7", " +07. ", true, true},
        {FILE_NUMBER, "8", "8.000", true, true}, /* wrong ones, too */
        {FILE_NUMBER, "7", "8", true, false},
        {FILE_NUMBER, "seven", "Seven", true, false},
        {FILE_NUMBER, "", " ", false, true},
        {FILE_TEXT, "Paris", " Paris\n", true, true},
        {FILE_TEXT, "Paris", "paris", true, false},
        {FILE_TEXT, "?", "?", true, true}, /* in a file it is a text like others */
        {COUNTDOWN, "(6-2)*8", "8*(6-2)", true, true},
        {COUNTDOWN, "8+6+2", "2+6+8", true, true},
        {COUNTDOWN, "8*6-2", "8+6+2", true, false},
        {COUNTDOWN, "(6-2)*8", "8*4", true, false}, /* its value, but not of the given numbers */
        {COUNTDOWN, "?", "?", false, true},
        {ARITHMETIC, "632", "0632", true, false}, /* only one of them is right */
        {ARITHMETIC, "633", "0633", true, true},
        {EQUATIONS, "-5/2", "-2.5", true, true},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char a[128], b[128];
        snprintf(a, sizeof a, "</think><answer>%s</answer>", pairs[i].a);
        snprintf(b, sizeof b, "why</think><answer>%s</answer>", pairs[i].b);
        struct verdict x = grade(pairs[i].of, a, false), y = grade(pairs[i].of, b, true);
        ck_assert_msg((x.vote != 0) == pairs[i].votes && (y.vote != 0) == pairs[i].votes,
                      "%s and %s", pairs[i].a, pairs[i].b);
        ck_assert_msg((x.vote == y.vote) == pairs[i].same, "%s and %s", pairs[i].a, pairs[i].b);
    }
}
END_TEST

/* Longer than what is kept of them: cut between characters, and told apart by all of their text. */
START_TEST(long_answers)
{
    char text[3][1024];
    for (int i = 0; i < 3; i++) {
        int n = snprintf(text[i], sizeof text[i], "</think><answer>x");
        for (int k = 0; k < 200; k++) n += sprintf(text[i] + n, "\u00d7");
        sprintf(text[i] + n, "%d</answer>", i / 2);
    }
    struct verdict r[3];
    for (int i = 0; i < 3; i++) r[i] = grade(FILE_TEXT, text[i], false);
    ck_assert_uint_eq(strlen(r[0].read), 255);
    ck_assert_uint_eq(r[0].vote, r[1].vote);
    ck_assert_uint_ne(r[0].vote, r[2].vote);
    for (int i = 0; i < 3; i++) memmove(text[i] + 16, text[i] + 17, strlen(text[i]) - 16);
    r[0] = grade(FILE_TEXT, text[0], false);
    ck_assert_uint_eq(strlen(r[0].read), 254); /* a character of two bytes less */
}
END_TEST

#define TESTS(X)                     \
    X(each_reason)                   \
    X(votes_as_the_grader_sees_them) \
    X(long_answers)

UNIT_MAIN("reasons")
