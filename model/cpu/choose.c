/* The router's choices. */
#include "model/cpu/choose.h"
