#define _GNU_SOURCE /* close_range */
#include "trainer/reward/server/child.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "trainer/reward/server/kind.h"

/* Launchers send these to every process of a job; the rank decides what they mean, and its end is
 * the server's. */
static const int not_ours[] = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT, SIGUSR1,
                               SIGUSR2, SIGCONT, SIGTSTP, SIGPIPE, SIGALRM};
enum { NOT_OURS = sizeof not_ours / sizeof *not_ours };

void grade_signals(bool ours)
{
    void (*handler)(int) = ours ? SIG_DFL : SIG_IGN;
    for (int i = 0; i < NOT_OURS; i++) signal(not_ours[i], handler);
    signal(SIGCHLD, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void grade_child(void)
{
    grade_signals(true);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (close_range(3, ~0U, 0) != 0)
        for (int fd = 3; fd < 4096; fd++) close(fd);
}
