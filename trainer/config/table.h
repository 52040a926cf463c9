/* settings_table.h as data: what the reader, --set, the checks, the printer and the help walk over.
 */
#ifndef DUET_TRAINER_CONFIG_TABLE_H
#define DUET_TRAINER_CONFIG_TABLE_H

#include <stdio.h>
#include "trainer/config/settings.h"

enum setting_type { SETTING_INT, SETTING_REAL, SETTING_BOOL, SETTING_STR, SETTING_ENUM };

/* What it means when a run is resumed with another value of the setting than its checkpoint was
 * saved with. */
enum setting_change {
    CHANGE_BY_SECTION, /* as the section says: model WEIGHTS, data and sites POSITION, mesh and
                          reduction BITS, the others CHOICE */
    CHANGE_NOTHING,    /* not worth a word: where it is written, how much is printed */
    CHANGE_CHOICE,     /* holds from the next step on */
    CHANGE_BITS,       /* the same training with other last bits */
    CHANGE_ROUNDING,   /* the same training rounded in another way: more than last bits */
    CHANGE_FILE,       /* a path: what is in the file is compared, not its name; of what names no
                          file, as CHANGE_POSITION */
    CHANGE_POSITION, /* the position counts in it: refused while the phase that it concerns is under
                        way */
    CHANGE_WEIGHTS   /* the weights mean something else: refused */
};

/* One choice of an ENUM; a list of them ends with a NULL name. */
struct choice {
    const char *name;
    int value;
};

struct setting {
    const char *name;
    enum setting_type type;
    size_t offset;                /* of the value in the section's struct */
    size_t line_offset;           /* of the line (an int) in the section's struct of lines */
    double initial;               /* default of all but STR */
    double low, high;             /* INT, REAL */
    const char *text;             /* STR: the default */
    const struct choice *choices; /* ENUM */
    const char *unit;             /* of a number; "": none */
    unsigned kinds; /* of phase that use it, bits 1 << PHASE_...; of another section: all bits */
    const char *help;
    enum setting_change change;
};

enum section_id {
    SECTION_RUN,
    SECTION_MODEL,
    SECTION_MESH,
    SECTION_SITES,
    SECTION_DATA,
    SECTION_REDUCTION,
    SECTION_CHECKPOINT,
    SECTION_PHASE,
    SECTIONS
};

struct section {
    const char *name; /* its key in a recipe; "" for the top level */
    const char *noun; /* "lr is a phase setting" */
    const char *help;
    const struct setting *settings;
    int n_settings;
    size_t offset, line_offset; /* in struct settings; of the first phase's struct for phases */
};

extern const struct section sections[SECTIONS];

/* All sections that one kind of file may have; the first is its top level. */
struct schema {
    const char *noun; /* "recipe" */
    const struct section *sections;
    int n;
    int list; /* the section that is a list of phases; -1: none */
};
extern const struct schema recipe_schema;

/* One section's values: where its settings are read and written. */
struct place {
    const struct section *section;
    void *values; /* struct run_settings, ... */
    void *lines;  /* struct run_lines, ... */
};

/* Where a message points: file:line; file NULL or line 0 where there is none. */
struct origin {
    const char *file;
    int line;
};

/* Section `id` of what is at root: a struct whose sections are where their offsets say. Not for
 * lists. */
struct place schema_place(const struct schema *schema, const void *root, int id);
/* `phase` counts for SECTION_PHASE only. */
struct place settings_place(const struct settings *s, enum section_id id, int phase);
void *setting_value(const struct place *at, const struct setting *k);
int *setting_line(const struct place *at, const struct setting *k);

const struct setting *setting_find(const struct section *section, const char *name);
/* What a change of the setting means on resume; never CHANGE_BY_SECTION. */
enum setting_change setting_change(enum section_id id, const struct setting *k);
/* An ENUM's choice of that name, or of that value; NULL: none. */
const struct choice *choice_named(const struct setting *k, const char *name);
const struct choice *choice_of(const struct setting *k, int value);
enum { CHOICES_TEXT = 256 }; /* room for the names of any ENUM */
/* "fp32|bf16": the names of an ENUM into out, cut to size; returns out. */
const char *choices_text(const struct setting *k, char *out, size_t size);
/* The name of a kind of phase, PHASE_...; "sft, grpo": those of a set of kinds into out, which is
 * returned. */
const char *phase_kind_name(int kind);
const char *phase_kinds_text(unsigned kinds, char *out, size_t size);

/* Sets all settings of a place to their defaults; what the place held is forgotten, not freed. */
void place_defaults(const struct place *at);
void place_free(const struct place *at);
bool setting_is_default(const struct place *at, const struct setting *k);
/* The value as --set takes it. */
void setting_print(FILE *out, const struct place *at, const struct setting *k);

/* The value as a recipe would have it, cut to size. */
void setting_text(const struct place *at, const struct setting *k, char *out, size_t size);
/* The same setting's value of another place. */
void setting_copy(const struct place *to, const struct place *from, const struct setting *k);

/* Parses text as the setting's type, checks its range, stores value and line; a mistake goes to p.
 */
bool setting_assign(const struct place *at, const struct setting *k, const char *text, size_t n,
                    struct origin from, struct problems *p);
/* "lr is a phase setting; put it in phases", or "unknown setting; did you mean ...". */
void setting_unknown(const struct schema *schema, const struct section *section, const char *name,
                     struct origin from, struct problems *p);
/* Does the kind of the phase at `at` use the setting? */
bool phase_can_use(const struct place *at, const struct setting *k);
/* The same; if not, a problem. */
bool phase_uses(const struct place *at, const struct setting *k, struct origin from,
                struct problems *p);

/* Reads YAML bytes into the sections at root (of a recipe: struct settings, whose list of phases
 * may change), every mistake with its line. What lines said before is forgotten. true: no mistake.
 */
bool schema_parse(const struct schema *schema, void *root, const void *yaml, size_t n,
                  const char *file, struct problems *p);
/* A file's bytes, malloc'ed, or NULL and a problem; at most one more than schema_parse takes. */
char *schema_read(const struct schema *schema, const char *path, size_t *n, struct problems *p);

/* Every setting of every section, to stdout. */
void schema_help(const struct schema *schema);

/* A list of n phases, all defaults; the old ones are freed. */
void phases_replace(struct settings *s, int n);

#endif
