/* Answers as trees. Those of the expected and of the given answer lie in one struct math_work, so
 * that their variables are the same names. */
#ifndef DUET_TRAINER_REWARD_MATH_TREE_H
#define DUET_TRAINER_REWARD_MATH_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include "trainer/data/completion.h"
#include "trainer/reward/math/flint.h"

enum node_kind {
    NODE_NONE,     /* node 0: what could not be made */
    NODE_NUMBER,   /* value; decimal: it was written with a point */
    NODE_NAME,     /* op: number of the name */
    NODE_CONSTANT, /* op: enum constant */
    NODE_ADD,      /* a + b */
    NODE_SUBTRACT,
    NODE_MULTIPLY,
    NODE_DIVIDE,
    NODE_POWER,  /* a ^ b */
    NODE_NEGATE, /* -a */
    NODE_ROOT,   /* the b-th root of a */
    NODE_CALL,   /* op: function; a its argument, b the base of a logarithm (0: none) */
    NODE_CHOOSE, /* a over b */
    NODE_LISTS,  /* from here on: children a, its .next, ... */
    NODE_TUPLE,  /* n items; closed: bits 1 (left), 2 (right): brackets are square */
    NODE_SET,
    NODE_LIST, /* bare items; op: what separates them */
    NODE_UNION,
    NODE_MATRIX,        /* n cells, op columns; row by row */
    NODE_CHAIN,         /* relations, each with the next's left side on its right */
    NODE_WITHOUT_LISTS, /* and no more lists */
    NODE_RELATION,      /* a op b: enum relation */
    NODE_WITHOUT,       /* the set a without b */
    NODE_UNIT,          /* a of a unit; op: its dimension (units.h), value: its size */
    NODE_TEXT,          /* op: number of a name; opaque */
};
struct node {
    uint8_t kind, closed;
    bool decimal, percent;
    int16_t op;
    int a, b, next, n;
    int value; /* of the work's values */
};

enum {
    MATH_NODES = 4096,
    MATH_VALUES = 1500,
    MATH_NAMES = 256,
    MATH_NAME = 256,     /* bytes */
    MATH_BITS = 4096,    /* of numerators and denominators */
    MATH_STEPS = 100000, /* of a comparison: about a product of 128 bits each */
    MATH_DEPTH = 200
};
struct math_work {
    struct node node[MATH_NODES]; /* 0 is none */
    int nodes;
    fmpq value[MATH_VALUES];
    int values;
    char name[MATH_NAMES][MATH_NAME]; /* of variables and texts */
    int names;
    long steps;     /* that were taken */
    bool full;      /* a table was too short */
    bool imaginary; /* i is the imaginary unit */
    bool blurred;   /* a value was too near to a pole, or to zero, to be known (evaluate.h) */
    /* math_matches (compare.h), for the files that it stands on: enum same */
    int (*matches)(struct math_work *w, int expected, int answer);
};

void math_work_begin(struct math_work *w);
void math_work_end(struct math_work *w);
/* Takes steps; false: there are none left. */
bool math_step(struct math_work *w, long steps);

/* New nodes; 0 when there is no room (w->full). */
int math_node(struct math_work *w, int kind, int a, int b);
int math_number(struct math_work *w, long value);
/* The number of a name. */
int math_name(struct math_work *w, struct span name);
/* A new value, 0; -1: no room. */
int math_value(struct math_work *w);
/* A list is made of its items: adds one at its end. */
void math_append(struct math_work *w, int list, int item);

/* The nodes of lists have items, others up to two children. */
static inline bool math_is_list(const struct node *n)
{
    return n->kind > NODE_LISTS && n->kind < NODE_WITHOUT_LISTS;
}
/* Is it a variable, a product (AB), a quotient, a length (|AB|), a function (f(x)) or a tuple of
 * variables? */
bool math_is_name(const struct math_work *w, int node);
/* Does the tree have a node of this kind (op < 0: any op)? Within the steps. */
bool math_has(struct math_work *w, int node, int kind, int op);

#endif
