#include "trainer/reward/math/parse_state.h"

int parse_fail(struct parse *p, const char *why)
{
    if (!p->trouble) p->trouble = why;
    return 0;
}

bool parse_take(struct parse *p, int kind, int id)
{
    if (!parse_is(p, kind, id)) return false;
    parse_next(p);
    return true;
}

bool parse_enter(struct parse *p)
{
    if (p->depth >= MATH_DEPTH) parse_fail(p, "the answer is nested too deep");
    if (!math_step(p->w, 1)) parse_fail(p, "the answer takes too many steps");
    p->depth++;
    return !p->trouble;
}
