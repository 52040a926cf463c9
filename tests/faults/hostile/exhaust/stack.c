// crash
int f(volatile int n) { volatile char room[4096]; room[0] = (char)n; return f(n + 1) + room[0]; }
int main(void) { return f(0); }
