/* See source.h. A generator's options are the recipe's; the user's files are a collection. */
#include "trainer/data/source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/data/collection.h"
#include "trainer/data/completion.h"
#include "trainer/data/heldout.h"

struct source {
    const struct task *task; /* NULL: files */
    struct task_options options;
    struct heldout heldout;   /* of a generator */
    struct collection *files; /* else */
    char name[SOURCE_NAME];
};

static void check_splits(const struct source *s, unsigned asked, struct problems *p)
{
    int more;
    const char *file = collection_first(s->files, SPLIT_TRAIN, &more);
    if (splits_have(asked, SPLIT_TRAIN) && collection_count(s->files, SPLIT_TRAIN) == 0)
        problems_add(p, file, 0, "too few problems: none is left for training");
    if (splits_have(asked, SPLIT_HELDOUT) && collection_count(s->files, SPLIT_HELDOUT) == 0)
        problems_add(p, file, 0,
                     "too few problems: none is in the held-out tenth; set data.heldout_file");
}

/* "p.jsonl", "p.jsonl+2" */
static void name_files(struct source *s)
{
    int more;
    const char *first = collection_first(s->files, SPLIT_TRAIN, &more), *base = strrchr(first, '/');
    size_t n = (size_t)snprintf(s->name, sizeof s->name, "%s", base ? base + 1 : first);
    if (more > 0 && n < sizeof s->name) snprintf(s->name + n, sizeof s->name - n, "+%d", more);
}

static void file_open(struct source *s, const struct settings *set, struct source_needs needs,
                      const struct together *t, struct problems *p)
{
    if (!*set->data.file) {
        problems_add(p, NULL, 0, "data.task is file: set data.file to a JSON Lines file");
        return;
    }
    s->files = collection_open(set, needs.read, t, p);
    if (!s->files) return;
    name_files(s);
    check_splits(s, needs.asked, p);
}

/* The seed is the recipe's: problems are those of every mesh and every resumed run. */
static void generator_open(struct source *s, const struct settings *set, struct problems *p)
{
    const struct task *t = s->task;
    s->options = (struct task_options){.difficulty = set->data.difficulty,
                                       .give_up = set->data.give_up,
                                       .seed = (uint64_t)set->run.seed};
    snprintf(s->name, sizeof s->name, "%s", t->name);
    if (s->options.difficulty < t->least_difficulty || s->options.difficulty > t->most_difficulty)
        problems_add(p, NULL, 0, "data.difficulty is %d, but %s has %d to %d (%s)",
                     s->options.difficulty, t->name, t->least_difficulty, t->most_difficulty,
                     t->help);
}

/* With a mistake nothing is opened: NULL, and all problems are in p. */
struct source *source_open(const struct settings *set, struct source_needs needs,
                           const struct together *t, struct problems *p)
{
    struct source *s = memory_take(1, sizeof *s, "a source of problems");
    int before = p->n;
    s->task = task_find(set->data.task);
    if (s->task)
        generator_open(s, set, p);
    else
        file_open(s, set, needs, t, p);
    s->options.seed = (uint64_t)set->run.seed;
    if (p->n == before && (s->task || s->files)) return s;
    source_free(s);
    return NULL;
}

struct source *source_open_preferences(const struct settings *set, const struct together *t,
                                       struct problems *p)
{
    struct settings of = *set;
    const struct source_needs needs = {SPLITS_BOTH, 1U << SPLIT_TRAIN};
    const struct together apart = {t ? t->world : NULL, NULL};
    char none[] = "", lines[] = "preferences";
    if (!*set->data.preferences) return NULL;
    if (of.data.task == TASK_FILE || strcmp(of.data.fields, "auto") == 0) of.data.fields = lines;
    of.data.task = TASK_FILE;
    of.data.file = of.data.preferences;
    of.data.heldout_file = none;
    return source_open(&of, needs, t ? &apart : NULL, p);
}

void source_keep_index(struct source *s, const char *path)
{
    if (s->files) collection_keep_index(s->files, path);
}

void source_free(struct source *s)
{
    if (!s) return;
    collection_free(s->files);
    heldout_free(&s->heldout);
    free(s);
}

const char *source_name(const struct source *s)
{
    return s->name;
}

const struct task *source_task(const struct source *s)
{
    return s->task;
}

bool source_is_large(const struct source *s)
{
    return s->files && collection_is_large(s->files);
}

bool source_is_known(const struct source *s)
{
    return s->files && collection_is_known(s->files);
}

int source_heldout(struct source *s, int want)
{
    if (s->task) return heldout_find(&s->heldout, s->task, &s->options, want);
    int n = collection_count(s->files, SPLIT_HELDOUT);
    return want < n ? want : n;
}

/* For `duet eval` and the log: what a figure was measured on. */
void source_describe_heldout(const struct source *s, char *out, size_t size)
{
    if (s->task) {
        snprintf(out, size, "held-out problems of %s", s->name);
        return;
    }
    int others, n = collection_count(s->files, SPLIT_HELDOUT);
    char more[32] = "";
    const char *file = collection_first(s->files, SPLIT_HELDOUT, &others);
    if (others > 0) snprintf(more, sizeof more, " and %d more", others);
    if (collection_apart(s->files))
        snprintf(out, size, "all %d problems of %s%s", n, file, more);
    else
        snprintf(out, size, "the held-out tenth of %s%s: %d of its %d problems", file, more, n,
                 collection_records(s->files));
}

static void make(const struct source *s, enum split split, uint32_t draw, struct problem *out)
{
    s->task->make(out, &s->options, split, draw);
    out->turns = 0;
    out->no_answer = false;
}

void source_problem(const struct source *s, enum split split, uint32_t index, struct problem *out)
{
    int known = s->task ? s->heldout.n : collection_count(s->files, SPLIT_HELDOUT);
    INVARIANT(split == SPLIT_TRAIN || index < (uint32_t)known,
              "held-out problem %u of %d that are known", index, known);
    if (s->task)
        make(s, split, split == SPLIT_HELDOUT ? s->heldout.draw[index] : index, out);
    else
        collection_draw(s->files, split, s->options.seed, index, out);
}

int source_count(const struct source *s, enum split split)
{
    if (s->files) return collection_count(s->files, split);
    return split == SPLIT_HELDOUT ? s->heldout.n : 0;
}

void source_look(const struct source *s, enum split split, int i, struct problem *out)
{
    if (s->task)
        source_problem(s, split, (uint32_t)i, out);
    else
        collection_take(s->files, split, i, out);
}

struct source_place source_place(const struct source *s, const struct problem *p)
{
    struct source_place place = {s->name, 0};
    if (s->files) place.file = collection_place(s->files, p, &place.line);
    return place;
}

void source_keep(struct source *s, enum split split, const bool *keep)
{
    int n = source_count(s, split), left = 0;
    if (s->files) {
        collection_keep(s->files, split, keep);
        return;
    }
    for (int i = 0; i < n; i++)
        if (keep[i]) s->heldout.draw[left++] = s->heldout.draw[i];
    s->heldout.n = left;
}

const struct turn *source_turns(const struct source *s, const struct problem *p)
{
    return p->turns > 0 ? collection_example(s->files, p)->turn : NULL;
}

bool source_demonstrate(const struct source *s, const struct problem *p, uint32_t index,
                        struct text *out)
{
    if (s->task) {
        struct rng_stream rng = {s->options.seed, {.purpose = RNG_DEMO, .prompt = index}};
        s->task->demonstrate(out, p, &s->options, &rng);
        return true;
    }
    const char *d = collection_example(s->files, p)->demonstration;
    if (!d) return false;
    text_add_bytes(out, d, strlen(d));
    if (!strstr(d, "</think>")) text_add(out, "</think><answer>%s</answer>", p->answer);
    return true;
}

/* One after the other, until there is one that is right, or wrong, as asked. */
static bool draw_preference(const struct source *s, const struct problem *p, enum split split,
                            uint32_t index, enum side side, struct text *out)
{
    enum { DRAWS = 64 };
    for (uint32_t k = 1; k <= DRAWS; k++) {
        struct rng_stream rng = {
            s->options.seed,
            {.purpose = RNG_DEMO, .step = (uint32_t)split, .prompt = index, .sample = k}};
        out->n = 0;
        s->task->demonstrate(out, p, &s->options, &rng);
        if (out->cut) return false;
        struct span answer = completion_answer((struct span){out->at, out->n});
        bool right = answer.at && task_right(s->task, p, answer.at, answer.n);
        if (right == (side == SIDE_CHOSEN)) return true;
    }
    return false;
}

/* A side at a time: a text of either may be as long as the buffer. */
bool source_preference(const struct source *s, const struct problem *p, enum split split,
                       uint32_t index, enum side side, struct preference *to, struct text *out)
{
    *to = (struct preference){.pair = true, .text = out->at};
    if (s->task) {
        bool some = draw_preference(s, p, split, index, side, out);
        to->n = out->n;
        return some;
    }
    const struct example *e = collection_example(s->files, p);
    to->pair = e->rejected != NULL;
    to->text = side == SIDE_CHOSEN ? e->chosen : e->rejected;
    to->n = to->text ? strlen(to->text) : 0;
    to->label = (float)e->score;
    return to->text != NULL;
}

static void sum_text(struct checksum *sum, const char *text)
{
    checksum_add(sum, text, strlen(text) + 1);
}

static void sum_generated(struct checksum *sum, const struct source *s)
{
    enum { ENOUGH = 256 };
    struct problem p;
    for (uint32_t i = 0; i < ENOUGH; i++) {
        s->task->make(&p, &s->options, SPLIT_TRAIN, i);
        sum_text(sum, p.prompt);
        sum_text(sum, p.answer);
    }
}

uint64_t source_sum(const struct source *s, enum split split)
{
    if (s->files) return collection_sum(s->files, split);
    if (split == SPLIT_HELDOUT) return 0;
    struct checksum *sum = checksum_new();
    sum_generated(sum, s);
    uint64_t digest = checksum_value(sum);
    checksum_free(sum);
    return digest;
}

uint64_t source_bytes_sum(const struct source *s)
{
    return s->files ? collection_bytes_sum(s->files) : 0;
}
