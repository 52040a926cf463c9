/* delay US: what a host's iptables send to queue 0 goes on US microseconds later, in the order in
 * which it came.
 *
 * A link's latency for kernels that have no netem. Only the numbers of the packets pass through
 * here; they wait in the kernel. Writes "delaying" when it is ready; ends at SIGTERM. See
 * testbed.sh, which compiles and starts it. */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <linux/netfilter.h>
#include <libnetfilter_queue/libnetfilter_queue.h>

enum { ROOM = 65536 };

struct waiting {
    unsigned packet;
    long long due; /* ns, monotonic */
};

static struct waiting ring[ROOM];
static unsigned head, tail; /* what waits: ring[head % ROOM] to ring[(tail - 1) % ROOM] */
static long long delay_ns;

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int packet_came(struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *data,
                       void *context)
{
    (void)queue, (void)message, (void)context;
    ring[tail++ % ROOM] =
        (struct waiting){ntohl(nfq_get_msg_packet_hdr(data)->packet_id), now() + delay_ns};
    return 0;
}

static int is_due(void)
{
    return head != tail && ring[head % ROOM].due <= now();
}

static void receive(struct nfq_handle *handle, int fd)
{
    static char buffer[65536];
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
        nfq_handle_packet(handle, buffer, (int)n);
        if (is_due()) return;
    }
}

int main(int argc, char **argv)
{
    delay_ns = argc == 2 ? atoll(argv[1]) * 1000 : -1;
    if (delay_ns < 0) return fprintf(stderr, "usage: delay US\n"), 2;
    struct nfq_handle *handle = nfq_open();
    struct nfq_q_handle *queue = handle ? nfq_create_queue(handle, 0, packet_came, NULL) : NULL;
    if (!queue)
        return fprintf(stderr, "this kernel has no packet queue (NFQUEUE): %s\n", strerror(errno)),
               1;
    nfq_set_mode(queue, NFQNL_COPY_META, 0);
    nfq_set_queue_maxlen(queue, ROOM - 1);
    nfq_set_queue_flags(queue, NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN,
                        NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN);
    nfnl_rcvbufsiz(nfq_nfnlh(handle), 8 << 20);
    struct pollfd in = {nfq_fd(handle), POLLIN, 0};
    fprintf(stderr, "delaying\n");
    for (;;) {
        long long left = head == tail ? 1000000000 : ring[head % ROOM].due - now();
        struct timespec t = {left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0};
        if (ppoll(&in, 1, &t, NULL) > 0) receive(handle, in.fd);
        for (; is_due(); head++)
            nfq_set_verdict(queue, ring[head % ROOM].packet, NF_ACCEPT, 0, NULL);
    }
}
