/* The settings of settings_table.h as rows of an array, and the little that one needs to walk them. */
#include "trainer/config/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

#define RUN_ROW(type, ...)        ROW_##type(run, __VA_ARGS__)
#define MODEL_ROW(type, ...)      ROW_##type(model, __VA_ARGS__)
#define MESH_ROW(type, ...)       ROW_##type(mesh, __VA_ARGS__)
#define SITES_ROW(type, ...)      ROW_##type(sites, __VA_ARGS__)
#define DATA_ROW(type, ...)       ROW_##type(data, __VA_ARGS__)
#define REDUCTION_ROW(type, ...)  ROW_##type(reduction, __VA_ARGS__)
#define CHECKPOINT_ROW(type, ...) ROW_##type(checkpoint, __VA_ARGS__)
#define PHASE_ROW(type, ...)      ROW_##type(phase, __VA_ARGS__)

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
        SECTION_ROW(settings, "sites", "sites", "how groups of ranks that learn apart exchange",
                    sites_rows, sites),
    [SECTION_DATA] = SECTION_ROW(settings, "data", "data", "what is learned from", data_rows, data),
    [SECTION_REDUCTION] =
        SECTION_ROW(settings, "reduction", "reduction", "how gradients are summed over replicas",
                    reduction_rows, reduction),
    [SECTION_CHECKPOINT] = SECTION_ROW(settings, "checkpoint", "checkpoint",
                                       "when the run is saved", checkpoint_rows, checkpoint),
    [SECTION_PHASE] = SECTION_ROW(settings, "phases", "phase", "a list; every entry has these",
                                  phase_rows, phases),
};

const struct book recipe_book = {"recipe", sections, SECTIONS, SECTION_PHASE};

struct place book_place(const struct book *book, void *root, int id)
{
    const struct section *section = &book->sections[id];
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

/* The i-th of names separated by '|'; *n is its length. NULL when there are fewer. */
static const char *enum_at(const char *names, int i, size_t *n)
{
    for (; i > 0 && names; i--) {
        names = strchr(names, '|');
        if (names) names++;
    }
    *n = names ? strcspn(names, "|") : 0;
    return names;
}

bool enum_name(const char *names, int i, char *out, size_t size)
{
    size_t n;
    const char *name = enum_at(names, i, &n);
    if (!name) return false;
    snprintf(out, size, "%.*s", (int)n, name);
    return true;
}

static int enum_find_n(const char *names, const char *word, size_t word_n)
{
    size_t n;
    const char *name;
    for (int i = 0; (name = enum_at(names, i, &n)); i++)
        if (n == word_n && memcmp(name, word, n) == 0) return i;
    return -1;
}

int enum_find(const char *names, const char *word)
{
    return enum_find_n(names, word, strlen(word));
}

unsigned setting_kinds(const struct setting *k)
{
    const char *kinds = setting_find(&sections[SECTION_PHASE], "kind")->text;
    unsigned bits = 0;
    for (const char *word = k->help;; word += 2) {
        size_t n = strcspn(word, ",: ");
        int kind = enum_find_n(kinds, word, n);
        if (kind < 0) return ~0u; /* the help begins with something else: for every kind */
        bits |= 1u << kind;
        word += n;
        if (*word == ':') return bits;
        if (strncmp(word, ", ", 2) != 0) return ~0u;
    }
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

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    SYS_OK(copy, "free memory on this machine", "no memory for a setting of %zu bytes",
           strlen(text));
    return copy;
}

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
        case SETTING_STR: *(char **)value = copy_text(k->text); break;
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
        *(char **)is = copy_text(*(char *const *)was);
        break;
    }
}

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

void settings_defaults(struct settings *s)
{
    memset(s, 0, sizeof *s);
    for (int id = 0; id < SECTION_PHASE; id++) {
        struct place at = settings_place(s, (enum section_id)id, 0);
        place_defaults(&at);
    }
}

void settings_free(struct settings *s)
{
    phases_free(s);
    for (int id = 0; id < SECTION_PHASE; id++) {
        struct place at = settings_place(s, (enum section_id)id, 0);
        place_free(&at);
    }
    free(s->file);
    s->file = NULL;
}
