/* How a rank fails (P8): the message, the exit code, one voice among several threads; problems;
 * nearest names. Every death happens in a forked child whose stderr is read. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/die.h"
#include "comm/base/problems.h"
#include "tests/support/check_unit.h"

struct last_words {
    int status; /* of waitpid */
    char text[8192];
};

static struct last_words child_run(void (*body)(void))
{
    struct last_words w = {0};
    int end[2];
    ck_assert_int_eq(pipe(end), 0);
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(end[1], STDERR_FILENO);
        close(end[0]);
        body();
        _exit(0);
    }
    close(end[1]);
    size_t n = 0;
    ssize_t more;
    while ((more = read(end[0], w.text + n, sizeof w.text - 1 - n)) > 0) n += (size_t)more;
    close(end[0]);
    ck_assert_int_eq(waitpid(child, &w.status, 0), child);
    return w;
}

static void ck_exit(const struct last_words *w, int code)
{
    ck_assert_msg(WIFEXITED(w->status), "did not exit: %s", w->text);
    ck_assert_int_eq(WEXITSTATUS(w->status), code);
}

static void die_in_place(void)
{
    die_identify(6, 16, "node-b");
    die_place("sending stage %d -> %d, microbatch %d", 3, 4, 11);
    die("comm/p2p.c", 142, EXIT_WORLD, "MPI_Isend(buf, n, ...)", "connection reset by peer",
        "look for the first rank that died above");
}

START_TEST(speaks_with_rank_host_place)
{
    struct last_words w = child_run(die_in_place);
    ck_exit(&w, 1);
    ck_assert_str_eq(
        w.text, "rank 6/16 on node-b, comm/p2p.c:142, while sending stage 3 -> 4, microbatch 11\n"
                "  what: MPI_Isend(buf, n, ...)\n"
                "  why:  connection reset by peer\n"
                "  fix:  look for the first rank that died above\n");
}
END_TEST

static void break_invariant(void)
{
    int n = 5, size = 4;
    INVARIANT(n <= size, "n %d size %d", n, size);
}

START_TEST(bug_exits_3)
{
    struct last_words w = child_run(break_invariant);
    ck_exit(&w, 3);
    ck_assert_ptr_nonnull(strstr(w.text, "rank -, tests/unit/comm/test_die.c:"));
    ck_assert_ptr_nonnull(
        strstr(w.text, "what: n <= size\n  why:  n 5 size 4\n  fix:  this is a bug"));
}
END_TEST

static void fail_world(void)
{
    die_place("reading");
    die_place(NULL);
    die_waiting("a disk");
    SYS_OK(1 > 2, "plug it in", "no disk %s", "sda");
}

START_TEST(world_exits_1)
{
    struct last_words w = child_run(fail_world);
    ck_exit(&w, 1);
    ck_assert_ptr_null(strstr(w.text, "while"));
    ck_assert_ptr_nonnull(strstr(w.text, ", waiting for a disk\n"));
    ck_assert_ptr_nonnull(strstr(w.text, "why:  no disk sda\n  fix:  plug it in\n"));
}
END_TEST

static void abort_with_77(int code)
{
    _exit(code + 70);
}
static void die_through_abort(void)
{
    die_set_abort(abort_with_77);
    die("f.c", 1, EXIT_WORLD, "what", NULL, NULL);
}

START_TEST(abort_hook_gets_the_code)
{
    struct last_words w = child_run(die_through_abort);
    ck_exit(&w, 71);
    ck_assert_str_eq(w.text, "rank -, f.c:1\n  what: what\n");
}
END_TEST

static void *die_as_thread(void *unused)
{
    (void)unused;
    die_place("a helper's work");
    die("thread.c", 1, EXIT_WORLD, "thread", NULL, NULL);
}

static void abort_slowly(int code)
{
    struct timespec t = {.tv_nsec = 100000000};
    nanosleep(&t, NULL);
    _exit(code);
}

static void die_twice(void)
{
    pthread_t t[4];
    die_set_abort(abort_slowly);
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, die_as_thread, NULL);
    pthread_join(t[0], NULL);
}

START_TEST(one_voice)
{
    struct last_words w = child_run(die_twice);
    ck_exit(&w, 1);
    char *first = strstr(w.text, "what: thread");
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(strstr(first + 1, "what: thread"));
}
END_TEST

static void *speak_for_main(void *unused)
{
    (void)unused;
    die_place_of_main();
    die("watchdog.c", 1, EXIT_WORLD, "no progress", NULL, NULL);
}

static void die_for_main(void)
{
    pthread_t t;
    die_identify(0, 2, "h");
    die_place("the main thread's work");
    die_waiting("tag 3 of rank 1");
    pthread_create(&t, NULL, speak_for_main, NULL);
    pthread_join(t, NULL);
}

START_TEST(watchdog_reads_the_main_place)
{
    struct last_words w = child_run(die_for_main);
    ck_assert_ptr_nonnull(
        strstr(w.text, "while the main thread's work, waiting for tag 3 of rank 1\n"));
}
END_TEST

static void long_message(void)
{
    static char text[20000];
    memset(text, 'x', sizeof text - 1);
    die_place("%s", text);
    die_fmt("f.c", 1, EXIT_USER, text, text, "%s", text);
}

START_TEST(long_texts_are_cut)
{
    struct last_words w = child_run(long_message);
    ck_exit(&w, 2);
    size_t n = strlen(w.text);
    ck_assert_uint_gt(n, 4000);
    ck_assert_uint_le(n, 4096);
    ck_assert_int_eq(w.text[n - 1], '\n');
}
END_TEST

static void three_mistakes(void)
{
    struct problems p = {0};
    problems_add(&p, "r.yaml", 7, "unknown setting %s", "foo");
    problems_add(&p, "r.yaml", 0, "no phases");
    problems_add(&p, NULL, 0, "too few ranks");
    problems_end_if_any(&p);
}

START_TEST(problems_all_printed)
{
    struct last_words w = child_run(three_mistakes);
    ck_exit(&w, 2);
    ck_assert_str_eq(
        w.text, "r.yaml:7: unknown setting foo\nr.yaml: no phases\ntoo few ranks\n3 problems\n");
}
END_TEST

static void no_mistakes(void)
{
    struct problems p = {0};
    problems_end_if_any(&p);
    problems_print(&p);
    problems_free(&p);
}

START_TEST(no_problem_no_words)
{
    struct last_words w = child_run(no_mistakes);
    ck_exit(&w, 0);
    ck_assert_str_eq(w.text, "");
}
END_TEST

START_TEST(problems_grow)
{
    struct problems p = {0};
    for (int i = 0; i < 1000; i++) problems_add(&p, NULL, 0, "problem %d", i);
    ck_assert_int_eq(p.n, 1000);
    ck_assert_str_eq(p.text[0], "problem 0");
    ck_assert_str_eq(p.text[999], "problem 999");
    problems_free(&p);
    ck_assert_int_eq(p.n, 0);
    ck_assert_ptr_null(p.text);
}
END_TEST

START_TEST(nearest)
{
    static const char *const names[] = {"group_size", "clip_eps", "lr", "seed", "schedule"};
    static const struct {
        const char *word, *near;
    } rows[] = {{"groupsize", "group_size"},
                {"gruop_size", "group_size"},
                {"clip_esp", "clip_eps"},
                {"sede", "seed"},
                {"shedule", "schedule"},
                {"lr", "lr"},
                {"temperature", NULL},
                {"xx", NULL},
                {"", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *near = nearest_name(rows[i].word, names, 5);
        if (rows[i].near) {
            ck_assert_msg(near != NULL, "%s: nothing near", rows[i].word);
            ck_assert_str_eq(near, rows[i].near);
        } else {
            ck_assert_ptr_null(near);
        }
    }
}
END_TEST

START_TEST(nearest_of_a_long_word)
{
    static const char *const names[] = {"seed"};
    char word[300];
    memset(word, 's', sizeof word);
    word[sizeof word - 1] = 0;
    ck_assert_ptr_null(nearest_name(word, names, 1));
}
END_TEST

#define TESTS(X)                     \
    X(speaks_with_rank_host_place)   \
    X(bug_exits_3)                   \
    X(world_exits_1)                 \
    X(abort_hook_gets_the_code)      \
    X(one_voice)                     \
    X(watchdog_reads_the_main_place) \
    X(long_texts_are_cut)            \
    X(problems_all_printed)          \
    X(no_problem_no_words)           \
    X(problems_grow)                 \
    X(nearest)                       \
    X(nearest_of_a_long_word)

UNIT_MAIN("die")
