#include "trainer/config/changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/config/table.h"

/* --- the table --- */

/* Texts are cut to the size of a row: a table, not a message of any length. */
void changes_add(struct changes *c, bool refused, const char *name, const char *then,
                 const char *now, const char *means)
{
    struct change *more = realloc(c->row, (size_t)(c->n + 1) * sizeof *more);
    SYS_OK(more, "free memory on this machine", "no memory for %d differences", c->n + 1);
    c->row = more;
    struct change *row = &more[c->n++];
    *row = (struct change){.refused = refused};
    snprintf(row->name, sizeof row->name, "%s", name);
    snprintf(row->then, sizeof row->then, "%s", then);
    snprintf(row->now, sizeof row->now, "%s", now);
    snprintf(row->means, sizeof row->means, "%s", means);
    c->refused += refused;
}

void changes_add_refused(struct changes *c, const struct changes *from)
{
    for (int i = 0; i < from->n; i++) {
        const struct change *row = &from->row[i];
        if (row->refused) changes_add(c, true, row->name, row->then, row->now, row->means);
    }
}

void changes_free(struct changes *c)
{
    free(c->row);
    *c = (struct changes){0};
}

static int wider(int width, const char *text)
{
    int n = (int)strlen(text);
    return n > width ? n : width;
}

/* Columns as wide as their longest cell. */
char *changes_text(const struct changes *c)
{
    char *text = NULL;
    size_t n = 0;
    int name = 7, then = 4, now = 3;
    for (int i = 0; i < c->n; i++) {
        name = wider(name, c->row[i].name);
        then = wider(then, c->row[i].then);
        now = wider(now, c->row[i].now);
    }
    FILE *f = open_memstream(&text, &n);
    SYS_OK(f, "free memory on this machine", "no memory for a table");
    fprintf(f, "  %-*s  %-*s  %-*s  %s\n", name, "setting", then, "then", now, "now",
            "what it means");
    for (int i = 0; i < c->n; i++) {
        const struct change *row = &c->row[i];
        fprintf(f, "  %-*s  %-*s  %-*s  %s%s\n", name, row->name, then, row->then, now, row->now,
                row->refused ? "REFUSED: " : "", row->means);
    }
    SYS_OK(fclose(f) == 0, "free memory on this machine", "no memory for a table");
    return text;
}

bool changes_name(const struct changes *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (strncmp(c->row[i].name, name, strlen(name)) == 0) return true;
    return false;
}

void changes_refused(const struct changes *c, char *out, size_t size)
{
    size_t n = 0;
    *out = '\0';
    for (int i = 0; i < c->n && n + 100 < size; i++)
        if (c->row[i].refused)
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", c->row[i].name);
}

/* --- phases: where they stand --- */

/* What is happening to a phase. */
enum stand { OVER, UNDER_WAY, AHEAD };

static enum stand stand_of(struct standing at, int phase)
{
    if (phase < at.phase) return OVER;
    return phase == at.phase && at.step > 0 ? UNDER_WAY : AHEAD;
}

/* How many phases have begun: they must be the same, in the same order. */
static int begun(struct standing at)
{
    return at.phase + (at.step > 0);
}

static bool same_phase(const struct settings *then, const struct settings *now, int i)
{
    return i < then->n_phases && i < now->n_phases && then->phases[i].kind == now->phases[i].kind &&
           strcmp(then->phases[i].name, now->phases[i].name) == 0;
}

static bool begun_are_same(const struct settings *then, const struct settings *now,
                           struct standing at)
{
    for (int i = 0; i < begun(at); i++)
        if (!same_phase(then, now, i)) return false;
    return true;
}

static bool has_steps(const struct phase_settings *k)
{
    return setting_find(&sections[SECTION_PHASE], "steps")->kinds >> k->kind & 1u;
}

bool changes_extend(struct standing *at, const struct settings *then, const struct settings *now)
{
    int last = at->phase - 1;
    if (at->step > 0 || at->phase > then->n_phases || !begun_are_same(then, now, *at)) return false;
    while (last >= 0 && !has_steps(&then->phases[last])) last--;
    if (last < 0 || now->phases[last].steps <= then->phases[last].steps) return false;
    *at = (struct standing){last, then->phases[last].steps};
    return true;
}

static int phase_called(const struct settings *s, const char *name, int from)
{
    for (int i = from; i < s->n_phases; i++)
        if (strcmp(s->phases[i].name, name) == 0) return i;
    return -1;
}

/* "sft, grpo, last" of the phases from..to-1. */
static void name_phases(const struct settings *s, int from, int to, char *out, size_t size)
{
    size_t n = 0;
    snprintf(out, size, "none");
    for (int i = from; i < to && i < s->n_phases && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", s->phases[i].name);
}

/* --- values --- */

struct pair {
    struct changes *c;
    const struct settings *then, *now;
    struct standing at;
};

static const char *phase_name(const struct pair *p)
{
    return p->at.phase < p->now->n_phases ? p->now->phases[p->at.phase].name : "";
}

/* What is rounded to what from here on. */
static void say_rounding(const struct pair *p, const struct setting *k, char *means, size_t size)
{
    bool bf16 = p->now->run.precision == PRECISION_BF16;
    if (strcmp(k->name, "precision") != 0)
        snprintf(means, size, "from here on gradients sent between hosts are rounded differently");
    else
        snprintf(means, size,
                 "from here on weights and activations are rounded to %d significant bits; the "
                 "optimizer's weights stay fp32",
                 bf16 ? 8 : 24);
}

/* What a change of a setting means that concerns the whole run, or the phase under way. */
static bool meaning(const struct pair *p, enum section_id id, const struct setting *k, char *means,
                    size_t size)
{
    bool inside = p->at.step > 0;
    switch (setting_change(id, k)) {
    case CHANGE_WEIGHTS:
        snprintf(means, size, "the weights were trained with the old value");
        return true;
    case CHANGE_FILE:
    case CHANGE_POSITION:
        if (inside)
            snprintf(means, size, "the position, step %ld of phase %s, is counted in units of it",
                     p->at.step, phase_name(p));
        else if (p->at.phase < p->now->n_phases)
            snprintf(means, size, "phase %s starts with the new value", phase_name(p));
        else
            snprintf(means, size, "no effect: nothing is left to do");
        return inside;
    case CHANGE_BITS:
        snprintf(means, size,
                 "the same training from here on, but results differ in the last bits");
        return false;
    case CHANGE_ROUNDING: say_rounding(p, k, means, size); return false;
    default: snprintf(means, size, "applies from here on"); return false;
    }
}

/* What a change in a phase means. */
static bool phase_meaning(const struct pair *p, int phase, const struct setting *k, char *means,
                          size_t size)
{
    const struct phase_settings *was = &p->then->phases[phase], *is = &p->now->phases[phase];
    enum stand stand = stand_of(p->at, phase);
    bool steps = strcmp(k->name, "steps") == 0;
    if (stand == AHEAD) {
        snprintf(means, size, "phase %s has not begun", is->name);
        return false;
    }
    if (stand == OVER && steps) {
        snprintf(means, size, "phase %s is finished: it ran %d steps, and later phases have begun",
                 is->name, was->steps);
        return true;
    }
    if (stand == OVER) {
        snprintf(means, size, "no effect: phase %s is finished", is->name);
        return false;
    }
    if (!steps) return meaning(p, SECTION_PHASE, k, means, size);
    if (is->steps < p->at.step)
        snprintf(means, size, "%ld steps of phase %s are already done", p->at.step, is->name);
    else
        snprintf(means, size, "phase %s continues from its step %ld to %d", is->name, p->at.step,
                 is->steps);
    return is->steps < p->at.step;
}

static void cut_text(char *out, size_t size, const char *text)
{
    if (snprintf(out, size, "%s", text) >= (int)size) memcpy(out + size - 4, "...", 4);
}

/* The two texts of a setting; false: they are equal. What a former recipe does not mention its
 * program did not know: it did what the default does (where that was otherwise: resume.c). */
static bool differ(struct changes *c, const struct place *then, const struct place *now,
                   const struct setting *k, char was[64], char is[64])
{
    enum { MOST = 8192 }; /* a text has at most 4096 bytes, some of them escaped */
    char whole_was[MOST], whole_is[MOST];
    bool unknown = *setting_line(then, k) == 0;
    c->unknown += unknown;
    setting_text(then, k, whole_was, MOST);
    setting_text(now, k, whole_is, MOST);
    cut_text(was, unknown ? 44 : 64, whole_was);
    cut_text(is, 64, whole_is);
    if (unknown) strcat(was, " (not recorded)");
    return strcmp(whole_was, whole_is) != 0;
}

static void compare_setting(const struct pair *p, enum section_id id, const struct setting *k)
{
    struct place then = settings_place(p->then, id, 0), now = settings_place(p->now, id, 0);
    char was[64], is[64], name[96], means[160];
    if (!differ(p->c, &then, &now, k, was, is)) return;
    snprintf(name, sizeof name, "%s%s%s", sections[id].name, *sections[id].name ? "." : "",
             k->name);
    bool refused = meaning(p, id, k, means, sizeof means);
    changes_add(p->c, refused, name, was, is, means);
}

/* Where a run writes and how much it prints may change without a word; files are compared by
 * content (run/changed_files.h). */
static void compare_section(const struct pair *p, enum section_id id)
{
    for (int i = 0; i < sections[id].n_settings; i++) {
        const struct setting *k = &sections[id].settings[i];
        enum setting_change change = setting_change(id, k);
        if (change != CHANGE_NOTHING && change != CHANGE_FILE) compare_setting(p, id, k);
    }
}

/* With another kind no further setting is compared: the kind alone is refused. */
static void compare_phase(const struct pair *p, int was_at, int phase)
{
    struct place then = settings_place(p->then, SECTION_PHASE, was_at),
                 now = settings_place(p->now, SECTION_PHASE, phase);
    bool same_kind = p->then->phases[was_at].kind == p->now->phases[phase].kind;
    for (int i = 0; i < then.section->n_settings; i++) {
        const struct setting *k = &then.section->settings[i];
        char was[64], is[64], name[96], means[160];
        bool used = k->kinds >> p->now->phases[phase].kind & 1u;
        if (!same_kind && strcmp(k->name, "kind") != 0) continue;
        if (!used || !differ(p->c, &then, &now, k, was, is)) continue;
        snprintf(name, sizeof name, "phases.%.40s.%s", p->now->phases[phase].name, k->name);
        bool refused = phase_meaning(p, phase, k, means, sizeof means);
        changes_add(p->c, refused, name, was, is, means);
    }
}

/* Phases that have not begun may come, go and change. */
static void compare_ahead(const struct pair *p, int from)
{
    char was[1024], is[1024];
    name_phases(p->then, from, p->then->n_phases, was, sizeof was);
    name_phases(p->now, from, p->now->n_phases, is, sizeof is);
    if (strcmp(was, is) != 0)
        changes_add(p->c, false, "later phases", was, is, "they have not begun");
    for (int i = from; i < p->now->n_phases; i++) {
        int former = phase_called(p->then, p->now->phases[i].name, from);
        if (former >= 0) compare_phase(p, former, i);
    }
}

/* Phases are matched by position; once those that have begun differ in number or name, no row of
 * theirs would mean anything. */
static void compare_phases(const struct pair *p)
{
    int n = begun(p->at);
    if (begun_are_same(p->then, p->now, p->at)) {
        for (int i = 0; i < n; i++) compare_phase(p, i, i);
        compare_ahead(p, n);
        return;
    }
    char was[64], is[64];
    name_phases(p->then, 0, n, was, sizeof was);
    name_phases(p->now, 0, p->now->n_phases < n ? p->now->n_phases : n, is, sizeof is);
    changes_add(p->c, true, "phases that have begun", was, is,
                "they cannot be added, removed, reordered or renamed, nor change their kind");
}

void changes_compare(struct changes *c, const struct settings *then, const struct settings *now,
                     struct standing at)
{
    const struct pair p = {c, then, now, at};
    for (int id = 0; id < SECTION_PHASE; id++) compare_section(&p, (enum section_id)id);
    compare_phases(&p);
}

void changes_compare_data(struct changes *c, const char *name, const struct settings *then,
                          const struct settings *now, struct standing at)
{
    const struct pair p = {c, then, now, at};
    compare_setting(&p, SECTION_DATA, setting_find(&sections[SECTION_DATA], name));
}

void changes_compare_model(struct changes *c, const struct settings *then,
                           const struct settings *now)
{
    struct changes all = {0};
    const struct pair p = {&all, then, now, {0}};
    compare_section(&p, SECTION_MODEL);
    changes_add_refused(c, &all);
    changes_free(&all);
}

void changes_keep_past(struct settings *now, const struct settings *then, struct standing at)
{
    for (int i = 0; i < at.phase && i < then->n_phases && i < now->n_phases; i++) {
        struct place from = settings_place(then, SECTION_PHASE, i),
                     to = settings_place(now, SECTION_PHASE, i);
        for (int k = 0; k < from.section->n_settings; k++)
            setting_copy(&to, &from, &from.section->settings[k]);
    }
}
