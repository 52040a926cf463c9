/* The run folder: what in it may be written over, who writes to it, whether it is still there. */
#ifndef DUET_TRAINER_RUN_FOLDER_H
#define DUET_TRAINER_RUN_FOLDER_H

#include "trainer/run/run.h"

/* Collective over the job, before anything is touched. A file of another owner where a run would
 * write is a user's mistake (exit 2), and so is a run under way there; a folder that cannot be
 * looked at ends the job (exit 1). A folder that is there is locked. */
void folder_enter(const struct world *w, const struct settings *s);
/* Collective over the job. Makes the folder `out`, and locks it when folder_enter found none. true:
 * it was locked only now and there is a run in it, which another job has made meanwhile. */
bool folder_make_out(const struct world *w, const char *out);
/* The lock goes. Rank 0 of the job; for others nothing. */
void folder_leave(void);

/* What an earlier job left. Dies when that cannot be told. Local. */
struct folder_state {
    bool saved; /* a checkpoint, whole or not, or a file that names one */
    bool begun; /* metrics.jsonl */
};
struct folder_state folder_state(const char *folder);
/* The last step that metrics.jsonl tells of; -1: none. Local. */
long folder_last_step(const char *folder);

/* recipe.yaml, with a first line that says whose it is. Rank 0 of the site. */
void folder_write_recipe(const char *folder, const char *recipe);
/* Collective over the site: exits 2 on a rank that does not see what its rank 0 wrote. */
void folder_see(const struct world *w, const char *folder);
/* Between two steps: dies when the folder was deleted, renamed, or taken over by another job. Rank
 * 0 of the site; for others nothing. */
void folder_look(const struct run *r);

#endif
