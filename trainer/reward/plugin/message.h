/* What plugins.c (the rank) and kind.c (its server) say to each other. */
#ifndef DUET_TRAINER_REWARD_PLUGIN_MESSAGE_H
#define DUET_TRAINER_REWARD_PLUGIN_MESSAGE_H

#include <stdint.h>

/* To configure: the texts of the setting `graders` of the phases, each ended by a 0. A grader is
 * its text's number and its own in that list. */
struct plugin_ask {
    uint32_t check; /* 1: did they start? Nothing follows */
    uint32_t list, number;
    uint32_t nothing;
    /* a line of line_write follows */
};

struct plugin_told {
    double reward, seconds;
    uint32_t lost;     /* enum grader_pool_mishap */
    uint32_t why, say; /* bytes of two texts that follow: of this verdict; for the log */
    uint32_t nothing;
};

#endif
