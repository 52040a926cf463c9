/* A line as a preference: a prompt with two completions of which the first is better, or with one
 * and what it is worth. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/data/example_reading.h"
#include "trainer/data/scan.h"

bool example_prefers(const struct form *f)
{
    return f->member[PART_CHOSEN][0] || f->member[PART_SCORE][0];
}

static bool say(const struct example_reading *d, const char *format, const char *name)
    __attribute__((format(printf, 2, 0)));
static bool say(const struct example_reading *d, const char *format, const char *name)
{
    snprintf(d->why, EXAMPLE_WHY, format, name);
    return false;
}

/* A completion: a string, or messages of which the last counts. */
static bool take_preferred(struct example_reading *d, enum part_role role, const char **out)
{
    const char *name;
    struct span list = d->take->member(d, d->form, role, &name), text;
    if (value_is(list, '[')) {
        int before = d->r->turns;
        if (!d->take->turns(d, list, name)) return false;
        *out = d->r->turn[d->r->turns - 1].text;
        d->r->turns = before;
        return true;
    }
    if (!d->take->text(d, role, true, &text)) return false;
    *out = text.at;
    return true;
}

static bool take_score(struct example_reading *d)
{
    const char *name;
    char number[32] = "", *end = number;
    struct span value = d->take->member(d, d->form, PART_SCORE, &name);
    if (value.n < sizeof number) memcpy(number, value.at, value.n);
    d->r->score = strtod(number, &end);
    if (end == number || *end || !(d->r->score >= 0 && d->r->score <= 1))
        return say(d, "\"%s\" is not a number from 0 to 1", name);
    return true;
}

/* Two texts that are the same teach nothing, and say that the file is not what it should be. */
bool example_preference(struct example_reading *d)
{
    struct example *r = d->r;
    if (!d->take->prompt(d)) return false;
    if (d->form->member[PART_SCORE][0])
        return take_preferred(d, PART_COMPLETION, &r->chosen) && take_score(d);
    if (!take_preferred(d, PART_CHOSEN, &r->chosen) ||
        !take_preferred(d, PART_REJECTED, &r->rejected))
        return false;
    return strcmp(r->chosen, r->rejected) != 0 ||
           say(d, "%s are the same text", "\"chosen\" and \"rejected\"");
}
