/* A recipe made ready for planning: settings, lengths of what it learns from, times of operations,
 * layouts. */
#include "trainer/planner/recipe.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/settings.h"
#include "trainer/config/options.h"
#include "trainer/data/chat.h"
#include "trainer/data/vocabulary.h"
#include "trainer/planner/limits.h"

/* ---- settings ---- */

/* With another number of ranks dp is what is left after pp and tp. One that --set asks for stays,
 * and takes as many of the machines' ranks as it needs. */
bool recipe_settings(struct settings *s, const struct recipe_job *job, int ranks,
                     const char *const *more, struct problems *p)
{
    const char *sets[OPTION_LIST_MAX + 8];
    int n = 0;
    for (; n < job->n_sets; n++) sets[n] = job->sets[n];
    for (int i = 0; more && more[i]; i++) sets[n++] = more[i];
    settings_defaults(s);
    if (!hf_settings_load(s, job->recipe, "[{kind: grpo}]", sets, n, p)) return false;
    if (!hf_settings_from_there(s, p)) return false;
    bool other = ranks > 0 && settings_ranks(s) != ranks;
    bool asked = !more && s->lines.mesh.dp == LINE_SET && s->mesh.dp > 0;
    if (more || (other && !asked)) s->mesh.dp = 0; /* as many pipelines as there is room for */
    if (ranks == 0 || (asked && job->ranks == 0)) ranks = settings_ranks(s);
    return settings_check(s, ranks, p);
}

void recipe_take_cluster(const struct recipe *r, struct settings *s)
{
    if (r->job->cluster) settings_take_cluster(s, &r->cluster);
}

/* Read before the recipe is checked: its mistakes are reported when it is read again. */
char *recipe_cluster_file(const struct recipe_job *job)
{
    struct settings s;
    struct problems later = {0};
    settings_defaults(&s);
    settings_load(&s, job->recipe, job->sets, job->n_sets, &later);
    char *file = *s.mesh.cluster ? s.mesh.cluster : NULL;
    if (file) s.mesh.cluster = NULL;
    settings_free(&s);
    problems_free(&later);
    return file;
}

int recipe_ranks(const struct settings *s)
{
    return s->mesh.sites * s->mesh.dp * s->mesh.pp * s->mesh.tp;
}

static bool trains(const struct phase_kind *kinds, const struct phase_settings *k)
{
    return phase_kind_of(kinds, k)->learns && k->steps > 0;
}

/* The phase by name, or the last that trains; -1 and a problem when there is none. */
static int phase_of(const struct phase_kind *kinds, const struct settings *s, const char *name,
                    struct problems *p)
{
    const char *names[256];
    int found = -1, n = 0;
    for (int i = 0; i < s->n_phases; i++) {
        if (!trains(kinds, &s->phases[i])) continue;
        if (n < 256) names[n++] = s->phases[i].name;
        if (!name || strcmp(s->phases[i].name, name) == 0) found = i;
    }
    if (found >= 0) return found;
    const char *near = name ? nearest_name(name, names, n) : NULL;
    if (name)
        problems_add(p, NULL, 0, "no training phase is called %.60s%s%s%s", name,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    else
        problems_add(p, s->file, 0, "no training phase: there is no step to plan");
    return -1;
}

/* ---- what a step learns from ---- */

struct recipe_reading {
    const struct settings *settings;
    struct tokenizer *tokenizer;
    struct source *source, *preferences; /* preferences NULL: they are of `source` */
    struct chat *chat;
};

/* Prompt, <think>, demonstration and the end of the turn, or a conversation; the last token is only
 * predicted. 0: there is no demonstration, or none that fits. */
static int demonstration_rows(const struct recipe_reading *r, uint32_t index, struct text *text)
{
    struct problem problem;
    struct chat_tokens t = {.room = 0};
    source_problem(r->source, SPLIT_TRAIN, index, &problem);
    text->n = 0;
    text->cut = false;
    if (problem.turns > 0) {
        chat_conversation(r->chat, source_turns(r->source, &problem), problem.turns, &t);
    } else {
        if (!source_demonstrate(r->source, &problem, index, text) || text->cut) return 0;
        chat_prompt(r->chat, problem.prompt, &t);
        chat_answer(r->chat, text->at, text->n, &t);
    }
    return t.n > 0 && (int)t.n <= r->settings->model.max_context ? (int)t.n - 1 : 0;
}

/* The sides of a preference are sequences 2i and 2i + 1. */
static int preference_rows(const struct recipe_reading *r, int i, struct text *text)
{
    struct problem problem;
    struct preference to;
    struct chat_tokens t = {.room = 0};
    const uint32_t index = (uint32_t)i / 2;
    const struct source *s = r->preferences ? r->preferences : r->source;
    source_problem(s, SPLIT_TRAIN, index, &problem);
    text->n = 0;
    text->cut = false;
    if (!source_preference(s, &problem, SPLIT_TRAIN, index, (enum side)(i % 2), &to, text))
        return 0;
    chat_prompt(r->chat, problem.prompt, &t);
    chat_answer(r->chat, to.text, to.n, &t);
    return (int)t.n <= r->settings->model.max_context ? (int)t.n - 1 : 0;
}

/* Without <think>. */
static int prompt_tokens(const struct recipe_reading *r, uint32_t prompt)
{
    struct problem problem;
    struct chat_tokens t = {.room = 0};
    source_problem(r->source, SPLIT_TRAIN, prompt, &problem);
    chat_prompt(r->chat, problem.prompt, &t);
    return (int)t.n - 1;
}

/* Tokens of sequence number `i` of the phase; 0: there is none. Demonstrations are as they are,
 * answers as long as the job says. */
static int sequence_length(const struct recipe *r, const struct recipe_reading *from, int i,
                           struct text *text)
{
    if (r->size.demonstrations) return demonstration_rows(from, (uint32_t)i, text);
    if (r->size.preferences) return preference_rows(from, i, text);
    int context = r->settings.model.max_context, answer = r->job->answer;
    if (answer <= 0) answer = r->settings.phases[r->phase].max_new;
    int n = prompt_tokens(from, (uint32_t)(i / r->size.samples)) + answer;
    return n < context ? n : context - 1;
}

enum { MANY = 1024 };

static double mean_prompt(const struct recipe_reading *r)
{
    double sum = 0;
    for (int i = 0; i < MANY; i++) sum += prompt_tokens(r, (uint32_t)i);
    return sum / MANY;
}

/* The first step's sequences, and how long those of the next steps are beside them. */
static void lengths(struct recipe *r, const struct recipe_reading *from)
{
    int most = r->size.sequences / r->size.parts, more = 0;
    double sum = 0, sum_more = 0;
    r->rows = memory_take((size_t)most + 1, sizeof *r->rows, "the lengths of a step");
    struct text text = {
        .size = tokenizer_text_bytes(from->tokenizer, (size_t)r->settings.model.max_context)};
    text.at = memory_take(text.size, 1, "the lengths of a step");
    for (int i = 0; i < most || i < MANY; i++) {
        int rows = sequence_length(r, from, i, &text);
        if (rows == 0) continue;
        if (i < most) sum += r->rows[r->n++] = rows;
        sum_more += rows;
        more++;
    }
    r->typical = r->n > 0 ? sum_more / more / (sum / r->n) : 1;
    r->prompt = r->size.questions > 0 ? mean_prompt(from) : 0;
    r->forwards = (r->size.reference ? 1 : 0) + (r->size.reward ? 1 : 0);
    free(text.at);
}

/* A step's lengths come from real data: the deal of sequences to micro-batches depends on them. */
static bool open_data(struct recipe *r, struct problems *p)
{
    char *json = NULL;
    struct recipe_reading from = {.settings = &r->settings};
    from.tokenizer = vocabulary_open(&r->settings, NULL, &json, p);
    from.source =
        source_open(&r->settings, (struct source_needs){SPLITS_BOTH, 1U << SPLIT_TRAIN}, NULL, p);
    if (r->size.preferences) from.preferences = source_open_preferences(&r->settings, NULL, p);
    const struct chat_job chat = {
        .settings = &r->settings, .tokenizer = from.tokenizer, .tokenizer_json = json};
    if (from.tokenizer) from.chat = chat_new(&chat, p);
    if (from.chat && from.source) {
        int V = r->job->vocabulary > 0 ? r->job->vocabulary : tokenizer_size(from.tokenizer);
        r->dims = settings_dims(&r->settings, V);
        r->shape = shape_of_dims(&r->dims);
        lengths(r, &from);
        if (r->n == 0)
            problems_add(p, NULL, 0, "no %s fits model.max_context %d",
                         r->size.preferences ? "preference" : "demonstration",
                         r->settings.model.max_context);
    }
    source_free(from.source);
    source_free(from.preferences);
    chat_free(from.chat);
    tokenizer_free(from.tokenizer);
    free(json);
    return p->n == 0;
}

double recipe_mean_rows(const struct recipe *r)
{
    double sum = 0;
    for (int i = 0; i < r->n; i++) sum += r->rows[i];
    return sum / r->n;
}

/* ---- the machine ---- */

/* A cluster that does not keep packed copies of weights has no memory for them in its plan. */
static void choose_ops(struct recipe *r, struct problems *p)
{
    enum precision precision = (enum precision)r->settings.run.precision;
    const struct ops *ops = ops_find(precision, NULL);
    if (!ops)
        problems_add(p, NULL, 0,
                     "this machine cannot run the kernels that DUET_ISA or DUET_BF16 asks for; "
                     "make info lists what it has");
    else
        r->ops = *ops;
    if (ops && r->job->cluster && !r->cluster.top.packed)
        r->ops.linear_place = linear_place_nothing;
}

static void call(struct cluster *c, const char *name)
{
    free(c->top.name);
    c->top.name = memory_copy_text(name, "a name");
}

/* On this machine everything is measured, or asked of the system, but its links: those of shared
 * memory are assumed. */
static void this_machine(struct cluster *c, int ranks)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    call(c, "this machine");
    c->top.devices = ranks;
    c->top.cores = cores > 0 ? (int)cores : 0;
    c->top.memory_gib = (double)limits_memory(&(struct world){.local_size = ranks}) / 0x1p30;
    c->top.packed = true;
    c->inside = (struct link_settings){.gbs = 3, .us = 30};
}

static int rows_measured(const struct recipe *r)
{
    double mean = recipe_mean_rows(r), room = r->settings.data.micro_batch_tokens;
    double fit = (double)(int)(room / mean) * mean;
    return (int)(fit < mean ? mean : fit);
}

/* Times that a cluster file gives may not be shorter than the peak that it gives allows. */
static void check_given_costs(const struct recipe *r, struct problems *p)
{
    const struct cluster *c = &r->cluster;
    double flops = c->costs.layer_f > 0 ? r->settings.data.micro_batch_tokens *
                                              shape_layer_linear_flops(&r->shape, r->dims.L - 1)
                                        : 0;
    double rate = flops / (1e-3 * c->costs.layer_f), peak = cluster_peak(c, r->dims.precision);
    if (flops <= 0 || peak <= 0 || rate <= peak) return;
    problems_add(p, c->file, c->lines.costs.layer_f,
                 "costs: layer_f %g ms for the %.3g GFLOP of a layer would be %.3g TFLOP/s, more "
                 "than the peak of %.3g in compute: one of them is wrong for this recipe",
                 c->costs.layer_f, 1e-9 * flops, 1e-12 * rate, 1e-12 * peak);
}

/* In this order: times from the cluster file, times measured here, times from FLOPs and bytes. */
static void take_costs(struct recipe *r, struct problems *p)
{
    const struct ops *ops = ops_find(r->dims.precision, NULL);
    if (r->cluster.costs.layer_f > 0 && !r->job->measure) {
        check_given_costs(r, p);
        return;
    }
    if (r->job->measure || !r->job->cluster) {
        ops_set_threads(r->settings.run.threads);
        struct measure_job m = {.dims = r->dims,
                                .ops = ops,
                                .room = r->settings.data.micro_batch_tokens,
                                .rows = rows_measured(r),
                                .context = (int)recipe_mean_rows(r)};
        r->measured = measure_costs(&r->cluster, &m, p);
        if (r->measured && r->job->format == DRAW_TEXT) measure_print(stdout, &r->cluster, &m);
    } else {
        cluster_serves(&r->cluster, r->dims.precision, p);
    }
}

/* ---- the whole ---- */

static int ranks_of(const struct recipe *r)
{
    if (r->job->ranks > 0) return r->job->ranks;
    if (r->job->hostfile) return r->hosts.slots;
    return r->job->cluster ? cluster_devices(&r->cluster) : 0;
}

/* The machines are those of the hostfile; what they can do is the cluster file's word. */
static void hosts_join(struct recipe *r, struct problems *p)
{
    struct cluster *c = &r->cluster;
    int least = r->hosts.at[0].slots;
    for (int i = 0; i < r->hosts.n; i++)
        if (r->hosts.at[i].slots < least) least = r->hosts.at[i].slots;
    c->top.nodes = r->hosts.n;
    c->top.devices = least;
    if (r->job->cluster && p->n == 0) cluster_check(c, p);
    if (!r->job->cluster) call(c, r->job->hostfile);
}

/* Each of these adds all that is wrong with what it reads; the next one needs what it made. */

static bool open_cluster(struct recipe *r, struct problems *p)
{
    const struct recipe_job *job = r->job;
    cluster_defaults(&r->cluster);
    if (job->cluster) cluster_load(&r->cluster, job->cluster, p);
    if (job->hostfile && hosts_load(&r->hosts, job->hostfile, p)) hosts_join(r, p);
    return p->n == 0;
}

/* --ranks may use a part of the hosts or of the cluster, not more. */
static void check_ranks(const struct recipe *r, struct problems *p)
{
    const struct recipe_job *job = r->job;
    const struct cluster *c = &r->cluster;
    if (job->hostfile && job->ranks > r->hosts.slots)
        problems_add(p, job->hostfile, 0, "--ranks %d, but its %d hosts have only %d slots",
                     job->ranks, r->hosts.n, r->hosts.slots);
    else if (job->cluster && job->ranks > cluster_devices(c))
        problems_add(p, job->cluster, c->lines.top.devices,
                     "--ranks %d, but nodes %d x devices %d is only %d", job->ranks, c->top.nodes,
                     c->top.devices, cluster_devices(c));
}

/* A dp that --set asks for may need more ranks than the machines have. */
static void check_asked(const struct recipe *r, struct problems *p)
{
    const struct recipe_job *job = r->job;
    int need = recipe_ranks(&r->settings), have = ranks_of(r);
    if (p->n > 0 || have == 0 || need <= have) return;
    problems_add(p, job->hostfile ? job->hostfile : job->cluster, 0,
                 "mesh.dp %d, as --set asks, makes %d ranks, but there are only %d: lower it, or "
                 "leave it out (then it follows from their number)",
                 r->settings.mesh.dp, need, have);
}

static bool open_settings(struct recipe *r, struct problems *p)
{
    check_ranks(r, p);
    recipe_settings(&r->settings, r->job, ranks_of(r), NULL, p);
    check_asked(r, p);
    return p->n == 0;
}

static bool open_phase(struct recipe *r, struct problems *p)
{
    r->phase = phase_of(r->job->kinds, &r->settings, r->job->phase, p);
    if (p->n == 0) {
        const struct phase_settings *k = &r->settings.phases[r->phase];
        r->size = phase_kind_of(r->job->kinds, k)->size(k);
    }
    choose_ops(r, p);
    return p->n == 0;
}

/* The hosts that ranks are put on: the hostfile's, the cluster's nodes, or this machine. */
static bool open_hosts(struct recipe *r, struct problems *p)
{
    const struct recipe_job *job = r->job;
    const struct mesh_settings *mesh = &r->settings.mesh;
    if (!job->cluster && !job->hostfile) this_machine(&r->cluster, recipe_ranks(&r->settings));
    if (!job->hostfile) hosts_of_cluster(&r->hosts, &r->cluster);
    if (job->map) hosts_map(&r->hosts, job->map, mesh->dp * mesh->sites, mesh->pp, mesh->tp, p);
    return p->n == 0;
}

/* In this order since each needs the one before; mistakes of one are reported before the next is
 * tried. */
bool recipe_open(struct recipe *r, const struct recipe_job *job, struct problems *p)
{
    bool times = job->cluster || !job->hostfile;
    *r = (struct recipe){.job = job, .timed = times && job->rank < 0};
    r->dealt = memory_take(1, sizeof *r->dealt, "the deals of a step");
    if (!open_cluster(r, p) || !open_settings(r, p) || !open_phase(r, p) || !open_data(r, p))
        return false;
    if (!open_hosts(r, p)) return false;
    if (r->timed) take_costs(r, p);
    if (p->n > 0) return false;
    recipe_take_cluster(r, &r->settings);
    schedule_choose(&r->settings, &r->dims, NULL);
    return true;
}

static void forget_deals(struct recipe *r)
{
    for (struct dealt *e = r->dealt ? *r->dealt : NULL, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    free(r->dealt);
}

void recipe_close(struct recipe *r)
{
    forget_deals(r);
    free(r->rows);
    hosts_free(&r->hosts);
    settings_free(&r->settings);
    cluster_free(&r->cluster);
}
