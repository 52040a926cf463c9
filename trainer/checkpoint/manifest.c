/* The manifest's text. manifest_parse.c reads it back. */
#include "trainer/checkpoint/manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/memory.h"

void shard_name(char out[64], int shard, int shards)
{
    snprintf(out, 64, "shard-%04d-of-%04d.h5", shard, shards);
}

void manifest_free(struct manifest *m)
{
    free(m->shard);
    free(m->tensor);
    free(m->pool);
    free(m->fixed);
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

static void print_head(FILE *f, const struct manifest *m)
{
    fputs(HEAD, f);
    fprintf(f,
            "\"format\": \"duet-checkpoint\", \"version\": 1, \"step\": %ld, \"keep_forever\": "
            "%s,\n",
            m->step, m->keep_forever ? "true" : "false");
    print_shards(f, m);
    print_files(f, m);
}

/* A text, or a part of one. */
struct text {
    char *at;
    size_t n;
};

/* What `print` makes of m; at NULL without memory. */
static struct text printed(void (*print)(FILE *f, const struct manifest *m),
                           const struct manifest *m)
{
    struct text t = {0};
    FILE *f = open_memstream(&t.at, &t.n);
    if (!f) return (struct text){0};
    print(f, m);
    const bool whole = !ferror(f);
    if (fclose(f) == 0 && whole) return t;
    free(t.at);
    return (struct text){0};
}

bool manifest_fix(struct manifest *m)
{
    const struct text t = printed(print_tensors, m);
    if (!t.at) return false;
    free(m->tensor);
    free(m->pool);
    m->tensor = NULL;
    m->pool = NULL;
    m->tensors = 0;
    m->fixed = t.at;
    m->fixed_bytes = t.n;
    return true;
}

/* The parts one behind the other, in a block of their size: the middle one may have hundreds of
 * megabytes. */
static struct text join_parts(const struct text *part, int parts)
{
    struct text all = {0};
    for (int i = 0; i < parts; i++) all.n += part[i].n;
    all.at = malloc(all.n + 1);
    size_t at = 0;
    for (int i = 0; all.at && i < parts; at += part[i++].n)
        memcpy(all.at + at, part[i].at, part[i].n);
    if (all.at) all.at[all.n] = 0;
    return all;
}

/* The checksum covers everything behind the first line, so it is filled in last, over 16 zeros. */
char *manifest_text(const struct manifest *m, size_t *n)
{
    static char BEFORE[] = "\"state\": ", BEHIND[] = "}\n";
    char *state = json_dumps(m->state, JSON_SORT_KEYS);
    const struct text head = printed(print_head, m),
                      tensors = m->fixed ? (struct text){m->fixed, m->fixed_bytes}
                                         : printed(print_tensors, m);
    struct text all = {0};
    if (state && head.at && tensors.at)
        all = join_parts((struct text[]){head,
                                         tensors,
                                         {BEFORE, sizeof BEFORE - 1},
                                         {state, strlen(state)},
                                         {BEHIND, sizeof BEHIND - 1}},
                         5);
    if (!m->fixed) free(tensors.at);
    free(head.at);
    free(state);
    if (all.at) {
        char hex[17];
        snprintf(hex, sizeof hex, "%016" PRIx64,
                 checksum(all.at + sizeof HEAD - 1, all.n - (sizeof HEAD - 1), 0));
        memcpy(strchr(all.at, '0'), hex, 16);
    }
    *n = all.n;
    return all.at;
}
