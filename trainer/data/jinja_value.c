#include "trainer/data/jinja_value.h"

#include <stdio.h>
#include <string.h>

struct value value_text(const char *text)
{
    return (struct value){.kind = V_STRING, .s = {text, NULL, strlen(text)}};
}

struct value value_of_written(struct written s)
{
    return (struct value){.kind = V_STRING, .s = s};
}

struct value value_bool(bool yes)
{
    return (struct value){.kind = V_BOOL, .number = yes};
}

struct value value_int(long number)
{
    return (struct value){.kind = V_INT, .number = number};
}

static struct value value_items(struct pool *p, enum value_kind kind)
{
    struct value v = {.kind = kind, .items = pool_take(p, sizeof *v.items)};
    return v.items ? v : (struct value){.kind = V_UNDEFINED};
}

struct value value_list(struct pool *p)
{
    return value_items(p, V_LIST);
}

struct value value_dict(struct pool *p)
{
    return value_items(p, V_DICT);
}

void items_add(struct pool *p, struct items *l, struct value v)
{
    if (!l || p->failed) return;
    if (l->n == l->room) {
        size_t room = l->room ? 2 * l->room : 8;
        struct value *wider = pool_take(p, room * sizeof *wider);
        if (!wider) return;
        if (l->n) memcpy(wider, l->at, l->n * sizeof *wider);
        l->at = wider;
        l->room = room;
    }
    l->at[l->n++] = v;
}

struct value *dict_find(const struct items *l, const struct value *key)
{
    for (size_t i = 0; l && i + 1 < l->n; i += 2)
        if (values_equal(&l->at[i], key, 0)) return &l->at[i + 1];
    return NULL;
}

void dict_set(struct pool *p, struct value dict, struct value key, struct value v)
{
    struct value *there = dict_find(dict.items, &key);
    if (there) {
        *there = v;
        return;
    }
    items_add(p, dict.items, key);
    items_add(p, dict.items, v);
}

bool value_true(const struct value *v)
{
    switch (v->kind) {
    case V_UNDEFINED:
    case V_NONE: return false;
    case V_BOOL:
    case V_INT: return v->number != 0;
    case V_STRING: return v->s.n > 0;
    case V_LIST:
    case V_DICT: return v->items->n > 0;
    case V_LOOP: return true;
    }
    return false;
}

bool value_is_number(const struct value *v)
{
    return v->kind == V_INT || v->kind == V_BOOL;
}

bool values_equal(const struct value *a, const struct value *b, int depth)
{
    if (value_is_number(a) && value_is_number(b)) return a->number == b->number;
    if (a->kind != b->kind || depth > VALUE_DEEPEST) return false;
    if (a->kind == V_STRING) return written_equal(a->s, b->s);
    if (a->kind != V_LIST && a->kind != V_DICT) return true;
    if (a->items->n != b->items->n) return false;
    for (size_t i = 0; i < a->items->n; i++)
        if (!values_equal(&a->items->at[i], &b->items->at[i], depth + 1)) return false;
    return true;
}

bool value_in(struct pool *p, const struct value *part, const struct value *whole)
{
    if (whole->kind == V_STRING && part->kind == V_STRING)
        return part->s.n == 0 || written_search(whole->s, part->s, 0) < whole->s.n;
    if (whole->kind == V_DICT) return dict_find(whole->items, part) != NULL;
    if (whole->kind == V_LIST) {
        for (size_t i = 0; i < whole->items->n; i++)
            if (values_equal(&whole->items->at[i], part, 0)) return true;
        return false;
    }
    pool_fail(p, "\"in\" needs a text, list or dict to look in");
    return false;
}

struct value value_join(struct pool *p, struct written a, struct written b)
{
    if (a.n == 0) return value_of_written(b);
    if (b.n == 0) return value_of_written(a);
    struct builder out = {.p = p};
    builder_add_written(&out, a);
    builder_add_written(&out, b);
    return value_of_written(builder_written(&out));
}

/* Spelled as Python prints them: templates concatenate numbers and truths. */
struct written value_written(struct pool *p, const struct value *v)
{
    char digits[32];
    struct builder b = {.p = p};
    switch (v->kind) {
    case V_STRING: return v->s;
    case V_NONE: return value_text("None").s;
    case V_BOOL: return value_text(v->number ? "True" : "False").s;
    case V_UNDEFINED: return value_text("").s;
    case V_INT:
        snprintf(digits, sizeof digits, "%ld", v->number);
        builder_add(&b, digits, NULL, strlen(digits));
        return builder_written(&b);
    default: pool_fail(p, "a list, a dict or loop is printed"); return value_text("").s;
    }
}

/* --- members and slices --- */

/* From the end when negative, as Python counts. */
static bool index_of(long number, size_t n, size_t *i)
{
    if (number < 0) number += (long)n;
    *i = (size_t)number;
    return number >= 0 && (size_t)number < n;
}

/* A loop may be kept in a variable and asked when it is over: then it has no members. */
static struct value loop_member(const struct loop_at *l, struct written name)
{
    if (l->i >= l->list.n) return (struct value){.kind = V_UNDEFINED}; /* the loop is over */
    const struct {
        const char *name;
        long value;
        bool truth;
    } rows[] = {
        {"index", (long)l->i + 1, false},
        {"index0", (long)l->i, false},
        {"length", (long)l->list.n, false},
        {"revindex", (long)(l->list.n - l->i), false},
        {"revindex0", (long)(l->list.n - l->i) - 1, false},
        {"first", l->i == 0, true},
        {"last", l->i + 1 == l->list.n, true},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        if (written_equal(name, value_text(rows[k].name).s))
            return rows[k].truth ? value_bool(rows[k].value) : value_int(rows[k].value);
    if (written_equal(name, value_text("previtem").s) && l->i > 0) return l->list.at[l->i - 1];
    if (written_equal(name, value_text("nextitem").s) && l->i + 1 < l->list.n)
        return l->list.at[l->i + 1];
    return (struct value){.kind = V_UNDEFINED};
}

/* A member that is not there is undefined; a member of what is undefined is a mistake, as in Jinja.
 * */
struct value value_member(struct pool *p, const struct value *v, const struct value *name)
{
    size_t i;
    if (v->kind == V_UNDEFINED) pool_fail(p, "a member of something that is not defined");
    if (v->kind == V_DICT) {
        struct value *found = dict_find(v->items, name);
        if (found) return *found;
    }
    if (v->kind == V_LOOP && name->kind == V_STRING) return loop_member(v->loop, name->s);
    if (v->kind == V_LIST && name->kind == V_INT && index_of(name->number, v->items->n, &i))
        return v->items->at[i];
    if (v->kind == V_STRING && name->kind == V_INT &&
        index_of(name->number, written_characters(v->s), &i)) {
        size_t at = written_byte(v->s, i);
        return value_of_written(written_part(v->s, at, at + written_character(v->s, at)));
    }
    return (struct value){.kind = V_UNDEFINED};
}

static long bound(const struct value *v, long otherwise, long n, long low, long high)
{
    if (!v || v->kind != V_INT) return otherwise;
    long at = v->number < 0 ? v->number + n : v->number;
    return at < low ? low : at > high ? high : at;
}

/* Bounds as in Python, also negative and beyond the ends. Characters of a text are counted, not
 * bytes. */
struct value value_slice(struct pool *p, const struct value *v, const struct value *from,
                         const struct value *to, const struct value *step)
{
    long by = step && step->kind == V_INT ? step->number : 1;
    bool text = v->kind == V_STRING;
    if ((!text && v->kind != V_LIST) || by == 0 || by < -1000 || by > 1000 || (text && by != 1)) {
        pool_fail(p, "a slice that is not known here");
        return (struct value){.kind = V_UNDEFINED};
    }
    long n = (long)(text ? written_characters(v->s) : v->items->n);
    long low = by > 0 ? 0 : -1, high = by > 0 ? n : n - 1;
    long a = bound(from, by > 0 ? 0 : n - 1, n, low, high);
    long b = bound(to, by > 0 ? n : -1, n, low, high);
    if (text)
        return value_of_written(written_part(v->s, written_byte(v->s, (size_t)a),
                                             written_byte(v->s, (size_t)(b < a ? a : b))));
    struct value out = value_list(p);
    for (; (by > 0 ? a < b : a > b) && !p->failed; a += by)
        items_add(p, out.items, v->items->at[a]);
    return out;
}
