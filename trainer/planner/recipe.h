/* A recipe made ready for planning: its settings, the lengths of what a step learns from, the
 * machines. What is printed of it: report.h. */
#ifndef DUET_TRAINER_PLANNER_RECIPE_H
#define DUET_TRAINER_PLANNER_RECIPE_H

#include "trainer/planner/draw.h"
#include "trainer/planner/hosts.h"
#include "trainer/planner/measure.h"
#include "trainer/planner/memory.h"
#include "trainer/planner/predict.h"

/* What is asked for. */
struct recipe_job {
    const struct phase_kind *kinds;
    const char *recipe;
    const char *const *sets; /* --set assignments */
    int n_sets;
    const char *cluster;  /* file; NULL: this machine. By default the recipe's mesh.cluster */
    const char *hostfile; /* file; NULL: the cluster's nodes, or this machine */
    const char *map;      /* placement of ranks on the hosts (hosts_map); NULL: in order */
    bool measure;         /* take the times of operations here, whatever the cluster */
    int ranks;            /* of all sites; 0: the recipe's mesh, or all devices of the cluster */
    int answer;           /* tokens of a sampled answer; 0: as many as max_new allows */
    int vocabulary;       /* 0: the tokenizer's */
    const char *phase;    /* whose step; NULL: the last one that trains */
    bool propose;
    int rank;                /* of all sites: its picture is printed instead; -1: none */
    enum draw_format format; /* text, svg, trace; json: the map of ranks and bytes */
};

/* How many micro-batches the sequences of a step make, of all pipelines: what recipe_layout
 * remembers. */
struct dealt {
    struct deal_shape shape;
    int bins;
    struct dealt *next;
};

/* The recipe on some mesh, and what its steps learn from. */
struct recipe {
    const struct recipe_job *job;
    struct cluster cluster;
    struct hosts hosts;
    struct settings settings; /* checked */
    int phase;
    struct phase_size size; /* of its steps */
    struct dims dims;
    struct shape shape;
    struct ops ops;       /* of which linear_place may be another, see cluster packed */
    int *rows, n;         /* lengths of the sequences of an optimizer step */
    struct dealt **dealt; /* what has been dealt of them: recipe_layout remembers it */
    double typical;       /* mean length over many steps, as a part of theirs */
    double prompt;        /* tokens of a question, mean over many */
    int forwards;
    bool measured;
    bool timed; /* times are known: of hosts without a cluster file they are not, and the picture of
                   a rank has none */
};

/* The cluster file that the recipe names with the job's assignments, malloc'ed; NULL: none. What is
 * wrong with the recipe is left to recipe_open. */
char *recipe_cluster_file(const struct recipe_job *job);
/* Reads what the job names. Every mistake goes to p; false: there was one. Either way recipe_close.
 * Local, no MPI; measured times of a text report are printed to stdout as they are taken. */
bool recipe_open(struct recipe *r, const struct recipe_job *job, struct problems *p);
void recipe_close(struct recipe *r);

/* Settings with more assignments (NULL-terminated, at most seven; or NULL), say of a mesh: read
 * anew, so that they are checked as training would. false: reasons in p. */
bool recipe_settings(struct settings *s, const struct recipe_job *job, int ranks,
                     const char *const *more, struct problems *p);
/* The costs of a cluster file, by which the recipe is timed, to settings of recipe_settings:
 * schedule auto then searches with them. */
void recipe_take_cluster(const struct recipe *r, struct settings *s);
/* Tokens of a sequence of the step, on average. */
double recipe_mean_rows(const struct recipe *r);
/* One pipeline's micro-batches of a step on that mesh, as training deals them, and the plan that it
 * then runs: plan, which is made here (plan_free). first: layers of the chunks, by the caller's
 * stage. */
struct layout recipe_layout(const struct recipe *r, const struct settings *s, struct plan *plan);
/* What its reductions take on the hosts, into the layout. */
void recipe_reduction(const struct recipe *r, const struct settings *s, struct layout *l);
/* The ranks of all sites together. */
int recipe_ranks(const struct settings *s);
/* What sites send each other every sites.every steps of `step` seconds: a site, and the rank of it
 * that sends most. Seconds are 0 where nothing is timed; exposed: a step, of what `sites.delay`
 * steps do not hide. */
struct site_exchange {
    double bytes, most, seconds, exposed;
};
struct site_exchange recipe_exchange(const struct recipe *r, double step);
/* The memory of the rank that needs most. */
struct memory recipe_memory(const struct recipe *r, const struct settings *s);

#endif
