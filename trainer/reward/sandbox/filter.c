/* What a program may ask of the kernel. All that is not listed fails with EPERM: programs that
 * compute do not notice. A new call of the C library that has an older way falls back on ENOSYS. */
#define _GNU_SOURCE /* memfd_create, CLONE_NEW... */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "trainer/reward/sandbox/cell.h"

static const char *const allowed[] = {
    /* memory */
    "brk", "mmap", "munmap", "mprotect", "mremap", "madvise", "membarrier",
    /* files and pipes */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "open",
    "openat", "creat", "close", "lseek", "stat", "fstat", "lstat", "newfstatat", "statx", "statfs",
    "fstatfs", "access", "faccessat", "faccessat2", "getdents64", "getdents", "getcwd", "chdir",
    "fchdir", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat",
    "link", "linkat", "symlink", "symlinkat", "readlink", "readlinkat", "chmod", "fchmod",
    "fchmodat", "umask", "utimensat", "truncate", "ftruncate", "fallocate", "fsync", "fdatasync",
    "flock", "fadvise64", "sendfile", "copy_file_range", "dup", "dup2", "dup3", "pipe", "pipe2",
    "close_range", "select", "pselect6", "poll", "ppoll", "epoll_create", "epoll_create1",
    "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2",
    /* processes and threads */
    "fork", "vfork", "execve", "exit", "exit_group", "wait4", "waitid", "kill", "tgkill", "tkill",
    "getpid", "getppid", "gettid", "getpgrp", "getpgid", "getsid", "setsid", "setpgid", "getuid",
    "geteuid", "getgid", "getegid", "getgroups", "getresuid", "getresgid", "set_tid_address",
    "set_robust_list", "get_robust_list", "rseq", "arch_prctl", "futex", "sched_yield",
    "sched_getaffinity", "sched_getparam", "sched_getscheduler", "getpriority", "uname",
    "restart_syscall",
    /* signals and time */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend",
    "rt_sigtimedwait", "sigaltstack", "pause", "alarm", "setitimer", "getitimer", "nanosleep",
    "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time", "times",
    /* limits, which only fall */
    "getrlimit", "setrlimit", "getrusage", "getrandom"};

/* Newer ways of what is listed above. */
static const char *const unknown[] = {"clone3", "openat2", "epoll_pwait2", "futex_waitv",
                                      "fchmodat2"};

static bool add(scmp_filter_ctx ctx, uint32_t action, const char *name)
{
    const int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR || call < 0)
        return true; /* not on this machine, or not known yet */
    return seccomp_rule_add(ctx, action, call, 0) == 0;
}

static bool add_when(scmp_filter_ctx ctx, int call, struct scmp_arg_cmp when)
{
    return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &when) == 0;
}

/* Threads and processes, but no namespaces; its own name and limits; questions about a terminal,
 * but no typing into one; descriptors and locks, but pipes of the usual size. What is allowed is
 * named: the kernel reads 32 bits of a command, a filter 64, so that none could be left out. */
static bool add_conditions(scmp_filter_ctx ctx)
{
    const scmp_datum_t spaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
                                CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    static const unsigned questions[] = {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX};
    static const unsigned commands[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL,
                                        F_SETFL, F_GETLK,         F_SETLK, F_SETLKW};
    bool ok = add_when(ctx, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, spaces, 0)) &&
              add_when(ctx, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0)) &&
              add_when(ctx, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_GET_NAME, 0)) &&
              add_when(ctx, SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_EQ, 0, 0));
    for (size_t i = 0; ok && i < sizeof questions / sizeof *questions; i++)
        ok = add_when(ctx, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, questions[i], 0));
    for (size_t i = 0; ok && i < sizeof commands / sizeof *commands; i++)
        ok = add_when(ctx, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, commands[i], 0));
    return ok;
}

static bool add_all(scmp_filter_ctx ctx)
{
    bool ok = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0;
    for (size_t i = 0; ok && i < sizeof allowed / sizeof *allowed; i++)
        ok = add(ctx, SCMP_ACT_ALLOW, allowed[i]);
    for (size_t i = 0; ok && i < sizeof unknown / sizeof *unknown; i++)
        ok = add(ctx, SCMP_ACT_ERRNO(ENOSYS), unknown[i]);
    return ok && add_conditions(ctx);
}

/* The library writes a filter to a file only. */
static bool export(scmp_filter_ctx ctx, struct sock_fprog *out)
{
    const int fd = memfd_create("filter", MFD_CLOEXEC);
    struct stat st;
    if (fd < 0 || seccomp_export_bpf(ctx, fd) != 0 || fstat(fd, &st) != 0) return false;
    const size_t n = (size_t)st.st_size;
    out->filter = malloc(n);
    out->len = (unsigned short)(n / sizeof *out->filter);
    const bool ok = out->filter && pread(fd, out->filter, n, 0) == (ssize_t)n;
    close(fd);
    return ok;
}

bool filter_make(struct sock_fprog *out, struct sandbox_failure *f)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    const bool ok = ctx && add_all(ctx) && export(ctx, out);
    if (ctx) seccomp_release(ctx);
    return ok || sandbox_failed(f, "the seccomp filter");
}
