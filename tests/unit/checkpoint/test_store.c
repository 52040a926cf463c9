/* Nothing lost (promise P9), without MPI: a save is killed, or refused by the disk, at each of its
 * calls into the system in turn, and what was reported as committed must still load; damage of
 * every kind must be named and stepped over. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "comm/base/problems.h"
#include "tests/support/small_store.h"

/* --- calls into the system, interposed: the program's definitions come before the library's --- */

enum strike { PASS, KILL, REFUSE };
static enum strike mode;
static long calls, strike_at; /* counted only while mode is not PASS */

static bool refused(void)
{
    if (mode == PASS || ++calls != strike_at) return false;
    if (mode == KILL) raise(SIGKILL);
    errno = ENOSPC;
    return true;
}

#define INTERPOSE(ret, name, args, ...)                    \
    ret name args;                                         \
    ret name args                                          \
    {                                                      \
        return refused() ? -1 : (ret)syscall(__VA_ARGS__); \
    }
/* The C library names its parameters as nobody else may.
 * NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
INTERPOSE(int, fsync, (int fd), SYS_fsync, fd)
INTERPOSE(int, rename, (const char *a, const char *b), SYS_renameat, AT_FDCWD, a, AT_FDCWD, b)
INTERPOSE(int, mkdir, (const char *path, mode_t m), SYS_mkdirat, AT_FDCWD, path, m)
INTERPOSE(int, unlink, (const char *path), SYS_unlinkat, AT_FDCWD, path, 0)
INTERPOSE(int, rmdir, (const char *path), SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR)
INTERPOSE(ssize_t, write, (int fd, const void *b, size_t n), SYS_write, fd, b, n)
INTERPOSE(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t at), SYS_pwrite64, fd, b, n, at)
INTERPOSE(ssize_t, pwrite64, (int fd, const void *b, size_t n, off_t at), SYS_pwrite64, fd, b, n,
          at)
INTERPOSE(int, ftruncate, (int fd, off_t n), SYS_ftruncate, fd, n)
INTERPOSE(int, ftruncate64, (int fd, off_t n), SYS_ftruncate, fd, n)
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

/* --- crashes and refusals --- */

/* A save in a child that is struck at call `at`. Returns whether it came through without meeting
 * the strike; *committed: it reported its save as committed. */
static bool struck_save(enum strike how, long at, long step, int mark, bool *committed)
{
    int told[2];
    ck_assert_int_eq(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct failure f = {0};
        strike_at = at;
        calls = 0;
        mode = how;
        const bool ok = save(step, mark, false, &f);
        mode = PASS;
        if (!ok && !failed(&f)) _exit(3); /* it failed and cannot say why */
        if (ok && write(told[1], "c", 1) != 1) _exit(4);
        mode = how;
        if (ok) store_prune(run, step, keep, &seen);
        _exit(calls >= at ? 1 : 0);
    }
    int status;
    char c;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    close(told[1]);
    *committed = read(told[0], &c, 1) == 1;
    close(told[0]);
    if (WIFSIGNALED(status)) ck_assert_int_eq(WTERMSIG(status), SIGKILL);
    if (WIFEXITED(status)) ck_assert_int_le(WEXITSTATUS(status), 1);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void strike_everywhere(enum strike how, long former, long step)
{
    bool through = false, committed = false;
    long at;
    keep = 1;
    for (at = 1; !through && at < 1000; at++) {
        remove_all();
        save_well(former, 7, false);
        through = struck_save(how, at, step, 9, &committed);
        long found;
        const int mark = load(root, &found);
        ck_assert_msg(mark == 9 || (!committed && mark == 7),
                      "call %ld, committed %d: found mark %d", at, committed, mark);
        ck_assert_int_eq(found, mark == 9 ? step : former);
        /* And the next job resumes from there, and leaves only what belongs there. */
        save_well(step + 1, 11, false);
        ck_assert_int_eq(load(root, &found), 11);
        ck_assert_int_le(entries(), keep + 1);
    }
    ck_assert(through && committed);
    ck_assert_int_gt(at, 30); /* the calls were really counted */
}

START_TEST(killed_anywhere)
{
    strike_everywhere(KILL, 1, 2);
}
END_TEST
START_TEST(killed_anywhere_saving_a_step_again)
{
    strike_everywhere(KILL, 2, 2);
}
END_TEST
START_TEST(refused_anywhere)
{
    strike_everywhere(REFUSE, 1, 2);
}
END_TEST
START_TEST(refused_anywhere_saving_a_step_again)
{
    strike_everywhere(REFUSE, 2, 2);
}
END_TEST

/* --- damage --- */

static struct problems damage;
/* Opens step 2 by its own name: must fail, naming `file` and `what`. Then the run folder: step 1
 * must come. */
static void expect_damage(const char *file, const char *what)
{
    char path[PATH_BYTES];
    struct checkpoint c;
    long step;
    problems_free(&damage);
    damage = (struct problems){0};
    path_make(path, "%s/step-00000002", run);
    ck_assert_msg(!checkpoint_open(&c, path, NULL, &damage), "damage of %s not seen", file);
    ck_assert_int_ge(damage.n, 1);
    ck_assert_msg(strstr(damage.text[0], file) && strstr(damage.text[0], what), "%s",
                  damage.text[0]);
    ck_assert_msg(strstr(damage.text[0], "use another"), "%s", damage.text[0]);
    ck_assert_int_eq(load(root, &step), 1);
}

static char *open_file(const char *name, size_t *n, int *fd)
{
    char path[PATH_BYTES];
    struct stat st;
    path_make(path, "%s/step-00000002/%s", run, name);
    *fd = open(path, O_RDWR);
    ck_assert_int_ge(*fd, 0);
    fstat(*fd, &st);
    *n = (size_t)st.st_size;
    char *bytes = malloc(*n);
    ck_assert_int_eq(pread(*fd, bytes, *n, 0), (ssize_t)*n);
    return bytes;
}

static const char *const FILES[] = {"shard-0000-of-0003.h5", "shard-0002-of-0003.h5",
                                    "manifest.json", "recipe.yaml"};

START_TEST(bits)
{
    int fd;
    size_t n;
    two_saves();
    char *bytes = open_file(FILES[_i], &n, &fd);
    for (size_t k = 0; k < 24; k++) {
        const size_t at = k < 8 ? k % n : (k * 2654435761u) % n;
        const char flipped = (char)(bytes[at] ^ 1 << k % 8);
        ck_assert_int_eq(pwrite(fd, &flipped, 1, (off_t)at), 1);
        expect_damage(FILES[_i], "damaged");
        ck_assert_int_eq(pwrite(fd, bytes + at, 1, (off_t)at), 1);
    }
    long step;
    ck_assert_int_eq(load(root, &step), 2);
    close(fd);
    free(bytes);
}
END_TEST

START_TEST(cuts)
{
    int fd;
    size_t n;
    two_saves();
    char *bytes = open_file(FILES[_i], &n, &fd);
    const size_t cut[] = {0, 1, n / 3, n / 2, n - 1};
    for (size_t k = 0; k < 5; k++) {
        ck_assert_int_eq(ftruncate(fd, (off_t)cut[k]), 0);
        expect_damage(FILES[_i], _i < 2 ? "truncated" : "damaged");
        ck_assert_int_eq(pwrite(fd, bytes, n, 0), (ssize_t)n);
    }
    ck_assert_int_eq(pwrite(fd, "x", 1, (off_t)n), 1);
    expect_damage(FILES[_i], _i < 2 ? "too long" : "damaged");
    close(fd);
    free(bytes);
    char path[PATH_BYTES];
    path_make(path, "%s/step-00000002/%s", run, FILES[_i]);
    ck_assert_int_eq(unlink(path), 0);
    expect_damage(FILES[_i], _i < 2 ? "missing" : "No such file");
}
END_TEST

START_TEST(all_damage_is_named)
{
    two_saves();
    char path[PATH_BYTES];
    for (int i = 0; i < 2; i++) {
        path_make(path, "%s/step-00000002/shard-000%d-of-0003.h5", run, i);
        ck_assert_int_eq(unlink(path), 0);
    }
    expect_damage("shard-0000-of-0003.h5", "missing");
    ck_assert_int_eq(damage.n, 2);
    ck_assert_int_eq(checkpoint_inspect(run, (struct checkpoint_check){0}), EXIT_WORLD);
    path_make(path, "%s/step-00000001", run);
    ck_assert_int_eq(checkpoint_inspect(path, (struct checkpoint_check){0}), EXIT_DONE);
    ck_assert_int_eq(checkpoint_inspect("/nowhere", (struct checkpoint_check){0}), EXIT_USER);
}
END_TEST

static void point_latest(const char *text)
{
    char path[PATH_BYTES];
    path_make(path, "%s/latest", run);
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

START_TEST(latest_points)
{
    long step;
    two_saves();
    point_latest("step-00000003\n"); /* nowhere */
    ck_assert_int_eq(load(root, &step), 2);
    point_latest("../../../etc/passwd");
    ck_assert_int_eq(load(root, &step), 2);
    point_latest("");
    ck_assert_int_eq(load(root, &step), 2);
    point_latest("step-00000001\n"); /* the run went back: what is newer is another branch */
    ck_assert_int_eq(load(root, &step), 1);
    char path[PATH_BYTES];
    path_make(path, "%s/latest", run);
    ck_assert_int_eq(load(path, &step), 1);
    unlink(path);
    ck_assert_int_eq(load(root, &step), 2);
}
END_TEST

START_TEST(leftovers_are_ignored)
{
    long step;
    char path[PATH_BYTES], tmp[PATH_BYTES];
    two_saves();
    path_make(path, "%s/step-00000002", run);
    path_make(tmp, "%s/step-00000009.partial", run);
    ck_assert_int_eq(rename(path, tmp), 0); /* all of a checkpoint but its name */
    point_latest("step-00000001\n");
    path_make(tmp, "%s/latest.tmp", run);
    ck_assert_int_eq(close(creat(tmp, 0600)), 0);
    path_make(tmp, "%s/step-00000001/shard-0000-of-0003.h5.tmp", run);
    ck_assert_int_eq(close(creat(tmp, 0600)), 0);
    ck_assert_int_eq(load(root, &step), 1);
    save_well(3, 3, false);
    ck_assert_int_eq(entries(), 3); /* step 1, step 3, latest: the partial one is gone */
}
END_TEST

START_TEST(keeps)
{
    remove_all();
    for (int step = 1; step <= 6; step++) save_well(step, step, step == 2);
    ck_assert(!there(1) && there(2) && !there(3) && !there(4) && there(5) && there(6));
    /* Back to 2, on another branch: 3 counts as newest, the former branch goes first. */
    save_well(3, 33, false);
    ck_assert(there(2) && there(3) && there(6) && !there(5));
    long step;
    ck_assert_int_eq(load(run, &step), 33);
    save_well(4, 44, false);
    ck_assert(there(2) && there(3) && there(4) && !there(6));
}
END_TEST

START_TEST(not_a_checkpoint)
{
    struct checkpoint c;
    struct problems p = {0};
    remove_all();
    ck_assert(!checkpoint_any(root) && !checkpoint_any("/nowhere"));
    ck_assert(!checkpoint_open(&c, root, NULL, &p));
    ck_assert(!checkpoint_open(&c, "/nowhere", NULL, &p));
    ck_assert(!checkpoint_open(&c, "/dev/null", NULL, &p));
    ck_assert_int_eq(p.n, 3);
    problems_free(&p);
    save_well(1, 1, false);
    ck_assert(checkpoint_any(root) && checkpoint_any(run));
}
END_TEST

START_TEST(reading_what_is_not_there)
{
    struct checkpoint c;
    struct problems p = {0};
    two_saves();
    ck_assert(checkpoint_open(&c, root, NULL, &p));
    ck_assert(checkpoint_has(&c, "model/a") && !checkpoint_has(&c, "model/c"));
    const struct slice wrong[] = {{"model/c", N, {0, N, 0, 0}, data, NULL, {0}, false},
                                  {"model/a", N + 1, {0, N, 0, 0}, data, NULL, {0}, false},
                                  {"model/a", N, {5, N + 1, 0, 0}, data, NULL, {0}, false},
                                  {"model/b", N, {0, 5, 0, 0}, data, NULL, {0}, false}};
    ck_assert(!checkpoint_read(&c, wrong, 4, &p));
    ck_assert_int_eq(p.n, 3);
    ck_assert(strstr(p.text[0], "model/c") && strstr(p.text[1], "1001") &&
              strstr(p.text[2], "[5, 1001)"));
    ck_assert(checkpoint_read(&c, wrong + 3, 1, &p));
    checkpoint_close(&c);
    problems_free(&p);
}
END_TEST

#define TESTS(X)                            \
    X(killed_anywhere)                      \
    X(killed_anywhere_saving_a_step_again)  \
    X(refused_anywhere)                     \
    X(refused_anywhere_saving_a_step_again) \
    X(bits, .to = 4)                        \
    X(cuts, .to = 4)                        \
    X(all_damage_is_named)                  \
    X(latest_points)                        \
    X(leftovers_are_ignored)                \
    X(keeps)                                \
    X(not_a_checkpoint)                     \
    X(reading_what_is_not_there)

UNIT_MAIN("store", .timeout_s = 100, .before_all = setup, .after_all = teardown)
