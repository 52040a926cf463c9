/* dualpipe and dualpipev, from one table: micro-batches come from two sides, and in the steady
 * state every row is a forward of one stream overlapped with a backward of the other (DeepSeek-V3
 * report, section 3.2.1; the phases are those of `step` in deepseek-ai/DualPipe,
 * dualpipe/dualpipe.py and dualpipev.py).
 *
 *                     dualpipe (mirror)                      dualpipev (vee)
 *   N, the near one   enters at the nearer end, direction    chunk r, on the way down
 *                     0 on the lower half of the ranks
 *   R, the other      the other direction                    chunk 2P-1-r, on the way back
 *   c                 M/2 micro-batches each                 M
 *   H                 P/2                                    P
 *   h                 min(r, P-1-r), the distance to the     r
 *                     nearer end
 *
 * F forward, B full backward, I backward for the input only (its weight part waits in a queue), W
 * the oldest waiting weight part, [F x|B y] an overlapped pair.
 *
 *   step 1   x 2(H-h-1)      F N
 *   step 2   x (h+1)         F N ; F R
 *   step 3   x (H-h-1)       I R ; W ; F R
 *   step 4   x (c-2H+h+1)    [F N|B R] ; [F R|B N]
 *   step 5   x (H-h-1)       B R ; [F R|B N]
 *   step 6   x (h+1)         B R ; B N
 *   step 7   x (H-h-1)       W ; I N
 *   step 8   x (h+1)         W
 *
 * Two exceptions. The first pair of step 4 is not fused where h = H-1: the two middle ranks are
 * each other's turn-round (a vee's last rank is its own), and the message is wanted sooner. In step
 * 6 the backwards become I from iteration floor((h+1)/2) on: before its B R if h is odd, after it
 * if h is even, so that exactly h+1 weight parts wait to fill the end.
 *
 * A rank holds at most 2H+1 micro-batches of either stream together until their B. */
#include "pipeline/simulate.h"

enum { N, R };

/* Where the making of one rank's rows stands. */
struct dual_progress {
    struct plan_part *part;
    struct plan_cell stream[2]; /* direction and chunk of N and R */
    int f[2], b[2];             /* next micro-batch to go forward, backward, of N and R */
    int w;                      /* the rows before this one have no weight part waiting */
};

static struct plan_cell cell(const struct dual_progress *p, int stream, int mb)
{
    struct plan_cell c = p->stream[stream];
    c.mb = mb;
    return c;
}

static struct plan_cell next_f(struct dual_progress *p, int s)
{
    return cell(p, s, p->f[s]++);
}
static struct plan_cell next_b(struct dual_progress *p, int s)
{
    return cell(p, s, p->b[s]++);
}

static void forward(struct dual_progress *p, int s)
{
    plan_part_add(p->part, PLAN_F, next_f(p, s), (struct plan_cell){0});
}

static void backward(struct dual_progress *p, int s)
{
    plan_part_add(p->part, PLAN_BW, (struct plan_cell){0}, next_b(p, s));
}

static void backward_input(struct dual_progress *p, int s)
{
    plan_part_add(p->part, PLAN_B, (struct plan_cell){0}, next_b(p, s));
}

/* The rows themselves are the queue: the oldest I whose weight part has not run. */
static void weight(struct dual_progress *p)
{
    const struct plan_row *rows = p->part->rows;
    while (rows[p->w].op != PLAN_B) p->w++;
    plan_part_add(p->part, PLAN_W, (struct plan_cell){0}, rows[p->w++].b);
}

static void pair(struct dual_progress *p, int f, int b)
{
    struct plan_cell fc = next_f(p, f), bc = next_b(p, b);
    plan_part_add(p->part, PLAN_FB, fc, bc);
}

/* The first pair of the middle ranks is not fused: the first exception above. */
static void step_4(struct dual_progress *p, int times, bool middle)
{
    for (int i = 0; i < times; i++) {
        if (i == 0 && middle) {
            forward(p, N);
            backward(p, R);
        } else {
            pair(p, N, R);
        }
        pair(p, R, N);
    }
}

static void step_6(struct dual_progress *p, int h)
{
    int defer_from = 2 * ((h + 1) / 2) + (h % 2 == 0); /* of the 2(h+1) backwards, in order */
    for (int i = 0; i < 2 * (h + 1); i++) {
        int stream = i % 2 == 0 ? R : N;
        if (i < defer_from)
            backward(p, stream);
        else
            backward_input(p, stream);
    }
}

/* Lays the two held chunks out as N and R; returns h. */
static int streams(struct dual_progress *p)
{
    const struct plan *plan = &p->part->of;
    int P = plan->stages, r = p->part->rank, chunk[2];
    bool upper = plan->place == PLACE_MIRROR && r >= P / 2;
    plan_held(plan->place, P, r, chunk);
    for (int k = 0; k < 2; k++)
        p->stream[upper ? 1 - k : k] =
            (struct plan_cell){plan_held_dir(plan->place, k), chunk[k], 0};
    return upper ? P - 1 - r : r;
}

/* Steps 1 to 8 of the table above. */
void plan_make_dual(struct plan_part *part)
{
    struct dual_progress progress = {.part = part}, *p = &progress;
    int h = streams(p), c = plan_per_direction(&part->of);
    int H = part->of.chunks / 2, outer = H - h - 1;

    for (int i = 0; i < 2 * outer; i++) forward(p, N);
    for (int i = 0; i < h + 1; i++) forward(p, N), forward(p, R);
    for (int i = 0; i < outer; i++) backward_input(p, R), weight(p), forward(p, R);
    step_4(p, c - 2 * H + h + 1, outer == 0);
    for (int i = 0; i < outer; i++) backward(p, R), pair(p, R, N);
    step_6(p, h);
    for (int i = 0; i < outer; i++) weight(p), backward_input(p, N);
    for (int i = 0; i < h + 1; i++) weight(p);
}

/* Half of the chunks stand between a rank and the farther end: P/2 in a mirror, P in a vee. */
double plan_idle_dual(int chunks, int micro_batches, const struct plan_costs *c)
{
    (void)micro_batches;
    return (chunks / 2 - 1) * (c->fb + c->b - 2 * c->w);
}
