/* Small Python programs: a function of a list of numbers, asked for in words.
 *
 *   sum of squares, even, above 5
 *   squares=x*x;even=x%2<1;above 5=x>5</think><answer>
 *   ```py
 *   def f(a):return sum([x*x for x in a if x%2<1 and x>5])
 *   ```
 *   </answer>
 *
 * An answer is right when its program passes the problem's tests, which are calls of f; any other
 * program that does is as good. A demonstration that gives up translates nothing and forgets the
 * conditions: what is left to discover is that translating word by word pays. */
#include <stdio.h>
#include <string.h>
#include "trainer/data/completion.h"
#include "trainer/data/task.h"

/* problem.data: numbers of words below, with the number that stands behind a word. */
enum { DATA_FOLD, DATA_MAP, DATA_MAP_K, DATA_FILTERS, DATA_FILTER, DATA_FILTER_K = 7 };
enum { FILTERS_MOST = 3, TESTS = 4, NUMBERS = 6 };

/* %ld: the number, 2 to 9. */
static const struct word {
    const char *text, *code;
} folds[] = {{"sum", "sum([%s])"}, {"list", "[%s]"}, {"max", "max([%s]+[0])"}},
  maps[] = {{"squares", "x*x"},
            {"plus %ld", "x+%ld"},
            {"minus %ld", "x-%ld"},
            {"times %ld", "x*%ld"}},
  filters[] = {{"even", "x%2<1"},
               {"odd", "x%2"},
               {"above %ld", "x>%ld"},
               {"below %ld", "x<%ld"},
               {"by %ld", "x%%ld<1"}};
#define COUNT(words) ((int)(sizeof(words) / sizeof *(words)))

/* A word or its code, with its number. (No format: what has a % of its own is Python.) */
static void write_word(struct text *out, const char *word, long k)
{
    for (; *word; word++) {
        if (word[0] == '%' && word[1] == 'l') {
            text_add(out, "%ld", k);
            word += 2;
        } else
            text_add_bytes(out, word, 1);
    }
}

static void write_prompt(struct text *out, const struct problem *p)
{
    text_add(out, "%s of ", folds[p->data[DATA_FOLD]].text);
    write_word(out, maps[p->data[DATA_MAP]].text, p->data[DATA_MAP_K]);
    for (int i = 0; i < p->data[DATA_FILTERS]; i++) {
        text_add(out, ", ");
        write_word(out, filters[p->data[DATA_FILTER + i]].text,
                   p->data[DATA_FILTER_K] >> 8 * i & 255);
    }
}

/* The program in its fence; without its conditions it is wrong nearly always. */
static void write_program(struct text *out, const struct problem *p, bool conditions)
{
    char inner[96];
    struct text t = {inner, 0, sizeof inner, false};
    write_word(&t, maps[p->data[DATA_MAP]].code, p->data[DATA_MAP_K]);
    text_add(&t, " for x in a");
    for (int i = 0; conditions && i < p->data[DATA_FILTERS]; i++) {
        text_add(&t, i ? " and " : " if ");
        write_word(&t, filters[p->data[DATA_FILTER + i]].code,
                   p->data[DATA_FILTER_K] >> 8 * i & 255);
    }
    text_add(out, "```py\ndef f(a):return ");
    text_add(out, folds[p->data[DATA_FOLD]].code, inner);
    text_add(out, "\n```");
}

static bool passes(const struct problem *p, long x)
{
    bool all = true;
    for (int i = 0; i < p->data[DATA_FILTERS]; i++) {
        const long k = p->data[DATA_FILTER_K] >> 8 * i & 255;
        const bool held[] = {x % 2 < 1, x % 2 != 0, x > k, x < k, x % k < 1};
        all = all && held[p->data[DATA_FILTER + i]];
    }
    return all;
}

static long mapped(const struct problem *p, long x)
{
    const long k = p->data[DATA_MAP_K];
    return (long[]){x * x, x + k, x - k, x * k}[p->data[DATA_MAP]];
}

/* What f returns for these numbers. */
static void write_value(struct text *out, const struct problem *p, const long *x)
{
    long sum = 0, most = 0;
    int n = 0;
    const bool list = p->data[DATA_FOLD] == 1;
    if (list) text_add(out, "[");
    for (int i = 0; i < NUMBERS; i++) {
        if (!passes(p, x[i])) continue;
        const long y = mapped(p, x[i]);
        sum += y;
        if (y > most) most = y;
        if (list) text_add(out, n++ ? ",%ld" : "%ld", y);
    }
    if (list)
        text_add(out, "]");
    else
        text_add(out, "%ld", p->data[DATA_FOLD] == 0 ? sum : most);
}

/* Half of the numbers of a test pass the conditions, where any does. */
static void write_tests(struct text *out, const struct problem *p, struct rng_stream *rng)
{
    for (int t = 0; t < TESTS; t++) {
        long x[NUMBERS];
        text_add(out, "%s{\"function\":\"f\",\"args\":[[", t ? "," : "[");
        for (int i = 0; i < NUMBERS; i++) {
            int tries = i % 2 ? 20 : 1;
            do x[i] = (long)rng_next_below(rng, 20);
            while (--tries > 0 && !passes(p, x[i]));
            text_add(out, i ? ",%ld" : "%ld", x[i]);
        }
        text_add(out, "]],\"returns\":");
        write_value(out, p, x);
        text_add(out, "}");
    }
    text_add(out, "]");
}

static long draw_k(struct rng_stream *rng)
{
    return 2 + (long)rng_next_below(rng, 8);
}

/* The order of draws is part of the task: another makes other problems of the same seed. The
 * conditions' numbers share one of problem.data, a byte each: at most 8. */
static void problem_draw(struct problem *p, int conditions, struct rng_stream *rng)
{
    *p = (struct problem){.record = -1};
    p->data[DATA_FOLD] = (long)rng_next_below(rng, (uint32_t)COUNT(folds));
    p->data[DATA_MAP] = (long)rng_next_below(rng, (uint32_t)COUNT(maps));
    p->data[DATA_MAP_K] = draw_k(rng);
    p->data[DATA_FILTERS] = conditions;
    for (int i = 0; i < conditions; i++) {
        p->data[DATA_FILTER + i] = (long)rng_next_below(rng, (uint32_t)COUNT(filters));
        p->data[DATA_FILTER_K] |= draw_k(rng) << 8 * i;
    }
    struct text prompt = {p->own_prompt, 0, sizeof p->own_prompt, false};
    struct text answer = {p->own_answer, 0, sizeof p->own_answer, false};
    struct text tests = {p->own_tests, 0, sizeof p->own_tests, false};
    write_prompt(&prompt, p);
    write_program(&answer, p, true);
    write_tests(&tests, p, rng);
    p->prompt = p->own_prompt;
    p->answer = p->own_answer;
    p->tests = p->own_tests;
    p->language = "python";
}

static void programs_make(struct problem *out, const struct task_options *o, enum split split,
                          uint32_t index)
{
    struct rng_stream rng = problem_draws(o, split, index);
    do problem_draw(out, o->difficulty, &rng);
    while (problem_split(out->prompt) != split);
}

/* Nothing is said of a program by looking at it. */
static enum reason programs_verify(const struct problem *p, struct span answer, struct text *read)
{
    (void)p;
    answer = span_trim(answer);
    text_add_bytes(read, answer.at, answer.n);
    return REASON_BY_TESTS;
}

/* The translation stands before the program, which is then put together from it; who gives up has
 * neither it nor the conditions. */
static void programs_demonstrate(struct text *out, const struct problem *p,
                                 const struct task_options *o, struct rng_stream *rng)
{
    const bool gives_up = rng_next_uniform(rng) < o->give_up;
    if (!gives_up) {
        write_word(out, maps[p->data[DATA_MAP]].text, p->data[DATA_MAP_K]);
        text_add(out, "=");
        write_word(out, maps[p->data[DATA_MAP]].code, p->data[DATA_MAP_K]);
    }
    for (int i = 0; !gives_up && i < p->data[DATA_FILTERS]; i++) {
        const struct word *w = &filters[p->data[DATA_FILTER + i]];
        const long k = p->data[DATA_FILTER_K] >> 8 * i & 255;
        text_add(out, ";");
        write_word(out, w->text, k);
        text_add(out, "=");
        write_word(out, w->code, k);
    }
    text_add(out, "</think><answer>\n");
    write_program(out, p, !gives_up);
    text_add(out, "\n</answer>");
}

static const char *const part_names[] = {NULL};
static void programs_parts(const struct problem *p, const char *completion, size_t n, int right[],
                           int total[])
{
    (void)p, (void)completion, (void)n, (void)right, (void)total;
}

const struct task task_programs = {
    .name = "programs",
    .help = "difficulty 1-3: number of conditions; Python functions of a list, judged by tests",
    .least_difficulty = 1,
    .most_difficulty = 3,
    .by_tests = true,
    .make = programs_make,
    .verify = programs_verify,
    .demonstrate = programs_demonstrate,
    .part_names = part_names,
    .parts = programs_parts};
