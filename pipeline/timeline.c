/* The list of spans itself, the plan's own one, and the text writer. timeline_svg.c and
 * timeline_trace.c draw. */
#include "pipeline/timeline.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

void timeline_new(struct timeline *t, int ranks, int room)
{
    *t = (struct timeline){.ranks = ranks, .room = room};
    t->span = memory_take(room > 0 ? (size_t)room : 1, sizeof *t->span, "a timeline");
}

void timeline_free(struct timeline *t)
{
    free(t->span);
    *t = (struct timeline){0};
}

bool timeline_add(struct timeline *t, struct timeline_span span)
{
    if (t->n == t->room) return false;
    t->span[t->n++] = span;
    return true;
}

char span_letter(const struct timeline *t, const struct timeline_span *s)
{
    return s->cell.dir == 1 || s->cell.chunk >= t->ranks ? 'b' : 'a';
}

double timeline_end(const struct timeline *t)
{
    double end = 0;
    for (int i = 0; i < t->n; i++)
        if (t->span[i].end > end) end = t->span[i].end;
    return end;
}

/* A rank's spans come in order of time, so what overlaps an earlier one shows by its start. */
double timeline_busy(const struct timeline *t, int rank)
{
    double busy = 0, until = 0;
    for (int i = 0; i < t->n; i++) {
        const struct timeline_span *s = &t->span[i];
        if (s->rank != rank || s->kind != SPAN_PASS || s->end <= until) continue;
        busy += s->end - (s->start > until ? s->start : until);
        until = s->end;
    }
    return busy;
}

/* ---- a plan as it is predicted ---- */

/* The simulator times whole rows; both passes of a pair get the row's span. */
static void add_rows(struct timeline *t, const struct plan *plan, const struct sim *sim, int rank)
{
    for (int i = 0; i < plan->n_rows[rank]; i++) {
        struct plan_pass pass[2];
        int n = plan_passes(&plan->rows[rank][i], pass);
        for (int k = 0; k < n; k++)
            timeline_add(t, (struct timeline_span){.rank = rank,
                                                   .op = pass[k].op,
                                                   .cell = pass[k].cell,
                                                   .paired = n == 2,
                                                   .lower = k == 1,
                                                   .kind = SPAN_PASS,
                                                   .start = sim->start[rank][i],
                                                   .end = sim->end[rank][i]});
    }
}

void timeline_of_sim(struct timeline *t, const struct plan *plan, const struct sim *sim)
{
    int room = 0;
    for (int r = 0; r < plan->stages; r++) room += 2 * plan->n_rows[r];
    timeline_new(t, plan->stages, room);
    for (int r = 0; r < plan->stages; r++) add_rows(t, plan, sim, r);
}

/* ---- text ---- */

static char letter(const struct timeline_span *s)
{
    static const char of[] = {[PLAN_F] = 'F', [PLAN_B] = 'I', [PLAN_W] = 'W', [PLAN_BW] = 'B'};
    return s->paired ? 'X' : of[s->op];
}

/* What is under the middle of a column stands for it. */
static void text_rank(const struct timeline *t, int rank, char *line, int columns, double each)
{
    memset(line, '.', (size_t)columns);
    for (int i = 0; i < t->n; i++) {
        const struct timeline_span *s = &t->span[i];
        if (s->rank != rank || s->kind != SPAN_PASS) continue;
        int at = (int)(s->start / each + 0.5);
        for (; at < columns && (at + 0.5) * each < s->end; at++) line[at] = letter(s);
    }
}

/* All timelines share one scale, so that predicted and measured can be compared by eye. */
void timeline_text(FILE *out, const struct timeline_drawing *d, int columns)
{
    char *line = memory_take((size_t)columns + 1, 1, "a timeline");
    double end = 0;
    for (int k = 0; k < d->n; k++)
        if (timeline_end(d->timeline[k]) > end) end = timeline_end(d->timeline[k]);
    double each = end > 0 ? end / columns : 1;
    for (int k = 0; k < d->n; k++) {
        const struct timeline *t = d->timeline[k];
        int width = snprintf(NULL, 0, "%d", t->ranks - 1);
        fprintf(out, "%s: %.4g %s\n", d->name[k], timeline_end(t) / d->per_unit, d->unit);
        for (int r = 0; r < t->ranks; r++) {
            text_rank(t, r, line, columns, each);
            fprintf(out, "r%-*d  %s\n", width, r, line);
        }
    }
    fprintf(out,
            "one character is %.3g %s: F forward, B backward, I its input part, W weight part, X a "
            "pair, . idle\n",
            each / d->per_unit, d->unit);
    free(line);
}
