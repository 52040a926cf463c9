// crash time-out
#include <sys/mman.h>
#include <string.h>
int main(void)
{
    for (;;) memset(mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 1, 1 << 20);
}
