/* What a save reads does not grow with the checkpoints that are kept. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "tests/support/pretended_ranks.h"
#include "trainer/checkpoint/store.h"

enum { RANKS = 4 * PRETENDED_TP, MOST = 256 };

/* Bytes that this process has read so far, of whatever. */
static double bytes_read(void)
{
    unsigned long long n = 0;
    FILE *f = fopen("/proc/self/io", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "rchar: %llu", &n), 1);
    fclose(f);
    return (double)n;
}

static void save(const char *root, long step, int keep, struct store_seen *seen)
{
    char partial[PATH_BYTES];
    struct manifest m;
    struct failure f = {0};
    pretended_layout(&m, RANKS);
    m.step = step;
    m.keep_forever = step % 3 == 0;
    struct store_new new = {.step = step, .keep_forever = m.keep_forever};
    char *text = manifest_text(&m, &new.n);
    new.manifest = text;
    ck_assert_msg(store_begin(partial, root, step, &f) && store_commit(root, &new, seen, &f),
                  "%s: %s", f.what, f.why);
    store_prune(root, step, keep, seen);
    manifest_free(&m);
    free(text);
}

/* What one save reads with `kept` others there, of which one job has written some and another,
 * which goes on, the rest. */
static double reads_with(int kept, double *first)
{
    char root[] = "/dev/shm/duet_kept_XXXXXX", all[64];
    struct store_seen seen = {0};
    ck_assert_ptr_nonnull(mkdtemp(root));
    for (long step = 1; step <= kept; step++) {
        if (step == kept / 2) store_seen_free(&seen);
        const double before = bytes_read();
        save(root, step, kept, &seen);
        if (step == kept / 2) *first = bytes_read() - before;
    }
    const double before = bytes_read();
    save(root, kept + 1, kept, &seen);
    const double read = bytes_read() - before;
    struct store_list l;
    ck_assert(store_scan(&l, root, -1, &(struct failure){0}));
    ck_assert_int_eq(l.n, kept + 1); /* those to keep forever are not counted */
    store_list_free(&l);
    store_seen_free(&seen);
    snprintf(all, sizeof all, "rm -r %s", root);
    ck_assert_int_eq(system(all), 0);
    return read;
}

START_TEST(a_save_reads_no_other_manifest)
{
    struct growth own = {.n = 0}, first = {.n = 0};
    for (int kept = 16; kept <= MOST; kept *= 4) {
        double others = 0;
        growth_add(&own, kept, reads_with(kept, &others));
        growth_add(&first, kept, others);
    }
    growth_at_most(&own, "what a save reads", 0.05);
    growth_at_most(&first, "what the first save of a job reads", 1.1);
    ck_assert_double_gt(growth_exponent(&first), 0.5); /* it is measured */
}
END_TEST

#define TESTS(X) X(a_save_reads_no_other_manifest)

UNIT_MAIN("kept", .timeout_s = 60)
