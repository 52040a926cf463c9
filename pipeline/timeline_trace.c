/* A timeline in the Trace Event Format ("complete" events, ph X, and names, ph M), as
 * ui.perfetto.dev reads it.
 *
 * A viewer nests the events of one thread and cannot show two that merely overlap. So a rank has
 * several: its passes, the backward half of its pairs, its waits, and as many for exchanges as are
 * open at once. */
#include "pipeline/timeline.h"

enum { TRACKS = 8, TRACK_PASS = 0, TRACK_PAIR, TRACK_WAIT, TRACK_EXCHANGE };

static const char *const TRACK_NAMES[TRACKS] = {"",
                                                "backward of a pair",
                                                "waits",
                                                "exchanges",
                                                "exchanges 2",
                                                "exchanges 3",
                                                "exchanges 4",
                                                "exchanges 5"};

/* A title may come from the user. */
static void json_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", (char)*c);
        else if (*c < 0x20)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    fputc('"', out);
}

static void name_event(FILE *out, const char *what, int pid, int tid, const char *name)
{
    fprintf(out,
            ",\n{\"ph\": \"M\", \"name\": \"%s\", \"pid\": %d, \"tid\": %d, \"args\": {\"name\": ",
            what, pid, tid);
    json_text(out, name);
    fputs("}}", out);
}

/* Exchanges take the first track that is free again; the last one takes what is too much. */
static int track_of(const struct timeline_span *s, double free_at[TRACKS])
{
    if (s->kind == SPAN_PASS) return s->lower ? TRACK_PAIR : TRACK_PASS;
    if (s->kind == SPAN_WAIT) return TRACK_WAIT;
    int track = TRACK_EXCHANGE;
    while (track < TRACKS - 1 && free_at[track] > s->start) track++;
    free_at[track] = s->end;
    return track;
}

/* Chrome's trace-event format, whose colours (cname) are names from a fixed palette. */
static void span_event(FILE *out, const struct timeline *t, const struct timeline_span *s, int pid,
                       int track)
{
    static const char *const of[] = {"", "wait for ", "exchange of "};
    static const char *const colour[] = {[PLAN_F] = "thread_state_running",
                                         [PLAN_B] = "thread_state_runnable",
                                         [PLAN_W] = "thread_state_iowait",
                                         [PLAN_BW] = "rail_response"};
    fprintf(out,
            ",\n{\"ph\": \"X\", \"name\": \"%s%s %c%d\", \"cat\": \"%s\", \"cname\": \"%s\", "
            "\"pid\": %d, \"tid\": %d, \"ts\": %.3f, \"dur\": %.3f, \"args\": {\"chunk\": %d, "
            "\"dir\": %d, \"mb\": %d, \"paired\": %s}}",
            of[s->kind], plan_op_name(s->op), span_letter(t, s), s->cell.mb, plan_op_name(s->op),
            colour[s->op], pid, s->rank * TRACKS + track, s->start * 1e6, (s->end - s->start) * 1e6,
            s->cell.chunk, s->cell.dir, s->cell.mb, s->paired ? "true" : "false");
}

/* Spans of a pair overlap, which a track may not: each rank has up to TRACKS of them. */
static void trace_rank(FILE *out, const struct timeline *t, int rank, int pid)
{
    double free_at[TRACKS] = {0};
    bool used[TRACKS] = {false};
    for (int i = 0; i < t->n; i++) {
        const struct timeline_span *s = &t->span[i];
        if (s->rank != rank) continue;
        int track = track_of(s, free_at);
        used[track] = true;
        span_event(out, t, s, pid, track);
    }
    for (int k = 0; k < TRACKS; k++) {
        char name[64];
        if (!used[k]) continue;
        snprintf(name, sizeof name, "rank %d%s%s", rank, k ? ", " : "", TRACK_NAMES[k]);
        name_event(out, "thread_name", pid, rank * TRACKS + k, name);
        fprintf(out,
                ",\n{\"ph\": \"M\", \"name\": \"thread_sort_index\", \"pid\": %d, \"tid\": %d, "
                "\"args\": {\"sort_index\": %d}}",
                pid, rank * TRACKS + k, rank * TRACKS + k);
    }
}

/* Opens in ui.perfetto.dev; one process per timeline, one thread per track. */
void timeline_trace(FILE *out, const struct timeline_drawing *d)
{
    fputs("{\"displayTimeUnit\": \"ms\", \"otherData\": {\"title\": ", out);
    json_text(out, d->title);
    fputs("}, \"traceEvents\": [\n{\"ph\": \"M\", \"name\": \"trace\", \"pid\": 0, \"tid\": 0, "
          "\"args\": {}}",
          out);
    for (int k = 0; k < d->n; k++) {
        name_event(out, "process_name", k + 1, 0, d->name[k]);
        for (int r = 0; r < d->timeline[k]->ranks; r++) trace_rank(out, d->timeline[k], r, k + 1);
    }
    fputs("\n]}\n", out);
}
