/* The emulated GPU itself: sound kernels give what they should, whatever is drawn by chance, and
 * planted faults are seen, by their message or by what comes out. */
#include "tests/support/check_unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/cuda/emulation/emulation.h"
#include "tests/cuda/planted.h"

enum { SEEN = 42, SEEDS = 20 };

static float in[PLANTED_N], out[PLANTED_N];

static void setup(void)
{
    for (int i = 0; i < PLANTED_N; i++) in[i] = (float)(i * i % 101) + 1;
}

/* --- what is sound --- */

START_TEST(sound_kernels)
{
    emulated_seed((unsigned)_i);
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        planted_run(dynamic ? DYNAMIC_REVERSE : REVERSE, out, in, PLANTED_N);
        for (int i = 0; i < PLANTED_N; i++) ck_assert(out[i] == in[PLANTED_N - 1 - i]);
    }
    planted_run(WARP_SUM, out, in, PLANTED_N);
    for (int i = 0; i < PLANTED_N; i++) {
        int first = i / 32 * 32, next = i % 32 == 31 ? i : i + 1;
        float sum = in[first] + in[next];
        for (int l = 0; l < 32; l++) sum += in[first + l];
        ck_assert(out[i] == sum);
    }
    int counted;
    planted_run(COUNT, out, in, PLANTED_N);
    memcpy(&counted, out, sizeof counted);
    ck_assert_int_eq(counted, PLANTED_N);
}
END_TEST

START_TEST(an_event_orders_streams)
{
    emulated_seed((unsigned)_i);
    planted_two_streams(out, in, 1);
    for (int i = 0; i < PLANTED_N; i++) ck_assert(out[i] == in[PLANTED_N - 1 - i]);
}
END_TEST

START_TEST(posted_is_not_done)
{
    float early, late;
    planted_early_read(&early, &late, 3);
    ck_assert(isnan(early) && late == 3);
}
END_TEST

/* --- what the values show --- */

/* In how many of SEEDS orders something is wrong. */
static int wrong_in(enum planted kernel)
{
    int wrong = 0;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        bool sound = true;
        float sum = 0;
        emulated_seed(seed);
        planted_run(kernel, out, in, PLANTED_N);
        for (int i = 0; i < PLANTED_N; i++) {
            sum += in[i];
            float right = kernel == BLOCKS_IN_ORDER ? sum : in[PLANTED_N - 1 - i];
            sound = sound && out[i] == right;
        }
        wrong += !sound;
    }
    return wrong;
}

START_TEST(a_missing_barrier_shows)
{
    ck_assert_int_eq(wrong_in(REVERSE), 0);
    ck_assert_int_eq(wrong_in(NO_BARRIER), SEEDS);
}
END_TEST

START_TEST(an_order_of_blocks_is_not_promised)
{
    ck_assert_int_eq(wrong_in(BLOCKS_IN_ORDER), SEEDS);
}
END_TEST

START_TEST(a_missing_event_shows)
{
    int wrong = 0;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        emulated_seed(seed);
        planted_two_streams(out, in, 0);
        wrong += out[0] != in[PLANTED_N - 1];
    }
    ck_assert_int_gt(wrong, SEEDS / 4);
}
END_TEST

START_TEST(what_nobody_wrote_is_nan)
{
    planted_run(SHARED_UNWRITTEN, out, in, PLANTED_N);
    ck_assert(isnan(out[0]) && out[1] == in[1]);
    planted_run(COUNT, out, in, PLANTED_N); /* writes the first element alone */
    for (int i = 1; i < PLANTED_N; i++) ck_assert(isnan(out[i]));
}
END_TEST

/* --- what is said --- */

static const char *const *wanted;

/* Every part of the message that is wanted is in it. */
static void heard(const char *text)
{
    for (int i = 0; wanted[i]; i++)
        if (!strstr(text, wanted[i])) {
            fprintf(stderr, "heard: %s\nwanted: %s\n", text, wanted[i]);
            _exit(1);
        }
    _exit(SEEN);
}

static const struct {
    enum planted kernel;
    const char *texts[4];
} faults[] = {
    {EARLY_END, {"kernel early_end", "waits for the barrier", "thread (249,0,0) has ended"}},
    {TWO_BARRIERS, {"kernel two_barriers", "waits at the barrier of line"}},
    {LANE_GONE, {"kernel lane_gone", "lanes of its warp", "thread (253,0,0) has ended"}},
    {WRITE_BEHIND, {"kernel write_behind", "byte 1024 of an allocation of 1024"}},
    {READ_BEHIND, {"kernel read_behind", "thread (255,0,0)", "byte 1024 of an allocation of 1024"}},
    {READ_BEFORE, {"kernel read_before", "thread (0,0,0)", "byte -4 of an allocation of"}}};
enum { FAULTS = sizeof faults / sizeof *faults };

/* An allocation stands at the end of its pages, so a whole page is read from before its beginning.
 */
START_TEST(faults_are_named)
{
    enum { PAGE_FLOATS = 1024 };
    static float from[PAGE_FLOATS], to[PAGE_FLOATS];
    wanted = faults[_i].texts;
    emulated_on_fault(heard);
    planted_run(faults[_i].kernel, to, from,
                faults[_i].kernel == READ_BEFORE ? PAGE_FLOATS : PLANTED_N);
}
END_TEST

/* An end that is no multiple of 64 bytes: a write behind it is found after the work. */
START_TEST(the_last_bytes_are_watched)
{
    static const char *const texts[] = {"kernel write_behind",
                                        "byte 400 of an allocation of 400 was written", NULL};
    wanted = texts;
    emulated_on_fault(heard);
    planted_run(WRITE_BEHIND, out, in, 100);
}
END_TEST

START_TEST(the_host_keeps_its_hands_off)
{
    static const char *const texts[] = {"the host touches device memory: byte 12 of 400", NULL};
    wanted = texts;
    emulated_on_fault(heard);
    planted_host_read();
}
END_TEST

START_TEST(without_a_listener_it_ends)
{
    planted_host_read();
}
END_TEST

/* AddressSanitizer sees some of them first, and exits with 1. */
#ifdef __SANITIZE_ADDRESS__
enum { BEHIND = 1 };
#else
enum { BEHIND = SEEN };
#endif

#define TESTS(X)                                    \
    X(sound_kernels, .to = SEEDS)                   \
    X(an_event_orders_streams, .to = SEEDS)         \
    X(posted_is_not_done)                           \
    X(a_missing_barrier_shows)                      \
    X(an_order_of_blocks_is_not_promised)           \
    X(a_missing_event_shows)                        \
    X(what_nobody_wrote_is_nan)                     \
    X(faults_are_named, .to = FAULTS, .exit = SEEN) \
    X(the_last_bytes_are_watched, .exit = BEHIND)   \
    X(the_host_keeps_its_hands_off, .exit = SEEN)   \
    X(without_a_listener_it_ends, .exit = 70)

UNIT_MAIN("emulation", .setup = setup)
