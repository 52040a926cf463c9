/* data.template: a template of our own. A text for each role, with the role's name in braces where
 * what was said stands, one behind the other with {/} between them:
 *
 *     [system: {system}]\n{/}[user: {user}]\n{/}[bot: {assistant}<eos>]\n
 *
 * A piece without a name stands at the beginning. \n, \t, \\ and \{ are written so. What is said
 * next is asked for by the assistant's piece up to its name. */
#ifndef DUET_TRAINER_DATA_OWN_TEMPLATE_H
#define DUET_TRAINER_DATA_OWN_TEMPLATE_H

#include "comm/base/problems.h"
#include "trainer/data/example.h"
#include "trainer/data/rendered.h"

enum { TURN_ROLES = TURN_ASSISTANT + 1 };
struct own_template {
    char *text; /* what the pieces point into, unescaped */
    struct piece {
        const char *before, *after; /* of what was said; NULL: there is no such piece */
        size_t n_before, n_after;
    } piece[TURN_ROLES], begin; /* begin: before only */
};
/* false and problems naming data.template. Local. */
bool own_template_parse(struct own_template *t, const char *text, struct problems *p);
void own_template_free(struct own_template *t);
/* Appends turns, and with `ask` the beginning of the assistant's. What the system says stands
 * before the user's next text where there is no piece for it. */
void own_template_render(const struct own_template *t, const struct turn *turn, int n, bool ask,
                         struct rendered *out);

#endif
