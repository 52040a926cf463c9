// contained
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
int main(void)
{
    int seen = unshare(CLONE_NEWUSER) == 0 || unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWPID) == 0 ||
               unshare(CLONE_FILES | CLONE_NEWNET) == 0 || mount("/", "/tmp", 0, MS_BIND, 0) == 0;
    puts(seen ? "escaped" : "contained");
}
