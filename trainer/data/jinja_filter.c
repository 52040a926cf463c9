#include "trainer/data/jinja_filter.h"

#include <stdio.h>
#include <string.h>
#include "trainer/data/rendered.h"

/* --- tojson --- */

/* An escape belongs to the writer of the character that it stands for. Other characters than ASCII
 * stay as they are, as in the tojson of Transformers. */
static void add_json_text(struct builder *b, struct written s)
{
    static const char names[] = "\"\\bfnrt", means[] = "\"\\\b\f\n\r\t";
    builder_add(b, "\"", NULL, 1);
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
            builder_add(b, escaped, who, strlen(escaped));
        else
            builder_add(b, s.text + i, who, 1);
    }
    builder_add(b, "\"", NULL, 1);
}

/* Separators with a space, as Python's json.dumps has them: the model learned with these tokens. */
static void add_json(struct builder *b, const struct value *v, int depth)
{
    if (depth > VALUE_DEEPEST) pool_fail(b->p, "tojson of something too deep");
    if (!pool_step(b->p)) return;
    if (v->kind == V_STRING) {
        add_json_text(b, v->s);
    } else if (v->kind == V_LIST || v->kind == V_DICT) {
        bool dict = v->kind == V_DICT;
        builder_add(b, dict ? "{" : "[", NULL, 1);
        for (size_t i = 0; i < v->items->n && !b->p->failed; i++) {
            if (i > 0) builder_add(b, dict && i % 2 ? ": " : ", ", NULL, 2);
            add_json(b, &v->items->at[i], depth + 1);
        }
        builder_add(b, dict ? "}" : "]", NULL, 1);
    } else if (v->kind == V_BOOL) {
        builder_add_written(b, value_text(v->number ? "true" : "false").s);
    } else if (v->kind == V_INT) {
        builder_add_written(b, value_written(b->p, v));
    } else if (v->kind == V_NONE) {
        builder_add(b, "null", NULL, 4);
    } else {
        pool_fail(b->p, "tojson of something that is not defined");
    }
}

/* --- methods, filters, tests --- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

/* Characters (bytes of UTF-8: other white space of Unicode) that Python's strip() takes off. */
static size_t space_at(struct written s, size_t at)
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

/* Bytes of the character at `at` if it is one of the set (NULL: white space), else 0. */
static size_t stripped(struct written s, size_t at, const struct written *set)
{
    if (!set) return space_at(s, at);
    size_t n = written_character(s, at);
    struct written one = written_part(s, at, at + n);
    return written_search(*set, one, 0) < set->n ? n : 0;
}

static struct value strip(struct written s, const struct written *set, bool left, bool right)
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
    return value_of_written(written_part(s, from, to));
}

/* A negative `most` is no limit, as in Python. */
static struct value split(struct pool *p, struct written s, const struct written *by, long most)
{
    struct value out = value_list(p);
    if (!by || by->n == 0) {
        pool_fail(p, "split() without what to split at is not known here");
        return out;
    }
    size_t from = 0;
    for (size_t at; most != 0 && (at = written_search(s, *by, from)) < s.n && pool_step(p);
         most--) {
        items_add(p, out.items, value_of_written(written_part(s, from, at)));
        from = at + by->n;
    }
    items_add(p, out.items, value_of_written(written_part(s, from, s.n)));
    return out;
}

static struct value replace(struct pool *p, struct written s, struct written old,
                            struct written new)
{
    struct builder b = {.p = p};
    size_t from = 0;
    if (old.n == 0) return value_of_written(s);
    for (size_t at; (at = written_search(s, old, from)) < s.n && pool_step(p); from = at + old.n) {
        builder_add_written(&b, written_part(s, from, at));
        builder_add_written(&b, new);
    }
    builder_add_written(&b, written_part(s, from, s.n));
    return value_of_written(builder_written(&b));
}

/* ASCII only; how: 'u'pper, 'l'ower, 't'itle, 'c'apitalize. */
static struct value change_case(struct pool *p, struct written s, char how)
{
    struct builder b = {.p = p};
    bool inside = false;
    builder_add_written(&b, s);
    for (size_t i = 0; i < b.n && !p->failed; i++) {
        char c = b.text[i], low = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        bool letter = low >= 'a' && low <= 'z';
        bool up = how == 'u' || ((how == 't' || how == 'c') && !inside);
        if ((unsigned char)c >= 0x80) pool_fail(p, "upper and lower case of ASCII only");
        b.text[i] = letter && up ? (char)(low - 32) : low;
        inside = how == 'c' ? true : letter;
    }
    return value_of_written(builder_written(&b));
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

/* A method that is not known, or that lacks its arguments, fails: an empty text would be a prompt
 * that nobody wrote. */
static struct value string_method(struct pool *p, const char *name, struct written s,
                                  const struct value *arg, int n)
{
    const struct written *first = n > 0 ? &arg[0].s : NULL;
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

static struct value join_list(struct pool *p, const struct items *l, struct written by)
{
    struct builder b = {.p = p};
    for (size_t i = 0; i < l->n && pool_step(p); i++) {
        if (i > 0) builder_add_written(&b, by);
        builder_add_written(&b, value_written(p, &l->at[i]));
    }
    return value_of_written(builder_written(&b));
}

/* first and last of nothing are undefined, as in Jinja. */
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

/* What is no filter by itself may be a method of that name (upper, replace, ...). */
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
        add_json(&b, &v, 0);
        return value_of_written(builder_written(&b));
    }
    if (strcmp(name, "length") == 0 || strcmp(name, "count") == 0) {
        if (v.kind == V_STRING) return value_int((long)written_characters(v.s));
        if (v.kind == V_LIST) return value_int((long)v.items->n);
        if (v.kind == V_DICT) return value_int((long)v.items->n / 2);
    }
    if (strcmp(name, "string") == 0 || strcmp(name, "safe") == 0)
        return value_of_written(value_written(p, &v));
    if (strcmp(name, "int") == 0 && value_is_number(&v)) return value_int(v.number);
    if (v.kind == V_LIST) return list_filter(p, name, &v, arg, n);
    if (v.kind == V_DICT && strcmp(name, "items") == 0) return dict_part(p, &v, 'i');
    struct written s = value_written(p, &v);
    if (strcmp(name, "trim") == 0)
        return strip(s, n > 0 && arg[0].kind == V_STRING ? &arg[0].s : NULL, true, true);
    return value_method(p, name, value_of_written(s), arg, n);
}

/* A text counts as a sequence and undefined as an empty one, as in Jinja. An unknown test fails:
 * false would choose the other branch in silence. */
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
        {"number", value_is_number(v)},
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
