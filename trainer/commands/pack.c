/* duet pack RECIPE FILE: how evenly answers that were sampled would fill a step's micro-batches,
 * pipelines and directions, dealt in turn (the plain way) and as training deals them. No MPI, no
 * model. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/file.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/settings.h"
#include "trainer/commands/commands.h"
#include "trainer/config/options.h"
#include "trainer/data/jsonl.h"
#include "trainer/data/vocabulary.h"
#include "trainer/learn/step.h"

struct pack_options {
    struct option_list sets;
    int batch;
    const char *args[2];
};

/* The whole job's lines: --batch is a step's sequences over all pipelines. */
static int read_pack_options(struct pack_options *o, int argc, char **argv)
{
    *o = (struct pack_options){.batch = 256};
    const struct option_row rows[] = {
        {"set", OPT_LIST, &o->sets, 0, 0, "KEY=VALUE: overrides a setting, e.g. --set mesh.dp=4"},
        {"batch", OPT_INT, &o->batch, 1, 1 << 20,
         "number of lines per step, taken in order (default 256; an incomplete last batch is left "
         "out)"},
    };
    struct options options = {
        .command = "pack",
        .summary =
            "Distributes answers over the micro-batches of a recipe's mesh and prints their number "
            "and by how much the most expensive exceeds the mean (attention included). FILE holds "
            "a \"prompt\" and a \"completion\" per line, as a run's samples.jsonl does.",
        .usage = "RECIPE FILE",
        .rows = rows,
        .n_rows = 2,
        .args = o->args,
        .min_args = 2,
        .max_args = 2};
    return options_parse(&options, argc, argv);
}

static char *read_bytes(const char *path, size_t *n, struct problems *p)
{
    char why[FILE_WHY], *bytes = file_read(path, FILE_ANY, SIZE_MAX, n, why);
    if (!bytes) problems_add(p, path, 0, "cannot be read: %s", why);
    return bytes;
}

/* Rows that each record makes as a sequence: prompt, <think> and answer, the last token only
 * predicted. */
static int *rows_of(const struct settings *s, const struct tokenizer *t, const struct records *all,
                    const char *file, struct problems *p)
{
    int *rows = memory_take((size_t)all->n + 1, sizeof *rows, "the lengths of answers");
    for (int i = 0; i < all->n; i++) {
        const struct problem_record *one = &all->r[i];
        size_t n = tokenizer_encode(t, one->prompt, strlen(one->prompt), false, NULL, 0);
        n += tokenizer_encode(t, one->answer, strlen(one->answer), true, NULL, 0);
        rows[i] = (int)n;
        if (n > (size_t)s->data.micro_batch_tokens)
            problems_add(p, file, one->line, "%zu rows exceed data.micro_batch_tokens %d", n,
                         s->data.micro_batch_tokens);
    }
    return rows;
}

/* Means over batches. */
struct pack_figures {
    double bins, imbalance[3];
};

static void add_deal(struct pack_figures *f, const struct deal *d, int batches)
{
    const double imbalance[] = {d->imbalance, d->pipelines_imbalance, d->directions_imbalance};
    f->bins += (double)d->bins / batches;
    for (int k = 0; k < 3; k++) f->imbalance[k] += (imbalance[k] - 1) / batches;
}

static void print_figures(const char *name, const struct pack_figures *f)
{
    printf("  %-14s %13.1f", name, f->bins);
    for (int k = 0; k < 3; k++) printf("  %11.2f %%", 100 * f->imbalance[k]);
    printf("\n");
}

/* Dealt twice, in turn and by cost: the difference is what dealing by cost gains. */
static void deal_batches(const struct settings *s, int vocabulary, const int *rows, int n,
                         int batch)
{
    struct dims dims = settings_dims(s, vocabulary);
    struct deal_shape shape = learner_deal_shape(s);
    shape.linear = deal_linear(&dims);
    struct arena a = {0};
    struct deal d;
    struct pack_figures plain = {0}, dealt = {0};
    int most = deal_bound(&shape, (size_t)batch * (size_t)shape.T_max), batches = n / batch;
    for (int placing = 0; placing < 2; placing++) {
        deal_place(&d, batch, most, &a);
        if (!placing) arena_back(&a, &device_host, a.used);
    }
    for (int i = 0; i < batches; i++) {
        deal_plainly(&d, &shape, rows + i * batch, batch);
        add_deal(&plain, &d, batches);
        deal_run(&d, &shape, rows + i * batch, batch);
        add_deal(&dealt, &d, batches);
    }
    arena_free(&a);
    printf("%d batches of %d sequences; micro-batches of %d rows; %d pipelines, %d directions\n",
           batches, batch, shape.T_max, shape.pipelines, shape.directions);
    printf("                 micro-batches  uneven by     pipelines      directions\n");
    print_figures("dealt in turn", &plain);
    print_figures("dealt by cost", &dealt);
}

/* The recipe on as many ranks as its mesh wants. */
static void load_settings(struct settings *s, const struct pack_options *o, struct problems *p)
{
    settings_defaults(s);
    if (!hf_settings_load(s, o->args[0], NULL, o->sets.at, o->sets.n, p)) return;
    s->mesh.sites = 1; /* one is as good as the other */
    settings_check(s, settings_ranks(s), p);
}

/* One process with no world: the recipe is taken on as many ranks as its mesh wants. */
int cmd_pack(int argc, char **argv)
{
    struct pack_options o;
    int code = read_pack_options(&o, argc, argv);
    if (code >= 0) return code;
    struct problems p = {0};
    struct settings s;
    char *json = NULL;
    struct records all = {0};
    load_settings(&s, &o, &p);
    problems_end_if_any(&p);
    struct tokenizer *tokenizer = vocabulary_open(&s, NULL, &json, &p);
    size_t n;
    char *bytes = read_bytes(o.args[1], &n, &p);
    const struct jsonl from = {o.args[1], "completion"};
    if (bytes) records_parse(&all, bytes, n, &from, &p);
    problems_end_if_any(&p);
    int *rows = rows_of(&s, tokenizer, &all, o.args[1], &p);
    if (all.n < o.batch)
        problems_add(&p, o.args[1], 0, "%d lines are fewer than a batch of %d: lower --batch",
                     all.n, o.batch);
    problems_end_if_any(&p);
    deal_batches(&s, tokenizer_size(tokenizer), rows, all.n, o.batch);
    free(rows);
    free(bytes);
    records_free(&all);
    tokenizer_free(tokenizer);
    free(json);
    settings_free(&s);
    return EXIT_DONE;
}
