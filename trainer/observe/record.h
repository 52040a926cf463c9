/* A record: the numbers of a step, each by a name, as one line of JSON and as what the sinks
 * get. */
#ifndef DUET_TRAINER_OBSERVE_RECORD_H
#define DUET_TRAINER_OBSERVE_RECORD_H

#include <stdbool.h>
#include <stddef.h>

enum {
    METRIC_NAME = 384,      /* bytes of a name: that of a data file is in some, 255 at most */
    RECORD_MOST = 512,      /* numbers of a record */
    RECORD_TEXT = 64 * 1024 /* bytes of its text */
};

struct record {
    long step;
    char phase[METRIC_NAME];
    int n;
    char name[RECORD_MOST][METRIC_NAME];
    double value[RECORD_MOST]; /* NaN or infinite: null */
};

void record_begin(struct record *r, long step, const char *phase);
/* A name twice, or more than there is room for, is our bug. */
void record_add(struct record *r, const char *name, double value);
/* "{"step":1,"phase":"sft","loss":0.5" without the end, so that more may follow, into text
 * (RECORD_TEXT bytes); its length. Numbers are printed so that they read back to the same bits. */
size_t record_text(const struct record *r, char *text);
/* Such a text back into a record, of which record_text makes the same bytes again. Any text: false
 * where it is none; r is then of no use. r NULL: only looks. */
bool record_parse(struct record *r, const char *text);

#endif
