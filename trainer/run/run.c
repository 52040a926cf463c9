/* Putting a run together and taking it apart; texts as tokens. What a checkpoint keeps of it:
 * state.c. */
#include "trainer/run/run.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/base/startup.h"
#include "model/ops_timed.h"
#include "trainer/run/alike.h"
#include "trainer/run/backend.h"
#include "trainer/data/model_template.h"
#include "trainer/data/screen.h"
#include "trainer/data/vocabulary.h"
#include "trainer/run/episodes.h"
#include "trainer/run/kernels.h"
#include "trainer/run/preferences.h"
#include "trainer/planner/limits.h"
#include "trainer/reward/math/math.h"
#include "trainer/reward/plugin/plugins.h"
#include "trainer/run/sites.h"

/* --- putting together --- */

/* Who neither asks nor learns needs no template: the model's own may be beyond this program. */
static bool speaks(const struct run *r, const struct extent *e)
{
    return e->sampling || e->data.read != SPLITS_NONE || !model_template_wanted(&r->settings);
}

static void open_tokenizer(struct run *r, const char *given, const struct extent *e,
                           struct problems *p)
{
    r->tokenizer = vocabulary_open(&r->settings, given, &r->tokenizer_json, p);
    if (!r->tokenizer || !speaks(r, e)) return;
    const struct chat_job job = {
        .settings = &r->settings, .tokenizer = r->tokenizer, .tokenizer_json = r->tokenizer_json};
    r->chat = chat_new(&job, p);
    if (r->chat) r->ends = chat_ends(r->chat);
}

/* The cache is named only where answers may have to wait for it. */
static void print_memory(const struct run *r)
{
    double mib = 0x1p20;
    char cache[128] = "";
    struct rollout_cache c = rollout_cache(&r->stage);
    if (r->rollout && c.blocks < c.full)
        snprintf(cache, sizeof cache,
                 "; the cache has room for %ld tokens a pipeline, %ld answers of max_context",
                 rollout_cache_tokens(&c), rollout_fit(&c, 1, r->settings.model.max_context, 1));
    log_info(
        "memory of rank 0: model, gradients, activations %.1f MiB, optimizer %.1f MiB, rollout "
        "and cache %.1f MiB, step buffers %.1f MiB%s",
        (double)stage_bytes(&r->stage) / mib,
        (double)(r->optimizer.arena.size + r->outer.arena.size) / mib,
        r->rollout ? (double)rollout_bytes(r->rollout) / mib : 0,
        (double)(r->arena.size + r->learner.arena.size) / mib, cache);
}

/* Only now the vocabulary is known. */
static void check_vocabulary(const struct run *r, struct problems *p)
{
    struct mesh_limits limits = settings_limits(&r->settings);
    if (!r->tokenizer) return;
    limits.vocabulary = vocabulary_rows(&r->settings, r->tokenizer);
    mesh_check(stage_mesh(&r->settings), r->world->size, &limits, p);
}

/* A completion may be of any tokens, max_context of them, however long their texts are. */
static void size_text(struct run *r, struct problems *p)
{
    const size_t most = (size_t)1 << 30, context = (size_t)r->settings.model.max_context;
    size_t bytes = r->tokenizer ? tokenizer_text_bytes(r->tokenizer, context) : 0;
    r->text_size = bytes <= most ? bytes : 0;
    if (bytes > most)
        problems_add(
            p, NULL, 0,
            "the text of model.max_context %d tokens may take %zu MiB, since the tokenizer has "
            "tokens of up to %zu bytes: use one with shorter tokens, or lower model.max_context",
            r->settings.model.max_context, bytes >> 20, bytes / context);
}

/* What a rank keeps for sums follows from who is on which host. Every rank of this site. */
static int *hosts_here(const struct world *w)
{
    int *host = memory_take((size_t)w->size, sizeof *host, "the hosts of a job");
    for (int i = 0; i < w->size; i++) host[i] = w->first + i;
    grad_reduce_hosts(host, w->size);
    return host;
}

/* Settles schedule auto: of the placements, those that every rank has the memory for. */
static void choose_schedule(struct run *r, const struct dims *dims, struct extent e)
{
    bool fits[PLACES];
    struct settings *s = &r->settings;
    size_t limit = backend_memory(&r->settings, r->world, r->transport);
    if (s->run.schedule != SCHEDULE_AUTO) return;
    int *host = hosts_here(r->world);
    struct memory_job job = {s, r->ops, dims->V, e, host};
    for (int place = 0; place < PLACES; place++) {
        struct memory m;
        bool can = schedule_can(s, (enum plan_place)place);
        s->auto_place = place;
        struct mesh_at at = {.p = r->world->rank / s->mesh.tp % s->mesh.pp};
        fits[place] = world_all(r->world, can && limits_measure(&m, &job, at, limit));
    }
    free(host);
    s->auto_place = PLACE_LINE;
    schedule_choose(s, dims, fits);
}

/* A checksum of what the screening of problems follows from, beside the recipe; 0: they cannot be
 * looked at. */
static uint64_t screened_sum(const struct run *r)
{
    if (!r->source || r->text_size == 0) return 0;
    const uint64_t of[] = {source_bytes_sum(r->source), r->chat ? chat_sum(r->chat) : 0,
                           checksum(r->tokenizer_json, strlen(r->tokenizer_json), 0)};
    return checksum(of, sizeof of, 0) | 1;
}

/* Does anything that this run does grade a file's answers by value? */
static bool by_value(const struct run *r)
{
    const struct settings *s = &r->settings;
    bool any = s->data.verifier == VERIFIER_MATH;
    for (int i = 0; i < s->n_phases; i++) any = any || s->phases[i].reward_math > 0;
    return any && !source_task(r->source);
}

static const char *ungradable(const struct problem *p)
{
    return math_unreadable((struct span){p->answer, strlen(p->answer)});
}

/* Problems that the model could not read, or never solve, are told before anything is made. Ranks
 * that have read the same look at a part each; others will be told that they have not. */
static void screen(struct run *r, const struct extent *e, struct problems *p)
{
    const bool shared = alike_everywhere(r->world, screened_sum(r)) && r->world->size > 1;
    if (!r->source || r->text_size == 0) return;
    const struct screen how = {.tokenizer = r->tokenizer,
                               .chat = r->chat,
                               .max_context = r->settings.model.max_context,
                               .leave_out = r->settings.data.leave_out,
                               .splits = e->data.read,
                               .demonstrations = e->demonstrations,
                               .heldout = e->heldout,
                               .max_new = {e->longest[SPLIT_TRAIN], e->longest[SPLIT_HELDOUT]},
                               .ungradable = by_value(r) ? ungradable : NULL,
                               .tests_for = e->tests_for,
                               .language_for = e->language_for,
                               .speaks = r->world->first + r->world->rank == 0,
                               .world = shared ? r->world : NULL};
    source_screen(r->source, &how, p);
}

/* Before anything is allocated (P7). Hosts may differ in what they have. */
static void refuse_too_large(struct run *r, const struct dims *dims, struct extent e)
{
    struct problems p = {0};
    int *host = hosts_here(r->world);
    struct memory_job job = {&r->settings, r->ops, dims->V, e, host};
    struct mesh_at at = {r->mesh.d, r->mesh.p, r->mesh.t};
    const struct device *d = r->transport->device;
    const char *where = d == &device_host ? r->world->host : d->place;
    limits_fit(&job, at, backend_memory(&r->settings, r->world, r->transport), where, &p);
    free(host);
    world_agree_problems(r->world, &p, EXIT_USER);
}

/* An evaluation of all that a file holds out (a generator's stays as it was asked for). */
static void size_by_file(const struct run *r, struct extent *e, struct problems *p)
{
    if (e->every == 0 || !r->source || source_task(r->source)) return;
    e->heldout = e->questions = source_heldout(r->source, INT_MAX);
    if (settings_can_sample(e->questions, e->every))
        e->answers = e->questions * e->every, e->samples = e->every;
    else
        problems_add(p, NULL, 0,
                     "%d problems with %d answers each are too many for one step, which has at "
                     "most %d answers: lower --prompts or --samples",
                     e->questions, e->every, ANSWERS_MOST);
}

/* What every rank has read for itself, and its kernels; or a rank has problems. */
static void agree_on_files(const struct run *r, struct problems *p)
{
    const struct settings *s = &r->settings;
    char what[5][512];
    struct alike item[6];
    const char *json = r->tokenizer_json ? r->tokenizer_json : "";
    const char *held = *s->data.heldout_file ? s->data.heldout_file : s->data.file;
    snprintf(what[0], sizeof what[0], "the tokenizer %.400s", s->model.tokenizer);
    snprintf(what[1], sizeof what[1], "the data file %.400s", s->data.file);
    snprintf(what[2], sizeof what[2], "the data file %.400s", held);
    item[0] = (struct alike){what[0], checksum(json, strlen(json), 0)};
    for (int k = 0; k < 2; k++)
        item[1 + k] = (struct alike){
            what[1 + k], r->source ? source_sum(r->source, k ? SPLIT_HELDOUT : SPLIT_TRAIN) : 0};
    snprintf(what[3], sizeof what[3], "the chat template %.400s", s->data.template);
    item[3] = (struct alike){what[3], r->chat ? chat_sum(r->chat) : 0};
    snprintf(what[4], sizeof what[4], "the data file %.400s", s->data.preferences);
    item[4] = (struct alike){what[4], r->preferences_sum};
    item[5] = (struct alike){"", kernels_sum(r->ops)};
    if (alike(r->world, p, item, 6)) return;
    alike_or_end(r->world, p, item, 5);
    kernels_alike(r->world, r->ops);
}

static void find_kernels(struct run *r, const struct extent *e, struct problems *p)
{
    startup_enter(STARTUP_KERNELS);
    struct backend b = backend_find(&r->settings, r->world, p);
    r->ops = b.ops;
    r->transport = b.transport;
    if (r->ops && e->profile && r->transport->device == &device_host) r->ops = ops_timed(r->ops);
    startup_enter(STARTUP_DATA);
}

/* In the order of need. What may be refused comes first, on all ranks alike; then what is
 * allocated, and after it nothing that could be refused. */
void run_open(struct run *r, struct world *w, struct settings settings, const char *tokenizer_json,
              struct extent e)
{
    *r = (struct run){.settings = settings, .world = w};
    struct problems p = {0};
    startup_enter(STARTUP_DATA);
    if (e.rewards) plugins_open(grade_server(), &r->settings);
    open_tokenizer(r, tokenizer_json, &e, &p);
    check_vocabulary(r, &p);
    size_text(r, &p);
    const struct together together = {w, e.index};
    if (e.data.read != SPLITS_NONE) r->source = source_open(&r->settings, e.data, &together, &p);
    if (e.preferences > 0) preferences_open(r, &together, &p);
    screen(r, &e, &p);
    size_by_file(r, &e, &p);
    limits_micro_batches(&r->settings, &e, &p);
    find_kernels(r, &e, &p);
    plugins_agree(grade_server(), &p);
    agree_on_files(r, &p); /* one may be missing on one host only */
    if (r->source)         /* found now: an evaluation allocates nothing */
        source_heldout(r->source, e.heldout);
    ops_set_threads(settings.run.threads);
    struct dims dims = settings_dims(&r->settings, tokenizer_size(r->tokenizer));
    startup_enter(STARTUP_PLANS);
    choose_schedule(r, &dims, e);
    startup_enter(STARTUP_CONNECTIONS);
    mesh_split(&r->mesh, w, stage_mesh(&r->settings));
    startup_enter(STARTUP_MEMORY);
    refuse_too_large(r, &dims, e);
    int max_mb = learner_max_micro_batches(&r->settings, e.sequences, dims.max_context - 1);
    if (!e.all_tokens) r->never = vocabulary_never(&r->settings, r->tokenizer, &p);
    const struct stage_job stage = {.settings = &r->settings,
                                    .mesh = &r->mesh,
                                    .transport = r->transport,
                                    .ops = r->ops,
                                    .dims = dims,
                                    .max_mb = max_mb,
                                    .keep = e.keep,
                                    .with_reference = e.reference,
                                    .with_reward = e.reward,
                                    .never = {r->never.n, r->never.range}};
    if (e.keep == KEEP_MASTERS)
        stage_measure(&r->stage, &stage);
    else
        stage_new(&r->stage, &stage);
    optimizer_new(&r->optimizer, &r->stage);
    r->layout = optimizer_layout(&r->optimizer, w->comm);
    if (w->sites > 1) sites_open(r);
    learner_new(&r->learner, &r->stage, &r->optimizer, w, e.sequences);
    const struct rollout_room room = {e.answers, e.samples, e.max_new};
    if (e.sampling) r->rollout = rollout_new(&r->stage, w, room);
    r->text = memory_take(r->text_size, 1, "the text of an answer");
    scratch_place(&r->arena, &e, dims.max_context);
    arena_back(&r->arena, &device_host, r->arena.used);
    r->scratch = scratch_place(&r->arena, &e, dims.max_context);
    r->scratch->text = r->text;
    r->scratch->text_size = r->text_size;
    r->episodes = episodes_new(r);
    r->recipe = settings_yaml(&r->settings);
    print_memory(r);
    startup_enter(STARTUP_KERNELS);
    kernels_slow(w);
}

/* In the opposite order: learner and rollout use the stage. Also for a run that opened without a
 * writer or metrics. */
void run_close(struct run *r)
{
    if (r->writer) checkpoint_writer_free(r->writer);
    if (r->metrics) metrics_close(r->metrics);
    rollout_free(r->rollout);
    episodes_free(r->episodes);
    learner_free(&r->learner);
    if (r->world->sites > 1) sites_close(r);
    optimizer_free(&r->optimizer);
    stage_free(&r->stage);
    mesh_free(&r->mesh);
    source_free(r->source);
    source_free(r->preferences);
    chat_free(r->chat);
    tokenizer_free(r->tokenizer);
    never_free(&r->never);
    arena_free(&r->arena);
    attachments_free(&r->files);
    free(r->tokenizer_json);
    free(r->text);
    free(r->recipe);
    free(r->line);
    settings_free(&r->settings);
}

/* --- tokens --- */

int run_encode(const struct run *r, const char *prompt, const char *completion, size_t n, int *out,
               int *n_prompt)
{
    struct chat_tokens t = {out, NULL, (size_t)r->stage.dims.max_context, 0};
    chat_prompt(r->chat, prompt, &t);
    if (t.n + 1 > t.room) return -1;
    *n_prompt = (int)t.n;
    if (completion) chat_answer(r->chat, completion, n, &t);
    return t.n <= t.room ? (int)t.n : -1;
}
