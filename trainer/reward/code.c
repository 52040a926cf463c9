/* Programs: an answer's code is judged by the tests of its problem, in the grader server's sandbox,
 * while others are still decoded. */
#include <string.h>
#include "trainer/reward/code/ask.h"
#include "trainer/reward/rewards.h"

/* What is counted beside the reward: how answers ended, in the order of enum code_end. */
static const char *const counts[] = {"right",   "no_code",    "wrong",     "crash", "not_compiled",
                                     "timeout", "over_limit", "bad_tests", NULL};
_Static_assert(sizeof counts / sizeof *counts == CODE_ENDS + 1, "a name for each end");
_Static_assert((int)CODE_ENDS <= (int)REWARD_COUNTS, "room for each");

static double weight(const struct phase_settings *k)
{
    return k->reward_code;
}

/* Tests that cannot be read say nothing about the answer. */
static void take(struct rewards *r, const struct grade_reply *reply, const struct phase_settings *k)
{
    const int i = (int)reply->id;
    const struct code_verdict v = code_reply(reply);
    if (reply->lost || v.end == CODE_BAD_TESTS) rewards_lose(r, GRADER_CODE, i);
    if (reply->lost) return;
    r->counts[GRADER_CODE][v.end]++;
    if (v.end == CODE_RIGHT)
        r->value[GRADER_CODE][i] = 1;
    else if (k->code_partial && v.tests > 0)
        r->value[GRADER_CODE][i] = (float)v.passed / (float)v.tests;
}

static bool take_next(struct rewards *r, const struct grading *g, const struct phase_settings *k)
{
    struct grade_reply reply;
    if (!grade_server_poll(g->server, GRADE_CODE, &reply, -1)) return false;
    take(r, &reply, k);
    return true;
}

static void start(struct rewards *r, const struct grading *g, int i, const struct completion *c,
                  const struct phase_settings *k)
{
    const struct problem *p = c->problem;
    if (!g->server || !p->tests) {
        rewards_lose(r, GRADER_CODE, i);
        return;
    }
    const struct code_rules rules = code_rules_of(k);
    code_tell(g->server, &rules);
    while (!code_send(g->server, (uint64_t)i, code_language_of(p->language), g->thinks,
                      (struct span){c->text, c->bytes}, (struct span){p->tests, strlen(p->tests)}))
        take_next(r, g, k);
}

static void collect(struct rewards *r, const struct grading *g, const struct phase_settings *k)
{
    while (g->server && take_next(r, g, k)) continue;
}

const struct grader grader_code = {.name = "code",
                                   .help = "1 for a program that passes all tests of its problem, "
                                           "else 0; code_partial: the fraction that it passes",
                                   .needs = NEEDS_TEXT | NEEDS_TESTS,
                                   .weight = weight,
                                   .counts = counts,
                                   .start = start,
                                   .collect = collect};
