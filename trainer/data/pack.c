#include "trainer/data/pack.h"

void micro_batch_place(struct micro_batch *m, int T_max, struct arena *a)
{
    size_t T = (size_t)T_max;
    m->token = arena_take_n(a, T, sizeof(int));
    m->pos = arena_take_n(a, T, sizeof(int));
    m->start = arena_take_n(a, T + 1, sizeof(int));
    m->target = arena_take_n(a, T, sizeof(int));
    float **const f[] = {&m->weight, &m->advantage, &m->old_logp, &m->ref_logp,
                         &m->logp,   &m->entropy,   &m->dlogp};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) *f[i] = arena_take_n(a, T, sizeof(float));
}

/* Row r predicts token r + 1: answer tokens are the targets of the rows before them; prompts have
 * none. What is not here is 0. */
void micro_batch_append(struct micro_batch *m, const struct sequence *s, float weight)
{
    int at = m->start[m->rows.seg.n];
    for (int r = 0; r < sequence_rows(s); r++) {
        int t = at + r, answer = r + 1 - s->n_prompt; /* which answer token this row predicts */
        int known = !s->token ? 0 : s->elsewhere ? s->n_prompt : s->n;
        m->token[t] = r < known ? s->token[r] : 0;
        m->pos[t] = r;
        float old = answer >= 0 && s->logp ? s->logp[answer] : 0;
        bool learned = answer >= 0 && (!s->learn || s->learn[r + 1]) && old != LOGP_OBSERVED;
        m->target[t] = !learned ? -1 : r + 1 < known ? s->token[r + 1] : 0;
        m->weight[t] = learned ? weight : 0;
        m->advantage[t] = s->advantage;
        m->old_logp[t] = learned ? old : 0;
        m->ref_logp[t] = 0;
    }
    m->rows.T = at + sequence_rows(s);
    m->start[++m->rows.seg.n] = m->rows.T;
}

void micro_batch_clear(struct micro_batch *m)
{
    m->rows = (struct rows){.token = m->token, .pos = m->pos, .seg = {.start = m->start}};
    m->start[0] = 0;
}

struct answer_room micro_batch_answer(struct micro_batch *m, const struct sequence *s, int at)
{
    int first = at + s->n_prompt - 1;
    return (struct answer_room){m->target + first, m->old_logp + first};
}

/* A row that is not a sequence's first reads what the one before it predicts. */
void micro_batch_answered(struct micro_batch *m)
{
    for (int t = 1; t < m->rows.T; t++)
        if (m->pos[t] > 0 && m->target[t - 1] >= 0) m->token[t] = m->target[t - 1];
    for (int t = 0; t < m->rows.T; t++) {
        if (m->old_logp[t] != LOGP_OBSERVED) continue;
        m->target[t] = -1;
        m->weight[t] = m->old_logp[t] = 0;
    }
}

/* Pointers of `there` stay: they are into the device's memory. start has n + 1 entries, the last
 * one where the last sequence ends. */
void micro_batch_copy_in(struct micro_batch *there, const struct micro_batch *m,
                         const struct device *d)
{
    size_t ints = (size_t)m->rows.T * sizeof(int), floats = (size_t)m->rows.T * sizeof(float);
    int n = m->rows.seg.n;
    if (there == m) return;
    there->rows = (struct rows){.T = m->rows.T,
                                .token = there->token,
                                .pos = there->pos,
                                .seg = {.n = n, .start = there->start}};
    d->copy_in(there->start, m->start, (size_t)(n + 1) * sizeof(int));
    d->copy_in(there->token, m->token, ints);
    d->copy_in(there->pos, m->pos, ints);
    d->copy_in(there->target, m->target, ints);
    d->copy_in(there->weight, m->weight, floats);
    d->copy_in(there->advantage, m->advantage, floats);
    d->copy_in(there->old_logp, m->old_logp, floats);
    d->copy_in(there->ref_logp, m->ref_logp, floats);
}
