/* Who opens the same problems at the same time, each reading a part. */
#ifndef DUET_TRAINER_DATA_TOGETHER_H
#define DUET_TRAINER_DATA_TOGETHER_H

#include "comm/world.h"

struct together {
    const struct world *world; /* whose ranks call alike */
};

#endif
