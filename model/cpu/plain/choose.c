/* The router's choices, in the text that the fast tables have. */
#include "model/cpu/choose.h"
