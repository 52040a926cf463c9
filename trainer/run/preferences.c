#include "trainer/run/preferences.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"

/* --- where they are --- */

struct source *preferences_source(const struct run *r)
{
    return r->preferences ? r->preferences : r->source;
}

/* Not one in the first of them: then the recipe means other data. */
static void look_for_any(const struct run *r, struct problems *p)
{
    enum { TRIED = 256 };
    struct source *s = preferences_source(r);
    struct problem at = {.prompt = ""};
    struct preference found;
    bool any = r->text_size == 0; /* refused already */
    char *room = memory_take(r->text_size + 1, 1, "looking for preferences");
    for (uint32_t i = 0; i < TRIED && !any; i++) {
        struct text text = {.at = room, .size = r->text_size};
        source_problem(s, SPLIT_TRAIN, i, &at);
        any = source_preference(s, &at, SPLIT_TRAIN, i, SIDE_CHOSEN, &found, &text) &&
              (!found.pair ||
               source_preference(s, &at, SPLIT_TRAIN, i, SIDE_REJECTED, &found, &text));
    }
    free(room);
    if (any) return;
    if (source_task(s))
        problems_add(p, NULL, 0,
                     "a reward model of %s learns from right and wrong demonstrations, but none of "
                     "its first %d problems has both: set data.give_up between 0 and 1, or "
                     "data.preferences to a file of pairs",
                     source_name(s), TRIED);
    else
        problems_add(p, source_place(s, &at).file, 0,
                     "no preferences in it: give lines \"prompt\", \"chosen\" and \"rejected\", or "
                     "\"prompt\", \"completion\" and \"score\"; or set data.preferences");
}

/* The sum of both splits; those of a large file have one sum, that of its bytes. */
static uint64_t sum_of(const struct source *s)
{
    const uint64_t train = source_sum(s, SPLIT_TRAIN), heldout = source_sum(s, SPLIT_HELDOUT);
    return train == heldout ? train : train ^ heldout;
}

void preferences_open(struct run *r, const struct together *together, struct problems *p)
{
    r->preferences = source_open_preferences(&r->settings, together, p);
    if (*r->settings.data.preferences && !r->preferences) return;
    if (r->preferences) r->preferences_sum = sum_of(r->preferences);
    if (r->tokenizer && preferences_source(r)) look_for_any(r, p);
}

/* --- one of them --- */

/* A side of number `index` of the data into scratch->shown_token. Returns how many tokens there
 * are; 0: there is no such side, -1: they do not fit. What opens the thought is the prompt's. */
static int encode(struct preferences *b, uint32_t index, enum side side, int *n_prompt,
                  struct preference *to)
{
    static const char think[] = "<think>";
    struct run *r = b->run;
    const struct source *s = preferences_source(r);
    struct problem problem;
    struct text text = {.at = r->scratch->text, .size = r->scratch->text_size};
    struct chat_tokens t = {r->scratch->shown_token, NULL, (size_t)r->stage.dims.max_context, 0};
    source_problem(s, b->split, index, &problem);
    if (problem.turns > 0)
        chat_ask(r->chat, source_turns(s, &problem), problem.turns, &t);
    else
        chat_prompt(r->chat, problem.prompt, &t);
    *n_prompt = (int)t.n;
    if (!source_preference(s, &problem, b->split, index, side, to, &text)) return 0;
    if (t.n + 1 > t.room) return -1;
    if (to->n >= sizeof think - 1 && memcmp(to->text, think, sizeof think - 1) == 0) {
        to->text += sizeof think - 1;
        to->n -= sizeof think - 1;
    }
    chat_answer(r->chat, to->text, to->n, &t);
    return t.n <= t.room ? (int)t.n : -1;
}

static void look_at(struct preferences *b, uint32_t index, struct preferred *out)
{
    struct preference to = {0};
    out->n[SIDE_CHOSEN] = encode(b, index, SIDE_CHOSEN, &out->n_prompt, &to);
    memcpy(&out->label, &to.label, sizeof out->label);
    if (out->n[SIDE_CHOSEN] == 0 || !to.pair) return;
    out->n[SIDE_REJECTED] = encode(b, index, SIDE_REJECTED, &out->n_prompt, &to);
    if (out->n[SIDE_REJECTED] == 0) out->n[SIDE_CHOSEN] = 0; /* half a pair */
}

/* --- all of a step --- */

/* This rank's share is a run of them; where the others' are stands 0, so that sums are what is
 * there. */
static void look_at_share(struct preferences *b, int count)
{
    const struct world *w = b->run->world;
    struct preferred *all = b->run->scratch->preferred;
    int each = (count + w->size - 1) / w->size;
    long first = (long)w->rank * each;
    memset(all, 0, (size_t)count * sizeof *all);
    for (long i = first; i < first + each && i < count; i++)
        look_at(b, b->from + (uint32_t)i, &all[i]);
    die_place("lengths of all preferences of the step");
    MPI_Request sum;
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, all, count * (int)(sizeof *all / sizeof(int)), MPI_INT,
                          MPI_SUM, w->comm, &sum));
    world_wait(&sum, 1);
    die_place(NULL);
}

static void add_side(struct preferences *b, int i, enum side side)
{
    const struct preferred *x = &b->run->scratch->preferred[i];
    b->run->scratch->sequence[b->n++] = (struct sequence){
        .prompt = i, .sample = (int)side, .n_prompt = x->n_prompt, .n = x->n[side]};
}

/* Both sides of a pair, or neither. */
struct preferences preferences_look(struct run *r, enum split split, uint32_t from, int count)
{
    struct preferences b = {.run = r, .split = split, .from = from};
    const struct preferred *all = r->scratch->preferred;
    look_at_share(&b, count);
    for (int i = 0; i < count; i++) {
        bool long_one = all[i].n[0] < 0 || all[i].n[1] < 0;
        b.missing += all[i].n[0] == 0;
        b.too_long += long_one;
        if (long_one || all[i].n[0] == 0 || all[i].n[1] == 0) continue;
        add_side(&b, i, SIDE_CHOSEN);
        add_side(&b, i, SIDE_REJECTED);
        b.pairs++;
    }
    for (int i = 0; i < count; i++) {
        if (all[i].n[0] <= 0 || all[i].n[1] != 0) continue;
        add_side(&b, i, SIDE_CHOSEN);
        b.labels++;
    }
    return b;
}

const struct sequence *preferences_fetch(void *preferences, int i)
{
    struct preferences *b = preferences;
    struct preference to;
    int n_prompt;
    b->at = b->run->scratch->sequence[i];
    b->at.n = encode(b, b->from + (uint32_t)b->at.prompt, (enum side)b->at.sample, &n_prompt, &to);
    b->at.token = b->run->scratch->shown_token;
    return &b->at;
}

float preferences_label(const struct preferences *b, int i)
{
    float label;
    const struct sequence *s = &b->run->scratch->sequence[i];
    memcpy(&label, &b->run->scratch->preferred[s->prompt].label, sizeof label);
    return label;
}
