/* A timeline as one SVG file that needs nothing else: style inside, titles (shown under the
 * pointer) on every span.
 *
 * Time runs to the right on one axis for both timelines. A row has two lanes: a pass fills both,
 * the halves of a pair one each, F above. Waits are a thin red line at the foot of the row,
 * exchanges a violet one. */
#include "pipeline/timeline.h"

#include <math.h>

enum {
    LEFT = 56,
    RIGHT = 28,
    HEAD = 62,
    ROW = 26,
    GAP = 6,
    BLOCK_HEAD = 24,
    AXIS = 34,
    MIN_WIDTH = 960,
    MAX_WIDTH = 6000
};

struct sheet {
    FILE *out;
    const struct timeline_drawing *d;
    double width, height; /* pixels */
    double end, scale;    /* time on the axis; pixels a unit of the spans' time */
};

/* F, input part, weight part, full backward; a pair's halves have the same colours and a dark edge.
 * Either direction its own shade. */
static const char *const STYLE =
    "text{font:12px sans-serif;fill:#222}.t{font-size:15px;font-weight:bold}.l{font-size:10px;"
    "text-anchor:middle}.r{text-anchor:end}.m{text-anchor:middle}"
    "rect{stroke:#fff;stroke-width:.6}.bg{fill:#f3f3f1;stroke:none}.p{stroke:#333;stroke-width:.8}"
    ".F0{fill:#7db3e8}.F1{fill:#b4d4f2}.B0{fill:#8fcf8a}.B1{fill:#c3e6bf}.W0{fill:#f0d27a}.W1{fill:"
    "#f7e6b3}.BW0{fill:#5fb35a}.BW1{fill:#9ad396}.wait{fill:#d9534f;stroke:none}.ex{fill:#8e6bbf;"
    "stroke:none}.ax{stroke:#999;stroke-width:1}";

static void xml_text(FILE *out, const char *text)
{
    for (; *text; text++) switch (*text) {
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '&': fputs("&amp;", out); break;
        default: fputc(*text, out);
        }
}

static double sheet_x(const struct sheet *s, double time)
{
    return LEFT + time * s->scale;
}

/* ---- head ---- */

/* Classes are those of STYLE. */
static void legend(const struct sheet *s)
{
    static const struct {
        const char *class, *text;
    } key[] = {{"F0", "F forward"},           {"BW0", "B backward"}, {"B0", "its input part"},
               {"W0", "W weight part"},       {"wait", "waiting"},   {"ex", "exchange"},
               {"F1", "lighter: direction b"}};
    double x = LEFT;
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) {
        fprintf(s->out,
                "<rect class=\"%s\" x=\"%g\" y=\"34\" width=\"14\" height=\"12\"/>"
                "<text x=\"%g\" y=\"44\">%s</text>\n",
                key[i].class, x, x + 19, key[i].text);
        x += 118;
    }
    fprintf(
        s->out,
        "<rect class=\"F0 p\" x=\"%g\" y=\"34\" width=\"14\" height=\"6\"/><rect class=\"BW0 p\" "
        "x=\"%g\" y=\"40\" width=\"14\" height=\"6\"/><text x=\"%g\" y=\"44\">pair</text>\n",
        x + 20, x + 20, x + 39);
}

/* The file is self-contained: style inside, no scripts, no fonts. */
static void head(const struct sheet *s)
{
    fprintf(
        s->out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 "
        "%.0f %.0f\">\n<style>%s</style>\n<rect fill=\"#fff\" width=\"%.0f\" "
        "height=\"%.0f\"/>\n<text class=\"t\" x=\"%d\" y=\"22\">",
        s->width, s->height, s->width, s->height, STYLE, s->width, s->height, LEFT);
    xml_text(s->out, s->d->title);
    fputs("</text>\n", s->out);
    legend(s);
}

/* ---- axis ---- */

/* The 1, 2 or 5 times a power of ten that gives about ten ticks. */
static double tick_step(double range)
{
    double step = pow(10, floor(log10(range / 8)));
    return range / step > 40 ? 5 * step : range / step > 16 ? 2 * step : step;
}

/* A tick every tick_step of the drawing's unit. */
static void axis(const struct sheet *s, double top)
{
    double range = s->end / s->d->per_unit, step = range > 0 ? tick_step(range) : 1;
    fprintf(s->out, "<line class=\"ax\" x1=\"%d\" y1=\"%g\" x2=\"%g\" y2=\"%g\"/>\n", LEFT, top,
            sheet_x(s, s->end), top);
    for (int i = 0; i * step <= range * (1 + 1e-9); i++) {
        double x = sheet_x(s, i * step * s->d->per_unit);
        fprintf(s->out,
                "<line class=\"ax\" x1=\"%.2f\" y1=\"%g\" x2=\"%.2f\" y2=\"%g\"/><text class=\"m\" "
                "x=\"%.2f\" y=\"%g\">%g%s%s</text>\n",
                x, top, x, top + 5, x, top + 18, i * step, i ? "" : " ", i ? "" : s->d->unit);
    }
}

/* ---- rows ---- */

static void span_title(const struct sheet *s, const struct timeline_span *p, char letter)
{
    static const char *const of[] = {"", "wait for ", "exchange of "};
    fprintf(s->out, "<title>%s%s%s %c%d, chunk %d: %.4g to %.4g %s</title>", of[p->kind],
            p->paired ? "pair, " : "", plan_op_name(p->op), letter, p->cell.mb, p->cell.chunk,
            p->start / s->d->per_unit, p->end / s->d->per_unit, s->d->unit);
}

/* Both passes of a pair share the row's height; the micro-batch's number is drawn where it fits. */
static void pass_rect(const struct sheet *s, const struct timeline_span *p, char letter, double top)
{
    double x = sheet_x(s, p->start), w = (p->end - p->start) * s->scale;
    double h = ROW - GAP, half = h / 2;
    double y = top + (p->lower ? half : 0);
    if (p->paired) h = half;
    fprintf(s->out, "<rect class=\"%s%d%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\">",
            plan_op_name(p->op), letter == 'b', p->paired ? " p" : "", x, y, w, h);
    span_title(s, p, letter);
    fputs("</rect>", s->out);
    if (w >= 6.5 * (p->cell.mb > 99 ? 3 : p->cell.mb > 9 ? 2 : 1) + 2)
        fprintf(s->out, "<text class=\"l\" x=\"%.2f\" y=\"%.2f\">%d</text>", x + w / 2,
                y + h / 2 + 3.5, p->cell.mb);
    fputc('\n', s->out);
}

static void line_rect(const struct sheet *s, const struct timeline_span *p, char letter, double top)
{
    bool wait = p->kind == SPAN_WAIT;
    fprintf(s->out, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"2\">",
            wait ? "wait" : "ex", sheet_x(s, p->start), top + ROW - GAP + (wait ? 0 : 2.5),
            (p->end - p->start) * s->scale);
    span_title(s, p, letter);
    fputs("</rect>\n", s->out);
}

/* Waits and exchanges are thin lines over the passes. */
static void rank_row(const struct sheet *s, const struct timeline *t, int rank, double top)
{
    fprintf(
        s->out,
        "<g class=\"rank\"><text class=\"r\" x=\"%d\" y=\"%g\">rank %d</text><rect class=\"bg\" "
        "x=\"%d\" y=\"%g\" width=\"%.2f\" height=\"%d\"/>\n",
        LEFT - 6, top + 14, rank, LEFT, top, s->end * s->scale, ROW - GAP);
    for (int i = 0; i < t->n; i++) {
        const struct timeline_span *p = &t->span[i];
        if (p->rank != rank) continue;
        (p->kind == SPAN_PASS ? pass_rect : line_rect)(s, p, span_letter(t, p), top);
    }
    fputs("</g>\n", s->out);
}

/* Returns where the next block may begin. */
static double block(const struct sheet *s, int k, double top)
{
    const struct timeline *t = s->d->timeline[k];
    double busy = 0, end = timeline_end(t);
    for (int r = 0; r < t->ranks; r++) busy += timeline_busy(t, r) / t->ranks;
    fprintf(s->out, "<text x=\"%d\" y=\"%g\">", LEFT, top + 14);
    xml_text(s->out, s->d->name[k]);
    fprintf(s->out, ": %.4g %s, ranks idle %.1f %% of it</text>\n", end / s->d->per_unit,
            s->d->unit, end > 0 ? 100 * (1 - busy / end) : 0);
    top += BLOCK_HEAD;
    for (int r = 0; r < t->ranks; r++, top += ROW) rank_row(s, t, r, top);
    return top + GAP;
}

/* Wide enough for the micro-batch numbers where that is not too wide. */
static struct sheet sheet_of(FILE *out, const struct timeline_drawing *d)
{
    struct sheet s = {.out = out, .d = d, .height = HEAD + AXIS};
    int most = 0;
    for (int k = 0; k < d->n; k++) {
        const struct timeline *t = d->timeline[k];
        if (timeline_end(t) > s.end) s.end = timeline_end(t);
        if (t->ranks && t->n / t->ranks > most) most = t->n / t->ranks;
        s.height += BLOCK_HEAD + t->ranks * ROW + GAP;
    }
    double inner = most * 18;
    inner = inner < MIN_WIDTH ? MIN_WIDTH : inner > MAX_WIDTH ? MAX_WIDTH : inner;
    s.width = LEFT + inner + RIGHT;
    s.scale = s.end > 0 ? inner / s.end : 1;
    return s;
}

void timeline_svg(FILE *out, const struct timeline_drawing *d)
{
    struct sheet s = sheet_of(out, d);
    double top = HEAD;
    head(&s);
    for (int k = 0; k < d->n; k++) top = block(&s, k, top);
    axis(&s, top);
    fputs("</svg>\n", out);
}
