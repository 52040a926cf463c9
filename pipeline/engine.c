/* Row after row: wait for what a pass reads, step it, send what it wrote.
 *
 * Messages form four streams on a rank: activations and gradients of either direction. Within a stream they
 * come in micro-batch order, so message m of a stream has buffer m mod depth, on either side:
 *
 *   incoming   the first `depth` receives are posted at the start, and the receive of message m + depth when
 *              the pass that read m is done
 *   outgoing   a pass writes straight into the buffer, which is sent at once when the pass is done; only who
 *              needs the buffer again waits for the send
 *
 * Streams never wait for each other's buffers: that is why a plan that plan_check passes cannot hang here
 * (pipeline/measure.h). A plan of one direction has the buffers of the other as well. In an overlapped
 * pair the forward runs first and its message leaves before the backward starts: in the
 * steady state neighbours answer each other row by row and have no slack. */
#include "pipeline/engine.h"

#include <stdlib.h>

#include "comm/base/arena.h"
#include "comm/base/log.h"
#include "comm/world.h"

enum kind { ACTIVATION, GRADIENT, KINDS };
enum { DEPTH = 2, BUFFERS = 2 * DEPTH }; /* of a stream in a plan of two directions; of a kind */
enum { TAG_MB = 65536 };                 /* tag = (kind * 2 + dir) * TAG_MB + micro-batch */
_Static_assert(ENGINE_OPEN == 2 * KINDS * BUFFERS, "incoming and outgoing of either kind");

struct buffers {
    unsigned char *at[KINDS][BUFFERS];
    ticket open[KINDS][BUFFERS];
};

struct engine {
    struct p2p *p2p;
    struct stage stage;
    int rank, stages, max_micro_batches;
    struct arena arena;
    struct buffers in, out;
    int *free_slot, n_free; /* activation slots not in use, a stack */
    int *slot_of;           /* [dir][mb], stride max_micro_batches */

    const struct plan *plan; /* under way */
    int row;
    double busy;
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

static void engine_place(struct engine *e, struct arena *a)
{
    size_t bytes = e->stages > 1 ? e->stage.message_bytes : 0;
    buffers_place(&e->in, bytes, a);
    buffers_place(&e->out, bytes, a);
    e->free_slot = arena_take_n(a, (size_t)e->stage.slots, sizeof *e->free_slot);
    e->slot_of = arena_take_n(a, 2 * (size_t)e->max_micro_batches, sizeof *e->slot_of);
}

struct engine *engine_new(struct p2p *p2p, int rank, int stages, const struct stage *stage,
                          int max_micro_batches)
{
    INVARIANT(max_micro_batches <= TAG_MB, "%d micro-batches", max_micro_batches);
    struct engine *e = calloc(1, sizeof *e);
    SYS_OK(e != NULL, "free memory on this host", "no memory for an engine");
    *e = (struct engine){.p2p = p2p, .stage = *stage, .rank = rank, .stages = stages};
    e->max_micro_batches = max_micro_batches;
    engine_place(e, &e->arena);
    arena_back(&e->arena, e->arena.used);
    engine_place(e, &e->arena);
    return e;
}

void engine_free(struct engine *e)
{
    if (!e) return;
    arena_free(&e->arena);
    free(e);
}

size_t engine_bytes(const struct engine *e)
{
    return e->arena.size;
}

size_t engine_measure(int stages, const struct stage *stage, int max_micro_batches)
{
    struct engine e = {.stage = *stage, .stages = stages, .max_micro_batches = max_micro_batches};
    engine_place(&e, &e.arena);
    return e.arena.used;
}

/* ---- streams ---- */

static enum kind kind_of(const struct plan_pass *pass)
{
    return pass->op == PLAN_F ? ACTIVATION : GRADIENT;
}

static int depth(const struct engine *e)
{
    return BUFFERS / e->plan->directions;
}

/* Which buffer of its kind a message has, on the sender's and on the receiver's side. */
static int buffer_of(const struct engine *e, struct plan_cell c)
{
    return c.dir * depth(e) + c.mb % depth(e);
}

static int tag_of(const struct plan_pass *pass)
{
    return ((int)kind_of(pass) * 2 + pass->cell.dir) * TAG_MB + pass->cell.mb;
}

/* Posts the receive of what `pass` reads, if there is such a pass and it reads a message. */
static void post_receive(struct engine *e, struct plan_pass pass)
{
    int from = plan_sender(e->plan, &pass), i = buffer_of(e, pass.cell);
    enum kind k = kind_of(&pass);
    if (from < 0 || pass.cell.mb >= plan_per_direction(e->plan)) return;
    INVARIANT(e->in.open[k][i] == TICKET_NONE, "receive buffer %d is in use", i);
    e->in.open[k][i] =
        p2p_recv(e->p2p, from, tag_of(&pass), e->in.at[k][i], e->stage.message_bytes);
}

static void post_first_receives(struct engine *e)
{
    int chunk[2], held = plan_held(e->plan->place, e->stages, e->rank, chunk);
    for (int k = 0; k < held; k++)
        for (int m = 0; m < depth(e); m++) {
            struct plan_cell c = {plan_held_dir(e->plan->place, k), chunk[k], m};
            post_receive(e, (struct plan_pass){PLAN_F, c});
            if (!e->plan->forward_only) post_receive(e, (struct plan_pass){PLAN_BW, c});
        }
}

/* What a hang or a failure would say of this rank. */
static void say_place(const struct engine *e, const struct plan_pass *pass, const char *doing,
                      int peer)
{
    const char *what = kind_of(pass) == ACTIVATION ? "activation" : "gradient";
    char where[80] = "";
    if (peer >= 0) snprintf(where, sizeof where, ", %s %s rank %d", what, doing, peer);
    die_place("row %d of %d of the %s plan: %s of chunk %d, direction %d, micro-batch %d%s", e->row,
              e->plan->n_rows[e->rank], plan_kind_name(e->plan->kind), plan_op_name(pass->op),
              pass->cell.chunk, pass->cell.dir, pass->cell.mb, where);
}

static void wait_for(struct engine *e, ticket *open, const struct plan_pass *pass,
                     const char *doing, int peer)
{
    say_place(e, pass, doing, peer);
    p2p_wait(e->p2p, *open);
    *open = TICKET_NONE;
}

/* The message that the pass reads; NULL where it reads none. */
static const void *wait_input(struct engine *e, const struct plan_pass *pass)
{
    int from = plan_sender(e->plan, pass), i = buffer_of(e, pass->cell);
    enum kind k = kind_of(pass);
    if (from < 0) return NULL;
    INVARIANT(e->in.open[k][i] != TICKET_NONE, "no receive is posted for rank %d, row %d", e->rank,
              e->row);
    wait_for(e, &e->in.open[k][i], pass, "awaited from", from);
    return e->in.at[k][i];
}

/* The buffer that the pass writes; NULL where nobody takes what it makes. */
static void *wait_output(struct engine *e, const struct plan_pass *pass)
{
    int to = plan_receiver(e->plan, pass), i = buffer_of(e, pass->cell);
    enum kind k = kind_of(pass);
    if (to < 0) return NULL;
    wait_for(e, &e->out.open[k][i], pass, "before it still on its way to", to);
    return e->out.at[k][i];
}

static void send_output(struct engine *e, const struct plan_pass *pass)
{
    int to = plan_receiver(e->plan, pass), i = buffer_of(e, pass->cell);
    enum kind k = kind_of(pass);
    if (to < 0) return;
    e->out.open[k][i] = p2p_send(e->p2p, to, tag_of(pass), e->out.at[k][i], e->stage.message_bytes);
}

static void drain(struct engine *e)
{
    die_place("end of the %s plan: the last messages are on their way",
              plan_kind_name(e->plan->kind));
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < BUFFERS; i++) {
            p2p_wait(e->p2p, e->out.open[k][i]);
            e->out.open[k][i] = TICKET_NONE;
        }
}

/* ---- passes ---- */

static int *slot_at(struct engine *e, struct plan_cell c)
{
    return &e->slot_of[c.dir * e->max_micro_batches + c.mb];
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

static bool slot_ends(const struct engine *e, enum plan_op op)
{
    return op == PLAN_W || op == PLAN_BW || e->plan->forward_only;
}

/* Begins and steps the pass to its end, giving messages a push between steps. */
static void step_pass(struct engine *e, const struct stage_pass *s)
{
    double since = clock_now();
    e->stage.begin(e->stage.self, s);
    for (bool done = false; !done;) {
        done = e->stage.step(e->stage.self, s);
        e->busy += clock_now() - since;
        if (!done) p2p_poll(e->p2p);
        since = clock_now();
    }
}

static void run_pass(struct engine *e, const struct plan_pass *pass)
{
    struct plan_pass later = *pass;
    if (pass->op == PLAN_F) slot_take(e, pass->cell);
    struct stage_pass s = {.op = pass->op, .cell = pass->cell, .slot = *slot_at(e, pass->cell)};
    s.in = wait_input(e, pass);
    s.out = wait_output(e, pass);
    say_place(e, pass, "", -1);
    step_pass(e, &s);
    send_output(e, pass);
    later.cell.mb += depth(e);
    post_receive(e, later);
    if (slot_ends(e, pass->op)) slot_release(e, pass->cell);
}

static void run_rows(struct engine *e)
{
    for (e->row = 0; e->row < e->plan->n_rows[e->rank]; e->row++) {
        struct plan_pass pass[2];
        int n = plan_passes(&e->plan->rows[e->rank][e->row], pass);
        watchdog_feed();
        for (int k = 0; k < n; k++) run_pass(e, &pass[k]);
    }
}

void engine_run(struct engine *e, const struct plan *plan, struct engine_times *times)
{
    INVARIANT(plan->stages == e->stages && plan->micro_batches <= e->max_micro_batches,
              "plan of %d stages, %d micro-batches; the engine has %d, %d", plan->stages,
              plan->micro_batches, e->stages, e->max_micro_batches);
    double since = clock_now(), exposed;
    e->plan = plan;
    e->busy = 0;
    for (e->n_free = 0; e->n_free < e->stage.slots; e->n_free++)
        e->free_slot[e->n_free] = e->stage.slots - 1 - e->n_free;
    p2p_waited(e->p2p); /* what was waited for before is not ours */
    post_first_receives(e);
    run_rows(e);
    exposed = p2p_waited(e->p2p);
    drain(e);
    die_place(NULL);
    if (!times) return;
    double total = clock_now() - since;
    *times = (struct engine_times){total, e->busy, exposed, total > 0 ? 1 - e->busy / total : 0};
}
