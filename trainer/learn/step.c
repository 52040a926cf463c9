#include "trainer/learn/step.h"

#include <math.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/coll.h"
#include "model/rounds.h"
#include "trainer/stage/trace.h"

/* --- placing --- */

struct deal_shape learner_deal_shape(const struct settings *s)
{
    struct dims dims = settings_dims(s, 0);
    return (struct deal_shape){.T_max = s->data.micro_batch_tokens,
                               .pipelines = s->mesh.dp,
                               .directions = schedule_sums(s),
                               .least = schedule_least(s),
                               .linear = deal_linear(&dims)};
}

int learner_max_micro_batches(const struct settings *s, int sequences, int rows)
{
    struct deal_shape shape = learner_deal_shape(s);
    if (sequences == 0) return 0;
    return deal_bound(&shape, (size_t)sequences * (size_t)rows) / s->mesh.dp;
}

static void learner_place(struct learner *l)
{
    struct arena *a = &l->arena;
    size_t n = (size_t)l->max_sequences;
    l->rows = arena_take_n(a, n, sizeof(int));
    l->at = arena_take_n(a, n, sizeof(int));
    l->weight = arena_take_n(a, n, sizeof(float));
    const struct dims *d = &l->stage->dims;
    l->chosen = arena_take_n(a, (size_t)d->L * (size_t)d->E, sizeof *l->chosen);
    deal_place(&l->deal, l->max_sequences, l->stage->max_mb * l->stage->mesh->dp, a);
}

void learner_measure(struct learner *l, struct stage *s, int max_sequences)
{
    *l = (struct learner){.stage = s, .max_sequences = max_sequences};
    learner_place(l);
}

void learner_new(struct learner *l, struct stage *s, struct optimizer *o, const struct world *w,
                 int max_sequences)
{
    learner_measure(l, s, max_sequences);
    l->optimizer = o;
    l->world = w;
    if (l->arena.used == 0) return; /* no sequences */
    arena_back(&l->arena, &device_host, l->arena.used);
    learner_place(l);
}

void learner_free(struct learner *l)
{
    arena_free(&l->arena);
}

/* --- a step --- */

/* Sequence i as micro-batch m of this rank needs it. Stages between the ends read no tokens, and
 * the head none of a prompt. */
static const struct sequence *sequence_of(struct learner *l, const struct step_job *job, int i,
                                          int m)
{
    const struct sequence *s = &job->sequence[i];
    bool embeds = stage_has_embedding(l->stage, m), head = stage_has_head(l->stage, m);
    bool reads = embeds || (head && !s->elsewhere);
    return job->fetch && reads ? job->fetch(job->fetch_context, i) : s;
}

/* This pipeline's micro-batches, the sequences of each in their order. */
static void fill_own(struct learner *l, const struct step_job *job)
{
    const struct mesh *m = l->stage->mesh;
    struct micro_batch *mb = l->stage->mb;
    for (int b = m->d; b < l->deal.bins; b += m->dp) micro_batch_clear(&mb[b / m->dp]);
    for (int i = 0; i < job->n; i++) {
        int bin = l->deal.bin_of[i];
        if (bin % m->dp != m->d) continue;
        const struct sequence *s = sequence_of(l, job, i, bin / m->dp);
        INVARIANT(sequence_rows(s) == l->rows[i], "sequence %d has %d rows, was dealt as %d", i,
                  sequence_rows(s), l->rows[i]);
        l->at[i] = mb[bin / m->dp].rows.T;
        micro_batch_append(&mb[bin / m->dp], s, job->weight[i]);
    }
}

struct landing learner_landing(const struct learner *l, const struct step_job *job, int i)
{
    struct stage *st = l->stage;
    int bin = l->deal.bin_of[i], dp = st->mesh->dp;
    struct landing to = {.pipeline = bin % dp};
    if (to.pipeline == st->mesh->d)
        to.room = micro_batch_answer(&st->mb[bin / dp], &job->sequence[i], l->at[i]);
    return to;
}

/* The first rank of a pipeline has its answers: those that share its stage get them, and from each
 * of them its like of the last stage. The ends hold embedding and head, both of them where chunks
 * go there and back; the stages between read no tokens. */
static void share_answers(struct learner *l, int micro_batches)
{
    const struct mesh *m = l->stage->mesh;
    int end = l->stage->place == PLACE_VEE ? 0 : m->pp - 1;
    if (m->p != 0 && m->p != end) return;
    die_place("answers of a pipeline, from its first rank");
    for (int b = 0; b < micro_batches; b++) {
        struct micro_batch *mb = &l->stage->mb[b];
        size_t tokens = (size_t)mb->rows.T * sizeof(int), logp = (size_t)mb->rows.T * sizeof(float);
        if (m->tp > 1 && m->p == 0) coll_bcast(mb->target, tokens, 0, m->tensor);
        if (m->tp > 1 && m->p == 0) coll_bcast(mb->old_logp, logp, 0, m->tensor);
        if (end > 0) coll_pass(mb->target, tokens, 0, end, m->pipe);
        if (end > 0) coll_pass(mb->old_logp, logp, 0, end, m->pipe);
        micro_batch_answered(mb);
    }
    die_place(NULL);
}

/* Deals the sequences and fills this pipeline's micro-batches; returns how many there are in each
 * pipeline. */
static int fill_micro_batches(struct learner *l, const struct step_job *job, struct step_stats *s)
{
    struct stage *st = l->stage;
    struct deal_shape shape = learner_deal_shape(st->settings);
    shape.linear = deal_linear(&st->dims);
    struct deal *d = &l->deal;
    int dp = st->mesh->dp;
    s->rows = 0;
    for (int i = 0; i < job->n; i++) s->rows += l->rows[i] = sequence_rows(&job->sequence[i]);
    deal_run(d, &shape, l->rows, job->n);
    s->imbalance = d->imbalance;
    INVARIANT(d->bins / dp <= st->max_mb, "%d micro-batches, room for %d", d->bins / dp,
              st->max_mb);
    fill_own(l, job);
    if (job->bring) {
        job->bring(job->bring_context, job);
        share_answers(l, d->bins / dp);
    }
    stage_copy_in(st, d->bins / dp);
    return d->bins / dp;
}

/* What the heads make of the log-probabilities from here on, with all sums 0. */
static void take_loss(struct learner *l, const struct loss_shape *shape, struct objective objective)
{
    loss_begin(&l->loss, shape, objective);
    l->stage->loss = (struct stage_loss){.name = shape->name,
                                         .host = loss_run,
                                         .row = loss_row_of(shape, l->stage->device),
                                         .ctx = &l->loss,
                                         .learns = shape->learns,
                                         .whole = shape->whole,
                                         .scalar = shape->scalar};
}

/* Log-probabilities, or scores, land in ref_logp of the micro-batches, on the ranks that hold their
 * heads. */
static void run_scoring(struct learner *l, const struct loss_shape *shape, int micro_batches)
{
    take_loss(l, shape, (struct objective){0});
    stage_run(l->stage, micro_batches, true, NULL);
}

enum other { OTHER_REFERENCE, OTHER_REWARD };

/* The same by weights that are kept beside those that learn. */
static void run_other(struct learner *l, enum other other, const struct loss_shape *shape,
                      int micro_batches)
{
    struct stage *s = l->stage;
    for (int k = 0; k < s->n_local; k++)
        chunk_use_weights(s->local[k].model,
                          other == OTHER_REWARD ? s->local[k].reward : s->local[k].reference);
    run_scoring(l, shape, micro_batches);
    for (int k = 0; k < s->n_local; k++) chunk_use_weights(s->local[k].model, s->local[k].weights);
}

/* The most that a pass of this step needed on this rank. */
static int rounds_here(const struct stage *s)
{
    int most = 0;
    for (int k = 0; k < s->n_local; k++) {
        int n = chunk_rounds(s->local[k].model);
        if (n > most) most = n;
    }
    return most;
}

/* All ranks of tp form the same sums: only the first contributes its own. */
static void collect_loss(struct learner *l, struct step_stats *s)
{
    struct loss *loss = &l->loss;
    if (l->stage->mesh->t > 0) memset(loss->sum, 0, sizeof loss->sum); /* the first of tp says it */
    coll_exact_sum(loss->sum, LOSS_SUMS, l->world->comm);
    float most[2] = {loss->max_deviation, (float)rounds_here(l->stage)};
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, most, 2, MPI_FLOAT, MPI_MAX, l->world->comm));
    double tokens = exact_value(&loss->sum[SUM_TOKENS]), per = tokens > 0 ? 1 / tokens : NAN;
    s->tokens = (long)tokens;
    s->loss = tokens > 0 ? exact_value(&loss->sum[SUM_LOSS]) : NAN;
    s->entropy = exact_value(&loss->sum[SUM_ENTROPY]) * per;
    s->clip_fraction = exact_value(&loss->sum[SUM_CLIPPED]) * per;
    s->k3 = exact_value(&loss->sum[SUM_KL]) * per;
    s->max_deviation = (double)most[0];
    s->rounds = (double)most[1];
}

/* What the routers of every rank chose, by layer of the model. */
static void collect_chosen(struct learner *l, struct exact_sum *balance)
{
    const struct stage *s = l->stage;
    size_t E = (size_t)s->dims.E, n = (size_t)s->dims.L * E;
    memset(l->chosen, 0, n * sizeof *l->chosen);
    for (int k = 0; s->mesh->t == 0 && k < s->n_local;
         k++) { /* the ranks of tp saw the same rows */
        struct exact_sum part;
        chunk_load(s->local[k].model, l->chosen + (size_t)s->local[k].span.first * E, &part);
        exact_merge(balance, &part);
    }
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, l->chosen, (int)n, MPI_UINT64_T, MPI_SUM, l->world->comm));
    coll_exact_sum(balance, 1, l->world->comm);
}

/* load_max is the busiest expert's share relative to an even one, the worst of all layers. */
static void collect_load(struct learner *l, struct step_stats *s)
{
    const struct dims *d = &l->stage->dims;
    if (d->E == 0) return;
    struct exact_sum balance = {0};
    collect_chosen(l, &balance);
    int layers = 0;
    for (int layer = 0; layer < d->L; layer++) {
        if (!dims_moe(d, layer)) continue;
        layers++;
        const uint64_t *chosen = l->chosen + (size_t)layer * (size_t)d->E;
        double most = 0, all = 0;
        for (int e = 0; e < d->E; e++) {
            most = (double)chosen[e] > most ? (double)chosen[e] : most;
            all += (double)chosen[e];
        }
        if (all > 0 && most * d->E / all > s->load_max) s->load_max = most * d->E / all;
    }
    s->balance = exact_value(&balance) / ((double)s->rows * layers);
}

/* Sums over ranks in one message. A straggler says so itself: it knows its host. */
static void collect_times(struct learner *l, const struct engine_times *t, struct step_stats *s)
{
    double worked = t->busy - t->exchanges;
    double v[4] = {t->bubble_fraction, t->total > 0 ? t->exposed / t->total : 0,
                   optimizer_waited(l->optimizer), worked};
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, v, 4, MPI_DOUBLE, MPI_SUM, l->world->comm));
    s->bubble_fraction = v[0] / l->world->size;
    s->exposed_fraction = v[1] / l->world->size;
    s->reduce_exposed = v[2] / l->world->size;
    double times = 0;
    if (slow_look(&l->slow, worked, v[3], l->world->size, clock_now(), &times))
        log_warn("straggler: passes on %s take %.1f x the others' time, and the others wait; look "
                 "for other load there (top), a throttled processor, swapped memory",
                 l->world->host, times);
}

/* A norm that is not finite skips the update on all ranks alike: it is a sum over all of them. */
static void update(struct learner *l, const struct step_job *job, struct step_stats *s)
{
    s->grad_norm = optimizer_norm(l->optimizer, l->world->comm);
    struct adamw h = job->adamw;
    s->lr = (double)h.lr;
    s->skipped = !isfinite(s->grad_norm);
    if (s->skipped) {
        optimizer_skip(l->optimizer);
        return;
    }
    bool clip = job->grad_clip > 0 && s->grad_norm > job->grad_clip;
    h.grad_scale = clip ? (float)(job->grad_clip / s->grad_norm) : 1;
    optimizer_step(l->optimizer, h);
}

/* Gradients are summed while the engine runs (optimizer_begin); what remains is waited for in
 * optimizer_reduce. */
void learner_step(struct learner *l, const struct step_job *job, struct step_stats *s)
{
    *s = (struct step_stats){0};
    struct stage *st = l->stage;
    double start = device_clock(st->device);
    int micro_batches = fill_micro_batches(l, job, s);
    st->inv_temperature = job->inv_temperature;
    if (job->use_reference) run_other(l, OTHER_REFERENCE, &loss_reference, micro_batches);
    take_loss(l, job->loss, job->objective);
    stage_zero_gradients(st);
    stage_clear_load(st);
    optimizer_waited(l->optimizer); /* what was waited for before is not this step's */
    optimizer_begin(l->optimizer);
    st->balance = (float)(st->settings->model.balance / (double)s->rows);
    struct engine_times times;
    if (l->trace)
        trace_run(st, micro_batches, &times, l->trace);
    else
        stage_run(st, micro_batches, false, &times);
    l->trace = NULL;
    double reduce = device_clock(st->device);
    optimizer_reduce(l->optimizer);
    collect_loss(l, s);
    collect_load(l, s);
    update(l, job, s);
    double end = device_clock(st->device);
    s->reduce_seconds = end - reduce;
    s->seconds = end - start;
    collect_times(l, &times, s);
}

/* --- scoring --- */

/* Sequences lie in a micro-batch in the order in which they were dealt. */
static void report_micro_batch(const struct learner *l, const struct step_job *job, int bin,
                               void (*found)(void *, int, const float *, int), void *ctx)
{
    struct stage *st = l->stage;
    const float *logp = stage_reference(st, bin / st->mesh->dp);
    int at = 0;
    for (int i = 0; i < job->n; i++) {
        if (l->deal.bin_of[i] != bin) continue;
        const struct sequence *s = &job->sequence[i];
        found(ctx, i, logp + at + s->n_prompt - 1, s->n - s->n_prompt);
        at += sequence_rows(s);
    }
}

/* A forward only, with the same packing as a step: the same bits as in training. */
void learner_score(struct learner *l, const struct step_job *job,
                   void (*found)(void *ctx, int sequence, const float *logp, int n), void *ctx)
{
    struct stage *s = l->stage;
    struct step_stats ignored;
    int micro_batches = fill_micro_batches(l, job, &ignored);
    s->inv_temperature = job->inv_temperature;
    const struct loss_shape *shape = job->scalar ? &loss_scores : &loss_reference;
    if (job->by_reward)
        run_other(l, OTHER_REWARD, shape, micro_batches);
    else
        run_scoring(l, shape, micro_batches);
    for (int m = 0; m < micro_batches; m++)
        if (s->mesh->t == 0 && stage_has_head(s, m))
            report_micro_batch(l, job, m * s->mesh->dp + s->mesh->d, found, ctx);
}
