/* grader_pool ANSWERS BYTES COMMAND...: answers a second that one worker of a grader takes. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "trainer/reward/plugin/grader_pool.h"

static long taken(struct grader_pool *p)
{
    struct grader_pool_verdict v;
    long n = 0;
    for (; grader_pool_take(p, &v); n++)
        if (v.lost != POOL_FINE) fprintf(stderr, "lost: %s\n", v.why);
    return n;
}

static double run(struct grader_pool *p, long answers, const char *text, size_t bytes)
{
    const struct line_request r = {.answer = {text, bytes}, .expected = {"7", 1}};
    struct pollfd fds[3];
    double begin = clock_now();
    for (long sent = 0, back = 0; back < answers;) {
        while (sent < answers && grader_pool_submit(p, 1, &r)) sent++;
        double wake = grader_pool_wake(p);
        poll(fds, (nfds_t)grader_pool_watch(p, fds, 3), wake < 1 ? (int)(1000 * wake) : 1000);
        grader_pool_step(p);
        back += taken(p);
    }
    return clock_now() - begin;
}

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    long answers = atol(argv[1]), bytes = atol(argv[2]);
    char *text = malloc((size_t)bytes + 1);
    if (!text) return 1;
    memset(text, 'x', (size_t)bytes);
    memcpy(text, "<answer>7</answer>", 18);
    const struct grader_pool_options o = {.name = "bench",
                                          .argv = argv + 3,
                                          .workers = 1,
                                          .retries = 2,
                                          .timeout_s = 10,
                                          .start_s = 10};
    struct grader_pool *p = grader_pool_open(&o);
    run(p, 100, text, (size_t)bytes); /* it has started */
    double seconds = run(p, answers, text, (size_t)bytes);
    printf("%.0f answers/s of %ld bytes: %s\n", (double)answers / seconds, bytes, argv[3]);
    grader_pool_close(p);
    free(text);
    return 0;
}
