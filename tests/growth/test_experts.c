/* What a rank holds for rows of experts does not grow with the ranks that share them, at constant
 * rows a rank: there is room for a few even shares, and the rest goes in rounds. */
#include "model/block.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "trainer/planner/memory.h"

enum { T = 4096, SLOTS = 3, LEAST = 4, MOST = 256 };

static const struct dims DIMS = {.V = 64,
                                 .L = 3,
                                 .C = 512,
                                 .F = 64,
                                 .E = 512,
                                 .K = 8,
                                 .Fe = 128,
                                 .Hq = 2,
                                 .Hkv = 1,
                                 .D = 8,
                                 .max_context = 64,
                                 .norm_eps = 1e-6f};

/* Bytes of everything that is as long as a micro-batch: no weights, no ends. */
static double taken(int ep, double room, struct row_room *rows, int slots, enum recompute recompute)
{
    struct dims d = DIMS;
    struct ops ops = *ops_find(PRECISION_BF16, NULL);
    struct arena a = {0};
    ops.linear_place = linear_place_nothing;
    d.ep = ep;
    struct chunk *c = chunk_new(&(struct chunk_setup){.dims = &d,
                                                      .span = {.first = 0, .count = DIMS.L},
                                                      .ops = &ops,
                                                      .T_max = T,
                                                      .expert_room = room,
                                                      .slots = slots,
                                                      .recompute = recompute,
                                                      .training = true},
                                &a);
    chunk_place_slots(&c, 1, &a);
    *rows = c->room;
    chunk_free(c);
    return (double)a.used;
}

static double measured(int ep, double room, struct row_room *rows)
{
    return taken(ep, room, rows, SLOTS, RECOMPUTE_NONE);
}

START_TEST(room_is_flat)
{
    struct growth g = {.n = 0}, all = {.n = 0};
    struct row_room rows;
    for (int ep = LEAST; ep <= MOST; ep *= 2) {
        growth_add(&g, ep, measured(ep, 2, &rows));
        ck_assert_int_eq(rows.first, 2 * T * DIMS.K);
        ck_assert_int_eq(rows.further, T * DIMS.K);
        growth_add(&all, ep, measured(ep, 0, &rows));
        int held = DIMS.E / ep;
        ck_assert_int_eq(rows.first, ep * T * (held < DIMS.K ? held : DIMS.K));
    }
    growth_at_most(&g, "memory of a rank's experts", 0.02);
    ck_assert_msg(growth_exponent(&all) > 0.5, "room for all grows with the power %.2f only",
                  growth_exponent(&all));
}
END_TEST

/* Bytes that a slot no longer has: in each layer elements of T rows and of expert rows, and of the
 * stream what leaves the chunk, and a gradient. */
static void check_apart(double apart, double rows, double expert_rows, double first)
{
    const struct dims *d = &DIMS;
    double bytes = 2 * (d->L * (T * rows + first * expert_rows) + 2.0 * T * d->C);
    ck_assert_msg(fabs(apart / bytes - 1) < 1e-3, "%.0f bytes, not %.0f", apart, bytes);
}

/* In each layer two norms' outputs, queries, keys and values, and of expert rows all; in the end
 * also attention's output, the FFN's input, and what the experts gave. */
START_TEST(computed_again_is_not_kept)
{
    const struct dims *d = &DIMS;
    double slot[RECOMPUTE_NEVER], C = d->C, Fe = d->Fe;
    struct row_room rows;
    for (int r = 0; r < RECOMPUTE_NEVER; r++)
        slot[r] = taken(8, 2, &rows, SLOTS + 1, (enum recompute)r) -
                  taken(8, 2, &rows, SLOTS, (enum recompute)r);
    const double *s = slot, none = slot[RECOMPUTE_NONE], qkv = dims_qkv(d);
    double att = d->Hq * d->D + 2.0 * d->Hq;
    check_apart(none - s[RECOMPUTE_SELECTIVE], 2 * C, C + Fe, rows.first);
    check_apart(none - s[RECOMPUTE_PRODUCTS], 2 * C + qkv, 2 * C + 3 * Fe, rows.first);
    check_apart(none - s[RECOMPUTE_FULL], 3 * C + qkv + att + d->K * C, 2 * C + 3 * Fe, rows.first);
}
END_TEST

/* --- the rounds themselves --- */

enum { EXPERTS = 5 };

/* Each row is in one round, rounds are as long as they may be, and cut an expert at multiples of
 * ROUND_UNIT from its first row only. */
static void check_rounds(const int *n, struct row_room room)
{
    int first[EXPERTS + 1] = {0}, at = 0, rounds;
    for (int i = 0; i < EXPERTS; i++) first[i + 1] = first[i] + n[i];
    rounds = round_count(first, EXPERTS, room);
    for (int k = 0; k < rounds; k++) {
        struct row_range r = round_rows(first, EXPERTS, room, k);
        int most = k ? room.further : room.first, e = 0;
        ck_assert_int_eq(r.from, at);
        ck_assert_int_le(r.to - r.from, most);
        at = r.to;
        if (at == first[EXPERTS]) continue;
        ck_assert_int_gt(r.to - r.from, most - ROUND_UNIT);
        while (first[e + 1] <= at) e++;
        ck_assert_int_eq((at - first[e]) % ROUND_UNIT, 0);
    }
    ck_assert_int_eq(at, first[EXPERTS]);
    ck_assert_int_eq(range_size(round_rows(first, EXPERTS, room, rounds)), 0);
}

START_TEST(rounds_share_out_all_rows)
{
    static const int rows[][EXPERTS] = {{0},
                                        {1, 0, 2, 0, 3},
                                        {0, 4096, 0, 0, 0},
                                        {255, 256, 257, 511, 513},
                                        {1000, 1, 1000, 1, 1000},
                                        {0, 0, 0, 0, 5000}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int more = 256; more <= 1024; more += 37) {
            check_rounds(rows[i], (struct row_room){more, 256});
            check_rounds(rows[i], (struct row_room){2 * more, more});
        }
}
END_TEST

#define TESTS(X)                  \
    X(room_is_flat)               \
    X(computed_again_is_not_kept) \
    X(rounds_share_out_all_rows)

UNIT_MAIN("experts")
