/* What the files that check a recipe share: check.c, check_model.c (complain.c: it belongs to
 * neither, since check.c calls check_model.c). */
#ifndef DUET_TRAINER_CONFIG_CHECK_H
#define DUET_TRAINER_CONFIG_CHECK_H

#include "comm/base/problems.h"
#include "trainer/config/settings.h"

struct check {
    struct settings *s;
    int ranks; /* of a site */
    struct problems *p;
};

/* line: of the setting that the message is about, from s->lines. */
void complain(const struct check *c, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The model's sizes: what zeros stand for, and what contradicts each other. */
void settings_check_model(const struct check *c);

#endif
