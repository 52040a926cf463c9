/* ranks: 1 2 4 */
/* Checkpoints between ranks: saved by some, read by others in another layout to the same bits,
 * while training goes on.
 *
 *   test_checkpoint                     the tests
 *   test_checkpoint disk-full FOLDER    saves step 1, then step 2 with no room for the last rank:
 *                                       must die (tests/faults)
 *   test_checkpoint diverged FOLDER     saves step 1, then step 2 with an infinity on the last
 *                                       rank: must die
 *   test_checkpoint verify FOLDER       opens the newest; prints its step */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/arena.h"
#include "comm/base/problems.h"
#include "tests/support/shared_folder.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/store.h"

enum { TENSORS = 5, MOST = 5000, MOST_SLICES = 4 * TENSORS };
static const struct {
    const char *name;
    size_t n;
} TENSOR[TENSORS] = {{"model/embed", 5000},
                     {"model/layers.0.wqkv", 1237},
                     {"adam_m/embed", 5000},
                     {"ref/norm", 3},
                     {"one", 1}};

/* Any bits at all that are a number, the smallest and -0 among them: what is stored is bits. */
static uint32_t bits_of(int t, size_t i, int mark)
{
    uint64_t x = (uint64_t)t << 50 ^ (uint64_t)mark << 40 ^ i;
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return i == 0 ? 0x00000001u : i == 1 ? 0x80000000u : (uint32_t)(x >> 16) & 0xbfffffffu;
}

static char folder[SHARED_FOLDER];
static float room[MOST_SLICES][MOST];

/* Member r of n gets of each tensor: `pieces` runs out of n * pieces, r-th, (r+n)-th, ...; the last
 * tensor all of them. */
static int cut(struct slice *s, int r, int n, int pieces)
{
    int k = 0;
    for (int t = 0; t < TENSORS; t++)
        for (int i = 0; i < pieces; i++) {
            const size_t all = TENSOR[t].n, parts = (size_t)(n * pieces),
                         part = (size_t)(r + i * n);
            const bool whole = t == TENSORS - 1;
            if (whole && i > 0) continue;
            s[k] = (struct slice){.n = all,
                                  .at = {.lo = whole ? 0 : all * part / parts,
                                         .hi = whole ? all : all * (part + 1) / parts},
                                  .data = room[k]};
            strcpy(s[k++].name, TENSOR[t].name);
        }
    return k;
}

static int tensor_of(const struct slice *s)
{
    for (int t = 0; t < TENSORS; t++)
        if (strcmp(TENSOR[t].name, s->name) == 0) return t;
    return -1;
}

static void fill(struct slice *s, int n, int mark)
{
    for (int k = 0; k < n; k++)
        for (size_t i = s[k].at.lo; i < s[k].at.hi; i++) {
            const uint32_t bits = bits_of(tensor_of(&s[k]), i, mark);
            memcpy(&s[k].data[i - s[k].at.lo], &bits, sizeof bits);
        }
}

static bool holds(const struct slice *s, int n, int mark)
{
    for (int k = 0; k < n; k++)
        for (size_t i = s[k].at.lo; i < s[k].at.hi; i++) {
            const uint32_t bits = bits_of(tensor_of(&s[k]), i, mark);
            if (memcmp(&s[k].data[i - s[k].at.lo], &bits, sizeof bits) != 0) return false;
        }
    return true;
}

static double save(struct checkpoint_writer *c, struct slice *s, int n, int mark, bool forever)
{
    fill(s, n, mark);
    json_t *state = json_pack("{s:i}", "mark", mark);
    const double stalled =
        checkpoint_save(c, mark, state, "recipe", mark % 2 ? "tokenizer" : NULL, forever);
    json_decref(state);
    return stalled;
}

/* Opens the newest of `folder` with all ranks; asserts its mark and, in the cut (r, n, pieces), its
 * every bit. */
static void expect(int mark, int r, int n, int pieces)
{
    struct checkpoint c;
    struct problems p = {0};
    struct slice s[MOST_SLICES];
    const bool ok = checkpoint_open(&c, folder, &ck_world, &p);
    ck_all(ok, "%s", p.n ? p.text[0] : "damaged for another rank");
    ck_all(c.step == mark && json_integer_value(json_object_get(c.state, "mark")) == mark,
           "step %ld, not %d", c.step, mark);
    ck_all(strcmp(c.recipe, "recipe") == 0 && !c.tokenizer == !(mark % 2), "texts");
    const int k = cut(s, r, n, pieces);
    memset(room, 0xff, sizeof room);
    checkpoint_locate(&c, &ck_world, s, k);
    ck_all(checkpoint_read(&c, s, k, &p), "%s", p.n ? p.text[0] : "");
    ck_all(holds(s, k, mark), "other bits than saved");
    checkpoint_close(&c);
}

START_TEST(any_layout_reads_any)
{
    const struct world *w = &ck_world;
    struct slice s[MOST_SLICES];
    for (int pieces = 1; pieces <= 3; pieces++) {
        shared_folder_make(folder);
        int n = cut(s, w->rank, w->size, pieces);
        struct checkpoint_writer *c = checkpoint_writer_new(w, folder, s, n, 1, false);
        save(c, s, n, pieces, false);
        checkpoint_writer_free(c);
        expect(pieces, w->rank, w->size, pieces); /* as it was written */
        expect(pieces, 0, 1, 1);                  /* all of it on every rank */
        expect(pieces, w->rank, w->size, 4);      /* finer */
        expect(pieces, w->rank + 1, w->size + 2, 1);
        shared_folder_remove(folder);
    }
}
END_TEST

/* Written by fewer ranks than read it, and the other way round. */
START_TEST(other_rank_counts)
{
    struct world half = ck_world;
    struct slice s[MOST_SLICES];
    shared_folder_make(folder);
    MPI_Comm_split(ck_world.comm, ck_world.rank % 2, ck_world.rank, &half.comm);
    MPI_Comm_rank(half.comm, &half.rank);
    MPI_Comm_size(half.comm, &half.size);
    if (ck_world.rank % 2 == 0) {
        const int n = cut(s, half.rank, half.size, 2);
        struct checkpoint_writer *c = checkpoint_writer_new(&half, folder, s, n, 1, true);
        save(c, s, n, 5, false);
        checkpoint_writer_free(c);
    }
    MPI_Barrier(ck_world.comm);
    expect(5, ck_world.rank, ck_world.size, 1);
    struct checkpoint c;
    struct problems p = {0};
    ck_all(checkpoint_open(&c, folder, NULL, &p), "alone: %s", p.n ? p.text[0] : "");
    const int n = cut(s, 0, 1, 3);
    ck_all(checkpoint_read(&c, s, n, &p) && holds(s, n, 5), "alone");
    checkpoint_close(&c);
    MPI_Comm_free(&half.comm);
    shared_folder_remove(folder);
}
END_TEST

/* Training changes the weights as soon as save returns; the saved are those of the moment. */
START_TEST(async)
{
    struct slice s[MOST_SLICES];
    shared_folder_make(folder);
    const int n = cut(s, ck_world.rank, ck_world.size, 1);
    const size_t before = arena_live_bytes();
    struct checkpoint_writer *c = checkpoint_writer_new(&ck_world, folder, s, n, 2, true);
    save(c, s, n, 1, false);
    fill(s, n, 77);
    for (int i = 0; i < 1000 && !world_all(&ck_world, checkpoint_any(folder)); i++) {
        checkpoint_poll(c);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    MPI_Barrier(ck_world.comm);
    expect(1, ck_world.rank, ck_world.size, 1);
    save(c, s, n, 2, false);
    save(c, s, n, 3, false); /* waits for 2 */
    fill(s, n, 77);
    checkpoint_writer_free(c); /* waits for 3 */
    expect(3, ck_world.rank, ck_world.size, 2);
    ck_all(arena_live_bytes() == before, "%zu bytes left", arena_live_bytes() - before);
    shared_folder_remove(folder);
}
END_TEST

static bool there(long step)
{
    char path[PATH_BYTES];
    store_path(path, folder, (struct store_entry){.step = step});
    return access(path, F_OK) == 0;
}

START_TEST(keeps)
{
    struct slice s[MOST_SLICES];
    shared_folder_make(folder);
    const int n = cut(s, ck_world.rank, ck_world.size, 1);
    struct checkpoint_writer *c = checkpoint_writer_new(&ck_world, folder, s, n, 2, false);
    for (int step = 1; step <= 5; step++) save(c, s, n, step, step == 2);
    checkpoint_writer_free(c);
    ck_all(!there(1) && there(2) && !there(3) && there(4) && there(5), "1 %d 2 %d 3 %d 4 %d 5 %d",
           there(1), there(2), there(3), there(4), there(5));
    shared_folder_remove(folder);
}
END_TEST

/* One rank's shard is damaged: all ranks must take the one before. */
START_TEST(damage_is_agreed)
{
    struct slice s[MOST_SLICES];
    char path[PATH_BYTES];
    struct checkpoint opened;
    struct problems p = {0};
    shared_folder_make(folder);
    const int n = cut(s, ck_world.rank, ck_world.size, 1), last = ck_world.size - 1;
    struct checkpoint_writer *c = checkpoint_writer_new(&ck_world, folder, s, n, 2, false);
    save(c, s, n, 1, false);
    save(c, s, n, 2, false);
    checkpoint_writer_free(c);
    if (ck_world.rank == 0) {
        path_make(path, "%s/step-00000002/shard-%04d-of-%04d.h5", folder, last, ck_world.size);
        const int fd = open(path, O_RDWR);
        char byte = 0;
        if (pread(fd, &byte, 1, 3000) == 1) byte ^= 16;
        if (pwrite(fd, &byte, 1, 3000) != 1) perror(path);
        close(fd);
    }
    MPI_Barrier(ck_world.comm);
    expect(1, ck_world.rank, ck_world.size, 1);
    path_make(path, "%s/step-00000002", folder);
    const bool ok = checkpoint_open(&opened, path, &ck_world, &p);
    ck_all(!ok, "damage not seen");
    ck_all((p.n > 0) == (ck_world.rank == last), "%d problems", p.n);
    ck_all(p.n == 0 || (strstr(p.text[0], "shard-") && strstr(p.text[0], "damaged")), "%s",
           p.text[0]);
    problems_free(&p);
    shared_folder_remove(folder);
}
END_TEST

/* --- for tests/faults --- */

static int disk_full(const char *where)
{
    struct slice s[MOST_SLICES];
    const int n = cut(s, ck_world.rank, ck_world.size, 1);
    struct checkpoint_writer *c = checkpoint_writer_new(&ck_world, where, s, n, 2, true);
    save(c, s, n, 1, false);
    while (!world_all(&ck_world, checkpoint_any(where))) checkpoint_poll(c);
    signal(SIGXFSZ, SIG_IGN);
    if (ck_world.rank == ck_world.size - 1) setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096});
    save(c, s, n, 2, false);
    for (int i = 0; i < 1000000; i++) checkpoint_poll(c);
    return EXIT_DONE; /* it should have died */
}

/* keep 1: if step 2 were committed, step 1 would go. */
static int diverged(const char *where)
{
    struct slice s[MOST_SLICES];
    const int n = cut(s, ck_world.rank, ck_world.size, 1);
    struct checkpoint_writer *c = checkpoint_writer_new(&ck_world, where, s, n, 1, true);
    save(c, s, n, 1, false);
    while (!world_all(&ck_world, checkpoint_any(where))) checkpoint_poll(c);
    fill(s, n, 2);
    if (ck_world.rank == ck_world.size - 1) s[1].data[7] = INFINITY;
    checkpoint_save(c, 2, json_object(), NULL, NULL, false);
    for (int i = 0; i < 1000000; i++) checkpoint_poll(c);
    return EXIT_DONE; /* it should have died */
}

static int verify(const char *where)
{
    struct checkpoint c;
    struct problems p = {0};
    struct slice s[MOST_SLICES];
    checkpoint_open(&c, where, &ck_world, &p);
    world_agree_problems(&ck_world, &p, EXIT_WORLD);
    const int n = cut(s, ck_world.rank, ck_world.size, 1);
    checkpoint_locate(&c, &ck_world, s, n);
    const bool ok = checkpoint_read(&c, s, n, &p) && holds(s, n, (int)c.step);
    if (ck_world.rank == 0) printf("step %ld\n", c.step);
    checkpoint_close(&c);
    return ok ? EXIT_DONE : EXIT_WORLD;
}

#define TESTS(X)            \
    X(any_layout_reads_any) \
    X(other_rank_counts)    \
    X(async)                \
    X(keeps)                \
    X(damage_is_agreed)

int main(int argc, char **argv)
{
    if (argc == 3) {
        world_up(&ck_world, &argc, &argv);
        const int code = strcmp(argv[1], "disk-full") == 0  ? disk_full(argv[2])
                         : strcmp(argv[1], "diverged") == 0 ? diverged(argv[2])
                                                            : verify(argv[2]);
        world_down(&ck_world);
        return code;
    }
    return RUN_MPI_TESTS(argc, argv, "checkpoint");
}
