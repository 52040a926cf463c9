#include "trainer/observe/files.h"

#include <stdlib.h>
#include <string.h>

#include "comm/base/die.h"
#include "comm/base/memory.h"

struct files {
    struct record_file metrics, samples;
    char line[RECORD_TEXT];
};

static void *open_files(const struct metrics_opening *o)
{
    struct files *f = memory_take(1, sizeof *f, "the files of metrics and samples");
    record_file_open(&f->metrics, o->run_folder, "metrics.jsonl", o->metrics_bytes);
    record_file_open(&f->samples, o->run_folder, "samples.jsonl", o->samples_bytes);
    return f;
}

static void write_record(void *state, const struct record *r)
{
    struct files *f = state;
    size_t n = record_text(r, f->line);
    memcpy(f->line + n, "}\n", 2); /* record_text leaves room for it */
    record_file_write(&f->metrics, f->line, n + 2);
}

static void write_sample(void *state, const json_t *sample)
{
    struct files *f = state;
    char *text = json_dumps(sample, JSON_COMPACT);
    SYS_OK(text, NULL, "a sample could not be written as JSON");
    const size_t n = strlen(text);
    text[n] = '\n'; /* in place of the end mark: one write, whole lines */
    record_file_write(&f->samples, text, n + 1);
    free(text);
}

static void look_at_files(const void *state)
{
    const struct files *f = state;
    record_file_look(&f->metrics);
    record_file_look(&f->samples);
}

static void close_files(void *state)
{
    struct files *f = state;
    look_at_files(f);
    record_file_close(&f->metrics);
    record_file_close(&f->samples);
    free(f);
}

void files_position(struct files *f, long *metrics_bytes, long *samples_bytes)
{
    record_file_notice(&f->metrics);
    record_file_notice(&f->samples);
    record_file_sync(&f->metrics);
    record_file_sync(&f->samples);
    *metrics_bytes = f->metrics.bytes;
    *samples_bytes = f->samples.bytes;
}

void files_sums(const struct files *f, uint64_t *metrics, uint64_t *samples)
{
    *metrics = record_file_sum(&f->metrics);
    *samples = record_file_sum(&f->samples);
}

const struct metrics_sink files_sink = {.open = open_files,
                                        .record = write_record,
                                        .sample = write_sample,
                                        .look = look_at_files,
                                        .close = close_files};
