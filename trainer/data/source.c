/* See source.h. A generator's options are the recipe's; a file's records are held in memory, split
 * in two lists of record numbers, and walked in an order that is a keyed permutation of each epoch,
 * computed place by place. */
#include "trainer/data/source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/data/answer.h"
#include "trainer/data/heldout.h"
#include "trainer/data/input.h"
#include "trainer/data/jsonl.h"

static const char memory_fix[] = "give the job more memory, or a smaller file";

/* What a demonstration or answer of a file may not hold: they become tokens of their own when it is
 * encoded. */
static const char *const reserved[] = {"<pad>", "<eos>", "<unk>", "<think>"};
static const char *const tags[] = {"</think>", "<answer>", "</answer>"};
enum { RESERVED = sizeof reserved / sizeof *reserved, TAGS = sizeof tags / sizeof *tags };

struct source {
    const struct task *task; /* NULL: the file */
    struct task_options options;
    struct records all;
    int *of_split[2], n[2]; /* records of each split */
    struct heldout heldout; /* of a generator */
    const char *file[2];    /* of each split, as the settings name it */
    bool apart;             /* the held-out ones have a file of their own */
    char name[SOURCE_NAME];
};

static bool holds(const char *text, const char *const *words, int n, const char **found)
{
    for (int i = 0; i < n; i++)
        if (strstr(text, *found = words[i])) return true;
    return false;
}

/* What only this program's use of a record demands. */
static void record_check(const struct problem_record *r, const char *file, struct problems *p)
{
    const char *word, *d = r->demonstration;
    if (holds(r->answer, reserved, RESERVED, &word) || holds(r->answer, tags, TAGS, &word))
        problems_add(p, file, r->line, "answer may not contain %s", word);
    if (d && holds(d, reserved, RESERVED, &word))
        problems_add(p, file, r->line, "demonstration may not contain %s", word);
    else if (d && holds(d, tags, TAGS, &word) && !answer_in_form((struct span){d, strlen(d)}))
        problems_add(p, file, r->line,
                     "demonstration with %s must read: reasoning</think><answer>...</answer>",
                     word);
}

/* As with bad lines: a file in another format should not fill the screen. */
static void records_check(const struct records *all, const char *file, struct problems *p)
{
    enum { COMPLAINTS = 20 };
    int before = p->n, i = 0;
    while (i < all->n && p->n < before + COMPLAINTS) record_check(&all->r[i++], file, p);
    if (i < all->n)
        problems_add(p, file, 0, "%d bad records; the rest was not checked", COMPLAINTS);
}

/* Appends the records of a file to s->all; returns how many there were before. */
static int records_append(struct source *s, const struct input *in, struct problems *p)
{
    struct records more;
    size_t n;
    const char *path = in->path;
    int before = s->all.n, mistakes = p->n;
    char *bytes = input_read(in, &n, p);
    if (!bytes) return before;
    records_parse(&more, bytes, n, path, p);
    free(bytes);
    records_check(&more, path, p);
    if (more.n == 0 && p->n == mistakes) problems_add(p, path, 0, "the file has no problems");
    size_t total = (size_t)before + (size_t)more.n;
    s->all.r = realloc(s->all.r, (total + 1) * sizeof *s->all.r);
    SYS_OK(s->all.r, memory_fix, "no memory for the %zu records of %s", total, path);
    if (more.n) memcpy(s->all.r + before, more.r, (size_t)more.n * sizeof *more.r);
    s->all.n = (int)total;
    free(more.r);
    return before;
}

/* Records that differ neither in prompt nor in answer are one problem. */
static uint64_t record_hash(const struct problem_record *r)
{
    return problem_hash(r->prompt) * 31 + problem_hash(r->answer);
}

/* Numbers of the records of each split. */
static void records_split(struct source *s, bool apart, int first_heldout)
{
    struct hashes met = {0};
    for (int split = 0; split < 2; split++)
        s->of_split[split] = memory_take((size_t)s->all.n + 1, sizeof(int), "records of a file");
    for (int i = 0; i < s->all.n; i++) {
        enum split split = apart ? (i >= first_heldout ? SPLIT_HELDOUT : SPLIT_TRAIN)
                                 : problem_split(s->all.r[i].prompt);
        if (split == SPLIT_HELDOUT && !hashes_add(&met, record_hash(&s->all.r[i]))) continue;
        s->of_split[split][s->n[split]++] = i;
    }
    hashes_free(&met);
}

static void check_splits(const struct source *s, const char *file, unsigned asked,
                         struct problems *p)
{
    if (splits_have(asked, SPLIT_TRAIN) && s->n[SPLIT_TRAIN] == 0)
        problems_add(p, file, 0, "too few problems: none is left for training");
    if (splits_have(asked, SPLIT_HELDOUT) && s->n[SPLIT_HELDOUT] == 0)
        problems_add(p, file, 0,
                     "too few problems: none is in the held-out tenth; set data.heldout_file");
}

static void file_open(struct source *s, const struct settings *set, struct source_needs needs,
                      struct problems *p)
{
    const struct input file = {set->data.file, "data.file", set->file},
                       heldout = {set->data.heldout_file, "data.heldout_file", set->file};
    bool apart = *heldout.path != '\0';
    int before = p->n;
    s->apart = apart;
    s->file[SPLIT_TRAIN] = file.path;
    s->file[SPLIT_HELDOUT] = apart ? heldout.path : file.path;
    if (!*file.path) {
        problems_add(p, NULL, 0, "data.task is file: set data.file to a JSON Lines file");
        return;
    }
    const char *base = strrchr(file.path, '/');
    snprintf(s->name, sizeof s->name, "%s", base ? base + 1 : file.path);
    if (!apart || splits_have(needs.read, SPLIT_TRAIN)) records_append(s, &file, p);
    int first_heldout = s->all.n;
    if (apart && splits_have(needs.read, SPLIT_HELDOUT)) records_append(s, &heldout, p);
    records_split(s, apart, first_heldout);
    if (p->n == before) check_splits(s, file.path, needs.asked, p);
}

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

struct source *source_open(const struct settings *set, struct source_needs needs,
                           struct problems *p)
{
    struct source *s = memory_take(1, sizeof *s, "a source of problems");
    int before = p->n;
    s->task = task_find(set->data.task);
    if (s->task)
        generator_open(s, set, p);
    else
        file_open(s, set, needs, p);
    s->options.seed = (uint64_t)set->run.seed;
    if (p->n == before) return s;
    source_free(s);
    return NULL;
}

void source_free(struct source *s)
{
    if (!s) return;
    records_free(&s->all);
    free(s->of_split[0]);
    free(s->of_split[1]);
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

/* Place i of a permutation of 0..n-1: a four-round Feistel network over the next even power of two,
 * walked until it lands inside (Black and Rogaway, "Ciphers with arbitrary finite domains"). */
static uint32_t permuted(uint64_t seed, uint32_t epoch, uint32_t split, uint32_t n, uint32_t i)
{
    unsigned half = 1;
    while ((uint64_t)1 << (2 * half) < n) half++;
    uint32_t mask = ((uint32_t)1 << half) - 1;
    do {
        for (uint32_t round = 0; round < 4; round++) {
            struct rng_at at = {RNG_SHUFFLE, epoch, split, round, i & mask};
            uint32_t mixed = (i >> half) ^ ((uint32_t)rng_bits(seed, at) & mask);
            i = (i & mask) << half | mixed;
        }
    } while (i >= n);
    return i;
}

int source_heldout(struct source *s, int want)
{
    if (s->task) return heldout_find(&s->heldout, s->task, &s->options, want);
    return want < s->n[SPLIT_HELDOUT] ? want : s->n[SPLIT_HELDOUT];
}

static void record_take(const struct source *s, int number, struct problem *out)
{
    const struct problem_record *r = &s->all.r[number];
    *out = (struct problem){.prompt = r->prompt, .answer = r->answer, .record = number};
}

void source_describe_heldout(const struct source *s, char *out, size_t size)
{
    const char *file = s->file[SPLIT_HELDOUT];
    if (s->task)
        snprintf(out, size, "held-out problems of %s", s->name);
    else if (s->apart)
        snprintf(out, size, "all %d problems of %s", s->n[SPLIT_HELDOUT], file);
    else
        snprintf(out, size, "the held-out tenth of %s: %d of its %d problems", file,
                 s->n[SPLIT_HELDOUT], s->all.n);
}

void source_problem(const struct source *s, enum split split, uint32_t index, struct problem *out)
{
    int known = s->task ? s->heldout.n : s->n[SPLIT_HELDOUT];
    INVARIANT(split == SPLIT_TRAIN || index < (uint32_t)known,
              "held-out problem %u of %d that are known", index, known);
    if (s->task) {
        uint32_t draw = split == SPLIT_HELDOUT ? s->heldout.draw[index] : index;
        s->task->make(out, &s->options, split, draw);
        return;
    }
    uint32_t n = (uint32_t)s->n[split];
    uint32_t place = permuted(s->options.seed, index / n, (uint32_t)split, n, index % n);
    record_take(s, s->of_split[split][place], out);
}

int source_count(const struct source *s, enum split split)
{
    return s->task && split == SPLIT_HELDOUT ? s->heldout.n : s->n[split];
}

void source_look(const struct source *s, enum split split, int i, struct problem *out)
{
    if (s->task)
        source_problem(s, split, (uint32_t)i, out);
    else
        record_take(s, s->of_split[split][i], out);
}

struct source_place source_place(const struct source *s, enum split split, const struct problem *p)
{
    if (s->task) return (struct source_place){s->name, 0};
    return (struct source_place){s->file[split], s->all.r[p->record].line};
}

void source_keep(struct source *s, enum split split, const bool *keep)
{
    int n = source_count(s, split), left = 0;
    for (int i = 0; i < n; i++) {
        if (!keep[i]) continue;
        if (s->task)
            s->heldout.draw[left++] = s->heldout.draw[i];
        else
            s->of_split[split][left++] = s->of_split[split][i];
    }
    if (s->task)
        s->heldout.n = left;
    else
        s->n[split] = left;
}

bool source_demonstrate(const struct source *s, const struct problem *p, uint32_t index,
                        struct text *out)
{
    if (s->task) {
        struct rng_stream rng = {s->options.seed, {.purpose = RNG_DEMO, .prompt = index}};
        s->task->demonstrate(out, p, &s->options, &rng);
        return true;
    }
    const char *d = s->all.r[p->record].demonstration;
    if (!d) return false;
    text_add(out, "%s", d);
    if (!strstr(d, "</think>")) text_add(out, "</think><answer>%s</answer>", p->answer);
    return true;
}

static void sum_text(struct checksum *sum, const char *text)
{
    if (text) checksum_add(sum, text, strlen(text));
    checksum_add(sum, text ? "\0" : "\1", 1);
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
    if (s->task ? split == SPLIT_HELDOUT : s->n[split] == 0) return 0;
    struct checksum *sum = checksum_new();
    if (s->task) sum_generated(sum, s);
    for (int i = 0; !s->task && i < s->n[split]; i++) {
        const struct problem_record *r = &s->all.r[s->of_split[split][i]];
        sum_text(sum, r->prompt);
        sum_text(sum, r->answer);
        sum_text(sum, r->demonstration);
    }
    uint64_t digest = checksum_value(sum);
    checksum_free(sum);
    return digest;
}
