/* A record is put together number by number; when it ends, every sink of the list gets it. */
#include "trainer/observe/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "trainer/observe/files.h"

/* THE list of sinks: opened in this order, closed in the other. */
enum { FILES, LIVE, SINKS };
static const struct metrics_sink *const sinks[SINKS] = {[FILES] = &files_sink, [LIVE] = &live_sink};

struct metrics {
    bool writes;
    void *sink[SINKS];   /* their states; NULL: off */
    bool in_line, waits; /* waits: the open line is for the checkpoint to keep */
    struct record record;
    char waiting[RECORD_TEXT];
};

/* What a clock read: these differ between two runs that are otherwise equal. */
static const struct {
    const char *text;
    bool prefix;
} CLOCKS[] = {
    {"time/", true},
    {"pipeline/", true},
    {"rollout/", true}, /* which rank waits depends on which was free first */
    {"tokens_per_second", false},
    {"mfu", false},
    {"sites/exchange_seconds", false},
    {"sites/exposed_seconds", false},
};

struct metrics *metrics_open(const char *run_folder, int rank, long metrics_bytes,
                             long samples_bytes)
{
    struct metrics *m = memory_take(1, sizeof *m, "metrics");
    const struct metrics_opening o = {run_folder, metrics_bytes, samples_bytes};
    m->writes = rank == 0;
    for (int i = 0; m->writes && i < SINKS; i++) m->sink[i] = sinks[i]->open(&o);
    return m;
}

void metrics_close(struct metrics *m)
{
    if (!m) return;
    INVARIANT(!m->in_line || m->waits, "metrics_close between metrics_begin and metrics_end");
    for (int i = SINKS - 1; i >= 0; i--)
        if (m->sink[i]) sinks[i]->close(m->sink[i]);
    free(m);
}

void metrics_look(const struct metrics *m)
{
    for (int i = 0; i < SINKS; i++)
        if (m->sink[i] && sinks[i]->look) sinks[i]->look(m->sink[i]);
}

/* --- a record --- */

void metrics_begin(struct metrics *m, long step, const char *phase)
{
    if (!m->writes) return;
    INVARIANT(!m->in_line, "metrics_begin twice at step %ld", step);
    m->in_line = true;
    record_begin(&m->record, step, phase);
}

void metrics_put(struct metrics *m, const char *name, double value)
{
    if (!m->writes) return;
    INVARIANT(m->in_line, "metric %s outside a line", name);
    record_add(&m->record, name, value);
}

void metrics_put_clock(struct metrics *m, const char *name, double value)
{
    INVARIANT(metrics_is_clock(name), "%s is not among the names of clock readings", name);
    metrics_put(m, name, value);
}

bool metrics_is_clock(const char *name)
{
    for (size_t i = 0; i < sizeof CLOCKS / sizeof *CLOCKS; i++)
        if (CLOCKS[i].prefix ? strncmp(name, CLOCKS[i].text, strlen(CLOCKS[i].text)) == 0
                             : strcmp(name, CLOCKS[i].text) == 0)
            return true;
    return false;
}

void metrics_end(struct metrics *m)
{
    if (!m->writes) return;
    INVARIANT(m->in_line, "metrics_end without metrics_begin");
    m->in_line = m->waits = false;
    for (int i = 0; i < SINKS; i++)
        if (m->sink[i] && sinks[i]->record) sinks[i]->record(m->sink[i], &m->record);
}

/* --- a record that waits --- */

void metrics_wait(struct metrics *m)
{
    m->waits = m->in_line;
    if (m->waits) record_text(&m->record, m->waiting);
}

const char *metrics_waiting(const struct metrics *m)
{
    return m->waits ? m->waiting : NULL;
}

bool metrics_is_beginning(const char *text)
{
    return record_parse(NULL, text);
}

void metrics_go_on(struct metrics *m, const char *text)
{
    if (!m->writes) return;
    INVARIANT(!m->in_line && record_parse(&m->record, text), "not the beginning of a line: %.40s",
              text);
    m->in_line = true;
}

/* --- samples, position, progress --- */

void metrics_sample(struct metrics *m, json_t *sample)
{
    for (int i = 0; i < SINKS; i++)
        if (m->sink[i] && sinks[i]->sample) sinks[i]->sample(m->sink[i], sample);
    json_decref(sample);
}

void metrics_position(struct metrics *m, long *metrics_bytes, long *samples_bytes)
{
    INVARIANT(!m->in_line || m->waits, "metrics_position between metrics_begin and metrics_end");
    *metrics_bytes = *samples_bytes = 0;
    if (m->sink[FILES]) files_position(m->sink[FILES], metrics_bytes, samples_bytes);
}

void metrics_sums(const struct metrics *m, uint64_t *metrics, uint64_t *samples)
{
    *metrics = *samples = 0;
    if (m->sink[FILES]) files_sums(m->sink[FILES], metrics, samples);
}

void metrics_progress(struct metrics *m, const struct progress *p)
{
    for (int i = 0; i < SINKS; i++)
        if (m->sink[i] && sinks[i]->progress) sinks[i]->progress(m->sink[i], p);
}
