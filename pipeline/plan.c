/* What all plans share: where a chunk lives, and the lists of rows. How rows follow each other is
 * in one file a schedule; which schedules there are is in schedules.c. */
#include "pipeline/plan.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"

static const char *const OP_NAMES[PLAN_OPS] = {
    [PLAN_F] = "F",   [PLAN_B] = "B",    [PLAN_W] = "W",
    [PLAN_BW] = "BW", [PLAN_FB] = "F+B", [PLAN_INTERLEAVED] = "interleaved"};

const char *plan_op_name(enum plan_op op)
{
    return OP_NAMES[op];
}

/* ---- where things live ---- */

int plan_chunks(enum plan_place place, int stages)
{
    return place == PLACE_VEE ? 2 * stages : stages;
}

int plan_held(enum plan_place place, int stages, int rank, int chunk[2])
{
    chunk[0] = rank;
    if (place == PLACE_LINE) return 1;
    chunk[1] = plan_chunks(place, stages) - 1 - rank;
    return 2;
}

int plan_held_dir(enum plan_place place, int k)
{
    return place == PLACE_MIRROR ? k : 0;
}

int plan_rank(enum plan_place place, int stages, int chunk, int dir)
{
    bool back = place == PLACE_MIRROR ? dir == 1 : place == PLACE_VEE && chunk >= stages;
    return back ? plan_chunks(place, stages) - 1 - chunk : chunk;
}

int plan_neighbours(enum plan_place place, int stages, int rank, int out[PLAN_NEIGHBOURS])
{
    int chunk[2], held = plan_held(place, stages, rank, chunk), n = 0;
    for (int k = 0; k < held; k++)
        for (int step = -1; step <= 1; step += 2) {
            int there = chunk[k] + step, i = 0;
            if (there < 0 || there >= plan_chunks(place, stages)) continue;
            out[n] = plan_rank(place, stages, there, plan_held_dir(place, k));
            while (out[i] != out[n]) i++;
            n += i == n && out[n] != rank;
        }
    return n;
}

int plan_per_direction(const struct plan *plan)
{
    return plan->micro_batches / plan->directions;
}

/* Rank of the chunk `step` after this pass's, or -1 past an end of the model. */
static int neighbour(const struct plan *plan, const struct plan_pass *pass, int step)
{
    int chunk = pass->cell.chunk + step;
    if (pass->op == PLAN_W || chunk < 0 || chunk >= plan->chunks) return -1;
    return plan_rank(plan->place, plan->stages, chunk, pass->cell.dir);
}

int plan_sender(const struct plan *plan, const struct plan_pass *pass)
{
    return neighbour(plan, pass, pass->op == PLAN_F ? -1 : 1);
}

int plan_receiver(const struct plan *plan, const struct plan_pass *pass)
{
    return neighbour(plan, pass, pass->op == PLAN_F ? 1 : -1);
}

/* ---- lists of rows ---- */

int plan_passes(const struct plan_row *row, struct plan_pass out[2])
{
    if (row->op == PLAN_FB || row->op == PLAN_INTERLEAVED) {
        bool interleaved = row->op == PLAN_INTERLEAVED;
        out[0] = (struct plan_pass){interleaved ? row->interleaved[0] : PLAN_F, row->f};
        out[1] = (struct plan_pass){interleaved ? row->interleaved[1] : PLAN_BW, row->b};
        return 2;
    }
    out[0] = (struct plan_pass){row->op, row->op == PLAN_F ? row->f : row->b};
    return 1;
}

bool plan_row_interleaved(struct plan_row *out, struct plan_pass a, struct plan_pass b)
{
    if (a.op > b.op || a.op > PLAN_B || b.op > PLAN_W) return false;
    *out = (struct plan_row){PLAN_INTERLEAVED, a.cell, b.cell, {a.op, b.op}};
    return true;
}

static void plan_reserve(struct plan *plan, int rank, int rows)
{
    plan->rows[rank] = memory_take((size_t)rows, sizeof *plan->rows[rank], "a plan");
    plan->n_rows[rank] = 0;
}

void plan_add(struct plan *plan, int rank, enum plan_op op, struct plan_cell f, struct plan_cell b)
{
    plan->rows[rank][plan->n_rows[rank]++] = (struct plan_row){.op = op, .f = f, .b = b};
}

void plan_part_add(struct plan_part *part, enum plan_op op, struct plan_cell f, struct plan_cell b)
{
    part->rows[part->n_rows++] = (struct plan_row){.op = op, .f = f, .b = b};
}

int plan_room(const struct plan *plan)
{
    return 3 * plan->micro_batches * (plan->chunks / plan->stages);
}

static struct plan plan_shape(enum plan_kind k, enum plan_place place, int stages,
                              int micro_batches)
{
    return (struct plan){.kind = k,
                         .place = place,
                         .stages = stages,
                         .micro_batches = micro_batches,
                         .chunks = plan_chunks(place, stages),
                         .directions = place == PLACE_MIRROR ? 2 : 1};
}

void plan_begin(struct plan *plan, enum plan_kind k, enum plan_place place, int stages,
                int micro_batches)
{
    *plan = plan_shape(k, place, stages, micro_batches);
    plan->n_rows = memory_take((size_t)stages, sizeof *plan->n_rows, "a plan");
    plan->rows = memory_take((size_t)stages, sizeof *plan->rows, "a plan");
    for (int r = 0; r < stages; r++) plan_reserve(plan, r, plan_room(plan));
}

struct plan_part plan_part_of(const struct plan *plan, int rank)
{
    struct plan_part part = {.of = *plan, .rank = rank, .room = plan_room(plan)};
    part.of.n_rows = NULL;
    part.of.rows = NULL;
    part.n_rows = plan->n_rows[rank];
    part.rows = plan->rows[rank];
    return part;
}

/* Used for log-probabilities of the reference model: the forwards keep the plan's order. */
static void fill_forwards(struct plan_part *out, const struct plan_part *whole)
{
    out->of.forward_only = true;
    for (int i = 0; i < whole->n_rows; i++) {
        const struct plan_row *row = &whole->rows[i];
        struct plan_pass pass[2];
        plan_passes(row, pass);
        if (row->op == PLAN_INTERLEAVED && row->interleaved[1] == PLAN_F)
            out->rows[out->n_rows++] = *row;
        else if (pass[0].op == PLAN_F)
            plan_part_add(out, PLAN_F, pass[0].cell, (struct plan_cell){0});
    }
}

void plan_forward_only(struct plan *out, const struct plan *plan)
{
    plan_begin(out, plan->kind, plan->place, plan->stages, plan->micro_batches);
    out->forward_only = true;
    for (int r = 0; r < plan->stages; r++) {
        const struct plan_part whole = plan_part_of(plan, r);
        struct plan_part part = plan_part_of(out, r);
        fill_forwards(&part, &whole);
        out->n_rows[r] = part.n_rows;
    }
}

void plan_copy(struct plan *out, const struct plan *plan)
{
    plan_begin(out, plan->kind, plan->place, plan->stages, plan->micro_batches);
    out->forward_only = plan->forward_only;
    for (int r = 0; r < plan->stages; r++) {
        out->n_rows[r] = plan->n_rows[r];
        memcpy(out->rows[r], plan->rows[r], (size_t)plan->n_rows[r] * sizeof *plan->rows[r]);
    }
}

/* ---- in place ---- */

void plan_part_place(struct plan_part *part, enum plan_place place, int stages, int rank, int most,
                     struct arena *a)
{
    *part = (struct plan_part){.of = plan_shape(PLAN_SERIAL, place, stages, most), .rank = rank};
    part->room = plan_room(&part->of);
    part->rows = arena_take_n(a, (size_t)part->room, sizeof *part->rows);
    part->of.micro_batches = 0; /* none yet */
}

void plan_part_again(struct plan_part *part, enum plan_kind k, int micro_batches)
{
    part->of = plan_shape(k, part->of.place, part->of.stages, micro_batches);
    part->n_rows = 0;
    INVARIANT(plan_room(&part->of) <= part->room, "%d micro-batches, room for %d rows",
              micro_batches, part->room);
}

void plan_part_forward(struct plan_part *part, const struct plan_part *whole)
{
    plan_part_again(part, whole->of.kind, whole->of.micro_batches);
    fill_forwards(part, whole);
}

void plan_free(struct plan *plan)
{
    for (int r = 0; plan->rows && r < plan->stages; r++) free(plan->rows[r]);
    free(plan->rows);
    free(plan->n_rows);
    *plan = (struct plan){0};
}
