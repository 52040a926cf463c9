#include "trainer/rollout/handout.h"

int handout_above(int stage)
{
    return stage > 0 ? (stage - 1) / HANDOUT_FAN : -1;
}

int handout_below(int stage, int stages, int out[HANDOUT_FAN])
{
    int n = 0;
    long first = (long)stage * HANDOUT_FAN + 1;
    for (; n < HANDOUT_FAN && first + n < stages; n++) out[n] = (int)first + n;
    return n;
}

void handout_want(struct handout *h, int who, int n)
{
    h->wants[who] += n;
}

int handout_ask(struct handout *h)
{
    if (h->open > 0) return 0;
    for (int i = 0; i < HANDOUT_ASKERS; i++) {
        h->asked[i] = h->wants[i];
        h->open += h->wants[i];
        h->wants[i] = 0;
    }
    return h->open;
}

int handout_share(struct handout *h, struct numbers got, struct gift out[HANDOUT_ASKERS])
{
    int gifts = 0;
    h->spent = h->spent || got.n < h->open;
    h->open = 0;
    for (int i = 0; i < HANDOUT_ASKERS; i++) {
        int n = got.n < h->asked[i] ? got.n : h->asked[i];
        if (h->asked[i] > 0) out[gifts++] = (struct gift){i, {got.first, n}};
        got.first += n;
        got.n -= n;
    }
    return gifts;
}
