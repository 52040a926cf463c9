// call wrong crash not_compiled
#include <stdarg.h>
int add(int a, int b) { return 0; }
int dprintf(int fd, const char *fmt, ...) { return 0; }
