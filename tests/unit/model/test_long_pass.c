/* A pass of very long rows feeds the watchdog while it computes, by each sub-step of a layer and
 * within those that are long themselves; and one that hangs in a kernel is still found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/die.h"
#include "comm/base/log.h"
#include "comm/idle.h"
#include "comm/watch.h"
#include "model/matmul.h"
#include "tests/support/check_unit.h"
#include "tests/support/tiny_model.h"

static void nap(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds};
    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

/* --- kernels --- */

static double began;
static void begin(void)
{
    watchdog_feed();
    nap(0.05);
    began = clock_now();
}

/* Fed since begin: only what ran can have done so. */
static bool fed(void)
{
    return watchdog_idle() < clock_now() - began;
}

static float *floats(size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
    for (size_t i = 0; i < n; i++) p[i] = (float)(i % 7) * 0.1f - 0.3f;
    return p;
}

/* A sequence of 1,024 rows is long, one of 256 is not: there feeding would cost more than it is
 * worth. */
START_TEST(attention_feeds)
{
    enum { T = 1024 };
    const struct dims d = DIMS(100, 1, 32, 32, 2, 1, 16, .max_context = T);
    const struct ops *ops = ops_find(PRECISION_FP32, NULL);
    float *qkv = floats(T * 64), *out = floats(T * 32), *lse = floats(T * 2);
    float *dqkv = floats(T * 64), *dout = floats(T * 32);
    void *scratch = floats(ops->attention_scratch(&d, T) / sizeof(float) + 64);
    for (int n = 256; n <= T; n *= 4) {
        const int start[] = {0, n};
        const struct segments seg = {1, start};
        begin();
        ops->attention_forward(out, lse, qkv, seg, &d, scratch);
        ck_assert_msg(fed() == (n == T), "forward of %d rows", n);
        begin();
        ops->attention_backward(dqkv, dout, qkv, out, lse, seg, &d, scratch);
        ck_assert_msg(fed() == (n == T), "backward of %d rows", n);
    }
    free(qkv), free(out), free(lse), free(dqkv), free(dout), free(scratch);
}
END_TEST

/* Blocks of a large product, and pieces of its gradient. */
START_TEST(products_feed)
{
    enum { N = 2048, K = 1024 };
    const struct matmul_shape *s = matmul_shape_get(N, K, MATMUL_F32, true);
    int R = matmul_block(s, MATMUL_FORWARD, 4096);
    float *x = floats((size_t)R * K), *y = floats((size_t)R * N), *w = floats((size_t)N * K);
    float *packed = floats(matmul_packed_bytes(s, MATMUL_FORWARD) / sizeof(float) + 64);
    matmul_pack(packed, s, MATMUL_FORWARD, w);
    begin();
    matmul_run(y, s, MATMUL_FORWARD, x, packed, R);
    ck_assert_msg(fed() == (R == 256), "a block of %d rows", R);
    int piece = matmul_gradient_rows(s);
    begin();
    if (piece <= R) matmul_gradient(w, s, y, x);
    ck_assert_msg(fed() == (piece == 256), "a piece of %d rows", piece);
    free(x), free(y), free(w), free(packed);
}
END_TEST

/* --- passes --- */

static struct ops slow;
static void (*real_forward)(void *, float *, const void *, struct segments, const struct dims *,
                            void *);
static double took;

static void slow_forward(void *out, float *lse, const void *qkv, struct segments seg,
                         const struct dims *d, void *scratch)
{
    nap(took);
    real_forward(out, lse, qkv, seg, d, scratch);
}

static void slow_model(struct tiny_model *m, double seconds)
{
    slow = *ops_find(PRECISION_FP32, "plain");
    real_forward = slow.attention_forward;
    slow.attention_forward = slow_forward;
    took = seconds;
    tiny_model_make(m, &TINY_FAMILY[0], &slow, 1, TINY_ROWS, true);
}

/* Attention of each layer takes a second, all of them longer than the watchdog waits. */
START_TEST(a_long_pass_lives)
{
    struct tiny_model m;
    struct tiny_batch b;
    slow_model(&m, 1);
    tiny_batch_make(&b, &m.d, 0);
    watchdog_start(2.5);
    double start = clock_now();
    tiny_run(&m, PASS_F, 0, &b);
    ck_assert_double_gt(clock_now() - start, 3);
    watchdog_start(0);
    tiny_model_free(&m);
}
END_TEST

/* In a process of its own: what it says on stderr, and its exit code. */
START_TEST(a_hang_is_found)
{
    int end[2], status;
    char said[4096] = "";
    ck_assert_int_eq(pipe(end), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct tiny_model m;
        struct tiny_batch b;
        dup2(end[1], STDERR_FILENO);
        close(end[0]);
        slow_model(&m, 1000);
        tiny_batch_make(&b, &m.d, 0);
        watchdog_start(0.5);
        tiny_run(&m, PASS_F, 0, &b);
        _exit(0);
    }
    close(end[1]);
    size_t n = 0;
    for (ssize_t more; (more = read(end[0], said + n, sizeof said - 1 - n)) > 0;) n += (size_t)more;
    close(end[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_WORLD, "%s", said);
    ck_assert_msg(strstr(said, "no progress for 0.5 s"), "%s", said);
}
END_TEST

#define TESTS(X)         \
    X(attention_feeds)   \
    X(products_feed)     \
    X(a_long_pass_lives) \
    X(a_hang_is_found)

UNIT_MAIN("long pass", .timeout_s = 60)
