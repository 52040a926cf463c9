/* What must hold of the mathematics grader whatever the answer: it equals itself and its
 * rewritings, never one more than itself; answers changed by chance end in time, and memory stays
 * what it was. MATH_MUTATIONS (default 5000) says how many are changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "comm/base/rng.h"
#include "trainer/data/text.h"
#include "trainer/reward/math/math.h"
#include "tests/support/check_unit.h"

enum { EXPRESSIONS = 600, LONGEST_MS = 50 };

static struct rng_stream draws_of(uint32_t sample)
{
    return (struct rng_stream){7, {.purpose = RNG_TEST, .sample = sample}};
}

static struct span span_of(const char *s)
{
    return (struct span){s, strlen(s)};
}

static enum math_verdict compare(const char *expected, const char *answer)
{
    char why[128];
    return math_compare(span_of(answer), span_of(expected), why, sizeof why);
}

/* --- expressions by chance --- */

static void add_expression(struct text *t, struct rng_stream *r, int depth, bool names);

static void add_atom(struct text *t, struct rng_stream *r, bool names)
{
    int a = (int)rng_next_below(r, 60) - 20, b = 1 + (int)rng_next_below(r, 40);
    switch (rng_next_below(r, names ? 8 : 5)) {
    case 0: text_add(t, a < 0 ? "(%d)" : "%d", a); break;
    case 1: text_add(t, "\\frac{%d}{%d}", a, b); break;
    case 2: text_add(t, "\\sqrt{%d}", b); break;
    case 3: text_add(t, "%d.%d", b, b); break;
    case 4: text_add(t, "\\pi"); break;
    default: text_add(t, "%c", "xyz"[rng_next_below(r, 3)]);
    }
}

static void add_two(struct text *t, struct rng_stream *r, int depth, bool names, const char *form[])
{
    for (int i = 0; i < 2; i++) {
        text_add(t, "%s", form[i]);
        add_expression(t, r, depth - 1, names);
    }
    text_add(t, "%s", form[2]);
}

static void add_expression(struct text *t, struct rng_stream *r, int depth, bool names)
{
    static const char *forms[][3] = {{"(", "+", ")"},
                                     {"(", "-", ")"},
                                     {"(", " \\cdot ", ")"},
                                     {"\\frac{", "}{", "}"},
                                     {"(", ")(", ")"}};
    uint32_t which = depth > 0 ? rng_next_below(r, 8) : 9;
    if (which < 5)
        add_two(t, r, depth, names, forms[which]);
    else if (which < 7) {
        text_add(t, which == 5 ? "(" : "\\sin(");
        add_expression(t, r, depth - 1, names);
        text_add(t, which == 5 ? ")^2" : ")");
    } else
        add_atom(t, r, names);
}

static const char *expression(char buffer[static 600], uint32_t number)
{
    struct text t = {buffer, 0, 600, false};
    struct rng_stream r = draws_of(number);
    add_expression(&t, &r, 3, number % 2 == 1);
    return t.cut ? NULL : buffer;
}

static const char *with(char buffer[static 700], const char *before, const char *e,
                        const char *after)
{
    snprintf(buffer, 700, "%s%s%s", before, e, after);
    return buffer;
}

/* Undecided is a division by zero. */
static bool has_value(const char *e)
{
    char other[700];
    return compare(e, with(other, "0+", e, "")) == MATH_CORRECT;
}

START_TEST(equals_itself)
{
    char e[600];
    int values = 0;
    for (uint32_t i = 0; i < EXPRESSIONS; i++) {
        if (!expression(e, i)) continue;
        ck_assert_msg(compare(e, e) == MATH_CORRECT, "%s", e);
        ck_assert(math_vote(span_of(e)) == math_vote(span_of(e)));
        values += has_value(e);
    }
    ck_assert_int_gt(values, EXPRESSIONS * 9 / 10);
    math_forget();
}
END_TEST

/* Texts that say the same (N1-N5, N12, N15), and values that are the same. */
START_TEST(equals_its_rewritings)
{
    static const char *const around[][2] = {
        {"$", "$"},          {"\\left(", "\\right)"}, {"\\displaystyle ", ""}, {" ", "."},
        {"{", "}"},          {"\\(", "\\)"},          {"\\boxed{", "}"},       {"w = ", ""},
        {"", "\\text{ cm}"}, {"-(-(", "))"},          {"\\frac{2(", ")}{2}"},  {"(", ")-1+1"},
        {"1\\cdot(", ")"},   {"\\sqrt[3]{(", ")^3}"}, {"", " \\approx 4"},
    };
    enum { ROOT = 13 };
    char e[600], other[700];
    for (uint32_t i = 0; i < EXPRESSIONS; i++) {
        if (!expression(e, i) || !has_value(e) || e[1] == '\0') continue; /* x = 4 is no x */
        for (size_t k = 0; k < sizeof around / sizeof *around; k++) {
            with(other, around[k][0], e, around[k][1]);
            enum math_verdict v = compare(e, other);
            bool blurred = k == ROOT && v != MATH_CORRECT && compare("0", e) != MATH_WRONG;
            ck_assert_msg(v == MATH_CORRECT || blurred, "%s is not %s", other, e);
        }
    }
    math_forget();
}
END_TEST

/* A wrong sign of the whole, a term too many, a list: never right. (0 is its own negative.) */
START_TEST(never_one_more)
{
    static const char *const around[][2] = {{"1+", ""},          {"(", ")-1"},      {"2,", ""},
                                            {"0.001+(", ")"},    {"\\{", ",77\\}"}, {"", "\\%"},
                                            {"10^{-12}+(", ")"}, {"(", ",1)"},      {"w+(", ")"}};
    char e[600], other[700];
    for (uint32_t i = 0; i < EXPRESSIONS; i++) {
        if (!expression(e, i) || !has_value(e) || compare(e, "0") == MATH_CORRECT) continue;
        for (size_t k = 0; k < sizeof around / sizeof *around; k++) {
            enum math_verdict v = compare(e, with(other, around[k][0], e, around[k][1]));
            bool decimal = k == 6 && (strchr(e, '.') || strchr(other, '.'));
            ck_assert_msg(v != MATH_CORRECT || decimal, "%s is %s", other, e);
        }
    }
    math_forget();
}
END_TEST

/* --- answers changed by chance --- */

enum { SEEDS = 2048, LONGEST = 1400 };
static char *seed[SEEDS];
static int seeds;

static void read_seeds(void)
{
    static char row[4096];
    FILE *f = fopen("tests/golden/math_pairs.txt", "r");
    ck_assert(f);
    while (seeds < SEEDS && fgets(row, sizeof row, f)) {
        row[strcspn(row, "\n")] = '\0';
        if (row[0] && strchr("=+-?", row[0]) && row[1] == ' ') seed[seeds++] = strdup(row + 2);
    }
    fclose(f);
    ck_assert_int_gt(seeds, 800);
}

static const char *a_seed(struct rng_stream *r)
{
    return seed[rng_next_below(r, (uint32_t)seeds)];
}

/* One change: bytes go, come, are doubled, or another answer's. */
static void change(struct text *t, struct rng_stream *r)
{
    static const char *const pieces[] = {"\\frac", "{",      "}",   "^", "_",    "(", ")",
                                         "9",      "\\sqrt", ",",   "-", "\\pm", "=", "<",
                                         "!",      "\\{",    "\\}", "|", "e",    "0."};
    const char *piece = pieces[rng_next_below(r, sizeof pieces / sizeof *pieces)];
    char copy[LONGEST];
    size_t at = t->n ? rng_next_below(r, (uint32_t)t->n) : 0, rest = t->n - at;
    memcpy(copy, t->at + at, rest);
    t->n = at;
    switch (rng_next_below(r, 5)) {
    case 0: text_add(t, "%s", piece); break;
    case 1: text_add(t, "%s", a_seed(r)); break;
    case 2: /* again */
        text_add_bytes(t, copy, rest);
        text_add_bytes(t, copy, rest);
        return;
    case 3: {
        char byte = (char)rng_next_below(r, 256);
        text_add_bytes(t, &byte, 1);
        break;
    }
    default:
        if (rest) memmove(copy, copy + 1, --rest);
    }
    text_add_bytes(t, copy, rest);
}

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

START_TEST(changed_answers_end_in_time)
{
    const char *asked = getenv("MATH_MUTATIONS");
    long n = asked ? atol(asked) : 5000, verdicts[MATH_VERDICTS] = {0};
    double longest = 0;
    read_seeds();
    for (long i = 0; i < n; i++) {
        char bytes[LONGEST], why[128];
        struct text t = {bytes, 0, sizeof bytes, false};
        struct rng_stream r = draws_of((uint32_t)i);
        r.at.step = 1;
        const char *expected = a_seed(&r);
        text_add(&t, "%s", rng_next_below(&r, 2) ? expected : a_seed(&r));
        for (uint32_t k = 0; k <= rng_next_below(&r, 8); k++) change(&t, &r);
        double began = cpu_ms();
        verdicts[math_compare((struct span){bytes, t.n}, span_of(expected), why, sizeof why)]++;
        double took = cpu_ms() - began;
        if (took > longest) longest = took;
        ck_assert_msg(took < LONGEST_MS, "%.1f ms: %s, %.*s", took, expected, (int)t.n, bytes);
    }
    printf("%ld changed answers: %ld correct, %ld wrong, %ld no answer, %ld undecided; longest "
           "%.1f ms\n",
           n, verdicts[0], verdicts[1], verdicts[2], verdicts[3], longest);
    for (int i = 0; i < seeds; i++) free(seed[i]);
    math_forget();
}
END_TEST

/* --- answers made to take long --- */

static void repeat(struct text *t, const char *piece, size_t bytes)
{
    while (t->n + strlen(piece) < bytes) text_add(t, "%s", piece);
}

START_TEST(long_answers_end_in_time)
{
    static const char *const pieces[] = {"9^{",
                                         "(",
                                         "{",
                                         "\\{",
                                         "[",
                                         "\\frac{",
                                         "\\sqrt{",
                                         "\\sin ",
                                         "\\text{",
                                         "\\boxed{",
                                         "-",
                                         "+1",
                                         "\\pm1",
                                         "\\{\\pm",
                                         "1,",
                                         "x+",
                                         "|",
                                         "((x+1)^{99}+",
                                         "!",
                                         "5!",
                                         "\\sin(99^{99})+",
                                         "\\log_{2}{",
                                         "\\begin{pmatrix}",
                                         "1&",
                                         "=1",
                                         "<x",
                                         "\\cup(1,2)",
                                         "\\pi^{\\pi^",
                                         "7^{1/3}+",
                                         "1/7+",
                                         "\\frac1{\\pi}+",
                                         "(1+x)(",
                                         "99999999999999999999^",
                                         "e^{e^{",
                                         "\\binom{999}{500}",
                                         "\\%"};
    char answer[1025], other[1025], why[128];
    double longest = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        for (size_t bytes = 64; bytes <= 1024; bytes *= 4) {
            struct text t = {answer, 0, sizeof answer, false};
            repeat(&t, pieces[i], bytes - 1);
            text_add(&t, "x");
            struct text u = {other, 0, sizeof other, false};
            text_add(&u, "x");
            repeat(&u, pieces[i], bytes - 1);
            const char *pairs[][2] = {
                {answer, other}, {answer, "x"}, {"x", other}, {other, answer}};
            for (size_t k = 0; k < 4; k++) {
                double began = cpu_ms();
                math_compare(span_of(pairs[k][0]), span_of(pairs[k][1]), why, sizeof why);
                math_vote(span_of(pairs[k][0]));
                double took = cpu_ms() - began;
                if (took > longest) longest = took;
                ck_assert_msg(took < LONGEST_MS, "%.1f ms: %s, %s", took, pairs[k][0], pairs[k][1]);
            }
        }
    printf("long answers: longest %.1f ms\n", longest);
    math_forget();
}
END_TEST

/* --- memory --- */

START_TEST(memory_stays)
{
    char e[600], other[700];
    struct rusage before, after;
    char numbers[1024];
    struct text t = {numbers, 0, sizeof numbers, false};
    repeat(&t, "99999999999999999999, ", sizeof numbers - 4);
    text_add(&t, "1");
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 300; i++) compare(numbers, "1");
        for (uint32_t i = 0; i < 200; i++)
            if (expression(e, i)) compare(e, with(other, "0+", e, ""));
        getrusage(RUSAGE_SELF, round == 1 ? &before : &after);
    }
    ck_assert_msg(after.ru_maxrss - before.ru_maxrss < 1024, "%ld KiB more",
                  after.ru_maxrss - before.ru_maxrss);
    math_forget();
}
END_TEST

#define TESTS(X)                   \
    X(equals_itself)               \
    X(equals_its_rewritings)       \
    X(never_one_more)              \
    X(changed_answers_end_in_time) \
    X(long_answers_end_in_time)    \
    X(memory_stays)

UNIT_MAIN("math", .timeout_s = 600)
