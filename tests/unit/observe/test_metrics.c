/* metrics.jsonl reads back to the same bits, is cut back on resume, and never comes out twice. */
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/base/die.h"
#include "comm/base/problems.h"
#include "trainer/observe/metrics.h"
#include "trainer/observe/progress.h"
#include "trainer/observe/record_file.h"
#include "tests/support/check_unit.h"

static char folder[] = "/tmp/duet_metrics_XXXXXX";
static char path[64];

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
}

static void teardown(void)
{
    char samples[64];
    snprintf(samples, sizeof samples, "%s/samples.jsonl", folder);
    unlink(path);
    unlink(samples);
    rmdir(folder);
}

static char *slurp(const char *name)
{
    static char text[1 << 20];
    FILE *f = fopen(name, "rb");
    ck_assert_ptr_nonnull(f);
    const size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

static void line(struct metrics *m, long step, double loss)
{
    metrics_begin(m, step, "sft");
    metrics_put(m, "loss", loss);
    metrics_end(m);
}

/* Doubles of every kind, through the file and jansson, to the same bits. */
START_TEST(same_bits)
{
    double value[200] = {0.1,  1.0 / 3, 5e-324,      1.7976931348623157e308,
                         -0.0, 1e22,    123456789.0, 0.3};
    uint64_t x = 88172645463325252u;
    for (int i = 8; i < 200; i++) {
        do {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            memcpy(&value[i], &x, sizeof x);
        } while (!isfinite(value[i]));
    }
    struct metrics *m = metrics_open(folder, 0, -1, -1);
    metrics_begin(m, 7, "grpo");
    char name[16];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "v%d", i);
        metrics_put(m, name, value[i]);
    }
    metrics_end(m);
    metrics_close(m);

    json_t *o = json_loads(slurp(path), JSON_DECODE_INT_AS_REAL, NULL);
    ck_assert_ptr_nonnull(o);
    ck_assert_str_eq(json_string_value(json_object_get(o, "phase")), "grpo");
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "v%d", i);
        const double back = json_real_value(json_object_get(o, name));
        ck_assert_msg(memcmp(&back, &value[i], sizeof back) == 0, "%s: %.17g became %.17g", name,
                      value[i], back);
    }
    json_decref(o);
}
END_TEST

START_TEST(exact_text)
{
    struct metrics *m = metrics_open(folder, 0, -1, -1);
    metrics_begin(m, 3, "sft");
    metrics_put(m, "loss", 0.1);
    metrics_put(m, "lr", 2e-4);
    metrics_put(m, "third", 1.0 / 3);
    metrics_put(m, "nan", NAN);
    metrics_put(m, "inf", -INFINITY);
    metrics_put_clock(m, "tokens_per_second", 12);
    metrics_end(m);
    metrics_close(m);
    ck_assert_str_eq(
        slurp(path),
        "{\"step\":3,\"phase\":\"sft\",\"loss\":0.1,\"lr\":0.0002,\"third\":0.3333333333333333,"
        "\"nan\":null,\"inf\":null,\"tokens_per_second\":12}\n");
}
END_TEST

START_TEST(resume_cuts_and_goes_on)
{
    long metrics_bytes, samples_bytes;
    struct metrics *m = metrics_open(folder, 0, -1, -1);
    line(m, 1, 0.5);
    metrics_sample(m, json_pack("{s:s}", "prompt", "a"));
    metrics_position(m, &metrics_bytes, &samples_bytes);
    line(m, 2, 0.25);
    metrics_sample(m, json_pack("{s:s}", "prompt", "b"));
    metrics_close(m);

    m = metrics_open(folder, 0, metrics_bytes, samples_bytes);
    line(m, 2, 0.125);
    metrics_sample(m, json_pack("{s:s}", "prompt", "c"));
    metrics_close(m);
    ck_assert_str_eq(slurp(path), "{\"step\":1,\"phase\":\"sft\",\"loss\":0.5}\n{\"step\":2,"
                                  "\"phase\":\"sft\",\"loss\":0.125}\n");
    char samples[64];
    snprintf(samples, sizeof samples, "%s/samples.jsonl", folder);
    ck_assert_str_eq(slurp(samples), "{\"prompt\":\"a\"}\n{\"prompt\":\"c\"}\n");

    m = metrics_open(folder, 0, -1, -1);
    metrics_close(m);
    ck_assert_str_eq(slurp(path), "");
}
END_TEST

/* A file shorter than recorded: whole lines stay, a warning, no end. */
START_TEST(shorter_than_recorded)
{
    FILE *f = fopen(path, "wb");
    fputs("{\"step\":1}\n{\"ste", f);
    fclose(f);
    char errors[64];
    snprintf(errors, sizeof errors, "%s/stderr", folder);
    fflush(stderr);
    const int saved = dup(2), to = open(errors, O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(to, 2);
    struct metrics *m = metrics_open(folder, 0, 1000, 0);
    dup2(saved, 2);
    line(m, 2, 1);
    metrics_close(m);
    const char *said = slurp(errors);
    ck_assert_ptr_nonnull(strstr(said, "metrics.jsonl"));
    ck_assert_ptr_nonnull(strstr(said, "16 bytes"));
    ck_assert_ptr_nonnull(strstr(said, "1000"));
    unlink(errors);
    ck_assert_str_eq(slurp(path), "{\"step\":1}\n{\"step\":2,\"phase\":\"sft\",\"loss\":1}\n");
}
END_TEST

/* A line that is open while a run stops: through the checkpoint, and on from there. */
START_TEST(a_line_waits)
{
    long metrics, samples;
    struct metrics *m = metrics_open(folder, 0, -1, -1);
    line(m, 0, 1);
    ck_assert_ptr_null(metrics_waiting(m));
    metrics_begin(m, 1, "sft");
    metrics_put(m, "loss", 0.5);
    metrics_wait(m);
    char *kept = strdup(metrics_waiting(m));
    ck_assert_str_eq(kept, "{\"step\":1,\"phase\":\"sft\",\"loss\":0.5");
    metrics_position(m, &metrics, &samples);
    metrics_close(m);

    m = metrics_open(folder, 0, metrics, samples);
    metrics_go_on(m, kept);
    metrics_put(m, "eval", 2);
    metrics_end(m);
    ck_assert_ptr_null(metrics_waiting(m));
    line(m, 2, 3);
    metrics_close(m);
    ck_assert_str_eq(slurp(path), "{\"step\":0,\"phase\":\"sft\",\"loss\":1}\n"
                                  "{\"step\":1,\"phase\":\"sft\",\"loss\":0.5,\"eval\":2}\n"
                                  "{\"step\":2,\"phase\":\"sft\",\"loss\":3}\n");
    free(kept);
    ck_assert(!metrics_is_beginning("") && !metrics_is_beginning("x") &&
              !metrics_is_beginning("{\"step\":1}") && !metrics_is_beginning("{\"step\":1\n"));
}
END_TEST

/* The text of a record, read and written again, is the same bytes: what a resumed run writes is
 * what an unbroken one does. */
START_TEST(a_record_reads_back)
{
    static struct record r, back;
    static char text[RECORD_TEXT], again[RECORD_TEXT];
    const double value[] = {0.1,  -0.0,  1e22, 5e-324,   1.7976931348623157e308, 1.0 / 3, 12,
                            NAN,  -7,    1e15, INFINITY, 123456789012345678.0,   0,       1e-7,
                            2e16, 1e100, 99.5};
    char name[32];
    record_begin(&r, 123456789, "grpo");
    for (size_t i = 0; i < sizeof value / sizeof *value; i++) {
        snprintf(name, sizeof name, "eval/a \\ b%zu", i);
        record_add(&r, name, value[i]);
    }
    record_text(&r, text);
    ck_assert(record_parse(&back, text));
    ck_assert_int_eq(back.n, r.n);
    record_text(&back, again);
    ck_assert_str_eq(again, text);
    const char *const none[] = {"{\"step\":1,\"phase\":3",
                                "{\"step\":\"1\",\"phase\":\"a\"",
                                "{\"step\":1,\"phase\":\"a\",\"x\":\"y\"",
                                "{\"step\":1,\"phase\":\"a\",\"x\":1,\"x\":2",
                                "{\"step\":1,\"phase\":\"a\",\"x\":1e999",
                                "{\"step\":1,\"phase\":\"a\",\"x\":[1]",
                                "{\"step\":1,\"phase\":\"a\",\"x\"",
                                "{\"phase\":\"a\",\"step\":1",
                                "{\"step\":1e300,\"phase\":\"a\"",
                                "{\"step\":-1,\"phase\":\"a\"",
                                "{\"step\":0.5,\"phase\":\"a\"",
                                "{\"step\":1,\"phase\":\"a\\n\"",
                                "{\"step\":1,\"phase\":\"a\",\"x\\\"\":1"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(!record_parse(NULL, none[i]), "%s", none[i]);
}
END_TEST

/* Numbers written in a short way take more room as we write them: a text whose record would not fit
 * is none. */
START_TEST(a_record_that_would_not_fit_is_none)
{
    static struct record r;
    static char text[RECORD_TEXT], again[RECORD_TEXT];
    int taken = 0;
    for (int digits = 60; digits < 130; digits++) {
        size_t n = (size_t)snprintf(text, sizeof text, "{\"step\":1,\"phase\":\"a\"");
        for (int i = 0; i < RECORD_MOST && n + 200 < sizeof text; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, ",\"%0*d\":1e14", digits, i);
        if (!record_parse(&r, text)) continue;
        taken++;
        record_text(&r, again);
    }
    ck_assert_int_gt(taken, 0);
    ck_assert_int_lt(taken, 70);
}
END_TEST

static void check_says(const struct record_mark *m, const char *says)
{
    struct problems p = {0};
    record_file_check(folder, "metrics.jsonl", m, &p);
    ck_assert_int_eq(p.n, says ? 1 : 0);
    if (says) ck_assert_msg(strstr(p.text[0], says), "%s", p.text[0]);
    problems_free(&p);
}

/* What a resumed run has to find: the bytes that were written, as many of them. */
START_TEST(checked_before_it_is_cut)
{
    long samples_bytes;
    uint64_t sum, samples;
    struct record_mark m = {.summed = true};
    struct metrics *o = metrics_open(folder, 0, -1, -1);
    line(o, 1, 0.5);
    metrics_position(o, &m.bytes, &samples_bytes);
    metrics_sums(o, &m.xxh64, &samples);
    line(o, 2, 0.5);
    metrics_close(o);
    check_says(&m, NULL);
    o = metrics_open(folder, 0, m.bytes, 0); /* the sum continues where it was */
    metrics_sums(o, &sum, &samples);
    ck_assert_uint_eq(sum, m.xxh64);
    metrics_close(o);
    check_says(&m, NULL);

    int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "9", 1, 8), 1);
    close(fd);
    check_says(&m, "differ from what the run wrote");
    m.summed = false;
    check_says(&m, NULL);
    m.bytes += 7;
    check_says(&m, "lines are missing");
    unlink(path);
    check_says(&m, NULL);
    m.bytes = -1;
    check_says(&m, NULL);
}
END_TEST

START_TEST(only_rank_0_writes)
{
    long a = 5, b = 5;
    unlink(path);
    struct metrics *m = metrics_open(folder, 1, -1, -1);
    line(m, 1, 0.5);
    metrics_sample(m, json_object());
    metrics_position(m, &a, &b);
    metrics_close(m);
    ck_assert_int_eq(a + b, 0);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(name_twice)
{
    struct metrics *m = metrics_open(folder, 0, -1, -1);
    metrics_begin(m, 1, "sft");
    metrics_put(m, "loss", 1);
    metrics_put(m, "loss", 1); /* our bug: exit 3 */
}
END_TEST

START_TEST(clock_that_is_none)
{
    struct metrics *m = metrics_open(folder, 0, -1, -1);
    metrics_begin(m, 1, "sft");
    metrics_put_clock(m, "loss", 1);
}
END_TEST

START_TEST(clock_names)
{
    const char *const yes[] = {
        "time/rollout",           "tokens_per_second", "mfu", "pipeline/bubble_fraction",
        "sites/exchange_seconds", "rollout/waits"};
    const char *const no[] = {"loss", "reward/mean", "tokens", "mfu2", "timely", "sites/bytes"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        ck_assert_msg(metrics_is_clock(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        ck_assert_msg(!metrics_is_clock(no[i]), "%s", no[i]);
}
END_TEST

START_TEST(progress_texts)
{
    char text[256];
    struct progress p = {"grpo", 12, 50, 0.4119, NAN, 87.4, 15234, 200};
    progress_text(text, sizeof text, &p);
    ck_assert_str_eq(text, "grpo 12/50  reward 0.412  length 87  15.2k tokens/s  3m20s left");
    p = (struct progress){"sft", 1, 2, NAN, 1.25, NAN, 999, 3725};
    progress_text(text, sizeof text, &p);
    ck_assert_str_eq(text, "sft 1/2  loss 1.2500  999 tokens/s  1h02m left");
    ck_assert_uint_eq(progress_text(text, 8, &p), 7);
    ck_assert_str_eq(text, "sft 1/2");
}
END_TEST

/* Off a terminal: the first, then none for 5 s, then the last of the phase. */
START_TEST(progress_plain)
{
    int fd[2];
    ck_assert_int_eq(pipe(fd), 0);
    struct progress_line l;
    progress_init(&l, fd[1]);
    for (long step = 1; step <= 4; step++)
        progress_show(&l, &(struct progress){"sft", step, 4, NAN, 1, NAN, NAN, NAN});
    progress_end(&l);
    char text[256] = "";
    ck_assert_int_gt(read(fd[0], text, sizeof text - 1), 0);
    ck_assert_str_eq(text, "sft 1/4  loss 1.0000\nsft 4/4  loss 1.0000\n");
}
END_TEST

#define TESTS(X)                            \
    X(same_bits)                            \
    X(exact_text)                           \
    X(resume_cuts_and_goes_on)              \
    X(shorter_than_recorded)                \
    X(a_line_waits)                         \
    X(a_record_reads_back)                  \
    X(a_record_that_would_not_fit_is_none)  \
    X(checked_before_it_is_cut)             \
    X(only_rank_0_writes)                   \
    X(name_twice, .exit = EXIT_BUG)         \
    X(clock_that_is_none, .exit = EXIT_BUG) \
    X(clock_names)                          \
    X(progress_texts)                       \
    X(progress_plain)

UNIT_MAIN("metrics", .before_all = setup, .after_all = teardown)
