/* What each reward gives to which text, and that cheating earns nothing: repeating, switching the
 * language, ending early, boxing many answers, padding with what is true or unlike anything. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/rewards.h"
#include "tests/support/check_unit.h"

/* The reward of a completion that came as text, to a problem of a file. */
static float reward(int row, const char *text, const struct completion *like,
                    const struct phase_settings *k)
{
    static const struct problem seven = {.prompt = "1+6", .answer = "7", .language = "python en"};
    const struct grading g = {.tokenizer = NULL};
    struct completion c = *like;
    c.problem = &seven;
    c.text = text;
    c.bytes = strlen(text);
    grading_read(&g, &c, NEEDS_VERDICT);
    return grader_at(row)->grade(&c, k);
}

static const struct phase_settings usual = {.max_new = 100,
                                            .repetition_ngram = 3,
                                            .length_shape = LENGTH_OVERLONG,
                                            .target_language = LANGUAGE_DATA};

static const struct text_row {
    int row;
    const char *text;
    double value;
} texts[] = {
    {GRADER_ACCURACY, "1+6=7</think><answer>7</answer>", 1},
    {GRADER_ACCURACY, "1+6=7</think><answer>7</answer><answer>8</answer>", 0}, /* taken back */
    {GRADER_ACCURACY, "</think><answer>6, 7, 8</answer>", 0},                  /* many */
    {GRADER_ACCURACY, "<answer>7</answer>", 0}, /* a thought is no answer */
    {GRADER_FORMAT, "why</think>\n<answer>7</answer>\n", 1},
    {GRADER_FORMAT, "why</think><answer>7</answer><answer>7</answer>", 0},
    {GRADER_FORMAT, "why</think>so <answer>7</answer>", 0},
    {GRADER_FORMAT, "why</think><answer>7</answer> ok", 0},
    {GRADER_FORMAT, "why<answer>7</answer></think>", 0},
    {GRADER_FORMAT, "<think>why</think><answer>7</answer>", 0},
    {GRADER_FORMAT, "</think><answer>7</answer>", 0}, /* no reasoning */
    {GRADER_FORMAT, "why</think><answer> </answer>", 0},
    {GRADER_LANGUAGE, "one and six make seven</think><answer>sieben</answer>", 1},
    {GRADER_LANGUAGE, "one and six 我们 make</think>", 4.0 / 6},
    {GRADER_LANGUAGE, "eins und naïve</think>", 2.0 / 3},
    {GRADER_LANGUAGE, "one `我们` $我$ ```\n我``` x</think>", 1},
    {GRADER_LANGUAGE, "我们先算一加六</think>", 0}, /* switched */
    {GRADER_LANGUAGE, "</think><answer>7</answer>", 0},
    {GRADER_LANGUAGE, "```\none and six\n```</think>", 0}, /* all of it code */
    {GRADER_LANGUAGE, "", 0},
    {GRADER_REPETITION, "one two three four five six", 0},
    {GRADER_REPETITION, "", 0},
    {GRADER_REPETITION, "a b c a b c", -0.25},
    {GRADER_REPETITION, "no no no no no no no no no no no no", -0.9},
    {GRADER_CONSISTENCY, "1+6=7, 7-6=1</think>", 1},
    {GRADER_CONSISTENCY, "1+6=7, 7-6=2</think>", 0.5},
    {GRADER_CONSISTENCY, "1+6=8</think>", 0},
    {GRADER_CONSISTENCY, "1+6=7 1+6=7 1+6=7 1 + 6 = 9</think>", 0.5}, /* repeated: once */
    {GRADER_CONSISTENCY, "no sums</think>1+6=7", 0},
    {GRADER_CONSISTENCY, "", 0},
};

START_TEST(of_texts)
{
    const struct completion any = {.n = 10};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        float value = reward(texts[i].row, texts[i].text, &any, &usual);
        ck_assert_msg(fabs((double)value - texts[i].value) < 1e-6, "%s of \"%s\" is %g, not %g",
                      grader_at(texts[i].row)->name, texts[i].text, (double)value, texts[i].value);
    }
}
END_TEST

#define RIGHT "1+6=7</think><answer>7</answer>"
#define WRONG "1+6=8</think><answer>8</answer>"

/* Equation 13 of DAPO at its corners; a fifth of max_new is the cache where none is given. */
START_TEST(overlong)
{
    static const struct {
        int n, cache;
        bool cut;
        double value;
    } rows[] = {{1, 0, false, 0},    {80, 0, false, 0},     {90, 0, false, -0.5},
                {100, 0, false, -1}, {100, 0, true, -1},    {40, 0, true, -1},
                {50, 50, false, 0},  {75, 50, false, -0.5}, {99, 1, false, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct phase_settings k = usual;
        const struct completion c = {.n = rows[i].n, .truncated = rows[i].cut};
        k.length_cache = rows[i].cache;
        ck_assert_double_eq((double)reward(GRADER_LENGTH, RIGHT, &c, &k), rows[i].value);
        ck_assert_double_eq((double)reward(GRADER_LENGTH, WRONG, &c, &k), rows[i].value);
    }
}
END_TEST

/* Short right answers earn most; to end early with a wrong one earns least. */
START_TEST(cosine)
{
    struct phase_settings k = usual;
    k.length_shape = LENGTH_COSINE;
    float right_before = 2, wrong_before = -2;
    for (int n = 0; n <= 100; n += 25) {
        const struct completion c = {.n = n};
        float right = reward(GRADER_LENGTH, RIGHT, &c, &k),
              wrong = reward(GRADER_LENGTH, WRONG, &c, &k);
        ck_assert(right < right_before && right >= 0.5F && wrong > wrong_before && wrong <= -0.5F);
        right_before = right;
        wrong_before = wrong;
    }
    const struct completion none = {.n = 0}, half = {.n = 50}, cut = {.n = 100, .truncated = true};
    ck_assert(reward(GRADER_LENGTH, RIGHT, &none, &k) == 1);
    ck_assert(reward(GRADER_LENGTH, RIGHT, &half, &k) == 0.75F);
    ck_assert(reward(GRADER_LENGTH, WRONG, &none, &k) == -1);
    ck_assert(reward(GRADER_LENGTH, RIGHT, &cut, &k) == -1);
}
END_TEST

/* FLOPs of n tokens behind a prompt, counted one by one. */
START_TEST(efficiency)
{
    const struct completion c = {.n = 30, .n_prompt = 7, .flops_row = 1000, .flops_key = 16},
                            all = {.n = 100};
    double spent = 0, most = 0;
    for (int t = 0; t < 100; t++) {
        double token = 1000 + 16.0 * (7 + t);
        if (t < 30) spent += token;
        most += token;
    }
    ck_assert_double_eq_tol((double)reward(GRADER_EFFICIENCY, RIGHT, &c, &usual), 1 - spent / most,
                            1e-7);
    ck_assert(reward(GRADER_EFFICIENCY, RIGHT, &all, &usual) == 0);
    ck_assert(reward(GRADER_EFFICIENCY, WRONG, &c, &usual) == 0); /* ends early, wrong */
    ck_assert(reward(GRADER_EFFICIENCY, "", &(struct completion){.n = 1}, &usual) == 0);
}
END_TEST

START_TEST(languages)
{
    static const struct {
        int target;
        const char *text;
    } rows[] = {{LANGUAGE_ZH, "先算 1+6 等于 7"},
                {LANGUAGE_JA, "まず 計算"},
                {LANGUAGE_KO, "먼저"},
                {LANGUAGE_RU, "сначала"},
                {LANGUAGE_EL, "πρώτα"},
                {LANGUAGE_AR, "أولا"},
                {LANGUAGE_HE, "קודם"},
                {LANGUAGE_HI, "पहले"},
                {LANGUAGE_TH, "แรก"},
                {LANGUAGE_EN, "first don't"}};
    const struct completion any = {.n = 1};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++) {
            struct phase_settings k = usual;
            k.target_language = rows[i].target;
            float value = reward(GRADER_LANGUAGE, rows[j].text, &any, &k);
            bool han = rows[i].target == LANGUAGE_JA && rows[j].target == LANGUAGE_ZH;
            if (i == j || han)
                ck_assert_msg(value == 1, "%s: %g", rows[j].text, (double)value);
            else if (rows[i].target != LANGUAGE_ZH || rows[j].target != LANGUAGE_JA)
                ck_assert_msg(value == 0, "%s: %g", rows[j].text, (double)value);
        }
}
END_TEST

/* Beyond what its table holds it estimates: a text of different n-grams, and one said ten times. */
START_TEST(long_repetition)
{
    enum { WORDS = 60000, TIMES = 10 };
    char *text = malloc((size_t)WORDS * 8 * TIMES + 1);
    const struct completion any = {.n = 1};
    size_t n = 0;
    for (int i = 0; i < WORDS; i++) n += (size_t)sprintf(text + n, "%d ", i * 7919 % 99991);
    float once = reward(GRADER_REPETITION, text, &any, &usual);
    for (int t = 1; t < TIMES; t++) memcpy(text + n * (size_t)t, text, n);
    text[n * TIMES] = '\0';
    float often = reward(GRADER_REPETITION, text, &any, &usual);
    ck_assert_msg(once > -0.03F, "%g", (double)once);
    ck_assert_msg(fabsf(often + 0.9F) < 0.01F, "%g", (double)often);
    free(text);
}
END_TEST

/* Any bytes, and ten megabytes of them, are graded by every row that is fast. */
START_TEST(bad_answers)
{
    const size_t n = 10 << 20;
    char *text = malloc(n + 1);
    const struct completion any = {.n = 5, .flops_row = 1};
    for (size_t i = 0; i < n; i++) text[i] = (char)(1 + (i * 2654435761u >> 7) % 255);
    text[n] = '\0';
    for (int row = 0; row < GRADERS; row++) {
        if (!grader_at(row)->grade) continue;
        float large = reward(row, text, &any, &usual);
        ck_assert_msg(large >= -1 && large <= 1, "%s: %g", grader_at(row)->name, (double)large);
        text[n / 2] = '\0';
        large = reward(row, text, &any, &usual);
        ck_assert(large >= -1 && large <= 1);
        text[n / 2] = 'x';
    }
    free(text);
}
END_TEST

/* To a phase with all rewards at once, cheats earn less than an honest wrong answer. */
START_TEST(cheats)
{
    static const char *const cheat[] = {
        "",
        "</think><answer></answer>",
        "</think><answer>0 1 2 3 4 5 6 7 8 9</answer>",
        "\\boxed{6}\\boxed{7}\\boxed{8}</think><answer>\\boxed{6} or \\boxed{7}</answer>",
        "1+1=2 1+1=2 1+1=2 1+1=2 1+1=2 1+1=2 1+1=2",
        "我们 我们 我们</think><answer>7</answer><answer>9</answer>",
        "print(7); exit(0)",
        "<answer>7</answer><answer>7</answer><answer>7</answer>",
    };
    static const struct phase_settings k = {
        .max_new = 100, .repetition_ngram = 3, .target_language = LANGUAGE_EN};
    static const int rows[] = {GRADER_ACCURACY,   GRADER_FORMAT,     GRADER_LANGUAGE,
                               GRADER_REPETITION, GRADER_EFFICIENCY, GRADER_CONSISTENCY};
    const struct completion honest = {.n = 60}, early = {.n = 2};
    double fair = 0;
    for (size_t r = 0; r < 6; r++)
        fair += (double)reward(rows[r],
                               "first add one and six, 1+6=7, then one more, 7+1=9"
                               "</think><answer>9</answer>",
                               &honest, &k);
    for (size_t i = 0; i < sizeof cheat / sizeof *cheat; i++) {
        double sum = 0;
        for (size_t r = 0; r < 6; r++) sum += (double)reward(rows[r], cheat[i], &early, &k);
        ck_assert_msg(sum < fair, "%s: %g, the honest one %g", cheat[i], sum, fair);
    }
}
END_TEST

#define TESTS(X)       \
    X(of_texts)        \
    X(overlong)        \
    X(cosine)          \
    X(efficiency)      \
    X(languages)       \
    X(long_repetition) \
    X(bad_answers)     \
    X(cheats)

UNIT_MAIN("graders")
