#include "trainer/run/changed_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "comm/base/problems.h"
#include "model/tokenizer.h"

/* Into one cell of a table. */
static void token_text(const struct tokenizer *t, int id, char text[48])
{
    tokenizer_decode(t, &id, 1, text, 48);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ') *c = '?';
}

/* The first id that stands for another text, or the smaller size; -1: all are the same. */
static int first_other_id(const struct tokenizer *was, const struct tokenizer *is, char text[2][48])
{
    int n[2] = {tokenizer_size(was), tokenizer_size(is)}, least = n[0] < n[1] ? n[0] : n[1];
    for (int id = 0; id < least; id++) {
        token_text(was, id, text[0]);
        token_text(is, id, text[1]);
        if (strcmp(text[0], text[1]) != 0) return id;
    }
    return n[0] == n[1] ? -1 : least;
}

/* Compared by ids: another file with the same ids leaves the weights valid. */
static void add_tokenizer(struct changes *c, const struct tokenizer *was,
                          const struct tokenizer *is)
{
    char text[2][48], then[64], now[64];
    int sizes[2] = {tokenizer_size(was), tokenizer_size(is)}, id = first_other_id(was, is, text);
    if (sizes[0] != sizes[1]) {
        snprintf(then, sizeof then, "%d tokens", sizes[0]);
        snprintf(now, sizeof now, "%d tokens", sizes[1]);
    } else if (id >= 0) {
        snprintf(then, sizeof then, "%d is \"%.40s\"", id, text[0]);
        snprintf(now, sizeof now, "%d is \"%.40s\"", id, text[1]);
    } else {
        changes_add(c, false, "model.tokenizer", "another file", "the same ids",
                    "the weights stay valid; text may be split into other tokens");
        return;
    }
    changes_add(c, true, "model.tokenizer", then, now, "the weights were trained with the old ids");
}

void changed_tokenizer(struct changes *c, const char *was, const char *json)
{
    struct problems ignored = {0};
    if (!was || strcmp(was, json) == 0) return;
    struct tokenizer *then = tokenizer_parse(was, strlen(was), "", &ignored),
                     *now = tokenizer_parse(json, strlen(json), "", &ignored);
    if (then && now) add_tokenizer(c, then, now);
    tokenizer_free(then);
    tokenizer_free(now);
    problems_free(&ignored);
}

/* "problems.jsonl, 0123456789abcdef" */
static void describe_file(char out[64], const char *path, uint64_t sum)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    snprintf(out, 64, "%.40s%s%016" PRIx64, base, *base ? ", " : "", sum);
}

/* By checksum: a file that moved is the same file. */
static void compare_file(struct changes *c, const char *name, const char *paths[2],
                         const uint64_t sums[2], bool refused, const char *means)
{
    char then[64], now[64];
    bool moved = strcmp(paths[0], paths[1]) != 0;
    if (sums[0] != sums[1]) {
        describe_file(then, paths[0], sums[0]);
        describe_file(now, paths[1], sums[1]);
        changes_add(c, refused, name, then, now, means);
    } else if (moved) {
        changes_add(c, false, name, paths[0], paths[1], "the same problems");
    }
}

/* A generator's problems follow from settings: their rows say it, unless the program itself has
 * changed. */
void changed_data(struct changes *c, const struct run *r, const struct settings *then,
                  const struct position *q, struct standing at)
{
    const struct data_settings *was = &then->data, *is = &r->settings.data;
    bool inside = at.step > 0 && at.phase < then->n_phases,
         told = changes_name(c, "seed") || changes_name(c, "data.");
    char means[128];
    const char *file[2] = {was->file, is->file},
               *heldout[2] = {was->heldout_file, is->heldout_file};
    uint64_t train[2] = {q->data_train, r->data_sum[SPLIT_TRAIN]},
             held[2] = {q->data_heldout, r->data_sum[SPLIT_HELDOUT]};
    if (!train[0] || !train[1]) train[0] = train[1]; /* not recorded, or not read */
    if (!held[0] || !held[1]) held[0] = held[1];
    if (r->settings.data.task != TASK_FILE && told) return;
    snprintf(means, sizeof means,
             inside
                 ? "other problems: the position, step %ld of phase %s, is counted in the old ones"
                 : "other problems from here on",
             at.step, inside ? then->phases[at.phase].name : "");
    compare_file(c, "data.file", file, train, inside, means);
    compare_file(c, "data.heldout_file", heldout, held, false,
                 "scores before and after this step are of other problems");
}
