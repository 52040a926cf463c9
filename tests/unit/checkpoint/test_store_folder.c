/* The folder of checkpoints when it is not as a run left it (promise P9): an error is not taken for
 * absence, what cannot be removed ends no run, and nothing that another wrote is removed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/support/small_store.h"

/* Interposed. A folder or a file on a disk that has gone bad. */
static int bad_disk; /* errno; 0: sound */
DIR *opendir(const char *name);
DIR *opendir(const char *name)
{
    errno = bad_disk;
    return bad_disk ? NULL : fdopendir(open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static void path_in_run(char path[PATH_BYTES], const char *name)
{
    path_make(path, "%s/%s", run, name);
}

/* What is written to stderr while `save_well` saves a step. */
static char *said_while_saving(long step)
{
    static char said[8192];
    int told[2], kept = dup(STDERR_FILENO);
    ck_assert_int_eq(pipe(told), 0);
    dup2(told[1], STDERR_FILENO);
    save_well(step, (int)step, false);
    dup2(kept, STDERR_FILENO);
    close(told[1]);
    close(kept);
    const ssize_t n = read(told[0], said, sizeof said - 1);
    close(told[0]);
    said[n > 0 ? n : 0] = 0;
    return said;
}

/* Somebody's folder in an old checkpoint, as what a network file system leaves of a file that is
 * open elsewhere. */
START_TEST(what_cannot_be_removed_is_said_once)
{
    char notes[PATH_BYTES], moved[PATH_BYTES];
    remove_all();
    keep = 1;
    save_well(1, 1, false);
    path_in_run(notes, "step-00000001/notes");
    path_in_run(moved, "step-00000001.partial/notes");
    ck_assert_int_eq(mkdir(notes, 0777), 0);
    const char *said = said_while_saving(2);
    ck_assert_msg(strstr(said, "step-00000001.partial cannot be removed (removing ") &&
                      strstr(said, "training continues"),
                  "%s", said);
    ck_assert_int_eq(access(moved, F_OK), 0);
    ck_assert_str_eq(said_while_saving(3), ""); /* not again */
    ck_assert_int_eq(rmdir(moved), 0);
    ck_assert_str_eq(said_while_saving(4), "");
    ck_assert_int_eq(entries(),
                     2); /* gone with the first save that could: step 4 and latest are left */
}
END_TEST

START_TEST(what_is_in_the_way_is_set_aside)
{
    static const char *const WAYS[] = {"step-00000002", "step-00000002.partial",
                                       "step-00000002.old", "step-00000001.partial"};
    char path[PATH_BYTES], aside[PATH_BYTES];
    long step;
    remove_all();
    keep = 1;
    save_well(1, 1, false);
    path_in_run(path, WAYS[_i]);
    path_make(aside, "%s.left-1", path);
    ck_assert_int_eq(close(creat(path, 0600)), 0); /* a plain file of this name */
    if (_i == 2) save_well(2, 2, false);
    const char *said = said_while_saving(2);
    ck_assert_msg(strstr(said, _i == 3 ? "cannot be removed" : "was in the way"), "%s", said);
    ck_assert_int_eq(load(root, &step), 2);
    ck_assert_int_eq(step, 2);
    ck_assert_int_eq(access(aside, F_OK), 0);
    ck_assert(!there(1));
}
END_TEST

/* A folder that has a checkpoint's name and is none is not ours to remove. */
START_TEST(another_programs_checkpoint)
{
    char path[PATH_BYTES], aside[PATH_BYTES];
    remove_all();
    keep = 1;
    save_well(1, 1, false);
    path_in_run(path, "step-00000002");
    ck_assert_int_eq(mkdir(path, 0777), 0);
    path_in_run(path, "step-00000002/weights.bin");
    ck_assert_int_eq(close(creat(path, 0600)), 0);
    said_while_saving(2);
    path_in_run(aside, "step-00000002.left-1/weights.bin");
    ck_assert_int_eq(access(aside, F_OK), 0);
}
END_TEST

/* The job that wrote it has no need to read it again, unless it is no longer what was written. */
START_TEST(a_manifest_that_changes_is_noticed)
{
    char path[PATH_BYTES];
    remove_all();
    keep = 1;
    save_well(1, 1, false);
    path_in_run(path, "step-00000001/manifest.json");
    const int fd = open(path, O_WRONLY | O_APPEND);
    struct stat sound;
    ck_assert(fd >= 0 && fstat(fd, &sound) == 0);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    save_well(2, 2, false);
    ck_assert(there(1) && there(2)); /* for a person to look at */
    ck_assert_int_eq(ftruncate(fd, sound.st_size), 0);
    close(fd);
    save_well(3, 3, false);
    ck_assert(!there(1) && !there(2) && there(3));
}
END_TEST

/* P9: none of these is a folder without checkpoints. */
START_TEST(an_error_is_not_absence)
{
    struct store_list l;
    struct failure f = {0};
    char saved[PATH_BYTES], latest[PATH_BYTES];
    two_saves();
    ck_assert(store_scan(&l, run, -1, &f));
    ck_assert_int_eq(l.n, 2);
    store_list_free(&l);
    path_make(saved, "%s/saved", root);
    path_make(latest, "%s/latest", run);
    if (_i == 0) bad_disk = EIO;
    if (_i == 1) bad_disk = EACCES;
    if (_i > 1) ck_assert_int_eq(_i < 5 ? rename(run, saved) : unlink(latest), 0);
    if (_i == 2) ck_assert_int_eq(symlink("checkpoints", run), 0); /* a loop */
    if (_i == 3) ck_assert_int_eq(symlink("/nowhere", run), 0);    /* not mounted */
    if (_i == 4) ck_assert_int_eq(close(creat(run, 0600)), 0);     /* not a folder */
    if (_i == 5) ck_assert_int_eq(symlink("latest", latest), 0);
    if (_i == 6) ck_assert_int_eq(mkdir(latest, 0777), 0);
    ck_assert(!store_scan(&l, run, -1, &f));
    ck_assert(failed(&f) && f.why[0] && l.n == 0);
    bad_disk = 0;
    if (_i > 1) ck_assert_int_eq(_i < 5 ? unlink(run) : remove(latest), 0);
    if (_i > 1 && _i < 5) ck_assert_int_eq(rename(saved, run), 0);
    f = (struct failure){0};
    ck_assert(store_scan(&l, "/nowhere", -1, &f) && l.n == 0 && !failed(&f));
}
END_TEST

/* A run folder that was moved away is not created again. */
START_TEST(above_the_folder_nothing_is_made)
{
    char partial[PATH_BYTES], gone[PATH_BYTES];
    struct failure f = {0};
    path_make(gone, "%s/gone/checkpoints", root);
    ck_assert(!store_begin(partial, gone, 1, &f) && failed(&f));
    path_make(gone, "%s/gone", root);
    ck_assert_int_ne(access(gone, F_OK), 0);
}
END_TEST

#define TESTS(X)                                \
    X(what_cannot_be_removed_is_said_once)      \
    X(what_is_in_the_way_is_set_aside, .to = 4) \
    X(another_programs_checkpoint)              \
    X(a_manifest_that_changes_is_noticed)       \
    X(an_error_is_not_absence, .to = 7)         \
    X(above_the_folder_nothing_is_made)

UNIT_MAIN("store_folder", .timeout_s = 100, .before_all = setup, .after_all = teardown)
