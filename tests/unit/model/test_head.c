/* on each instruction set */
/* The head in blocks of rows: whatever their size, the bits are those of one block; and they are
 * the equations', formed here once more in double. */
#include "tests/support/headed.h"
#include "tests/support/check_unit.h"

enum { ROWS = HEADED_ROWS, MAX_CALLS = sizeof((struct headed *)0)->from / sizeof(int) };

static void loss(void *ctx, const struct head_io *io, int from, int to)
{
    struct headed *h = ctx;
    ck_assert_int_lt(h->calls, MAX_CALLS);
    h->from[h->calls] = from;
    h->to[h->calls++] = to;
    for (int t = from; t < to; t++) {
        ck_assert((io->logp[t] < 0) == (io->target[t] >= 0)); /* it has them by now */
        io->dlogp[t] = io->target[t] < 0 ? 0 : -(float)tiny_loss_weight(t) / (float)h->T;
    }
}

static struct never never; /* of the chunks made from here on */

static bool is_never(int token)
{
    return headed_never(&never, token);
}

/* Case i is a family on a table of ops. */
static void make(struct headed *h, int i, int T, int head_rows)
{
    const struct headed_shape shape = {.d = TINY_FAMILY[i % TINY_FAMILIES],
                                       .ops = tiny_ops(i / TINY_FAMILIES),
                                       .head_rows = head_rows,
                                       .never = never,
                                       .T = T,
                                       .loss = loss};
    headed_make(h, &shape);
}

static void check_rows(const struct headed *a, const struct headed *b)
{
    size_t n = (size_t)a->T, bytes = n * (size_t)a->d.C * a->ops->real_bytes;
    ck_assert_mem_eq(a->logp, b->logp, n * sizeof *a->logp);
    ck_assert_mem_eq(a->entropy, b->entropy, n * sizeof *a->entropy);
    ck_assert_mem_eq(a->dlogp, b->dlogp, n * sizeof *a->dlogp);
    ck_assert_mem_eq(a->back, b->back, bytes);
}

/* Largest difference of gradients, relative to the largest of them. */
static double worst(const struct headed *a, const struct headed *b)
{
    double largest = 0, most = 0;
    for (size_t i = 0; i < a->params.total; i++) {
        largest = fmax(largest, fabs((double)a->grad[i]));
        most = fmax(most, fabs((double)a->grad[i] - (double)b->grad[i]));
    }
    ck_assert(largest > 0);
    return most / largest;
}

/* The plain tables add up all rows of a call in double, so there the matrix's gradient depends on
 * the blocks. */
static void check_same(const struct headed *a, const struct headed *b)
{
    check_rows(a, b);
    ck_assert_double_le(worst(a, b), strcmp(a->ops->isa, "plain") == 0 ? 1e-6 : 0);
}

/* Two micro-batches, the second of fewer rows, in one, two and three blocks; and with a loss that
 * wants all rows at once. */
START_TEST(blocks_do_not_change_a_bit)
{
    static const int blocks[] = {ROWS, 512, 256};
    static const int calls[] = {2, 3, 5}; /* of 600 and of 300 rows */
    struct headed one;
    make(&one, _i, ROWS, 0);
    headed_train(&one);
    one.T = one.rows.T = 300;
    headed_train(&one);
    ck_assert_int_eq(one.calls, 2);
    for (int k = 0; k < 6; k++) {
        struct headed h;
        make(&h, _i, ROWS, blocks[k % 3]);
        h.io.whole = k >= 3;
        headed_train(&h);
        h.T = h.rows.T = 300;
        headed_train(&h);
        check_same(&one, &h);
        ck_assert_int_eq(h.calls, h.io.whole ? 2 : calls[k]);
        for (int i = 0, row = 0; i < h.calls; i++) { /* each row once, in order */
            if (h.from[i] == 0) row = 0;
            ck_assert_int_eq(h.from[i], row);
            row = h.to[i];
            ck_assert(row == 600 || row == 300 || !h.io.whole);
        }
        headed_free(&h);
    }
    headed_free(&one);
}
END_TEST

/* Blocks that are no multiple of the pieces in which the matrix's gradient is summed: rows keep
 * their bits, that gradient differs by rounding. */
START_TEST(blocks_of_any_size_keep_rows)
{
    static const int blocks[] = {1, 7, 64};
    const int T = 100;
    struct headed one;
    make(&one, _i, T, 0);
    headed_train(&one);
    for (int k = 0; k < 3; k++) {
        struct headed h;
        make(&h, _i, T, blocks[k]);
        headed_train(&h);
        check_rows(&one, &h);
        ck_assert_double_le(worst(&one, &h), 1e-5);
        headed_free(&h);
    }
    headed_free(&one);
}
END_TEST

/* --- the equations --- */

enum { MAX_C = 32, MAX_V = 31 };

static double real_at(const struct headed *h, const void *p, size_t i)
{
    float f;
    h->ops->to_float(&f, (const unsigned char *)p + i * h->ops->real_bytes, 1);
    return (double)f;
}

static double weight_at(const struct headed *h, const char *name, size_t i)
{
    return real_at(h, h->weights, param_find(&h->params, name)->offset + i);
}

/* Row t: its norm, and the softmax of its logits. */
static void row_forward(const struct headed *h, int t, double *nf, double *p)
{
    int C = h->d.C, V = h->d.V;
    double square = 0, sum = 0;
    for (int c = 0; c < C; c++) {
        double x = real_at(h, h->in, (size_t)(t * C + c));
        nf[c] = x * weight_at(h, "norm_f", (size_t)c);
        square += x * x;
    }
    for (int c = 0; c < C; c++) nf[c] /= sqrt(square / C + (double)h->d.norm_eps);
    for (int v = 0; v < V; v++) {
        double z = 0;
        for (int c = 0; c < C; c++) z += nf[c] * weight_at(h, "head", (size_t)(v * C + c));
        sum += p[v] = is_never(v) ? 0 : exp(z * (double)h->io.inv_temperature);
    }
    for (int v = 0; v < V; v++) p[v] /= sum;
}

static void check_equations(int i)
{
    struct headed h;
    static double want[MAX_V * MAX_C];
    memset(want, 0, sizeof want);
    make(&h, i, 300, 256);
    if (h.ops->precision == PRECISION_FP32) {
        int C = h.d.C, V = h.d.V;
        double largest = 0, nf[MAX_C] = {0}, p[MAX_V] = {0};
        headed_train(&h);
        for (int t = 0; t < h.T; t++) {
            double entropy = 0, scale = (double)(h.dlogp[t] * h.io.inv_temperature);
            row_forward(&h, t, nf, p);
            if (h.target[t] < 0) continue;
            for (int v = 0; v < V; v++) entropy -= p[v] > 0 ? p[v] * log(p[v]) : 0;
            ck_assert_double_eq_tol((double)h.logp[t], log(p[h.target[t]]), 1e-5);
            ck_assert_double_eq_tol((double)h.entropy[t], entropy, 1e-5);
            for (int k = 0; k < V * C; k++)
                want[k] += scale * ((k / C == h.target[t]) - p[k / C]) * nf[k % C];
        }
        const float *grad = h.grad + param_find(&h.params, "head")->offset;
        for (int k = 0; k < V * C; k++) largest = fmax(largest, fabs(want[k]));
        for (int k = 0; k < V * C; k++)
            ck_assert_double_eq_tol((double)grad[k], want[k], 1e-5 * largest);
    }
    headed_free(&h);
}

START_TEST(the_equations)
{
    check_equations(_i);
}
END_TEST

/* --- tokens never to be sampled --- */

static const struct share MASKED[] = {{3, 2}, {20, 20}}; /* the second to the end and beyond */

static void draw(void *ctx, const float *logits, int from, int n)
{
    struct headed *h = ctx;
    for (int t = 0; t < n; t++)
        for (int v = 0; v < h->d.V; v++)
            ck_assert((isinf(logits[t * h->d.V + v]) != 0) == is_never(v));
    h->calls += from >= 0;
}

/* They count for nothing, in the equations as in the gradient; and what is drawn from the others
 * has the log-probability of training (P2). */
START_TEST(never_sampled)
{
    static int pos[ROWS], target[ROWS];
    static const int *table[ROWS];
    static float logp[ROWS], entropy[ROWS];
    struct headed h;
    never = (struct never){2, MASKED};
    check_equations(_i);
    make(&h, _i, ROWS, 256);
    headed_train(&h);
    const float *grad = h.grad + param_find(&h.params, "head")->offset;
    for (int i = 0; i < h.d.V * h.d.C; i++) ck_assert((grad[i] == 0) == is_never(i / h.d.C));
    const struct decode_rows rows = {.T = ROWS, .kv = {pos, table}};
    const struct head_draw d = {.draw = draw,
                                .ctx = &h,
                                .target = target,
                                .logp = logp,
                                .entropy = entropy,
                                .inv_temperature = h.io.inv_temperature};
    memcpy(target, h.target, sizeof target);
    chunk_decode(h.chunk, &rows, NULL, h.in, NULL, &d);
    ck_assert_mem_eq(logp, h.logp, sizeof logp);
    headed_free(&h);
}
END_TEST

/* Nothing is added to the gradients, and the slot's are not touched. */
START_TEST(a_loss_that_only_looks)
{
    struct headed a, b;
    make(&a, _i, ROWS, 256);
    make(&b, _i, ROWS, 256);
    b.io.learns = false;
    headed_train(&a);
    headed_run(&b, PASS_F);
    ck_assert_int_eq(b.calls, 3);
    ck_assert_mem_eq(a.logp, b.logp, sizeof a.logp);
    for (size_t i = 0; i < b.params.total; i++) ck_assert(b.grad[i] == 0);
    headed_free(&a);
    headed_free(&b);
}
END_TEST

static void place_nothing(struct linear *l, int N, int K, bool backward, struct arena *a)
{
    (void)a;
    *l = (struct linear){.N = N, .K = K, .backward = backward};
}

/* Where the vocabulary is small all rows are one block; else a block is of 256 rows, whatever the
 * room. */
START_TEST(no_buffer_grows_with_rows_and_vocabulary)
{
    struct dims d = TINY_FAMILY[0];
    size_t used[2];
    d.V = 1 << 20;
    for (int k = 0; k < 2; k++) {
        struct arena a = {0};
        struct ops measuring = *tiny_ops(0);
        measuring.linear_place = place_nothing;
        struct chunk_setup setup = {.dims = &d,
                                    .span = {d.L, 0, false, true},
                                    .ops = &measuring,
                                    .T_max = k ? 65536 : 4096,
                                    .slots = 4,
                                    .training = true};
        struct chunk *c = chunk_new(&setup, &a);
        chunk_place_slots(&c, 1, &a);
        chunk_free(c);
        used[k] = a.used;
    }
    size_t block = 256u * ((size_t)1 << 20) * sizeof(float), more = used[1] - used[0];
    ck_assert(used[0] > block && used[0] < block + block / 16);
    ck_assert_uint_lt(more, (65536 - 4096) * (size_t)d.C * sizeof(float) * 24);
}
END_TEST

#define TESTS(X)                                      \
    X(blocks_do_not_change_a_bit, .to = TINY_CASES)   \
    X(blocks_of_any_size_keep_rows, .to = TINY_CASES) \
    X(the_equations, .to = TINY_CASES)                \
    X(never_sampled, .to = TINY_CASES)                \
    X(a_loss_that_only_looks, .to = TINY_CASES)       \
    X(no_buffer_grows_with_rows_and_vocabulary)

UNIT_MAIN("head", .timeout_s = 60)
