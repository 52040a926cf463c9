/* What a rank is told of a manifest, over pretended ranks: what it keeps does not grow with them,
 * what passes by is a few bytes a slice, and it knows exactly the slices that hold something of its
 * own. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "tests/support/pretended_ranks.h"
#include "trainer/checkpoint/range.h"
#include "trainer/checkpoint/spread.h"

enum { MOST = 16384 };

/* As spread_checkpoint leaves it on other ranks than the first. */
static void without_slices(struct manifest *m, const struct manifest *whole)
{
    *m = *whole;
    m->pool = NULL;
    m->state = NULL;
    m->shard = NULL;
    m->tensor = memory_take(m->tensors, sizeof *m->tensor, "a test");
    memcpy(m->tensor, whole->tensor, m->tensors * sizeof *m->tensor);
    for (size_t i = 0; i < m->tensors; i++) m->tensor[i].slice = NULL;
}

/* The whole manifest passes by in blocks of one tensor each. Returns its bytes. */
static size_t pass_by(struct manifest *m, const struct manifest *whole, const struct slice *wanted,
                      int n)
{
    size_t bytes = 0;
    struct packed p = {0};
    struct spread_keep k;
    spread_begin(&k, m, wanted, n);
    for (size_t i = 0; i < whole->tensors; i++) {
        p.n = 0;
        spread_pack(&p, whole, i);
        unsigned char *exact = memory_take(p.n, 1, "a test");
        memcpy(exact, p.at, p.n);
        spread_take(&k, exact, p.n);
        bytes += p.n;
        free(exact);
    }
    spread_end(&k);
    free(p.at);
    return bytes;
}

START_TEST(what_a_rank_keeps_is_flat)
{
    struct growth kept = {.n = 0}, passed = {.n = 0};
    for (int ranks = 4 * PRETENDED_TP; ranks <= MOST; ranks *= 4) {
        struct manifest whole, m;
        struct slice wanted[PRETENDED_MOST];
        pretended_layout(&whole, ranks);
        without_slices(&m, &whole);
        const int n = pretended_slices(wanted, ranks / 2 + 3, ranks);
        const size_t bytes = pass_by(&m, &whole, wanted, n);
        growth_add(&kept, ranks, (double)pretended_count(&m));
        growth_add(&passed, (double)pretended_count(&whole), (double)bytes);
        ck_assert_uint_le(bytes, 16 * pretended_count(&whole));
        manifest_free(&m);
        manifest_free(&whole);
    }
    growth_at_most(&kept, "what a rank keeps of the slices", 0.1);
    growth_at_most(&passed, "what passes by", 1.05);
}
END_TEST

/* Those of the whole manifest that meet one of the wanted. */
static void check_tensor(const struct manifest_tensor *t, const struct manifest_tensor *whole,
                         const struct slice *wanted, int n)
{
    size_t at = 0;
    for (size_t i = 0; i < whole->slices; i++) {
        const struct manifest_slice *s = &whole->slice[i];
        bool meets = false;
        for (int k = 0; k < n; k++)
            meets = meets ||
                    (strcmp(wanted[k].name, t->name) == 0 && range_meets(&s->at, &wanted[k].at));
        if (!meets) continue;
        ck_assert_uint_lt(at, t->slices);
        const struct manifest_slice *is = &t->slice[at++];
        ck_assert(is->shard == s->shard && is->again == s->again &&
                  memcmp(&is->at, &s->at, sizeof s->at) == 0);
    }
    ck_assert_uint_eq(at, t->slices);
}

/* Read by another number of ranks than wrote it; every third rank wants every other tensor only. */
START_TEST(exactly_what_holds_something)
{
    struct manifest whole;
    pretended_layout(&whole, 5 * PRETENDED_TP);
    for (int ranks = 3 * PRETENDED_TP, r = 0; r < ranks; r++) {
        struct manifest m;
        struct slice all[PRETENDED_MOST], wanted[PRETENDED_MOST];
        const int n = pretended_slices(all, r, ranks);
        int some = 0;
        for (int i = 0; i < n; i++)
            if (r % 3 || i % 2) wanted[some++] = all[i];
        strcpy(wanted[0].name, "not there");
        without_slices(&m, &whole);
        for (int again = 0; again < 2; again++) pass_by(&m, &whole, wanted, some);
        for (size_t i = 0; i < m.tensors; i++)
            check_tensor(&m.tensor[i], &whole.tensor[i], wanted, some);
        manifest_free(&m);
    }
    manifest_free(&whole);
}
END_TEST

/* Lengths that no layout of ours has. */
START_TEST(any_numbers)
{
    struct slice s[] = {
        {"a", SIZE_MAX / 8, {0, 1, 0, 0}, NULL, NULL, {0}, false},
        {"a", SIZE_MAX / 8, {1, SIZE_MAX / 8 - 5, 0, 0}, NULL, NULL, {0}, false},
        {"a", SIZE_MAX / 8, {7, 8, 0, 0}, NULL, NULL, {0}, false},
        {"a", SIZE_MAX / 8, {SIZE_MAX / 8 - 6, SIZE_MAX / 8, 0, 0}, NULL, NULL, {0}, false}};
    struct manifest whole, m;
    struct layout *l = layout_new(300, 4);
    for (int r = 0; r < 300; r++) layout_add(l, s, r == 299 ? 4 : 0);
    layout_end(l, &whole);
    without_slices(&m, &whole);
    pass_by(&m, &whole, s, 4);
    check_tensor(&m.tensor[0], &whole.tensor[0], s, 4);
    ck_assert_uint_eq(m.tensor[0].slices, 4);
    ck_assert(!m.tensor[0].slice[0].again && m.tensor[0].slice[3].again);
    manifest_free(&m);
    manifest_free(&whole);
}
END_TEST

#define TESTS(X)                    \
    X(what_a_rank_keeps_is_flat)    \
    X(exactly_what_holds_something) \
    X(any_numbers)

UNIT_MAIN("spread", .timeout_s = 60)
