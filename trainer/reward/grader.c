#include "trainer/reward/grader.h"
#include <string.h>
#include "comm/base/die.h"
#include "trainer/data/completion.h"
#include "trainer/data/pack.h"
#include "trainer/reward/plugin/rows.h"

/* Those of plug-ins stand in a table of their own. */
static const struct grader *const graders[GRADERS] = {
    [GRADER_ACCURACY] = &grader_accuracy,
    [GRADER_FORMAT] = &grader_format,
    [GRADER_MATH] = &grader_math,
    [GRADER_CODE] = &grader_code,
    [GRADER_MODEL] = &grader_model,
    [GRADER_LANGUAGE] = &grader_language,
    [GRADER_LENGTH] = &grader_length,
    [GRADER_REPETITION] = &grader_repetition,
    [GRADER_EFFICIENCY] = &grader_efficiency,
    [GRADER_CONSISTENCY] = &grader_consistency,
    [GRADER_NOVELTY] = &grader_novelty,
    [GRADER_DIVERSITY] = &grader_diversity,
    [GRADER_RANK] = &grader_rank,
};
_Static_assert(GRADERS <= 32, "sets of graders are bits of an unsigned");

const struct grader *grader_at(int number)
{
    INVARIANT(number >= 0 && number < GRADERS, "grader %d of %d", number, GRADERS);
    const int plugin = number - GRADER_PLUGIN;
    return plugin >= 0 && plugin < PLUGINS_MOST ? &grader_plugins[plugin] : graders[number];
}

const char *grader_called(int number, const struct phase_settings *k)
{
    const struct grader *g = grader_at(number);
    const char *name = g->called ? g->called(k) : NULL;
    return name ? name : g->name;
}

int grader_named(const char *name)
{
    int i = 0;
    while (i < GRADERS && strcmp(grader_at(i)->name, name) != 0) i++;
    return i;
}

unsigned graders_of(const struct phase_settings *k)
{
    unsigned set = graders_always();
    for (int i = 0; i < GRADERS; i++) set |= (unsigned)(grader_at(i)->weight(k) != 0) << i;
    return set;
}

unsigned graders_always(void)
{
    unsigned set = 0;
    for (int i = 0; i < GRADERS; i++) set |= (unsigned)grader_at(i)->always << i;
    return set;
}

unsigned graders_need(unsigned set)
{
    unsigned needs = 0;
    for (int i = 0; i < GRADERS; i++)
        if (graders_have(set, i)) needs |= grader_at(i)->needs;
    return needs;
}

const char *graders_for(const struct phase_settings *k, unsigned need)
{
    for (int i = 0; i < GRADERS; i++) {
        const struct grader *g = grader_at(i);
        unsigned needs = g->needs | (g->also_needs ? g->also_needs(k) : 0);
        if (g->weight(k) != 0 && (needs & need) == need) return grader_called(i, k);
    }
    return NULL;
}

static bool is_own(const struct completion *c, int i)
{
    return !c->logp || c->logp[i] != LOGP_OBSERVED;
}

/* Text of tokens from .. to - 1 behind what there is; returns how many bytes there are then. */
static size_t read_turn(const struct grading *g, const struct completion *c, int from, int to,
                        size_t at)
{
    int n = to > from && ends_have(&g->ends, c->token[to - 1]) ? to - from - 1 : to - from;
    size_t room = g->text_size - at;
    size_t bytes = tokenizer_decode(g->tokenizer, c->token + from, (size_t)n, g->text + at, room);
    return at + (bytes < room ? bytes : room - 1);
}

/* Turn by turn: what stands between them an environment said, which earns and costs nothing. */
static void read_text(const struct grading *g, struct completion *c)
{
    size_t bytes = 0;
    *g->text = '\0';
    for (int from = 0, to; from < c->n; from = to) {
        for (to = from; to < c->n && is_own(c, to) == is_own(c, from);) to++;
        if (is_own(c, from)) bytes = read_turn(g, c, from, to, bytes);
    }
    c->text = g->text;
    c->bytes = bytes;
}

/* A completion that came as text has its text. */
void grading_read(const struct grading *g, struct completion *c, unsigned needs)
{
    if ((needs & NEEDS_TEXT) == NEEDS_TEXT && c->token) read_text(g, c);
    if ((needs & NEEDS_VERDICT) != NEEDS_VERDICT) return;
    struct span text = {c->text, c->bytes};
    if (!g->task && g->verifier == VERIFIER_MATH)
        c->verdict = verdict_by_value(c->problem, text, c->truncated);
    else
        c->verdict = verdict_of(g->task, c->problem, text, c->truncated);
}
