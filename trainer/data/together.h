/* Who opens the same problems at the same time, each reading a part, and where what they find in
 * large files is kept for the next start. */
#ifndef DUET_TRAINER_DATA_TOGETHER_H
#define DUET_TRAINER_DATA_TOGETHER_H

#include "comm/world.h"

struct together {
    const struct world *world; /* whose ranks call alike */
    const char *index;         /* a file that all of them see; NULL: it is not kept */
};

#endif
