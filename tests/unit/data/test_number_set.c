/* A set of numbers against a plain array: members by their order, how many are below a number, runs
 * of bits put in at any place, members dropped. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/rng.h"
#include "trainer/data/number_set.h"
#include "tests/support/check_unit.h"

enum { MOST = 5000 };

static uint32_t draw(uint32_t which, uint32_t below)
{
    return rng_below(1, (struct rng_at){.purpose = RNG_TEST, .position = which}, below);
}

static void check_equal(const struct number_set *s, const bool *in, int most)
{
    int n = 0;
    for (int i = 0; i < most; i++) {
        ck_assert_int_eq(number_set_below(s, (uint64_t)i), n);
        if (in[i]) ck_assert_uint_eq(number_set_at(s, n), (uint64_t)i);
        n += in[i];
    }
    ck_assert_int_eq(s->n, n);
    ck_assert_int_eq(number_set_below(s, 1u << 30), n);
}

/* Sparse, dense, full; with long stretches of nothing. */
START_TEST(members_in_order)
{
    static const uint32_t of[] = {1, 2, 7, 700};
    static bool in[MOST];
    struct number_set s = {0};
    memset(in, 0, sizeof in);
    for (int i = 0; i < MOST; i++) {
        in[i] = draw((uint32_t)i, of[_i]) == 0 && (i < 1000 || i > 4000);
        if (in[i]) number_set_add(&s, (uint64_t)i);
    }
    number_set_count(&s);
    check_equal(&s, in, MOST);
    bool keep[MOST];
    for (int i = 0, n = 0; i < MOST; i++) {
        if (!in[i]) continue;
        keep[n] = draw((uint32_t)(MOST + i), 3) > 0;
        in[i] = keep[n++];
    }
    number_set_keep(&s, keep);
    check_equal(&s, in, MOST);
    number_set_free(&s);
}
END_TEST

START_TEST(runs_of_bits)
{
    static bool in[MOST];
    struct number_set s = {0};
    memset(in, 0, sizeof in);
    for (size_t at = 0, k = 0; at < MOST - 300; k++) {
        uint64_t word[5];
        size_t n = draw((uint32_t)k, 300);
        for (uint32_t i = 0; i < 5; i++)
            word[i] = ~(uint64_t)draw((uint32_t)(9000 + 5 * k + i), 1u << 31);
        for (size_t i = 0; i < n; i++) in[at + i] = word[i / 64] >> i % 64 & 1;
        number_set_add_bits(&s, at, word, n);
        at += n;
    }
    number_set_count(&s);
    check_equal(&s, in, MOST);
    number_set_free(&s);
}
END_TEST

START_TEST(an_empty_set)
{
    struct number_set s = {0};
    number_set_count(&s);
    ck_assert_int_eq(s.n, 0);
    ck_assert_int_eq(number_set_below(&s, 7), 0);
    number_set_free(&s);
}
END_TEST

#define TESTS(X)                 \
    X(members_in_order, .to = 4) \
    X(runs_of_bits)              \
    X(an_empty_set)

UNIT_MAIN("number_set")
