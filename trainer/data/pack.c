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
 * none. */
static void append_sequence(struct micro_batch *m, const struct sequence *s, float weight)
{
    int at = m->start[m->rows.seg.n];
    for (int r = 0; r < sequence_rows(s); r++) {
        int t = at + r, answer = r + 1 - s->n_prompt; /* which answer token this row predicts */
        m->token[t] = s->token[r];
        m->pos[t] = r;
        bool learned = answer >= 0 && (!s->learn || s->learn[r + 1]);
        m->target[t] = learned ? s->token[r + 1] : -1;
        m->weight[t] = learned ? weight : 0;
        m->advantage[t] = s->advantage;
        m->old_logp[t] = answer >= 0 && s->logp ? s->logp[answer] : 0;
        m->ref_logp[t] = 0;
    }
    m->rows.T = at + sequence_rows(s);
    m->start[++m->rows.seg.n] = m->rows.T;
}

void micro_batch_fill(struct micro_batch *m, const struct sequence *s, const float *weight,
                      const int *bin_of, int n, int bin)
{
    m->rows = (struct rows){.token = m->token, .pos = m->pos, .seg = {.start = m->start}};
    m->start[0] = 0;
    for (int i = 0; i < n; i++)
        if (bin_of[i] == bin) append_sequence(m, &s[i], weight[i]);
}
