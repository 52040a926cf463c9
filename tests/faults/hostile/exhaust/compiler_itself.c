// not_compiled time-out
#include __FILE__
#include "answer.c"
