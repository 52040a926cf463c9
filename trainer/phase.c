#include "trainer/phase.h"

#include "trainer/config/table.h"

const struct phase_kind *phase_kind_of(const struct phase_kind *kinds,
                                       const struct phase_settings *k)
{
    return &kinds[k->kind];
}

/* --- what the table of settings says of a kind --- */

bool phase_takes(const struct phase_settings *k, const char *setting)
{
    return setting_find(&sections[SECTION_PHASE], setting)->kinds >> k->kind & 1u;
}

static long most_of(const struct phase_settings *k, const char *setting)
{
    if (!phase_takes(k, setting)) return 1;
    return (long)setting_find(&sections[SECTION_PHASE], setting)->high;
}

long phase_steps(const struct phase_settings *k)
{
    return phase_takes(k, "steps") ? k->steps : 1;
}

long phase_most_updates(const struct phase_settings *k)
{
    return most_of(k, "mini_batches") * most_of(k, "epochs");
}

/* --- the largest step --- */

static void at_least(int *most, int n)
{
    if (n > *most) *most = n;
}

/* Sequences of the largest update: sampled ones are cut into mini-batches by question. */
static int sequences_of(const struct phase_size *size)
{
    if (size->questions == 0 || size->parts <= 1) return size->sequences;
    return (size->questions + size->parts - 1) / size->parts * size->samples;
}

/* The phase with most sequences is remembered, for the message that says what to lower. */
static void extent_learned(struct extent *e, const struct phase_settings *k,
                           const struct phase_kind *kind, const struct phase_size *size)
{
    e->data.asked |= 1U << SPLIT_TRAIN;
    e->demonstrations = e->demonstrations || (size->demonstrations && k->steps > 0);
    if (size->questions > 0) at_least(&e->longest[SPLIT_TRAIN], k->max_new);
    if (size->preferences) at_least(&e->preferences, size->sequences / 2);
    if (e->phase && sequences_of(size) <= e->sequences) return;
    e->sequences = sequences_of(size);
    e->phase = k->name;
    e->lower = kind->lower;
}

/* Answers to held-out problems. */
static void extent_evaluated(struct extent *e, const struct phase_settings *k, int problems,
                             int samples)
{
    e->sampling = true;
    e->data.asked |= 1U << SPLIT_HELDOUT;
    at_least(&e->heldout, problems);
    at_least(&e->questions, problems);
    at_least(&e->answers, problems * samples);
    at_least(&e->samples, samples);
    at_least(&e->longest[SPLIT_HELDOUT], k->max_new);
}

/* Held-out preferences are scored as those of a step are. They are the problems' own, or others. */
static void extent_preferences(struct extent *e, const struct settings *s,
                               const struct phase_settings *k)
{
    if (*s->data.preferences) return;
    e->data.asked |= 1U << SPLIT_HELDOUT;
    at_least(&e->heldout, k->eval_prompts);
}

/* The largest of all phases: memory is laid out once for the whole job. */
struct extent extent_of(const struct phase_kind *kinds, const struct settings *s)
{
    struct extent e = {
        .sequences = 1, .answers = 1, .max_new = 1, .questions = 1, .data.read = SPLITS_BOTH};
    for (int i = 0; i < s->n_phases; i++) {
        const struct phase_settings *k = &s->phases[i];
        const struct phase_kind *kind = phase_kind_of(kinds, k);
        const struct phase_size size = kind->size(k);
        if (phase_takes(k, "max_new")) at_least(&e.max_new, k->max_new);
        at_least(&e.questions, size.questions);
        at_least(&e.answers, size.questions * size.samples);
        at_least(&e.samples, size.samples);
        e.sampling = e.sampling || size.questions > 0;
        e.reference = e.reference || size.reference;
        e.rewards |= size.rewards;
        if (size.tests_for) e.tests_for = size.tests_for;
        if (size.language_for) e.language_for = size.language_for;
        e.reward = e.reward || size.reward;
        if (kind->learns) extent_learned(&e, k, kind, &size);
        if (!kind->learns && size.questions > 0)
            extent_evaluated(&e, k, size.questions, size.samples);
        const bool evaluates = kind->learns && k->eval_every > 0;
        if (evaluates && size.preferences) extent_preferences(&e, s, k);
        if (evaluates && !size.preferences) extent_evaluated(&e, k, k->eval_prompts, 1);
    }
    return e;
}
