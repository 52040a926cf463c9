#include "trainer/observe/slow.h"

/* Over several steps, each counted at most SLOW_CAP: one slow step, say of a page fault, makes no
 * straggler. */
bool slow_look(struct slow *s, double mine, double sum, int ranks, double now, double *times)
{
    double others = ranks > 1 ? (sum - mine) / (ranks - 1) : mine;
    double ratio = others > 0 ? mine / others : 1;
    s->steps++;
    s->capped += ratio < SLOW_CAP ? ratio : SLOW_CAP;
    s->mine += mine;
    s->others += others;
    if (s->steps < SLOW_STEPS) return false;
    bool slow = s->capped >= SLOW_TIMES * SLOW_STEPS && now >= s->quiet_until;
    if (slow) s->quiet_until = now + SLOW_SAID_SECONDS;
    if (slow) *times = s->mine / s->others;
    s->steps = 0;
    s->capped = s->mine = s->others = 0;
    return slow;
}
