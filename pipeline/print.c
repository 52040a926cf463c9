/* A plan for eyes (text: a line a rank, as the papers draw it; the same over time) and for programs
 * (JSON). */
#include "pipeline/schedules.h"

/* a: down the ranks, b: up, whether as the other direction or as the way back of a vee. */
static char way_letter(const struct plan *plan, struct plan_cell c)
{
    return (char)('a' + (c.dir || c.chunk >= plan->stages));
}

static int text_cell(FILE *out, const struct plan *plan, const char *op, struct plan_cell c)
{
    return fprintf(out, "%s%c%d", op, way_letter(plan, c), c.mb);
}

/* F forward, B full backward, I its input part alone, W the oldest waiting weight part. Returns how
 * many characters it took. */
static int text_row(FILE *out, const struct plan *plan, const struct plan_row *row)
{
    switch (row->op) {
    case PLAN_F: return text_cell(out, plan, "F", row->f);
    case PLAN_B: return text_cell(out, plan, "I", row->b);
    case PLAN_BW: return text_cell(out, plan, "B", row->b);
    case PLAN_W: return fprintf(out, "W");
    case PLAN_FB:
    case PLAN_INTERLEAVED:
    case PLAN_OPS: break;
    }
    struct plan_pass pass[2];
    int n = plan_passes(row, pass), printed = 0;
    for (int k = 0; k < n; k++) {
        struct plan_row alone = {.op = pass[k].op, .f = pass[k].cell, .b = pass[k].cell};
        printed += fprintf(out, k == 0 ? "[" : "|") + text_row(out, plan, &alone);
    }
    return printed + fprintf(out, "]");
}

static void print_rank(FILE *out, const struct plan *plan, int rank)
{
    fprintf(out, "r%-*d ", snprintf(NULL, 0, "%d", plan->stages - 1), rank);
}

void plan_print_rows(FILE *out, const struct plan *plan, int rank, int from, int to)
{
    for (int i = from; i < to; i++) {
        fputc(' ', out);
        text_row(out, plan, &plan->rows[rank][i]);
    }
}

static void print_text(FILE *out, const struct plan *plan)
{
    for (int r = 0; r < plan->stages; r++) {
        print_rank(out, plan, r);
        plan_print_rows(out, plan, r, 0, plan->n_rows[r]);
        fputc('\n', out);
    }
}

static void json_cell(FILE *out, struct plan_cell c)
{
    fprintf(out, "\"dir\": %d, \"chunk\": %d, \"mb\": %d", c.dir, c.chunk, c.mb);
}

/* A pair has both cells, f and b; an interleaved row says which two operations. */
static void json_row(FILE *out, const struct plan_row *row)
{
    fprintf(out, "{\"op\": \"%s\", ", plan_op_name(row->op));
    if (row->op == PLAN_INTERLEAVED) {
        for (int k = 0; k < 2; k++) {
            fprintf(out, "%s\"%s\": {\"op\": \"%s\", ", k ? "}, " : "", k ? "second" : "first",
                    plan_op_name(row->interleaved[k]));
            json_cell(out, k ? row->b : row->f);
        }
        fputs("}", out);
    } else if (row->op == PLAN_FB) {
        fputs("\"f\": {", out);
        json_cell(out, row->f);
        fputs("}, \"b\": {", out);
        json_cell(out, row->b);
        fputs("}", out);
    } else {
        json_cell(out, row->op == PLAN_F ? row->f : row->b);
    }
    fputc('}', out);
}

/* For programs; PLAN_JSON of duet plan. */
static void print_json(FILE *out, const struct plan *plan)
{
    fprintf(out, "{\"schedule\": \"%s\", \"stages\": %d, \"micro_batches\": %d, \"ranks\": [",
            plan_kind_name(plan->kind), plan->stages, plan->micro_batches);
    for (int r = 0; r < plan->stages; r++) {
        fprintf(out, "%s\n  {\"rank\": %d, \"rows\": [", r ? "," : "", r);
        for (int i = 0; i < plan->n_rows[r]; i++) {
            fputs(i ? ",\n    " : "\n    ", out);
            json_row(out, &plan->rows[r][i]);
        }
        fputs("]}", out);
    }
    fputs("\n]}\n", out);
}

void plan_print(FILE *out, const struct plan *plan, enum plan_format format)
{
    (format == PLAN_JSON ? print_json : print_text)(out, plan);
}

/* ---- over time ---- */

static void fill(FILE *out, char c, int n)
{
    while (n-- > 0) fputc(c, out);
}

/* A unit of time is `width` characters: '.' while the rank idles, '-' while a row lasts. */
static void timeline_rank(FILE *out, const struct plan *plan, int r, const struct sim *sim,
                          int width)
{
    int now = 0;
    for (int i = 0; i < plan->n_rows[r]; i++) {
        for (; now < (int)sim->start[r][i]; now++) {
            fputs(" .", out);
            fill(out, ' ', width - 2);
        }
        int units = (int)(sim->end[r][i] - sim->start[r][i]);
        fputc(' ', out);
        fill(out, '-', units * width - 1 - text_row(out, plan, &plan->rows[r][i]));
        now += units;
    }
}

/* Drawn with unit times (a pair takes 3), as the papers' figures are. */
void plan_print_timeline(FILE *out, const struct plan *plan)
{
    int width = snprintf(NULL, 0, " Fa%d", plan_per_direction(plan) - 1);
    struct sim_table unit;
    struct sim sim;
    sim_table_even(&unit, plan->chunks, &(struct plan_costs){1, 1, 1, 3});
    sim_new(&sim, plan);
    INVARIANT(sim_run(&sim, plan, &unit.sim), "the plan hangs");
    for (int r = 0; r < plan->stages; r++) {
        print_rank(out, plan, r);
        timeline_rank(out, plan, r, &sim, width);
        fputc('\n', out);
    }
    sim_free(&sim);
    sim_table_free(&unit);
}
