/* ranks: 1 2 4; on each instruction set: 1 */
/* Answers of several turns: tokens that were not sampled stand between those that were. Whenever an
 * environment says what it has to say, tokens and the bits of log-probabilities are those of one
 * that says it at once, on every way to share the work and in the smallest cache (P3); a learning
 * step computes the same log-probabilities (P2), and learns nothing of observations. */
#include "tests/support/check_mpi.h"
#include "comm/base/log.h"
#include "tests/support/small_ways.h"
#include "trainer/rollout/room.h"

enum { TURNS = 5, MOST_OBSERVED = 20 };

/* --- an environment that may take its time --- */

struct pending {
    struct observation says;
    int token[MOST_OBSERVED];
    int due; /* calls of observe later */
};
static struct teller {
    int slowest;     /* 0: at once */
    unsigned chance; /* of this rank, and of the time of day: nothing may depend on it */
    struct pending pending[ANSWERS];
    struct pending at; /* what was said last */
    int n, ignored;
} teller;

static uint32_t mixed(const int *token, int n)
{
    uint32_t h = 2166136261u;
    for (int i = 0; i < n; i++) h = (h ^ (uint32_t)token[i]) * 16777619u;
    return h ^ h >> 15;
}

static bool is_call(int token)
{
    return token % 6 == 2;
}

/* What follows the first n tokens of an answer in its turn number `turns`: any tokens, <eos> among
 * them, or nothing. */
static struct observation said(const int *token, int n, int turns, int *out)
{
    uint32_t h = mixed(token, n);
    bool ended = token[n - 1] == SMALL_EOS;
    struct observation o = {.token = out, .n = (int)(h % 5)};
    if (h % 31 == 0) o.n = MOST_OBSERVED; /* longer than a block of the cache */
    for (int i = 0; i < o.n; i++) out[i] = (int)(((h >> i % 20) + (uint32_t)i) % SMALL_V);
    o.ends = turns == TURNS || (ended && h % 3 > 0);
    o.truncated = o.ends && !ended;
    return o;
}

static bool turn_ended(void *context, int index, const struct answer *a, bool ended)
{
    struct teller *t = context;
    if (!ended && !is_call(a->token[a->n - 1])) return false;
    struct pending *p = &t->pending[t->n++];
    p->says = said(a->token, a->n, a->turns, p->token);
    p->says.answer = index;
    p->due = t->slowest ? (int)(t->chance = t->chance * 1664525u + 1013904223u) % t->slowest : 0;
    if (p->due < 0) p->due = -p->due;
    return true;
}

/* The last that was asked for first. */
static bool observe(void *context, int wait_ms, struct observation *out)
{
    struct teller *t = context;
    (void)wait_ms;
    for (int i = t->n - 1; i >= 0; i--) {
        if (t->pending[i].due-- > 0) continue;
        t->at = t->pending[i];
        t->pending[i] = t->pending[--t->n];
        *out = t->at.says;
        out->token = t->at.token;
        return true;
    }
    return false;
}

/* --- answers --- */

static const struct rollout_room room = {ANSWERS, SAMPLES, MAX_NEW};
static int told[ANSWERS];
static void hear(void *context, int index, const struct answer *a)
{
    (void)context;
    told[index] += a->n > 0;
}

static struct rollout_job job_of(int from, int slowest)
{
    struct rollout_job job = small_rollout_job(&questions, SAMPLES, MAX_NEW);
    teller.slowest = slowest;
    teller.chance = (unsigned)(clock_now() * 1e6) + (unsigned)ck_world.rank;
    teller.n = 0;
    job.question += from;
    job.questions -= from;
    job.step = 3;
    job.first = from;
    job.listener.finished = hear;
    job.environment = (struct rollout_environment){turn_ended, observe, &teller};
    return job;
}

/* All ranks know of each answer how many of its tokens it observed, and its turns. */
static void check_known(const struct answer *a)
{
    for (int i = 0; i < ANSWERS; i++) {
        int n[2] = {0}, all[2];
        for (int t = 0; a[i].token && t < a[i].n; t++) n[0] += a[i].logp[t] == LOGP_OBSERVED;
        n[1] = a[i].token ? a[i].turns : 0;
        MPI_OK(MPI_Allreduce(n, all, 2, MPI_INT, MPI_SUM, ck_world.comm));
        ck_all(a[i].observed == all[0] && a[i].turns == all[1], "answer %d: %d of %d, turns %d", i,
               a[i].observed, all[0], a[i].turns);
    }
}

static struct rollout_times answer(struct small_answers *out, struct rollout *r, int slowest)
{
    struct rollout_times t;
    struct rollout_job j = job_of(0, slowest);
    int all[ANSWERS];
    memset(told, 0, sizeof told);
    const struct answer *a = rollout_run(r, &j, &t);
    check_known(a);
    small_answers_take(out, &ck_world, a, ANSWERS);
    ck_all(world_all(&ck_world, teller.n == 0), "%d observations came late", teller.n);
    MPI_OK(MPI_Allreduce(told, all, ANSWERS, MPI_INT, MPI_SUM, ck_world.comm));
    for (int i = 0; i < ANSWERS; i++) ck_all(all[i] == 1, "answer %d was told %d times", i, all[i]);
    return t;
}

/* Walked through by hand: what was sampled has a log-probability, what follows a call is what the
 * environment says, and the end is where it says so or at a limit. Returns what was sampled. */
static int check_turns(const struct small_answers *a, int i)
{
    int n = 0, sampled = 0, turns = 1, out[MOST_OBSERVED];
    int space = SMALL_CONTEXT - prompt_length[i / SAMPLES];
    int limit = space < MAX_NEW ? space : MAX_NEW;
    while (n < a->n[i]) {
        int token = a->token[i][n];
        ck_all(a->logp[i][n] < 0, "answer %d, token %d: %g", i, n, (double)a->logp[i][n]);
        n++, sampled++;
        if (token != SMALL_EOS && !is_call(token)) continue;
        struct observation o = said(a->token[i], n, turns, out);
        bool fits = n + o.n < limit;
        if (o.ends || !fits) {
            ck_all(n == a->n[i] && a->truncated[i] == (o.ends ? o.truncated : true),
                   "answer %d goes on behind its end, %d of %d", i, n, a->n[i]);
            return sampled;
        }
        for (int k = 0; k < o.n; k++, n++)
            ck_all(a->token[i][n] == out[k] && a->logp[i][n] == LOGP_OBSERVED,
                   "answer %d, token %d is no observation", i, n);
        turns++;
    }
    ck_all(n == limit && a->truncated[i], "answer %d ends at %d", i, n);
    return sampled;
}

/* Little is shown if few answers observe. Returns how many tokens were sampled. */
static long check_all_turns(const struct small_answers *a)
{
    long sampled = 0, all = 0, cut = 0;
    for (int i = 0; i < ANSWERS; i++) {
        sampled += check_turns(a, i);
        all += a->n[i];
        cut += a->truncated[i];
    }
    ck_all(all > sampled + ANSWERS && cut > 2 && cut < ANSWERS, "%ld tokens, %ld sampled, %ld cut",
           all, sampled, cut);
    return sampled;
}

/* Room for this number of blocks per direction. */
static struct rollout *tight_rollout(struct small *t, int blocks)
{
    t->settings.mesh.cache_tokens = blocks * KV_BLOCK * t->stage.directions;
    return rollout_new(&t->stage, &ck_world, room);
}

static void same(const struct small_answers *a, const struct small_answers *b, const struct way *w,
                 int slowest)
{
    ck_all(memcmp(a, b, sizeof *a) == 0, "%s: other answers, slowest %d", way_text(w), slowest);
}

/* --- learning --- */

static float *learned(const struct way *w, struct step_job *job, struct step_stats *stats,
                      size_t *n)
{
    struct small t;
    bool agree;
    small_make(&t, &ck_world, shape_of(w));
    learner_step(&t.learner, job, stats);
    float *weights = small_weights(&t, &ck_world, n, &agree);
    small_free(&t);
    return weights;
}

/* The same job by the mask that conversations have, which knows no observations; or, the fault,
 * learning observations as if they had been sampled. */
static struct step_job by_mask(struct small_batch *b, const struct small_answers *a, bool masked)
{
    static unsigned char learn[ANSWERS][SMALL_CONTEXT];
    struct step_job job = small_answers_job(b, &questions, a, SAMPLES, ANSWERS);
    for (int i = 0; i < ANSWERS; i++) {
        struct sequence *s = &b->sequence[i];
        for (int t = 0; t < a->n[i]; t++) {
            bool was_sampled = a->logp[i][t] != LOGP_OBSERVED;
            learn[i][s->n_prompt + t] = was_sampled || !masked;
            b->logp[i][t] = was_sampled ? a->logp[i][t] : -1;
        }
        s->learn = learn[i];
        s->logp = b->logp[i];
    }
    return job;
}

static void check_learning(const struct way *w, const struct small_answers *a, long sampled)
{
    static struct small_batch batch, masked, fault;
    struct step_stats stats, other;
    size_t n;
    struct step_job job = small_answers_job(&batch, &questions, a, SAMPLES, ANSWERS);
    float *weights = learned(w, &job, &stats, &n);
    ck_all(stats.max_deviation == 0, "%s: deviation %g", way_text(w), stats.max_deviation);
    ck_all(stats.tokens == sampled, "%s: %ld tokens, not %ld", way_text(w), stats.tokens, sampled);
    job = by_mask(&masked, a, true);
    float *expected = learned(w, &job, &other, &n);
    ck_all(memcmp(weights, expected, n * sizeof *weights) == 0, "%s: another mask", way_text(w));
    job = by_mask(&fault, a, false);
    float *unmasked = learned(w, &job, &other, &n);
    ck_all(memcmp(weights, unmasked, n * sizeof *weights) != 0 && other.max_deviation > 0,
           "%s: unmasked is the same", way_text(w));
    free(weights);
    free(expected);
    free(unmasked);
}

/* From where they were sampled to where they are learned from, twice by the same weights. */
static void check_brought(struct small *t, struct rollout *r, const struct small_answers *a,
                          const struct way *w, long sampled)
{
    static struct small_batch batch;
    struct step_stats stats;
    struct small_source source = {.rollout = r, .learner = &t->learner};
    struct step_job job = small_answers_job(&batch, &questions, a, SAMPLES, ANSWERS);
    small_answers_elsewhere(&job, &batch, &source);
    learner_step(&t->learner, &job, &stats);
    ck_all(stats.max_deviation == 0 && stats.tokens == sampled,
           "%s: brought, deviation %g, %ld tokens of %ld", way_text(w), stats.max_deviation,
           stats.tokens, sampled);
}

/* --- the same answers --- */

START_TEST(same_whenever_it_is_said)
{
    struct way way[MESHES];
    static struct small_answers at_once, a;
    int n = ways_make(way), least = room_least(SMALL_CONTEXT);
    for (int i = 0; i < n; i++) {
        struct small t;
        small_make(&t, &ck_world, shape_of(&way[i]));
        struct rollout *r = rollout_new(&t.stage, &ck_world, room);
        struct rollout_times times = answer(&at_once, r, 0);
        long sampled = check_all_turns(&at_once);
        ck_all(times.tokens == sampled && times.waits == 0 && times.read_again == 0,
               "%s: %ld tokens, %ld waits, %ld read again", way_text(&way[i]), times.tokens,
               times.waits, times.read_again);
        for (int slowest = 2; slowest < 300; slowest *= 12) {
            answer(&a, r, slowest);
            same(&a, &at_once, &way[i], slowest);
        }
        rollout_free(r);
        for (int blocks = least; blocks < 3 * least; blocks += blocks < least + 2 ? 1 : 6) {
            r = tight_rollout(&t, blocks);
            for (int slowest = 0; slowest < 50; slowest += 40) {
                times = answer(&a, r, slowest);
                same(&a, &at_once, &way[i], slowest);
                ck_all(blocks > least || times.waits > 0, "%s: nobody waited", way_text(&way[i]));
            }
            if (blocks == least + 1) check_brought(&t, r, &at_once, &way[i], sampled);
            rollout_free(r);
            if (blocks == least + 1) break; /* the weights have moved */
        }
        check_learning(&way[i], &at_once, sampled);
        small_free(&t);
    }
}
END_TEST

/* --- the same as on one rank --- */

/* Dense models answer as one rank does, in the same format. */
START_TEST(same_on_every_mesh)
{
    struct way way[MESHES];
    static struct small_answers one, a;
    static struct world alone;
    int n = ways_make(way);
    small_world_make(&alone);
    struct way serial = {.dp = 1, .pp = 1, .tp = 1, .ep = 1, .schedule = SCHEDULE_SERIAL};
    for (int i = 0; i < n; i++) {
        struct small t;
        struct small_shape shape = shape_of(&serial);
        if (way[i].ep > 1 || way[i].tp > 1) continue; /* tp: other sums, other last bits */
        shape.precision = shape_of(&way[i]).precision;
        small_make(&t, &alone, shape);
        struct rollout *r = rollout_new(&t.stage, &alone, room);
        struct rollout_job j = job_of(0, 0);
        small_answers_take(&one, &alone, rollout_run(r, &j, NULL), ANSWERS);
        rollout_free(r);
        small_free(&t);
        small_make(&t, &ck_world, shape_of(&way[i]));
        r = rollout_new(&t.stage, &ck_world, room);
        answer(&a, r, 30);
        same(&a, &one, &way[i], 30);
        rollout_free(r);
        small_free(&t);
    }
    small_world_free(&alone);
}
END_TEST

/* --- stopped while answers wait --- */

static int patience, asked;
static int stop_now(void *unused)
{
    (void)unused;
    return ++asked > patience;
}

static int answer_in_parts(struct small_answers *out, struct rollout *r, int slowest)
{
    int done = 0, stops = 0;
    memset(out, 0, sizeof *out);
    for (int part = 0; done < QUESTIONS; part++) {
        struct rollout_job j = job_of(done, slowest);
        j.stop = stop_now;
        j.listener.finished = NULL;
        patience = 9 << part;
        asked = 0;
        const struct answer *a = rollout_run(r, &j, NULL);
        int whole = rollout_whole(r);
        for (int i = 0; i < whole * SAMPLES; i++)
            small_answers_keep(out, done * SAMPLES + i, &a[i]);
        done += whole;
        stops += done < QUESTIONS;
        ck_all(part < 20, "no end of parts");
    }
    small_answers_share(out, &ck_world);
    return stops;
}

START_TEST(stopped_and_gone_on_with)
{
    struct way way[MESHES];
    static struct small_answers at_once, parts;
    int n = ways_make(way);
    for (int i = 0; i < n; i++) {
        struct small t;
        small_make(&t, &ck_world, shape_of(&way[i]));
        struct rollout *r = rollout_new(&t.stage, &ck_world, room);
        answer(&at_once, r, 0);
        int stops = answer_in_parts(&parts, r, 40);
        ck_all(stops > 1, "%s: stopped %d times", way_text(&way[i]), stops);
        same(&parts, &at_once, &way[i], 40);
        answer(&parts, r, 3); /* nothing is left of the stop */
        same(&parts, &at_once, &way[i], 3);
        rollout_free(r);
        small_free(&t);
    }
}
END_TEST

#define TESTS(X)                \
    X(same_whenever_it_is_said) \
    X(same_on_every_mesh)       \
    X(stopped_and_gone_on_with)

MPI_MAIN("observe", .before_all = questions_make)
