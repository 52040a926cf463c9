/* `duet inspect`: what a checkpoint holds, and whether it is whole. */
#include "comm/base/problems.h"
#include "trainer/checkpoint/checkpoint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/checkpoint/open.h"
#include "trainer/checkpoint/shard.h"
#include "trainer/checkpoint/where.h"

/* "(8, 352, 128)"; the number of elements where no shape is recorded */
static void shape_text(char out[64], const struct manifest_tensor *t)
{
    int n = snprintf(out, 64, "(%d", t->shape[0]);
    if (t->shape[0] == 0) {
        snprintf(out, 64, "(%zu)", t->n);
        return;
    }
    for (int i = 1; i < PARAM_DIMS && t->shape[i] > 0; i++)
        n += snprintf(out + n, (size_t)(64 - n), ", %d", t->shape[i]);
    snprintf(out + n, (size_t)(64 - n), ")");
}

static void print_tensors(const struct manifest *m)
{
    size_t all = 0;
    printf("\n%-44s %22s %14s %7s\n", "tensor", "shape", "elements", "slices");
    for (size_t i = 0; i < m->tensors; i++) {
        char shape[64];
        shape_text(shape, &m->tensor[i]);
        printf("%-44s %22s %14zu %7zu\n", m->tensor[i].name, shape, m->tensor[i].n,
               m->tensor[i].slices);
        all += m->tensor[i].n;
    }
    printf("%-67zu %14zu\n", m->tensors, all);
}

/* Returns whether all of them are whole. */
static bool print_shards(const struct checkpoint *c, struct problems *p)
{
    bool ok = true;
    printf("\n%-28s %14s  %-16s\n", "shard", "bytes", "xxh64");
    for (int i = 0; i < c->manifest->shards; i++) {
        char name[64];
        const struct file_sum *s = &c->manifest->shard[i];
        const bool whole = shard_check(c->manifest, c->folder, i, p);
        shard_name(name, i, c->manifest->shards);
        printf("%-28s %14" PRIu64 "  %016" PRIx64 "  %s\n", name, s->bytes, s->xxh64,
               whole ? "whole" : "DAMAGED");
        ok = ok && whole;
    }
    return ok;
}

static void print_state(const json_t *state)
{
    char *text = json_dumps(state, JSON_INDENT(2) | JSON_SORT_KEYS);
    printf("\nstate %s\n", text ? text : "?");
    free(text);
}

/* Goes on behind damage, so that one call names all of it; without state the manifest itself is
 * unreadable. stdout is flushed before the problems go to stderr, to keep their order. */
static int inspect_one(const char *folder, struct checkpoint_check check)
{
    struct checkpoint c;
    struct problems p = {0};
    bool ok = checkpoint_load(&c, folder, &p);
    printf("%s\n", folder);
    if (c.state) {
        printf("step %ld, %d shards%s%s%s\n", c.step, c.manifest->shards,
               c.recipe ? ", recipe.yaml" : "", c.tokenizer ? ", tokenizer.json" : "",
               c.manifest->keep_forever ? ", kept forever" : "");
        print_tensors(c.manifest);
        ok = print_shards(&c, &p) && ok;
        ok = checkpoint_passes(&c, check, &p) && ok;
        print_state(c.state);
    }
    printf("\n%s\n", ok ? "verified: whole" : "verified: DAMAGED");
    fflush(stdout);
    if (!ok) problems_print(&p);
    problems_free(&p);
    checkpoint_close(&c);
    return ok ? EXIT_DONE : EXIT_WORLD;
}

/* In a folder of checkpoints it verifies the one that a run would resume from first, and lists all.
 * */
int checkpoint_inspect(const char *path, struct checkpoint_check check)
{
    struct where at;
    struct problems p = {0};
    if (!where_find(&at, path, &p)) {
        problems_print(&p);
        problems_free(&p);
        return EXIT_USER;
    }
    char folder[PATH_BYTES];
    path_make(folder, "%s", at.root);
    if (!at.one) {
        printf("%s:", at.root);
        for (int i = 0; i < at.list.n; i++)
            printf(" step-%08ld%s", at.list.entry[i].step, at.list.entry[i].old ? ".old" : "");
        printf("\n\n");
        store_path(folder, at.root, at.list.entry[0]);
    }
    const int code = inspect_one(folder, check);
    where_free(&at);
    return code;
}
