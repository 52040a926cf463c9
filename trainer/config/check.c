/* Mistakes between settings, and what zeros stand for. Each rule is a line or two; all of them are
 * tried, so that one run names everything. A rule whose numbers another rule has refused already
 * stays silent. */
#include "trainer/config/check.h"
#include "comm/base/memory.h"
#include "trainer/config/graders.h"
#include "trainer/config/size.h"
#include "trainer/config/table.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What mpirun must be given for a mesh on this many ranks. */
static long job_ranks(const struct check *c, long ranks)
{
    return ranks * c->s->mesh.sites;
}

enum { MOST_RANKS = 1 << 20 };

/* Each size is in its range; their product may be 2^42. A dp that is left open is as small as can
 * be. */
static long ranks_asked(const struct settings *s)
{
    const struct mesh_settings *m = &s->mesh;
    return (long)(m->dp > 0 ? m->dp : m->ep) * m->pp * m->tp * m->sites;
}

int settings_ranks(const struct settings *s)
{
    long ranks = ranks_asked(s);
    return ranks <= MOST_RANKS ? (int)ranks : 1;
}

/* Checked before the mesh is formed: later sums of ranks then fit an int. */
static bool check_product(const struct check *c)
{
    const struct mesh_settings *m = &c->s->mesh;
    const struct mesh_lines *line = &c->s->lines.mesh;
    long ranks = ranks_asked(c->s);
    if (ranks <= MOST_RANKS) return true;
    complain(c, m->dp > 0 ? line->dp : line->pp,
             "a mesh of dp %d x pp %d x tp %d on %d site%s needs %ld ranks, more than the limit of "
             "%d: lower one of them",
             m->dp > 0 ? m->dp : m->ep, m->pp, m->tp, m->sites, m->sites == 1 ? "" : "s", ranks,
             MOST_RANKS);
    return false;
}

/* dp 0 becomes what the ranks allow. The message names both ways out: another number of ranks, or
 * the nearest mesh. */
static void check_ranks(const struct check *c)
{
    struct mesh_settings *m = &c->s->mesh;
    const struct mesh_lines *line = &c->s->lines.mesh;
    struct mesh_shape wish = settings_mesh(c->s);
    struct mesh_limits limits = settings_limits(c->s);
    char nearest[320], shape[64] = "";
    int each = m->pp * m->tp;
    wish.dp = 0; /* the ranks that it would take are said anyway */
    mesh_nearest(nearest, sizeof nearest, wish, c->ranks, &limits);
    const char *site = m->sites > 1 ? " of a site" : "";
    if (m->tp > 1) snprintf(shape, sizeof shape, " x tp %d", m->tp);
    if (m->dp == 0 && c->ranks % each != 0) {
        int less = c->ranks / each * each;
        complain(c, line->pp,
                 "pp %d%s does not divide %d ranks%s: start with mpirun -np %ld, or use %s", m->pp,
                 shape, c->ranks, site, job_ranks(c, less ? less : each), nearest);
    } else if (m->dp == 0) {
        m->dp = c->ranks / each;
    } else if ((long)m->dp * each != c->ranks) {
        complain(c, line->dp,
                 "a mesh%s of dp %d x pp %d%s needs %ld ranks, not %d: start with mpirun -np %ld, "
                 "or use %s",
                 site, m->dp, m->pp, shape, (long)m->dp * each, c->ranks,
                 job_ranks(c, (long)m->dp * each), nearest);
    }
}

static void check_tensor(const struct check *c)
{
    const struct model_settings *m = &c->s->model;
    int tp = c->s->mesh.tp, line = c->s->lines.mesh.tp;
    if (m->heads % tp) complain(c, line, "tp %d does not divide heads %d", tp, m->heads);
    if (m->kv_heads % tp)
        complain(c, line,
                 "tp %d does not divide kv_heads %d: every rank needs its own key/value heads", tp,
                 m->kv_heads);
    if (m->ffn % tp) complain(c, line, "tp %d does not divide ffn %d", tp, m->ffn);
}

/* After dp is known. */
static void check_expert_mesh(const struct check *c)
{
    const struct mesh_settings *m = &c->s->mesh;
    int line = c->s->lines.mesh.ep, experts = c->s->model.experts;
    if (m->ep == 1) return;
    if (experts == 0)
        complain(c, line,
                 "ep %d shares out experts, but the model has none: set model.experts, or ep to 1",
                 m->ep);
    if (experts % m->ep)
        complain(c, line,
                 "ep %d does not divide the %d experts: every rank must hold the same number",
                 m->ep, experts);
    if (m->dp > 0 && m->dp % m->ep)
        complain(c, line, "ep %d does not divide dp %d: pipelines share experts in groups of ep",
                 m->ep, m->dp);
}

/* auto is resolved here only where it has no choice; the search needs costs (trainer/schedule). */
static void check_schedule(const struct check *c)
{
    struct mesh_settings *m = &c->s->mesh;
    struct run_settings *run = &c->s->run;
    int line = c->s->lines.run.schedule;
    if (run->schedule == SCHEDULE_AUTO && m->pp == 1) run->schedule = SCHEDULE_SERIAL;
    if (run->schedule == SCHEDULE_SERIAL && m->pp > 1)
        complain(c, line,
                 "the schedule serial has one stage, but pp is %d: use 1f1b, zb1p, dualpipe or "
                 "dualpipev",
                 m->pp);
    if (run->schedule == SCHEDULE_DUALPIPE && m->pp % 2 != 0)
        complain(
            c, line, "the schedule dualpipe needs an even number of stages, but pp is %d: use %s",
            m->pp, m->pp == 1 ? "serial" : "1f1b, zb1p or dualpipev, or one stage more or fewer");
    if (run->schedule == SCHEDULE_DUALPIPE && m->directions == 1)
        complain(c, c->s->lines.mesh.directions,
                 "the schedule dualpipe runs in both directions: set directions to 2, not 1");
}

/* Each direction that answers flow in has a cache of its own. */
static void check_cache(const struct check *c)
{
    const struct mesh_settings *m = &c->s->mesh;
    int schedule = c->s->run.schedule, context = c->s->model.max_context;
    bool two = schedule == SCHEDULE_DUALPIPE ||
               (schedule == SCHEDULE_AUTO && m->pp % 2 == 0 && m->directions == 2);
    long each = (context + KV_BLOCK - 1) / KV_BLOCK + 1, least = each * KV_BLOCK * (two ? 2 : 1);
    if (m->cache_tokens > 0 && m->cache_tokens < least)
        complain(c, c->s->lines.mesh.cache_tokens,
                 "cache_tokens %d: max_context %d needs at least %ld%s, so that one longest answer "
                 "always has room: raise it, or lower model.max_context",
                 m->cache_tokens, context, least,
                 two ? " in the two directions of the pipeline" : "");
}

/* Parts that the schedule cuts the model into. */
static int chunks_of(const struct settings *s)
{
    return s->run.schedule == SCHEDULE_DUALPIPEV ? 2 * s->mesh.pp : s->mesh.pp;
}

/* Empty: split by cost, later. With auto a list may be for one chunk a stage or for two. */
static void check_split(const struct check *c)
{
    enum { MOST = 2048 }; /* chunks: twice the largest pp */
    int layers[MOST], sum = 0, empty = 0, chunks = chunks_of(c->s);
    bool either = c->s->run.schedule == SCHEDULE_AUTO; /* it may take one chunk a stage, or two */
    int n = settings_split(c->s, layers, MOST), line = c->s->lines.mesh.split;
    const char *split = c->s->mesh.split;
    for (int i = 0; i < n && i < MOST; i++) {
        sum += layers[i] < INT_MAX - sum ? layers[i] : INT_MAX - sum;
        empty += layers[i] == 0;
    }
    if (n < 0) complain(c, line, "split \"%.60s\" is not a list of numbers like 3,2,2,1", split);
    if (n > 0 && n != chunks && !(either && n == 2 * chunks))
        complain(c, line, "split %.60s has %d numbers, but pp %d makes %d chunks", split, n,
                 c->s->mesh.pp, chunks);
    if (n > 0 && sum != c->s->model.layers)
        complain(c, line, "split %.60s adds up to %d, but layers is %d", split, sum,
                 c->s->model.layers);
    if (empty > 0) complain(c, line, "split %.60s: every chunk needs at least one layer", split);
}

/* What a site has; sites themselves are checked before. */
static void check_mesh(const struct check *c)
{
    int pp = c->s->mesh.pp, layers = c->s->model.layers;
    if (pp > layers)
        complain(c, c->s->lines.mesh.pp,
                 "pp %d stages need at least one layer each, but layers is %d", pp, layers);
    check_tensor(c);
    check_ranks(c);
    check_expert_mesh(c);
    check_schedule(c);
    check_cache(c);
    if (pp <= layers && chunks_of(c->s) > layers)
        complain(c, c->s->lines.run.schedule,
                 "the schedule dualpipev has two chunks a stage, so pp %d needs at least %d "
                 "layers, but layers is %d: use dualpipe or zb1p",
                 pp, 2 * pp, layers);
    check_split(c);
}

/* Only one exchange can be in progress at a time. */
static void check_sites(const struct check *c, int ranks)
{
    const struct sites_settings *k = &c->s->sites;
    const struct sites_lines *line = &c->s->lines.sites;
    int sites = c->s->mesh.sites, less = ranks / sites * sites;
    if (sites == 1) return;
    if (ranks % sites)
        complain(c, c->s->lines.mesh.sites,
                 "sites %d does not divide %d ranks: all sites need the same number of ranks; "
                 "start with mpirun -np %d",
                 sites, ranks, less ? less : sites);
    if (k->delay >= k->every)
        complain(c, line->delay ? line->delay : line->every,
                 "delay %d is not less than every %d: an exchange must finish before the next one "
                 "starts",
                 k->delay, k->every);
}

/* The settings of files are refused with a generator, since they would silently do nothing. */
static void check_data(const struct check *c)
{
    const struct data_settings *d = &c->s->data;
    const struct data_lines *line = &c->s->lines.data;
    if (d->task == TASK_FILE && !*d->file)
        complain(c, line->task, "task: file needs a file: set data.file");
    if (d->task != TASK_FILE && *d->file)
        complain(c, line->file, "data.file is used only with task: file");
    if (d->task != TASK_FILE && *d->heldout_file)
        complain(c, line->heldout_file, "data.heldout_file is used only with task: file");
    if (d->task != TASK_FILE && strcmp(d->fields, "auto") != 0)
        complain(c, line->fields, "data.fields is used only with task: file");
    if (d->task != TASK_FILE && d->verifier != VERIFIER_EXACT)
        complain(c, line->verifier,
                 "data.verifier is used only with task: file: a generator checks its own answers");
    if (d->micro_batch_tokens < c->s->model.max_context)
        complain(c, line->micro_batch_tokens,
                 "micro_batch_tokens %d is less than max_context %d: the longest sequence would "
                 "not fit",
                 d->micro_batch_tokens, c->s->model.max_context);
}

/* Names are written in --set, in metrics and in file names. */
static void check_name(const struct check *c, int i)
{
    static const char *const allowed =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    const char *name = c->s->phases[i].name;
    int line = c->s->lines.phases[i].name;
    if (name[strspn(name, allowed)] != '\0' || strlen(name) > 40)
        complain(c, line, "phase name \"%.60s\": at most 40 letters, digits, _ and -", name);
    else if (name[strspn(name, "0123456789")] == '\0')
        complain(c, line, "phase name \"%s\" is a number: --set would read it as a position", name);
    for (int j = 0; j < i; j++)
        if (strcmp(name, c->s->phases[j].name) == 0) {
            complain(c, line, "two phases are called \"%.60s\": rename one", name);
            return;
        }
}

/* --set phases.X.kind=... may leave settings behind that the new kind does not use. */
static void check_uses(const struct check *c, int i)
{
    struct place at = settings_place(c->s, SECTION_PHASE, i);
    for (int k = 0; k < at.section->n_settings; k++) {
        const struct setting *setting = &at.section->settings[k];
        int line = *setting_line(&at, setting);
        struct origin from = {line == LINE_SET ? "--set" : c->s->file, line > 0 ? line : 0};
        if (!setting_is_default(&at, setting)) phase_uses(&at, setting, from, c->p);
    }
}

/* Settings that another one switches on, by its line or by the algorithm's name. A switch that the
 * recipe mentions was turned off on purpose, and then they may stay. */
enum { ANY_KIND = 1 << PHASE_SFT | 1 << PHASE_GRPO | 1 << PHASE_EVAL };
enum { LEARN = 1u << PHASE_SFT | 1u << PHASE_GRPO | 1u << PHASE_REWARD_MODEL };
static const struct {
    unsigned kinds; /* of phases */
    const char *name, *needs;
} switched[] = {
    {1u << PHASE_SFT, "max_new", "eval_every"},
    {LEARN, "eval_prompts", "eval_every"},
    {LEARN, "lr_final", "lr_decay"},
    {1u << PHASE_GRPO, "kl_estimator", "kl"},
    {1u << PHASE_GRPO, "gate_pos", "policy_loss"},
    {1u << PHASE_GRPO, "gate_neg", "policy_loss"},
    {1u << PHASE_GRPO, "vespo_k_pos", "policy_loss"},
    {1u << PHASE_GRPO, "vespo_lambda_pos", "policy_loss"},
    {1u << PHASE_GRPO, "vespo_k_neg", "policy_loss"},
    {1u << PHASE_GRPO, "vespo_lambda_neg", "policy_loss"},
    {1u << PHASE_GRPO, "target_language", "reward_language"},
    {1u << PHASE_GRPO, "length_shape", "reward_length"},
    {1u << PHASE_GRPO, "length_cache", "reward_length"},
    {1u << PHASE_GRPO, "repetition_ngram", "reward_repetition"},
    {ANY_KIND, "environment_turns", "environment"},
    {ANY_KIND, "environment_stop", "environment"},
    {ANY_KIND, "environment_wrap", "environment"},
    {ANY_KIND, "environment_bytes", "environment"},
};

/* A setting that its phase ignores is refused: its author expects an effect. */
static void check_switches(const struct check *c, int i)
{
    struct place at = settings_place(c->s, SECTION_PHASE, i);
    const struct phase_settings *ph = &c->s->phases[i];
    for (size_t k = 0; k < sizeof switched / sizeof *switched; k++) {
        const struct setting *setting = setting_find(at.section, switched[k].name);
        const struct setting *needs = setting_find(at.section, switched[k].needs);
        int line = *setting_line(&at, setting);
        if (!(switched[k].kinds >> ph->kind & 1u) || line == 0) continue;
        if (setting_is_default(&at, setting) || *setting_line(&at, needs) != 0) continue;
        if (!setting_is_default(&at, needs)) continue;
        complain(c, line, "%s: %s has no effect without %s: set that too, or leave it out",
                 ph->name, setting->name, needs->name);
    }
}

bool settings_can_sample(long prompts, long samples)
{
    return prompts * samples <= ANSWERS_MOST;
}

/* Settings of which 0 is a choice of its own, and what is almost 0 a mistake. */
static void check_zero_or(const struct check *c, int line, const char *phase, const char *name,
                          double value, double least, const char *zero)
{
    if (value > 0 && value < least)
        complain(c, line, "%s%s%s %g is neither 0 (%s) nor at least %g", phase, *phase ? ": " : "",
                 name, value, zero, least);
}

/* Somebody must have trained it. */
static void check_judge(const struct check *c, int i)
{
    const struct phase_settings *ph = &c->s->phases[i];
    bool any = ph->reward_model == 0;
    for (int j = 0; j < i; j++)
        any = any || (c->s->phases[j].kind == PHASE_REWARD_MODEL && c->s->phases[j].steps > 0);
    if (!any)
        complain(c, c->s->lines.phases[i].reward_model,
                 "%s: reward_model %g, but no phase of kind reward_model comes before it: put one "
                 "there, with steps",
                 ph->name, ph->reward_model);
}

/* Combinations that cannot learn, or that would silently do nothing. */
static void check_grpo(const struct check *c, const struct phase_settings *ph,
                       const struct phase_lines *line)
{
    if (ph->temperature <= 0)
        complain(
            c, line->temperature,
            "%s: temperature 0 is greedy, but grpo learns from sampled answers: set it above 0",
            ph->name);
    if (ph->samples < 2)
        complain(c, line->samples,
                 "%s: samples is %d, but a group of one answer has no advantage: use 2 or more",
                 ph->name, ph->samples);
    if (ph->dual_clip > 0 && ph->dual_clip <= 1)
        complain(c, line->dual_clip, "%s: dual_clip %g is neither 0 (off) nor above 1", ph->name,
                 ph->dual_clip);
    if (ph->dual_clip > 0 && ph->policy_loss != POLICY_CLIP && ph->policy_loss != POLICY_GSPO)
        complain(
            c, line->dual_clip,
            "%s: dual_clip bounds the losses clip and gspo, not this policy_loss: leave it out",
            ph->name);
    if (ph->length_cache > ph->max_new)
        complain(c, line->length_cache,
                 "%s: length_cache %d is longer than the longest answer, max_new %d", ph->name,
                 ph->length_cache, ph->max_new);
    if (ph->reward_math > 0 && c->s->data.task != TASK_FILE)
        complain(c, line->reward_math,
                 "%s: reward_math compares with the answers of a file: use it with task: file",
                 ph->name);
    if (ph->ref_every > 0 && ph->kl <= 0)
        complain(c, line->ref_every, "%s: ref_every has no effect without kl: no reference is kept",
                 ph->name);
    if (ph->prompts < ph->mini_batches)
        complain(c, line->mini_batches,
                 "%s: mini_batches %d split the step by prompts, but prompts is %d, so that some "
                 "would be empty: use 1 to %d",
                 ph->name, ph->mini_batches, ph->prompts, ph->prompts);
}

/* What is written, and that no two phases write the same. */
static void check_export(const struct check *c, int i)
{
    const struct phase_settings *ph = &c->s->phases[i];
    const struct phase_lines *line = &c->s->lines.phases[i];
    uint64_t bytes;
    bool gguf = ph->format == EXPORT_GGUF;
    if (!size_parse(ph->shard_size, &bytes))
        complain(c, line->shard_size, "%s: shard_size \"%.40s\" is no size like 5GB or 500MB",
                 ph->name, ph->shard_size);
    if (gguf && ph->dtype != EXPORT_AS_IMPORTED)
        complain(c, line->dtype, "%s: dtype goes with format hf; a GGUF file has type", ph->name);
    if (gguf && strcmp(ph->shard_size, "5GB") != 0)
        complain(c, line->shard_size, "%s: shard_size goes with format hf: a GGUF file is one file",
                 ph->name);
    if (!gguf && ph->type != EXPORT_TYPE_BF16)
        complain(c, line->type, "%s: type goes with format gguf; a folder has dtype", ph->name);
    for (int j = 0; j < i; j++) {
        const struct phase_settings *other = &c->s->phases[j];
        if (other->kind == PHASE_EXPORT && *ph->dir && strcmp(other->dir, ph->dir) == 0)
            complain(c, line->dir, "%s and %s write to the same place, %.200s", other->name,
                     ph->name, ph->dir);
    }
}

/* The outer optimizer of sites has one model. */
static void check_reward_model(const struct check *c, int i)
{
    if (c->s->mesh.sites > 1)
        complain(c, c->s->lines.phases[i].kind,
                 "%s: a reward model learns on one site only: set mesh.sites to 1",
                 c->s->phases[i].name);
}

/* Does the phase's kind use the setting? */
static bool uses(const struct phase_settings *ph, const char *setting)
{
    return setting_find(&sections[SECTION_PHASE], setting)->kinds >> ph->kind & 1u;
}

/* Ranges of single values were checked when they were read; here are those that depend on others.
 */
static void check_phase(const struct check *c, int i)
{
    struct phase_settings *ph = &c->s->phases[i];
    const struct phase_lines *line = &c->s->lines.phases[i];
    bool samples = uses(ph, "prompts") || (uses(ph, "eval_every") && ph->eval_every > 0);
    samples = samples && uses(ph, "max_new");
    check_name(c, i);
    check_uses(c, i);
    check_switches(c, i);
    if (ph->kind == PHASE_GRPO) check_grpo(c, ph, line);
    if (ph->kind == PHASE_GRPO) check_judge(c, i);
    if (ph->kind == PHASE_EXPORT) check_export(c, i);
    settings_check_environment(c, i);
    if (ph->kind == PHASE_REWARD_MODEL) check_reward_model(c, i);
    plugins_check(c, i);
    if (samples && ph->max_new >= c->s->model.max_context)
        complain(c, line->max_new, "%s: max_new %d leaves no room for the prompt in max_context %d",
                 ph->name, ph->max_new, c->s->model.max_context);
    if (uses(ph, "prompts") && !settings_can_sample(ph->prompts, ph->samples))
        complain(
            c, line->prompts,
            "%s: prompts %d x samples %d answers are too many for a step, which has at most %d",
            ph->name, ph->prompts, ph->samples, ANSWERS_MOST);
    check_zero_or(c, line->temperature, ph->name, "temperature", ph->temperature, TEMPERATURE_LEAST,
                  "greedy");
    check_zero_or(c, line->grad_clip, ph->name, "grad_clip", ph->grad_clip, 1e-6, "no clipping");
    if (uses(ph, "steps") && ph->steps > 0 &&
        ph->warmup > ph->steps) // no steps: the phase is left out
        complain(c, line->warmup, "%s: warmup %d is longer than the phase's %d steps", ph->name,
                 ph->warmup, ph->steps);
}

/* Weights that a recipe gives stand; the others are the preset's. */
static void take_preset(struct phase_settings *ph, const struct phase_lines *line)
{
    if (ph->reward_preset != REWARDS_COMPOSITE) return;
    if (line->reward_accuracy == 0) ph->reward_accuracy = 0.6;
    if (line->reward_consistency == 0) ph->reward_consistency = 0.3;
    if (line->reward_efficiency == 0) ph->reward_efficiency = 0.1;
}

/* Names first: messages about phases use them. */
static void check_phases(const struct check *c)
{
    struct settings *s = c->s;
    char name[64];
    if (s->n_phases == 0)
        complain(c, 0,
                 "no phases: a recipe needs at least one, for example `phases: [{kind: sft}]`");
    for (int i = 0; i < s->n_phases; i++) {
        if (*s->phases[i].name) continue;
        settings_phase_name(s, i, name, sizeof name);
        char *copy = memory_copy_text(name, "a phase's name");
        free(s->phases[i].name);
        s->phases[i].name = copy;
    }
    for (int i = 0; i < s->n_phases; i++) {
        take_preset(&s->phases[i], &s->lines.phases[i]);
        check_phase(c, i);
    }
}

/* With a mesh of too many ranks the checks that would compute with it are left out. */
bool settings_check(struct settings *s, int ranks, struct problems *p)
{
    int before = p->n;
    int each = ranks / s->mesh.sites;
    const struct check c = {s, each > 0 ? each : 1, p};
    settings_check_model(&c);
    const bool product = check_product(&c);
    check_sites(&c, product ? ranks : s->mesh.sites);
    if (product && ranks % s->mesh.sites == 0) check_mesh(&c);
    check_data(&c);
    check_phases(&c);
    check_zero_or(&c, s->lines.run.watchdog_s, "", "watchdog_s", s->run.watchdog_s, 0.1, "never");
    return p->n == before;
}
