/* Philox against the published known answers (Random123, kat_vectors: philox4x32 10), and the draws
 * made of it: ranges, moments, independence of the coordinates (P3). */
#include <math.h>

#include "comm/base/rng.h"
#include "tests/support/check_unit.h"

START_TEST(known_answers)
{
    static const struct {
        uint32_t c[4], k[2], out[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        rng_philox(out, rows[i].c, rows[i].k);
        for (int j = 0; j < 4; j++) ck_assert_uint_eq(out[j], rows[i].out[j]);
    }
}
END_TEST

START_TEST(every_coordinate_matters)
{
    struct rng_at base = {RNG_TEST, 1, 2, 3, 4};
    struct rng_at other[5] = {base, base, base, base, base};
    other[0].purpose = RNG_INIT;
    other[1].step++;
    other[2].prompt++;
    other[3].sample++;
    other[4].position++;
    uint64_t x = rng_bits(7, base);
    ck_assert(x == rng_bits(7, base));
    ck_assert(x != rng_bits(8, base));
    ck_assert(x != rng_bits(7 + (1ull << 40), base));
    for (int i = 0; i < 5; i++) ck_assert(x != rng_bits(7, other[i]));
}
END_TEST

/* 20000 draws: the mean of a uniform has a standard error of 0.002, its variance of 0.0005. */
START_TEST(uniform_moments)
{
    enum { N = 20000 };
    double sum = 0, square = 0;
    for (uint32_t i = 0; i < N; i++) {
        double u = rng_uniform(1, (struct rng_at){RNG_TEST, 0, 0, i / 100, i % 100});
        ck_assert(u >= 0 && u < 1);
        sum += u;
        square += u * u;
    }
    double mean = sum / N;
    ck_assert_double_eq_tol(mean, 0.5, 0.01);
    ck_assert_double_eq_tol(square / N - mean * mean, 1.0 / 12, 0.003);
}
END_TEST

START_TEST(normal_moments)
{
    enum { N = 20000 };
    double m[5] = {0};
    for (uint32_t i = 0; i < N; i++) {
        double x = rng_normal(1, (struct rng_at){RNG_TEST, 3, i, 0, 0}), power = 1;
        ck_assert(isfinite(x));
        for (int k = 0; k < 5; k++, power *= x) m[k] += power / N;
    }
    ck_assert_double_eq_tol(m[1], 0, 0.035);
    ck_assert_double_eq_tol(m[2], 1, 0.05);
    ck_assert_double_eq_tol(m[3], 0, 0.15);
    ck_assert_double_eq_tol(m[4], 3, 0.4);
}
END_TEST

/* Chi-square of 7 cells over 14000 draws: 6 degrees of freedom, 0.1 % above 22.5. */
START_TEST(below_is_even)
{
    int cell[7] = {0};
    struct rng_stream s = {.seed = 5, .at = {.purpose = RNG_TEST}};
    for (int i = 0; i < 14000; i++) cell[rng_next_below(&s, 7)]++;
    double chi = 0;
    for (int i = 0; i < 7; i++) chi += (cell[i] - 2000.0) * (cell[i] - 2000.0) / 2000.0;
    ck_assert_double_lt(chi, 22.5);
    ck_assert_uint_eq(s.at.position, 14000);
    ck_assert_uint_eq(rng_below(5, s.at, 1), 0);
}
END_TEST

START_TEST(stream_is_the_counter)
{
    struct rng_stream s = {.seed = 9, .at = {RNG_TEST, 1, 2, 3, 10}};
    for (uint32_t i = 0; i < 5; i++) {
        double u = rng_uniform(9, (struct rng_at){RNG_TEST, 1, 2, 3, 10 + i});
        ck_assert_double_eq(rng_next_uniform(&s), u);
    }
}
END_TEST

/* Many at once are those one by one, also where the number passes 2^32. A million meet each reason
 * why one of them is drawn by itself: near 0, near 1, between two floats. */
START_TEST(normals_in_a_row)
{
    static const struct rng_at at[] = {{RNG_TEST, 5, 6, 0, 0},
                                       {RNG_TEST, 5, 6, 3, 4294967290u},
                                       {RNG_INIT, 0, 9, 4294967295u, 4294967280u}};
    static const size_t count[] = {0, 1, 63, 64, 65, 100, 1000000};
    static float x[1000001];
    for (size_t a = 0; a < sizeof at / sizeof *at; a++) {
        for (size_t c = 0; c < sizeof count / sizeof *count; c++) {
            uint64_t first = (uint64_t)at[a].sample << 32 | at[a].position;
            x[count[c]] = 7;
            rng_normals(x, count[c], 0.02, 11, at[a]);
            ck_assert(x[count[c]] == 7);
            for (size_t i = 0; i < count[c]; i++) {
                struct rng_at one = at[a];
                one.sample = (uint32_t)((first + i) >> 32);
                one.position = (uint32_t)(first + i);
                ck_assert(x[i] == (float)(0.02 * rng_normal(11, one)));
            }
        }
    }
}
END_TEST

#define TESTS(X)                \
    X(known_answers)            \
    X(every_coordinate_matters) \
    X(uniform_moments)          \
    X(normal_moments)           \
    X(normals_in_a_row)         \
    X(below_is_even)            \
    X(stream_is_the_counter)

UNIT_MAIN("rng")
