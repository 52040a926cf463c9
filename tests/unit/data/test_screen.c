/* What is found in a source before a run begins: what does not fit, what the tokenizer lacks, what
 * cannot be learned from; and that the problems left keep their order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/log.h"
#include "comm/base/problems.h"
#include "trainer/data/screen.h"
#include "trainer/data/unknown.h"
#include "tests/support/check_unit.h"

enum { N = 200, CONTEXT = 32 };

static char nothing[] = "";
static struct tokenizer *built_in;

static void make_tokenizer(void)
{
    struct problems p = {0};
    size_t n;
    char *json = tokenizer_builtin_json(&n);
    built_in = tokenizer_parse(json, n, "built-in", &p);
    free(json);
    ck_assert_ptr_nonnull(built_in);
}

static void free_tokenizer(void)
{
    tokenizer_free(built_in);
}

/* A source over lines "0", "1", ... of which the one at `at` is `line`; its file is path. */
static struct source *open_lines(char path[64], int at, const char *line)
{
    struct problems p = {0};
    snprintf(path, 64, "/tmp/duet-screen-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    FILE *f = fdopen(fd, "w");
    for (int i = 0; i < N; i++)
        if (i == at)
            fprintf(f, "%s\n", line);
        else
            fprintf(f, "{\"prompt\":\"q%d\",\"answer\":\"%d\",\"demonstration\":\"so\"}\n", i, i);
    fclose(f);
    struct settings set = {.run = {.seed = 4}, .data = {.think = true}};
    set.data = (struct data_settings){.task = TASK_FILE, .file = path, .heldout_file = path};
    struct source *s = source_open(&set, (struct source_needs){SPLITS_BOTH, SPLITS_BOTH}, NULL, &p);
    ck_assert_msg(s != NULL, "%s", p.n ? p.text[0] : "no problem");
    unlink(path);
    return s;
}

static struct screen strict(void)
{
    return (struct screen){.tokenizer = built_in,
                           .max_context = CONTEXT,
                           .leave_out = 0.01,
                           .splits = SPLITS_BOTH,
                           .demonstrations = true};
}

/* What is said of a source, on stderr: warnings, then problems. */
static void told(char out[4096], struct source *s, struct screen how, struct problems *p)
{
    char name[] = "/tmp/duet-told-XXXXXX";
    int to = mkstemp(name), kept = dup(STDERR_FILENO);
    dup2(to, STDERR_FILENO);
    how.speaks = true;
    source_screen(s, &how, p);
    dup2(kept, STDERR_FILENO);
    ssize_t n = pread(to, out, 4000, 0);
    out[n < 0 ? 0 : n] = '\0';
    close(to);
    close(kept);
    unlink(name);
    for (int i = 0; i < p->n; i++) {
        strncat(out, p->text[i], 4000 - strlen(out));
        strncat(out, "\n", 4000 - strlen(out));
    }
}

#define LONG "0123456789012345678901234567890123456789"

/* A line among 200, what is said of it, and whether it is refused. (The held-out file is the same
 * one.) */
START_TEST(what_is_found)
{
    static const struct {
        const char *line, *says;
        bool refused;
        double leave_out;
    } rows[] = {
        {"{\"prompt\":\"q\",\"answer\":\"1\",\"demonstration\":\"so\"}", "", false, 0.01},
        {"{\"prompt\":\"" LONG "\",\"answer\":\"1\",\"demonstration\":\"so\"}",
         ":8: training prompts without room for an answer in model.max_context 32: 1 of 200 (line "
         "8), the longest needs 42; left out (data.leave_out is 0.01)",
         false, 0.01},
        {"{\"prompt\":\"" LONG "\",\"answer\":\"1\",\"demonstration\":\"so\"}",
         ":8: held-out prompts without room for an answer", false, 0.01},
        {"{\"prompt\":\"" LONG "\",\"answer\":\"1\",\"demonstration\":\"so\"}",
         "; more than data.leave_out allows (0.004): shorten them, raise model.max_context, or "
         "leave them "
         "out with --set data.leave_out=0.006",
         true, 0.004},
        {"{\"prompt\":\"q\",\"answer\":\"1\",\"demonstration\":\"" LONG "\"}",
         ":8: demonstrations that do not fit model.max_context 32: 1 of 200 (line 8), the longest "
         "needs 47; left out",
         false, 0.01},
        {"{\"prompt\":\"q\",\"answer\":\"1\"}",
         ":8: records without a demonstration: 1 of 200 (line 8); sft passes over them", false, 0},
        {"{\"prompt\":\"2\\u00d73\",\"answer\":\"6\",\"demonstration\":\"2\\u00d73\\u00f71\"}",
         ":8: training prompts or demonstrations with characters that are not in the tokenizer: 1 "
         "of "
         "200 (line 8), \"\xc3\x97\" (U+00D7) 2 times, \"\xc3\xb7\" (U+00F7) once; the model "
         "reads each as <unk>",
         false, 0},
        {"{\"prompt\":\"q\",\"answer\":\"6\\u20ac\"}",
         ":8: training answers with characters that are not in the tokenizer: 1 of 200 (line 8), "
         "\"\xe2\x82\xac\" (U+20AC) once: no completion could ever be right",
         true, 1},
        {"{\"prompt\":\"q\",\"answer\":\"6\",\"demonstration\":\"a</think><answer>\\u20ac</"
         "answer>\"}",
         ":8: training answers with characters that are not in the tokenizer: 1 of 200 (line 8)",
         true, 1},
        {"{\"prompt\":\"q\",\"answer\":\"6\\t\"}", "(line 8), U+0009 once", true, 1},
        {"{\"prompt\":\"q\",\"answer\":\"\\u20ac\",\"demonstration\":\"a</think><answer>2\\u20ac"
         "</answer>\"}",
         "tokenizer: 1 of 200 (line 8), \"\xe2\x82\xac\" (U+20AC) 2 times", true, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[64], out[4096];
        struct problems p = {0};
        struct screen how = strict();
        struct source *s = open_lines(path, 7, rows[i].line);
        how.leave_out = rows[i].leave_out;
        told(out, s, how, &p);
        ck_assert_msg(strstr(out, rows[i].says) && (*rows[i].says || !*out), "%s is not in:\n%s",
                      rows[i].says, out);
        ck_assert_msg((p.n > 0) == rows[i].refused, "%zu: %s", i, out);
        problems_free(&p);
        source_free(s);
    }
}
END_TEST

/* Room that is left, but less than max_new; an answer that is longer than what may be sampled. */
START_TEST(little_room)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"{\"prompt\":\"0123456789012345678901\",\"answer\":\"1\"}",
         ":8: training prompts that leave less than the 12 tokens of max_new for an answer in "
         "model.max_context 32: 1 of 200 (line 8), the longest leaves 9; such answers are cut "
         "there"},
        {"{\"prompt\":\"q\",\"answer\":\"1234567890\"}",
         ":8: training answers longer than max_new 12 or model.max_context 32 allows: 1 of "
         "200 (line 8); no completion can be right for these"},
        {"{\"prompt\":\"q\",\"answer\":\"123456789\"}", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[64], out[4096];
        struct problems p = {0};
        struct screen how = strict();
        struct source *s = open_lines(path, 7, rows[i].line);
        how.demonstrations = false;
        how.max_new[SPLIT_TRAIN] = 12;
        told(out, s, how, &p);
        ck_assert_msg(strstr(out, rows[i].says) && (*rows[i].says || !*out), "%s", out);
        ck_assert_int_eq(p.n, 0);
        source_free(s);
    }
}
END_TEST

/* One is left out, the others are walked as a file without that line would be. */
START_TEST(what_is_left_keeps_its_order)
{
    char path[64], out[4096];
    struct problems p = {0};
    struct source *s = open_lines(path, 7, "{\"prompt\":\"" LONG "\",\"answer\":\"1\"}");
    told(out, s, strict(), &p);
    ck_assert_int_eq(source_count(s, SPLIT_TRAIN), N - 1);
    ck_assert_int_eq(source_heldout(s, N), N - 1);
    int seen[N] = {0};
    for (uint32_t i = 0; i < 2 * (N - 1); i++) {
        struct problem one;
        source_problem(s, SPLIT_TRAIN, i, &one);
        int line = source_place(s, &one).line;
        ck_assert_int_ne(line, 8);
        ck_assert_int_eq(seen[line - 1]++, i / (N - 1));
    }
    source_free(s);
}
END_TEST

/* With nothing left out the problems are those of a source that was not screened. */
START_TEST(nothing_left_out_nothing_changed)
{
    char path[64], out[4096];
    static const char line[] = "{\"prompt\":\"q\",\"answer\":\"1\"}";
    struct problems p = {0};
    struct source *plain = open_lines(path, 7, line), *looked = open_lines(path, 7, line);
    told(out, looked, strict(), &p);
    for (uint32_t i = 0; i < 3 * N; i++) {
        struct problem a, b;
        source_problem(plain, SPLIT_TRAIN, i, &a);
        source_problem(looked, SPLIT_TRAIN, i, &b);
        ck_assert_int_eq(a.record, b.record);
    }
    source_free(plain);
    source_free(looked);
}
END_TEST

START_TEST(none_usable)
{
    char path[64], out[4096];
    struct problems p = {0};
    struct screen how = strict();
    struct source *s = open_lines(path, -1, "");
    how.max_context = 8; /* prompts fit, no demonstration does */
    how.leave_out = 1;
    told(out, s, how, &p);
    ck_assert_ptr_nonnull(strstr(out,
                                 ": no usable demonstration for sft: of 200 "
                                 "records 0 have none and 200 do not fit model.max_context 8"));
    problems_free(&p);
    source_free(s);
}
END_TEST

/* A generator without an end: a sample of it, and the held-out problems that will be asked. */
START_TEST(generators)
{
    static const struct {
        int context;
        const char *says;
        bool refused;
    } rows[] = {
        {320, "", false},
        {128, "countdown: demonstrations that do not fit model.max_context 128: ", false},
        {40, "sft passes over them", false},
        {16, "countdown: no usable demonstration for sft", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[4096];
        struct problems p = {0};
        struct settings set = {.run = {.seed = 4}, .data = {.think = true}};
        set.data = (struct data_settings){.task = TASK_COUNTDOWN,
                                          .difficulty = 3,
                                          .give_up = 0.25,
                                          .file = nothing,
                                          .heldout_file = nothing};
        struct source *s =
            source_open(&set, (struct source_needs){SPLITS_BOTH, SPLITS_BOTH}, NULL, &p);
        struct screen how = strict();
        how.max_context = rows[i].context;
        how.heldout = 64;
        told(out, s, how, &p);
        ck_assert_msg(strstr(out, rows[i].says) && (*rows[i].says || !*out), "%d: %s",
                      rows[i].context, out);
        ck_assert_msg((p.n > 0) == rows[i].refused, "%s", out);
        if (!rows[i].refused) ck_assert_int_eq(source_count(s, SPLIT_HELDOUT), 64);
        problems_free(&p);
        source_free(s);
    }
}
END_TEST

START_TEST(held_out_draws_that_do_not_fit_are_replaced)
{
    char out[4096];
    struct problems p = {0};
    struct settings set = {.run = {.seed = 4}, .data = {.think = true}};
    set.data = (struct data_settings){
        .task = TASK_EQUATIONS, .difficulty = 10, .file = nothing, .heldout_file = nothing};
    struct source *s = source_open(&set, (struct source_needs){SPLITS_BOTH, SPLITS_BOTH}, NULL, &p);
    struct screen how = strict();
    how.max_context = 16; /* -12(x-34)=-56x+789 is longer */
    how.leave_out = 0.99;
    how.heldout = 64;
    how.demonstrations = false;
    told(out, s, how, &p);
    ck_assert_msg(p.n == 0 && strstr(out, "held-out prompts without room"), "%s", out);
    ck_assert_int_eq(source_heldout(s, 64), 64);
    for (uint32_t i = 0; i < 64; i++) {
        struct problem one;
        source_problem(s, SPLIT_HELDOUT, i, &one);
        ck_assert_uint_lt(strlen(one.prompt), 15);
    }
    source_free(s);
}
END_TEST

START_TEST(unknown_characters)
{
    static const char text[] = "a\xc3\x97\x80"
                               "b\xc2\x85\xc3\x97\n";
    struct unknown u = {0};
    char out[256];
    struct text said = {out, 0, sizeof out, false};
    ck_assert(unknown_scan(&u, built_in, (struct span){text, sizeof text - 1}, true));
    ck_assert(!unknown_scan(&u, built_in, (struct span){"</think> ok\n", 12}, true));
    unknown_name(&u, &said);
    ck_assert_str_eq(out, "\"\xc3\x97\" (U+00D7) 2 times, byte 0x80 once, U+0085 once");
    for (unsigned char c = 0x90; c < 0xa0; c++)
        unknown_scan(&u, built_in, (struct span){(char[]){'\xc3', (char)c}, 2}, true);
    said.n = 0;
    unknown_name(&u, &said);
    ck_assert_msg(strstr(out, ", others 10 times"), "%s", out);
}
END_TEST

#define TESTS(X)                                   \
    X(what_is_found)                               \
    X(little_room)                                 \
    X(what_is_left_keeps_its_order)                \
    X(nothing_left_out_nothing_changed)            \
    X(none_usable)                                 \
    X(generators)                                  \
    X(held_out_draws_that_do_not_fit_are_replaced) \
    X(unknown_characters)

UNIT_MAIN("screen", .setup = make_tokenizer, .teardown = free_tokenizer)
