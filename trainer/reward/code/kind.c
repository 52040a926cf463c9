/* The judge in the grader server: as many answers at once as the server has processors. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "trainer/reward/code/kind.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "trainer/reward/code/judge.h"

enum { JUDGES_MAX = 64, TRIES = 3 };

struct judges {
    struct code_rules rules;
    struct sandbox *sandbox; /* NULL: refused */
    struct code_level level;
    bool worked;   /* it could run programs when it was opened first */
    double opened; /* when it was opened last, or tried to */
    int n;         /* at once */
    struct one {
        struct grade_request *request; /* NULL: free */
        struct judging judging;
        int tries;
    } one[JUDGES_MAX];
};

static void *judges_open(void)
{
    struct judges *j = memory_take(1, sizeof *j, "judges of programs");
    cpu_set_t mine;
    j->n = sched_getaffinity(0, sizeof mine, &mine) == 0 ? CPU_COUNT(&mine) : 1;
    if (j->n > JUDGES_MAX) j->n = JUDGES_MAX;
    return j;
}

static void open_sandbox(struct judges *j)
{
    sandbox_close(j->sandbox);
    j->opened = clock_now();
    j->sandbox = sandbox_open(&j->level.level, j->level.says, sizeof j->level.says);
}

/* Never silently less than the recipe wants. */
static bool may_run(const struct judges *j)
{
    return j->sandbox && (j->level.level == SANDBOX_FULL || j->rules.reduced);
}

static void judges_configure(void *state, const char *bytes, size_t n)
{
    struct judges *j = state;
    if (n == sizeof j->rules) memcpy(&j->rules, bytes, n);
    if (!j->sandbox) open_sandbox(j);
    j->worked = j->worked || may_run(j);
}

/* A machine that had no room for a new cell may have some later: else all verdicts to come would be
 * lost. */
static void open_later(struct judges *j)
{
    if (j->worked && !may_run(j) && clock_now() - j->opened > 1) open_sandbox(j);
}

static void begin(struct judges *j, struct one *o)
{
    struct code_request head;
    const struct grade_request *r = o->request;
    memcpy(&head, r->bytes, sizeof head);
    const char *tests = r->bytes + sizeof head, *answer = tests + head.n_tests;
    judge_begin(&o->judging, &j->rules, (enum code_language)head.language, head.thinks != 0,
                (struct span){answer, (size_t)(r->bytes + r->n - answer)},
                (struct span){tests, head.n_tests});
}

/* A run that the sandbox did not start says nothing about the answer: again, in a new cell where
 * the old one has died. */
static void step_one(struct judges *j, struct one *o)
{
    while (judge_step(&o->judging, j->sandbox)) {
        const bool again = o->judging.failed && ++o->tries < TRIES;
        const struct code_verdict verdict = o->judging.verdict;
        const bool failed = o->judging.failed;
        judge_end(&o->judging);
        if (again && !sandbox_alive(j->sandbox)) open_sandbox(j);
        if (again && may_run(j)) {
            begin(j, o);
            continue;
        }
        if (failed)
            grade_lose(o->request);
        else
            grade_reply(o->request, &verdict, sizeof verdict);
        o->request = NULL;
        return;
    }
}

static struct one *free_one(struct judges *j)
{
    for (int i = 0; i < j->n; i++)
        if (!j->one[i].request) return &j->one[i];
    return NULL;
}

/* The first run is started here: the server waits next, and a judging without a run has no
 * descriptor to wait for. */
static bool judges_take(void *state, struct grade_request *r)
{
    struct judges *j = state;
    struct code_request head = {.what = CODE_ASK_VERDICT};
    if (r->n >= sizeof head) memcpy(&head, r->bytes, sizeof head);
    if (head.what == CODE_ASK_LEVEL) {
        grade_reply(r, &j->level, sizeof j->level);
        return true;
    }
    open_later(j);
    const bool whole = r->n >= sizeof head && head.n_tests <= r->n - sizeof head;
    if (!whole || !may_run(j)) {
        grade_lose(r);
        return true;
    }
    struct one *o = free_one(j);
    if (!o) return false;
    *o = (struct one){.request = r};
    begin(j, o);
    step_one(j, o);
    return true;
}

static int judges_wait(void *state, struct pollfd *fd, int max, int *timeout_ms)
{
    const struct judges *j = state;
    int n = 0;
    (void)timeout_ms; /* what runs is watched by its own watcher */
    for (int i = 0; i < j->n && n + 2 <= max; i++)
        if (j->one[i].request) n += judge_wait(&j->one[i].judging, fd + n);
    return n;
}

static void judges_step(void *state)
{
    struct judges *j = state;
    for (int i = 0; i < j->n; i++)
        if (j->one[i].request) step_one(j, &j->one[i]);
}

const struct grade_kind grade_kind_code = {"code",      judges_open, judges_configure,
                                           judges_take, judges_wait, judges_step};
