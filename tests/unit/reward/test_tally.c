/* What an evaluation counts: figures by hand, what one sample does not measure, and the way through
 * a checkpoint. */
#include <math.h>
#include "trainer/reward/tally.h"
#include "tests/support/check_unit.h"

static const struct phase_settings settings = {.temperature = 1, .top_p = 1, .max_new = 64};

static struct tally example(int samples)
{
    struct tally t = tally_begin(&settings, 7, 10, 8, samples);
    t.done = 4;
    t.right = 2;
    t.form = 3;
    t.truncated = 1;
    t.tokens = 40;
    t.solved = 2;
    t.voted = 1;
    t.part_right[1] = 3;
    t.part_total[1] = 4;
    return t;
}

START_TEST(figures)
{
    struct tally t = example(2);
    struct score s = tally_score(&t);
    ck_assert(s.prompts == 4 && s.asked == 10 && s.samples == 2);
    ck_assert(s.pass1 == 0.25 && s.pass_k == 0.5 && s.maj_k == 0.25);
    ck_assert(s.length == 5 && s.truncated == 0.125 && s.format == 0.375 && s.part[1] == 0.75);
    ck_assert(isnan(s.part[0])); /* no such part was met */
}
END_TEST

START_TEST(what_was_not_measured_is_no_number)
{
    struct tally t = example(1), none = tally_begin(&settings, 7, 10, 8, 2);
    struct score s = tally_score(&t);
    ck_assert(s.pass1 == 0.5 && isnan(s.pass_k) && isnan(s.maj_k));
    s = tally_score(&none);
    ck_assert(isnan(s.pass1) && isnan(s.pass_k) && isnan(s.maj_k) && isnan(s.length));
    ck_assert(isnan(s.truncated) && isnan(s.format));
}
END_TEST

START_TEST(through_a_checkpoint)
{
    struct tally t = example(2), back, due = tally_begin(&settings, 7, 10, 8, 2);
    json_t *o = tally_json(&t);
    ck_assert(tally_read(&back, o));
    ck_assert_mem_eq(&back, &t, sizeof t);
    ck_assert(tally_goes_on(&back, &due));
    struct phase_settings cooler = settings;
    cooler.temperature = 0.5;
    struct tally others[] = {
        tally_begin(&cooler, 7, 10, 8, 2),   tally_begin(&settings, 8, 10, 8, 2),
        tally_begin(&settings, 7, 11, 8, 2), tally_begin(&settings, 7, 10, 9, 2),
        tally_begin(&settings, 7, 10, 8, 3),
    };
    for (int i = 0; i < 5; i++) ck_assert(!tally_goes_on(&back, &others[i]));
    json_decref(o);
}
END_TEST

START_TEST(counts_that_cannot_be)
{
    static const struct {
        const char *name;
        json_int_t value;
    } rows[] = {
        {"done", 9},   {"done", -1},  {"prompts", 11},   {"samples", 0}, {"samples", 5000},
        {"right", 9},  {"right", -1}, {"form", 9},       {"solved", 5},  {"voted", -1},
        {"tokens", 7}, {"step", -1},  {"truncated", 10}, {"asked", 7},   {"asked", 1 << 21},
    };
    struct tally t = example(2), back;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *o = tally_json(&t);
        json_object_set_new(o, rows[i].name, json_integer(rows[i].value));
        ck_assert_msg(!tally_read(&back, o), "%s %lld", rows[i].name, rows[i].value);
        json_object_del(o, rows[i].name);
        ck_assert_msg(!tally_read(&back, o), "no %s", rows[i].name);
        json_decref(o);
    }
    json_t *o = tally_json(&t);
    json_array_set_new(json_object_get(o, "part_right"), 1, json_integer(5));
    ck_assert(!tally_read(&back, o));
    json_object_set_new(o, "part_right", json_string("3"));
    ck_assert(!tally_read(&back, o) && !tally_read(&back, NULL));
    json_decref(o);
}
END_TEST

#define TESTS(X)                          \
    X(figures)                            \
    X(what_was_not_measured_is_no_number) \
    X(through_a_checkpoint)               \
    X(counts_that_cannot_be)

UNIT_MAIN("tally")
