/* Timelines: what they hold, and that what the writers write can be read: the trace by a JSON
 * library, the SVG as a tree of elements. */
#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/schedules.h"
#include "pipeline/timeline.h"
#include "tests/support/check_unit.h"

static struct timeline predicted, measured;
static char *text;
static size_t text_size;

/* dualpipe of 4 stages and 8 micro-batches, a unit of time being a millisecond; "measured": a tenth
 * slower, with a wait and an exchange on rank 2. */
static void setup(void)
{
    struct plan plan;
    const double each[4] = {1e-3, 1e-3, 1e-3, 1e-3};
    const struct sim_costs costs = {.f = each, .b = each, .w = each};
    struct sim sim;
    plan_make(&plan, PLAN_DUALPIPE, 4, 8);
    sim_new(&sim, &plan);
    ck_assert(sim_run(&sim, &plan, &costs));
    timeline_of_sim(&predicted, &plan, &sim);
    sim_free(&sim);
    timeline_new(&measured, 4, predicted.n + 2);
    for (int i = 0; i < predicted.n; i++) {
        struct timeline_span s = predicted.span[i];
        s.start *= 1.1;
        s.end *= 1.1;
        ck_assert(timeline_add(&measured, s));
    }
    struct plan_cell cell = {1, 1, 0};
    ck_assert(timeline_add(
        &measured, (struct timeline_span){2, PLAN_F, cell, false, false, SPAN_WAIT, 0, 1e-3}));
    ck_assert(timeline_add(
        &measured, (struct timeline_span){2, PLAN_F, cell, false, false, SPAN_EXCHANGE, 0, 4e-3}));
    ck_assert(!timeline_add(&measured, predicted.span[0]));
    plan_free(&plan);
}

static void teardown(void)
{
    timeline_free(&predicted);
    timeline_free(&measured);
    free(text);
    text = NULL;
}

static struct timeline_drawing drawing(int n)
{
    return (struct timeline_drawing){.title = "dualpipe \"4\" <8> & more",
                                     .name = {"predicted", "measured"},
                                     .timeline = {&predicted, &measured},
                                     .n = n,
                                     .unit = "ms",
                                     .per_unit = 1e-3};
}

static void write(void (*writer)(FILE *, const struct timeline_drawing *), int n)
{
    struct timeline_drawing d = drawing(n);
    free(text);
    FILE *f = open_memstream(&text, &text_size);
    ck_assert_ptr_nonnull(f);
    writer(f, &d);
    fclose(f);
}

/* The README of deepseek-ai/DualPipe: P = 4, M = 8 with F&B = 3: 6 units a micro-batch in both
 * directions = 24 of work, 2 idle. */
START_TEST(of_a_plan)
{
    ck_assert_int_eq(predicted.ranks, 4);
    ck_assert_double_eq_tol(timeline_end(&predicted), 26e-3, 1e-12);
    for (int r = 0; r < 4; r++) ck_assert_double_eq_tol(timeline_busy(&predicted, r), 24e-3, 1e-12);
    int paired = 0;
    for (int i = 0; i < predicted.n; i++) paired += predicted.span[i].paired;
    ck_assert_int_eq(paired, 2 * (3 + 3 + 3 + 3)); /* pairs of each rank in the drawn example */
}
END_TEST

START_TEST(as_text)
{
    struct timeline_drawing d = drawing(1);
    FILE *f = open_memstream(&text, &text_size);
    timeline_text(f, &d, 26);
    fclose(f);
    /* Fa0 Fa1 Fa2 Fb0 Ib0 W Fb1 [Fa3|Bb1] [Fb2|Ba0] Bb2 [Fb3|Ba1] Bb3 Ia2 W Ia3 W, two units idle
     */
    const char *first = "predicted: 26 ms\nr0  FFFFIWFXXX.XXXBB.XXXBBIWIW\n";
    ck_assert_msg(strncmp(text, first, strlen(first)) == 0, "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "\nr3  "));
    ck_assert_ptr_nonnull(strstr(text, "one character is 1 ms"));
}
END_TEST

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    ck_assert_msg(json_is_number(v), "no number %s", key);
    return json_number_value(v);
}

/* The passes of one process are the timeline's, its threads have names, and on no thread do two
 * events cross. */
static void check_process(const json_t *events, int pid, const struct timeline *t)
{
    size_t i;
    json_t *e;
    double busy = 0, all = 0, last_end[4 * 8] = {0};
    int n = 0, threads = 0;
    json_array_foreach(events, i, e)
    {
        if ((int)number(e, "pid") != pid) continue;
        const char *ph = json_string_value(json_object_get(e, "ph"));
        const char *name = json_string_value(json_object_get(e, "name"));
        threads += strcmp(name, "thread_name") == 0;
        if (strcmp(ph, "X") != 0) continue;
        int tid = (int)number(e, "tid");
        double ts = number(e, "ts"), dur = number(e, "dur");
        ck_assert_int_ge(tid, 0);
        ck_assert_int_lt(tid, 4 * 8);
        ck_assert_double_ge(ts + 1e-3, last_end[tid]);
        last_end[tid] = ts + dur;
        all += dur * 1e-6;
        n++;
    }
    for (int k = 0; k < t->n; k++) busy += t->span[k].end - t->span[k].start;
    ck_assert_int_eq(n, t->n);
    ck_assert_double_eq_tol(all, busy, 1e-6);
    ck_assert_int_ge(threads, 8);
}

START_TEST(as_trace)
{
    write(timeline_trace, 2);
    json_error_t error;
    json_t *root = json_loadb(text, text_size, 0, &error);
    ck_assert_msg(root != NULL, "line %d: %s", error.line, error.text);
    const json_t *events = json_object_get(root, "traceEvents");
    check_process(events, 1, &predicted);
    check_process(events, 2, &measured);
    const json_t *other = json_object_get(root, "otherData");
    ck_assert_str_eq(json_string_value(json_object_get(other, "title")),
                     "dualpipe \"4\" <8> & more");
    json_decref(root);
}
END_TEST

/* Walks the tags of an XML text: every one closed, in order; returns how many begin with `tag`. */
static int elements(const char *tag)
{
    const char *open[32];
    int depth = 0, found = 0;
    for (const char *c = strchr(text, '<'); c; c = strchr(c, '<')) {
        const char *end = strchr(c, '>');
        ck_assert_msg(end != NULL, "an open tag: %.40s", c);
        size_t n = strcspn(c + 1, " />");
        if (c[1] == '/') {
            ck_assert_int_gt(depth, 0);
            n = (size_t)(end - c) - 2;
            ck_assert_msg(strncmp(open[--depth], c + 2, n) == 0, "%.*s closes %.10s", (int)n, c + 2,
                          open[depth]);
        } else {
            found += strlen(tag) == n && strncmp(c + 1, tag, n) == 0;
            if (end[-1] != '/') open[depth++] = c + 1;
            ck_assert_int_lt(depth, 31);
        }
        c = end;
    }
    ck_assert_int_eq(depth, 0);
    return found;
}

static int count(const char *word)
{
    int n = 0;
    for (const char *c = strstr(text, word); c; c = strstr(c + 1, word)) n++;
    return n;
}

START_TEST(as_svg)
{
    write(timeline_svg, 2);
    ck_assert_int_eq(elements("svg"), 1);
    ck_assert_int_eq(count("<g class=\"rank\">"), 8);
    ck_assert_int_eq(elements("title"), predicted.n + measured.n);
    ck_assert_ptr_nonnull(strstr(text, "dualpipe \"4\" &lt;8&gt; &amp; more"));
    ck_assert_ptr_nonnull(strstr(text, "predicted: 26 ms, ranks idle 7.7 % of it"));
    ck_assert(strstr(text, "predicted:") < strstr(text, "measured:"));
    ck_assert_int_eq(count("class=\"F0 p\""), count("class=\"F1 p\"") + 1); /* one in the legend */
    ck_assert_ptr_nonnull(strstr(text, "class=\"BW1 p\""));
    ck_assert_ptr_nonnull(strstr(text, "class=\"wait\""));
    ck_assert_ptr_nonnull(strstr(text, "class=\"ex\""));
    ck_assert_ptr_null(strstr(text, "href"));
    ck_assert_ptr_null(strstr(text, "nan"));
}
END_TEST

/* One rank, nothing on it: still a picture. */
START_TEST(empty)
{
    timeline_free(&predicted);
    timeline_new(&predicted, 1, 0);
    write(timeline_svg, 1);
    elements("svg");
    ck_assert_ptr_null(strstr(text, "nan"));
    write(timeline_trace, 1);
    json_t *root = json_loadb(text, text_size, 0, NULL);
    ck_assert_ptr_nonnull(root);
    json_decref(root);
}
END_TEST

#define TESTS(X) \
    X(of_a_plan) \
    X(as_text)   \
    X(as_trace)  \
    X(as_svg)    \
    X(empty)

UNIT_MAIN("timeline", .setup = setup, .teardown = teardown)
