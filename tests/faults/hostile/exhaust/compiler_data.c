// not_compiled too_much
char x[1u << 30] = {1};
int main(void) { return x[5]; }
