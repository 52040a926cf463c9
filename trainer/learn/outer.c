#include "trainer/learn/outer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/exact.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/nap.h"
#include "comm/coll.h"

enum { BLOCK = 8 * CODEC_BLOCK, LINE = 64 };

/* In front of every message. */
struct outer_head {
    uint64_t update;
    uint64_t checksum; /* of the sender's outer parameters */
};

/* --- making --- */

static size_t up_to_line(size_t bytes)
{
    return (bytes + LINE - 1) / LINE * LINE;
}

static void slice_place(struct outer *x, struct outer_slice *s)
{
    struct arena *a = &x->arena;
    float **const arrays[] = {&s->outer, &s->momentum, &s->start, &s->delta, &s->lost};
    int n = x->wire == CODEC_FP32 ? 4 : 5;
    for (int i = 0; i < n; i++) *arrays[i] = arena_take_n(a, s->n, sizeof(float));
}

/* One message per site holds all buckets, each encoded from a line's start. */
static void outer_place(struct outer *x, int sites)
{
    struct arena *a = &x->arena;
    arena_kind(a, ARENA_OPTIMIZER);
    struct outer_slice *slice = arena_take_n(a, (size_t)x->n, sizeof *slice);
    x->bytes = up_to_line(sizeof(struct outer_head));
    for (int i = 0; i < x->n; i++) {
        const struct bucket *b = &x->optimizer->buckets.b[i];
        struct outer_slice s = {.n = bucket_shares(b) ? 0 : b->mine_n, .at = x->bytes};
        slice_place(x, &s);
        x->bytes += up_to_line(codec_bytes(x->wire, s.n));
        if (slice) slice[i] = s;
    }
    arena_kind(a, ARENA_BUFFERS);
    x->slice = slice;
    x->count = arena_take_n(a, (size_t)sites, sizeof *x->count);
    x->offset = arena_take_n(a, (size_t)sites, sizeof *x->offset);
    x->message = arena_take_n(a, (size_t)sites, x->bytes);
    for (int i = 0; slice && i < sites; i++) {
        x->count[i] = x->bytes;
        x->offset[i] = (size_t)i * x->bytes;
    }
}

/* Sizes only; the planner calls it without MPI. */
void outer_measure(struct outer *x, const struct settings *s, struct optimizer *o, int sites)
{
    *x = (struct outer){.optimizer = o,
                        .every = s->sites.every,
                        .delay = s->sites.delay,
                        .wire = (enum codec)s->sites.wire,
                        .lr = (float)s->sites.outer_lr,
                        .momentum = (float)s->sites.outer_momentum,
                        .n = o->buckets.n,
                        .op = EXCHANGE_NONE};
    outer_place(x, sites);
}

void outer_new(struct outer *x, const struct settings *s, struct optimizer *o,
               const struct world *w, void (*idle)(void *ctx), void *idle_ctx)
{
    outer_measure(x, s, o, w->sites);
    arena_back(&x->arena, &device_host, x->arena.used);
    outer_place(x, w->sites);
    x->world = w;
    x->idle = idle;
    x->idle_ctx = idle_ctx;
    x->exchange = exchange_new(&transport_mpi, w->across, 1);
}

void outer_free(struct outer *x)
{
    exchange_free(x->exchange);
    arena_free(&x->arena);
}

void outer_begin(struct outer *x)
{
    x->began = 0;
    for (int i = 0; i < x->n; i++) {
        struct outer_slice *s = &x->slice[i];
        memcpy(s->outer, x->optimizer->buckets.b[i].master, s->n * sizeof *s->outer);
        memset(s->momentum, 0, s->n * sizeof *s->momentum);
    }
}

/* --- what crosses --- */

static uint64_t checksum_of(const struct outer *x)
{
    uint64_t sum = 0;
    for (int i = 0; i < x->n; i++)
        sum = checksum(x->slice[i].outer, x->slice[i].n * sizeof(float), sum);
    return sum;
}

static unsigned char *message_of(struct outer *x, int site)
{
    return x->message + x->offset[site];
}

static void encode_slice(struct outer *x, int i, unsigned char *to)
{
    struct outer_slice *s = &x->slice[i];
    const float *master = x->optimizer->buckets.b[i].master;
    memcpy(s->start, master, s->n * sizeof *s->start);
    for (size_t k = 0; k < s->n; k++) s->delta[k] = s->outer[k] - master[k];
    codec_encode(x->wire, to + s->at, s->delta, s->lost, s->n);
}

static void begin_exchange(struct outer *x, long update)
{
    unsigned char *mine = message_of(x, x->world->site);
    struct outer_head head = {(uint64_t)update, checksum_of(x)};
    memcpy(mine, &head, sizeof head);
    for (int i = 0; i < x->n; i++) encode_slice(x, i, mine);
    x->op = exchange_all_gather(x->exchange, 0, x->message, x->count, x->offset);
    x->began = update;
    x->began_at = clock_now();
    x->arrived = false;
}

/* Sites must agree before their differences are added: anything else is a fault of memory or of
 * programs that differ. */
static void check_head(struct outer *x, int site, const struct outer_head *mine)
{
    struct outer_head head;
    memcpy(&head, message_of(x, site), sizeof head);
    if (head.update == mine->update && head.checksum == mine->checksum) return;
    die_fmt(__FILE__, __LINE__, EXIT_WORLD, "comparing the outer parameters of the sites",
            "restart with --resume auto; if it happens again, check that all hosts run the same "
            "program and have no memory errors",
            "site %d is at update %ld with outer parameters %016llx, site %d at update %ld with "
            "%016llx",
            x->world->site + 1, (long)mine->update, (unsigned long long)mine->checksum, site + 1,
            (long)head.update, (unsigned long long)head.checksum);
}

/* delta = the mean over sites, added up in their order, a block at a time. */
static void mean(struct outer *x, int i)
{
    struct outer_slice *s = &x->slice[i];
    float term[BLOCK], sites = (float)x->world->sites;
    for (size_t at = 0; at < s->n; at += BLOCK) {
        size_t n = s->n - at < BLOCK ? s->n - at : BLOCK, skip = codec_bytes(x->wire, at);
        float *sum = s->delta + at;
        codec_decode(x->wire, sum, message_of(x, 0) + s->at + skip, n);
        for (int site = 1; site < x->world->sites; site++) {
            codec_decode(x->wire, term, message_of(x, site) + s->at + skip, n);
            for (size_t k = 0; k < n; k++) sum[k] += term[k];
        }
        for (size_t k = 0; k < n; k++) sum[k] /= sites;
    }
}

static void arrive(struct outer *x)
{
    struct outer_head mine;
    x->op = EXCHANGE_NONE;
    x->arrived = true;
    x->stats.seconds += clock_now() - x->began_at;
    memcpy(&mine, message_of(x, x->world->site), sizeof mine);
    for (int site = 0; site < x->world->sites; site++) check_head(x, site, &mine);
    for (int i = 0; i < x->n; i++) mean(x, i);
}

/* Looks, without waiting, whether it has arrived. */
static void look_for_arrival(struct outer *x)
{
    if (x->began && !x->arrived && exchange_test(x->exchange, x->op)) arrive(x);
}

/* Before a save or the end of a phase: an exchange that is in progress is completed, so that the
 * state has none open. */
void outer_settle(struct outer *x)
{
    struct nap nap = nap_begin();
    look_for_arrival(x);
    if (!x->began || x->arrived) return;
    while (!exchange_test(x->exchange, x->op)) {
        if (x->idle) x->idle(x->idle_ctx);
        if (nap_take(&nap)) die_waiting("updates of the other sites up to update %ld", x->began);
    }
    die_waiting(NULL);
    x->stats.exposed += clock_now() - nap.since;
    arrive(x);
}

/* --- what it does --- */

static void step_slice(const struct outer *x, int i)
{
    const struct outer_slice *s = &x->slice[i];
    float *master = x->optimizer->buckets.b[i].master, mu = x->momentum;
    for (size_t k = 0; k < s->n; k++) {
        float since = master[k] - s->start[k];
        s->momentum[k] = mu * s->momentum[k] + s->delta[k];
        s->outer[k] -= x->lr * (s->delta[k] + mu * s->momentum[k]);
        master[k] = s->outer[k] + since;
    }
}

/* Squares in units that an exact sum keeps enough places of, as optimizer_norm. */
static const double SQUARE_UNIT = 1048576;

static double delta_norm(const struct outer *x)
{
    struct exact_sum sum = {0};
    for (int i = 0; i < x->n; i++)
        for (size_t k = 0; k < x->slice[i].n && !x->optimizer->buckets.b[i].tied_copy; k++)
            exact_add(&sum,
                      (double)x->slice[i].delta[k] * (double)x->slice[i].delta[k] * SQUARE_UNIT);
    coll_exact_sum(&sum, 1, x->world->comm);
    return sqrt(exact_value(&sum) / SQUARE_UNIT);
}

/* Times are those of the site's slowest rank, bytes and checksum those of all its ranks. */
static void tell_exchange(struct outer *x, long update)
{
    const struct world *w = x->world;
    struct outer_stats *t = &x->stats;
    double slowest[2] = {t->seconds, t->exposed}, bytes = (double)x->bytes * (w->sites - 1);
    uint64_t sum = checksum_of(x);
    t->delta_norm = delta_norm(x);
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, slowest, 2, MPI_DOUBLE, MPI_MAX, w->comm));
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_SUM, w->comm));
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_UINT64_T, MPI_SUM, w->comm));
    t->exchanges++;
    t->seconds = slowest[0];
    t->exposed = slowest[1];
    t->bytes += bytes;
    t->checksum = (uint32_t)(sum >> 32);
    log_debug(
        "sites: what was exchanged after update %ld counts after update %ld; outer parameters %08x",
        x->began, update, t->checksum);
}

static void count_now(struct outer *x, long update)
{
    outer_settle(x);
    for (int i = 0; i < x->n; i++) step_slice(x, i);
    optimizer_publish(x->optimizer);
    tell_exchange(x, update);
    x->began = 0;
}

/* The last exchange of a phase is followed by none whose head would tell a difference. */
static void compare_now(const struct outer *x)
{
    uint64_t mine = checksum_of(x), own[2] = {mine, ~mine}, least[2];
    MPI_Request request;
    MPI_OK(MPI_Iallreduce(own, least, 2, MPI_UINT64_T, MPI_MIN, x->world->across, &request));
    world_wait(&request, 1);
    if (least[0] != ~least[1])
        die_fmt(__FILE__, __LINE__, EXIT_WORLD, "comparing the outer parameters of the sites",
                "restart with --resume auto; if it happens again, check that all hosts run the "
                "same program and have no memory errors",
                "site %d ends the phase with outer parameters %016llx, which differ from another "
                "site's",
                x->world->site + 1, (unsigned long long)mine);
}

void outer_tick(struct outer *x, long update, long last)
{
    bool ends = update == last;
    look_for_arrival(x);
    if (x->began && (ends || update >= x->began + x->delay)) count_now(x, update);
    if (!ends && (update % x->every != 0 || update + x->delay >= last)) return;
    begin_exchange(x, update);
    if (ends || x->delay == 0) count_now(x, update);
    if (ends) compare_now(x);
}

struct outer_stats outer_take_stats(struct outer *x)
{
    struct outer_stats taken = x->stats;
    if (taken.exchanges > 0) x->stats = (struct outer_stats){0};
    return taken;
}

/* --- state --- */

enum { ARRAYS = 5 };
static const struct {
    const char *name;
    bool optional; /* as of struct slice */
} array_kind[ARRAYS] = {
    {"outer", false},       {"outer_m", false},   {"outer_start", false},
    {"outer_delta", false}, {"outer_lost", true},
};

static float *array_of(const struct outer_slice *s, int array)
{
    float *const all[ARRAYS] = {s->outer, s->momentum, s->start, s->delta, s->lost};
    return all[array];
}

/* The arrays lie as the masters do: a slice of one is that of the master under another name. */
static int slice_as(const struct outer *x, const struct slice *of, int array, struct slice *out)
{
    for (int i = 0; i < x->n; i++) {
        const struct bucket *b = &x->optimizer->buckets.b[i];
        float *data = array_of(&x->slice[i], array);
        if (bucket_shares(b) || !data || of->data < b->policy || of->data >= b->policy + b->mine_n)
            continue;
        if (!out) return 1;
        *out = *of;
        out->data = data + (of->data - b->policy);
        out->optional = array_kind[array].optional;
        int n = snprintf(out->name, sizeof out->name, "%s/%s", array_kind[array].name,
                         of->name + strlen("model/"));
        INVARIANT(n > 0 && (size_t)n < sizeof out->name, "the name %s", of->name);
        return 1;
    }
    return 0;
}

/* The outer parameters take the names of the model's slices, so that any mesh can read them. */
int outer_slices(struct outer *x, struct slice *out, int what)
{
    int all = optimizer_slices(x->optimizer, NULL, what), n = 0;
    struct slice *of = memory_take((size_t)all + 1, sizeof *of, "slices");
    optimizer_slices(x->optimizer, of, what);
    for (int i = 0; i < all; i++)
        for (int array = 0; array < ARRAYS; array++)
            if (strncmp(of[i].name, "model/", 6) == 0 && of[i].at.lo < of[i].at.hi)
                n += slice_as(x, &of[i], array, out ? out + n : NULL);
    free(of);
    return n;
}

void outer_resume(struct outer *x, long began)
{
    x->began = began;
    x->arrived = began > 0;
}
