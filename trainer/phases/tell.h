/* What every step that learned tells, whatever its kind: metrics and the live line. */
#ifndef DUET_TRAINER_PHASES_TELL_H
#define DUET_TRAINER_PHASES_TELL_H

#include "trainer/run/run.h"

/* Into the open line of metrics; `seconds`: the whole step's. */
void step_tell(struct run *r, const struct learned *l, double seconds);
/* The live line: phase, step and time left are filled in here. */
void step_progress(struct run *r, const struct phase_settings *k, struct progress p);

#endif
