/* ranks: 16 */
/* Many ranks on few cores: a rank that waits for a message, or for an exchange while the pipeline's
 * receives are posted, or for all to agree, uses less than a twentieth of a core. */
#include "tests/support/check_mpi.h"

#include <time.h>

#include "comm/base/log.h"
#include "comm/exchange.h"
#include "comm/p2p.h"

static const double seconds = 0.6;

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void away(void)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

/* Share of a core since `cpu` and `start`, of the rank that used most (rank 0 was away). */
static double share_since(double start, double cpu)
{
    double share = (cpu_now() - cpu) / (clock_now() - start), all;
    MPI_OK(MPI_Allreduce(&share, &all, 1, MPI_DOUBLE, MPI_MAX, ck_world.comm));
    ck_all(true, "together");
    return all;
}

enum { LARGE = 1 << 20, MESSAGE = 0, EXCHANGE, AGREEMENT, KINDS };

static void measure(struct p2p *p, struct exchange *x, char *in, const char *out,
                    double share[KINDS])
{
    static float buf[1000], scratch[16 * 1000];
    ticket t[16] = {0};
    int n = ck_world.size, before = (ck_world.rank + n - 1) % n;

    double start = clock_now(), cpu = cpu_now();
    if (ck_world.rank == 0) {
        away();
        for (int r = 1; r < n; r++) t[r] = p2p_send(p, r, 1, out, LARGE);
        for (int r = 1; r < n; r++) p2p_wait(p, t[r]);
    } else {
        p2p_wait(p, p2p_recv(p, 0, 1, in, LARGE));
    }
    share[MESSAGE] = share_since(start, cpu);

    ticket r = p2p_recv(p, before, 2, in, LARGE); /* open meanwhile, as in a pipeline */
    start = clock_now(), cpu = cpu_now();
    if (ck_world.rank == 0) away();
    exchange_wait(x, exchange_all_reduce(x, 0, buf, 1000, scratch));
    share[EXCHANGE] = share_since(start, cpu);

    start = clock_now(), cpu = cpu_now();
    if (ck_world.rank == 0) away();
    world_all(&ck_world, true);
    share[AGREEMENT] = share_since(start, cpu);
    p2p_wait(p, p2p_send(p, (ck_world.rank + 1) % n, 2, out, LARGE));
    p2p_wait(p, r);
}

/* The quietest of three tries. */
START_TEST(a_blocked_rank_sleeps)
{
    static const char *const names[KINDS] = {"a message", "an exchange", "agreement"};
    struct p2p *p = p2p_new(&transport_mpi, ck_world.comm, 20);
    struct exchange *x = exchange_new(&transport_mpi, ck_world.comm, 2);
    char *in = malloc(LARGE), *out = calloc(LARGE, 1);
    double best[KINDS] = {1, 1, 1}, worst = 1;
    for (int i = 0; i < 3 && worst >= 0.05; i++) {
        double share[KINDS];
        measure(p, x, in, out, share);
        worst = 0;
        for (int k = 0; k < KINDS; k++) {
            if (share[k] < best[k]) best[k] = share[k];
            if (best[k] > worst) worst = best[k];
        }
    }
    for (int k = 0; k < KINDS; k++) {
        if (ck_world.rank == 0)
            fprintf(stderr, "%s: at most %.1f %% of a core\n", names[k], 100 * best[k]);
        ck_all(best[k] < 0.05, "%s: %.1f %% of a core", names[k], 100 * best[k]);
    }
    free(in);
    free(out);
    exchange_free(x);
    p2p_free(p);
}
END_TEST

#define TESTS(X) X(a_blocked_rank_sleeps)

MPI_MAIN("blocked")
