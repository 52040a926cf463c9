// contained
/* A filter compares 64 bits of an argument of which the kernel reads 32. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
    int end[2];
    long command[] = {F_SETPIPE_SZ, 1L << 32 | F_SETPIPE_SZ, -1L << 32 | F_SETPIPE_SZ};
    int seen = 0;
    if (pipe(end) != 0) return 1;
    for (int i = 0; i < 3; i++) seen += syscall(SYS_fcntl, end[0], command[i], 1L << 20) > 0;
    puts(seen ? "escaped" : "contained");
}
