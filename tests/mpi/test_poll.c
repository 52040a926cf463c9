/* ranks: 2 */
/* Where MPI_THREAD_MULTIPLE is not granted there is no progress thread: p2p_poll, p2p_test and
 * p2p_wait do it all, also for exchanges. MPI is started here with a lower level, so without
 * world_up and Check, whose summary line is printed by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/exchange.h"
#include "comm/p2p.h"
#include "comm/world.h"

/* A sum on channel 0 and one on channel 1, the first completed by testing it, the second by waiting
 * while the first is open. Returns how many numbers are wrong. */
static size_t exchanges(int rank)
{
    enum { N = 700000 };
    struct exchange *x = exchange_new(&transport_mpi, MPI_COMM_WORLD, 2);
    float *buf = malloc(2 * N * sizeof *buf), *scratch = malloc(4 * N * sizeof *scratch);
    size_t wrong = 0;
    for (size_t i = 0; i < 2 * N; i++) buf[i] = (float)(i % 1000) + (float)rank;
    int first = exchange_all_reduce(x, 0, buf, N, scratch);
    int second = exchange_all_reduce(x, 1, buf + N, N, scratch + 2 * N);
    exchange_wait(x, second);
    while (!exchange_test(x, first)) {
    }
    for (size_t i = 0; i < 2 * N; i++) wrong += buf[i] != 2 * (float)(i % 1000) + 1;
    exchange_free(x);
    free(buf);
    free(scratch);
    return wrong;
}

int main(int argc, char **argv)
{
    int level, rank;
    size_t n = (size_t)9 << 20, wrong = 0;
    unsigned char *in = calloc(n, 1), *out = malloc(n);
    MPI_OK(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level));
    MPI_OK(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
    memset(out, rank + 1, n);
    struct p2p *p = p2p_new(&transport_mpi, MPI_COMM_WORLD, 4);
    for (int round = 0; round < 3; round++) {
        memset(in, 0, n);
        ticket t[2];
        t[0] = p2p_recv(p, 1 - rank, round, in, n);
        t[1] = p2p_send(p, 1 - rank, round, out, n);
        if (round == 0) {
            p2p_wait(p, t[1]);
            p2p_wait(p, t[0]);
        } else if (round == 1) {
            for (int left = 2; left > 0; left--) t[p2p_wait_any(p, t, 2)] = TICKET_NONE;
        } else {
            bool done[2] = {false, false};
            while (!done[0] || !done[1]) {
                p2p_poll(p);
                for (int i = 0; i < 2; i++) done[i] = done[i] || p2p_test(p, t[i]);
            }
        }
        for (size_t j = 0; j < n; j++) wrong += in[j] != 2 - rank;
    }
    p2p_free(p);
    wrong += exchanges(rank);
    if (wrong) fprintf(stderr, "rank %d: %zu bytes differ\n", rank, wrong);
    int failed = level >= MPI_THREAD_MULTIPLE || wrong > 0;
    if (rank == 0) printf("%d%%: Checks: 1, Failures: %d, Errors: 0\n", failed ? 0 : 100, failed);
    MPI_OK(MPI_Finalize());
    free(in);
    free(out);
    return failed;
}
