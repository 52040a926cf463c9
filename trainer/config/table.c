/* The settings of settings_table.h as rows of an array, and the little that one needs to walk them.
 */
#include "trainer/config/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/reduce.h"

#define RUN_ROW(...)        ROW(run, __VA_ARGS__)
#define MODEL_ROW(...)      ROW(model, __VA_ARGS__)
#define MESH_ROW(...)       ROW(mesh, __VA_ARGS__)
#define SITES_ROW(...)      ROW(sites, __VA_ARGS__)
#define DATA_ROW(...)       ROW(data, __VA_ARGS__)
#define REDUCTION_ROW(...)  ROW(reduction, __VA_ARGS__)
#define CHECKPOINT_ROW(...) ROW(checkpoint, __VA_ARGS__)

/* Kinds of phase, as the table names them. */
#define SFT            (1u << PHASE_SFT)
#define GRPO           (1u << PHASE_GRPO)
#define EVAL           (1u << PHASE_EVAL)
#define EXPORT         (1u << PHASE_EXPORT)
#define REWARD         (1u << PHASE_REWARD_MODEL)
#define LEARN          (SFT | GRPO | REWARD)
#define EVERY          (~0u)
#define PHASE_ROW(...) ROW_OF_KINDS(phase, __VA_ARGS__)

static const struct setting run_rows[] = {RUN_SETTINGS(RUN_ROW)};
static const struct setting model_rows[] = {MODEL_SETTINGS(MODEL_ROW)};
static const struct setting mesh_rows[] = {MESH_SETTINGS(MESH_ROW)};
static const struct setting sites_rows[] = {SITES_SETTINGS(SITES_ROW)};
static const struct setting data_rows[] = {DATA_SETTINGS(DATA_ROW)};
static const struct setting reduction_rows[] = {REDUCTION_SETTINGS(REDUCTION_ROW)};
static const struct setting checkpoint_rows[] = {CHECKPOINT_SETTINGS(CHECKPOINT_ROW)};
static const struct setting phase_rows[] = {PHASE_SETTINGS(PHASE_ROW)};

/* The offsets of the last one lead to pointers, see settings_place. */
const struct section sections[SECTIONS] = {
    [SECTION_RUN] = SECTION_ROW(settings, "", "run", "top level of a recipe", run_rows, run),
    [SECTION_MODEL] = SECTION_ROW(settings, "model", "model", "the network", model_rows, model),
    [SECTION_MESH] =
        SECTION_ROW(settings, "mesh", "mesh", "how ranks share the work", mesh_rows, mesh),
    [SECTION_SITES] =
        SECTION_ROW(settings, "sites", "sites",
                    "how sites, which train independently, exchange weights", sites_rows, sites),
    [SECTION_DATA] = SECTION_ROW(settings, "data", "data", "problems, task files and micro-batches",
                                 data_rows, data),
    [SECTION_REDUCTION] =
        SECTION_ROW(settings, "reduction", "reduction", "how gradients are summed over replicas",
                    reduction_rows, reduction),
    [SECTION_CHECKPOINT] = SECTION_ROW(settings, "checkpoint", "checkpoint",
                                       "when the run is saved", checkpoint_rows, checkpoint),
    [SECTION_PHASE] = SECTION_ROW(settings, "phases", "phase", "a list; every entry has these",
                                  phase_rows, phases),
};

const struct schema recipe_schema = {"recipe", sections, SECTIONS, SECTION_PHASE};

struct place schema_place(const struct schema *schema, const void *root, int id)
{
    const struct section *section = &schema->sections[id];
    return (struct place){section, (char *)root + section->offset,
                          (char *)root + section->line_offset};
}

struct place settings_place(const struct settings *s, enum section_id id, int phase)
{
    const struct section *section = &sections[id];
    if (id == SECTION_PHASE)
        return (struct place){section, &s->phases[phase], &s->lines.phases[phase]};
    return (struct place){section, (char *)s + section->offset, (char *)s + section->line_offset};
}

void *setting_value(const struct place *at, const struct setting *k)
{
    return (char *)at->values + k->offset;
}

int *setting_line(const struct place *at, const struct setting *k)
{
    return (int *)((char *)at->lines + k->line_offset);
}

const struct setting *setting_find(const struct section *section, const char *name)
{
    for (int i = 0; i < section->n_settings; i++)
        if (strcmp(section->settings[i].name, name) == 0) return &section->settings[i];
    return NULL;
}

const struct choice *choice_named(const struct setting *k, const char *name)
{
    for (const struct choice *c = k->choices; c->name; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

const struct choice *choice_of(const struct setting *k, int value)
{
    for (const struct choice *c = k->choices; c->name; c++)
        if (c->value == value) return c;
    return NULL;
}

/* Adds a word to a list in out of which *used bytes are taken; what does not fit is cut off. */
static void add_word(char *out, size_t size, size_t *used, const char *between, const char *word)
{
    if (*used >= size) return;
    *used += (size_t)snprintf(out + *used, size - *used, "%s%s", *used ? between : "", word);
}

const char *choices_text(const struct setting *k, char *out, size_t size)
{
    size_t used = 0;
    *out = '\0';
    for (const struct choice *c = k->choices; c->name; c++)
        add_word(out, size, &used, "|", c->name);
    return out;
}

static const struct setting *phase_kind_setting(void)
{
    return setting_find(&sections[SECTION_PHASE], "kind");
}

const char *phase_kind_name(int kind)
{
    const struct choice *c = choice_of(phase_kind_setting(), kind);
    INVARIANT(c, "phase kind %d", kind);
    return c->name;
}

const char *phase_kinds_text(unsigned kinds, char *out, size_t size)
{
    size_t used = 0;
    *out = '\0';
    for (const struct choice *c = phase_kind_setting()->choices; c->name; c++)
        if (kinds >> c->value & 1u) add_word(out, size, &used, ", ", c->name);
    return out;
}

enum setting_change setting_change(enum section_id id, const struct setting *k)
{
    static const enum setting_change of_section[SECTIONS] = {
        [SECTION_RUN] = CHANGE_CHOICE,        [SECTION_MODEL] = CHANGE_WEIGHTS,
        [SECTION_MESH] = CHANGE_BITS,         [SECTION_SITES] = CHANGE_POSITION,
        [SECTION_DATA] = CHANGE_POSITION,     [SECTION_REDUCTION] = CHANGE_BITS,
        [SECTION_CHECKPOINT] = CHANGE_CHOICE, [SECTION_PHASE] = CHANGE_CHOICE};
    return k->change == CHANGE_BY_SECTION ? of_section[id] : k->change;
}

/* Line 0 means that the setting was not given. */
void place_defaults(const struct place *at)
{
    for (int i = 0; i < at->section->n_settings; i++) {
        const struct setting *k = &at->section->settings[i];
        void *value = setting_value(at, k);
        *setting_line(at, k) = 0;
        switch (k->type) {
        case SETTING_INT:
        case SETTING_ENUM: *(int *)value = (int)k->initial; break;
        case SETTING_REAL: *(double *)value = k->initial; break;
        case SETTING_BOOL: *(bool *)value = k->initial != 0; break;
        case SETTING_STR: *(char **)value = memory_copy_text(k->text, "a setting"); break;
        }
    }
}

void place_free(const struct place *at)
{
    for (int i = 0; i < at->section->n_settings; i++) {
        const struct setting *k = &at->section->settings[i];
        if (k->type != SETTING_STR) continue;
        char **value = setting_value(at, k);
        free(*value);
        *value = NULL;
    }
}

/* Texts are owned by their settings: copied, not shared. */
void setting_copy(const struct place *to, const struct place *from, const struct setting *k)
{
    void *is = setting_value(to, k);
    const void *was = setting_value(from, k);
    switch (k->type) {
    case SETTING_INT:
    case SETTING_ENUM: *(int *)is = *(const int *)was; break;
    case SETTING_REAL: *(double *)is = *(const double *)was; break;
    case SETTING_BOOL: *(bool *)is = *(const bool *)was; break;
    case SETTING_STR:
        free(*(char **)is);
        *(char **)is = memory_copy_text(*(char *const *)was, "a setting");
        break;
    }
}

/* By value: a setting that was given its default counts as not given. */
bool setting_is_default(const struct place *at, const struct setting *k)
{
    const void *value = setting_value(at, k);
    switch (k->type) {
    case SETTING_INT:
    case SETTING_ENUM: return *(const int *)value == (int)k->initial;
    case SETTING_REAL: return *(const double *)value == k->initial;
    case SETTING_BOOL: return *(const bool *)value == (k->initial != 0);
    case SETTING_STR: return strcmp(*(char *const *)value, k->text) == 0;
    }
    return false;
}

/* After this s has no phases; phases_replace fills it again. */
static void phases_free(struct settings *s)
{
    for (int i = 0; i < s->n_phases; i++) {
        struct place at = settings_place(s, SECTION_PHASE, i);
        place_free(&at);
    }
    free(s->phases);
    free(s->lines.phases);
    s->phases = NULL;
    s->lines.phases = NULL;
    s->n_phases = 0;
}

/* All phases have the defaults until they are read. */
void phases_replace(struct settings *s, int n)
{
    phases_free(s);
    if (n == 0) return;
    s->phases = memory_take((size_t)n, sizeof *s->phases, "phases");
    s->lines.phases = memory_take((size_t)n, sizeof *s->lines.phases, "phases");
    s->n_phases = n;
    for (int i = 0; i < n; i++) {
        struct place at = settings_place(s, SECTION_PHASE, i);
        place_defaults(&at);
    }
}
