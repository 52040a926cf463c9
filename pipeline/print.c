/* A plan for eyes (text: a line a rank, as the papers draw it) and for programs (JSON). */
#include "pipeline/plan.h"

static char dir_letter(int dir)
{
    return (char)('a' + dir);
}

static void text_cell(FILE *out, const char *op, struct plan_cell c)
{
    fprintf(out, "%s%c%d", op, dir_letter(c.dir), c.mb);
}

/* F forward, B full backward, I its input part alone, W the oldest waiting weight part. */
static void text_row(FILE *out, const struct plan_row *row)
{
    switch (row->op) {
    case PLAN_F: text_cell(out, "F", row->f); return;
    case PLAN_B: text_cell(out, "I", row->b); return;
    case PLAN_BW: text_cell(out, "B", row->b); return;
    case PLAN_W: fputc('W', out); return;
    case PLAN_FB:
        text_cell(out, "[F", row->f);
        text_cell(out, "|B", row->b);
        fputc(']', out);
    }
}

static void print_text(FILE *out, const struct plan *plan)
{
    int width = snprintf(NULL, 0, "%d", plan->stages - 1);
    for (int r = 0; r < plan->stages; r++) {
        fprintf(out, "r%-*d ", width, r);
        for (int i = 0; i < plan->n_rows[r]; i++) {
            fputc(' ', out);
            text_row(out, &plan->rows[r][i]);
        }
        fputc('\n', out);
    }
}

static void json_cell(FILE *out, struct plan_cell c)
{
    fprintf(out, "\"dir\": %d, \"chunk\": %d, \"mb\": %d", c.dir, c.chunk, c.mb);
}

static void json_row(FILE *out, const struct plan_row *row)
{
    fprintf(out, "{\"op\": \"%s\", ", plan_op_name(row->op));
    if (row->op == PLAN_FB) {
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
