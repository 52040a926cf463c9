/* Command lines: values land, all mistakes are named, help is made of the table. */
#include "comm/base/problems.h"
#include "trainer/config/options.h"
#include "tests/support/check_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct values {
    bool fast;
    int port;
    double rate;
    const char *name;
    struct option_list sets;
    const char *args[2];
};

/* Runs `words` (separated by blanks) through a table that has a row of every type. */
static struct options run(struct values *v, const char *words, bool *help, struct problems *p)
{
    static struct option_row rows[5];
    static char text[512];
    char *argv[32] = {"try"};
    int argc = 1;
    *v = (struct values){.port = 80, .rate = 0.5, .name = "none"};
    rows[0] = (struct option_row){"fast", OPT_FLAG, &v->fast, 0, 0, "be quick"};
    rows[1] = (struct option_row){"port", OPT_INT, &v->port, 1, 65535, "port to listen on"};
    rows[2] = (struct option_row){"rate", OPT_REAL, &v->rate, -1e3, 1e3, "events a second"};
    rows[3] = (struct option_row){"name", OPT_STRING, &v->name, 0, 0, "what to call it"};
    rows[4] = (struct option_row){"set", OPT_LIST, &v->sets, 0, 0, "KEY=VALUE"};
    snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;
    struct options o = {.command = "try",
                        .summary = "Tries.",
                        .usage = "FILE [OTHER]",
                        .rows = rows,
                        .n_rows = 5,
                        .args = v->args,
                        .min_args = 1,
                        .max_args = 2};
    options_read(&o, argc, argv, help, p);
    return o;
}

START_TEST(values_land)
{
    struct values v;
    struct problems p = {0};
    bool help;
    struct options o =
        run(&v, "a --fast --port 8080 --rate=-1e3 --set x=1 - --set=y=2 --name=", &help, &p);
    ck_assert_msg(p.n == 0, "%s", p.n ? p.text[0] : "");
    ck_assert(v.fast && !help);
    ck_assert_int_eq(v.port, 8080);
    ck_assert(v.rate == -1000);
    ck_assert_str_eq(v.name, "");
    ck_assert_int_eq(v.sets.n, 2);
    ck_assert_str_eq(v.sets.at[0], "x=1");
    ck_assert_str_eq(v.sets.at[1], "y=2");
    ck_assert_int_eq(o.n_args, 2);
    ck_assert_str_eq(v.args[0], "a");
    ck_assert_str_eq(v.args[1], "-");
}
END_TEST

START_TEST(defaults_stay)
{
    struct values v;
    struct problems p = {0};
    bool help;
    struct options o = run(&v, "-- --fast", &help, &p);
    ck_assert_int_eq(p.n, 0);
    ck_assert(!v.fast);
    ck_assert_int_eq(v.port, 80);
    ck_assert_str_eq(v.name, "none");
    ck_assert_int_eq(o.n_args, 1);
    ck_assert_str_eq(v.args[0], "--fast");
}
END_TEST

START_TEST(all_mistakes_at_once)
{
    static const char *const expected[] = {
        "--port: \"8o\" is not a whole number",
        "unknown option --rat; did you mean --rate?",
        "--fast takes no value",
        "unknown option -x; options are written --name",
        "--rate: \"inf\" is not a number",
        "unexpected argument \"c\"; duet try takes FILE [OTHER]",
        "--name needs a value: --name TEXT",
        "--port needs a value: --port N",
    };
    struct values v;
    struct problems p = {0};
    bool help;
    run(&v, "--port 8o --rat=1 --fast=1 -x --rate inf a b c --name --port", &help, &p);
    ck_assert_int_eq(p.n, 8);
    for (int i = 0; i < p.n; i++) ck_assert_str_eq(p.text[i], expected[i]);
    problems_free(&p);
    run(&v, "--fast", &help, &p);
    ck_assert_int_eq(p.n, 1);
    ck_assert_str_eq(p.text[0], "missing argument: duet try FILE [OTHER]");
    problems_free(&p);
}
END_TEST

/* The ends of a range are in it; what no int holds is out of range, not something else. */
START_TEST(ranges_are_kept)
{
    static const char *const wrong[][2] = {
        {"a --port 0", "--port: 0 is not in the range 1 to 65535"},
        {"a --port=-1", "--port: -1 is not in the range 1 to 65535"},
        {"a --port 65536", "--port: 65536 is not in the range 1 to 65535"},
        {"a --port 99999999999999999999", "--port: 99999999999999999999 is not in the range"},
        {"a --rate 1000.1", "--rate: 1000.1 is not in the range -1000 to 1000"},
    };
    struct values v;
    struct problems p = {0};
    bool help;
    run(&v, "a --port 65535 --rate -1e3", &help, &p);
    run(&v, "a --port 1 --rate 1e3", &help, &p);
    ck_assert_int_eq(p.n, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        run(&v, wrong[i][0], &help, &p);
        ck_assert_int_eq(p.n, 1);
        ck_assert_ptr_eq(strstr(p.text[0], wrong[i][1]), p.text[0]);
        problems_free(&p);
    }
}
END_TEST

START_TEST(help_goes_first)
{
    struct values v;
    struct problems p = {0};
    bool help;
    run(&v, "--port 8o --help", &help, &p);
    ck_assert(help);
    ck_assert_int_eq(p.n, 0);
    run(&v, "a -- --help", &help, &p);
    ck_assert(!help);
    run(&v, "-h", &help, &p);
    ck_assert(help);
}
END_TEST

START_TEST(one_rank_speaks)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                        "SLURM_PROCID"};
    for (int i = 0; i < 4; i++) unsetenv(names[i]);
    ck_assert(options_first_rank());
    setenv("SLURM_PROCID", "1", 1);
    ck_assert(!options_first_rank());
    setenv("OMPI_COMM_WORLD_RANK", "0", 1);
    ck_assert(options_first_rank());
}
END_TEST

START_TEST(codes)
{
    char *good[] = {"try"}, *help[] = {"try", "--help"}, *bad[] = {"try", "x"};
    struct options o = {.command = "try", .summary = "Tries.", .usage = ""};
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    ck_assert_int_eq(options_parse(&o, 1, good), -1);
    ck_assert_int_eq(options_parse(&o, 2, help), EXIT_DONE);
    ck_assert_int_eq(options_parse(&o, 2, bad), EXIT_USER);
}
END_TEST

#define TESTS(X)            \
    X(values_land)          \
    X(defaults_stay)        \
    X(all_mistakes_at_once) \
    X(ranges_are_kept)      \
    X(help_goes_first)      \
    X(one_rank_speaks)      \
    X(codes)

UNIT_MAIN("options")
