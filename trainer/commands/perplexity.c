/* duet perplexity MODEL [FILE]. */
#include "trainer/commands/perplexity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/commands/commands.h"

enum { WINDOWS = 64 }; /* scored at once */

struct sum {
    double logp; /* of what this rank scored */
    long tokens;
};

static void found(void *ctx, int sequence, const float *logp, int n)
{
    struct sum *s = ctx;
    (void)sequence;
    for (int i = 0; i < n; i++) s->logp += (double)logp[i];
    s->tokens += n;
}

/* Up to WINDOWS windows from token `at` on; returns the token behind them. A last window of one
 * token predicts nothing. Collective. */
static size_t score_windows(struct run *r, struct sum *s, int *ids, size_t n, size_t at, int window)
{
    struct sequence list[WINDOWS];
    float weight[WINDOWS] = {0};
    int k = 0;
    for (; k < WINDOWS && at + 1 < n; k++) {
        size_t length = n - at < (size_t)window ? n - at : (size_t)window;
        list[k] =
            (struct sequence){.prompt = k, .n_prompt = 1, .n = (int)length, .token = ids + at};
        at += length;
    }
    struct step_job job = {.sequence = list, .weight = weight, .n = k, .inv_temperature = 1};
    learner_score(&r->learner, &job, found, s);
    return at + 1 < n ? at : n;
}

static int *encode_text(const struct tokenizer *t, const char *text, size_t n, size_t *count)
{
    *count = tokenizer_encode(t, text, n, false, NULL, 0);
    int *ids = memory_take(*count + 1, sizeof *ids, "the tokens of a text");
    tokenizer_encode(t, text, n, false, ids, *count);
    return ids;
}

static struct perplexity score_text(struct run *r, const char *text, size_t n, int window)
{
    size_t count;
    struct sum s = {0};
    int context = r->stage.dims.max_context;
    if (window > context) window = context;
    int *ids = encode_text(r->tokenizer, text, n, &count);
    for (size_t at = 0; at + 1 < count;) at = score_windows(r, &s, ids, count, at, window);
    free(ids);
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &s.logp, 1, MPI_DOUBLE, MPI_SUM, r->world->comm));
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &s.tokens, 1, MPI_LONG, MPI_SUM, r->world->comm));
    return (struct perplexity){exp(-s.logp / (double)s.tokens), s.tokens, window};
}

/* Among all tokens (all_tokens), as other programs measure it, so that figures can be compared. */
struct perplexity perplexity_of(struct world *w, const char *model, const struct option_list *sets,
                                const char *text, size_t n, int window)
{
    struct run r;
    struct problems p = {0};
    struct extent extent = {.keep = KEEP_WEIGHTS,
                            .sequences = WINDOWS,
                            .answers = 1,
                            .questions = 1,
                            .max_new = 1,
                            .all_tokens = true};
    answer_enter(&r, w, model, sets, extent);
    struct perplexity is = score_text(&r, text, n, window);
    run_close(&r);
    if (is.tokens == 0)
        problems_add(&p, NULL, 0,
                     "the text has fewer than two tokens, so nothing can be predicted: give a "
                     "longer one");
    problems_end_if_any(&p);
    return is;
}

/* The text is read by rank 0 before the model: a wrong name is said at once. */
int cmd_perplexity(int argc, char **argv)
{
    struct option_list sets = {0};
    const char *args[2] = {NULL, NULL};
    int window = PERPLEXITY_WINDOW;
    const struct option_row rows[] = {
        {"window", OPT_INT, &window, 2, 1 << 24,
         "tokens that the text is cut into; at most the model's context"},
        {"set", OPT_LIST, &sets, 0, 0, "KEY=VALUE: overrides a setting of the model's recipe"}};
    struct options o = {
        .command = "perplexity",
        .summary = "Perplexity of a text, from FILE or standard input: e to the mean of -log p of "
                   "its tokens.\nThe text is cut into windows; each token of a window but the "
                   "first is predicted from\nthose before it. Prints one line of JSON.",
        .usage = "MODEL [FILE]",
        .rows = rows,
        .n_rows = 2,
        .args = args,
        .min_args = 1,
        .max_args = 2};
    int code = options_parse(&o, argc, argv);
    if (code >= 0) return code;
    struct world w;
    size_t n;
    world_up(&w, &argc, &argv);
    char *text = answer_read(&w, args[1] ? args[1] : "-", &n);
    struct perplexity is = perplexity_of(&w, args[0], &sets, text, n, window);
    free(text);
    if (w.rank == 0)
        printf("{\"perplexity\": %.6g, \"nats_per_token\": %.6g, \"tokens\": %ld, \"window\": "
               "%d}\n",
               is.value, log(is.value), is.tokens, is.window);
    world_down(&w);
    return EXIT_DONE;
}
