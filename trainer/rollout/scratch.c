#include "trainer/rollout/scratch.h"

/* Filled on the stack: while the arena only measures there is no place to write to. */
struct step_scratch *scratch_place(struct arena *a, const struct extent *e, int max_context)
{
    struct step_scratch s = {0};
    size_t questions = (size_t)e->questions;
    size_t n = (size_t)(e->answers > e->sequences ? e->answers : e->sequences);
    struct step_scratch *placed = arena_take(a, sizeof s);
    s.questions.asked = arena_take_n(a, questions, sizeof *s.questions.asked);
    s.questions.prompt = arena_take_n(a, (size_t)max_context, sizeof(int));
    s.question = arena_take_n(a, questions, sizeof *s.question);
    s.sequence = arena_take_n(a, n, sizeof *s.sequence);
    if (e->demonstrations) {
        s.shown = arena_take_n(a, (size_t)e->sequences, sizeof *s.shown);
        s.learn = arena_take_n(a, (size_t)max_context, 1);
    }
    if (e->demonstrations || e->preferences > 0)
        s.shown_token = arena_take_n(a, (size_t)max_context, sizeof(int));
    if (e->preferences > 0) {
        s.preferred = arena_take_n(a, (size_t)e->preferences, sizeof *s.preferred);
        s.score = arena_take_n(a, 2 * (size_t)e->preferences, sizeof *s.score);
    }
    s.weight = arena_take_n(a, n, sizeof(float));
    s.advantage = arena_take_n(a, n, sizeof(float));
    s.equal = arena_take_n(a, questions, sizeof *s.equal);
    rewards_place(&s.rewards, e->rewards | graders_always(), n, a);
    if (placed) *placed = s;
    return placed;
}

size_t scratch_bytes(const struct extent *e, int max_context)
{
    struct arena a = {0};
    scratch_place(&a, e, max_context);
    return a.used;
}
