// contained
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>
int main(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {main, 1};
    int seen = ptrace(PTRACE_ATTACH, 1, 0, 0) == 0 || ptrace(PTRACE_ATTACH, getppid(), 0, 0) == 0 ||
               ptrace(PTRACE_TRACEME, 0, 0, 0) == 0 || process_vm_readv(1, &here, 1, &there, 1, 0) == 1;
    puts(seen ? "escaped" : "contained");
}
