/* The manifest's text, and what its tensors say about the layout. manifest_parse.c reads it back.
 */
#include "trainer/checkpoint/manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/memory.h"

#include "trainer/checkpoint/gap.h"
#include "trainer/checkpoint/range.h"

void shard_name(char out[64], int shard, int shards)
{
    snprintf(out, 64, "shard-%04d-of-%04d.h5", shard, shards);
}

void manifest_free(struct manifest *m)
{
    free(m->shard);
    free(m->tensor);
    free(m->pool);
    json_decref(m->state);
    *m = (struct manifest){0};
}

static int by_name(const void *key, const void *tensor)
{
    return strcmp(key, ((const struct manifest_tensor *)tensor)->name);
}

const struct manifest_tensor *manifest_find(const struct manifest *m, const char *name)
{
    if (m->tensors == 0) return NULL;
    return bsearch(name, m->tensor, m->tensors, sizeof *m->tensor, by_name);
}

/* --- text --- */

static void print_sum(FILE *f, const struct file_sum *s)
{
    fprintf(f, "\"bytes\": %" PRIu64 ", \"xxh64\": \"%016" PRIx64 "\"}", s->bytes, s->xxh64);
}

static void print_shards(FILE *f, const struct manifest *m)
{
    fprintf(f, "\"shards\": [");
    for (int i = 0; i < m->shards; i++) {
        char name[64];
        shard_name(name, i, m->shards);
        fprintf(f, "%s\n {\"file\": \"%s\", ", i ? "," : "", name);
        print_sum(f, &m->shard[i]);
    }
    fprintf(f, "],\n");
}

/* A comma goes before every member but the first, whichever of the three kinds that is. */
static void print_files(FILE *f, const struct manifest *m)
{
    fprintf(f, "\"files\": {");
    if (m->has_recipe) {
        fprintf(f, "\n \"recipe.yaml\": {");
        print_sum(f, &m->recipe);
    }
    if (m->has_tokenizer) {
        fprintf(f, "%s\n \"tokenizer.json\": {", m->has_recipe ? "," : "");
        print_sum(f, &m->tokenizer);
    }
    for (int i = 0; i < m->files; i++) {
        bool first = i == 0 && !m->has_recipe && !m->has_tokenizer;
        fprintf(f, "%s\n \"%s\": {", first ? "" : ",", m->file[i].name);
        print_sum(f, &m->file[i].sum);
    }
    fprintf(f, "},\n");
}

static void print_slice(FILE *f, const char *before, const struct manifest_slice *s)
{
    fprintf(f, "%s[%d, %zu, %zu", before, s->shard, s->at.lo, s->at.hi);
    if (s->at.run) fprintf(f, ", %zu, %zu", s->at.run, s->at.stride);
    fputc(']', f);
}

static void print_shape(FILE *f, const int shape[PARAM_DIMS])
{
    if (shape[0] == 0) return;
    fprintf(f, "\"shape\": [%d", shape[0]);
    for (int i = 1; i < PARAM_DIMS && shape[i] > 0; i++) fprintf(f, ", %d", shape[i]);
    fprintf(f, "], ");
}

static void print_tensors(FILE *f, const struct manifest *m)
{
    fprintf(f, "\"tensors\": {");
    for (size_t i = 0; i < m->tensors; i++) {
        const struct manifest_tensor *t = &m->tensor[i];
        fprintf(f, "%s\n \"%s\": {\"n\": %zu, ", i ? "," : "", t->name, t->n);
        print_shape(f, t->shape);
        fprintf(f, "\"slices\": [");
        for (size_t k = 0; k < t->slices; k++) print_slice(f, k ? ", " : "", &t->slice[k]);
        fprintf(f, "]}");
    }
    fprintf(f, "},\n");
}

static const char HEAD[] = "{\"xxh64\": \"0000000000000000\",\n";

/* The checksum covers everything behind the first line, so it is filled in last, over 16 zeros. */
char *manifest_text(const struct manifest *m, size_t *n)
{
    char *text = NULL, *state = json_dumps(m->state, JSON_SORT_KEYS);
    FILE *f = state ? open_memstream(&text, n) : NULL;
    if (f) {
        fputs(HEAD, f);
        fprintf(f,
                "\"format\": \"duet-checkpoint\", \"version\": 1, \"step\": %ld, \"keep_forever\": "
                "%s,\n",
                m->step, m->keep_forever ? "true" : "false");
        print_shards(f, m);
        print_files(f, m);
        print_tensors(f, m);
        fprintf(f, "\"state\": %s}\n", state);
        const bool whole = !ferror(f);
        if (fclose(f) != 0 || !whole) {
            free(text);
            text = NULL;
        }
    }
    free(state);
    if (text) {
        char hex[17];
        snprintf(hex, sizeof hex, "%016" PRIx64,
                 checksum(text + sizeof HEAD - 1, *n - (sizeof HEAD - 1), 0));
        memcpy(strchr(text, '0'), hex, 16);
    }
    return text;
}

/* --- layout --- */

struct layout_entry {
    const struct slice *s;
    int shard;
};

static int entry_order(const void *a, const void *b)
{
    const struct layout_entry *x = a, *y = b;
    const int name = strcmp(x->s->name, y->s->name);
    if (name != 0) return name;
    if (x->shard != y->shard) return x->shard < y->shard ? -1 : 1;
    return (x->s->at.lo > y->s->at.lo) - (x->s->at.lo < y->s->at.lo);
}

/* What HDF5 takes as a path and JSON as a string, without escapes. */
static void check_name(const char *name)
{
    const size_t n = strnlen(name, sizeof((struct slice *)0)->name);
    INVARIANT(n > 0 && n < sizeof((struct slice *)0)->name, "a tensor's name has %zu characters",
              n);
    INVARIANT(name[0] != '/' && name[n - 1] != '/' && !strstr(name, "//"), "tensor name %s", name);
    for (size_t i = 0; i < n; i++)
        INVARIANT(name[i] > ' ' && name[i] < 127 && !strchr("\"\\@", name[i]), "tensor name %s",
                  name);
}

/* Sorted as the file lists them: a tensor's slices together, by shard, then by first element. */
static size_t collect(struct layout_entry *e, const struct slice *slices, const int *count,
                      const int *first, int ranks)
{
    size_t n = 0;
    for (int r = 0; r < ranks; r++)
        for (int i = 0; i < count[r]; i++) {
            const struct slice *s = &slices[first[r] + i];
            check_name(s->name);
            bool empty = s->at.lo == s->at.hi && s->at.hi <= s->n;
            INVARIANT(empty || range_valid(&s->at, s->n), "%s: slice [%zu, %zu) of %zu", s->name,
                      s->at.lo, s->at.hi, s->n);
            if (!empty) e[n++] = (struct layout_entry){s, r};
        }
    qsort(e, n, sizeof *e, entry_order);
    return n;
}

/* Entries come sorted, so a tensor's slices are neighbours in the pool and the last tensor is the
 * only one that can grow. */
static void add_entry(struct manifest *m, const struct layout_entry *e, size_t at)
{
    struct manifest_tensor *t = &m->tensor[m->tensors > 0 ? m->tensors - 1 : 0];
    if (m->tensors == 0 || strcmp(t->name, e->s->name) != 0) {
        t = &m->tensor[m->tensors++];
        *t = (struct manifest_tensor){.n = e->s->n, .slice = m->pool + at};
        memcpy(t->name, e->s->name, sizeof t->name);
        memcpy(t->shape, e->s->shape, sizeof t->shape);
    }
    const struct manifest_slice *before = t->slices ? &t->slice[t->slices - 1] : NULL;
    const bool again = before && before->shard == e->shard;
    INVARIANT(t->n == e->s->n, "%s has %zu elements on one rank, %zu on rank %d", t->name, t->n,
              e->s->n, e->shard);
    INVARIANT(!again || before->at.lo < e->s->at.lo, "%s: rank %d gives the slice at %zu twice",
              t->name, e->shard, e->s->at.lo);
    INVARIANT(t->slice, "%s: no room for slices", t->name);
    t->slice[t->slices++] = (struct manifest_slice){e->shard, again, e->s->at};
}

/* Room for one tensor a slice: how many tensors there are is known only at the end. A hole is found
 * here, before the first save, and not by the run that wants to resume. */
void manifest_layout(struct manifest *m, const struct slice *slices, const int *count,
                     const int *first, int ranks)
{
    const size_t all = ranks > 0 ? (size_t)(first[ranks - 1] + count[ranks - 1]) : 0;
    struct layout_entry *e = memory_take(all + 1, sizeof *e, "the layout of a checkpoint");
    uint64_t *scratch =
        memory_take(gap_scratch(all), sizeof *scratch, "the layout of a checkpoint");
    *m = (struct manifest){.shards = ranks};
    m->shard = memory_take((size_t)ranks, sizeof *m->shard, "the layout of a checkpoint");
    m->tensor = memory_take(all + 1, sizeof *m->tensor, "the layout of a checkpoint");
    m->pool = memory_take(all + 1, sizeof *m->pool, "the layout of a checkpoint");
    const size_t n = collect(e, slices, count, first, ranks);
    for (size_t i = 0; i < n; i++) add_entry(m, &e[i], i);
    for (size_t i = 0; i < m->tensors; i++) {
        const size_t gap = gap_find(&m->tensor[i], scratch);
        INVARIANT(gap == m->tensor[i].n, "no rank saves element %zu of %zu of %s", gap,
                  m->tensor[i].n, m->tensor[i].name);
    }
    free(e);
    free(scratch);
}
