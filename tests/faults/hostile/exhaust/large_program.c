// too_much
/* It can be compiled, but there is no room for it where it would run. */
char x[6 << 20] = {1};
int main(void) { return x[5]; }
