/* What the files of the parser share. */
#ifndef DUET_TRAINER_REWARD_MATH_PARSE_STATE_H
#define DUET_TRAINER_REWARD_MATH_PARSE_STATE_H

#include "trainer/reward/math/parse.h"

struct parse;
/* What an atom has inside is made of atoms: these are called by parse_atom.c, which they stand on.
 */
struct parse_rules {
    int (*sum)(struct parse *p), (*power)(struct parse *p);
    int (*argument)(struct parse *p, bool whole);
    int (*bracket)(struct parse *p), (*set)(struct parse *p), (*matrix)(struct parse *p);
};
struct parse {
    const struct parse_rules *rules;
    struct math_work *w;
    const struct tokens *t;
    int at;          /* the next token */
    size_t taken;    /* bytes of it that are used up: the 1 of \frac12 */
    int depth;       /* of brackets and calls */
    int bars;        /* |...| that are open */
    int angles;      /* calls whose argument may be in degrees */
    int sign;        /* of \pm in this reading of the item */
    bool saw_either; /* it has a \pm */
    bool ambiguous;
    int expected, known; /* its tree; nodes below `known` are of it */
    const char *trouble;
};

static inline const struct token *parse_token(const struct parse *p, int ahead)
{
    int i = p->at + ahead;
    return &p->t->token[i < p->t->n ? i : p->t->n];
}
static inline int parse_kind(const struct parse *p)
{
    return parse_token(p, 0)->kind;
}
static inline bool parse_is(const struct parse *p, int kind, int id)
{
    return parse_token(p, 0)->kind == kind && parse_token(p, 0)->id == id;
}
static inline void parse_next(struct parse *p)
{
    p->taken = 0;
    if (p->at < p->t->n) p->at++;
}
/* Says what is wrong, once. Returns 0, no node. */
int parse_fail(struct parse *p, const char *why);
bool parse_take(struct parse *p, int kind, int id);
bool parse_enter(struct parse *p);

/* parse_units.c: what may stand behind an item's value */
int parse_units(struct parse *p, int value);
/* parse_atom.c: numbers, names, calls, groups; 0 without trouble: none stands here. */
int parse_atom(struct parse *p);
/* Could an atom begin here? */
bool parse_begins(const struct parse *p);
int parse_digits(struct parse *p, struct span digits, bool *decimal);
/* parse.c: sums of products of powers */
int parse_sum(struct parse *p);
int parse_power(struct parse *p);
/* {...}, or one digit, letter or command: what \frac and ^ take. whole: of a number all digits. */
int parse_argument(struct parse *p, bool whole);

#endif
