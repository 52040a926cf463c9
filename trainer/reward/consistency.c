/* Logical consistency: 1 - the rate of contradictions among the arithmetic that the reasoning
 * states, each statement once, however often it stands there; 0 where it states none, so that
 * silence earns nothing. */
#include <stdint.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "trainer/reward/grader.h"
#include "trainer/reward/steps.h"

/* Different statements, and bytes, that are looked at: more belong to no reasoning that is to be
 * paid for. */
enum { MOST = 512, SLOTS = 2 * MOST, BYTES = 1 << 20 };
struct stated {
    uint64_t slot[SLOTS]; /* 0: free */
    int n;
};

/* false: it was stated before. */
static bool is_new(struct stated *s, const struct step *step)
{
    struct span left = span_trim(step->left), right = span_trim(step->right);
    uint64_t hash = checksum(right.at, right.n, checksum(left.at, left.n, 0)) | 1;
    size_t at = (size_t)(hash >> 32) % SLOTS;
    while (s->slot[at] && s->slot[at] != hash) at = (at + 1) % SLOTS;
    if (s->slot[at]) return false;
    s->slot[at] = hash;
    s->n++;
    return true;
}

static float grade(const struct completion *c, const struct phase_settings *k)
{
    struct stated stated;
    struct step step;
    bool closed;
    int wrong = 0;
    struct steps steps = {.rest = completion_reasoning((struct span){c->text, c->bytes}, &closed)};
    (void)k;
    if (steps.rest.n > BYTES) steps.rest.n = BYTES;
    memset(&stated, 0, sizeof stated);
    while (stated.n < MOST && step_next(&steps, &step))
        if (is_new(&stated, &step)) wrong += !step.holds;
    return stated.n > 0 ? (float)(1 - (double)wrong / stated.n) : 0;
}

static double weight(const struct phase_settings *k)
{
    return k->reward_consistency;
}

const struct grader grader_consistency = {
    .name = "consistency",
    .help = "1 - contradictions / arithmetic steps that the reasoning states; 0 of none",
    .needs = NEEDS_TEXT,
    .weight = weight,
    .grade = grade};
