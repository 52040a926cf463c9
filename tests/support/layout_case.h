/* A layout of slices that lie rank after rank. */
#ifndef DUET_TESTS_SUPPORT_LAYOUT_CASE_H
#define DUET_TESTS_SUPPORT_LAYOUT_CASE_H

#include "trainer/checkpoint/layout.h"

static inline void layout_make(struct manifest *m, const struct slice *slices, const int *count,
                               int ranks)
{
    size_t all = 0, at = 0;
    for (int r = 0; r < ranks; r++) all += (size_t)count[r];
    struct layout *l = layout_new(ranks, all);
    for (int r = 0; r < ranks; at += (size_t)count[r++])
        layout_add(l, slices + at, (size_t)count[r]);
    layout_end(l, m);
}

#endif
