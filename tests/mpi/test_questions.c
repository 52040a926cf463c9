/* ranks: 1 2 4 */
/* The questions of a step: every rank knows the lengths of all prompts and makes tokens of its
 * share, of what it answers and of what its pipeline learns from, no more, however many ranks there
 * are. A prompt that does not fit is told alike everywhere. */
#include "tests/support/check_mpi.h"
#include "tests/support/recipe_text.h"
#include "tests/support/shared_folder.h"
#include "trainer/phases/phases.h"
#include "trainer/phases/rl.h"
#include "trainer/run/questions.h"

enum { EACH = 6, SAMPLES = 3, FROM = 5, LINES = 240, CONTEXT = 64 };

static void open_run(struct run *r, const char *data)
{
    struct settings s = recipe_of(ck_world.size,
                                  "model: {layers: 2, hidden: 16, heads: 2, ffn: 16, "
                                  "max_context: %d}\nmesh: {pp: 1, decode_slots: 4}\n"
                                  "precision: fp32\n"
                                  "data: {%s, micro_batch_tokens: 128}\n"
                                  "phases: [{kind: grpo, prompts: %d, samples: %d, max_new: 8, "
                                  "steps: 1}]\n",
                                  CONTEXT, data, EACH * ck_world.size, SAMPLES);
    run_open(r, &ck_world, s, NULL, extent_of(phase_kinds, &s));
}

/* What one rank would ask, all by itself, in any order of questions; each prompt and problem once
 * more than it was. */
static void check_all(struct run *r, enum split split, uint32_t from, int n)
{
    for (int k = 0; k < 2 * n; k++) {
        int token[CONTEXT], n_prompt = 0, i = k * 7 % n;
        struct problem plain;
        source_problem(r->source, split, from + (uint32_t)i, &plain);
        int tokens = run_encode(r, plain.prompt, NULL, 0, token, &n_prompt);
        const struct problem *p = questions_problem(r, (i + k) % n);
        ck_all(p != NULL, "no problem");
        p = questions_problem(r, i);
        ck_all(strcmp(p->prompt, plain.prompt) == 0 && strcmp(p->answer, plain.answer) == 0,
               "problem %d is %s, not %s", i, p->prompt, plain.prompt);
        ck_all(r->scratch->question[i].n == tokens, "prompt %d: %d tokens, not %d", i,
               r->scratch->question[i].n, tokens);
        ck_all(memcmp(questions_prompt(r, i), token, (size_t)tokens * sizeof(int)) == 0,
               "prompt %d has other tokens", i);
    }
}

START_TEST(all_know_all_lengths)
{
    struct run r;
    int n = EACH * ck_world.size - 1; /* no multiple of the ranks */
    open_run(&r, "task: arithmetic");
    for (uint32_t from = FROM; from < 3 * FROM; from += FROM) {
        long before = r.scratch->questions.encoded;
        questions_ask(&r, SPLIT_TRAIN, from, n);
        long share = r.scratch->questions.encoded - before;
        ck_all(share <= EACH, "%ld texts of a share of %d", share, EACH);
        check_all(&r, SPLIT_TRAIN, from, n);
    }
    run_close(&r);
}
END_TEST

/* With a pipeline a rank: a share for the lengths, what a rank answers (twice its share at most),
 * what it learns from. Answers that teach nothing are not learned from: SAMPLES bounds the rest. */
START_TEST(encoded_where_it_is_used)
{
    struct run r;
    open_run(&r, "task: arithmetic");
    const struct phase_settings *k = &r.settings.phases[0];
    questions_ask(&r, SPLIT_TRAIN, 0, k->prompts);
    long share = r.scratch->questions.encoded;
    struct rollout_job job = {.question = r.scratch->question,
                              .questions = k->prompts,
                              .samples = SAMPLES,
                              .prompt = questions_prompt,
                              .prompt_context = &r,
                              .max_new = k->max_new,
                              .sampling = {1, 0, 1},
                              .ends = r.ends,
                              .sampleable = tokenizer_size(r.tokenizer),
                              .purpose = RNG_SAMPLE};
    rollout_run(r.rollout, &job, NULL);
    long asked = r.scratch->questions.encoded - share, all = asked;
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_LONG, MPI_SUM, ck_world.comm));
    ck_all(share == EACH && asked <= 2 * EACH, "%ld texts for lengths, %ld to answer", share,
           asked);
    ck_all(all <= k->prompts && all >= k->prompts - ck_world.size, "%ld prompts asked of %d", all,
           k->prompts);
    run_close(&r);
}
END_TEST

/* --- files --- */

static void write_lines(const char *path, int long_line)
{
    FILE *f = fopen(path, "w");
    for (int i = 0; f && i < LINES; i++)
        fprintf(f, "{\"prompt\": \"%d+%d=%.*s\", \"answer\": \"%d\"}\n", i, i,
                i + 1 == long_line ? 40 : 0, "0000000000000000000000000000000000000000", 2 * i);
    if (f) fclose(f);
}

/* After the start nothing fits any more: one message, the same on all ranks, with the line of the
 * first question; of training problems other draws are tried before. */
static void check_refused(struct run *r, enum split split, const char *path)
{
    struct problems p = {0};
    struct problem first;
    int context = r->stage.dims.max_context, n = 3;
    char place[512];
    source_problem(r->source, split, 1, &first);
    snprintf(place, sizeof place, "%s:%d: prompts of ", path, source_place(r->source, &first).line);
    r->stage.dims.max_context = 4;
    questions_look(r, split, 1, n, &p);
    r->stage.dims.max_context = context;
    ck_all(p.n == 1 && strncmp(p.text[0], place, strlen(place)) == 0,
           "%d problems: %.200s, not %.200s", p.n, p.n ? p.text[0] : "", place);
    problems_free(&p);
}

START_TEST(lines_of_a_file)
{
    struct run r;
    char folder[SHARED_FOLDER], path[300], data[400];
    shared_folder_make(folder);
    snprintf(path, sizeof path, "%s/questions.jsonl", folder);
    if (ck_world.rank == 0) write_lines(path, 17);
    MPI_OK(MPI_Barrier(ck_world.comm));
    snprintf(data, sizeof data, "task: file, file: '%s'", path);
    open_run(&r, data);
    questions_ask(&r, SPLIT_TRAIN, 0, EACH * ck_world.size);
    check_all(&r, SPLIT_TRAIN, 0, EACH * ck_world.size);
    int heldout = source_heldout(r.source, EACH * ck_world.size);
    questions_ask(&r, SPLIT_HELDOUT, 0, heldout);
    check_all(&r, SPLIT_HELDOUT, 0, heldout);
    check_refused(&r, SPLIT_TRAIN, path);
    check_refused(&r, SPLIT_HELDOUT, path);
    run_close(&r);
    shared_folder_remove(folder);
}
END_TEST

/* A training problem that does not fit now gives way to another draw, everywhere the same. */
START_TEST(another_draw)
{
    struct run r;
    int n = EACH * ck_world.size, least = CONTEXT, most = 0, others = 0;
    open_run(&r, "task: equations, difficulty: 3");
    questions_ask(&r, SPLIT_TRAIN, 0, n);
    for (int i = 0; i < n; i++) {
        int tokens = r.scratch->question[i].n;
        least = tokens < least ? tokens : least;
        most = tokens > most ? tokens : most;
    }
    ck_all(least < most, "all prompts have %d tokens", least);
    r.stage.dims.max_context = most;
    questions_ask(&r, SPLIT_TRAIN, 0, n);
    for (int i = 0; i < n; i++) {
        int draw = r.scratch->questions.asked[i].draw, tokens = r.scratch->question[i].n;
        others += draw > 0;
        ck_all(tokens > 0 && tokens < most, "prompt %d of %d tokens", i, tokens);
        const struct problem *p = questions_problem(&r, i);
        struct problem plain;
        source_problem(r.source, SPLIT_TRAIN, (uint32_t)i + (uint32_t)draw * 0x9e3779b1u, &plain);
        ck_all(strcmp(p->prompt, plain.prompt) == 0, "draw %d of %d", draw, i);
    }
    ck_all(others > 0, "every first draw fits");
    r.stage.dims.max_context = CONTEXT;
    run_close(&r);
}
END_TEST

#define TESTS(X)                \
    X(all_know_all_lengths)     \
    X(encoded_where_it_is_used) \
    X(lines_of_a_file)          \
    X(another_draw)

MPI_MAIN("questions")
