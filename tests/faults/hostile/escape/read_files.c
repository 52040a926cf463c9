// contained
#include <fcntl.h>
#include <stdio.h>
int main(void)
{
    static const char *const paths[] = {"/etc/passwd", "/proc/self/maps", "/proc/1/environ", "/root", "/work", "/dev/shm", "/sys"};
    int seen = 0;
    for (int i = 0; i < 7; i++) seen += open(paths[i], O_RDONLY) >= 0;
    puts(seen ? "escaped" : "contained");
}
