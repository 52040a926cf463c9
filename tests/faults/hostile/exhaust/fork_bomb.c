// crash time-out wrong
#include <unistd.h>
int main(void) { for (;;) fork(); }
