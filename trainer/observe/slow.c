#include "trainer/observe/slow.h"

bool slow_look(struct slow *s, double mine, double sum, int ranks, double now, double *times)
{
    double others = ranks > 1 ? (sum - mine) / (ranks - 1) : mine;
    if (mine < SLOW_TIMES * others) {
        s->steps = 0;
        s->mine = s->others = 0;
        return false;
    }
    s->steps++;
    s->mine += mine;
    s->others += others;
    if (s->steps < SLOW_STEPS || s->others <= 0 || now < s->quiet_until) return false;
    s->quiet_until = now + SLOW_SAID_SECONDS;
    *times = s->mine / s->others;
    return true;
}
