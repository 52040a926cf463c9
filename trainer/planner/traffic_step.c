#include "trainer/planner/traffic_step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/exchange.h"
#include "trainer/planner/reduction.h"
#include "trainer/rollout/rollout.h"
#include "trainer/schedule/pass_cost.h"
#include "trainer/schedule/schedule.h"

/* ---- passes ---- */

/* A sum of n floats, from one rank of tp to another. */
static double sum_bytes(const struct traffic_job *j, int tp, double n)
{
    enum codec wire = j->memory.ops->real_bytes == 2 ? CODEC_BF16 : CODEC_FP32;
    return tp > 1 ? (double)exchange_sum_sends(tp, wire, (size_t)n) : 0;
}

/* Where sequences are cut, what a rank sends to each of the others: to each the sums of its rows,
 * and its own rows. A gain's gradient goes along the ranks and from the last to all: here it is
 * shared out evenly. */
static double cut_bytes(const struct traffic_job *j, const struct mesh *m, struct cut_exchanges n,
                        double rows)
{
    const double C = j->memory.settings->model.hidden, share = rows / m->tp * C;
    return share *
               (n.slices * (double)sizeof(float) + n.gathers * (double)j->memory.ops->real_bytes) +
           n.gains * 2 * C / m->tp * (double)sizeof(float);
}

/* What a rank sends to each of the others in one pass over a chunk. How often, the model of costs
 * says (pass_exchanges). At the head four more numbers a row. Before rows go to their experts, how
 * many there are for each of all experts. */
static struct exchanged pass_bytes(const struct traffic_job *j, const struct mesh *m,
                                   struct pass_part part, double rows, enum plan_op op, bool cut)
{
    bool backward = op != PLAN_F;
    const struct dims d = settings_dims(j->memory.settings, j->memory.vocabulary);
    const struct shape shape = shape_of_dims(&d);
    const enum recompute recompute = (enum recompute)j->memory.settings->mesh.recompute;
    const struct pass_exchanges n = pass_exchanges(&shape, part, recompute, backward);
    double row = rows * d.C, sent = row * d.K / m->ep * (double)j->memory.ops->real_bytes;
    struct exchanged x = {.tensor = n.sums * sum_bytes(j, m->tp, row),
                          .expert = (2 * n.experts + n.again) * sent};
    if (cut) x.tensor = cut_bytes(j, m, pass_cut_exchanges(&shape, part, recompute, op), rows);
    if (op == PLAN_W) x.expert = 0;
    if (!backward) x.expert += n.experts * (double)d.E * (double)sizeof(int);
    if (part.head && !backward) x.tensor += 4 * rows * (double)sizeof(float);
    return x;
}

/* Traffic of a stage in all its pipelines: to the others of tp and of ep. */
static void add_exchanged(struct traffic *t, const struct mesh *m, int p, struct exchanged x)
{
    for (int d = 0; d < m->dp; d++)
        for (int i = 0; i < m->tp; i++) {
            int me = mesh_rank_at(m, (struct mesh_at){d, p, i}), base = d / m->ep * m->ep;
            for (int o = 0; o < m->tp; o++)
                if (o != i)
                    traffic_add(t, TRAFFIC_TENSOR, me, mesh_rank_at(m, (struct mesh_at){d, p, o}),
                                x.tensor);
            for (int o = base; o < base + m->ep; o++)
                if (o != d)
                    traffic_add(t, TRAFFIC_EXPERTS, me, mesh_rank_at(m, (struct mesh_at){o, p, i}),
                                x.expert);
        }
}

static void add_message(struct traffic *t, const struct mesh *m, int p, int to, double bytes)
{
    for (int d = 0; d < m->dp; d++)
        for (int i = 0; i < m->tp; i++)
            traffic_add(t, TRAFFIC_STAGES, mesh_rank_at(m, (struct mesh_at){d, p, i}),
                        mesh_rank_at(m, (struct mesh_at){d, to, i}), bytes);
}

/* Messages are whole micro-batches, or a rank's rows of them, whatever is in them
 * (trainer/stage/stage.c, message_bytes); exchanges are of the rows in use. */
double traffic_message(const struct traffic_job *j)
{
    const struct settings *s = j->memory.settings;
    int rows = s->data.micro_batch_tokens;
    if (schedule_cut(s)) rows = chunk_rows(rows, s->mesh.tp, 0).n;
    return (double)rows * s->model.hidden * (double)j->memory.ops->real_bytes;
}

/* From where rows get their input and whereto they send what they make. */
struct exchanged traffic_stage(const struct traffic_job *j, const struct mesh *m,
                               const struct plan *plan, bool scores, int p, int *sent, int *got)
{
    struct exchanged sum = {0};
    bool cut = schedule_cut(j->memory.settings);
    memset(sent, 0, (size_t)plan->stages * sizeof *sent);
    memset(got, 0, (size_t)plan->stages * sizeof *got);
    for (int i = 0; i < plan->n_rows[p]; i++) {
        struct plan_pass pass[2];
        int n = plan_passes(&plan->rows[p][i], pass);
        for (int k = 0; k < n; k++) {
            if (pass[k].op == PLAN_W && !cut) continue;
            struct pass_part part = pass_part_of(j->first, pass[k].cell.chunk, plan->chunks);
            part.scores = scores;
            struct exchanged x = pass_bytes(j, m, part, j->rows, pass[k].op, cut);
            int to = plan_receiver(plan, &pass[k]), from = plan_sender(plan, &pass[k]);
            sum.tensor += x.tensor, sum.expert += x.expert;
            if (to >= 0 && to != p) sent[to]++;
            if (from >= 0 && from != p) got[from]++;
        }
    }
    return sum;
}

/* Messages are counted from the plan's rows, as the engine sends them. */
static void add_plan(struct traffic *t, const struct traffic_job *j, const struct mesh *m,
                     const struct plan *plan, bool scores)
{
    int *sent = memory_take(2 * (size_t)plan->stages, sizeof *sent, "messages of a stage");
    for (int p = 0; p < plan->stages; p++) {
        struct exchanged sum = traffic_stage(j, m, plan, scores, p, sent, sent + plan->stages);
        for (int to = 0; to < plan->stages; to++)
            if (sent[to] > 0) add_message(t, m, p, to, sent[to] * traffic_message(j));
        add_exchanged(t, m, p, sum);
    }
    free(sent);
}

/* ---- what all ranks add up ---- */

/* Up a binomial tree and down again, which is how Open MPI does it for few bytes, or sends little
 * more. */
static void add_told(struct traffic *t, enum traffic_kind k, int ranks, double bytes)
{
    for (int r = 1; r < ranks; r++) {
        traffic_add(t, k, r, r & (r - 1), bytes);
        traffic_add(t, k, r & (r - 1), r, bytes);
    }
}

/* Exact sums and the like (comm/coll.c, trainer/learn/step.c, comm/world.c): five 64-bit limbs a
 * sum. */
double traffic_hop(const struct traffic_job *j)
{
    const struct dims d = settings_dims(j->memory.settings, j->memory.vocabulary);
    double exact = 5 * (double)sizeof(uint64_t);
    double bytes = (LOSS_SUMS + 1) * exact + (double)sizeof(float) + 2 * (double)sizeof(double) +
                   (double)sizeof(int);
    if (d.E > 0) bytes += exact + (double)d.L * d.E * (double)sizeof(uint64_t);
    return bytes;
}

static void add_sums(struct traffic *t, const struct traffic_job *j, const struct mesh *m)
{
    add_told(t, TRAFFIC_SUMS, m->dp * m->pp * m->tp, traffic_hop(j));
}

/* An exchange is divided over the updates between two of them. */
void traffic_sites(struct traffic *t, const struct memory_job *j)
{
    const struct settings *s = j->settings;
    int sites = s->mesh.sites, each = t->ranks / sites;
    struct mesh m = memory_mesh(s, (struct mesh_at){0});
    for (int i = 0; sites > 1 && i < each; i++) {
        double bytes = (double)memory_site_message(j, mesh_coords(&m, i)) / s->sites.every;
        for (int from = 0; from < sites; from++)
            for (int to = 0; to < sites; to++)
                if (to != from)
                    traffic_add(t, TRAFFIC_SITES, from * each + i, to * each + i, bytes);
    }
}

/* Passes of the reference model are the plan's forwards. */
void traffic_step(struct traffic *t, const struct traffic_job *j)
{
    struct mesh m = memory_mesh(j->memory.settings, (struct mesh_at){0});
    add_plan(t, j, &m, j->plan, false);
    if (j->forwards > 0) {
        struct plan only;
        plan_forward_only(&only, j->plan);
        for (int i = 0; i < j->forwards; i++) add_plan(t, j, &m, &only, true);
        plan_free(&only);
    }
    reduction_add(t, &j->memory, reduction_way(j->memory.settings));
    add_sums(t, j, &m);
}

/* ---- rollouts ---- */

/* What one direction of one pipeline does of a rollout. */
struct journey {
    const struct traffic_job *j;
    const struct mesh *m;
    struct rollout_batch batch;
    double sampled, read; /* rows that get a token, rows of prompts */
    double batches, events;
};

static int chunk_rank(const struct journey *w, int chunk, int dir, int d, int t)
{
    int p = plan_rank(w->j->plan->place, w->m->pp, chunk, dir);
    return mesh_rank_at(w->m, (struct mesh_at){d, p, t});
}

/* The first rank of tp also sends the heads of messages; sampled tokens go back from the last chunk
 * to the first. */
static void add_hops(struct traffic *t, const struct journey *w, int d, int dir)
{
    int chunks = w->j->plan->chunks, tp = w->m->tp;
    double rows = w->sampled + w->read, act = rows * (double)w->batch.row_bytes;
    double heads = w->batches * (double)w->batch.head_bytes + rows * (double)w->batch.place_bytes +
                   w->events * (double)w->batch.event_bytes;
    for (int c = 0; c + 1 < chunks; c++)
        for (int i = 0; i < tp; i++) {
            int from = chunk_rank(w, c, dir, d, i), to = chunk_rank(w, c + 1, dir, d, i);
            traffic_add(t, TRAFFIC_STAGES, from, to, i == 0 ? act + heads : act);
        }
    if (w->m->pp > 1)
        traffic_add(t, TRAFFIC_STAGES, chunk_rank(w, chunks - 1, dir, d, 0),
                    chunk_rank(w, 0, dir, d, 0), w->sampled * (double)w->batch.back_bytes);
}

/* Traffic of one chunk: as a forward pass of whole sequences, but that the head is for sampled rows
 * alone, whose logits go from each rank of tp to the others. */
static void add_decoded(struct traffic *t, const struct journey *w, int d, int dir, int chunk)
{
    const struct traffic_job *j = w->j;
    const struct mesh *m = w->m;
    bool head = chunk == j->plan->chunks - 1;
    double rows = w->sampled + w->read;
    struct pass_part part = pass_part_of(j->first, chunk, j->plan->chunks);
    part.scores = true;
    double passes = fmax(w->batches, 1);
    struct exchanged x = pass_bytes(j, m, part, rows / passes, PLAN_F, false);
    x.tensor *= passes, x.expert *= passes;
    double logits = (double)j->memory.vocabulary / m->tp * (double)sizeof(float);
    if (head) x.tensor += w->sampled * logits - w->read * 4 * (double)sizeof(float);
    for (int i = 0; i < m->tp; i++) {
        int me = chunk_rank(w, chunk, dir, d, i), base = d / m->ep * m->ep;
        double told = i == 0 ? w->batches * (double)w->batch.order_bytes : 0;
        for (int o = 0; o < m->tp; o++)
            if (o != i)
                traffic_add(t, TRAFFIC_TENSOR, me, chunk_rank(w, chunk, dir, d, o),
                            x.tensor + told);
        for (int o = base; o < base + m->ep; o++)
            if (o != d)
                traffic_add(t, TRAFFIC_EXPERTS, me, chunk_rank(w, chunk, dir, o, i), x.expert);
    }
}

/* Answers that were sampled in all pipelines alike and are learned from in all alike: from one to
 * the next by the bits of the distance (rollout/bring.c). */
static void add_brought(struct traffic *t, const struct mesh *m, double bytes)
{
    for (int step = 1; step < m->dp; step *= 2) {
        int far = 0; /* distances with this bit */
        for (int n = 0; n < m->dp; n++) far += (n & step) != 0;
        for (int d = 0; d < m->dp; d++)
            traffic_add(t, TRAFFIC_ANSWERS, mesh_rank_at(m, (struct mesh_at){.d = d}),
                        mesh_rank_at(m, (struct mesh_at){.d = (d + step) % m->dp}),
                        bytes / m->dp * far / m->dp);
    }
}

/* How long each is goes to all ranks, as that of prompts does. Then what is predicted at every row,
 * and with what probability it was sampled, in the pipeline that learns from it (learn/step.c): its
 * first rank tells those of its stage, down a tree, and each of them its like at the other end. */
static void add_answers(struct traffic *t, const struct journey *w, double lengths, double tokens,
                        double rows)
{
    const struct mesh *m = w->m;
    const double each = sizeof(int) + sizeof(float);
    int ranks = m->dp * m->pp * m->tp;
    add_told(t, TRAFFIC_ANSWERS, ranks, lengths * (double)sizeof(uint64_t));
    add_brought(t, m, tokens * each);
    int end = w->j->plan->place == PLACE_VEE ? 0 : m->pp - 1;
    for (int r = 0; r < ranks; r++) {
        struct mesh_at at = mesh_coords(m, r), above = at;
        if (at.p == 0)
            above.t = at.t & (at.t - 1);
        else
            above.p = 0;
        if ((at.p == 0 && at.t > 0) || (at.p > 0 && at.p == end))
            traffic_add(t, TRAFFIC_ANSWERS, mesh_rank_at(m, above), r, rows * each / m->dp);
    }
    if (w->j->plan->place != PLACE_MIRROR) return;
    for (int d = 0; d < m->dp; d++) /* what its last rank has sampled */
        traffic_add(t, TRAFFIC_ANSWERS, chunk_rank(w, 0, 1, d, 0), chunk_rank(w, 0, 0, d, 0),
                    tokens * each / m->dp / 2);
}

/* Averages: questions go to whichever pipeline asks, so that pairs of hosts may differ. */
void traffic_rollout(struct traffic *t, const struct traffic_job *j, struct rollout_size size)
{
    struct mesh m = memory_mesh(j->memory.settings, (struct mesh_at){0});
    int ways = j->plan->place == PLACE_MIRROR ? 2 : 1;
    struct stage s;
    const struct stage_job weights = memory_stage(&j->memory, &m, 0);
    stage_measure(&s, &weights);
    double part = 1.0 / (m.dp * ways), answers = size.questions * size.samples;
    /* An answer reads the last token of its prompt itself; it starts and ends, and so does a
     * question. */
    struct journey w = {.j = j,
                        .m = &m,
                        .batch = rollout_batch(&s),
                        .sampled = part * answers * size.answer,
                        .read = part * size.questions * (size.prompt - 1),
                        .events = part * (2 * answers + size.questions)};
    w.batches = w.sampled / w.batch.slots;
    for (int d = 0; d < m.dp; d++)
        for (int dir = 0; dir < ways; dir++) {
            add_hops(t, &w, d, dir);
            for (int c = 0; c < j->plan->chunks; c++) add_decoded(t, &w, d, dir, c);
        }
    stage_free(&s);
    add_answers(t, &w, size.questions + answers, answers * size.answer,
                answers * (size.prompt + size.answer - 1));
}
