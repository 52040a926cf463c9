/* The rows of plug-in graders in the table of rewards: of a phase's setting `graders` the n-th has
 * row GRADER_PLUGIN + n. */
#ifndef DUET_TRAINER_REWARD_PLUGIN_ROWS_H
#define DUET_TRAINER_REWARD_PLUGIN_ROWS_H

#include "trainer/config/graders.h"
#include "trainer/reward/grader.h"

extern const struct grader grader_plugins[PLUGINS_MOST];

#endif
