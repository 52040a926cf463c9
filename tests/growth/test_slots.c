/* What a micro-batch keeps until its backward, by what is computed again (model/recompute.h): with
 * layers and with rows. Sizes are those of the 32B model of the Qwen2.5 family; nothing is placed,
 * only measured. */
#include "model/chunk.h"
#include "tests/support/check_unit.h"
#include "tests/support/dims_row.h"
#include "tests/support/growth.h"

enum { LAYERS = 8, ROWS = 4096, SLOTS = 3, TIMES = 8 };

static struct dims big(int rows)
{
    struct dims d =
        DIMS(152064, 8 * LAYERS, 5120, 27648, 40, 8, 128, .qkv_bias = true, .rope_theta = 1e6f);
    d.max_context = rows;
    return d;
}

/* Bytes of the activations of a chunk; what the chunk has besides is not asked. */
static double kept_of(const struct dims *dims, bool cut, int layers, int slots,
                      enum recompute recompute)
{
    const struct dims d = *dims;
    const struct chunk_setup setup = {.dims = &d,
                                      .span = {1, layers, false, false},
                                      .ops = ops_find(PRECISION_BF16, "plain"),
                                      .T_max = d.max_context,
                                      .slots = slots,
                                      .recompute = recompute,
                                      .cut = cut,
                                      .training = true};
    struct arena chunk = {0}, a = {0};
    struct chunk *c = chunk_new(&setup, &chunk);
    chunk_place_slots(&c, 1, &a);
    chunk_free(c);
    return (double)a.used;
}

static double kept(int layers, int rows, int slots, enum recompute recompute)
{
    const struct dims d = big(rows);
    return kept_of(&d, false, layers, slots, recompute);
}

static double slot(int layers, int rows, enum recompute recompute)
{
    return kept(layers, rows, SLOTS + 1, recompute) - kept(layers, rows, SLOTS, recompute);
}

static const char *const called[] = {"none", "selective", "products", "full"};

START_TEST(rows_and_layers)
{
    for (int r = RECOMPUTE_NONE; r <= RECOMPUTE_FULL; r++) {
        struct growth rows = {0}, layers = {0}, shared = {0};
        for (int n = 1; n <= TIMES; n *= 2) {
            enum recompute recompute = (enum recompute)r;
            growth_add(&rows, n * ROWS, slot(LAYERS, n * ROWS, recompute));
            growth_add(&layers, n * LAYERS, slot(n * LAYERS / 2, ROWS, recompute));
            growth_add(&shared, n * LAYERS,
                       kept(n * LAYERS / 2, ROWS, SLOTS, recompute) -
                           SLOTS * slot(n * LAYERS / 2, ROWS, recompute));
        }
        printf("%s: %.1f KiB a row of %d layers\n", called[r], rows.count[0] / ROWS / 1024, LAYERS);
        growth_at_most(&rows, called[r], 1.01);
        growth_at_most(&layers, called[r], 1.01);
        growth_at_most(&shared, "what all slots share", 0.01);
    }
}
END_TEST

/* Elements of a row in a layer, two bytes each: the inputs of attention and FFN, or the layer's
 * alone, and what is not computed again; of numbers of four bytes one for each norm, and one for
 * each head. */
START_TEST(a_layer_by_hand)
{
    const struct dims d = big(ROWS);
    double inputs = 2.0 * d.C, qkv = dims_qkv(&d), att = d.Hq * d.D, heads = 2.0 * d.Hq;
    double statistics = 2 * 2;
    const double by_hand[] = {
        inputs + 2.0 * d.C + qkv + att + 3.0 * d.F + heads,
        inputs + qkv + att + 2.0 * d.F + heads,
        inputs + att + heads,
        d.C,
    };
    for (int r = RECOMPUTE_NONE; r <= RECOMPUTE_FULL; r++) {
        double row =
            (slot(LAYERS, ROWS, (enum recompute)r) - slot(LAYERS - 1, ROWS, (enum recompute)r)) /
            ROWS / 2;
        ck_assert_msg(fabs(row - by_hand[r] - statistics) < 0.5, "%s: %.1f elements, not %.1f",
                      called[r], row, by_hand[r] + statistics);
    }
}
END_TEST

/* What a rank of tp keeps of a row of a layer: with whole sequences the streams, or the layer's
 * input, remain; with cut ones a share of them, too, and only the norms' outputs are whole, where
 * they are kept. */
START_TEST(a_layer_over_ranks)
{
    for (int r = RECOMPUTE_NONE; r <= RECOMPUTE_FULL; r++) {
        double row[2][2], one;
        enum recompute recompute = (enum recompute)r;
        for (int cut = 0; cut < 2; cut++)
            for (int k = 0; k < 2; k++) {
                struct dims d = big(ROWS);
                d.tp = k == 0 ? 2 : 8;
                row[cut][k] = kept_of(&d, cut, LAYERS, SLOTS + 1, recompute) -
                              kept_of(&d, cut, LAYERS, SLOTS, recompute) -
                              kept_of(&d, cut, LAYERS - 1, SLOTS + 1, recompute) +
                              kept_of(&d, cut, LAYERS - 1, SLOTS, recompute);
                row[cut][k] /= ROWS;
            }
        one = (slot(LAYERS, ROWS, recompute) - slot(LAYERS - 1, ROWS, recompute)) / ROWS;
        printf("%s: %.1f KiB a row of a layer; tp 8: %.1f, cut %.1f\n", called[r], one / 1024,
               row[0][1] / 1024, row[1][1] / 1024);
        double whole = recompute == RECOMPUTE_NONE ? 2.0 * 5120 * 2 : 0;
        for (int k = 0; k < 2; k++) {
            double tp = k == 0 ? 2 : 8, want = whole + (one - whole) / tp;
            ck_assert_msg(fabs(row[1][k] - want) < 1, "%s, tp %.0f: %.1f bytes, not %.1f",
                          called[r], tp, row[1][k], want);
        }
    }
}
END_TEST

#define TESTS(X)       \
    X(rows_and_layers) \
    X(a_layer_by_hand) \
    X(a_layer_over_ranks)

UNIT_MAIN("growth of slots")
