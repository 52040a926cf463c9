/* The row of plug-in graders in the server's table of kinds. */
#ifndef DUET_TRAINER_REWARD_PLUGIN_KIND_H
#define DUET_TRAINER_REWARD_PLUGIN_KIND_H

#include "trainer/reward/server/kind.h"

extern const struct grade_kind grade_kind_plugin;

#endif
