/* Members of config.json with their types, and settings that take their values (config.h). */
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/checkpoint/hf/config.h"
#include "comm/base/memory.h"
#include "trainer/config/table.h"

void hf_complain(const struct hf_config *c, const char *member, const char *fmt, ...)
{
    char text[512];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    problems_add(c->p, c->file, 0, "%.100s: %s", member, text);
}

/* --- members --- */

static double number_of(struct hf_config *c, const json_t *v, const char *member)
{
    double x = json_is_number(v) ? json_number_value(v) : NAN;
    if (!isfinite(x)) hf_complain(c, member, "is not a number");
    return isfinite(x) ? x : NAN;
}

double hf_number(struct hf_config *c, const json_t *object, const char *member, double otherwise)
{
    const json_t *v = json_object_get(object, member);
    if (v && !json_is_null(v)) return number_of(c, v, member);
    if (isnan(otherwise)) hf_complain(c, member, "is missing");
    return otherwise;
}

double hf_whole(struct hf_config *c, const json_t *object, const char *member, double otherwise)
{
    const json_t *v = json_object_get(object, member);
    if (!v || json_is_null(v)) return hf_number(c, object, member, otherwise);
    if (json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= INT32_MAX)
        return (double)json_integer_value(v);
    hf_complain(c, member, "is not a whole number from 0 to 2147483647");
    return NAN;
}

bool hf_flag(struct hf_config *c, const json_t *object, const char *member, bool otherwise)
{
    const json_t *v = json_object_get(object, member);
    if (!v || json_is_null(v)) return otherwise;
    if (!json_is_boolean(v)) hf_complain(c, member, "is neither true nor false");
    return json_is_true(v);
}

/* --- settings --- */

/* A setting of the model, where its value lies and who gave it. */
struct target {
    const struct setting *k;
    void *value;
    int line;
};

static struct target target_of(struct settings *s, const char *name)
{
    struct place at = settings_place(s, SECTION_MODEL, 0);
    const struct setting *k = setting_find(at.section, name);
    if (!k) return (struct target){0};
    return (struct target){k, setting_value(&at, k), *setting_line(&at, k)};
}

static const char *origin(const struct settings *s, int line)
{
    return line == LINE_SET ? "--set" : s->file;
}

/* is, must: both values as texts */
static void contradict(const struct hf_config *c, const struct target *t, const char *is,
                       const char *must, const char *member)
{
    problems_add(c->p, origin(c->s, t->line), t->line > 0 ? t->line : 0,
                 "model.%s is %s, but %s says %s %s: leave the setting out, the weights are "
                 "meaningless with another value",
                 t->k->name, is, c->file, member, must);
}

static double value_of(const struct target *t)
{
    if (t->k->type == SETTING_REAL) return *(const double *)t->value;
    if (t->k->type == SETTING_BOOL) return *(const bool *)t->value;
    return *(const int *)t->value;
}

static void set_target(const struct target *t, double value)
{
    if (t->k->type == SETTING_REAL)
        *(double *)t->value = value;
    else if (t->k->type == SETTING_BOOL)
        *(bool *)t->value = value > 0;
    else
        *(int *)t->value = (int)value;
}

/* The type's own precision is that of the weights' arithmetic. */
static bool same(double a, double b)
{
    float x = (float)a, y = (float)b;
    return !(x < y || x > y);
}

/* A setting that the user left out, or a whole number left at 0 or below (to be derived), takes the
 * value; another one must be equal. */
void hf_take_number(struct hf_config *c, const char *name, double value, const char *member)
{
    char is[32], must[32];
    const struct target t = target_of(c->s, name);
    if (isnan(value)) return;
    if (!t.k) {
        hf_complain(c, member, "this program has no models with it");
        return;
    }
    bool ranged = t.k->type == SETTING_INT || t.k->type == SETTING_REAL;
    if (ranged && (value < t.k->low || value > t.k->high)) {
        hf_complain(c, member, "is %.10g; this program takes %.10g to %.10g (model.%s)", value,
                    t.k->low, t.k->high, name);
        return;
    }
    bool open = t.line == 0 || (ranged && t.k->type == SETTING_INT && value_of(&t) <= 0);
    if (open) {
        set_target(&t, value);
        return;
    }
    if (same(value_of(&t), value)) return;
    bool flag = t.k->type == SETTING_BOOL;
    snprintf(is, sizeof is, "%.10g", value_of(&t));
    snprintf(must, sizeof must, "%.10g", value);
    contradict(c, &t,
               !flag       ? is
               : value > 0 ? "false"
                           : "true",
               !flag       ? must
               : value > 0 ? "true"
                           : "false",
               member);
}

void hf_take_flag(struct hf_config *c, const char *name, bool value, const char *member)
{
    if (value || target_of(c->s, name).k) hf_take_number(c, name, value, member);
}

void hf_take_choice(struct hf_config *c, const char *name, const char *choice, const char *member)
{
    const struct target t = target_of(c->s, name);
    const struct choice *must = t.k ? choice_named(t.k, choice) : NULL;
    if (!must) {
        hf_complain(c, member, "%.60s: this program has no models with it", choice);
        return;
    }
    if (t.line == 0)
        *(int *)t.value = must->value;
    else if (*(int *)t.value != must->value)
        contradict(c, &t, choice_of(t.k, *(int *)t.value)->name, must->name, member);
}

/* As hf_take_number: a text that the user gave must be the same. */
void hf_take_text(struct settings *s, const char *name, const char *value, const char *from,
                  struct problems *p)
{
    const struct target t = target_of(s, name);
    char **text = t.value;
    if (!t.k) {
        problems_add(p, from, 0, "this program has no models with %s %.200s", name, value);
        return;
    }
    if (t.line != 0 && strcmp(*text, value) != 0)
        problems_add(p, origin(s, t.line), t.line > 0 ? t.line : 0,
                     "model.%s is %.200s, but %s says %.200s: leave the setting out", name, *text,
                     from, value);
    if (t.line != 0) return;
    free(*text);
    *text = memory_copy_text(value, "a setting");
}
