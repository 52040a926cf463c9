/* A line on its way to a struct example: between example.c and example_preference.c. */
#ifndef DUET_TRAINER_DATA_EXAMPLE_READING_H
#define DUET_TRAINER_DATA_EXAMPLE_READING_H

#include "trainer/data/completion.h"
#include "trainer/data/example.h"

struct example_reading;
/* How a line is read, handed in by example.c. All local; false: *why says what is wrong. */
struct example_takes {
    /* A role's member by the first of its names that the line has, which goes to *name, else the
     * first of all. */
    struct span (*member)(const struct example_reading *d, const struct form *form,
                          enum part_role role, const char **name);
    bool (*text)(struct example_reading *d, enum part_role role, bool needed, struct span *out);
    /* The turns of a list of messages, behind those that there are. */
    bool (*turns)(struct example_reading *d, struct span list, const char *name);
    bool (*prompt)(struct example_reading *d);
};

struct example_reading {
    struct example *r;
    const struct fields *f;
    const struct form *form;
    const struct example_takes *take;
    struct span value[FIELD_NAMES]; /* of the members; at NULL: not there */
    char *why;                      /* (EXAMPLE_WHY) */
};

/* Are lines of this form preferences? Then all of the line. */
bool example_prefers(const struct form *f);
bool example_preference(struct example_reading *d);

#endif
