// contained
#include <stdio.h>
#if __has_include("/etc/passwd") || __has_include("/etc/hostname") || __has_include("/proc/self/environ")
#define SEEN 1
#else
#define SEEN 0
#endif
int main(void) { puts(SEEN ? "escaped" : "contained"); }
