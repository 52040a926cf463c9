/* Text to value: what the YAML reader and --set have in common. Strict on purpose: 1e3 is no whole
 * number, yes is no truth value, 0x10 is no number, so that nothing is read otherwise than it was
 * meant. */
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/base/utf8.h"
#include "trainer/config/table.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 4096, MAX_NAMES = 160, SHOWN = 60 };

static const char *const wanted[] = {
    [SETTING_INT] = "a whole number such as 100",
    [SETTING_REAL] = "a number such as 0.1 or 1e-4",
    [SETTING_BOOL] = "true or false",
};

static bool digits_only(const char *text, const char *allowed)
{
    return *text && text[strspn(text, allowed)] == '\0';
}

static bool range_ok(const struct setting *k, double v, const char *text, struct origin from,
                     struct problems *p)
{
    if (v >= k->low && v <= k->high) return true;
    problems_add(p, from.file, from.line, "%s: %.*s is not in the range %.10g to %.10g", k->name,
                 SHOWN, text, k->low, k->high);
    return false;
}

static bool wrong_type(const struct setting *k, const char *text, struct origin from,
                       struct problems *p)
{
    if (*text)
        problems_add(p, from.file, from.line, "%s: \"%.*s\" is not %s", k->name, SHOWN, text,
                     wanted[k->type]);
    else
        problems_add(p, from.file, from.line, "%s has no value: it needs %s", k->name,
                     wanted[k->type]);
    return false;
}

static bool assign_int(const struct place *at, const struct setting *k, const char *text,
                       struct origin from, struct problems *p)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (!digits_only(digits, "0123456789")) return wrong_type(k, text, from, p);
    long long v = strtoll(text, NULL, 10); /* saturates, and so is out of range */
    if (!range_ok(k, (double)v, text, from, p)) return false;
    *(int *)setting_value(at, k) = (int)v;
    return true;
}

static bool assign_real(const struct place *at, const struct setting *k, const char *text,
                        struct origin from, struct problems *p)
{
    char *end;
    double v = strtod(text, &end);
    if (!digits_only(text, "+-.0123456789eE") || *end) return wrong_type(k, text, from, p);
    if (!range_ok(k, v, text, from, p)) return false;
    *(double *)setting_value(at, k) = v;
    return true;
}

static bool assign_bool(const struct place *at, const struct setting *k, const char *text,
                        struct origin from, struct problems *p)
{
    bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0) return wrong_type(k, text, from, p);
    *(bool *)setting_value(at, k) = yes;
    return true;
}

/* A name or a path: one line, so that it can be printed and written back. */
static bool printable(const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) return false;
    return utf8_invalid(text, n) == n;
}

/* One line of UTF-8: a text goes into logs, YAML and JSON. */
static bool assign_str(const struct place *at, const struct setting *k, const char *text,
                       struct origin from, struct problems *p)
{
    if (!printable(text)) {
        problems_add(p, from.file, from.line, "%s: the text must be a single line of UTF-8",
                     k->name);
        return false;
    }
    char *copy = memory_copy_text(text, k->name);
    char **value = setting_value(at, k);
    free(*value);
    *value = copy;
    return true;
}

static const char *nearest_choice(const struct setting *k, const char *text)
{
    const char *list[MAX_NAMES];
    int n = 0;
    if (strlen(text) > SHOWN) return NULL;
    for (const struct choice *c = k->choices; c->name && n < MAX_NAMES; c++) list[n++] = c->name;
    return nearest_name(text, list, n);
}

/* A near miss gets a suggestion, anything else the list. */
static bool assign_enum(const struct place *at, const struct setting *k, const char *text,
                        struct origin from, struct problems *p)
{
    const struct choice *choice = choice_named(k, text);
    if (!choice) {
        const char *near = nearest_choice(k, text);
        char names[CHOICES_TEXT];
        problems_add(p, from.file, from.line, "%s: \"%.*s\" is not one of %s%s%s%s", k->name, SHOWN,
                     text, choices_text(k, names, sizeof names), near ? "; did you mean " : "",
                     near ? near : "", near ? "?" : "");
        return false;
    }
    *(int *)setting_value(at, k) = choice->value;
    return true;
}

/* The line is noted first, so that checks of combinations can name it even when the value is
 * refused. */
bool setting_assign(const struct place *at, const struct setting *k, const char *text, size_t n,
                    struct origin from, struct problems *p)
{
    static bool (*const assign[])(const struct place *, const struct setting *, const char *,
                                  struct origin, struct problems *) = {
        [SETTING_INT] = assign_int, [SETTING_REAL] = assign_real, [SETTING_BOOL] = assign_bool,
        [SETTING_STR] = assign_str, [SETTING_ENUM] = assign_enum,
    };
    *setting_line(at, k) = from.line ? from.line : LINE_SET;
    if (n > MAX_TEXT || strlen(text) != n) {
        problems_add(p, from.file, from.line, "%s: the value is too long or contains a NUL byte",
                     k->name);
        return false;
    }
    return assign[k->type](at, k, text, from, p);
}

/* " (sites has one, too)" for the next section from `id` on that has the name, else "". */
static const char *has_one_too(const struct schema *schema, int id, const char *name, char out[64])
{
    out[0] = '\0';
    for (; id < schema->n && !*out; id++)
        if (setting_find(&schema->sections[id], name))
            snprintf(out, 64, " (%s has one too)", schema->sections[id].name);
    return out;
}

/* "lr is a phase setting; put it in phases": the name is known, but elsewhere. */
static bool known_elsewhere(const struct schema *schema, const char *name, struct origin from,
                            struct problems *p)
{
    for (int id = 0; id < schema->n; id++) {
        const struct section *s = &schema->sections[id];
        char too[64];
        if (!setting_find(s, name)) continue;
        has_one_too(schema, id + 1, name, too);
        if (from.line == 0)
            problems_add(p, from.file, 0, "%s is a %s setting; write --set %s%s%s%s=...%s", name,
                         s->noun, s->name, id == schema->list ? ".NAME" : "", *s->name ? "." : "",
                         name, too);
        else
            problems_add(p, from.file, from.line, "%s is a %s setting; put it %s%s%s", name,
                         s->noun, *s->name ? "in " : "at the top level", s->name, too);
        return true;
    }
    return false;
}

static const char *nearest_in(const struct schema *schema, const struct section *section,
                              const char *name)
{
    const char *names[MAX_NAMES + SECTIONS];
    int n = 0;
    INVARIANT(section->n_settings <= MAX_NAMES, "%d settings", section->n_settings);
    for (int i = 0; i < section->n_settings; i++) names[n++] = section->settings[i].name;
    if (section == schema->sections)
        for (int id = 1; id < schema->n; id++) names[n++] = schema->sections[id].name;
    return nearest_name(name, names, n);
}

/* Looks in the same section first, then in the others: a setting in the wrong place is the
 * commonest mistake. */
void setting_unknown(const struct schema *schema, const struct section *section, const char *name,
                     struct origin from, struct problems *p)
{
    const struct section *where = section;
    const char *top = "the top level", *near = NULL;
    if (strlen(name) > SHOWN) {
        problems_add(p, from.file, from.line, "unknown setting %.*s...", SHOWN, name);
        return;
    }
    if (known_elsewhere(schema, name, from, p)) return;
    near = nearest_in(schema, section, name);
    for (int id = 0; id < schema->n && !near; id++) {
        where = &schema->sections[id];
        near = nearest_in(schema, where, name);
    }
    if (!near)
        problems_add(p, from.file, from.line, "unknown setting %s in %s", name,
                     *section->name ? section->name : top);
    else if (where == section)
        problems_add(p, from.file, from.line, "unknown setting %s; did you mean %s?", name, near);
    else
        problems_add(p, from.file, from.line, "unknown setting %s; did you mean %s of %s?", name,
                     near, *where->name ? where->name : top);
}

bool phase_can_use(const struct place *at, const struct setting *k)
{
    return k->kinds >> ((const struct phase_settings *)at->values)->kind & 1u;
}

bool phase_uses(const struct place *at, const struct setting *k, struct origin from,
                struct problems *p)
{
    const struct phase_settings *phase = at->values;
    char kinds[CHOICES_TEXT];
    if (phase_can_use(at, k)) return true;
    problems_add(p, from.file, from.line, "%s is not used by the phase kind %s, only by %s",
                 k->name, phase_kind_name(phase->kind),
                 phase_kinds_text(k->kinds, kinds, sizeof kinds));
    return false;
}
