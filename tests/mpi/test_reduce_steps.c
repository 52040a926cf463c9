/* ranks: 2 4 8 16 */
/* A reduction looks at a stream when something has happened to it, not at all of them each time:
 * looks for each message are as many whatever the ranks. Counted, over any time that the messages
 * take. */
#include "comm/base/memory.h"
#include "comm/reduce_op.h"
#include "tests/support/reduce_case.h"

enum { LARGEST = 16, EACH = 20000, LOOKS = 5 };

static size_t count[LARGEST], offset[LARGEST];
static float *in, *scratch;

static void looks_at(const struct reduce_form *f)
{
    struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, f, 1);
    struct reduce_job job = {in + offset[f->me], in, count, offset, scratch, NULL};
    double messages = 0, most = 0, pieces = (double)(EACH + reduce_piece(EACH) - 1);
    pieces = (double)(size_t)(pieces / (double)reduce_piece(EACH));
    messages = 2.0 * (f->members - 1) * pieces;
    for (int round = 0; round < 20; round++) {
        r->looks = 0;
        reduce_wait(r, reduce_start(r, &job));
        if ((double)r->looks > most) most = (double)r->looks;
        r->looks = 0;
        reduce_gather(r, in, count, offset, sizeof *in);
        if ((double)r->looks > most) most = (double)r->looks;
    }
    if (f->me == 0) fprintf(stderr, "%.2f looks a message\n", most / messages);
    ck_all(most <= LOOKS * messages, "%.0f looks for %.0f messages", most, messages);
    reduce_free(r);
}

START_TEST(looks_for_a_message_are_flat)
{
    struct reduce_form f = {.members = ck_world.size, .me = ck_world.rank, .inner = 1};
    f.map = reduce_map_of(&f);
    f.path = REDUCE_FLAT;
    for (int i = 0; i < f.members; i++) count[i] = EACH, offset[i] = (size_t)i * EACH;
    size_t n = (size_t)f.members * EACH;
    in = memory_take(n, sizeof *in, "a test");
    scratch = memory_take(reduce_scratch(&f, n), sizeof *scratch, "a test");
    looks_at(&f);
    free(in);
    free(scratch);
}
END_TEST

/* With many members only some pairs are open at once; here, of few members, one or two. The bits
 * are the same, whatever is rounded between hosts. */
START_TEST(a_window_changes_no_bits)
{
    struct group g;
    if (ck_world.size > MOST) return;
    for (int wire = CODEC_FP32; wire <= CODEC_INT8; wire++)
        for (int window = 1; window <= 2; window++) {
            struct sum all, few;
            group_make(&g, 2, 1, REDUCE_FLAT, (enum codec)wire);
            struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g.form, 2);
            sum_make(&all, &g.form, 30000, 7, false);
            sum_make(&few, &g.form, 30000, 7, window == 2);
            sum_start(&all, r);
            reduce_wait(r, all.op);
            r->window = window;
            sum_start(&few, r);
            reduce_wait(r, few.op);
            size_t bytes = all.mine * sizeof *all.out;
            ck_all(memcmp(all.out, few.out, bytes) == 0, "wire %d, window %d", wire, window);
            ck_all(wire != CODEC_FP32 || sum_wrong(&few) == 0, "another sum than in rank order");
            memset(few.in, 0, few.n * sizeof *few.in);
            memcpy(few.in + few.at, few.right, bytes);
            reduce_gather(r, few.in, few.count, few.offset, sizeof *few.in);
            memset(all.in, 0, all.n * sizeof *all.in);
            memcpy(all.in + all.at, all.right, bytes);
            coll_all_gather(all.in, all.count, all.offset, sizeof *all.in, ck_world.comm);
            ck_all(memcmp(all.in, few.in, all.n * sizeof *all.in) == 0, "gathered, %d", window);
            sum_free(&all), sum_free(&few);
            reduce_free(r);
        }
}
END_TEST

#define TESTS(X)                    \
    X(looks_for_a_message_are_flat) \
    X(a_window_changes_no_bits)

MPI_MAIN("reduce_steps")
