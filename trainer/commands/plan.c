/* duet plan: a schedule drawn, proved and measured, or a recipe's memory and step predicted, before
 * anything runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/commands/commands.h"
#include "trainer/config/options.h"
#include "trainer/phases/phases.h"
#include "trainer/planner/report.h"
#include "trainer/planner/scaling.h"

struct request {
    const char *schedule, *format, *costs;
    int stages, micro_batches;
    double message;
};

static void unknown(struct problems *p, const char *option, const char *word,
                    const char *const *names, int n)
{
    char all[128] = "";
    const char *near = nearest_name(word, names, n);
    for (int i = 0; i < n; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
    }
    problems_add(p, NULL, 0, "%s %.60s is not one of %s%s%s%s", option, word, all,
                 near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static bool schedule_find(const char *name, enum plan_kind *k, struct problems *p)
{
    const char *names[PLAN_KINDS];
    if (plan_kind_find(name, k)) return true;
    for (int i = 0; i < PLAN_KINDS; i++) names[i] = plan_kind_name((enum plan_kind)i);
    unknown(p, "--schedule", name, names, PLAN_KINDS);
    return false;
}

static enum draw_format format_find(const char *name, struct problems *p)
{
    int f = 0;
    while (f < DRAW_FORMATS && strcmp(name, DRAW_FORMAT_NAMES[f]) != 0) f++;
    if (f == DRAW_FORMATS) unknown(p, "--format", name, DRAW_FORMAT_NAMES, DRAW_FORMATS);
    return (enum draw_format)f;
}

/* More would take minutes and print tens of megabytes. A search takes longer than what is
 * known by a formula. */
enum { MOST_CELLS = 1 << 20, MOST_CELLS_AUTO = 1 << 18 };

static bool can_be_drawn(const struct draw *d, struct problems *p)
{
    int most = d->kind == PLAN_AUTO ? MOST_CELLS_AUTO : MOST_CELLS;
    long cells = (long)d->stages * d->micro_batches;
    if (cells <= most) return true;
    problems_add(p, NULL, 0,
                 "--stages %d times --micro-batches %d is %ld; schedule %s is drawn and measured "
                 "up to %d: lower one of them",
                 d->stages, d->micro_batches, cells, plan_kind_name(d->kind), most);
    return false;
}

static void draw_or_say(const struct request *q, struct problems *p)
{
    struct draw_costs costs = {.message = q->message};
    struct draw d = {.stages = q->stages,
                     .micro_batches = q->micro_batches,
                     .format = format_find(q->format, p)};
    if (schedule_find(q->schedule ? q->schedule : "dualpipe", &d.kind, p) && can_be_drawn(&d, p))
        plan_possible(d.kind, q->stages, q->micro_batches, p);
    if (q->costs && draw_costs_parse(&costs, q->costs, p)) d.costs = &costs;
    if (!q->costs && q->message != 0)
        problems_add(p, NULL, 0, "--message is a time in the unit of --costs: give --costs too");
    if (options_first_rank() && p->n == 0) draw_print(stdout, &d);
}

/* What only one of the two ways to ask takes. */
static void mixed(const struct request *q, const struct recipe_job *job, struct problems *p)
{
    bool drawn = q->stages || q->micro_batches || q->costs || q->message != 0;
    bool planned = job->n_sets > 0 || job->cluster || job->hostfile || job->map || job->measure ||
                   job->ranks || job->answer || job->vocabulary || job->phase || job->propose ||
                   job->rank >= 0;
    if (job->recipe && drawn)
        problems_add(p, NULL, 0,
                     "--stages, --micro-batches, --costs and --message draw a schedule without a "
                     "recipe; with one, use its settings (--set mesh.pp=..., --cluster FILE)");
    if (!job->recipe && planned)
        problems_add(p, NULL, 0,
                     "--set, --cluster, --hostfile, --map, --measure, --ranks, --answer, "
                     "--vocabulary, --phase, --rank and "
                     "--propose need a recipe: duet plan RECIPE ...");
}

/* The picture of a rank stands alone. */
static void check_rank(const struct recipe_job *job, struct problems *p)
{
    if (job->rank >= 0 && (job->propose || job->measure || job->format != DRAW_TEXT))
        problems_add(p, NULL, 0,
                     "--rank prints the picture of one rank, as text and without times: leave out "
                     "--propose, --measure and --format");
}

/* Mistakes of the options are collected together with the recipe's. */
static void plan_or_say(const struct request *q, struct recipe_job *job, struct problems *p)
{
    char *named = recipe_cluster_file(job);
    if (!job->cluster) job->cluster = named;
    if (q->schedule)
        problems_add(p, NULL, 0, "with a recipe use --set schedule=%.40s", q->schedule);
    job->format = format_find(q->format, p);
    if (job->format == DRAW_JSON && !job->cluster && !job->hostfile)
        problems_add(p, NULL, 0,
                     "--format json of a recipe prints the map of ranks and bytes: give --hostfile "
                     "or --cluster (without a recipe it prints the schedule)");
    check_rank(job, p);
    if (job->map && !job->hostfile && !job->cluster)
        problems_add(p, NULL, 0, "--map needs hosts: give --hostfile or --cluster");
    if (job->map && job->propose)
        problems_add(p, NULL, 0,
                     "--map is for one mesh, but --propose tries several, which fill hosts in "
                     "order: leave one of them out");
    bool picture = job->format != DRAW_TEXT && job->format != DRAW_JSON;
    if (job->hostfile && !job->cluster && (job->propose || job->measure || picture))
        problems_add(p, NULL, 0,
                     "with --hostfile, --propose, --measure and timelines need --cluster FILE too: "
                     "it describes the speed of these hosts and links");
    if (options_first_rank() && p->n == 0) report_recipe(job, p);
    free(named);
}

/* Three models on more and more nodes of the cluster. */
static void scale_or_say(const char *file, struct problems *p)
{
    struct cluster c;
    cluster_defaults(&c);
    if (!file)
        problems_add(p, NULL, 0,
                     "--scaling needs --cluster FILE, for example launch/clusters/h800-2048.yaml");
    else if (cluster_load(&c, file, p) && c.between.gbs <= 0)
        problems_add(p, file, 0, "set between: {gbs: ..., us: ...}: scaling adds nodes");
    if (p->n == 0 && cluster_rate(&c, PRECISION_BF16) <= 0)
        problems_add(p, file, 0, "compute has no rate for bf16, which these models use: set one");
    if (options_first_rank() && p->n == 0) scaling_print(&c);
    cluster_free(&c);
}

static void more_help(void)
{
    puts("\nWithout a recipe:\n  duet plan --schedule dualpipe --stages 8 --micro-batches 20 "
         "[--costs 2,4,2,5]\n"
         "With one, for this machine (times are measured) or for a cluster described in a file:\n"
         "  duet plan launch/recipes/countdown.yaml --ranks 4 --propose\n"
         "  duet plan RECIPE --cluster launch/clusters/h100.yaml --vocabulary 32000 --propose\n"
         "  duet plan RECIPE --cluster launch/clusters/h800-2048.yaml --vocabulary 32000 --rank "
         "1027\n"
         "Bubble: the fraction of the pipeline's time that the average rank idles. Exposed: the "
         "fraction of the\nstep that it waits for messages, exchanges or the reduction. "
         "docs/PLANNER.md lists the assumptions.");
    cluster_help();
}

/* What was asked for, or all that is wrong with it; the exit code. */
static int answer(struct request *q, struct recipe_job *job, const struct option_list *sets,
                  bool scaling)
{
    struct problems p = {0};
    job->sets = sets->at;
    job->n_sets = sets->n;
    if (!scaling) mixed(q, job, &p);
    if (scaling)
        scale_or_say(job->cluster, &p);
    else if (job->recipe)
        plan_or_say(q, job, &p);
    else
        draw_or_say(q, &p);
    if (p.n > 0 && options_first_rank()) problems_print(&p);
    int code = p.n > 0 ? EXIT_USER : EXIT_DONE;
    problems_free(&p);
    return code;
}

/* One table for two uses; `mixed` refuses options of the one with the other. */
int cmd_plan(int argc, char **argv)
{
    struct request q = {.format = "text"};
    struct recipe_job job = {.kinds = phase_kinds, .rank = -1};
    bool scaling = false;
    struct option_list sets = {0};
    const struct option_row rows[] = {
        {"schedule", OPT_STRING, &q.schedule, 0, 0,
         "serial, 1f1b, zb1p, dualpipe (default), dualpipev, or auto: found by search, within "
         "1f1b's memory"},
        {"stages", OPT_INT, &q.stages, 1, 1024, "pipeline stages = ranks of a pipeline"},
        {"micro-batches", OPT_INT, &q.micro_batches, 1, 65536,
         "micro-batches of a step, both directions together"},
        {"costs", OPT_STRING, &q.costs, 0, 0,
         "F,B,W or F,B,W,PAIR: times of a chunk's forward, full backward, the weight part of the "
         "backward, and an overlapped pair, in any unit (default: 1,2,1 and a pair of 3 or 2)"},
        {"message", OPT_REAL, &q.message, 0, 1e12,
         "time of a message between stages, in the same unit (0)"},
        {"format", OPT_STRING, &q.format, 0, 0,
         "text, timeline (one column per unit of time), json, svg, trace (for ui.perfetto.dev)"},
        {"set", OPT_LIST, &sets, 0, 0, "recipe: KEY=VALUE overrides a setting, as in duet train"},
        {"cluster", OPT_STRING, &job.cluster, 0, 0,
         "recipe: file that describes the machines (default: the recipe's mesh.cluster, or this "
         "machine, measured)"},
        {"hostfile", OPT_STRING, &job.hostfile, 0, 0,
         "recipe: the job's hostfile: shows where ranks are and what crosses between hosts"},
        {"map", OPT_STRING, &job.map, 0, 0,
         "recipe: placement of ranks on the hosts, as in launch/run.sh: pipelines (default), "
         "experts, mirrored, or a file"},
        {"measure", OPT_FLAG, &job.measure, 0, 0,
         "recipe: measure the times of operations here, whatever the cluster file says"},
        {"ranks", OPT_INT, &job.ranks, 1, 1 << 20,
         "recipe: number of ranks (default: the cluster's devices, or the mesh)"},
        {"phase", OPT_STRING, &job.phase, 0, 0,
         "recipe: the phase whose step is predicted (default: the last that trains)"},
        {"answer", OPT_INT, &job.answer, 1, 1 << 20,
         "recipe: length of a sampled answer in tokens (default: max_new)"},
        {"vocabulary", OPT_INT, &job.vocabulary, 1, 1 << 24,
         "recipe: size of the vocabulary (default: the tokenizer's)"},
        {"rank", OPT_INT, &job.rank, 0, (1 << 20) - 1,
         "recipe: instead, the picture of this rank: groups, peers and what it sends them in a "
         "step, rows of the plan, part of a checkpoint, memory"},
        {"propose", OPT_FLAG, &job.propose, 0, 0, "recipe: all meshes and schedules, best first"},
        {"scaling", OPT_FLAG, &scaling, 0, 0,
         "predict three known models on 8 to 16384 devices like the cluster's, and what limits "
         "each"},
    };
    struct options o = {.command = "plan",
                        .summary =
                            "With a recipe: predicts the memory of every rank, the time of a step "
                            "and what it\nconsists of, and the best mesh; trains nothing. Without: "
                            "draws a pipeline schedule,\nproves it (complete, ordered, no hang) "
                            "and reports the memory it needs and how\nlong ranks idle.",
                        .usage = "[RECIPE]",
                        .more_help = more_help,
                        .rows = rows,
                        .n_rows = sizeof rows / sizeof rows[0],
                        .args = &job.recipe,
                        .max_args = 1};
    int code = options_parse(&o, argc, argv);
    if (code >= 0) return code;
    return answer(&q, &job, &sets, scaling);
}
