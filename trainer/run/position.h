/* Where a run stands: the `state` of a checkpoint's manifest as a struct, every member read with
 * its type and range. A state that no run can have written counts as damage: the checkpoint before
 * it is used. */
#ifndef DUET_TRAINER_RUN_POSITION_H
#define DUET_TRAINER_RUN_POSITION_H

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/config/settings.h"

/* 0 where the state has no such member. */
struct position {
    long phase, phase_step, step, updates, tokens;
    long metrics_bytes, samples_bytes;                 /* of the files of these names */
    uint64_t metrics_xxh64, samples_xxh64;             /* of these bytes */
    uint64_t data_train, data_heldout;                 /* source_sum */
    uint64_t data_preferences;                         /* of both splits; 0: no file */
    uint64_t chat_template, cluster;                   /* chat_sum, struct cluster; 0: no file */
    uint64_t residuals;                                /* optimizer_layout */
    long exchange_began;                               /* struct outer */
    long skipped_in_row, skipped_since, skipped_saved; /* struct skips; 0: none were */
    long without_spread;
    bool has_skipped_saved;
    bool has_sums, has_data_train, has_template, has_cluster; /* older checkpoints have none */
};

/* false and problems naming the member, what it is and what it can be; file is for messages. Local.
 */
bool position_read(struct position *q, const json_t *state, const char *file, struct problems *p);

/* For checkpoint_open_if, with ctx NULL or the run folder whose metrics.jsonl and samples.jsonl are
 * to be cut: the state fits the recipe of its checkpoint, and the files would be cut behind a line.
 */
bool position_check(const struct checkpoint *c, void *run_folder, struct problems *p);

/* The checkpoint's recipe as it was saved; false: it has none, or one that this version cannot
 * read. Free it either way. Local. */
bool position_recipe(struct settings *then, const struct checkpoint *c);

/* 16 hexadecimal digits into a state. */
void position_put_sum(json_t *state, const char *name, uint64_t sum);

#endif
