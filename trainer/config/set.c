/* --set section.name=value: one assignment over a recipe, with the same checks as a line of it; and
 * finding a setting by such a name. */
#include "comm/base/problems.h"
#include "trainer/config/presets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 128 };

/* The second phase of a kind without a name is called kind2, as --set and logs call it. */
const char *settings_phase_name(const struct settings *s, int i, char *out, size_t size)
{
    const struct phase_settings *phase = &s->phases[i];
    const char *kind = phase_kind_name(phase->kind);
    int nth = 1;
    for (int j = 0; j < i; j++) nth += s->phases[j].kind == phase->kind;
    if (*phase->name)
        snprintf(out, size, "%s", phase->name);
    else if (nth == 1)
        snprintf(out, size, "%s", kind);
    else
        snprintf(out, size, "%s%d", kind, nth);
    return out;
}

static void unknown_phase(const struct settings *s, const char *word, const char *file,
                          struct problems *p)
{
    char list[512] = "", name[MAX_NAME];
    size_t used = 0;
    for (int i = 0; i < s->n_phases && used < sizeof list - MAX_NAME - 8; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%d %s", i ? ", " : "", i,
                                 settings_phase_name(s, i, name, sizeof name));
    problems_add(p, file, 0, "no phase is called %.60s; the phases are: %s", word,
                 s->n_phases ? list : "none");
}

/* A phase by name or by number from 0, -1. */
static int phase_find(const struct settings *s, const char *word)
{
    char name[MAX_NAME];
    for (int i = 0; i < s->n_phases; i++)
        if (strcmp(settings_phase_name(s, i, name, sizeof name), word) == 0) return i;
    if (!*word || word[strspn(word, "0123456789")] != '\0' || strlen(word) > 6) return -1;
    long i = strtol(word, NULL, 10);
    return i < s->n_phases ? (int)i : -1;
}

/* The section that a dotted name begins with; *name is moved past it. The top level has no name of
 * its own. */
static const struct section *section_take(char **name)
{
    size_t n = strcspn(*name, ".");
    if ((*name)[n] == '\0') return &sections[SECTION_RUN];
    for (int id = 1; id < SECTIONS; id++) {
        if (strlen(sections[id].name) != n || memcmp(sections[id].name, *name, n) != 0) continue;
        *name += n + 1;
        return &sections[id];
    }
    return NULL;
}

/* `name` is cut at its first dot: the section alone is shown. */
static void unknown_section(char *name, const char *file, struct problems *p)
{
    const char *names[SECTIONS];
    char all[256];
    size_t used = 0;
    for (int id = 1; id < SECTIONS; id++) {
        names[id - 1] = sections[id].name;
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "",
                                 sections[id].name);
        INVARIANT(used < sizeof all, "the names of %d sections", SECTIONS);
    }
    name[strcspn(name, ".")] = '\0';
    const char *near = nearest_name(name, names, SECTIONS - 1);
    problems_add(p, file, 0, "unknown section %s%s%s%s", name,
                 near ? "; did you mean " : "; the sections are ", near ? near : all,
                 near ? "?" : "");
}

/* Number of the phase in "grpo.lr", *name moved to "lr"; -1 and a problem when there is none. */
static int phase_take(const struct settings *s, char **name, const char *file, struct problems *p)
{
    char *dot = strchr(*name, '.');
    if (!dot) {
        problems_add(p, file, 0, "which phase? write phases.NAME.%s=...", *name);
        return -1;
    }
    *dot = '\0';
    int phase = phase_find(s, *name);
    if (phase < 0) unknown_phase(s, *name, file, p);
    *name = dot + 1;
    return phase;
}

/* The setting of that name and its place, or NULL and a problem. */
static const struct setting *setting_named(const struct settings *s, char *name, struct place *at,
                                           const char *file, struct problems *p)
{
    const struct section *section = section_take(&name);
    struct origin from = {file, 0};
    int phase = 0;
    if (!section) {
        unknown_section(name, file, p);
        return NULL;
    }
    enum section_id id = (enum section_id)(section - sections);
    if (id == SECTION_PHASE && (phase = phase_take(s, &name, file, p)) < 0) return NULL;
    const struct setting *k = setting_find(section, name);
    if (!k) {
        setting_unknown(&recipe_schema, section, name, from, p);
        return NULL;
    }
    *at = settings_place(s, id, phase);
    return id != SECTION_PHASE || phase_uses(at, k, from, p) ? k : NULL;
}

/* A line each: name and kind. */
static void print_phases(FILE *out, const struct settings *s)
{
    char name[MAX_NAME];
    for (int i = 0; i < s->n_phases; i++)
        fprintf(out, "%s %s\n", settings_phase_name(s, i, name, sizeof name),
                phase_kind_name(s->phases[i].kind));
}

/* `phases` is no setting: it lists the names that --get phases.NAME.x takes. */
bool settings_print_named(FILE *out, const struct settings *s, const char *name, struct problems *p)
{
    char file[MAX_NAME + 16], copy[MAX_NAME];
    struct place at;
    if (strcmp(name, "phases") == 0) {
        print_phases(out, s);
        return true;
    }
    snprintf(file, sizeof file, "--get %.*s", MAX_NAME, name);
    snprintf(copy, sizeof copy, "%s", name);
    const struct setting *k = setting_named(s, copy, &at, file, p);
    if (!k) return false;
    setting_print(out, &at, k);
    fputc('\n', out);
    return true;
}

static bool assign(struct settings *s, char *name, const char *value, const char *file,
                   struct problems *p)
{
    struct place at;
    struct origin from = {file, 0};
    const struct setting *k = setting_named(s, name, &at, file, p);
    if (!k || !setting_assign(&at, k, value, strlen(value), from, p)) return false;
    if (at.section == &sections[SECTION_PHASE] && strcmp(k->name, "algorithm") == 0)
        preset_apply(&at);
    return true;
}

/* The origin in messages is the assignment itself: `--set a.b=c: ...`. */
bool settings_set(struct settings *s, const char *assignment, struct problems *p)
{
    char file[MAX_NAME + 16], name[MAX_NAME];
    const char *equals = strchr(assignment, '=');
    snprintf(file, sizeof file, "--set %.*s", MAX_NAME, assignment);
    if (!equals || equals == assignment) {
        problems_add(p, file, 0, "write it as name=value, for example model.layers=6");
        return false;
    }
    if ((size_t)(equals - assignment) >= sizeof name) {
        problems_add(p, file, 0, "the name is longer than that of any setting");
        return false;
    }
    snprintf(name, sizeof name, "%.*s", (int)(equals - assignment), assignment);
    return assign(s, name, equals + 1, file, p);
}
