#include "trainer/reward/by_tests.h"

#include <string.h>
#include "comm/base/die.h"
#include "comm/watch.h"
#include "trainer/reward/code/ask.h"

/* What travels with an answer: whose it is, and which rows it is for. A reply to an answer of a
 * rollout that was given up is of another turn. */
enum { FOR_ACCURACY = 1, FOR_CODE = 2 };
static uint64_t id_of(const struct rewards *r, unsigned rows, int i)
{
    return (uint64_t)r->turn << 34 | (uint64_t)rows << 32 | (uint32_t)i;
}

/* Tests that cannot be read say nothing about the answer. */
static void take_for(struct rewards *r, int row, int i, const struct code_verdict *v, bool partial)
{
    if (!v || v->end == CODE_BAD_TESTS) rewards_lose(r, row, i);
    if (!v) return;
    r->counts[row][v->end]++;
    if (v->end == CODE_RIGHT)
        r->value[row][i] = 1;
    else if (partial && v->tests > 0)
        r->value[row][i] = (float)v->passed / (float)v->tests;
}

static bool take_next(struct rewards *r, const struct grading *g, const struct phase_settings *k)
{
    struct grade_reply reply;
    if (!grade_server_poll(g->server, GRADE_CODE, &reply, -1)) return false;
    watchdog_feed();
    const struct code_verdict v = code_reply(&reply), *given = reply.lost ? NULL : &v;
    const unsigned rows = reply.id >> 32 & 3;
    const int i = (int)(reply.id & UINT32_MAX);
    if (reply.id >> 34 != r->turn) return true;
    if (rows & FOR_ACCURACY) take_for(r, GRADER_ACCURACY, i, given, false);
    if (rows & FOR_CODE) take_for(r, GRADER_CODE, i, given, k->code_partial);
    return true;
}

/* Where the judge is full a verdict is taken first, of whichever answer: one is on its way. */
void by_tests_start(struct rewards *r, const struct grading *g, int row, int i,
                    const struct completion *c, const struct phase_settings *k)
{
    const struct problem *p = c->problem;
    const bool accuracy = c->verdict.why == REASON_BY_TESTS;
    if (row == GRADER_ACCURACY && (!accuracy || graders_have(r->on, GRADER_CODE))) return;
    const unsigned rows = (accuracy ? FOR_ACCURACY : 0) | (row == GRADER_CODE ? FOR_CODE : 0);
    if (!g->server || !p->tests) {
        rewards_lose(r, row, i);
        if (accuracy && row != GRADER_ACCURACY) rewards_lose(r, GRADER_ACCURACY, i);
        return;
    }
    const struct code_rules rules = code_rules_of(k);
    code_tell(g->server, &rules);
    while (!code_send(g->server, id_of(r, rows, i), code_language_of(p->language), g->thinks,
                      (struct span){c->text, c->bytes}, (struct span){p->tests, strlen(p->tests)}))
        take_next(r, g, k);
}

void by_tests_collect(struct rewards *r, const struct grading *g, const struct phase_settings *k)
{
    if (!g->server) return;
    die_waiting("%d verdicts of the judge of programs", grade_server_open(g->server, GRADE_CODE));
    while (take_next(r, g, k)) continue;
    die_waiting(NULL);
}
