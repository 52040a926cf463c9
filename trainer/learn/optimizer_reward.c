/* Two models of one optimizer: the policy, and a reward model that begins as it. Both have masters
 * of their own, and one at a time learns, with the gradients, moments and weights that there are.
 */
#include "trainer/learn/optimizer.h"

void optimizer_learn_reward(struct optimizer *o, bool reward)
{
    for (int i = 0; i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        b->master = reward ? b->reward : b->policy;
    }
}

struct drawing {
    const struct optimizer *o;
    uint64_t seed;
};

/* Element by element: the vector is as short as a row. */
static void piece_draw(void *ctx, struct bucket *b, struct piece s)
{
    const struct drawing *d = ctx;
    const struct stage *st = d->o->stage;
    if (s.param->role != ROLE_SCORE) return;
    for (size_t i = s.lo; i < s.hi; i++) {
        float x = param_init(&st->dims, s.param, i, d->seed);
        st->device->copy_in(b->reward + s.at + (i - s.lo), &x, sizeof x);
    }
}

void optimizer_reward_begin(struct optimizer *o, uint64_t seed)
{
    struct drawing d = {o, seed};
    for (int i = 0; i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        device_copy(o->stage->device, b->reward, b->policy, b->mine_n * sizeof(float));
        bucket_pieces(b, piece_draw, &d);
    }
    optimizer_learn_reward(o, true);
    optimizer_publish(o);
}

void optimizer_reward_end(struct optimizer *o)
{
    optimizer_publish_reward(o);
    optimizer_learn_reward(o, false);
    optimizer_publish(o);
}
