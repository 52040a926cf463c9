/* A pool of graders whose command is this program: well, and ill in every way that a command can
 * be. Whatever it does, each answer gets a verdict or is lost and counted. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "comm/base/log.h"
#include "trainer/reward/plugin/grader_pool.h"
#include "tests/support/check_unit.h"

/* --- the grader: the reward of an answer is its number of bytes --- */
static char request[1 << 20], id[17];

static bool next(void)
{
    if (!fgets(request, sizeof request, stdin)) return false;
    memcpy(id, request + 7, 16);
    return true;
}

static void reply(void)
{
    const char *answer = strstr(request, "\"answer\":\"") + 10;
    printf("{\"id\":\"%s\",\"reward\":%d}\n", id, (int)(strchr(answer, '"') - answer));
    fflush(stdout);
}

/* What an answer asks of the grader: "die" it ends, "hang" it says nothing. */
static bool asks(const char *word)
{
    return strstr(request, word) != NULL;
}

static int be_good(void)
{
    while (next()) {
        if (asks("die")) return 3;
        if (asks("hang")) sleep(60);
        reply();
    }
    return 0;
}

/* Every third answer ends it or makes it hang, whatever is in it. */
static int be_frail(void)
{
    for (int i = (int)(getpid() % 3); next(); i++) {
        if (i % 3 == 2 && getpid() % 2) return 1;
        if (i % 3 == 2) sleep(60);
        reply();
    }
    return 0;
}

static int be_deaf(void)
{
    sleep(60);
    return 0;
}

static int be_talkative(void)
{
    puts("Loading the model...");
    for (; next(); reply()) {
        puts(request);
        fputs("and to stderr\n", stderr);
    }
    return 0;
}

static int be_confused(void)
{
    while (next()) {
        puts("{\"id\":\"0123456789abcdef\",\"reward\":1}");
        fflush(stdout);
    }
    return 0;
}

static int be_endless(void)
{
    while (next())
        for (int i = 0; i < 1 << 20; i++) putchar('a');
    return 0;
}

static int be_flooding(void)
{
    while (next())
        for (int i = 0; i < 1 << 20; i++) puts("a");
    return 0;
}

static int be_vague(void)
{
    while (next()) {
        printf(asks("nan") ? "{\"id\":\"%s\",\"reward\":NaN}\n"
                           : "{\"id\":\"%s\",\"error\":\"no such unit\"}\n",
               id);
        fflush(stdout);
    }
    return 0;
}

static int be_broken(void)
{
    fputs("Traceback:\nNo module named verifier\n", stderr);
    return 1;
}

/* A process of its own that holds the streams open behind it. */
static int be_parental(void)
{
    if (fork() == 0) {
        sleep(60);
        _exit(0);
    }
    return be_good();
}

static const struct {
    const char *name;
    int (*run)(void);
} graders[] = {{"good", be_good},           {"frail", be_frail},       {"deaf", be_deaf},
               {"talkative", be_talkative}, {"confused", be_confused}, {"endless", be_endless},
               {"flooding", be_flooding},   {"vague", be_vague},       {"broken", be_broken},
               {"parental", be_parental}};

/* --- the tests --- */
static char said[4096];

static void note(void *ctx, const char *text)
{
    (void)ctx;
    strncat(said, text, sizeof said - strlen(said) - 2);
    strcat(said, "\n");
}

static struct grader_pool *pool_of(char *name, int workers, int retries, double timeout_s)
{
    static char self[] = "/proc/self/exe";
    static char *argv[] = {self, NULL, NULL};
    argv[1] = name;
    struct grader_pool_options o = {.name = "judge",
                                    .argv = argv,
                                    .workers = workers,
                                    .retries = retries,
                                    .timeout_s = timeout_s,
                                    .note = note};
    return grader_pool_open(&o);
}

static void wait_and_step(struct grader_pool *p)
{
    struct pollfd fds[3 * POOL_WORKERS];
    int n = grader_pool_watch(p, fds, 3 * POOL_WORKERS);
    double wake = grader_pool_wake(p);
    poll(fds, (nfds_t)n, wake < 1 ? (int)(1000 * wake) + 1 : 1000);
    grader_pool_step(p);
}

static bool submit(struct grader_pool *p, uint64_t ticket, const char *answer)
{
    return grader_pool_submit(p, ticket,
                              &(struct line_request){.answer = {answer, strlen(answer)}});
}

/* One answer's verdict, within a few seconds. */
static struct grader_pool_verdict ask(struct grader_pool *p, const char *answer)
{
    struct grader_pool_verdict v;
    double until = clock_now() + 8;
    ck_assert(submit(p, 7, answer));
    while (!grader_pool_take(p, &v)) {
        ck_assert_msg(clock_now() < until, "no verdict");
        wait_and_step(p);
    }
    ck_assert_uint_eq(v.ticket, 7);
    return v;
}

START_TEST(verdicts_for_all)
{
    bool got[500] = {false};
    struct grader_pool *p = pool_of("good", 3, 0, 5);
    struct grader_pool_verdict v;
    char answer[64];
    for (int sent = 0, taken = 0; taken < 500;) {
        while (sent < 500) {
            memset(answer, 'x', sizeof answer);
            answer[sent % 50] = '\0';
            if (!submit(p, (uint64_t)sent, answer)) break;
            sent++;
        }
        wait_and_step(p);
        for (; grader_pool_take(p, &v); taken++) {
            ck_assert_int_eq(v.lost, POOL_FINE);
            ck_assert_double_eq(v.reward, (double)(v.ticket % 50));
            ck_assert(!got[v.ticket]);
            got[v.ticket] = true;
        }
    }
    ck_assert_int_eq(grader_pool_counts(p)->graded, 500);
    ck_assert_int_eq(grader_pool_counts(p)->starts, 3);
    ck_assert_str_eq(said, "");
    grader_pool_close(p);
}
END_TEST

/* Room is bounded, and given back. */
START_TEST(says_no_when_full)
{
    struct grader_pool *p = pool_of("good", 1, 0, 5);
    struct grader_pool_verdict v;
    int sent = 0;
    while (submit(p, 1, "x")) sent++;
    ck_assert_int_eq(sent, 16);
    while (!grader_pool_take(p, &v)) wait_and_step(p);
    ck_assert(submit(p, 1, "x"));
    ck_assert(!submit(p, 1, "x"));
    ck_assert_int_eq(grader_pool_open_answers(p), 16);
    grader_pool_close(p);
}
END_TEST

/* A grader that ends or hangs at every third answer: with retries enough none is lost. */
START_TEST(a_retry_makes_good)
{
    struct grader_pool *p = pool_of("frail", 2, 8, 0.05);
    for (int i = 0; i < 60; i++) {
        struct grader_pool_verdict v = ask(p, "four");
        ck_assert_int_eq(v.lost, POOL_FINE);
        ck_assert_double_eq(v.reward, 4);
    }
    const struct grader_pool_counts *c = grader_pool_counts(p);
    ck_assert_int_eq(c->lost, 0);
    ck_assert_int_gt(c->mishaps[POOL_DIED], 0);
    ck_assert_int_gt(c->mishaps[POOL_LATE], 0);
    ck_assert_int_eq(c->retries, c->mishaps[POOL_DIED] + c->mishaps[POOL_LATE]);
    grader_pool_close(p);
}
END_TEST

/* What a grader does, the mishap it is, whether the answer is lost, what is said of it. */
static const struct row {
    char *grader;
    const char *answer;
    enum grader_pool_mishap m;
    bool lost;
    const char *says;
} rows[] = {
    {"good", "die", POOL_DIED, true,
     "grader judge ended without a verdict (exit status 3) (said once, then counted)\n"},
    {"good", "hang", POOL_LATE, true,
     "grader judge gave no verdict in time and was ended (0.2 s; killed) (said once"},
    {"talkative", "four", POOL_GARBAGE, false,
     "grader judge printed what is no reply (Loading the model...) (said once"},
    {"confused", "four", POOL_OTHER, true,
     "grader judge answered another request and was ended ({\"id\":\"0123456789abcdef\","},
    {"endless", "four", POOL_TOO_LONG, true,
     "grader judge printed a line of more than 65536 bytes and was ended"},
    {"flooding", "four", POOL_GARBAGE, true, "grader judge printed what is no reply (a)"},
    {"vague", "nan", POOL_BAD, true, "grader judge gave a reward that is no finite number ({\"id"},
    {"vague", "four", POOL_ERROR, true, "grader judge could not grade an answer (no such unit)"},
    {"broken", "four", POOL_DIED, true,
     "grader judge ended without a verdict (exit status 1: No module named verifier)"},
};

START_TEST(every_mishap_has_its_name)
{
    const struct row *r = &rows[_i];
    struct grader_pool *p = pool_of(r->grader, 1, 1, 0.2);
    struct grader_pool_verdict v = ask(p, r->answer);
    bool again = r->lost && r->m != POOL_BAD && r->m != POOL_ERROR;
    ck_assert_int_eq(v.lost, r->lost ? r->m : POOL_FINE);
    ck_assert_double_eq(v.reward, r->lost ? 0 : 4);
    ck_assert_int_ge(grader_pool_counts(p)->mishaps[r->m], again ? 2 : 1);
    ck_assert_int_eq(grader_pool_counts(p)->lost_by[r->m], r->lost);
    ck_assert_int_eq(grader_pool_counts(p)->retries, again);
    ck_assert_msg(strstr(said, r->says) == said, "%s", said);
    const char *more = strchr(said, '\n') + 1;
    ck_assert_msg(!strstr(more, r->says), "said twice: %s", said);
    grader_pool_close(p);
}
END_TEST

/* A request larger than a pipe, to a grader that does not read. */
START_TEST(stops_reading)
{
    static char long_answer[1 << 19];
    struct grader_pool *p = pool_of("deaf", 1, 0, 0.2);
    memset(long_answer, 'x', sizeof long_answer - 1);
    ck_assert_int_eq(ask(p, long_answer).lost, POOL_DEAF);
    ck_assert_ptr_nonnull(
        strstr(said, "grader judge stopped reading and was ended (0.2 s; killed)"));
    grader_pool_close(p);
    p = pool_of("good", 1, 0, 2);
    ck_assert_double_eq(ask(p, long_answer).reward, sizeof long_answer - 1);
    grader_pool_close(p);
}
END_TEST

/* A command that never brings a verdict costs no more than a few tries; the rest is lost at once.
 */
START_TEST(a_dead_grader_does_not_hold_up)
{
    struct grader_pool *p = pool_of("broken", 2, 2, 5);
    struct grader_pool_verdict v;
    double begin = clock_now();
    int taken = 0, sent = 0;
    while (taken < 1000) {
        while (sent < 1000 && submit(p, 1, "x")) sent++;
        wait_and_step(p);
        for (; grader_pool_take(p, &v); taken++) ck_assert_int_ne(v.lost, POOL_FINE);
    }
    ck_assert_double_lt(clock_now() - begin, 5);
    ck_assert_int_eq(grader_pool_counts(p)->lost, 1000);
    ck_assert_int_gt(grader_pool_counts(p)->lost_by[POOL_DOWN], 900);
    char tell[256];
    const char *down = "is down, its answers are lost until it brings a verdict (exit status 1: No";
    ck_assert_msg(strstr(said, down) != NULL, "%s", said);
    ck_assert_msg(
        strncmp(grader_pool_tell(p, tell, sizeof tell), "0 graded, 1000 lost; ended ", 27) == 0,
        "%s", tell);
    grader_pool_close(p);
}
END_TEST

START_TEST(what_cannot_be_run)
{
    static char *argv[] = {"/nowhere/grader", NULL};
    struct grader_pool_options o = {
        .name = "judge", .argv = argv, .workers = 1, .timeout_s = 1, .note = note};
    struct grader_pool *p = grader_pool_open(&o);
    ck_assert_int_eq(ask(p, "x").lost, POOL_DIED);
    ck_assert_ptr_nonnull(strstr(said, "(exit status 127: cannot run /nowhere/grader: No such file "
                                       "or directory)"));
    grader_pool_close(p);
}
END_TEST

/* All that a worker has started ends with it. */
START_TEST(leaves_nothing_behind)
{
    struct grader_pool *p = pool_of("parental", 1, 0, 0.2);
    ck_assert_double_eq(ask(p, "four").reward, 4);
    ck_assert_int_eq(ask(p, "hang").lost, POOL_LATE);
    grader_pool_close(p);
    int left = -1;
    for (int i = 0; i < 100 && left != 0; i++) { /* whoever is killed takes a moment to go */
        FILE *ps = popen("grep -lz '^parental$' /proc/[0-9]*/cmdline 2>/dev/null | wc -l", "r");
        ck_assert_int_eq(fscanf(ps, "%d", &left), 1);
        pclose(ps);
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    ck_assert_int_eq(left, 0);
}
END_TEST

#define TESTS(X)                                                   \
    X(verdicts_for_all)                                            \
    X(says_no_when_full)                                           \
    X(a_retry_makes_good)                                          \
    X(every_mishap_has_its_name, .to = sizeof rows / sizeof *rows) \
    X(stops_reading)                                               \
    X(a_dead_grader_does_not_hold_up)                              \
    X(what_cannot_be_run)                                          \
    X(leaves_nothing_behind)

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof graders / sizeof *graders; i++)
        if (strcmp(argv[1], graders[i].name) == 0) return graders[i].run();
    return RUN_UNIT_TESTS("grader_pool", .timeout_s = 30);
}
