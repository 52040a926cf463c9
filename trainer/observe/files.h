/* The sink that writes metrics.jsonl and samples.jsonl, and what checkpoints ask of it. */
#ifndef DUET_TRAINER_OBSERVE_FILES_H
#define DUET_TRAINER_OBSERVE_FILES_H

#include "trainer/observe/record_file.h"
#include "trainer/observe/sink.h"

struct files; /* the state of files_sink */

/* Flushes, and says what the files hold now. */
void files_position(struct files *f, long *metrics_bytes, long *samples_bytes);
void files_sums(const struct files *f, uint64_t *metrics, uint64_t *samples);

#endif
