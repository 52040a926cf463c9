/* What bounds the evaluation of a chat template (jinja.h): its memory and its steps. */
#ifndef DUET_TRAINER_DATA_JINJA_POOL_H
#define DUET_TRAINER_DATA_JINJA_POOL_H

#include <stdbool.h>
#include <stddef.h>

/* Memory that grows to a bound, and is freed at once; and what went wrong first. */
struct pool {
    struct pool_piece *last;
    size_t used, most; /* bytes taken, and that may be */
    long steps;        /* that are left */
    bool failed;
    char *why; /* (JINJA_WHY) */
};
/* Zeroed; NULL and failed when there would be too much. */
void *pool_take(struct pool *p, size_t bytes);
void pool_free(struct pool *p);
/* Notes the first failure. */
void pool_fail(struct pool *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One step of work; false: there were too many, or something failed. */
bool pool_step(struct pool *p);

#endif
