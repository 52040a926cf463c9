/* The settings of knobs.h as rows of an array, and the little that one needs to walk them. */
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

static const struct knob run_rows[] = {RUN_KNOBS(RUN_ROW)};
static const struct knob model_rows[] = {MODEL_KNOBS(MODEL_ROW)};
static const struct knob mesh_rows[] = {MESH_KNOBS(MESH_ROW)};
static const struct knob sites_rows[] = {SITES_KNOBS(SITES_ROW)};
static const struct knob data_rows[] = {DATA_KNOBS(DATA_ROW)};
static const struct knob reduction_rows[] = {REDUCTION_KNOBS(REDUCTION_ROW)};
static const struct knob checkpoint_rows[] = {CHECKPOINT_KNOBS(CHECKPOINT_ROW)};
static const struct knob phase_rows[] = {PHASE_KNOBS(PHASE_ROW)};

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

void *knob_value(const struct place *at, const struct knob *k)
{
    return (char *)at->values + k->offset;
}

int *knob_line(const struct place *at, const struct knob *k)
{
    return (int *)((char *)at->lines + k->line_offset);
}

const struct knob *knob_find(const struct section *section, const char *name)
{
    for (int i = 0; i < section->n_knobs; i++)
        if (strcmp(section->knobs[i].name, name) == 0) return &section->knobs[i];
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

unsigned knob_kinds(const struct knob *k)
{
    const char *kinds = knob_find(&sections[SECTION_PHASE], "kind")->text;
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

enum knob_change knob_change(enum section_id id, const struct knob *k)
{
    static const enum knob_change of_section[SECTIONS] = {
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
    for (int i = 0; i < at->section->n_knobs; i++) {
        const struct knob *k = &at->section->knobs[i];
        void *value = knob_value(at, k);
        *knob_line(at, k) = 0;
        switch (k->type) {
        case KNOB_INT:
        case KNOB_ENUM: *(int *)value = (int)k->initial; break;
        case KNOB_REAL: *(double *)value = k->initial; break;
        case KNOB_BOOL: *(bool *)value = k->initial != 0; break;
        case KNOB_STR: *(char **)value = copy_text(k->text); break;
        }
    }
}

void place_free(const struct place *at)
{
    for (int i = 0; i < at->section->n_knobs; i++) {
        const struct knob *k = &at->section->knobs[i];
        if (k->type != KNOB_STR) continue;
        char **value = knob_value(at, k);
        free(*value);
        *value = NULL;
    }
}

void knob_copy(const struct place *to, const struct place *from, const struct knob *k)
{
    void *is = knob_value(to, k);
    const void *was = knob_value(from, k);
    switch (k->type) {
    case KNOB_INT:
    case KNOB_ENUM: *(int *)is = *(const int *)was; break;
    case KNOB_REAL: *(double *)is = *(const double *)was; break;
    case KNOB_BOOL: *(bool *)is = *(const bool *)was; break;
    case KNOB_STR:
        free(*(char **)is);
        *(char **)is = copy_text(*(char *const *)was);
        break;
    }
}

bool knob_is_default(const struct place *at, const struct knob *k)
{
    const void *value = knob_value(at, k);
    switch (k->type) {
    case KNOB_INT:
    case KNOB_ENUM: return *(const int *)value == (int)k->initial;
    case KNOB_REAL: return *(const double *)value == k->initial;
    case KNOB_BOOL: return *(const bool *)value == (k->initial != 0);
    case KNOB_STR: return strcmp(*(char *const *)value, k->text) == 0;
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
