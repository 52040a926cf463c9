/* The table of the rotary embedding against transformers' (tests/golden/rope.txt, made by
 * tests/oracle/rope.py) and against the equations.
 *
 * Angles fp32: frequencies are transformers' bit for bit, but where torch's powf, good to one unit
 * in the last place, does not round correctly (fewer than one in a hundred). Angles double: the
 * same frequencies to fp32's rounding. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/rope.h"
#include "tests/support/check_unit.h"
#include "tests/support/rope_key.h"

struct table {
    char name[32];
    struct dims d;
    struct rope_mscale m;
    float *values; /* from the first line that is no dim on */
};

static int tables, frequencies, apart;

static void finish(struct table *t)
{
    free(t->values);
    t->values = NULL;
}

static void begin_table(struct table *t, const char *name, enum rope_angles angles)
{
    finish(t);
    *t = (struct table){
        .d.rope = {.angles = angles, .low = 1, .high = 4, .fast = 32, .slow = 1, .whole = true}};
    snprintf(t->name, sizeof t->name, "%s", name);
    tables++;
}

static void read_dim(struct table *t, const char *key, double value)
{
    struct rope *r = &t->d.rope;
    rope_key_read(r, &t->m, key, value);
    if (strcmp(key, "D") == 0) t->d.D = (int)value;
    if (strcmp(key, "theta") == 0) t->d.rope_theta = (float)value;
    if (strcmp(key, "context") == 0) t->d.max_context = (int)value;
    if (strcmp(key, "original") == 0) r->original = (int)value;
    if (strcmp(key, "whole") == 0) r->whole = value != 0;
    if (strcmp(key, "scaling") == 0) r->scaling = (enum rope_scaling)(int)value;
}

static void make_values(struct table *t)
{
    struct rope *r = &t->d.rope;
    size_t n = (size_t)t->d.max_context * (size_t)t->d.D;
    if (r->attention == 0) r->attention = rope_attention(r->factor, t->m.mscale, t->m.all);
    t->values = malloc((n + 1) * sizeof *t->values);
    ck_assert_ptr_nonnull(t->values);
    rope_table(t->values, &t->d);
}

static void check_frequency(const struct table *t, int i, double value)
{
    double f = rope_frequency(&t->d, i), unit = value * 0x1p-23;
    bool fp32 = t->d.rope.angles == ROPE_FP32;
    frequencies++;
    apart += (float)f != (float)value;
    ck_assert_msg(fabs(f - value) <= (fp32 ? 1.01 : 3) * unit, "%s: frequency %d is %.9g, not %.9g",
                  t->name, i, f, value);
}

/* In fp32 an angle moves with its frequency's last bit, at long positions by more than the cosine's
 * own rounding; double angles are held against cos and sin of the product in fp32. */
static void check_angle(const struct table *t, bool sine, int i, int pos, double value)
{
    const float *row = t->values + (size_t)pos * (size_t)t->d.D;
    double angle = rope_frequency(&t->d, i) * pos,
           by = t->d.rope.scaling == ROPE_YARN ? t->d.rope.attention : 1;
    bool fp32 = t->d.rope.angles == ROPE_FP32;
    double allowed = 2e-7 * by + angle * (fp32 ? 0 : 4 * 0x1p-23);
    double x = (double)row[(sine ? t->d.D / 2 : 0) + i];
    if (fp32 && fabs(x - value) > allowed) apart++, allowed += angle * 0x1p-22;
    ck_assert_msg(fabs(x - value) <= allowed, "%s: %s of pair %d at %d is %.9g, not %.9g", t->name,
                  sine ? "sine" : "cosine", i, pos, x, value);
}

static void check_golden(enum rope_angles angles)
{
    char line[128], what[32], name[32];
    struct table t = {0};
    FILE *f = fopen("tests/golden/rope.txt", "r");
    ck_assert_msg(f != NULL, "run this test from the root of the tree");
    while (fgets(line, sizeof line, f)) {
        int i, pos;
        double value;
        if (sscanf(line, "table %31s", name) == 1) {
            begin_table(&t, name, angles);
        } else if (sscanf(line, "dim %31s %lf", what, &value) == 2) {
            read_dim(&t, what, value);
        } else if (sscanf(line, "%31s %d %d %lf", what, &i, &pos, &value) == 4) {
            if (!t.values) make_values(&t);
            if (strcmp(what, "freq") == 0)
                check_frequency(&t, i, value);
            else
                check_angle(&t, strcmp(what, "sin") == 0, i, pos, value);
        }
    }
    finish(&t);
    fclose(f);
    ck_assert_int_eq(tables, 11);
    ck_assert_int_eq(frequencies, 392);
}

START_TEST(fp32_angles_are_transformers)
{
    check_golden(ROPE_FP32);
    ck_assert_msg(apart * 100 <= frequencies, "%d of %d frequencies differ", apart, frequencies);
}
END_TEST

START_TEST(double_angles_are_near_them)
{
    check_golden(ROPE_DOUBLE);
}
END_TEST

/* What has been there from the beginning: theta^(-2i/D) in double, whatever other numbers say. */
START_TEST(nothing_is_scaled_unasked)
{
    struct dims d = {.D = 6, .max_context = 300, .rope_theta = 500};
    d.rope = (struct rope){.factor = 8, .original = 4, .low = 1, .high = 4, .attention = 3};
    float table[300 * 6];
    rope_table(table, &d);
    for (int pos = 0; pos < 300; pos++)
        for (int i = 0; i < 3; i++) {
            double angle = pos * pow(500, -2.0 * i / 6);
            ck_assert_float_eq(table[pos * 6 + i], (float)cos(angle));
            ck_assert_float_eq(table[pos * 6 + 3 + i], (float)sin(angle));
        }
}
END_TEST

/* Llama 3.1, from its equations by hand: pair 28 stays, 29 and 30 lie between, 35 is divided by 8.
 */
START_TEST(llama3_bends_where_it_says)
{
    struct dims d = {.D = 128, .rope_theta = 5e5f};
    d.rope = (struct rope){ROPE_LLAMA3, .factor = 8, .original = 8192, .low = 1, .high = 4};
    static const struct {
        int i;
        double f;
    } rows[] = {{28, 0.0032114460}, {29, 0.0021665708}, {30, 0.0013718936}, {35, 9.5562124e-05}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        ck_assert_double_eq_tol(rope_frequency(&d, rows[k].i) / rows[k].f, 1, 3e-8);
}
END_TEST

/* DeepSeek-V3's YaRN: pairs up to 10 stay, those from 23 on are divided by 40. */
START_TEST(yarn_bends_where_it_says)
{
    struct dims d = {.D = 64, .rope_theta = 1e4f};
    d.rope = (struct rope){ROPE_YARN,  .factor = 40, .original = 4096,
                           .fast = 32, .slow = 1,    .whole = true};
    for (int i = 0; i < 32; i++) {
        double f = pow(1e4, -2.0 * i / 64), ratio = rope_frequency(&d, i) / f;
        double ramp = i <= 10 ? 0 : i >= 23 ? 1 : (i - 10) / 13.0;
        ck_assert_double_eq_tol(ratio, 1 - ramp + ramp / 40, 1e-12);
    }
    ck_assert_double_eq_tol(rope_attention(40, 0, 0), 1.3688879, 5e-8);
    ck_assert_double_eq_tol(rope_attention(40, 1, 0), 1.3688879, 5e-8);
    ck_assert_double_eq_tol(rope_attention(40, 0.707, 1), 1.2608037 / 1.3688879, 1e-7);
    ck_assert_double_eq(rope_attention(40, 1, 1), 1);
    ck_assert_double_eq(rope_attention(0.5, 0, 0), 1);
}
END_TEST

#define TESTS(X)                    \
    X(fp32_angles_are_transformers) \
    X(double_angles_are_near_them)  \
    X(nothing_is_scaled_unasked)    \
    X(llama3_bends_where_it_says)   \
    X(yarn_bends_where_it_says)

UNIT_MAIN("rope")
