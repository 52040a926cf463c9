/* A chat template as a tree: what jinja_parse makes and jinja_render walks. */
#ifndef DUET_TRAINER_DATA_JINJA_NODE_H
#define DUET_TRAINER_DATA_JINJA_NODE_H

#include "trainer/data/jinja.h"
#include "trainer/data/jinja_value.h"

enum node_op {
    /* statements */
    N_TEXT,     /* text */
    N_PRINT,    /* a */
    N_IF,       /* a: body b, else c */
    N_FOR,      /* name, name2 in a, of which d: body b, else c */
    N_SET,      /* a is b */
    N_SET_BODY, /* a is what the body b prints */
    N_BODY,     /* b */
    N_BREAK,
    N_CONTINUE,
    /* expressions */
    N_STRING,
    N_INT,
    N_TRUE,
    N_FALSE,
    N_NONE,
    N_NAME,
    N_LIST,   /* a, its brothers */
    N_DICT,   /* a: key, value, key, ... */
    N_MEMBER, /* a[b] */
    N_SLICE,  /* a[b:c:d] */
    N_CALL,   /* text(b, ...) */
    N_METHOD, /* a.text(b, ...) */
    N_FILTER, /* a | text(b, ...) */
    N_TEST,   /* a is text(b, ...) */
    N_NAMED,  /* text=a, among arguments */
    N_NOT,
    N_MINUS,
    N_AND,
    N_OR,
    N_ADD,
    N_SUBTRACT,
    N_MULTIPLY,
    N_DIVIDE, /* whole numbers: a // b */
    N_REMAINDER,
    N_CONCAT,
    N_EQUAL,
    N_UNEQUAL,
    N_LESS,
    N_LESS_EQUAL,
    N_MORE,
    N_MORE_EQUAL,
    N_IN,
    N_COND /* b if a else c */
};

struct node {
    enum node_op op;
    int line, depth;         /* depth: of the tree below, bounded by the parser */
    const char *text, *more; /* NUL-terminated names; a FOR's second name */
    struct written s;        /* of TEXT and STRING */
    long number;
    struct node *a, *b, *c, *d, *next; /* next: the statement, argument or item after it */
};

struct jinja {
    struct pool pool; /* of the tree and the text */
    struct node *body;
    size_t bytes; /* of the template */
};

#endif
