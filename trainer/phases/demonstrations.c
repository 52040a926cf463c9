#include "trainer/phases/demonstrations.h"

#include <string.h>
#include "trainer/run/episodes.h"

/* A conversation: which of its tokens are learned goes to scratch->learn. Returns how many tokens
 * there are, -1: they do not fit. */
static int converse(struct run *r, const struct problem *problem, struct shown *shown)
{
    struct step_scratch *s = r->scratch;
    struct chat_tokens out = {s->shown_token, s->learn, (size_t)r->stage.dims.max_context, 0};
    chat_conversation(r->chat, source_turns(r->source, problem), problem->turns, &out);
    shown->n_prompt = chat_first(&out);
    shown->learned = chat_learned(&out);
    return out.n <= out.room && shown->learned > 0 ? (int)out.n : -1;
}

/* A prompt and what completes it, of which an environment would have said some. */
static int complete(struct run *r, const struct problem *problem, const struct text *text,
                    struct shown *shown, bool *masked)
{
    struct step_scratch *s = r->scratch;
    const struct phase_settings *k = &r->settings.phases[r->phase];
    int n = run_encode(r, problem->prompt, text->at, text->n, s->shown_token, &shown->n_prompt);
    shown->learned = n - shown->n_prompt;
    *masked = n > 0 && episodes_mask(r, k, s->shown_token, shown->n_prompt, n, s->learn);
    if (!*masked) return n;
    shown->learned = 0;
    for (int i = shown->n_prompt; i < n; i++) shown->learned += s->learn[i];
    return n;
}

/* Demonstration number `index` of the data into scratch->shown_token. true: scratch->learn says
 * what of it is learned, as of a conversation. */
static bool demonstrate(struct demonstrations *d, uint32_t index, struct shown *shown)
{
    struct run *r = d->run;
    struct step_scratch *s = r->scratch;
    struct problem problem;
    struct text text = {.at = s->text, .size = s->text_size};
    source_problem(r->source, SPLIT_TRAIN, index, &problem);
    bool turns = problem.turns > 0, masked = turns;
    bool some = turns || source_demonstrate(r->source, &problem, index, &text);
    *shown = (struct shown){.n = some ? -1 : 0};
    d->encoded++;
    if (turns) {
        shown->n = converse(r, &problem, shown);
    } else if (some && !text.cut) {
        shown->n = complete(r, &problem, &text, shown, &masked);
    }
    return masked;
}

/* This rank's share is a run of them; where the others' are stands 0, so that sums are what is
 * there. */
static void look_at_share(struct demonstrations *d, int count)
{
    const struct world *w = d->run->world;
    struct shown *shown = d->run->scratch->shown;
    int each = (count + w->size - 1) / w->size;
    long first = (long)w->rank * each;
    memset(shown, 0, (size_t)count * sizeof *shown);
    for (long i = first; i < first + each && i < count; i++)
        demonstrate(d, d->from + (uint32_t)i, &shown[i]);
    die_place("lengths of all demonstrations of the step");
    MPI_Request sum;
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, shown, count * (int)(sizeof *shown / sizeof(int)), MPI_INT,
                          MPI_SUM, w->comm, &sum));
    world_wait(&sum, 1);
    die_place(NULL);
}

/* Lengths are all that dealing asks for; texts come when they are learned from
 * (demonstrations_fetch). */
struct demonstrations demonstrations_look(struct run *r, uint32_t from, int count)
{
    struct demonstrations d = {.run = r, .from = from};
    struct step_scratch *s = r->scratch;
    look_at_share(&d, count);
    for (int i = 0; i < count; i++) {
        const struct shown *x = &s->shown[i];
        d.missing += x->n == 0;
        d.too_long += x->n < 0;
        if (x->n <= 0) continue;
        s->sequence[d.n++] = (struct sequence){.prompt = i, .n_prompt = x->n_prompt, .n = x->n};
        d.tokens += x->learned;
    }
    for (int i = 0; i < d.n; i++) s->weight[i] = 1 / (float)d.tokens;
    return d;
}

const struct sequence *demonstrations_fetch(void *demonstrations, int i)
{
    struct demonstrations *d = demonstrations;
    struct step_scratch *s = d->run->scratch;
    struct shown shown;
    d->at = s->sequence[i];
    bool masked = demonstrate(d, d->from + (uint32_t)d->at.prompt, &shown);
    d->at.token = s->shown_token;
    d->at.learn = masked ? s->learn : NULL;
    d->at.n = shown.n;
    return &d->at;
}
