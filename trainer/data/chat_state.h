/* What chat.c (conversations as tokens) and chat_open.c (a template made ready, and tried out)
 * share. Private to both. */
#ifndef DUET_TRAINER_DATA_CHAT_STATE_H
#define DUET_TRAINER_DATA_CHAT_STATE_H

#include "trainer/data/chat.h"
#include "trainer/data/jinja.h"
#include "trainer/data/model_template.h"
#include "trainer/data/own_template.h"

struct chat {
    const struct tokenizer *t;
    struct own_template own;
    bool bare;
    bool think; /* data.think */
    bool open;  /* what was asked last ends in an open thought */
    struct model_template files;
    struct jinja *model; /* NULL: own */
    const char *name, *refused;
    char why[JINJA_WHY];
    char *system; /* data.system; NULL: none */
    char **special;
    int specials;
    struct never_tokens never;
    struct ends ends;
    struct rendered r;
    struct turn *turn; /* (room) with the system's before them */
    int room;
};

/* The longest special token that stands at this byte of the rendering in the template's text, by
 * its number; -1: none. */
int chat_special_at(const struct chat *c, size_t at);
/* Into c->r, or c->refused says why not. thinking: of models whose template can go either way. */
void chat_render(struct chat *c, const struct turn *turn, int n, bool ask, bool thinking);
/* data.system before the turns, unless they have their own; *n counts it. */
const struct turn *chat_with_system(struct chat *c, const struct turn *turn, int *n);

#endif
