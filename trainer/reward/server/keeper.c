/* The keeper starts the server again when it has died: the rank cannot, forking a process in which
 * MPI is up is not safe. It does nothing else, so that nothing can kill it but the rank's end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "trainer/reward/server/child.h"
#include "trainer/reward/server/packet.h"
#include "trainer/reward/server/serve.h"

/* A parent that has died before the kernel was asked to tell is seen by its number. */
static void die_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
}

/* What the rank reads and prints is not the server's. */
static void leave_streams(void)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return;
    dup2(null, 0);
    dup2(null, 1);
    if (null > 2) close(null);
}

static void say_restarted(int fd)
{
    const struct packet_head head = {.what = PACKET_RESTARTED};
    while (send(fd, &head, sizeof head, MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
}

/* A server that dies at once, again and again, is given up. */
_Noreturn void keep_server(int fd, pid_t rank)
{
    enum { TRIES = 20 };
    die_with(rank);
    grade_signals(false);
    leave_streams();
    const pid_t keeper = getpid();
    for (int i = 0; i < TRIES; i++) {
        const pid_t server = fork();
        if (server == 0) {
            die_with(keeper);
            serve(fd);
        }
        int status = 0;
        while (server > 0 && waitpid(server, &status, 0) < 0 && errno == EINTR) continue;
        if (server > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) _exit(0);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        say_restarted(fd);
    }
    _exit(1);
}
