/* Models as rows of a table: vocabulary, layers, widths, heads, and what follows by name.
 *
 *   static const struct dims SMALL[] = {DIMS(11, 2, 8, 10, 4, 2, 4, .rope_theta = 50), ...};
 *   struct dims d = (struct dims)DIMS(11, 2, 8, 10, 4, 2, 4);
 */
#ifndef DUET_TESTS_SUPPORT_DIMS_ROW_H
#define DUET_TESTS_SUPPORT_DIMS_ROW_H

#include "model/dims.h"

/* V, L, C, F, Hq, Hkv, D and the rest. */
#define DIMS(v, l, c, f, hq, hkv, ...)                                         \
    {                                                                          \
        .V = v, .L = l, .C = c, .F = f, .Hq = hq, .Hkv = hkv, .D = __VA_ARGS__ \
    }

#endif
