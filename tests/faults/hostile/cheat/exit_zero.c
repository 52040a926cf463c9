// input wrong
int main(void) { return 0; }
