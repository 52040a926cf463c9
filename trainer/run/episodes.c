#include "trainer/run/episodes.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/reward/environment/environment.h"

enum { STOP_TOKENS = 16 }; /* whose text is looked through for the end of a turn */

/* An answer that waits for its observation, which is made when it is asked for: the answer does not
 * change meanwhile. */
struct waiting {
    int index;
    const struct answer *answer;
    bool ended;
};

struct episodes {
    struct run *run;
    /* of the phase at hand */
    const struct phase_settings *phase;
    const struct environment *environment;
    const char *stop;
    /* those that wait, a ring */
    struct waiting *waiting; /* (most) */
    int most, first, n;
    /* of the observation at hand */
    char *text; /* (most_bytes + 1) */
    int *token; /* (max_context) */
};

/* --- the end of a turn --- */

/* Number of the first token of the turn that ends with token n - 1. */
static int turn_first(const float *logp, int n)
{
    int i = n;
    while (i > 0 && logp[i - 1] != LOGP_OBSERVED) i--;
    return i;
}

static struct span text_of(const struct run *r, const int *token, int n)
{
    struct step_scratch *s = r->scratch;
    size_t bytes = tokenizer_decode(r->tokenizer, token, (size_t)n, s->text, s->text_size);
    return (struct span){s->text, bytes < s->text_size ? bytes : s->text_size - 1};
}

/* Does the stop text stand in the turn's end now that its last token is there, and did not before?
 * A token may have more than the stop text. */
static bool stops_with_last(const struct episodes *e, const int *token, int n)
{
    int from = n > STOP_TOKENS ? n - STOP_TOKENS : 0;
    if (*e->stop == '\0' || n == 0) return false;
    struct span with = text_of(e->run, token + from, n - from);
    if (span_find(with, e->stop) == with.n) return false;
    struct span without = text_of(e->run, token + from, n - 1 - from);
    return span_find(without, e->stop) == without.n;
}

/* --- the observation --- */

static size_t encode(struct episodes *e, struct span s, bool special, size_t at)
{
    size_t room = (size_t)e->run->stage.dims.max_context, used = at < room ? at : room;
    return at +
           tokenizer_encode(e->run->tokenizer, s.at, s.n, special, e->token + used, room - used);
}

/* What follows the turn, as tokens in e->token; returns how many, more than max_context where they
 * cannot have room. The text around it is encoded by itself. */
static int observe(struct episodes *e, const int *turn, int n)
{
    struct text out = {.at = e->text, .size = (size_t)e->phase->environment_bytes + 1};
    struct span before = {"", 0}, after = {"", 0};
    e->environment->observe(&out, text_of(e->run, turn, n));
    environment_wrap(e->phase->environment_wrap, &before, &after);
    size_t tokens = encode(e, before, true, 0);
    tokens = encode(e, (struct span){out.at, out.n}, false, tokens);
    tokens = encode(e, after, true, tokens);
    size_t most = (size_t)e->run->stage.dims.max_context + 1;
    return (int)(tokens < most ? tokens : most);
}

/* --- for the rollout --- */

static bool turn_ended(void *episodes, int index, const struct answer *a, bool ended)
{
    struct episodes *e = episodes;
    int from = turn_first(a->logp, a->n);
    if (!ended && !stops_with_last(e, a->token + from, a->n - from)) return false;
    INVARIANT(e->n < e->most, "%d answers wait for an observation", e->n);
    e->waiting[(e->first + e->n++) % e->most] = (struct waiting){index, a, ended};
    return true;
}

/* An answer ends with an end token, or with its last turn. */
static bool next(void *episodes, int wait_ms, struct observation *out)
{
    struct episodes *e = episodes;
    (void)wait_ms;
    if (e->n == 0) return false;
    const struct waiting w = e->waiting[e->first];
    const struct answer *a = w.answer;
    e->first = (e->first + 1) % e->most;
    e->n--;
    *out = (struct observation){.answer = w.index, .token = e->token};
    out->truncated = !w.ended && a->turns >= e->phase->environment_turns;
    out->ends = w.ended || out->truncated;
    int from = turn_first(a->logp, a->n);
    if (!out->ends) out->n = observe(e, a->token + from, a->n - from);
    return true;
}

/* false: the phase has no environment. */
static bool choose(struct run *r, const struct phase_settings *k)
{
    struct episodes *e = r->episodes;
    if (!e || !phase_has_turns(k)) return false;
    e->run = r;
    e->phase = k;
    e->environment = environment_named(k->environment);
    INVARIANT(e->environment, "no environment %s", k->environment);
    e->stop = *k->environment_stop ? k->environment_stop : e->environment->stop;
    e->first = e->n = 0;
    return true;
}

struct rollout_environment episodes_begin(struct run *r, const struct phase_settings *k)
{
    if (!choose(r, k)) return (struct rollout_environment){NULL, NULL, NULL};
    return (struct rollout_environment){turn_ended, next, r->episodes};
}

/* --- for demonstrations --- */

/* Goes through the answer as if it were sampled. What does not stand there as the environment says
 * it is the demonstration's own, and is learned. */
bool episodes_mask(struct run *r, const struct phase_settings *k, const int *token, int n_prompt,
                   int n, unsigned char *learn)
{
    if (!choose(r, k)) return false;
    struct episodes *e = r->episodes;
    for (int i = 0; i < n; i++) learn[i] = i >= n_prompt;
    for (int i = n_prompt, turn = n_prompt; i < n; i++) {
        if (!stops_with_last(e, token + turn, i + 1 - turn)) continue;
        int said = observe(e, token + turn, i + 1 - turn);
        bool shown =
            said <= n - i - 1 && memcmp(e->token, token + i + 1, (size_t)said * sizeof *token) == 0;
        turn = i + 1;
        if (!shown) continue;
        memset(learn + turn, 0, (size_t)said);
        turn += said;
        i = turn - 1;
    }
    return true;
}

/* --- room --- */

/* Room for the phase that needs most, since phases take turns, and for every slot to wait at once:
 * nothing is taken within a step (P7). */
struct episodes *episodes_new(const struct run *r)
{
    const struct settings *s = &r->settings;
    int bytes = 0;
    for (int i = 0; i < s->n_phases; i++)
        if (phase_has_turns(&s->phases[i]) && s->phases[i].environment_bytes > bytes)
            bytes = s->phases[i].environment_bytes;
    if (bytes == 0) return NULL;
    struct rollout_cache c = rollout_cache(&r->stage);
    struct episodes *e = memory_take(1, sizeof *e, "answers of several turns");
    *e = (struct episodes){.most = c.slots * c.directions};
    e->waiting = memory_take((size_t)e->most, sizeof *e->waiting, "answers of several turns");
    e->text = memory_take((size_t)bytes + 1, 1, "an observation");
    e->token = memory_take((size_t)r->stage.dims.max_context, sizeof *e->token, "an observation");
    return e;
}

void episodes_free(struct episodes *e)
{
    if (!e) return;
    free(e->waiting);
    free(e->text);
    free(e->token);
    free(e);
}
