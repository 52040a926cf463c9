// call wrong crash not_compiled
int add(int a, int b) { return 0; }
int answer_main(void) { return 0; }
#define main real_main
