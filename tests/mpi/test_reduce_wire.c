/* ranks: 2 4 6 */
/* Reductions whose numbers are rounded between nodes: bit for bit those of a plain calculation of
 * the same sums on one rank, over several steps, also when what rounding left was saved and loaded
 * in between; and the bytes that cross. */
#include "tests/support/reduce_case.h"

#include "tests/support/plain_round.h"

/* ---- the plain calculation ---- */

/* All of the group's: what every member adds, what every sender keeps, the sum. */
struct plain {
    const struct group *g;
    size_t n;
    const size_t *count, *offset;
    float *in[MOST], *kept[MOST]; /* (n) of a member (flat) or a node (chain) */
    float *sum;                   /* (n) slice i as it is with member i */
};

static void plain_make(struct plain *p, const struct group *g, const struct sum *s)
{
    *p = (struct plain){.g = g, .n = s->n, .count = s->count, .offset = s->offset};
    for (int m = 0; m < MOST; m++) p->in[m] = room(p->n), p->kept[m] = room(p->n);
    p->sum = room(p->n);
}

static void plain_free(struct plain *p)
{
    for (int m = 0; m < MOST; m++) free(p->in[m]), free(p->kept[m]);
    free(p->sum);
}

/* x[lo..hi) crosses between nodes together. */
static void cross(const struct plain *p, float *x, float *kept, size_t lo, size_t hi)
{
    float *meant = room(hi - lo);
    for (size_t i = lo; i < hi; i++) meant[i - lo] = x[i] + kept[i];
    for (size_t i = lo; i < hi; i++) {
        x[i] = plain_round(p->g->form.wire, meant, i - lo, hi - lo);
        kept[i] = meant[i - lo] - x[i];
    }
    free(meant);
}

/* sum[lo..hi) += members first .. first + n, run by run; the very first run is not added but taken.
 */
static void add_members(const struct plain *p, float *const *in, int first, int n, size_t lo,
                        size_t hi)
{
    int inner = p->g->form.inner;
    for (size_t i = lo; i < hi; i++)
        for (int m = first; m < first + n; m += inner) {
            volatile float run = in[m][i];
            if (inner == 2) run = run + in[m + 1][i];
            p->sum[i] = m == 0 ? run : p->sum[i] + run;
        }
}

static void plain_flat(const struct plain *p)
{
    int R = p->g->form.members;
    for (int owner = 0; owner < R; owner++) {
        size_t lo = p->offset[owner], hi = lo + p->count[owner];
        for (int m = 0; m < R; m++)
            if (p->g->node[m] != p->g->node[owner]) cross(p, p->in[m], p->kept[m], lo, hi);
        add_members(p, p->in, 0, R, lo, hi);
    }
}

/* Nodes of K neighbours. Columns: a K-th, rounded up to whole blocks of 128. */
static void plain_chain(const struct plain *p, int K)
{
    int R = p->g->form.members, N = R / K;
    size_t column = ((p->n + (size_t)K - 1) / (size_t)K + 127) / 128 * 128;
    for (size_t lo = 0; lo < p->n; lo += column) {
        size_t hi = lo + column < p->n ? lo + column : p->n;
        for (int a = 0; a < N; a++) {
            if (a > 0) cross(p, p->sum, p->kept[a - 1], lo, hi);
            add_members(p, p->in, a * K, K, lo, hi);
        }
        for (int owner = 0; owner < R - K; owner++) {
            size_t from = p->offset[owner], to = from + p->count[owner];
            from = from > lo ? from : lo, to = to < hi ? to : hi;
            if (from < to) cross(p, p->sum, p->kept[N - 1], from, to);
        }
    }
}

static int members_a_node(const struct group *g)
{
    int n = 1;
    for (int i = 1; i < g->form.members; i++) n += g->node[i] == g->node[0];
    return n;
}

static void plain_step(struct plain *p, const struct sum *s, int seed)
{
    const char *why;
    for (int m = 0; m < p->g->form.members; m++)
        for (size_t i = 0; i < p->n; i++) p->in[m][i] = number(m, i, seed);
    if (reduce_choose(&p->g->form, p->n, &why) == REDUCE_NODES)
        plain_chain(p, members_a_node(p->g));
    else
        plain_flat(p);
    memcpy(s->right, p->sum + s->at, s->mine * sizeof(float));
}

/* ---- against it ---- */

static size_t step_wrong(struct sum *s, struct reduce *r, int seed)
{
    for (size_t i = 0; i < s->n; i++) s->in[i] = number(ck_world.rank, i, seed);
    sum_start(s, r);
    reduce_wait(r, s->op);
    return sum_wrong(s);
}

/* A new program that has only what was saved. */
static void restart(struct sum *s, struct reduce **r, const struct group *g)
{
    float *saved = room(s->residual_n);
    reduce_free(*r);
    *r = reduce_new(&transport_mpi, ck_world.comm, &g->form, 1);
    memcpy(saved, s->residual, s->residual_n * sizeof *saved);
    free(s->residual);
    s->residual = saved;
    memset(s->scratch, 0xff, s->scratch_n * sizeof(float));
    for (size_t i = 0; i < s->mine; i++) s->out[i] = NAN;
}

static void check_steps(const struct group *g, const char *name, size_t base)
{
    struct sum s;
    struct plain p;
    struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g->form, 1);
    sum_make(&s, &g->form, base, 0, base % 2 == 0);
    plain_make(&p, g, &s);
    for (int step = 0; step < 3; step++) {
        if (step == 2) restart(&s, &r, g);
        plain_step(&p, &s, step);
        size_t wrong = step_wrong(&s, r, step);
        ck_all(wrong == 0, "%s, inner %d, path %d, wire %d, step %d: %zu of %zu wrong", name,
               g->form.inner, (int)g->form.path, (int)g->form.wire, step, wrong, s.mine);
    }
    plain_free(&p);
    sum_free(&s);
    reduce_free(r);
}

START_TEST(rounded_sums_are_those_of_a_plain_calculation)
{
    for (int map = 0; map < MAPS; map++)
        for (int inner = 1; inner <= 2; inner++)
            for (int path = REDUCE_FLAT; path <= REDUCE_NODES; path++)
                for (int wire = CODEC_BF16; wire <= CODEC_INT8; wire++) {
                    struct group g;
                    group_make(&g, map, inner, (enum reduce_path)path, (enum codec)wire);
                    check_steps(&g, maps[map].name, (size_t)(500 * (inner - 1)));
                }
}
END_TEST

/* Columns of several pieces, which are formed, rounded and sent one after the other. */
START_TEST(long_ones_are_rounded_piece_by_piece)
{
    for (int path = REDUCE_FLAT; path <= REDUCE_NODES; path++) {
        struct group g;
        group_make(&g, 0, 1, (enum reduce_path)path, CODEC_INT8);
        check_steps(&g, "pairs", (size_t)(100001 / ck_world.size));
    }
}
END_TEST

/* Every member adds the same numbers at each step: the mean of the sums goes to the exact one, and
 * without what rounding left it stays away. Errors in parts of the largest number. */
static double mean_error(const struct group *g, int steps, bool feedback)
{
    struct sum s;
    struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g->form, 1);
    sum_make(&s, &g->form, 200, 0, false);
    for (size_t i = 0; i < s.n; i++) s.in[i] = 1.0f / (float)(i + 2 + (size_t)ck_world.rank);
    double worst = 0, *mean = memory_take(s.mine + 1, sizeof *mean, "a test");
    for (int step = 0; step < steps; step++) {
        if (!feedback) memset(s.residual, 0, s.residual_n * sizeof(float));
        sum_start(&s, r);
        reduce_wait(r, s.op);
        for (size_t i = 0; i < s.mine; i++) mean[i] += (double)s.out[i] / steps;
    }
    for (size_t i = 0; i < s.mine; i++) {
        double exact = 0;
        for (int m = 0; m < ck_world.size; m++)
            exact += (double)(1.0f / (float)(s.at + i + 2 + (size_t)m));
        if (fabs(mean[i] - exact) > worst) worst = fabs(mean[i] - exact);
    }
    double all;
    MPI_OK(MPI_Allreduce(&worst, &all, 1, MPI_DOUBLE, MPI_MAX, ck_world.comm));
    free(mean);
    sum_free(&s);
    reduce_free(r);
    return all;
}

START_TEST(feedback_makes_the_mean_right)
{
    for (int path = REDUCE_FLAT; path <= REDUCE_NODES; path++) {
        struct group g;
        group_make(&g, 1, 1, (enum reduce_path)path, CODEC_INT8);
        double without = mean_error(&g, 200, false), with = mean_error(&g, 200, true);
        ck_all(without > 1e-3 && with < without / 25, "path %d: %g with, %g without", path, with,
               without);
    }
}
END_TEST

/* ---- bytes ---- */

static unsigned long long all_of(unsigned long long mine)
{
    unsigned long long all;
    MPI_OK(MPI_Allreduce(&mine, &all, 1, MPI_UNSIGNED_LONG_LONG, MPI_SUM, ck_world.comm));
    return all;
}

/* Slices of 8192: n = 8192 R floats on N nodes of K. */
START_TEST(what_crosses_is_what_the_formula_says)
{
    enum { EACH = 8192 };
    for (int map = 0; map < 2; map++)
        for (int path = REDUCE_FLAT; path <= REDUCE_NODES; path++)
            for (int wire = CODEC_FP32; wire <= CODEC_INT8; wire++) {
                struct group g;
                group_make(&g, map, 1, (enum reduce_path)path, (enum codec)wire);
                size_t K = (size_t)members_a_node(&g), R = (size_t)ck_world.size, N = R / K,
                       n = EACH * R;
                size_t count[MOST], offset[MOST];
                for (size_t i = 0; i < R; i++) count[i] = EACH, offset[i] = EACH * i;
                struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g.form, 1);
                struct sum s;
                sum_make(&s, &g.form, EACH, 0, false);
                memcpy(s.count, count, sizeof count), memcpy(s.offset, offset, sizeof offset);
                sum_start(&s, r);
                reduce_wait(r, s.op);
                unsigned long long sent = reduce_crossed(r), all = all_of(sent);
                /* a node: n (N-1)/N for each member; or n, of the last one n (N-1)/N */
                size_t numbers =
                    path == REDUCE_FLAT ? n * K * (N - 1) : n * (N - 1) + n / N * (N - 1);
                size_t bits = wire == CODEC_FP32 ? 32 : wire == CODEC_BF16 ? 16 : 8;
                size_t right = numbers * bits / 8 + (wire == CODEC_INT8 ? numbers / 128 * 4 : 0);
                ck_all(N == 1 || all == right, "map %d, path %d, wire %d: %llu, not %zu", map, path,
                       wire, all, right);
                ck_all(sent == reduce_sends(&g.form, count), "%llu sent", sent);
                reduce_gather(r, s.in, count, offset, 2);
                sent = reduce_crossed(r), all = all_of(sent);
                ck_all(all == 2 * n * (N - 1) * (path == REDUCE_FLAT ? K : 1), "gather: %llu", all);
                ck_all(sent == reduce_gather_sends(&g.form, count, 2), "gather: %llu sent", sent);
                sum_free(&s);
                reduce_free(r);
            }
}
END_TEST

#define TESTS(X)                                     \
    X(rounded_sums_are_those_of_a_plain_calculation) \
    X(long_ones_are_rounded_piece_by_piece)          \
    X(feedback_makes_the_mean_right)                 \
    X(what_crosses_is_what_the_formula_says)

MPI_MAIN("reduce_wire")
