/* The tokens that end an answer: any of them. */
#ifndef DUET_TRAINER_DATA_ENDS_H
#define DUET_TRAINER_DATA_ENDS_H

#include <stdbool.h>

enum { ENDS_MOST = 8 };
struct ends {
    int id[ENDS_MOST]; /* (n) */
    int n;             /* 0: only its length ends an answer */
};
static inline bool ends_have(const struct ends *e, int token)
{
    for (int i = 0; i < e->n; i++)
        if (e->id[i] == token) return true;
    return false;
}
/* Once each, while there is room; a negative one is none. */
static inline void ends_add(struct ends *e, int token)
{
    if (token >= 0 && e->n < ENDS_MOST && !ends_have(e, token)) e->id[e->n++] = token;
}

#endif
