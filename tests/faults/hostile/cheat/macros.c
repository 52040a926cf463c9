// call crash wrong not_compiled
#define dprintf(...) 0
#define DUET_SAY(x) 0
#define _Generic(...) 1
int add(int a, int b) { return 0; }
