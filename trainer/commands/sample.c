/* duet sample MODEL [PROMPT ...]: what the model answers. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/problems.h"
#include "trainer/commands/model.h"
#include "trainer/commands/commands.h"
#include "trainer/data/unknown.h"
#include "trainer/run/grade.h"
#include "trainer/run/questions.h"

enum { MOST_PROMPTS = 256 };

struct sample_options {
    struct option_list sets;
    int samples, problems, max_new, top_k, seed;
    double temperature, top_p;
    const char *args[MOST_PROMPTS + 1];
    int n_args;
};

static void check_sample_options(const void *checked, struct problems *p)
{
    const struct sample_options *e = checked;
    answer_check_options(MOST_PROMPTS, e->samples, e->temperature, p);
}

/* -1 is what no user can give: the recipe's value counts. */
static int read_sample_options(struct sample_options *e, int argc, char **argv)
{
    *e = (struct sample_options){
        .samples = 1, .problems = 5, .temperature = -1, .top_p = -1, .top_k = -1, .seed = -1};
    const struct option_row rows[] = {
        {"samples", OPT_INT, &e->samples, 1, 4096, "answers per problem prompt (default 1)"},
        {"problems", OPT_INT, &e->problems, 1, MOST_PROMPTS,
         "without a PROMPT: number of held-out problems to show (default 5)"},
        {"max-new", OPT_INT, &e->max_new, 1, 1 << 20,
         "maximum answer length in tokens (default: the recipe's)"},
        {"temperature", OPT_REAL, &e->temperature, 0, 100,
         "0: greedy, else at least 0.001 (default: the recipe's)"},
        {"top-k", OPT_INT, &e->top_k, 0, 1 << 20, "sample from the k most likely tokens; 0: off"},
        {"top-p", OPT_REAL, &e->top_p, 1e-6, 1,
         "sample from the most likely tokens with this total probability; 1: off"},
        {"seed", OPT_INT, &e->seed, 0, INT_MAX,
         "seed of the sampling: another seed gives other answers"},
        {"set", OPT_LIST, &e->sets, 0, 0,
         "KEY=VALUE: overrides a setting of the checkpoint's recipe"},
    };
    struct options o = {.command = "sample",
                        .summary = "Prints a checkpoint's answers to the given prompts, or to "
                                   "held-out problems with their verdicts.",
                        .usage = "MODEL [PROMPT ...]",
                        .check = check_sample_options,
                        .checked = e,
                        .rows = rows,
                        .n_rows = 8,
                        .args = e->args,
                        .min_args = 1,
                        .max_args = MOST_PROMPTS + 1};
    int code = options_parse(&o, argc, argv);
    e->n_args = o.n_args;
    return code;
}

/* The model cannot tell these characters apart: what it answers may not be to what was asked. */
static void warn_of_unknown(const struct run *r, const char *prompt, int number)
{
    char names[512];
    struct unknown u = {0};
    struct text text = {names, 0, sizeof names, false};
    if (!unknown_scan(&u, r->tokenizer, (struct span){prompt, strlen(prompt)}, false)) return;
    unknown_name(&u, &text);
    log_warn("prompt %d has characters that are not in the model's tokenizer: %s; the model reads "
             "each as <unk>",
             number, names);
}

/* The prompts of the command line as questions; "\n" in them is a newline. */
static void take_prompts(struct run *r, const struct sample_options *e, int n)
{
    struct problems p = {0};
    for (int i = 0; i < n && r->world->rank == 0; i++) warn_of_unknown(r, e->args[1 + i], i + 1);
    questions_given(r, e->args + 1, n, &p);
    problems_end_if_any(&p);
}

static int stop_asked(void *unused)
{
    (void)unused;
    return world_stop_requested();
}

/* Draws are keyed as an evaluation's, not as training's (RNG_EVAL). */
static struct rollout_job sample_job(struct run *r, const struct sample_options *e, int questions)
{
    struct phase_settings k = answer_phase(&r->settings);
    struct rollout_job j = {.question = r->scratch->question,
                            .prompt = questions_prompt,
                            .prompt_context = r,
                            .questions = questions,
                            .samples = e->samples,
                            .max_new = e->max_new > 0 ? e->max_new : k.max_new,
                            .ends = r->ends,
                            .sampleable = tokenizer_size(r->tokenizer),
                            .seed = (uint64_t)(e->seed >= 0 ? e->seed : r->settings.run.seed),
                            .purpose = RNG_EVAL,
                            .step = (uint32_t)r->step,
                            .stop = stop_asked};
    j.sampling = (struct sampling){(float)(e->temperature >= 0 ? e->temperature : k.temperature),
                                   e->top_k >= 0 ? e->top_k : k.top_k,
                                   (float)(e->top_p > 0 ? e->top_p : k.top_p)};
    return j;
}

/* "[right]", "[wrong: wrong value, read 31, expected 32]" */
static void print_verdict(struct run *r, const struct problem *p, const struct answer *a)
{
    struct verdict graded = grade_one(r, p, a);
    if (graded.why == REASON_RIGHT) {
        printf("   [right]");
        return;
    }
    printf("   [wrong: %s", reason_text(graded.why));
    if (graded.has_read && graded.read[0]) printf(", read %s", graded.read);
    printf(", expected %s]", p->answer);
}

static void print_answer(struct run *r, const struct problem *problem, const struct answer *a,
                         bool graded)
{
    struct step_scratch *s = r->scratch;
    const char *between = chat_open(r->chat) ? "<think>" : "\n";
    tokenizer_decode(r->tokenizer, a->token, (size_t)a->n, s->text, s->text_size);
    printf("%s%s%s%s", problem->prompt, between, s->text, a->truncated ? " ..." : "");
    if (graded) print_verdict(r, problem, a);
    printf("\n");
}

/* Rank 0 prints them, fetching one after the other from the ranks that sampled them. */
static void print_answers(struct run *r, int questions, const struct rollout_job *j, bool graded)
{
    for (int i = 0; i < questions * j->samples; i++) {
        const struct answer *a = rollout_fetch(r->rollout, i);
        if (a) print_answer(r, questions_problem(r, i / j->samples), a, graded);
    }
}

/* After a signal the answers that are complete are shown, up to the first question that is not. */
int cmd_sample(int argc, char **argv)
{
    struct sample_options e;
    int code = read_sample_options(&e, argc, argv);
    if (code >= 0) return code;
    struct run r;
    struct world w;
    bool given = e.n_args > 1;
    int questions = given ? e.n_args - 1 : e.problems;
    struct extent extent = {.keep = KEEP_WEIGHTS,
                            .answers = questions * e.samples,
                            .samples = e.samples,
                            .questions = questions,
                            .heldout = given ? 0 : questions,
                            .max_new = e.max_new,
                            .sampling = true};
    if (!given) extent.data = (struct source_needs){SPLITS_HELDOUT, SPLITS_HELDOUT};
    world_catch_signals(); /* a request while we load is heard by the first decode batch */
    answer_open(&r, &w, &argc, &argv, e.args[0], &e.sets, extent);
    if (!given) questions = source_heldout(r.source, questions);
    if (given)
        take_prompts(&r, &e, questions);
    else
        questions_ask(&r, SPLIT_HELDOUT, 0, questions);
    struct rollout_job j = sample_job(&r, &e, questions);
    rollout_run(r.rollout, &j, NULL);
    const int complete = rollout_whole(r.rollout);
    print_answers(&r, complete, &j, !given);
    if (w.rank == 0 && complete < questions)
        fprintf(stderr, "stopped on request after %d of %d prompts: their answers are shown\n",
                complete, questions);
    answer_close(&r, &w);
    return complete < questions ? EXIT_STOPPED : EXIT_DONE;
}
