/* Row after row: wait for what a pass reads, step it, send what it wrote.
 *
 * Messages form streams on a rank: activations and gradients for each chunk that it holds. Within a
 * stream they come in micro-batch order, so message m of a stream has buffer m mod depth, on either
 * side:
 *
 *   incoming   the first `depth` receives are posted at the start, and the receive of message m +
 *              depth when the pass that read m is done
 *   outgoing   a pass writes straight into the buffer, which is sent at once when the pass is
 *              done; only who needs the buffer again waits for the send
 *
 * Streams never wait for each other's buffers: that is why a plan that plan_check passes cannot
 * hang here (pipeline/blocked.h). A plan with one chunk a rank has the buffers of a second one as
 * well. Where a vee turns round, the pass that reads finds its input in the outgoing buffer of the
 * pass that wrote it, and no message is made. */
#include "pipeline/engine.h"

#include <stdlib.h>
#include <string.h>

#include "comm/base/arena.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/stopwatch.h"
#include "comm/world.h"
#include "pipeline/schedules.h"
#include "pipeline/timeline.h"

enum message_kind { ACTIVATION, GRADIENT, KINDS };
enum { DEPTH = 2, BUFFERS = 2 * DEPTH }; /* of a stream when a rank holds two chunks; of a kind */
_Static_assert(ENGINE_TAGS == 2 * KINDS, "a tag a stream of messages");
_Static_assert(ENGINE_OPEN == 2 * KINDS * BUFFERS, "incoming and outgoing of either kind");

struct buffers {
    unsigned char *at[KINDS][BUFFERS];
    ticket open[KINDS][BUFFERS];
    bool handed[KINDS][BUFFERS]; /* outgoing: written for a pass of this rank, not read yet */
};

/* One pass of a row under way. */
struct running {
    struct plan_pass pass;
    struct engine_pass stage;
    bool paired, done;
    int turn;  /* which pass of its row */
    int steps; /* made so far */
    int span;  /* in the timeline; -1: not recorded */
};

struct engine {
    struct p2p *p2p;
    struct stage_ops stage;
    int rank, stages, max_micro_batches;
    struct arena arena, host; /* messages; what the engine itself reads */
    struct buffers in, out;
    int *free_slot, n_free; /* activation slots not in use, a stack */
    int *slot_of;           /* [dir][mb], stride max_micro_batches */

    const struct plan_part *part; /* under way */
    int held, chunk[2];           /* chunks that this rank holds */
    int row, last_row[2]; /* the one under way; of each chunk that with its last W or BW, or -1 */
    int steps[2][2];      /* [F, BW][held chunk] of the last such pass; 0: none yet */
    double start, messages, exchanges; /* when it began; seconds of waiting */
    struct stopwatch busy;             /* at work */
    struct stopwatch row_took[PLAN_OPS];
    struct engine_row times[PLAN_OPS]; /* sums; seconds: less what was waited for messages */
    struct timeline *timeline;
};

/* ---- making ---- */

static void buffers_place(struct buffers *b, size_t bytes, struct arena *a)
{
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < BUFFERS; i++) {
            b->at[k][i] = arena_take(a, bytes);
            b->open[k][i] = TICKET_NONE;
        }
}

/* A rank alone receives nothing, but a vee's hands over to itself. */
static void engine_place(struct engine *e, struct arena *a)
{
    buffers_place(&e->in, e->stages > 1 ? e->stage.message_bytes : 0, a);
    buffers_place(&e->out, e->stage.message_bytes, a);
    struct arena *host = arena_host(a);
    e->free_slot = arena_take_n(host, (size_t)e->stage.slots, sizeof *e->free_slot);
    e->slot_of = arena_take_n(host, 2 * (size_t)e->max_micro_batches, sizeof *e->slot_of);
}

struct engine *engine_new(struct p2p *p2p, int rank, int stages, const struct stage_ops *stage,
                          int max_micro_batches)
{
    struct engine *e = memory_take(1, sizeof *e, "an engine");
    *e = (struct engine){.p2p = p2p, .stage = *stage, .rank = rank, .stages = stages};
    e->max_micro_batches = max_micro_batches;
    e->busy.device = stage->device;
    for (int k = 0; k < PLAN_OPS; k++) e->row_took[k].device = stage->device;
    arena_beside(&e->arena, stage->device, &e->host);
    engine_place(e, &e->arena);
    arena_back(&e->arena, stage->device, e->arena.used);
    engine_place(e, &e->arena);
    return e;
}

void engine_free(struct engine *e)
{
    if (!e) return;
    stopwatch_free(&e->busy);
    for (int k = 0; k < PLAN_OPS; k++) stopwatch_free(&e->row_took[k]);
    arena_free(&e->arena);
    free(e);
}

size_t engine_bytes(const struct engine *e)
{
    return e->arena.size + e->host.size;
}

size_t engine_measure(int stages, const struct stage_ops *stage, int max_micro_batches)
{
    struct engine e = {.stage = *stage, .stages = stages, .max_micro_batches = max_micro_batches};
    arena_beside(&e.arena, stage->device, &e.host);
    engine_place(&e, &e.arena);
    return e.arena.used + e.host.used;
}

/* ---- streams ---- */

static enum message_kind pass_kind_of(const struct plan_pass *pass)
{
    return pass->op == PLAN_F ? ACTIVATION : GRADIENT;
}

static int depth(const struct engine *e)
{
    return BUFFERS / e->held;
}

/* Which of the rank's chunks; streams keep their number from rank to rank (a vee's turning point is
 * not a message). */
static int held_of(const struct engine *e, struct plan_cell c)
{
    for (int k = 0; k < e->held; k++)
        if (e->chunk[k] == c.chunk && plan_held_dir(e->part->of.place, k) == c.dir) return k;
    INVARIANT(false, "rank %d does not hold chunk %d, direction %d", e->rank, c.chunk, c.dir);
    return -1;
}

/* Which buffer of its kind a message has, on the sender's and on the receiver's side. */
static int buffer_of(const struct engine *e, struct plan_cell c)
{
    return held_of(e, c) * depth(e) + c.mb % depth(e);
}

/* Says which stream; in it messages match in the order of micro-batches. */
static int tag_of(const struct engine *e, const struct plan_pass *pass)
{
    return (int)pass_kind_of(pass) * 2 + held_of(e, pass->cell);
}

/* Posts the receive of what `pass` reads, if there is such a pass and it reads a message. */
static void post_receive(struct engine *e, struct plan_pass pass)
{
    int from = plan_sender(&e->part->of, &pass), i = buffer_of(e, pass.cell);
    enum message_kind k = pass_kind_of(&pass);
    if (from < 0 || from == e->rank || pass.cell.mb >= plan_per_direction(&e->part->of)) return;
    INVARIANT(e->in.open[k][i] == TICKET_NONE, "receive buffer %d is in use", i);
    e->in.open[k][i] =
        p2p_recv(e->p2p, from, tag_of(e, &pass), e->in.at[k][i], e->stage.message_bytes);
}

static void post_first_receives(struct engine *e)
{
    for (int k = 0; k < e->held; k++)
        for (int m = 0; m < depth(e); m++) {
            struct plan_cell c = {plan_held_dir(e->part->of.place, k), e->chunk[k], m};
            post_receive(e, (struct plan_pass){PLAN_F, c});
            if (!e->part->of.forward_only) post_receive(e, (struct plan_pass){PLAN_BW, c});
        }
}

/* What a hang or a failure would say of this rank. */
static void say_place(const struct engine *e, const struct plan_pass *pass, const char *doing,
                      int peer)
{
    const char *what = pass_kind_of(pass) == ACTIVATION ? "activation" : "gradient";
    char where[80] = "";
    if (peer >= 0) snprintf(where, sizeof where, ", %s %s rank %d", what, doing, peer);
    die_place("row %d of %d of the %s plan: %s of chunk %d, direction %d, micro-batch %d%s", e->row,
              e->part->n_rows, plan_kind_name(e->part->of.kind), plan_op_name(pass->op),
              pass->cell.chunk, pass->cell.dir, pass->cell.mb, where);
}

/* ---- what is recorded ---- */

/* Number of the span; -1: none. */
static int record(struct engine *e, const struct running *r, enum span_kind kind, double start,
                  double end)
{
    struct timeline_span s = {
        .rank = e->rank, .op = r->pass.op, .cell = r->pass.cell, .paired = r->paired};
    s.lower = r->turn == 1, s.kind = kind, s.start = start - e->start, s.end = end - e->start;
    if (!e->timeline || !timeline_add(e->timeline, s)) return -1;
    return e->timeline->n - 1;
}

void engine_record(struct engine *e, struct timeline *t)
{
    e->timeline = t;
}

/* ---- inputs and outputs ---- */

static void wait_for(struct engine *e, ticket *open, const struct running *r, const char *doing,
                     int peer)
{
    if (*open == TICKET_NONE) return;
    double since = clock_now();
    say_place(e, &r->pass, doing, peer);
    p2p_wait(e->p2p, *open);
    *open = TICKET_NONE;
    double waited = p2p_waited(e->p2p);
    e->messages += waited;
    record(e, r, SPAN_WAIT, since, since + waited);
}

/* The outgoing buffer in which a pass of this rank left what `pass` reads. */
static int buffer_handed(const struct engine *e, const struct plan_pass *pass)
{
    struct plan_cell c = pass->cell;
    c.chunk += pass->op == PLAN_F ? -1 : 1;
    return buffer_of(e, c);
}

/* What the pass reads; NULL where it reads nothing. */
static const void *wait_input(struct engine *e, const struct running *r)
{
    int from = plan_sender(&e->part->of, &r->pass);
    enum message_kind k = pass_kind_of(&r->pass);
    if (from < 0) return NULL;
    if (from == e->rank) {
        int i = buffer_handed(e, &r->pass);
        INVARIANT(e->out.handed[k][i], "row %d: no message was handed over", e->row);
        return e->out.at[k][i];
    }
    int i = buffer_of(e, r->pass.cell);
    INVARIANT(e->in.open[k][i] != TICKET_NONE, "no receive is posted for rank %d, row %d", e->rank,
              e->row);
    wait_for(e, &e->in.open[k][i], r, "awaited from", from);
    return e->in.at[k][i];
}

/* The buffer that the pass writes; NULL where its output goes nowhere. */
static void *wait_output(struct engine *e, const struct running *r)
{
    int to = plan_receiver(&e->part->of, &r->pass), i = buffer_of(e, r->pass.cell);
    enum message_kind k = pass_kind_of(&r->pass);
    if (to < 0) return NULL;
    INVARIANT(!e->out.handed[k][i], "row %d: the message handed over has not been read yet",
              e->row);
    wait_for(e, &e->out.open[k][i], r, "previous message still in transit to", to);
    return e->out.at[k][i];
}

static void send_output(struct engine *e, const struct plan_pass *pass)
{
    int to = plan_receiver(&e->part->of, pass), i = buffer_of(e, pass->cell);
    enum message_kind k = pass_kind_of(pass);
    if (to == e->rank) e->out.handed[k][i] = true;
    if (to < 0 || to == e->rank) return;
    e->out.open[k][i] =
        p2p_send(e->p2p, to, tag_of(e, pass), e->out.at[k][i], e->stage.message_bytes);
}

/* What the pass has read may be overwritten. */
static void free_input(struct engine *e, struct plan_pass pass)
{
    if (plan_sender(&e->part->of, &pass) == e->rank)
        e->out.handed[pass_kind_of(&pass)][buffer_handed(e, &pass)] = false;
    pass.cell.mb += depth(e);
    post_receive(e, pass);
}

static void drain(struct engine *e)
{
    die_place("end of the %s plan: waiting for the last messages",
              plan_kind_name(e->part->of.kind));
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < BUFFERS; i++) {
            p2p_wait(e->p2p, e->out.open[k][i]);
            e->out.open[k][i] = TICKET_NONE;
        }
}

/* ---- passes ---- */

static int *slot_at(struct engine *e, struct plan_cell c)
{
    return &e->slot_of[held_of(e, c) * e->max_micro_batches + c.mb];
}

static void slot_take(struct engine *e, struct plan_cell c)
{
    INVARIANT(e->n_free > 0, "row %d needs more than %d activation slots", e->row, e->stage.slots);
    *slot_at(e, c) = e->free_slot[--e->n_free];
}

static void slot_release(struct engine *e, struct plan_cell c)
{
    e->free_slot[e->n_free++] = *slot_at(e, c);
}

static bool ends_weights(enum plan_op op)
{
    return op == PLAN_W || op == PLAN_BW;
}

/* Busy time begins after the waits, which count as messages. */
static void pass_start(struct engine *e, struct running *r)
{
    const struct plan_pass *p = &r->pass;
    if (p->op == PLAN_F) slot_take(e, p->cell);
    r->stage = (struct engine_pass){
        .op = p->op, .cell = p->cell, .slot = *slot_at(e, p->cell), .turn = r->turn};
    r->stage.last = ends_weights(p->op) && e->row == e->last_row[held_of(e, p->cell)];
    double messages = e->messages;
    r->stage.in = wait_input(e, r);
    r->stage.out = wait_output(e, r);
    r->stage.waited = e->messages - messages;
    double now = e->timeline ? device_clock(e->stage.device) : 0;
    r->span = record(e, r, SPAN_PASS, now, now);
    stopwatch_begin(&e->busy);
    e->stage.begin(e->stage.self, &r->stage);
    stopwatch_end(&e->busy);
}

static void pass_end(struct engine *e, struct running *r)
{
    if (r->span >= 0) e->timeline->span[r->span].end = device_clock(e->stage.device) - e->start;
    send_output(e, &r->pass);
    free_input(e, r->pass);
    if (r->pass.op == PLAN_F || r->pass.op == PLAN_BW)
        e->steps[r->pass.op != PLAN_F][held_of(e, r->pass.cell)] = r->steps;
    if (ends_weights(r->pass.op) || e->part->of.forward_only) slot_release(e, r->pass.cell);
}

/* One step, then a push for the messages. */
static void pass_step(struct engine *e, struct running *r)
{
    say_place(e, &r->pass, "", -1);
    double since = clock_now();
    stopwatch_begin(&e->busy);
    r->done = e->stage.step(e->stage.self, &r->stage);
    stopwatch_end(&e->busy);
    r->steps++;
    double waited = e->stage.waited ? e->stage.waited(e->stage.self) : 0;
    e->exchanges += waited;
    if (waited > 0) record(e, r, SPAN_WAIT, since, since + waited);
    if (r->done)
        pass_end(e, r);
    else
        p2p_poll(e->p2p);
}

static void run_pass(struct engine *e, struct running *r)
{
    pass_start(e, r);
    while (!r->done) pass_step(e, r);
}

/* May the forward advance now? So that its steps lie evenly between the backward's, and the last of
 * them, with which its message leaves, before the backward's last (with forward_last behind it).
 * Chunks may have more steps of one kind than of the other; as long as nothing is known of them,
 * they take turns. */
static bool forward_is_next(const struct engine *e, const struct running *f,
                            const struct running *b)
{
    int of_f = e->steps[0][held_of(e, f->pass.cell)], of_b = e->steps[1][held_of(e, b->pass.cell)];
    if (of_f == 0 || of_b <= 1) of_f = 1, of_b = 2;
    int before = e->stage.forward_last ? of_b : of_b - 1;
    return !f->done && (b->done || f->steps * before < b->steps * of_f);
}

/* The backward goes first: it starts by sending gradients back to the experts, and the forward with
 * attention, under which they travel (DeepSeek-V3 3.2.1, figure 4). Members of an exchange run the
 * same rows, so they have the same order. */
static void run_pair(struct engine *e, struct running *f, struct running *b)
{
    pass_start(e, b);
    pass_step(e, b);
    pass_start(e, f);
    while (!f->done || !b->done) pass_step(e, forward_is_next(e, f, b) ? f : b);
}

/* Two unpaired passes, step by step. An input part goes before a forward, as in a pair; what only
 * computes goes last. */
static void run_interleaved(struct engine *e, struct running *a, struct running *b)
{
    if (a->pass.op == PLAN_F && b->pass.op == PLAN_B) {
        struct running *first = b;
        b = a, a = first;
    }
    pass_start(e, a);
    pass_step(e, a);
    pass_start(e, b);
    pass_step(e, b);
    while (!a->done || !b->done) {
        if (!a->done) pass_step(e, a);
        if (!b->done) pass_step(e, b);
    }
}

/* Waits for messages are taken off a row's time: the planner's costs are without them. */
static void run_row(struct engine *e, const struct plan_row *row)
{
    struct plan_pass pass[2];
    struct running r[2];
    int n = plan_passes(row, pass);
    bool interleaved = row->op == PLAN_INTERLEAVED;
    struct engine_row *times = &e->times[row->op];
    double messages = e->messages, exchanges = e->exchanges;
    stopwatch_begin(&e->row_took[row->op]);
    for (int k = 0; k < n; k++)
        r[k] = (struct running){.pass = pass[k], .paired = n == 2, .turn = k};
    bool in_turn = n == 2 && (interleaved ? e->stage.any_interleaved : e->stage.in_turn);
    if (in_turn && interleaved)
        run_interleaved(e, &r[0], &r[1]);
    else if (in_turn)
        run_pair(e, &r[0], &r[1]);
    else
        for (int k = 0; k < n; k++) run_pass(e, &r[k]);
    times->n++;
    stopwatch_end(&e->row_took[row->op]);
    times->seconds -= e->messages - messages;
    times->waited += e->exchanges - exchanges;
}

static void run_rows(struct engine *e)
{
    for (e->row = 0; e->row < e->part->n_rows; e->row++) {
        watchdog_feed();
        run_row(e, &e->part->rows[e->row]);
    }
}

static void find_last_rows(struct engine *e)
{
    e->last_row[0] = e->last_row[1] = -1;
    for (int i = 0; i < e->part->n_rows; i++) {
        struct plan_pass pass[2];
        int n = plan_passes(&e->part->rows[i], pass);
        if (ends_weights(pass[n - 1].op)) e->last_row[held_of(e, pass[n - 1].cell)] = i;
    }
}

/* Whatever was measured before this run is dropped, also by those who wait for us. */
static void run_begin(struct engine *e, const struct plan_part *part)
{
    INVARIANT(part->of.stages == e->stages && part->rank == e->rank, "a plan of other ranks");
    INVARIANT(part->of.micro_batches <= e->max_micro_batches, "%d micro-batches, room for %d",
              part->of.micro_batches, e->max_micro_batches);
    e->part = part;
    e->held = plan_held(part->of.place, e->stages, e->rank, e->chunk);
    find_last_rows(e);
    e->start = device_clock(e->stage.device);
    e->messages = e->exchanges = 0;
    stopwatch_take(&e->busy); /* of a run whose times were not taken */
    for (int k = 0; k < PLAN_OPS; k++) stopwatch_take(&e->row_took[k]);
    memset(e->times, 0, sizeof e->times);
    for (e->n_free = 0; e->n_free < e->stage.slots; e->n_free++)
        e->free_slot[e->n_free] = e->stage.slots - 1 - e->n_free;
    p2p_waited(e->p2p); /* what was waited for before is not ours */
    if (e->stage.waited) e->stage.waited(e->stage.self);
}

static void times_take(struct engine *e, struct engine_times *t)
{
    *t = (struct engine_times){.total = device_clock(e->stage.device) - e->start};
    t->busy = stopwatch_take(&e->busy);
    t->exchanges = e->exchanges;
    t->exposed = e->messages + e->exchanges;
    t->bubble_fraction = t->total > 0 ? 1 - t->busy / t->total : 0;
    for (int k = 0; k < PLAN_OPS; k++) {
        struct engine_row sum = e->times[k];
        sum.seconds += stopwatch_take(&e->row_took[k]);
        if (sum.n > 0)
            t->row[k] = (struct engine_row){sum.n, sum.seconds / sum.n, sum.waited / sum.n};
    }
}

void engine_run(struct engine *e, const struct plan_part *part, struct engine_times *times)
{
    run_begin(e, part);
    post_first_receives(e);
    run_rows(e);
    drain(e);
    die_place(NULL);
    if (times) times_take(e, times);
}
