#include "trainer/data/jinja_value.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the pool --------------------------------------------------------------------------------- */

struct pool_piece {
    struct pool_piece *before;
    size_t used, room;
    _Alignas(16) char bytes[];
};

void pool_fail(struct pool *p, const char *fmt, ...)
{
    if (p->failed) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->why, JINJA_WHY, fmt, args);
    va_end(args);
    p->failed = true;
}

bool pool_step(struct pool *p)
{
    if (p->steps-- <= 0) pool_fail(p, "the template runs for too long");
    return !p->failed;
}

void *pool_take(struct pool *p, size_t bytes)
{
    enum { PIECE = 16384 };
    size_t n = (bytes + 15) & ~(size_t)15;
    if (n < bytes || p->used > p->most || n > p->most - p->used) {
        pool_fail(p, "the template takes too much memory");
        return NULL;
    }
    struct pool_piece *at = p->last;
    if (!at || at->room - at->used < n) {
        size_t room = n > PIECE ? n : PIECE;
        at = calloc(1, sizeof *at + room);
        if (!at) {
            pool_fail(p, "no memory");
            return NULL;
        }
        at->room = room;
        at->before = p->last;
        p->last = at;
    }
    void *taken = at->bytes + at->used;
    at->used += n;
    p->used += n;
    return taken;
}

void pool_free(struct pool *p)
{
    while (p->last) {
        struct pool_piece *before = p->last->before;
        free(p->last);
        p->last = before;
    }
}

/* --- values ----------------------------------------------------------------------------------- */

struct value value_text(const char *text)
{
    return (struct value){.kind = V_STRING, .s = {text, NULL, strlen(text)}};
}

static struct value value_of_words(struct words s)
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

static struct value *dict_find(const struct items *l, const struct value *key)
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

static bool words_equal(struct words a, struct words b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.text, b.text, a.n) == 0);
}

static bool is_number(const struct value *v)
{
    return v->kind == V_INT || v->kind == V_BOOL;
}

enum { DEEP = 16 };

bool values_equal(const struct value *a, const struct value *b, int depth)
{
    if (is_number(a) && is_number(b)) return a->number == b->number;
    if (a->kind != b->kind || depth > DEEP) return false;
    if (a->kind == V_STRING) return words_equal(a->s, b->s);
    if (a->kind != V_LIST && a->kind != V_DICT) return true;
    if (a->items->n != b->items->n) return false;
    for (size_t i = 0; i < a->items->n; i++)
        if (!values_equal(&a->items->at[i], &b->items->at[i], depth + 1)) return false;
    return true;
}

/* Where b first stands in a from byte `from`; a.n: nowhere. */
static size_t words_find(struct words a, struct words b, size_t from)
{
    if (b.n == 0) return from <= a.n ? from : a.n;
    while (from + b.n <= a.n) {
        const char *at = memchr(a.text + from, b.text[0], a.n - b.n - from + 1);
        if (!at) break;
        from = (size_t)(at - a.text);
        if (memcmp(at, b.text, b.n) == 0) return from;
        from++;
    }
    return a.n;
}

bool value_in(struct pool *p, const struct value *part, const struct value *whole)
{
    if (whole->kind == V_STRING && part->kind == V_STRING)
        return part->s.n == 0 || words_find(whole->s, part->s, 0) < whole->s.n;
    if (whole->kind == V_DICT) return dict_find(whole->items, part) != NULL;
    if (whole->kind == V_LIST) {
        for (size_t i = 0; i < whole->items->n; i++)
            if (values_equal(&whole->items->at[i], part, 0)) return true;
        return false;
    }
    pool_fail(p, "\"in\" of something that holds nothing");
    return false;
}

static struct words words_part(struct words s, size_t from, size_t to)
{
    if (from >= to) return (struct words){s.text, NULL, 0};
    return (struct words){s.text + from, s.who ? s.who + from : NULL, to - from};
}

/* --- putting texts together ------------------------------------------------------------------- */

struct builder {
    struct pool *p;
    char *text;
    unsigned char *who;
    size_t n, room;
};

static void build(struct builder *b, const char *text, const unsigned char *who, size_t n)
{
    if (n == 0 || b->p->failed) return;
    if (n > b->room - b->n) {
        size_t room = 2 * (b->n + n) + 64;
        char *wider = pool_take(b->p, room);
        unsigned char *whose = pool_take(b->p, room);
        if (!wider || !whose) return;
        if (b->n) memcpy(wider, b->text, b->n);
        if (b->n) memcpy(whose, b->who, b->n);
        b->text = wider;
        b->who = whose;
        b->room = room;
    }
    memcpy(b->text + b->n, text, n);
    if (who)
        memcpy(b->who + b->n, who, n);
    else
        memset(b->who + b->n, WHO_TEMPLATE, n);
    b->n += n;
}

static void build_words(struct builder *b, struct words s)
{
    build(b, s.text, s.who, s.n);
}

static struct words built(const struct builder *b)
{
    return (struct words){b->n ? b->text : "", b->who, b->p->failed ? 0 : b->n};
}

struct value value_join(struct pool *p, struct words a, struct words b)
{
    if (a.n == 0) return value_of_words(b);
    if (b.n == 0) return value_of_words(a);
    struct builder out = {.p = p};
    build_words(&out, a);
    build_words(&out, b);
    return value_of_words(built(&out));
}

static void build_json_text(struct builder *b, struct words s)
{
    static const char names[] = "\"\\bfnrt", means[] = "\"\\\b\f\n\r\t";
    build(b, "\"", NULL, 1);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.text[i], who[6];
        char escaped[8] = {0};
        const char *found = c ? strchr(means, c) : NULL;
        if (found)
            snprintf(escaped, sizeof escaped, "\\%c", names[found - means]);
        else if (c < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", c);
        memset(who, s.who ? s.who[i] : WHO_TEMPLATE, sizeof who);
        if (*escaped)
            build(b, escaped, who, strlen(escaped));
        else
            build(b, s.text + i, who, 1);
    }
    build(b, "\"", NULL, 1);
}

static void build_json(struct builder *b, const struct value *v, int depth)
{
    if (depth > DEEP) pool_fail(b->p, "tojson of something too deep");
    if (!pool_step(b->p)) return;
    if (v->kind == V_STRING) {
        build_json_text(b, v->s);
    } else if (v->kind == V_LIST || v->kind == V_DICT) {
        bool dict = v->kind == V_DICT;
        build(b, dict ? "{" : "[", NULL, 1);
        for (size_t i = 0; i < v->items->n && !b->p->failed; i++) {
            if (i > 0) build(b, dict && i % 2 ? ": " : ", ", NULL, 2);
            build_json(b, &v->items->at[i], depth + 1);
        }
        build(b, dict ? "}" : "]", NULL, 1);
    } else if (v->kind == V_BOOL) {
        build_words(b, value_text(v->number ? "true" : "false").s);
    } else if (v->kind == V_INT) {
        build_words(b, value_words(b->p, v));
    } else if (v->kind == V_NONE) {
        build(b, "null", NULL, 4);
    } else {
        pool_fail(b->p, "tojson of something that is not defined");
    }
}

struct words value_words(struct pool *p, const struct value *v)
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
        build(&b, digits, NULL, strlen(digits));
        return built(&b);
    default: pool_fail(p, "a list, a dict or loop is printed"); return value_text("").s;
    }
}

/* --- members and slices ----------------------------------------------------------------------- */

/* From the end when negative, as Python counts. */
static bool index_of(long number, size_t n, size_t *i)
{
    if (number < 0) number += (long)n;
    *i = (size_t)number;
    return number >= 0 && (size_t)number < n;
}

static struct value loop_member(const struct loop_at *l, struct words name)
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
        if (words_equal(name, value_text(rows[k].name).s))
            return rows[k].truth ? value_bool(rows[k].value) : value_int(rows[k].value);
    if (words_equal(name, value_text("previtem").s) && l->i > 0) return l->list.at[l->i - 1];
    if (words_equal(name, value_text("nextitem").s) && l->i + 1 < l->list.n)
        return l->list.at[l->i + 1];
    return (struct value){.kind = V_UNDEFINED};
}

static size_t character(struct words s, size_t at)
{
    size_t n = 1;
    while (at + n < s.n && ((unsigned char)s.text[at + n] & 0xc0) == 0x80) n++;
    return n;
}

static size_t characters(struct words s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.text[i] & 0xc0) != 0x80;
    return n;
}

/* The byte at which character number i begins. */
static size_t byte_of(struct words s, size_t i)
{
    size_t at = 0;
    for (; i > 0 && at < s.n; i--) at += character(s, at);
    return at;
}

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
        index_of(name->number, characters(v->s), &i)) {
        size_t at = byte_of(v->s, i);
        return value_of_words(words_part(v->s, at, at + character(v->s, at)));
    }
    return (struct value){.kind = V_UNDEFINED};
}

static long bound(const struct value *v, long otherwise, long n, long low, long high)
{
    if (!v || v->kind != V_INT) return otherwise;
    long at = v->number < 0 ? v->number + n : v->number;
    return at < low ? low : at > high ? high : at;
}

struct value value_slice(struct pool *p, const struct value *v, const struct value *from,
                         const struct value *to, const struct value *step)
{
    long by = step && step->kind == V_INT ? step->number : 1;
    bool text = v->kind == V_STRING;
    if ((!text && v->kind != V_LIST) || by == 0 || by < -1000 || by > 1000 || (text && by != 1)) {
        pool_fail(p, "a slice that is not known here");
        return (struct value){.kind = V_UNDEFINED};
    }
    long n = (long)(text ? characters(v->s) : v->items->n);
    long low = by > 0 ? 0 : -1, high = by > 0 ? n : n - 1;
    long a = bound(from, by > 0 ? 0 : n - 1, n, low, high);
    long b = bound(to, by > 0 ? n : -1, n, low, high);
    if (text)
        return value_of_words(
            words_part(v->s, byte_of(v->s, (size_t)a), byte_of(v->s, (size_t)(b < a ? a : b))));
    struct value out = value_list(p);
    for (; (by > 0 ? a < b : a > b) && !p->failed; a += by)
        items_add(p, out.items, v->items->at[a]);
    return out;
}

/* --- methods, filters, tests ------------------------------------------------------------------ */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

/* Characters (bytes of UTF-8: other white space of Unicode) that Python's strip() takes off. */
static size_t space_at(struct words s, size_t at)
{
    static const char *const wide[] = {
        "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
        "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
        "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
        "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
    if (is_space(s.text[at])) return 1;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        size_t n = strlen(wide[i]);
        if (at + n <= s.n && memcmp(s.text + at, wide[i], n) == 0) return n;
    }
    return 0;
}

/* Of a set of characters (NULL: white space) the one that stands at `at`, in bytes. */
static size_t stripped(struct words s, size_t at, const struct words *set)
{
    if (!set) return space_at(s, at);
    size_t n = character(s, at);
    struct words one = words_part(s, at, at + n);
    return words_find(*set, one, 0) < set->n ? n : 0;
}

static struct value strip(struct words s, const struct words *set, bool left, bool right)
{
    size_t from = 0, to = s.n, n;
    while (left && from < to && (n = stripped(s, from, set)) > 0) from += n;
    while (right && from < to) {
        size_t at = to - 1;
        while (at > from && ((unsigned char)s.text[at] & 0xc0) == 0x80) at--;
        n = stripped(s, at, set);
        if (n == 0 || at + n != to) break;
        to = at;
    }
    return value_of_words(words_part(s, from, to));
}

static struct value split(struct pool *p, struct words s, const struct words *by, long most)
{
    struct value out = value_list(p);
    if (!by || by->n == 0) {
        pool_fail(p, "split() without what to split at is not known here");
        return out;
    }
    size_t from = 0;
    for (size_t at; most != 0 && (at = words_find(s, *by, from)) < s.n && pool_step(p); most--) {
        items_add(p, out.items, value_of_words(words_part(s, from, at)));
        from = at + by->n;
    }
    items_add(p, out.items, value_of_words(words_part(s, from, s.n)));
    return out;
}

static struct value replace(struct pool *p, struct words s, struct words old, struct words new)
{
    struct builder b = {.p = p};
    size_t from = 0;
    if (old.n == 0) return value_of_words(s);
    for (size_t at; (at = words_find(s, old, from)) < s.n && pool_step(p); from = at + old.n) {
        build_words(&b, words_part(s, from, at));
        build_words(&b, new);
    }
    build_words(&b, words_part(s, from, s.n));
    return value_of_words(built(&b));
}

/* ASCII only; how: 'u'pper, 'l'ower, 't'itle, 'c'apitalize. */
static struct value change_case(struct pool *p, struct words s, char how)
{
    struct builder b = {.p = p};
    bool inside = false;
    build_words(&b, s);
    for (size_t i = 0; i < b.n && !p->failed; i++) {
        char c = b.text[i], low = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        bool letter = low >= 'a' && low <= 'z';
        bool up = how == 'u' || ((how == 't' || how == 'c') && !inside);
        if ((unsigned char)c >= 0x80) pool_fail(p, "upper and lower case of ASCII only");
        b.text[i] = letter && up ? (char)(low - 32) : low;
        inside = how == 'c' ? true : letter;
    }
    return value_of_words(built(&b));
}

static struct value dict_part(struct pool *p, const struct value *v, char what)
{
    struct value out = value_list(p);
    for (size_t i = 0; i + 1 < v->items->n && !p->failed; i += 2) {
        struct value pair = value_list(p);
        items_add(p, pair.items, v->items->at[i]);
        items_add(p, pair.items, v->items->at[i + 1]);
        items_add(p, out.items, what == 'i' ? pair : v->items->at[i + (what == 'v')]);
    }
    return out;
}

static struct value string_method(struct pool *p, const char *name, struct words s,
                                  const struct value *arg, int n)
{
    const struct words *first = n > 0 ? &arg[0].s : NULL;
    if (strcmp(name, "strip") == 0) return strip(s, first, true, true);
    if (strcmp(name, "lstrip") == 0) return strip(s, first, true, false);
    if (strcmp(name, "rstrip") == 0) return strip(s, first, false, true);
    if (strcmp(name, "split") == 0)
        return split(p, s, first, n > 1 && arg[1].kind == V_INT ? arg[1].number : -1);
    if (strcmp(name, "upper") == 0 || strcmp(name, "lower") == 0 || strcmp(name, "title") == 0 ||
        strcmp(name, "capitalize") == 0)
        return change_case(p, s, name[0]);
    if (strcmp(name, "startswith") == 0 && first)
        return value_bool(first->n <= s.n && memcmp(s.text, first->text, first->n) == 0);
    if (strcmp(name, "endswith") == 0 && first)
        return value_bool(first->n <= s.n &&
                          memcmp(s.text + s.n - first->n, first->text, first->n) == 0);
    if (strcmp(name, "replace") == 0 && n == 2) return replace(p, s, *first, arg[1].s);
    pool_fail(p, "method %.40s of a text is not known here, or lacks an argument", name);
    return (struct value){.kind = V_UNDEFINED};
}

struct value value_method(struct pool *p, const char *name, struct value v, const struct value *arg,
                          int n)
{
    const struct value none = {.kind = V_NONE};
    bool texts = true;
    for (int i = 0; i < n; i++) texts = texts && (arg[i].kind == V_STRING || i > 0);
    if (v.kind == V_STRING && texts) return string_method(p, name, v.s, arg, n);
    if (v.kind == V_DICT && n == 0 && *name != 'g') return dict_part(p, &v, name[0]);
    if (v.kind == V_DICT && strcmp(name, "get") == 0 && n > 0) {
        struct value *found = dict_find(v.items, &arg[0]);
        return found ? *found : n > 1 ? arg[1] : none;
    }
    pool_fail(p, "method %.40s of such a value is not known here", name);
    return (struct value){.kind = V_UNDEFINED};
}

static struct value join_list(struct pool *p, const struct items *l, struct words by)
{
    struct builder b = {.p = p};
    for (size_t i = 0; i < l->n && pool_step(p); i++) {
        if (i > 0) build_words(&b, by);
        build_words(&b, value_words(p, &l->at[i]));
    }
    return value_of_words(built(&b));
}

static struct value list_filter(struct pool *p, const char *name, const struct value *v,
                                const struct value *arg, int n)
{
    const struct value one = value_int(-1);
    size_t items = v->items->n;
    if (strcmp(name, "first") == 0 || strcmp(name, "last") == 0) {
        if (items == 0) return (struct value){.kind = V_UNDEFINED};
        return v->items->at[*name == 'f' ? 0 : items - 1];
    }
    if (strcmp(name, "list") == 0) return *v;
    if (strcmp(name, "reverse") == 0) return value_slice(p, v, NULL, NULL, &one);
    if (strcmp(name, "join") == 0)
        return join_list(p, v->items,
                         n > 0 && arg[0].kind == V_STRING ? arg[0].s : value_text("").s);
    pool_fail(p, "filter %.40s of a list is not known here", name);
    return (struct value){.kind = V_UNDEFINED};
}

struct value value_filter(struct pool *p, const char *name, struct value v, const struct value *arg,
                          int n)
{
    struct builder b = {.p = p};
    if (strcmp(name, "default") == 0 || strcmp(name, "d") == 0) {
        bool falsy = n > 1 && value_true(&arg[1]) && !value_true(&v);
        return (v.kind == V_UNDEFINED || falsy) && n > 0 ? arg[0] : v;
    }
    if (strcmp(name, "tojson") == 0) {
        if (n > 0) pool_fail(p, "tojson with arguments is not known here");
        build_json(&b, &v, 0);
        return value_of_words(built(&b));
    }
    if (strcmp(name, "length") == 0 || strcmp(name, "count") == 0) {
        if (v.kind == V_STRING) return value_int((long)characters(v.s));
        if (v.kind == V_LIST) return value_int((long)v.items->n);
        if (v.kind == V_DICT) return value_int((long)v.items->n / 2);
    }
    if (strcmp(name, "string") == 0 || strcmp(name, "safe") == 0)
        return value_of_words(value_words(p, &v));
    if (strcmp(name, "int") == 0 && is_number(&v)) return value_int(v.number);
    if (v.kind == V_LIST) return list_filter(p, name, &v, arg, n);
    if (v.kind == V_DICT && strcmp(name, "items") == 0) return dict_part(p, &v, 'i');
    struct words s = value_words(p, &v);
    if (strcmp(name, "trim") == 0)
        return strip(s, n > 0 && arg[0].kind == V_STRING ? &arg[0].s : NULL, true, true);
    return value_method(p, name, value_of_words(s), arg, n);
}

bool value_test(struct pool *p, const char *name, const struct value *v, const struct value *arg,
                int n)
{
    enum value_kind k = v->kind;
    const struct {
        const char *name;
        bool yes;
    } rows[] = {
        {"defined", k != V_UNDEFINED},
        {"undefined", k == V_UNDEFINED},
        {"none", k == V_NONE},
        {"string", k == V_STRING},
        {"mapping", k == V_DICT},
        {"iterable", k == V_STRING || k == V_LIST || k == V_DICT || k == V_UNDEFINED},
        {"sequence", k == V_STRING || k == V_LIST || k == V_DICT || k == V_UNDEFINED},
        {"true", k == V_BOOL && v->number},
        {"false", k == V_BOOL && !v->number},
        {"boolean", k == V_BOOL},
        {"integer", k == V_INT},
        {"number", is_number(v)},
        {"odd", k == V_INT && v->number % 2 != 0},
        {"even", k == V_INT && v->number % 2 == 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0) return rows[i].yes;
    if (n == 1 && strcmp(name, "in") == 0) return value_in(p, v, &arg[0]);
    if (n == 1 && (strcmp(name, "eq") == 0 || strcmp(name, "equalto") == 0))
        return values_equal(v, &arg[0], 0);
    pool_fail(p, "test %.40s is not known here", name);
    return false;
}
