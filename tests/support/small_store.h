/* A run's folder of checkpoints without MPI: saves of three ranks by one process, two tensors whose
 * elements say of which save they are. Header only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_SMALL_STORE_H
#define DUET_TESTS_SUPPORT_SMALL_STORE_H

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/base/checksum.h"
#include "tests/support/layout_case.h"
#include "trainer/checkpoint/shard.h"
#include "trainer/checkpoint/store.h"
#include "tests/support/check_unit.h"

enum { RANKS = 3, N = 1000 };
static int keep = 2;
static char root[32] =
    "/dev/shm/duet_store_XXXXXX"; /* in memory: these tests sync a thousand times */
static char run[64];
static float data[N];
static struct store_seen seen; /* by the job that saves */

/* What tensor t has in element i at a save marked `mark`. */
static inline float value(int t, size_t i, int mark)
{
    return (float)(mark * 100000 + t * 10000 + (int)i) * 0.5f;
}

/* model/a cut over the ranks unevenly; model/b in two pieces on rank 0 and the rest on rank 2. */
static const struct slice LAYOUT[] = {
    {"model/a", N, {0, 100, 0, 0}, NULL, NULL, {0}, false},
    {"model/b", N, {300, 600, 0, 0}, NULL, NULL, {0}, false},
    {"model/b", N, {0, 300, 0, 0}, NULL, NULL, {0}, false},
    {"model/a", N, {100, 777, 0, 0}, NULL, NULL, {0}, false},
    {"model/a", N, {777, N, 0, 0}, NULL, NULL, {0}, false},
    {"model/b", N, {600, N, 0, 0}, NULL, NULL, {0}, false},
};
static const int COUNT[RANKS] = {3, 1, 2}, FIRST[RANKS] = {0, 3, 4};

static inline bool write_shard(const char *partial, struct manifest *m, int r, int mark,
                               struct failure *f)
{
    struct slice mine[3];
    float room[3][N];
    struct shard_progress progress = {0};
    char name[64];
    for (int i = 0; i < COUNT[r]; i++) {
        mine[i] = LAYOUT[FIRST[r] + i];
        mine[i].data = room[i];
        for (size_t k = mine[i].at.lo; k < mine[i].at.hi; k++)
            room[i][k - mine[i].at.lo] = value(mine[i].name[6] - 'a', k, mark);
    }
    shard_name(name, r, RANKS);
    return shard_write(&m->shard[r], partial, name, mine, COUNT[r], &progress, f);
}

/* The steps of save.c, one process for all ranks. */
static inline bool save(long step, int mark, bool keep_forever, struct failure *f)
{
    static const char RECIPE[] = "steps: 5\n";
    char partial[PATH_BYTES], *text;
    size_t n;
    struct manifest m;
    layout_make(&m, LAYOUT, COUNT, RANKS);
    m.step = step;
    m.keep_forever = keep_forever;
    m.state = json_pack("{s:i}", "mark", mark);
    m.has_recipe = true;
    m.recipe = (struct file_sum){sizeof RECIPE - 1, checksum(RECIPE, sizeof RECIPE - 1, 0)};
    bool ok = store_begin(partial, run, step, f);
    for (int r = 0; ok && r < RANKS; r++) ok = write_shard(partial, &m, r, mark, f);
    ok = ok && file_write(partial, "recipe.yaml", RECIPE, sizeof RECIPE - 1, f);
    text = manifest_text(&m, &n);
    ok = ok && store_commit(run, &(struct store_new){step, keep_forever, text, n}, &seen, f);
    free(text);
    manifest_free(&m);
    return ok;
}

static inline void save_well(long step, int mark, bool keep_forever)
{
    struct failure f = {0};
    ck_assert_msg(save(step, mark, keep_forever, &f), "%s: %s", f.what, f.why);
    store_prune(run, step, keep, &seen);
}

/* Opens `path`; asserts that every element is of the save that the state names. Returns its mark.
 */
static inline int load(const char *path, long *step)
{
    struct checkpoint c;
    struct problems p = {0};
    ck_assert_msg(checkpoint_open(&c, path, NULL, &p), "%s", p.n ? p.text[0] : "");
    const int mark = (int)json_integer_value(json_object_get(c.state, "mark"));
    *step = c.step;
    ck_assert_str_eq(c.recipe, "steps: 5\n");
    static const size_t CUT[] = {0, 50, 101, 299, 301, 776, 778, N};
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < 7; i++) {
            struct slice s = {"", N, {CUT[i], CUT[i + 1], 0, 0}, data, NULL, {0}, false};
            snprintf(s.name, sizeof s.name, "model/%c", 'a' + t);
            ck_assert_msg(checkpoint_read(&c, &s, 1, &p), "%s", p.n ? p.text[0] : "");
            size_t k = s.at.lo; /* one assertion a slice: each is a message to Check's parent */
            while (k < s.at.hi && data[k - s.at.lo] == value(t, k, mark)) k++;
            ck_assert_msg(k == s.at.hi, "%s[%zu]", s.name, k);
        }
    checkpoint_close(&c);
    problems_free(&p);
    return mark;
}

static inline void remove_all(void)
{
    DIR *d = opendir(run);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[PATH_BYTES];
        if (e->d_name[0] == '.') continue;
        path_make(path, "%s/%s", run, e->d_name);
        if (unlink(path) != 0) folder_remove(path, &(struct failure){0});
    }
    if (d) closedir(d);
    rmdir(run);
}

static inline void setup(void)
{
    if (!mkdtemp(root)) {
        strcpy(root, "/tmp/duet_store_XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
    }
    snprintf(run, sizeof run, "%s/checkpoints", root);
}

static inline void teardown(void)
{
    remove_all();
    rmdir(root);
}

static inline int entries(void)
{
    int n = 0;
    DIR *d = opendir(run);
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static inline bool there(long step)
{
    char path[PATH_BYTES];
    store_path(path, run, (struct store_entry){.step = step});
    return access(path, F_OK) == 0;
}

static inline void two_saves(void)
{
    remove_all();
    save_well(1, 1, false);
    save_well(2, 2, false);
}

#endif
