/* New namespaces, and who is who in them. */
#define _GNU_SOURCE /* syscall */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "trainer/reward/sandbox/cell.h"

bool sandbox_failed(struct sandbox_failure *f, const char *what)
{
    if (f->error == 0) {
        f->error = errno ? errno : EPERM;
        snprintf(f->what, sizeof f->what, "%s", what);
    }
    return false;
}

pid_t sandbox_fork(int namespaces)
{
    return (pid_t)syscall(SYS_clone, (unsigned long)(namespaces | SIGCHLD), NULL, NULL, NULL, NULL);
}

static bool write_to(int proc, const char *process, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", process, name);
    const int fd = openat(proc, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    const int error = errno;
    close(fd);
    errno = error;
    return ok;
}

/* Without privileges a group may be mapped only where groups can no longer be set. */
bool sandbox_map_user(int proc, const char *process, unsigned outer_user, unsigned outer_group)
{
    char user[48], group[48];
    snprintf(user, sizeof user, "%d %u 1", NOBODY, outer_user);
    snprintf(group, sizeof group, "%d %u 1", NOBODY, outer_group);
    return write_to(proc, process, "setgroups", "deny") &&
           write_to(proc, process, "gid_map", group) && write_to(proc, process, "uid_map", user);
}
