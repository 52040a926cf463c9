/* Saving: every rank copies its slices, a thread of its own writes them, and at some later step all
 * agree that all are durable; then rank 0 commits. A rank whose write fails ends the job, after
 * what is half-written has been cleared away. */
#include "trainer/checkpoint/checkpoint.h"

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/arena.h"
#include "comm/base/checksum.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/thread.h"
#include "comm/base/touch.h"
#include "trainer/checkpoint/layout.h"
#include "trainer/checkpoint/shard.h"
#include "trainer/checkpoint/store.h"
#include "trainer/checkpoint/range.h"

enum job { IDLE, WRITING, WRITTEN, QUIT };

struct checkpoint_writer {
    const struct world *w;
    char root[PATH_BYTES], partial[PATH_BYTES], shard[64];
    struct arena arena;
    struct touch touch;             /* of the snapshot, until the first save */
    struct slice *slice, *snapshot; /* (n): the caller's data; ours */
    int n, keep;
    bool diverged;    /* why the save failed */
    bool async, busy; /* busy: a save is under way; the same on all ranks */
    long step, seen;
    double since,
        took; /* when the last save began; seconds the last committed one took, until told */

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    enum job job; /* under lock; what follows is the thread's while it is WRITING */
    struct shard_progress progress;
    struct failure failure;
    struct file_sum sum;

    /* rank 0 */
    struct manifest manifest; /* its tensors as text: they stay the same */
    struct store_seen ages;
    char *recipe, *tokenizer;
    const struct attachments *attached; /* NULL: none */
};

/* --- the thread --- */

static void write_bytes(struct checkpoint_writer *c, const char *name, const char *bytes, size_t n,
                        struct file_sum *sum)
{
    if (failed(&c->failure)) return;
    *sum = (struct file_sum){n, checksum(bytes, n, 0)};
    file_write(c->partial, name, bytes, n, &c->failure);
}

static void write_text(struct checkpoint_writer *c, const char *name, const char *text,
                       struct file_sum *sum)
{
    if (text) write_bytes(c, name, text, strlen(text), sum);
}

static void write_attached(struct checkpoint_writer *c)
{
    struct manifest *m = &c->manifest;
    m->files = c->attached ? c->attached->n : 0;
    for (int i = 0; i < m->files; i++) {
        const struct attachment *f = &c->attached->at[i];
        memcpy(m->file[i].name, f->name, sizeof f->name);
        write_bytes(c, f->name, f->bytes, f->n, &m->file[i].sum);
    }
}

/* The first value that is no number, or n. */
static size_t first_not_finite(const float *x, size_t n)
{
    enum { PIECE = 4096 };
    for (size_t at = 0; at < n; at += PIECE) {
        size_t end = at + PIECE < n ? at + PIECE : n;
        bool all = true;
        for (size_t i = at; i < end; i++) all &= isfinite(x[i]) != 0;
        for (size_t i = at; !all && i < end; i++)
            if (!isfinite(x[i])) return i;
    }
    return n;
}

/* A model that has diverged must not push out the checkpoints from before. */
static void check_finite(struct checkpoint_writer *c)
{
    for (int i = 0; i < c->n && !failed(&c->failure); i++) {
        const struct slice *s = &c->snapshot[i];
        size_t n = range_count(&s->at), at = first_not_finite(s->data, n);
        char why[256];
        if (at == n) continue;
        size_t run = s->at.run ? s->at.run : n, stride = s->at.run ? s->at.stride : 0;
        snprintf(why, sizeof why, "%s is %g at element %zu of %zu: the training has diverged",
                 s->name, (double)s->data[at], s->at.lo + at / run * stride + at % run, s->n);
        failure_note(&c->failure, why, "saving step %ld, which has values that are not finite",
                     c->step);
        c->diverged = true;
    }
}

static void write_all(struct checkpoint_writer *c)
{
    check_finite(c);
    if (failed(&c->failure)) return;
    shard_write(&c->sum, c->partial, c->shard, c->snapshot, c->n, &c->progress, &c->failure);
    write_text(c, "recipe.yaml", c->recipe, &c->manifest.recipe);
    write_text(c, "tokenizer.json", c->tokenizer, &c->manifest.tokenizer);
    if (c->w->rank == 0) write_attached(c);
}

/* The lock is released while it writes: is_written must not wait for a disk. Data need no lock,
 * because the caller leaves them alone until WRITTEN. */
static void *writer_body(void *arg)
{
    struct checkpoint_writer *c = arg;
    pthread_mutex_lock(&c->lock);
    while (c->job != QUIT) {
        if (c->job != WRITING) {
            pthread_cond_wait(&c->wake, &c->lock);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        write_all(c);
        pthread_mutex_lock(&c->lock);
        c->job = WRITTEN;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void set_job(struct checkpoint_writer *c, enum job job)
{
    pthread_mutex_lock(&c->lock);
    c->job = job;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

static bool is_written(struct checkpoint_writer *c)
{
    pthread_mutex_lock(&c->lock);
    const bool written = c->job == WRITTEN;
    pthread_mutex_unlock(&c->lock);
    return written;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* --- new and free --- */

enum { TAG_SLICES = 1 };

/* Rank 0 has room for the slices of one other rank at a time. */
static void take_slices(struct layout *l, int rank, int n, struct slice *room, MPI_Comm comm)
{
    MPI_Request request;
    MPI_OK(MPI_Irecv(room, n * (int)sizeof *room, MPI_BYTE, rank, TAG_SLICES, comm, &request));
    world_wait(&request, 1);
    layout_add(l, room, (size_t)n);
}

/* Rank after rank, so that there is room for one rank's slices beside the layout, not for all. */
static void collect_slices(struct checkpoint_writer *c, const int *count)
{
    int most = 0;
    size_t all = 0;
    for (int r = 0; r < c->w->size; r++) {
        all += (size_t)count[r];
        if (count[r] > most) most = count[r];
    }
    struct slice *room = memory_take((size_t)most, sizeof *room, "a checkpoint");
    struct layout *l = layout_new(c->w->size, all);
    layout_add(l, c->slice, (size_t)c->n);
    for (int r = 1; r < c->w->size; r++) take_slices(l, r, count[r], room, c->w->comm);
    layout_end(l, &c->manifest);
    SYS_OK(manifest_fix(&c->manifest), NULL, "no memory for the manifest of %zu slices", all);
    free(room);
}

/* Rank 0 learns every rank's slices; they stay the same for the whole run. */
static void gather_layout(struct checkpoint_writer *c)
{
    const struct world *w = c->w;
    int *count = memory_take((size_t)w->size, sizeof *count, "a checkpoint");
    INVARIANT(c->n < INT_MAX / (int)sizeof *c->slice, "%d slices", c->n);
    MPI_OK(MPI_Gather(&c->n, 1, MPI_INT, count, 1, MPI_INT, 0, w->comm));
    if (w->rank == 0) {
        collect_slices(c, count);
    } else {
        MPI_Request request;
        MPI_OK(MPI_Isend(c->slice, c->n * (int)sizeof *c->slice, MPI_BYTE, 0, TAG_SLICES, w->comm,
                         &request));
        world_wait(&request, 1);
    }
    free(count);
}

/* Measures, then places (arena.h). */
static void place_slices(struct checkpoint_writer *c, const struct slice *slices)
{
    struct arena *a = &c->arena;
    c->slice = arena_take_n(a, (size_t)c->n, sizeof *c->slice);
    c->snapshot = arena_take_n(a, (size_t)c->n, sizeof *c->snapshot);
    for (int i = 0; i < c->n; i++) {
        float *data = arena_take_n(a, range_count(&slices[i].at), sizeof *data);
        if (!a->base) continue;
        c->slice[i] = c->snapshot[i] = slices[i];
        c->snapshot[i].data = data;
        c->snapshot[i].device = NULL;
    }
}

/* Everything that a save needs is allocated here, the copy of all slices included (P7). That copy,
 * the largest part, is touched while the first steps run: they begin seconds earlier. */
struct checkpoint_writer *checkpoint_writer_new(const struct world *w, const char *folder,
                                                const struct slice *slices, int n, int keep,
                                                bool async)
{
    INVARIANT(keep >= 1 && n >= 0, "keep %d, %d slices", keep, n);
    struct checkpoint_writer *c = memory_take(1, sizeof *c, "a checkpoint");
    c->w = w;
    c->n = n;
    c->keep = keep;
    c->async = async;
    path_make(c->root, "%s", folder);
    shard_name(c->shard, w->rank, w->size);
    place_slices(c, slices);
    arena_reserve(&c->arena, &device_host, c->arena.used);
    place_slices(c, slices);
    unsigned char *copy = (unsigned char *)(c->snapshot + n);
    touch_begin(&c->touch, copy, (size_t)(c->arena.base + c->arena.size - copy));
    gather_layout(c);
    const bool up =
        pthread_mutex_init(&c->lock, NULL) == 0 && pthread_cond_init(&c->wake, NULL) == 0;
    SYS_OK(up, NULL, "cannot make a lock for the checkpoint writer");
    thread_start(&c->thread, writer_body, c);
    return c;
}

/* --- agreement and commit --- */

static void barrier(struct checkpoint_writer *c)
{
    MPI_Request request;
    MPI_OK(MPI_Ibarrier(c->w->comm, &request));
    world_wait(&request, 1);
}

/* All ranks come here: the threads stop, what is half-written goes, the lowest rank that failed
 * speaks. */
static _Noreturn void end_failed(struct checkpoint_writer *c, int rank)
{
    atomic_store(&c->progress.stop, true);
    while (!is_written(c)) sleep_ms(2);
    barrier(c);
    if (c->w->rank == 0) folder_remove(c->partial, &(struct failure){0});
    barrier(c);
    die_place("saving %s/%s", c->partial, c->shard);
    if (c->w->rank == rank)
        die(__FILE__, __LINE__, EXIT_WORLD, c->failure.what, c->failure.why,
            c->diverged ? "nothing of it was saved and the earlier checkpoints are kept: resume "
                          "from one of them with a smaller lr or weight_decay (--resume auto --set "
                          "phases.NAME.lr=...)"
                        : "free space on that disk; the checkpoints saved before are intact: "
                          "restart with --resume auto");
    for (;;) pause(); /* until that rank's end takes us along */
}

/* Old checkpoints are removed only when the new one is durable and `latest` names it. */
static void commit_manifest(struct checkpoint_writer *c)
{
    size_t n;
    struct failure f = {0};
    struct manifest *m = &c->manifest;
    m->has_recipe = c->recipe != NULL;
    m->has_tokenizer = c->tokenizer != NULL;
    char *text = manifest_text(m, &n);
    SYS_OK(text, NULL, "no memory for the manifest of step %ld", c->step);
    const struct store_new new = {c->step, m->keep_forever, text, n};
    if (!store_commit(c->root, &new, &c->ages, &f))
        die(__FILE__, __LINE__, EXIT_WORLD, f.what, f.why,
            "free space on that disk; the checkpoints saved before are intact: restart with "
            "--resume auto");
    free(text);
    store_prune(c->root, c->step, c->keep, &c->ages);
    uint64_t bytes = 0;
    for (int i = 0; i < m->shards; i++) bytes += m->shard[i].bytes;
    log_info("saved %s/step-%08ld (%.1f MB, %.1f s)", c->root, c->step, (double)bytes / 1e6,
             clock_now() - c->since);
}

/* When it returns, every rank knows that the checkpoint is there. */
static void commit(struct checkpoint_writer *c)
{
    die_place("committing the checkpoint of step %ld", c->step);
    MPI_OK(MPI_Gather(&c->sum, 2, MPI_UINT64_T, c->manifest.shard, 2, MPI_UINT64_T, 0, c->w->comm));
    if (c->w->rank == 0) commit_manifest(c);
    barrier(c);
    set_job(c, IDLE);
    c->busy = false;
    c->took = clock_now() - c->since;
    die_place(NULL);
}

/* One agreement while a save is under way: commits when all ranks have written. A rank that still
 * makes progress feeds the watchdogs of those that wait for it. */
static void settle(struct checkpoint_writer *c)
{
    const bool written = is_written(c);
    const long moved = atomic_load(&c->progress.moved);
    int mine[3] = {written, written && failed(&c->failure) ? c->w->rank : INT_MAX,
                   moved == c->seen},
        all[3];
    c->seen = moved;
    MPI_Request request;
    MPI_OK(MPI_Iallreduce(mine, all, 3, MPI_INT, MPI_MIN, c->w->comm, &request));
    world_wait(&request, 1);
    if (all[1] != INT_MAX) end_failed(c, all[1]);
    if (!all[2]) watchdog_feed();
    if (all[0]) commit(c);
}

void checkpoint_drain(struct checkpoint_writer *c)
{
    if (c->busy) die_place("waiting until the checkpoint of step %ld is on disk", c->step);
    while (c->busy) {
        settle(c);
        if (c->busy) sleep_ms(1);
    }
    die_place(NULL);
}

void checkpoint_writer_attach(struct checkpoint_writer *c, const struct attachments *files)
{
    INVARIANT(!c->busy, "a save is under way");
    c->attached = files;
}

void checkpoint_poll(struct checkpoint_writer *c)
{
    if (c->busy) settle(c);
}

/* --- save --- */

/* Rank 0 makes the folder and keeps its own copies of what goes into the manifest. */
static void save_begin(struct checkpoint_writer *c, const json_t *state, const char *recipe,
                       const char *tokenizer, bool keep_forever)
{
    struct failure f = {0};
    struct manifest *m = &c->manifest;
    if (!store_begin(c->partial, c->root, c->step, &f))
        die(__FILE__, __LINE__, EXIT_WORLD, f.what, f.why,
            "check that the run folder is yours and its disk has space");
    json_decref(m->state);
    free(c->recipe);
    free(c->tokenizer);
    m->state = state ? json_deep_copy(state) : json_object();
    SYS_OK(m->state, NULL, "no memory for the state of step %ld", c->step);
    m->step = c->step;
    m->keep_forever = keep_forever;
    c->recipe = memory_copy_text(recipe, "a checkpoint");
    c->tokenizer = memory_copy_text(tokenizer, "a checkpoint");
}

static void snapshot_take(const struct slice *to, const struct slice *from)
{
    size_t bytes = range_count(&from->at) * sizeof *from->data;
    if (from->device)
        from->device->copy_out(to->data, from->data, bytes);
    else
        memcpy(to->data, from->data, bytes);
}

/* Copies after the former save is committed, since there is one snapshot. What it returns counts
 * that wait, too: training stood still meanwhile. */
double checkpoint_save(struct checkpoint_writer *c, long step, const json_t *state,
                       const char *recipe, const char *tokenizer, bool keep_forever)
{
    const double since = clock_now();
    checkpoint_drain(c);
    c->since = clock_now();
    die_place("saving step %ld", step);
    INVARIANT(step >= 0, "checkpoint of step %ld", step);
    c->step = step;
    c->failure = (struct failure){0};
    if (c->w->rank == 0) save_begin(c, state, recipe, tokenizer, keep_forever);
    touch_end(&c->touch);
    MPI_OK(MPI_Bcast(c->partial, PATH_BYTES, MPI_CHAR, 0, c->w->comm));
    for (int i = 0; i < c->n; i++)
        if (c->slice[i].at.hi > c->slice[i].at.lo) snapshot_take(&c->snapshot[i], &c->slice[i]);
    c->busy = true;
    set_job(c, WRITING);
    die_place(NULL);
    if (!c->async) checkpoint_drain(c);
    return clock_now() - since;
}

double checkpoint_took(struct checkpoint_writer *c)
{
    const double took = c->took;
    c->took = 0;
    return took;
}

/* What is under way is written first: the thread ends only between checkpoints. */
void checkpoint_writer_free(struct checkpoint_writer *c)
{
    if (!c) return;
    checkpoint_drain(c);
    touch_end(&c->touch);
    set_job(c, QUIT);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    manifest_free(&c->manifest);
    store_seen_free(&c->ages);
    free(c->recipe);
    free(c->tokenizer);
    arena_free(&c->arena);
    free(c);
}
