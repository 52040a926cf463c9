/* bf16 matrices as float ones, straight and transposed: every pattern of bits, sizes that no vector
 * divides, and nothing written beside them. */
#include <string.h>
#include "model/widen.h"
#include "tests/support/check_unit.h"

static void has_bits(float got, uint16_t w, size_t rows, size_t cols)
{
    uint32_t bits;
    memcpy(&bits, &got, sizeof bits);
    if (bits != (uint32_t)w << 16) ck_abort_msg("%#x became %#x in %zu x %zu", w, bits, rows, cols);
}

static void is_widened(const uint16_t *w, size_t rows, size_t cols)
{
    size_t n = rows * cols;
    float *out = malloc((n + 2) * sizeof *out);
    for (int transposed = 0; transposed < 2; transposed++) {
        for (size_t i = 0; i < n + 2; i++) out[i] = -7;
        if (transposed)
            widen_transposed(out + 1, w, rows, cols);
        else
            widen(out + 1, w, n);
        for (size_t i = 0; i < n; i++) {
            size_t r = i / cols, c = i % cols;
            has_bits(out[1 + (transposed ? c * rows + r : i)], w[i], rows, cols);
        }
        ck_assert(out[0] == -7 && out[n + 1] == -7);
    }
    free(out);
}

START_TEST(every_pattern)
{
    static uint16_t w[65536];
    for (size_t i = 0; i < 65536; i++) w[i] = (uint16_t)i;
    is_widened(w, 256, 256);
    is_widened(w, 1, 65536);
    is_widened(w, 65536, 1);
}
END_TEST

START_TEST(every_size)
{
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 36, 67, 130};
    enum { N = sizeof sizes / sizeof *sizes };
    static uint16_t w[130 * 130];
    for (size_t i = 0; i < 130 * 130; i++) w[i] = (uint16_t)(i * 40503u);
    for (int r = 0; r < N; r++)
        for (int c = 0; c < N; c++) is_widened(w, sizes[r], sizes[c]);
}
END_TEST

#define TESTS(X)     \
    X(every_pattern) \
    X(every_size)

UNIT_MAIN("widen")
