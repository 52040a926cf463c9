// not_compiled time-out
#include "/dev/zero"
int main(void) { return 0; }
