/* What the calculator says, and where an observation stands among the tokens. */
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/environment/environment.h"
#include "tests/support/check_unit.h"

static const struct row {
    const char *turn, *said;
} rows[] = {
    {"12*34=", "408"},
    {"so 12*34=", "408"},
    {"1+1=2;2*(3+4)=", "14"},
    {"9999*9999=", "99980001"},
    {"-5*(2-9)=", "35"},
    {"1/3+1/6=", "1/2"},
    {"6/4 =", "3/2"},
    {"=", "?"},
    {"", "?"},
    {"x=", "?"},
    {"7/0=", "?"},
    {"012+1=", "?"},
    {"4611686018427387904*4=", "?"}, /* more than 64 bits */
    {"((((((((((((((((((((1))))))))))))))))))))=", "?"},
};

START_TEST(calculator)
{
    const struct environment *e = environment_named("calculator");
    ck_assert_ptr_nonnull(e);
    ck_assert_ptr_null(environment_named(""));
    ck_assert_ptr_null(environment_named("calculators"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char bytes[64];
        struct text out = {bytes, 0, sizeof bytes, false};
        e->observe(&out, (struct span){rows[i].turn, strlen(rows[i].turn)});
        ck_assert_msg(strcmp(bytes, rows[i].said) == 0, "%s %s, not %s", rows[i].turn, bytes,
                      rows[i].said);
    }
}
END_TEST

/* Nothing that a turn can be does more than fill the room. */
START_TEST(any_bytes)
{
    static const char few[] = "0123456789+-*/() =.x\0\xff";
    const struct environment *e = environment_named("calculator");
    for (unsigned seed = 0; seed < 20000; seed++) {
        unsigned at = seed * 2654435761u, n = at >> 9 & 511;
        char turn[512], bytes[9] = {0}, guard = bytes[8] = 'g';
        struct text out = {bytes, 0, 8, false};
        for (unsigned i = 0; i < n; i++) {
            at = at * 1664525u + 1013904223u;
            turn[i] = few[(at >> 16) % (sizeof few - 1)];
        }
        if (n > 0) turn[n - 1] = '=';
        e->observe(&out, (struct span){turn, n});
        ck_assert(bytes[8] == guard && out.n < 8 && out.n > 0);
    }
}
END_TEST

START_TEST(wrap)
{
    struct span before, after;
    ck_assert(environment_wrap("<tool>{observation}</tool>\n", &before, &after));
    ck_assert(span_is(before, "<tool>") && span_is(after, "</tool>\n"));
    ck_assert(environment_wrap("{observation}", &before, &after));
    ck_assert(before.n == 0 && after.n == 0);
    ck_assert(!environment_wrap("", &before, &after));
    ck_assert(!environment_wrap("{observation", &before, &after));
    ck_assert(!environment_wrap("{observation}{observation}", &before, &after));
}
END_TEST

#define TESTS(X)  \
    X(calculator) \
    X(any_bytes)  \
    X(wrap)

UNIT_MAIN("environment")
