/* ranks: 2 4 */
/* Sites: the outer optimizer against the plain calculation for all sites on one rank, bit for bit,
 * with every delay and wire format, for two of them and, where there are ranks enough, four: the
 * order of a sum of two never shows (P4); its state saved in the midst of an exchange; and the step
 * at which sites stop that are asked at different moments. */
#include "tests/support/check_mpi.h"
#include "tests/support/small_trainer.h"

#include <limits.h>
#include <stdint.h>
#include <time.h>

#include "comm/halt.h"
#include "trainer/learn/outer.h"

enum { MOST_SITES = 4, EVERY = 4, LAST = 14, BUCKETS = 256 };

static struct world site; /* mine */
static int sites = 2;

static void site_make(struct world *w)
{
    *w = ck_world;
    MPI_OK(MPI_Comm_dup(ck_world.comm, &w->comm));
    world_split_sites(w, sites);
}

static void site_free(struct world *w)
{
    MPI_OK(MPI_Comm_free(&w->comm));
    MPI_OK(MPI_Comm_free(&w->across));
}

START_TEST(sites_are_runs_of_ranks)
{
    site_make(&site);
    const struct world *w = &site;
    int sum = -1, half = ck_world.size / sites;
    ck_all(w->sites == sites && w->site == ck_world.rank / half, "site %d", w->site);
    ck_all(w->size == half && w->first + w->rank == ck_world.rank, "rank %d", w->rank);
    MPI_OK(MPI_Allreduce(&ck_world.rank, &sum, 1, MPI_INT, MPI_SUM, w->across));
    ck_all(sum == 2 * w->rank + half, "across: %d", sum);
    site_free(&site);
}
END_TEST

/* --- the plain calculation --- */

static float bf16_nearest(float x)
{
    uint32_t bits, low;
    memcpy(&bits, &x, sizeof bits);
    low = bits & 0xffff;
    bits -= low;
    if (low > 0x8000 || (low == 0x8000 && (bits & 0x10000))) bits += 0x10000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* What arrives of v. */
static void cross(float *v, size_t n, enum codec wire)
{
    for (size_t i = 0; i < n && wire == CODEC_BF16; i++) v[i] = bf16_nearest(v[i]);
    for (size_t at = 0; at < n && wire == CODEC_INT8; at += 128) {
        size_t end = at + 128 < n ? at + 128 : n;
        float most = 0;
        for (size_t i = at; i < end; i++) most = fabsf(v[i]) > most ? fabsf(v[i]) : most;
        float scale = most / 127;
        for (size_t i = at; i < end; i++) v[i] = scale > 0 ? nearbyintf(v[i] / scale) * scale : 0;
    }
}

static const float OUTER_LR = 0.7f, OUTER_MOMENTUM = 0.9f;

/* One slice of all sites. */
struct plain {
    size_t n;
    float *outer, *momentum, *delta, *master[MOST_SITES], *start[MOST_SITES], *lost[MOST_SITES];
};

static void plain_make(struct plain *p, const float *master, size_t n)
{
    float **const all[] = {&p->outer, &p->momentum, &p->delta};
    p->n = n;
    for (int i = 0; i < 3; i++) *all[i] = calloc(n + 1, sizeof(float));
    memcpy(p->outer, master, n * sizeof *master);
    for (int s = 0; s < sites; s++) {
        p->master[s] = calloc(n + 1, sizeof(float));
        p->start[s] = calloc(n + 1, sizeof(float));
        p->lost[s] = calloc(n + 1, sizeof(float));
        memcpy(p->master[s], master, n * sizeof *master);
    }
}

static void plain_free(struct plain *p)
{
    free(p->outer);
    free(p->momentum);
    free(p->delta);
    for (int s = 0; s < sites; s++) {
        free(p->master[s]);
        free(p->start[s]);
        free(p->lost[s]);
    }
}

static void plain_begin(struct plain *p, enum codec wire)
{
    float *sent[MOST_SITES];
    if (sites < 1) return; /* never; clang-tidy cannot know */
    for (int s = 0; s < sites; s++) {
        sent[s] = calloc(p->n + 1, sizeof(float));
        for (size_t i = 0; i < p->n; i++)
            sent[s][i] = p->outer[i] - p->master[s][i] + p->lost[s][i];
        memcpy(p->lost[s], sent[s], p->n * sizeof(float));
        cross(sent[s], p->n, wire);
        for (size_t i = 0; i < p->n; i++) p->lost[s][i] -= sent[s][i];
        memcpy(p->start[s], p->master[s], p->n * sizeof(float));
    }
    for (size_t i = 0; i < p->n; i++) {
        volatile float sum = sent[0][i];
        for (int s = 1; s < sites; s++) sum = sum + sent[s][i];
        p->delta[i] = sum / (float)sites;
    }
    for (int s = 0; s < sites; s++) free(sent[s]);
}

static void plain_count(struct plain *p, float lr, float mu)
{
    for (size_t i = 0; i < p->n; i++) {
        p->momentum[i] = mu * p->momentum[i] + p->delta[i];
        p->outer[i] = p->outer[i] - lr * (p->delta[i] + mu * p->momentum[i]);
        for (int s = 0; s < sites; s++)
            p->master[s][i] = p->outer[i] + (p->master[s][i] - p->start[s][i]);
    }
}

/* --- both, side by side --- */

struct both {
    struct small small;
    struct outer outer;
    struct plain plain[BUCKETS];
    int delay;
    enum codec wire;
};

/* What a site learns in an update: of many sizes, some beyond the weights' own, so that sums show
 * their order, and different on every site. */
static float learned(int s, long update, int bucket, size_t i)
{
    unsigned h = (unsigned)i * 2654435761u + (unsigned)(s + 1) * 40503u + (unsigned)update * 97u +
                 (unsigned)bucket * 1009u;
    h ^= h >> 15, h *= 2246822519u, h ^= h >> 13;
    return ldexpf((float)(h & 0xffff) - 32768, (int)(h >> 24) % 20 - 32);
}

static void both_make(struct both *b, int delay, enum codec wire)
{
    int pp = site.size;
    struct small_shape shape = {.model = "tied: true",
                                .precision = PRECISION_BF16,
                                .dp = 1,
                                .pp = pp,
                                .schedule = pp == 1 ? SCHEDULE_SERIAL : SCHEDULE_DUALPIPE,
                                .max_context = 32,
                                .micro_batch_tokens = 64};
    small_make(&b->small, &site, shape);
    struct settings *s = &b->small.settings;
    s->sites.outer_lr = (double)OUTER_LR;
    s->sites.outer_momentum = (double)OUTER_MOMENTUM;
    s->sites.every = EVERY;
    s->sites.delay = b->delay = delay;
    s->sites.wire = (int)wire;
    b->wire = wire;
    outer_new(&b->outer, s, &b->small.optimizer, &site, NULL, NULL);
    outer_begin(&b->outer);
    INVARIANT(b->outer.n <= BUCKETS, "%d buckets", b->outer.n);
    for (int i = 0; i < b->outer.n; i++) {
        const struct bucket *bucket = &b->small.optimizer.buckets.b[i];
        plain_make(&b->plain[i], bucket->master, bucket_shares(bucket) ? 0 : bucket->mine_n);
    }
}

static void both_free(struct both *b)
{
    for (int i = 0; i < b->outer.n; i++) plain_free(&b->plain[i]);
    outer_free(&b->outer);
    small_free(&b->small);
}

static void both_learn(struct both *b, long update)
{
    for (int i = 0; i < b->outer.n; i++) {
        struct plain *p = &b->plain[i];
        float *master = b->small.optimizer.buckets.b[i].master;
        for (size_t k = 0; k < p->n; k++) {
            master[k] += learned(site.site, update, i, k);
            for (int s = 0; s < sites; s++) p->master[s][k] += learned(s, update, i, k);
        }
    }
}

/* The contract in four lines. */
static void plain_tick(struct both *b, long update)
{
    bool ends = update == LAST;
    long since = update - b->delay;
    bool counts = since > 0 && since % EVERY == 0 && since + b->delay < LAST;
    bool begins = ends || (update % EVERY == 0 && update + b->delay < LAST);
    for (int i = 0; i < b->outer.n; i++) {
        if (counts && b->delay > 0) plain_count(&b->plain[i], OUTER_LR, OUTER_MOMENTUM);
        if (begins) plain_begin(&b->plain[i], b->wire);
        if (begins && (ends || b->delay == 0)) plain_count(&b->plain[i], OUTER_LR, OUTER_MOMENTUM);
    }
}

/* Numbers that differ from the plain calculation's. */
static size_t both_wrong(const struct both *b)
{
    size_t wrong = 0;
    for (int i = 0; i < b->outer.n; i++) {
        const struct plain *p = &b->plain[i];
        const float *master = b->small.optimizer.buckets.b[i].master;
        for (size_t k = 0; k < p->n; k++)
            wrong +=
                master[k] != p->master[site.site][k] || b->outer.slice[i].outer[k] != p->outer[k];
    }
    return wrong;
}

static bool weights_are_masters(struct both *b)
{
    size_t n;
    bool agree;
    float *weights = small_weights(&b->small, &ck_world, &n, &agree);
    free(weights);
    return agree;
}

static void equals_plain(void)
{
    site_make(&site);
    static const int delays[] = {0, 1, 3};
    double bytes[3] = {0};
    for (int wire = CODEC_FP32; wire <= CODEC_INT8; wire++)
        for (int d = 0; d < 3; d++) {
            static struct both b;
            int counted = 0;
            both_make(&b, delays[d], (enum codec)wire);
            for (long update = 1; update <= LAST; update++) {
                both_learn(&b, update);
                plain_tick(&b, update);
                outer_tick(&b.outer, update, LAST);
                struct outer_stats t = outer_take_stats(&b.outer);
                counted += t.exchanges;
                if (t.exchanges > 0) bytes[wire] = t.bytes;
                ck_all(both_wrong(&b) == 0, "%d sites, wire %d, delay %d, update %ld: %zu numbers",
                       sites, wire, delays[d], update, both_wrong(&b));
            }
            /* 4, 8, 12 and the end; with delay 3 the third would count after it */
            ck_all(counted == (delays[d] == 3 ? 3 : 4), "%d exchanges", counted);
            ck_all(weights_are_masters(&b), "all sites end with the same weights");
            both_free(&b);
        }
    ck_all(bytes[CODEC_BF16] < 0.52 * bytes[CODEC_FP32] &&
               bytes[CODEC_INT8] < 0.28 * bytes[CODEC_FP32],
           "%.0f, %.0f and %.0f bytes", bytes[0], bytes[1], bytes[2]);
    site_free(&site);
}

START_TEST(equals_the_plain_calculation)
{
    equals_plain();
    if (ck_world.size < MOST_SITES) return;
    sites = MOST_SITES;
    equals_plain();
    sites = 2;
}
END_TEST

/* --- saved in the midst of an exchange --- */

static void copy_slices(struct slice *to, const struct slice *from, int n)
{
    for (int i = 0; i < n; i++) {
        INVARIANT(strcmp(to[i].name, from[i].name) == 0, "%s, %s", to[i].name, from[i].name);
        memcpy(to[i].data, from[i].data, range_count(&from[i].at) * sizeof(float));
    }
}

/* All of a's state into b, as a checkpoint would. */
static void carry(struct both *a, struct both *b)
{
    int n = optimizer_slices(&a->small.optimizer, NULL, SLICES_READ);
    int m = outer_slices(&a->outer, NULL, SLICES_READ_MODEL);
    struct slice *from = calloc((size_t)(n + m), sizeof *from),
                 *to = calloc((size_t)(n + m), sizeof *to);
    outer_settle(&a->outer);
    optimizer_slices(&a->small.optimizer, from, SLICES_READ);
    optimizer_slices(&b->small.optimizer, to, SLICES_READ);
    outer_slices(&a->outer, from + n, SLICES_READ_MODEL);
    outer_slices(&b->outer, to + n, SLICES_READ_MODEL);
    copy_slices(to, from, n + m);
    outer_resume(&b->outer, a->outer.began);
    free(from);
    free(to);
}

START_TEST(goes_on_from_what_was_saved)
{
    site_make(&site);
    for (long saved = EVERY; saved <= EVERY + 2; saved++) { /* under way, twice; then none */
        static struct both a, b;
        both_make(&a, 2, CODEC_INT8);
        both_make(&b, 2, CODEC_INT8);
        for (long update = 1; update <= saved; update++) {
            both_learn(&a, update);
            plain_tick(&a, update);
            outer_tick(&a.outer, update, LAST);
        }
        ck_all((a.outer.began > 0) == (saved < EVERY + 2), "under way since %ld", a.outer.began);
        carry(&a, &b);
        for (long update = saved + 1; update <= LAST; update++) {
            both_learn(&a, update);
            both_learn(&b, update);
            plain_tick(&a, update);
            outer_tick(&b.outer, update, LAST);
        }
        size_t wrong = 0;
        for (int i = 0; i < a.outer.n; i++)
            wrong +=
                memcmp(b.outer.slice[i].outer, a.plain[i].outer, a.plain[i].n * sizeof(float)) != 0;
        ck_all(wrong == 0, "saved after %ld: %zu slices differ", saved, wrong);
        /* a is left with what the others sent: nothing is under way on the wire */
        both_free(&a);
        both_free(&b);
    }
    site_free(&site);
}
END_TEST

/* --- stopping --- */

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

enum { ASKED_FIRST, ASKED_SECOND, ASKED_BOTH, ASKED_LAST_RANK, ASKED_WAYS };

static bool is_asked(int way)
{
    if (way == ASKED_LAST_RANK) return ck_world.rank == ck_world.size - 1;
    return site.rank == 0 && (way == ASKED_BOTH || way == site.site);
}

START_TEST(sites_stop_at_the_largest_step)
{
    site_make(&site);
    for (int way = 0; way < ASKED_WAYS; way++) {
        struct halt *h = halt_new(site.comm, site.across);
        long step = 0, at = HALT_NOTHING, most;
        while (at == HALT_NOTHING || step < at) {
            pause_ms(site.site == 0 ? 2 : 5);
            step++;
            if (step == 4 && is_asked(way)) halt_ask(h);
            if (at != HALT_NOTHING || !world_any(&site, halt_heard(h))) continue;
            halt_announce(h, step);
            at = halt_agree(h);
        }
        MPI_OK(MPI_Allreduce(&step, &most, 1, MPI_LONG, MPI_MAX, ck_world.comm));
        ck_all(step == most && step >= 4, "way %d: stopped at %ld, another at %ld", way, step,
               most);
        halt_free(h);
    }
    site_free(&site);
}
END_TEST

/* Who is in the midst of a step looks and never waits: the step is known when all have said theirs,
 * on every rank, also of the group that is behind. */
START_TEST(a_stop_is_known_without_waiting)
{
    site_make(&site);
    struct halt *h = halt_new(site.comm, site.across);
    bool last = site.rank == site.size - 1;
    if (site.site == 0 && last) halt_ask(h);
    while (site.site == 0 && site.rank == 0 && !halt_heard(h)) pause_ms(1);
    if (site.site == 0) halt_announce(h, 3);
    MPI_OK(MPI_Barrier(ck_world.comm));
    for (int i = 0; i < 20; i++) {
        pause_ms(1);
        long agreed = halt_agreed(h);
        ck_all(agreed == HALT_NOTHING, "%ld before the other site said its step", agreed);
    }
    while (site.site == 1 && site.rank == 0 && !halt_heard(h)) pause_ms(1);
    if (site.site == 1) halt_announce(h, 5);
    if (site.site == 1) halt_announce(h, 9); /* too late */
    ck_all(halt_announced(h) == (site.rank == 0), "who announced");
    while (halt_agreed(h) == HALT_NOTHING) pause_ms(1);
    ck_all(halt_agreed(h) == 5 && halt_agree(h) == 5, "%ld", halt_agreed(h));
    halt_free(h);
    site_free(&site);
}
END_TEST

START_TEST(who_ends_is_not_waited_for)
{
    site_make(&site);
    struct halt *h = halt_new(site.comm, site.across);
    if (site.site == 0) halt_announce(h, LONG_MAX);
    while (site.site == 1 && site.rank == 0 && !halt_heard(h)) pause_ms(1);
    if (site.site == 1) halt_announce(h, 7);
    ck_all(halt_agree(h) == LONG_MAX, "goes on to the end");
    halt_free(h);
    site_free(&site);
}
END_TEST

#define TESTS(X)                       \
    X(sites_are_runs_of_ranks)         \
    X(equals_the_plain_calculation)    \
    X(goes_on_from_what_was_saved)     \
    X(sites_stop_at_the_largest_step)  \
    X(a_stop_is_known_without_waiting) \
    X(who_ends_is_not_waited_for)

MPI_MAIN("sites")
