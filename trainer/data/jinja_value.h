/* Values of a chat template (jinja.h), and what filters, tests and methods make of them. They lie
 * in a pool that is freed with the rendering. */
#ifndef DUET_TRAINER_DATA_JINJA_VALUE_H
#define DUET_TRAINER_DATA_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include "trainer/data/jinja.h"

/* Memory that grows to a bound, and is freed at once; and what went wrong first. */
struct pool {
    struct pool_piece *last;
    size_t used, most; /* bytes taken, and that may be */
    long steps;        /* that are left */
    bool failed;
    char *why;
};
/* Zeroed; NULL and failed when there would be too much. */
void *pool_take(struct pool *p, size_t bytes);
void pool_free(struct pool *p);
/* Notes the first failure. */
void pool_fail(struct pool *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One step of work; false: there were too many, or something failed. */
bool pool_step(struct pool *p);

enum value_kind { V_UNDEFINED, V_NONE, V_BOOL, V_INT, V_STRING, V_LIST, V_DICT, V_LOOP };

struct words {
    const char *text;
    const unsigned char *who; /* NULL: all the template's */
    size_t n;
};
struct value;
struct items {
    struct value *at; /* of a dict: key, value, key, value, ... */
    size_t n, room;
};
struct loop_at {
    struct items list;
    size_t i;
};
struct value {
    enum value_kind kind;
    long number; /* also of a BOOL */
    struct words s;
    struct items *items;
    struct loop_at *loop;
};

struct value value_text(const char *text);
struct value value_bool(bool yes);
struct value value_int(long number);
struct value value_list(struct pool *p);
struct value value_dict(struct pool *p);
void items_add(struct pool *p, struct items *l, struct value v);
/* Sets or replaces. */
void dict_set(struct pool *p, struct value dict, struct value key, struct value v);

bool value_true(const struct value *v);
bool values_equal(const struct value *a, const struct value *b, int depth);
bool value_in(struct pool *p, const struct value *part, const struct value *whole);
/* Two texts, one behind the other. */
struct value value_join(struct pool *p, struct words a, struct words b);
/* What {{ v }} prints. */
struct words value_words(struct pool *p, const struct value *v);
/* v.name or v[name]; V_UNDEFINED where there is none. */
struct value value_member(struct pool *p, const struct value *v, const struct value *name);
/* v[from:to:step]; NULL: not given. */
struct value value_slice(struct pool *p, const struct value *v, const struct value *from,
                         const struct value *to, const struct value *step);

/* arg (n). Unknown names fail. */
struct value value_filter(struct pool *p, const char *name, struct value v, const struct value *arg,
                          int n);
struct value value_method(struct pool *p, const char *name, struct value v, const struct value *arg,
                          int n);
bool value_test(struct pool *p, const char *name, const struct value *v, const struct value *arg,
                int n);

#endif
