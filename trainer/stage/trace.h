/* One step's pipeline as it ran, below what the simulator makes of the times its passes took:
 * trace.json (Perfetto) and trace.svg in the run folder. */
#ifndef DUET_TRAINER_STAGE_TRACE_H
#define DUET_TRAINER_STAGE_TRACE_H

#include "trainer/stage/stage.h"

/* As stage_run of a training step, and writes the files: of the first pipeline, by its first rank,
 * clocks of other hosts put right. Allocates, unlike other steps. Collective over the pipeline. */
void trace_run(struct stage *s, int micro_batches, struct engine_times *t, const char *folder);

#endif
