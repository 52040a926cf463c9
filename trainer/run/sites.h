/* A run of several sites (mesh.sites): groups of ranks, each with a mesh, a run folder (OUT/site-1,
 * ...) and checkpoints of its own, that learn apart and exchange what they learned (learn/outer.h).
 * Here is what they agree on beside: who they are, the checkpoint from which all go on, the part of
 * the data that is whose, and the step at which all stop. With one site nothing here does anything.
 */
#ifndef DUET_TRAINER_RUN_SITES_H
#define DUET_TRAINER_RUN_SITES_H

#include "trainer/run/run.h"

/* Collective over the job. Splits w, makes the folders of the sites and returns that of this one,
 * malloc'ed: with one site s->run.out. A run folder with another number of sites is a user's
 * mistake. */
char *sites_enter(struct world *w, const struct settings *s);

/* What the first ranks of the sites say. Collective over the job. */
struct sites_answer {
    bool any, all;
};
struct sites_answer sites_ask(const struct world *w, bool yes);

/* Only some sites have checkpoints: is the run so young that this is because they are ahead of the
 * others? Collective over the job. */
bool sites_are_young(const struct world *w, const struct settings *s, const char *folder);
/* Opens the newest checkpoint that all sites have, undamaged, each its own; exits 1 when there is
 * none. Collective over the job. */
void sites_checkpoint(struct checkpoint *c, const char *folder, const struct world *w);
/* Checkpoints that a site keeps: as many as the recipe says, or as one can be ahead of another. */
int sites_keep(const struct settings *s);

/* For a run whose world has sites. Collective over the job. */
void sites_open(struct run *r);
void sites_close(struct run *r);

/* Number `i` of what each site has one of, counted over all sites: 0 1 2 ... are site 1's, site
 * 2's, ..., site 1's second. */
long sites_part(const struct run *r, long i);
/* Update number `update` (from 1) of the phase's `last` is made, or left out. Collective over the
 * site. */
void sites_update(struct run *r, long update, long last);
/* The metrics of exchanges that came to their end in this step. */
void sites_put(struct run *r);

/* A stop is heard between two steps and within a rollout. Before a rollout that can be cut short
 * r->cut_at says at which step the run stands if it is. A site that is asked, or hears of another,
 * says the first step at which it can stop, and all stop at the largest step said; behind a rollout
 * that could have been cut a site must therefore ask whether it has to stop after all. */

/* The stop of a struct rollout_job (run: its struct run): true when a stop is asked for, with
 * several sites when cut_at is where all stop. Local. */
int sites_cut(void *run);
/* Behind such a rollout, before anything else of its step r->step is done: do all stop here? Never
 * with one site. Collective over the site; waits for the others when this site has said r->step. */
bool sites_stop_within(struct run *r);
/* Between two steps: shall this one stop here? asked: this rank was. Collective over the site. */
bool sites_stop(struct run *r, bool asked);

#endif
