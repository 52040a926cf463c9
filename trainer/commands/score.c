/* duet score MODEL [FILE]: log-probabilities of given tokens, in full precision: JSON Lines in,
 * JSON Lines out.
 *
 * In: {"prompt_ids": [...], "answer_ids": [...], "temperature": 1} (other members are ignored, so
 * that a line of samples.jsonl with save_tokens serves as it is). Out: {"line": n, "logp": [...]}
 * of the answer's tokens, printed so that they read back to the same floats. With the weights that
 * sampled, they equal the recorded ones bit for bit (P2). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/commands/model.h"
#include "trainer/commands/commands.h"

struct item {
    int line, n_prompt, n;
    int *token;
    float *logp;
    double temperature;
};
struct score_items {
    struct item *item;
    int n;
};

static int take_ids(const json_t *a, int *out)
{
    size_t n = json_array_size(a);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(a, i);
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id > 1 << 30) return -1;
        out[i] = (int)id;
    }
    return (int)n;
}

/* Lines are parsed on all ranks alike; mistakes are collected with their line. */
static void take_line(struct score_items *all, const char *text, size_t n, int line,
                      const char *file, struct problems *p)
{
    json_error_t why;
    json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    const json_t *prompt = json_object_get(o, "prompt_ids"),
                 *answer = json_object_get(o, "answer_ids");
    const json_t *t = json_object_get(o, "temperature");
    struct item it = {.line = line, .temperature = json_is_number(t) ? json_number_value(t) : 1};
    size_t total = json_array_size(prompt) + json_array_size(answer);
    it.token = memory_take(total + 1, sizeof(int), "a line to score");
    it.logp = memory_take(total + 1, sizeof(float), "a line to score");
    it.n_prompt = take_ids(prompt, it.token);
    int answers = it.n_prompt < 0 ? -1 : take_ids(answer, it.token + it.n_prompt);
    it.n = it.n_prompt + answers;
    if (!o)
        problems_add(p, file, line, "is not JSON: %s", why.text);
    else if (it.n_prompt < 1 || answers < 1)
        problems_add(p, file, line,
                     "needs \"prompt_ids\" and \"answer_ids\": arrays of token ids, "
                     "neither empty");
    else if (!(it.temperature >= TEMPERATURE_LEAST && it.temperature <= TEMPERATURE_MOST))
        problems_add(p, file, line, "\"temperature\" must be from %g to %g", TEMPERATURE_LEAST,
                     TEMPERATURE_MOST);
    json_decref(o);
    all->item = realloc(all->item, (size_t)(all->n + 1) * sizeof it);
    SYS_OK(all->item, "free memory", "no memory for line %d", line);
    all->item[all->n++] = it;
}

static void take_lines(struct score_items *all, const char *text, size_t n, const char *file,
                       struct problems *p)
{
    int line = 1;
    for (size_t at = 0; at < n; line++) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end ? (size_t)(end - text) - at : n - at;
        if (length > strspn(text + at, " \t\r")) take_line(all, text + at, length, line, file, p);
        at += length + 1;
    }
}

/* Needs the model, so it comes after it was opened. */
static void check_items(const struct run *r, const struct score_items *all, const char *file,
                        struct problems *p)
{
    for (int i = 0; i < all->n; i++) {
        const struct item *it = &all->item[i];
        if (it->n > r->stage.dims.max_context)
            problems_add(p, file, it->line, "has %d tokens, more than the model's context of %d",
                         it->n, r->stage.dims.max_context);
        for (int t = it->n_prompt; t < it->n; t++)
            if (never_has(&r->never, it->token[t]))
                problems_add(
                    p, file, it->line,
                    "token id %d is never sampled (model.never_tokens): --sampled gives it "
                    "no probability",
                    it->token[t]);
        for (int t = 0; t < it->n; t++)
            if (it->token[t] >= r->stage.dims.V) {
                problems_add(p, file, it->line, "token id %d is outside the vocabulary of %d",
                             it->token[t], r->stage.dims.V);
                break;
            }
    }
}

struct score_found {
    struct score_items *all;
    int from;
};

static void found(void *ctx, int sequence, const float *logp, int n)
{
    struct score_found *f = ctx;
    memcpy(f->all->item[f->from + sequence].logp, logp, (size_t)n * sizeof *logp);
}

enum { BATCH = 64 };

/* Up to BATCH items of one temperature from number `from`; returns how many. Collective. */
static int score_batch(struct run *r, struct score_items *all, int from)
{
    struct sequence s[BATCH];
    float weight[BATCH] = {0};
    int n = 0;
    for (; n < BATCH && from + n < all->n; n++) {
        const struct item *it = &all->item[from + n];
        if (it->temperature < all->item[from].temperature ||
            it->temperature > all->item[from].temperature)
            break;
        s[n] = (struct sequence){
            .prompt = n, .n_prompt = it->n_prompt, .n = it->n, .token = it->token};
    }
    struct step_job job = {.sequence = s,
                           .weight = weight,
                           .n = n,
                           .inv_temperature = 1 / (float)all->item[from].temperature};
    struct score_found f = {all, from};
    learner_score(&r->learner, &job, found, &f);
    return n;
}

static void print_items(const struct score_items *all)
{
    for (int i = 0; i < all->n; i++) {
        const struct item *it = &all->item[i];
        printf("{\"line\": %d, \"logp\": [", it->line);
        for (int t = 0; t < it->n - it->n_prompt; t++)
            printf("%s%.9g", t ? ", " : "", (double)it->logp[t]);
        printf("]}\n");
    }
}

/* Every item was scored by one rank; the others hold zeros, so the sum is exact. */
static void gather_items(const struct run *r, struct score_items *all)
{
    for (int i = 0; i < all->n; i++)
        MPI_OK(MPI_Allreduce(MPI_IN_PLACE, all->item[i].logp, all->item[i].n, MPI_FLOAT, MPI_SUM,
                             r->world->comm));
}

static void items_free(struct score_items *all)
{
    for (int i = 0; i < all->n; i++) {
        free(all->item[i].token);
        free(all->item[i].logp);
    }
    free(all->item);
}

/* Sums over a layer's ranks are made in their order: another tp rounds otherwise. */
static void warn_of_other_tp(const struct run *r)
{
    if (r->world->rank != 0 || r->mesh.tp == r->trained_tp) return;
    fprintf(stderr,
            "duet score: the run had mesh.tp %d, this job has %d: the last bits may differ from "
            "the recorded ones; for the same bits, start it on a multiple of %d ranks with --set "
            "mesh.tp=%d\n",
            r->trained_tp, r->mesh.tp, r->trained_tp, r->trained_tp);
}

/* Every rank has the text and finds the same mistakes, so each can end without agreeing first. */
int cmd_score(int argc, char **argv)
{
    struct option_list sets = {0};
    bool sampled = false;
    const char *args[2] = {NULL, NULL};
    const struct option_row rows[] = {
        {"sampled", OPT_FLAG, &sampled, 0, 0,
         "probabilities among the tokens that may be sampled (all but model.never_tokens), as a "
         "run "
         "records them; without it among all, as other programs have them"},
        {"set", OPT_LIST, &sets, 0, 0,
         "KEY=VALUE: overrides a setting of the checkpoint's recipe"}};
    struct options o = {
        .command = "score",
        .summary =
            "Log-probabilities of given tokens: reads JSON Lines with prompt_ids and answer_ids "
            "(such as samples.jsonl with save_tokens) from FILE or standard input and writes JSON "
            "Lines in full precision. With the run's mesh.tp they equal the recorded ones bit for "
            "bit, those of a model with model.never_tokens with --sampled; with another mesh.tp, a "
            "warning says that the last bits may differ.",
        .usage = "MODEL [FILE]",
        .rows = rows,
        .n_rows = 2,
        .args = args,
        .min_args = 1,
        .max_args = 2};
    int code = options_parse(&o, argc, argv);
    if (code >= 0) return code;
    const char *file = args[1] ? args[1] : "-";
    struct problems p = {0};
    struct score_items all = {0};
    struct run r;
    struct world w;
    struct extent extent = {.keep = KEEP_WEIGHTS,
                            .sequences = BATCH,
                            .answers = 1,
                            .questions = 1,
                            .max_new = 1,
                            .all_tokens = !sampled};
    world_end_on_signals();
    answer_open(&r, &w, &argc, &argv, args[0], &sets, extent);
    warn_of_other_tp(&r);
    size_t n;
    char *text = answer_read(&w, file, &n);
    take_lines(&all, text, n, file, &p);
    free(text);
    problems_end_if_any(&p);
    check_items(&r, &all, file, &p);
    problems_end_if_any(&p);
    for (int i = 0; i < all.n;) i += score_batch(&r, &all, i);
    gather_items(&r, &all);
    if (w.rank == 0) print_items(&all);
    items_free(&all);
    answer_close(&r, &w);
    return EXIT_DONE;
}
