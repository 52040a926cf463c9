/* Values of a chat template (jinja.h). They lie in a pool that is freed with the rendering. */
#ifndef DUET_TRAINER_DATA_JINJA_VALUE_H
#define DUET_TRAINER_DATA_JINJA_VALUE_H

#include "trainer/data/jinja_written.h"

enum { VALUE_DEEPEST = 16 };

enum value_kind { V_UNDEFINED, V_NONE, V_BOOL, V_INT, V_STRING, V_LIST, V_DICT, V_LOOP };

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
    struct written s;
    struct items *items;
    struct loop_at *loop;
};

struct value value_text(const char *text);
struct value value_of_written(struct written s);
struct value value_bool(bool yes);
struct value value_int(long number);
struct value value_list(struct pool *p);
struct value value_dict(struct pool *p);
void items_add(struct pool *p, struct items *l, struct value v);
/* The value of a key; NULL: there is none. */
struct value *dict_find(const struct items *l, const struct value *key);
/* Sets or replaces. */
void dict_set(struct pool *p, struct value dict, struct value key, struct value v);

bool value_true(const struct value *v);
/* True and false are numbers. */
bool value_is_number(const struct value *v);
/* depth: of a and b within lists and dicts, 0 at first; below VALUE_DEEPEST nothing is equal. */
bool values_equal(const struct value *a, const struct value *b, int depth);
bool value_in(struct pool *p, const struct value *part, const struct value *whole);
/* Two texts, one behind the other. */
struct value value_join(struct pool *p, struct written a, struct written b);
/* What {{ v }} prints. */
struct written value_written(struct pool *p, const struct value *v);
/* v.name or v[name]; V_UNDEFINED where there is none. */
struct value value_member(struct pool *p, const struct value *v, const struct value *name);
/* v[from:to:step]; NULL: not given. */
struct value value_slice(struct pool *p, const struct value *v, const struct value *from,
                         const struct value *to, const struct value *step);

#endif
