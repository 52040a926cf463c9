#include "trainer/run/sites.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/halt.h"
#include "trainer/checkpoint/store.h"
#include "trainer/run/folder.h"
#include "trainer/run/position.h"

/* --- folders --- */

enum { MOST_SITES = 1024 }; /* as mesh.sites */

static void site_folder(char path[PATH_BYTES], const char *out, int site)
{
    path_make(path, "%s/site-%d", out, site + 1);
}

/* Sites of the run in this folder; 0: there is none. */
static int sites_in(const char *out)
{
    char path[PATH_BYTES];
    struct failure f = {0};
    const struct folder_state state = folder_state(out);
    if (state.saved || state.begun) return 1;
    for (int site = MOST_SITES - 1; site >= 0; site--) {
        site_folder(path, out, site);
        const bool there = path_look(path, &f) != PATH_ABSENT;
        SYS_OK(!failed(&f), "check that the run folder is yours and its disk is mounted",
               "cannot look for the folders of sites: %s: %s", f.what, f.why);
        if (there) return site + 1;
    }
    return 0;
}

static void check_number(const struct world *w, const char *out, int sites)
{
    struct problems p = {0};
    int held = w->rank == 0 ? sites_in(out) : 0;
    MPI_OK(MPI_Bcast(&held, 1, MPI_INT, 0, w->comm));
    if (held > 0 && held != sites)
        problems_add(
            &p, NULL, 0,
            "%s holds a run of %d site%s, mesh.sites is %d: resume it with the same number, or "
            "start a new run from its weights with --set model.from=%s%s --set out=FOLDER",
            out, held, held == 1 ? "" : "s", sites, out, held > 1 ? "/site-1" : "");
    problems_end_if_any(&p);
}

/* The last one first: whenever a job ends, the largest number says how many there are. */
static void make_site_folders(const char *out, int sites)
{
    char path[PATH_BYTES];
    struct failure f = {0};
    for (int site = sites - 1; site >= 0; site--) {
        site_folder(path, out, site);
        SYS_OK(folder_make(path, &f), "choose another run folder: --set out=FOLDER",
               "cannot make the run folder %s: %s", path, f.why);
    }
}

/* Rank 0 makes the folders of all sites before the world is cut: afterwards nobody speaks for all.
 * */
char *sites_enter(struct world *w, const struct settings *s)
{
    int sites = s->mesh.sites;
    char path[PATH_BYTES];
    check_number(w, s->run.out, sites);
    path_make(path, "%s", s->run.out);
    if (sites > 1 && w->rank == 0) make_site_folders(s->run.out, sites);
    if (sites > 1) MPI_OK(MPI_Barrier(w->comm));
    world_split_sites(w, sites);
    if (sites > 1) site_folder(path, s->run.out, w->site);
    char *folder = memory_copy_text(path, "a path");
    if (sites > 1)
        log_info(
            "%d sites of %d ranks; this is the first, the others log to their own folders only",
            sites, w->size);
    return folder;
}

/* --- the checkpoint to resume from --- */

struct sites_answer sites_ask(const struct world *w, bool yes)
{
    int mine = yes, least, most;
    MPI_OK(MPI_Bcast(&mine, 1, MPI_INT, 0, w->comm));
    least = most = mine;
    if (w->sites > 1) {
        MPI_OK(MPI_Allreduce(&mine, &least, 1, MPI_INT, MPI_MIN, w->across));
        MPI_OK(MPI_Allreduce(&mine, &most, 1, MPI_INT, MPI_MAX, w->across));
    }
    return (struct sites_answer){most != 0, least != 0};
}

/* Among this site's committed checkpoints the newest before `below`, -1; what a run that went back
 * has left behind does not count. */
static long newest_before(const char *folder, long below)
{
    char root[PATH_BYTES];
    struct store_list l;
    struct failure f = {0};
    long newest = -1;
    path_make(root, "%s/checkpoints", folder);
    SYS_OK(store_scan(&l, root, -1, &f),
           "check that the run folder is yours and its disk is mounted",
           "cannot look for checkpoints: %s: %s", f.what, f.why);
    for (int i = 0; i < l.n; i++) {
        const struct store_entry *e = &l.entry[i];
        if (!e->old && !e->left && e->step < below && e->step > newest) newest = e->step;
    }
    store_list_free(&l);
    return newest;
}

/* The newest before `below` that all sites have, -1. */
static long newest_of_all(const struct world *w, const char *folder, long below)
{
    for (;;) {
        long mine = w->rank == 0 ? newest_before(folder, below) : 0, least, most;
        MPI_OK(MPI_Bcast(&mine, 1, MPI_LONG, 0, w->comm));
        MPI_OK(MPI_Allreduce(&mine, &least, 1, MPI_LONG, MPI_MIN, w->across));
        MPI_OK(MPI_Allreduce(&mine, &most, 1, MPI_LONG, MPI_MAX, w->across));
        if (least == most) return mine;
        below = least + 1;
    }
}

/* A site that could open its own closes it when another could not: all go back to the same step. */
static bool open_step(struct checkpoint *c, const char *folder, long step, const struct world *w)
{
    char root[PATH_BYTES], path[PATH_BYTES];
    struct problems damage = {0};
    path_make(root, "%s/checkpoints", folder);
    store_path(path, root, (struct store_entry){.step = step});
    char run[PATH_BYTES];
    path_make(run, "%s", folder);
    const struct checkpoint_check check = {position_check, run};
    bool ok = checkpoint_open_if(c, path, w, check, &damage);
    for (int i = 0; i < damage.n; i++) log_warn("damaged, not used: %s", damage.text[i]);
    problems_free(&damage);
    if (sites_ask(w, ok).all) return true;
    if (ok) checkpoint_close(c);
    return false;
}

void sites_checkpoint(struct checkpoint *c, const char *folder, const struct world *w)
{
    struct problems p = {0};
    for (long step = LONG_MAX; (step = newest_of_all(w, folder, step)) >= 0;)
        if (open_step(c, folder, step, w)) return;
    problems_add(
        &p, folder, 0,
        "no step has an undamaged checkpoint on all %d sites: put back what is missing, or start a "
        "new run from the weights of one site with --set model.from=%s --set out=FOLDER",
        w->sites, folder);
    problems_end(&p, 0, EXIT_WORLD);
}

/* A site may be an exchange and its delay ahead of another, whose newest checkpoint may be one
 * interval old and another one under way. */
bool sites_are_young(const struct world *w, const struct settings *s, const char *folder)
{
    long ahead = (long)s->sites.every + s->sites.delay + 2L * s->checkpoint.every;
    return sites_ask(w, w->rank > 0 || newest_before(folder, LONG_MAX) <= ahead).all;
}

int sites_keep(const struct settings *s)
{
    int keep = s->checkpoint.keep, every = s->checkpoint.every;
    if (s->mesh.sites == 1 || every == 0) return keep;
    int needed = (s->sites.every + s->sites.delay) / every + 3;
    return needed > keep ? needed : keep;
}

/* --- a run --- */

/* What this rank knows of a stop goes out; step: the first one at which this site can stop. */
static void say_what_is_known(struct run *r, long step)
{
    if (world_stop_requested()) halt_ask(r->halt);
    if (halt_heard(r->halt)) halt_announce(r->halt, step);
}

/* While this site waits for another, that one may be asked to stop, and wait for our answer. */
static void listen_to_others(void *ctx)
{
    struct run *r = ctx;
    if (r->halt) say_what_is_known(r, r->step + 1);
}

void sites_open(struct run *r)
{
    const struct world *w = r->world;
    outer_new(&r->outer, &r->settings, &r->optimizer, w, listen_to_others, r);
    r->halt = halt_new(w->comm, w->across);
    r->stop_at = -1;
    int keep = sites_keep(&r->settings);
    if (keep > r->settings.checkpoint.keep)
        log_info("each site keeps %d checkpoints: sites may be that far apart", keep);
}

void sites_close(struct run *r)
{
    halt_announce(r->halt, LONG_MAX); /* a rank that is asked from now on also runs to the end */
    halt_free(r->halt);
    outer_free(&r->outer);
}

long sites_part(const struct run *r, long i)
{
    return i * r->world->sites + r->world->site;
}

void sites_update(struct run *r, long update, long last)
{
    if (r->world->sites > 1) outer_tick(&r->outer, update, last);
}

void sites_put(struct run *r)
{
    if (r->world->sites == 1) return;
    struct outer_stats s = outer_take_stats(&r->outer);
    if (s.exchanges == 0) return;
    metrics_put(r->metrics, "sites/delta_norm", s.delta_norm);
    metrics_put(r->metrics, "sites/bytes", s.bytes);
    metrics_put(r->metrics, "sites/checksum", s.checksum);
    metrics_put_clock(r->metrics, "sites/exchange_seconds", s.seconds);
    metrics_put_clock(r->metrics, "sites/exposed_seconds", s.exposed);
}

/* --- a stop --- */

int sites_cut(void *run)
{
    struct run *r = run;
    if (!r->halt) return world_stop_requested();
    say_what_is_known(r, r->cut_at);
    return halt_agreed(r->halt) == r->cut_at;
}

/* Is r->step where all stop? must_agree, on any rank: it has to be known now. */
static bool stops_here(struct run *r, bool must_agree)
{
    if (r->stop_at < 0 && world_any(r->world, must_agree)) {
        halt_announce(r->halt, r->step);
        r->stop_at = halt_agree(r->halt);
    }
    return r->stop_at >= 0 && r->step >= r->stop_at;
}

bool sites_stop_within(struct run *r)
{
    return r->halt && stops_here(r, halt_announced(r->halt));
}

bool sites_stop(struct run *r, bool asked)
{
    if (!r->halt) return world_any(r->world, asked);
    if (asked) halt_ask(r->halt);
    return stops_here(r, halt_heard(r->halt));
}
