/* The root that programs see. */
#define _GNU_SOURCE /* MS_REC, syscall */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "trainer/reward/sandbox/cell.h"

#define ROOT "/tmp" /* where it is put together; the machine's /tmp stays what it is outside */

/* Everything below it, where the kernel can (Linux 5.12); else itself, with the flags that a user
 * namespace may not take away. */
static bool make_read_only(const char *path)
{
    const struct {
        uint64_t set, clear, propagation, user;
    } read_only = {.set = MS_RDONLY | MS_NOSUID | MS_NODEV};
    enum { RECURSIVE = 0x8000 };
    if (syscall(SYS_mount_setattr, AT_FDCWD, path, RECURSIVE, &read_only, sizeof read_only) == 0)
        return true;
    struct statvfs had;
    if (errno != ENOSYS || statvfs(path, &had) != 0) return false;
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
    if (had.f_flag & ST_NOEXEC) flags |= MS_NOEXEC;
    if (had.f_flag & ST_NOATIME) flags |= MS_NOATIME;
    if (had.f_flag & ST_RELATIME) flags |= MS_RELATIME;
    return mount(NULL, path, NULL, flags, NULL) == 0;
}

static bool bind_folder(const char *from, const char *to)
{
    return mkdir(to, 0755) == 0 && mount(from, to, NULL, MS_BIND | MS_REC, NULL) == 0 &&
           make_read_only(to);
}

/* /lib, /bin, ...: links into /usr on most systems, folders on some, absent on others. */
static bool bring_alias(const char *name)
{
    char from[64], to[64], target[PATH_MAX];
    snprintf(from, sizeof from, "/%s", name);
    snprintf(to, sizeof to, ROOT "/%s", name);
    struct stat st;
    if (lstat(from, &st) != 0) return true;
    if (!S_ISLNK(st.st_mode)) return bind_folder(from, to);
    const ssize_t n = readlink(from, target, sizeof target - 1);
    if (n < 0) return false;
    target[n] = '\0';
    return symlink(target, to) == 0;
}

static bool bring_device(const char *name)
{
    char from[64], to[64];
    snprintf(from, sizeof from, "/dev/%s", name);
    snprintf(to, sizeof to, ROOT "/dev/%s", name);
    const int fd = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    close(fd);
    return mount(from, to, NULL, MS_BIND, NULL) == 0;
}

static bool bring_all(struct sandbox_failure *f)
{
    static const char *const aliases[] = {"lib", "lib32", "lib64", "libx32", "bin", "sbin"};
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom"};
    if (!bind_folder("/usr", ROOT "/usr")) return sandbox_failed(f, "/usr, read-only");
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (!bring_alias(aliases[i])) return sandbox_failed(f, "/lib, /bin, read-only");
    if (mkdir(ROOT "/dev", 0755) != 0) return sandbox_failed(f, "/dev");
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (!bring_device(devices[i])) return sandbox_failed(f, "a device of /dev");
    return mkdir(ROOT "/tmp", 0755) == 0 || sandbox_failed(f, "/tmp");
}

bool root_enter(struct sandbox_failure *f)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return sandbox_failed(f, "mounts of its own");
    if (mount("tmpfs", ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755") != 0)
        return sandbox_failed(f, "a tmpfs of its own");
    if (!bring_all(f)) return false;
    /* The old root comes to lie over the new one, and is taken away. */
    if (chdir(ROOT) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
        return sandbox_failed(f, "a root of its own (pivot_root)");
    const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
    return mount(NULL, "/", NULL, flags, NULL) == 0 || sandbox_failed(f, "a read-only root");
}
