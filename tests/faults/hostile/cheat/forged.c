// call wrong crash
#include <unistd.h>
int add(int a, int b) { for (int fd = 1; fd < 64; fd++) write(fd, "i3\n", 3); return 3; }
