/* When a machine counts as busy, and what is read of /proc/stat. */
#include <string.h>

#include "tests/support/check_unit.h"
#include "trainer/bench/busy.h"

START_TEST(ticks_of_stat)
{
    struct busy_ticks t = busy_ticks_parse("cpu  1 2 3 40 5 6 7 800 90 900\ncpu0 1 1 1 1\n");
    ck_assert_uint_eq(t.all, 1 + 2 + 3 + 40 + 5 + 6 + 7 + 800); /* guests are in the first two */
    ck_assert_uint_eq(t.stolen, 800);
    t = busy_ticks_parse("intr 1 2 3 4 5 6 7 8");
    ck_assert_uint_eq(t.all + t.stolen, 0);
    t = busy_ticks_parse("");
    ck_assert_uint_eq(t.all + t.stolen, 0);
}
END_TEST

/* Each of the three makes it busy by itself. */
START_TEST(any_of_three)
{
    const struct busy quiet = {.load = 2, .steal = 0.001, .cores = 2};
    struct busy loaded = quiet, stolen = quiet;
    loaded.load = 3.5;
    stolen.steal = 0.05;
    ck_assert(!busy_is(&quiet, 0.99));
    ck_assert(busy_is(&quiet, 0.5));
    ck_assert(busy_is(&loaded, 0.99));
    ck_assert(busy_is(&stolen, 0.99));
}
END_TEST

START_TEST(members)
{
    json_t *machine = json_object();
    const struct busy b = {.load = 20, .steal = 0, .cores = 2};
    busy_put(machine, &b, 0.1);
    ck_assert(json_is_true(json_object_get(machine, "busy")));
    ck_assert_double_eq(json_number_value(json_object_get(machine, "load_average")), 20);
    json_decref(machine);
    struct busy now = busy_since(busy_ticks_now());
    ck_assert_int_ge(now.cores, 1);
    ck_assert_double_ge(now.steal, 0);
}
END_TEST

#define TESTS(X)     \
    X(ticks_of_stat) \
    X(any_of_three)  \
    X(members)

UNIT_MAIN("busy", .timeout_s = 20)
