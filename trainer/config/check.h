/* What the files that check a recipe share: check.c, check_environment.c, check_model.c
 * (complain.c: it belongs to none, since check.c calls the others). */
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

/* Phase number `phase`: what answers its turns. */
void settings_check_environment(const struct check *c, int phase);
/* The model's sizes: what zeros stand for, and what contradicts each other. */
void settings_check_model(const struct check *c);

#endif
