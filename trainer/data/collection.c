/* See collection.h. A record is known by its place: the byte where its line begins, files counted
 * one behind the other. Records of a split are a set of lines, numbered in the order of the files;
 * the order of training is a keyed permutation of records, computed one by one. */
#include "trainer/data/collection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/checksum.h"
#include "comm/base/file.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "trainer/data/files.h"
#include "trainer/data/index.h"

enum { EVERY = 1024 };
static const uint64_t LARGE_BYTES = (uint64_t)256 << 20;

/* A problem's text while it is in use. */
struct held_text {
    char *text;
    size_t room;
};

struct collection {
    struct fields fields;
    struct file_list list[2]; /* data.file, data.heldout_file */
    struct data_index index;
    struct index_job job;
    unsigned char *kept; /* (kept_bytes) the index of large files, to be kept; NULL: not to be */
    size_t kept_bytes;
    uint64_t *base;  /* (files + 1) the place of each file's first byte */
    struct mix *mix; /* NULL: the files are one list */
    struct held_text slot[PROBLEMS_HELD];
    int next; /* slot to be used */
    struct example read;
    bool fields_count; /* tests and language are part of a record's sum */
    uint64_t sum[2];
    bool summed[2];
};

/* --- opening --- */

/* One more than a file's bytes, so that the place behind its last byte is not the next file's
 * first. */
static void open_files(struct collection *c, const struct settings *set, unsigned read,
                       struct problems *p)
{
    static const char *const settings[] = {"data.file", "data.heldout_file"};
    struct data_index *x = &c->index;
    const size_t most = (size_t)(c->list[0].n + c->list[1].n);
    x->file = memory_take(most + 1, sizeof *x->file, "files of problems");
    x->lines = memory_take(most + 1, sizeof *x->lines, "files of problems");
    c->base = memory_take(most + 1, sizeof *c->base, "files of problems");
    for (int k = 0; k < 2; k++) {
        bool wanted = c->job.apart ? read >> k & 1 : k == 0;
        for (int i = 0; wanted && i < c->list[k].n; i++) {
            const struct input in = {c->list[k].path[i], settings[k], set->file};
            if (!lines_open(&x->file[x->files], &in, p)) continue;
            c->base[x->files + 1] = c->base[x->files] + x->file[x->files].bytes + 1;
            x->files++;
        }
        if (k == 0) x->training = x->files;
    }
}

/* Training problems before those of a file. */
static int first_of(const struct collection *c, int file)
{
    return number_set_below(&c->index.split[SPLIT_TRAIN], c->index.lines[file]);
}

static void make_mix(struct collection *c)
{
    double weight[FILES_MOST];
    if (!c->list[0].weighted || c->index.training < 2) return;
    for (int i = 0; i < c->index.training; i++)
        weight[i] = first_of(c, i + 1) > first_of(c, i) ? c->list[0].weight[i] : 0;
    if (!c->mix) c->mix = memory_take(1, sizeof *c->mix, "the weights of files");
    mix_make(c->mix, weight, c->index.training);
}

static void check_mix(const struct collection *c, struct problems *p)
{
    for (int i = 0; c->list[0].weighted && i < c->index.training; i++)
        if (first_of(c, i + 1) == first_of(c, i))
            problems_add(p, c->index.file[i].path, 0,
                         "no training problems in it, but data.file gives it a weight");
}

/* Only where a reward looks at them: sums of other recipes stay what they were. */
static bool fields_count(const struct settings *set)
{
    bool count = false;
    for (int i = 0; i < set->n_phases; i++) {
        const struct phase_settings *k = &set->phases[i];
        count = count || (k->reward_language > 0 && k->target_language == LANGUAGE_DATA) ||
                k->reward_code != 0 || *k->graders;
    }
    return count;
}

static void parse(struct collection *c, const struct settings *set, struct problems *p)
{
    c->fields_count = fields_count(set);
    fields_parse(&c->fields, set->data.fields, p);
    file_list_parse(&c->list[0], set->data.file, "data.file", p);
    file_list_parse(&c->list[1], set->data.heldout_file, "data.heldout_file", p);
    c->job = (struct index_job){.fields = &c->fields,
                                .named = set->data.fields ? set->data.fields : "",
                                .apart = c->list[1].n > 0,
                                .skip = set->data.bad_lines == BAD_LINES_SKIP};
}

/* A file that is missing anywhere ends the job: then nobody reads any. */
struct collection *collection_open(const struct settings *set, unsigned read,
                                   const struct together *t, struct problems *p)
{
    struct collection *c = memory_take(1, sizeof *c, "files of problems");
    int before = p->n;
    parse(c, set, p);
    if (p->n == before) open_files(c, set, read, p);
    bool ok = p->n == before;
    if (t) ok = world_all(t->world, ok);
    c->job.large = ok && collection_is_large(c);
    ok = ok && index_make(&c->index, &c->job, t, p);
    if (ok && (read & 1u << SPLIT_TRAIN)) check_mix(c, p);
    if (!ok || p->n > before) {
        collection_free(c);
        return NULL;
    }
    if (t && c->index.found)
        log_info("%s: %d records, as %s has them", c->index.file[0].path, c->index.records,
                 t->index);
    else if (c->job.large && t && t->index && t->world->rank == 0)
        c->kept = index_bytes(&c->index, index_identity(&c->index, &c->job), &c->kept_bytes);
    make_mix(c);
    return c;
}

/* Also after an opening that failed half way: counts say what there is. */
void collection_free(struct collection *c)
{
    if (!c) return;
    index_free(&c->index);
    for (int i = 0; i < PROBLEMS_HELD; i++) free(c->slot[i].text);
    for (int k = 0; k < 2; k++) file_list_free(&c->list[k]);
    fields_free(&c->fields);
    example_free(&c->read);
    free(c->base);
    free(c->kept);
    free(c->mix);
    free(c);
}

/* --- what is in it --- */

/* As it was before collection_keep left out what does not fit: other settings may let more in. */
void collection_keep_index(struct collection *c, const char *path)
{
    if (!c->kept) return;
    char part[PATH_BYTES];
    bool fits = snprintf(part, sizeof part, "%s.tmp", path) < (int)sizeof part;
    int fd = fits ? open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
    bool whole = fd >= 0 && file_put(fd, c->kept, c->kept_bytes);
    if (fd >= 0) whole = close(fd) == 0 && whole;
    if (!whole || rename(part, path) != 0)
        log_info("%s cannot be written (%s): the next start reads the data files again", path,
                 strerror(errno));
    free(c->kept);
    c->kept = NULL;
}

bool collection_is_large(const struct collection *c)
{
    return c->base[c->index.files] > LARGE_BYTES;
}

bool collection_is_known(const struct collection *c)
{
    return c->index.found;
}

int collection_count(const struct collection *c, enum split split)
{
    return c->index.split[split].n;
}

int collection_records(const struct collection *c)
{
    return c->index.records;
}

bool collection_apart(const struct collection *c)
{
    return c->job.apart;
}

size_t collection_bytes(const struct collection *c)
{
    size_t bytes = 0;
    const struct data_index *x = &c->index;
    for (int i = 0; i < x->files; i++) bytes += x->file[i].marks * sizeof *x->file[i].mark;
    for (int k = 0; k < 2; k++) bytes += number_set_bytes(&x->split[k]);
    return bytes;
}

uint64_t collection_read(const struct collection *c)
{
    uint64_t bytes = 0;
    for (int i = 0; i < c->index.files; i++) bytes += c->index.file[i].read;
    return bytes;
}

const char *collection_first(const struct collection *c, enum split split, int *more)
{
    const struct file_list *l = &c->list[c->job.apart && split == SPLIT_HELDOUT];
    *more = l->n - 1;
    return l->n > 0 ? l->path[0] : "";
}

/* --- one record --- */

static int file_of(const struct collection *c, uint64_t place)
{
    int i = 0;
    while (i + 1 < c->index.files && c->base[i + 1] <= place) i++;
    return i;
}

static uint64_t place_of(struct collection *c, enum split split, int i)
{
    uint64_t line = number_set_at(&c->index.split[split], i), at;
    int file = 0;
    size_t n;
    while (c->index.lines[file + 1] <= line) file++;
    lines_numbered(&c->index.file[file], (int)(line - c->index.lines[file]) + 1, &at, &n);
    return c->base[file] + at;
}

static const struct example *read_example(struct collection *c, uint64_t place)
{
    char why[EXAMPLE_WHY];
    size_t n;
    int file = file_of(c, place);
    const char *text = lines_at(&c->index.file[file], place - c->base[file], &n);
    SYS_OK(example_read(&c->read, text, n, &c->fields, why),
           "leave a file alone while a job reads it",
           "%s has changed since the job began: the line at byte %llu is no longer a record (%s)",
           c->index.file[file].path, (unsigned long long)(place - c->base[file]), why);
    return &c->read;
}

const struct example *collection_example(struct collection *c, const struct problem *p)
{
    return read_example(c, (uint64_t)p->record);
}

/* Slots are used in turn: a problem's text stays until each has been used again. */
static void take_record(struct collection *c, uint64_t place, struct problem *out)
{
    const struct example *r = read_example(c, place);
    const char *const part[] = {r->prompt, r->answer ? r->answer : "", r->tests, r->language};
    const char *held[] = {NULL, NULL, NULL, NULL};
    struct held_text *s = &c->slot[c->next];
    size_t bytes = 0;
    c->next = (c->next + 1) % PROBLEMS_HELD;
    for (int i = 0; i < 4; i++) bytes += part[i] ? strlen(part[i]) + 1 : 0;
    if (bytes > s->room) {
        s->room = 2 * bytes;
        free(s->text);
        s->text = memory_take(s->room, 1, "a problem");
    }
    bytes = 0;
    for (int i = 0; i < 4; i++) {
        if (!part[i]) continue;
        held[i] = strcpy(s->text + bytes, part[i]);
        bytes += strlen(part[i]) + 1;
    }
    *out = (struct problem){.prompt = held[0],
                            .answer = held[1],
                            .tests = held[2],
                            .language = held[3],
                            .turns = r->turns,
                            .no_answer = !r->answer,
                            .record = (long)place};
}

void collection_take(struct collection *c, enum split split, int i, struct problem *out)
{
    take_record(c, place_of(c, split, i), out);
}

/* Place i of a permutation of 0..n-1: a four-round Feistel network over the next even power of two,
 * walked until it lands inside (Black and Rogaway, "Ciphers with arbitrary finite domains"). Keyed
 * by seed, epoch and list: the split, and with weights its file. */
static uint32_t permuted(uint64_t seed, uint32_t epoch, uint32_t list, uint32_t n, uint32_t i)
{
    unsigned half = 1;
    while ((uint64_t)1 << (2 * half) < n) half++;
    uint32_t mask = ((uint32_t)1 << half) - 1;
    do {
        for (uint32_t round = 0; round < 4; round++) {
            struct rng_at at = {RNG_SHUFFLE, epoch, list, round, i & mask};
            uint32_t mixed = (i >> half) ^ ((uint32_t)rng_bits(seed, at) & mask);
            i = (i & mask) << half | mixed;
        }
    } while (i >= n);
    return i;
}

void collection_draw(struct collection *c, enum split split, uint64_t seed, uint32_t index,
                     struct problem *out)
{
    uint32_t n = (uint32_t)c->index.split[split].n, list = (uint32_t)split, first = 0;
    if (c->mix && split == SPLIT_TRAIN) {
        int file = mix_file(c->mix, index, &index);
        first = (uint32_t)first_of(c, file);
        n = (uint32_t)first_of(c, file + 1) - first;
        list += 2 * (uint32_t)file;
    }
    uint32_t number = first + permuted(seed, index / n, list, n, index % n);
    take_record(c, place_of(c, split, (int)number), out);
}

const char *collection_place(struct collection *c, const struct problem *p, int *line)
{
    int file = file_of(c, (uint64_t)p->record);
    *line = lines_number(&c->index.file[file], (uint64_t)p->record - c->base[file]);
    return c->index.file[file].path;
}

void collection_keep(struct collection *c, enum split split, const bool *keep)
{
    number_set_keep(&c->index.split[split], keep);
    c->summed[split] = false;
    if (split == SPLIT_TRAIN) make_mix(c); /* a file may have none left */
}

/* --- sums --- */

static void sum_text(struct checksum *sum, const char *text)
{
    if (text) checksum_add(sum, text, strlen(text));
    checksum_add(sum, text ? "\0" : "\1", 1);
}

/* A resume compares the sum. What an earlier version did not know is added only where it is there
 * or counts: that version's runs have the sum they had. */
static void sum_record(struct checksum *sum, const struct example *r, bool fields)
{
    sum_text(sum, r->prompt);
    sum_text(sum, r->answer);
    sum_text(sum, r->demonstration);
    if (fields) sum_text(sum, r->tests);
    if (fields) sum_text(sum, r->language);
    if (r->chosen) sum_text(sum, r->chosen);
    if (r->chosen) sum_text(sum, r->rejected);
    if (r->chosen && !r->rejected) checksum_add(sum, &r->score, sizeof r->score);
    for (int k = 0; k < r->turns; k++) {
        sum_text(sum, r->turn[k].text);
        sum_text(sum, r->turn[k].reasoning);
        checksum_add(sum, &r->turn[k].role, sizeof r->turn[k].role);
    }
}

static void sum_records(struct collection *c, enum split split, struct checksum *sum)
{
    double said = clock_now();
    const int n = c->index.split[split].n;
    for (int i = 0; i < n; i++) {
        sum_record(sum, read_example(c, place_of(c, split, i)), c->fields_count);
        if (i % EVERY == 0 && watchdog_long(&said))
            log_info("%s: sum of %d of %d problems", c->index.file[0].path, i, n);
    }
}

static void sum_bytes(const struct collection *c, struct checksum *sum)
{
    for (int i = 0; i < c->index.files; i++)
        checksum_add(sum, &c->index.file[i].sum, sizeof c->index.file[i].sum);
}

uint64_t collection_bytes_sum(const struct collection *c)
{
    struct checksum *sum = checksum_new();
    sum_bytes(c, sum);
    uint64_t value = checksum_value(sum);
    checksum_free(sum);
    return value;
}

/* Files of one split have the same bytes for both; the mix is an order of training. Made once. */
uint64_t collection_sum(struct collection *c, enum split split)
{
    if (c->index.split[split].n == 0) return 0;
    if (c->summed[split]) return c->sum[split];
    struct checksum *sum = checksum_new();
    if (collection_is_large(c))
        sum_bytes(c, sum);
    else
        sum_records(c, split, sum);
    if (c->mix && split == SPLIT_TRAIN) checksum_add(sum, c->mix->quota, sizeof c->mix->quota);
    c->sum[split] = checksum_value(sum);
    c->summed[split] = true;
    checksum_free(sum);
    return c->sum[split];
}
