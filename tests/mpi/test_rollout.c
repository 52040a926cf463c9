/* ranks: 1 2 4; on each instruction set: 1 */
/* Answers do not depend on the mesh, the schedule, the slots or the decode batches (P3): tokens and
 * the bits of their log-probabilities are those of one rank. And they are on-policy (P2): a
 * learning step computes the same log-probabilities, to the bit, while the weights are the same. */
#include "tests/support/check_mpi.h"
#include "tests/support/small_answers.h"

enum { QUESTIONS = 5, MOST_ANSWERS = 25, MOST_SAMPLES = 5, MAX_NEW = 26, MESHES = 16, LAYERS = 8 };

static const int prompt_length[QUESTIONS] = {40, 1, 16, 15, 17};
static struct small_questions questions;
static struct world alone;

struct job_case {
    const char *name;
    int questions, samples;
    struct sampling sampling;
};

/* Run one after the other by the same rollout: each finds what the one before it left. */
static const struct job_case jobs[] = {
    {"five samples", QUESTIONS, 5, {1, 0, 1}},
    {"top-k, top-p", QUESTIONS, 1, {0.7f, 10, 0.9f}},
    {"one question", 1, 3, {1.3f, 0, 1}},
    {"greedy", QUESTIONS, 2, {0, 0, 1}},
};
enum { JOBS = sizeof jobs / sizeof *jobs };
static void questions_make(void)
{
    small_questions_make(&questions, prompt_length, QUESTIONS);
}

static struct rollout_job rollout_job_of(int job)
{
    struct rollout_job j = small_rollout_job(&questions, jobs[job].samples, MAX_NEW);
    j.prompt = small_prompt;
    j.prompt_context = questions.question;
    j.questions = jobs[job].questions;
    j.sampling = jobs[job].sampling;
    j.step = (uint32_t)job;
    return j;
}

static int answers_of(int job)
{
    return jobs[job].questions * jobs[job].samples;
}

static const struct rollout_room space = {MOST_ANSWERS, MOST_SAMPLES, MAX_NEW};

static void answer(struct small_answers *out, const struct world *w, struct rollout *r, int job)
{
    struct rollout_job j = rollout_job_of(job);
    small_answers_take(out, w, rollout_run(r, &j, NULL), answers_of(job));
}

/* --- meshes of this world, and how they decode --- */

struct setup {
    int dp, pp, schedule, slots, batches;
    enum precision precision;
};

static const struct setup decoding[] = {
    {.slots = 4, .batches = 1, .precision = PRECISION_BF16},
    {.slots = 4, .batches = 3, .precision = PRECISION_FP32},
    {.slots = 64, .batches = 0, .precision = PRECISION_BF16},
    {.slots = 20, .batches = 2, .precision = PRECISION_FP32},
};
enum { DECODINGS = sizeof decoding / sizeof *decoding };

static int meshes_make(struct setup *out)
{
    int n = 0, size = ck_world.size;
    for (int dp = 1; dp <= size; dp++) {
        if (size % dp) continue;
        int pp = size / dp;
        out[n++] = (struct setup){.dp = dp, .pp = pp, .schedule = SCHEDULE_1F1B};
        if (pp % 2 == 0)
            out[n++] = (struct setup){.dp = dp, .pp = pp, .schedule = SCHEDULE_DUALPIPE};
        if (2 * pp <= LAYERS)
            out[n++] = (struct setup){.dp = dp, .pp = pp, .schedule = SCHEDULE_DUALPIPEV};
    }
    return n;
}

/* In bf16 half of the layers have experts. */
static struct small_shape shape_of(const struct setup *s)
{
    static const char *const model[] = {
        [PRECISION_FP32] = "qk_norm: true, qkv_bias: true",
        [PRECISION_BF16] = "qk_norm: true, experts: 5, expert_ffn: 24, first_dense: 2"};
    return (struct small_shape){.model = model[s->precision],
                                .precision = s->precision,
                                .dp = s->dp,
                                .pp = s->pp,
                                .schedule = s->schedule,
                                .layers = LAYERS,
                                .max_context = SMALL_CONTEXT,
                                .micro_batch_tokens = SMALL_CONTEXT,
                                .micro_batches = 16 / s->dp,
                                .decode_slots = s->slots,
                                .decode_waves = s->batches};
}

static const char *setup_text(const struct setup *s)
{
    static const char *const schedule[] = {[SCHEDULE_SERIAL] = "serial",
                                           [SCHEDULE_1F1B] = "1f1b",
                                           [SCHEDULE_DUALPIPE] = "dualpipe",
                                           [SCHEDULE_DUALPIPEV] = "dualpipev"};
    static char text[128];
    snprintf(text, sizeof text, "%d x %d %s, %d slots, %d batches, %s", s->dp, s->pp,
             schedule[s->schedule], s->slots, s->batches,
             s->precision == PRECISION_BF16 ? "bf16" : "fp32");
    return text;
}

static struct setup single_of(enum precision precision)
{
    return (struct setup){
        .dp = 1, .pp = 1, .schedule = SCHEDULE_SERIAL, .slots = 16, .precision = precision};
}

/* --- the answers themselves --- */

/* Where answers end: at the first <eos>, or at the limits. */
static void check_ends(const struct small_answers *a, int job)
{
    for (int i = 0; i < answers_of(job); i++) {
        int room = SMALL_CONTEXT - prompt_length[i / jobs[job].samples];
        int limit = room < MAX_NEW ? room : MAX_NEW, first_eos = 0;
        while (first_eos < a->n[i] && a->token[i][first_eos] != SMALL_EOS) first_eos++;
        bool ended = first_eos == a->n[i] - 1, cut = first_eos == a->n[i] && a->n[i] == limit;
        ck_all(a->truncated[i] ? cut : ended && a->n[i] <= limit,
               "%s: answer %d has %d tokens of %d, <eos> at %d", jobs[job].name, i, a->n[i], limit,
               first_eos);
        bool possible = true;
        for (int t = 0; t < a->n[i]; t++)
            possible = possible && a->token[i][t] >= 0 && a->token[i][t] < SMALL_V - 2 &&
                       a->logp[i][t] < 0;
        ck_all(possible, "%s: a token or log-probability of answer %d cannot be", jobs[job].name,
               i);
    }
}

/* The test means little if all answers are alike: some end, some are cut, samples differ unless
 * greedy. */
static void check_variety(const struct small_answers *a, int job)
{
    int cut = 0, same = 0, G = jobs[job].samples, n = answers_of(job);
    for (int i = 0; i < n; i++) {
        int first = i / G * G;
        cut += a->truncated[i];
        same += i != first && memcmp(a->token[i], a->token[first], sizeof a->token[i]) == 0;
    }
    if (jobs[job].sampling.temperature == 0)
        ck_all(same == n - n / G, "greedy: %d equal", same);
    else
        ck_all(same <= 1, "%s: %d of %d answers equal", jobs[job].name, same, n);
    if (job == 0) ck_all(cut > 3 && cut < n - 3, "%d of %d cut", cut, n);
}

static void same_answers(const struct small_answers *a, const struct small_answers *b, int job,
                         const char *what)
{
    for (int i = 0; i < answers_of(job); i++) {
        size_t n = (size_t)b->n[i];
        bool tokens = a->n[i] == b->n[i] && a->truncated[i] == b->truncated[i] &&
                      memcmp(a->token[i], b->token[i], n * sizeof(int)) == 0;
        bool logp = memcmp(a->logp[i], b->logp[i], n * sizeof(float)) == 0;
        if (!tokens || !logp) /* agreeing on each would take longer than answering */
            fprintf(stderr, "rank %d: %s, %s: answer %d: %d tokens, not %d%s\n", ck_world.rank,
                    what, jobs[job].name, i, a->n[i], b->n[i], tokens ? " (only logp)" : "");
    }
    ck_all(memcmp(a, b, sizeof *a) == 0, "%s, %s", what, jobs[job].name);
}

static struct small_answers expected[2][JOBS]; /* [precision] */

static void expect(enum precision precision)
{
    struct setup s = single_of(precision);
    struct small t;
    small_make(&t, &alone, shape_of(&s));
    for (int job = 0; job < JOBS;
         job++) { /* a fresh rollout each: nothing is left of the one before */
        struct rollout *r = rollout_new(&t.stage, &alone, space);
        answer(&expected[precision][job], &alone, r, job);
        rollout_free(r);
        check_ends(&expected[precision][job], job);
        check_variety(&expected[precision][job], job);
    }
    small_free(&t);
}

static void compare(const struct setup *s)
{
    struct small_answers a;
    struct small t;
    const char *what = setup_text(s);
    small_make(&t, &ck_world, shape_of(s));
    struct rollout *r = rollout_new(&t.stage, &ck_world, space);
    for (int k = 0; k <= JOBS; k++) { /* the first one comes again after the last */
        answer(&a, &ck_world, r, k % JOBS);
        same_answers(&a, &expected[s->precision][k % JOBS], k % JOBS, what);
    }
    rollout_free(r);
    small_free(&t);
}

START_TEST(same_on_every_mesh)
{
    struct setup mesh[MESHES];
    int n = meshes_make(mesh);
    small_world_make(&alone);
    expect(PRECISION_FP32);
    expect(PRECISION_BF16);
    for (int i = 0; i < n; i++) /* one pipeline decodes in every way, several in every other */
        for (int k = mesh[i].dp == 1 ? 0 : i % 2; k < DECODINGS; k += mesh[i].dp == 1 ? 1 : 2) {
            struct setup s = mesh[i];
            s.slots = decoding[k].slots;
            s.batches = decoding[k].batches;
            s.precision = decoding[k].precision;
            compare(&s);
        }
    small_world_free(&alone);
}
END_TEST

/* --- stopped, and gone on with --- */

static int patience, asked; /* this rank hears of a stop when it has asked so often; -1: never */

static int stop_now(void *unused)
{
    (void)unused;
    return patience >= 0 && ++asked > patience;
}

/* Job 0 with stops that come later from time to time; each part goes on behind the questions that
 * were complete. Returns how often it was stopped short. */
static int answer_in_parts(struct small_answers *out, struct rollout *r, bool hears)
{
    int done = 0, stops = 0, G = jobs[0].samples;
    memset(out, 0, sizeof *out);
    for (int part = 0; done < QUESTIONS; part++) {
        struct rollout_job j = rollout_job_of(0);
        j.question += done;
        j.prompt_context = questions.question + done;
        j.questions -= done;
        j.first = done;
        j.stop = stop_now;
        patience = hears ? 5 << part : -1;
        asked = 0;
        const struct answer *a = rollout_run(r, &j, NULL);
        int whole = rollout_whole(r);
        ck_all(world_all(&ck_world, whole >= 0 && whole <= j.questions), "%d of %d", whole,
               j.questions);
        for (int i = 0; i < whole * G; i++) small_answers_keep(out, done * G + i, &a[i]);
        done += whole;
        stops += whole < j.questions;
        ck_all(part < 20, "no end of parts");
    }
    small_answers_share(out, &ck_world);
    return stops;
}

/* A stop that one rank hears, or all do, ends a rollout early; what is answered in parts is what is
 * answered at once. */
START_TEST(stopped_and_gone_on_with)
{
    struct setup mesh[MESHES];
    int n = meshes_make(mesh);
    small_world_make(&alone);
    expect(PRECISION_BF16);
    for (int i = 0; i < n; i++)
        for (int who = -1; who < 2 && who < ck_world.size; who++) { /* all, the first, the second */
            struct setup s = mesh[i];
            struct small t;
            struct small_answers a;
            s.slots = decoding[i % DECODINGS].slots;
            s.batches = decoding[i % DECODINGS].batches;
            s.precision = PRECISION_BF16;
            small_make(&t, &ck_world, shape_of(&s));
            struct rollout *r = rollout_new(&t.stage, &ck_world, space);
            int stops = answer_in_parts(&a, r, who < 0 || who == ck_world.rank);
            if (who <= 0) ck_all(stops > 0, "%s: never stopped", setup_text(&s));
            same_answers(&a, &expected[PRECISION_BF16][0], 0, setup_text(&s));
            answer(&a, &ck_world, r, 1); /* nothing is left of the stop */
            same_answers(&a, &expected[PRECISION_BF16][1], 1, setup_text(&s));
            rollout_free(r);
            small_free(&t);
        }
    small_world_free(&alone);
}
END_TEST

/* --- told as they are finished --- */

static struct heard {
    int times[MOST_ANSWERS];
    struct small_answers a;
    /* decode batches begun on this rank: before the first answer was told, in all */
    int asked_first, asked;
} heard;

static int count_wave(void *unused)
{
    (void)unused;
    heard.asked++;
    return 0;
}

static void hear(void *context, int index, const struct answer *a)
{
    struct heard *h = context;
    if (h->asked_first == 0) h->asked_first = h->asked;
    h->times[index]++;
    small_answers_keep(&h->a, index, a);
}

/* Every answer is told once, on one rank, whole, and the first of them before the last batch
 * begins. */
static void check_heard(const struct answer *a, int job, const char *what)
{
    static struct small_answers told, whole;
    int times[MOST_ANSWERS], n = answers_of(job);
    memset(&told, 0, sizeof told);
    memset(&whole, 0, sizeof whole);
    MPI_OK(MPI_Allreduce(heard.times, times, n, MPI_INT, MPI_SUM, ck_world.comm));
    for (int i = 0; i < n; i++) {
        ck_all(times[i] == 1, "%s: answer %d was told %d times", what, i, times[i]);
        if (heard.times[i] == 0) continue;
        small_answers_keep(&whole, i, &a[i]);
        told.n[i] = heard.a.n[i];
        told.truncated[i] = heard.a.truncated[i];
        memcpy(told.token[i], heard.a.token[i], sizeof told.token[i]);
        memcpy(told.logp[i], heard.a.logp[i], sizeof told.logp[i]);
    }
    ck_all(memcmp(&told, &whole, sizeof told) == 0, "%s: an answer changed after it was told",
           what);
    ck_all(heard.asked_first == 0 || heard.asked_first < heard.asked,
           "%s: nothing was told before batch %d of %d", what, heard.asked_first, heard.asked);
}

START_TEST(told_as_they_are_finished)
{
    struct setup mesh[MESHES];
    int n = meshes_make(mesh);
    for (int i = 0; i < n; i++) {
        struct setup s = mesh[i];
        struct small t;
        s.slots = 4;
        s.precision = PRECISION_FP32;
        small_make(&t, &ck_world, shape_of(&s));
        struct rollout *r = rollout_new(&t.stage, &ck_world, space);
        struct rollout_job j = rollout_job_of(0);
        memset(&heard, 0, sizeof heard);
        j.stop = count_wave;
        j.listener = (struct rollout_listener){hear, &heard};
        const struct answer *a = rollout_run(r, &j, NULL);
        check_heard(a, 0, setup_text(&s));
        rollout_free(r);
        small_free(&t);
    }
}
END_TEST

/* --- one to rank 0 --- */

START_TEST(fetched)
{
    struct setup mesh[MESHES];
    int n = meshes_make(mesh);
    for (int i = 0; i < n; i++) {
        static struct small_answers all, one;
        struct setup s = mesh[i];
        struct small t;
        s.slots = 4;
        small_make(&t, &ck_world, shape_of(&s));
        struct rollout *r = rollout_new(&t.stage, &ck_world, space);
        answer(&all, &ck_world, r, 0);
        memset(&one, 0, sizeof one);
        for (int k = 0; k < answers_of(0); k++) {
            const struct answer *a = rollout_fetch(r, k);
            if (a) small_answers_keep(&one, k, a);
        }
        ck_all(ck_world.rank > 0 || memcmp(&all, &one, sizeof all) == 0, "%s", setup_text(&s));
        rollout_free(r);
        small_free(&t);
    }
}
END_TEST

/* --- on-policy --- */

static struct small_batch batch;

/* The answers of a job as what a step learns from. */
static struct step_job learn_from(const struct small_answers *a, int job)
{
    struct step_job s =
        small_answers_job(&batch, &questions, a, jobs[job].samples, answers_of(job));
    float temperature = jobs[job].sampling.temperature;
    s.inv_temperature = temperature > 0 ? 1 / temperature : 1;
    return s;
}

struct trail { /* of two rounds of sampling and learning */
    struct small_answers a[2];
    float *weights;
    size_t n;
};

/* Stages between the ends have neither prompts nor answers, and the others those of their rows. */
static void check_read(struct small *t, const struct small_source *source, const char *what)
{
    struct stage *s = &t->stage;
    bool embeds = stage_has_embedding(s, 0) || stage_has_embedding(s, 1);
    bool ends = embeds || stage_has_head(s, 0) || stage_has_head(s, 1), some = false;
    for (int m = 0; m < s->max_mb; m++)
        for (int k = 0; k < s->mb[m].rows.T; k++)
            some = some || s->mb[m].target[k] > 0 || s->mb[m].old_logp[k] != 0;
    ck_all(ends || !some, "%s: a stage that reads no tokens has answers", what);
    ck_all(embeds || source->fetched == 0, "%s: %d prompts without embedding", what,
           source->fetched);
}

static void sample_and_learn(struct trail *out, const struct world *w, const struct setup *s,
                             int job)
{
    struct small t;
    struct step_stats stats;
    bool agree;
    const char *what = setup_text(s);
    small_make(&t, w, shape_of(s));
    struct rollout *r = rollout_new(&t.stage, w, space);
    struct small_source source = {.rollout = r, .learner = &t.learner};
    for (int round = 0; round < 2; round++) {
        answer(&out->a[round], w, r, job);
        struct step_job learn = learn_from(&out->a[round], job);
        small_answers_elsewhere(&learn, &batch, &source);
        learner_step(&t.learner, &learn, &stats);
        ck_all(stats.max_deviation == 0, "%s, %s, round %d: deviation %g", what, jobs[job].name,
               round, stats.max_deviation);
        check_read(&t, &source, what);
        ck_all(stats.tokens > 0 && stats.grad_norm > 1e-4, "%s: norm %g", what, stats.grad_norm);
        if (round == 0) continue;
        learner_step(&t.learner, &learn, &stats); /* the weights have moved: now it shows */
        ck_all(stats.max_deviation > 1e-4, "%s: still %g", what, stats.max_deviation);
    }
    out->weights = small_weights(&t, w, &out->n, &agree);
    rollout_free(r);
    small_free(&t);
}

/* On one pipeline the second round's answers, sampled with weights that have learned, are those of
 * one rank too. */
static void compare_trail(const struct setup *s, int job)
{
    static struct trail one, many;
    struct setup reference = single_of(s->precision);
    sample_and_learn(&many, &ck_world, s, job);
    if (s->dp == 1) {
        sample_and_learn(&one, &alone, &reference, job);
        same_answers(&many.a[1], &one.a[1], job, setup_text(s));
        ck_all(memcmp(many.weights, one.weights, one.n * sizeof(float)) == 0,
               "%s: weights differ by up to %g", setup_text(s),
               small_apart(many.weights, one.weights, one.n));
        free(one.weights);
    }
    free(many.weights);
}

START_TEST(ratio_is_one)
{
    struct setup mesh[MESHES];
    int n = meshes_make(mesh);
    small_world_make(&alone);
    for (int i = 0; i < n; i++) {
        mesh[i].slots = 16;
        mesh[i].precision = i % 2 ? PRECISION_FP32 : PRECISION_BF16;
        compare_trail(&mesh[i], i / 2 % 2);
        if (mesh[i].dp > 1) continue;
        mesh[i].precision = i % 2 ? PRECISION_BF16 : PRECISION_FP32;
        compare_trail(&mesh[i], (i / 2 + 1) % 2);
    }
    small_world_free(&alone);
}
END_TEST

#define TESTS(X)                 \
    X(same_on_every_mesh)        \
    X(stopped_and_gone_on_with)  \
    X(told_as_they_are_finished) \
    X(fetched)                   \
    X(ratio_is_one)

MPI_MAIN("rollout", .before_all = questions_make)
