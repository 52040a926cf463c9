/* Which arithmetic of a text is read, and whether it holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/steps.h"
#include "tests/support/check_unit.h"

/* A sign for each statement: + it holds, - it does not. */
static const struct {
    const char *text, *found;
} rows[] = {
    {"2 + 3 = 5", "+"},
    {"2+3=6", "-"},
    {"So 3 * (4 + 1) = 15, and 15 - 1 = 14.", "++"},
    {"2 + 3 = 5 * 4 = 20", "-+"},
    {"2 + 3 = 5 = 10 / 2", "++"},
    {"2+3=5 2*3=6 2-3=1", "++-"},
    {"7/2 = 3 1/2 = 3.5", ""},
    {"1/3 + 1/6 = 1/2", "+"},
    {"0.1 + 0.2 = 0.3", "+"},
    {"10 / 3 = 3.33", "+"},
    {"10 / 3 = 3.34", "-"},
    {"10 / 3 = 3", "-"},
    {"2 / 3 = 0.67", "+"},
    {"1,234 * 2 = 2,468", "+"},
    {"2^10 = 1024", "+"},
    {"2^-2 = 1/4", "+"},
    {"-2^2 = -4", "+"},
    {"1 + --2 = 3", "+"},
    {"1 + ---2 = -1", "+"},
    {"-9223372036854775808 * 18446744073709551616 = 1", ""},
    {"(-2)^2 = 4", "+"},
    {"20% * 50 = 10", "+"},
    {"3 \xC3\x97 4 = 12, 12 \xC3\xB7 4 = 3, 5 \xE2\x88\x92 7 = -2", "+++"},
    {"3 \\times 4 = 13", "-"},
    {"2 + 3 = 5 apples", "+"},
    {"1. 2 + 3 = 5\n2. 2 + 2 = 5", "+-"},
    {"- 2 + 3 = 5", "+"},
    {"is -3 + 2 = -1", "+"},
    {"123456789123456789 * 1000 = 123456789123456789000", "+"},
    /* not read */
    {"5 = 5", ""},
    {"x = 5", ""},
    {"x + 3 = 5", ""},
    {"2x + 3 = 7", ""},
    {"x - 3 + 2 = 5", ""},
    {"x2 + 3 = 7", ""},
    {"3 times 4 + 2 = 14", ""},
    {"20% of 50 + 10 = 20", ""},
    {"2 * 3 = 6x", ""},
    {"2 * 3 =", ""},
    {"= 4", ""},
    {"1 / 0 = 1", ""},
    {"2^0.5 = 1.41", ""},
    {"9^9^9^9 = 1", ""},
    {"(2 + 3 = 5", ""},
    {"99999999999999999999 * 99999999999999999999 * 99999999999999999999 = 1", ""},
    {"2 + 2 \xE2\x89\x88 5", ""},
    {"", ""},
};

START_TEST(statements)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char found[16] = "";
        struct steps s = {.rest = {rows[i].text, strlen(rows[i].text)}};
        struct step step;
        while (step_next(&s, &step) && strlen(found) < 15) strcat(found, step.holds ? "+" : "-");
        ck_assert_msg(strcmp(found, rows[i].found) == 0, "%s: found \"%s\", not \"%s\"",
                      rows[i].text, found, rows[i].found);
    }
}
END_TEST

/* Every sum of two numbers, right and wrong by one: no statement is taken for the other. */
START_TEST(sums)
{
    for (int a = -60; a <= 60; a++)
        for (int b = -60; b <= 60; b++)
            for (int off = -1; off <= 1; off++) {
                char text[64];
                int n = snprintf(text, sizeof text, "%d * %d - %d = %d", a, b, a, a * b - a + off);
                struct steps s = {.rest = {text, (size_t)n}};
                struct step step;
                ck_assert(step_next(&s, &step));
                ck_assert_msg(step.holds == (off == 0), "%s", text);
            }
}
END_TEST

/* A megabyte of anything ends soon. */
START_TEST(large)
{
    static const char *const unit[] = {"1=", "1+1=2 ", "((((", "7/3+", "9", "-", "= ", "1+1=2\n"};
    const size_t n = 1 << 20;
    char *text = malloc(n);
    for (size_t k = 0; k < sizeof unit / sizeof *unit; k++) {
        for (size_t i = 0; i < n; i++) text[i] = unit[k][i % strlen(unit[k])];
        struct steps s = {.rest = {text, n}};
        struct step step;
        long found = 0;
        while (step_next(&s, &step)) found++;
        ck_assert_int_le(found, (long)n);
    }
    free(text);
}
END_TEST

/* A model that writes a million signs: read with the stack that there is. */
START_TEST(signs)
{
    enum { N = 1 << 20 };
    char *text = malloc(N + 16);
    memset(text, '-', N);
    memcpy(text, "1+", 2);
    memcpy(text + N, "2=3\n", 4);
    struct steps s = {.rest = {text, N + 4}};
    struct step step;
    ck_assert(step_next(&s, &step) && step.holds);
    free(text);
}
END_TEST

#define TESTS(X)  \
    X(statements) \
    X(sums)       \
    X(signs)      \
    X(large)

UNIT_MAIN("steps")
