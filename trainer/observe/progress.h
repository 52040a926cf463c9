/* The live line: rewritten in place on a terminal, else a plain line every few seconds.
 * live_sink (sink.h) owns one. */
#ifndef DUET_TRAINER_OBSERVE_PROGRESS_H
#define DUET_TRAINER_OBSERVE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct progress;
struct progress_line {
    int fd;
    bool terminal;
    bool open;      /* on a terminal: the cursor stands in a live line */
    double shown_s; /* when the last line went out; 0: never */
};

void progress_init(struct progress_line *l, int fd);
/* Shows p: always on a terminal, else at most every 5 s and at the last step of a phase. Local,
 * allocates nothing. */
void progress_show(struct progress_line *l, const struct progress *p);
/* Ends a live line, so that what follows starts on its own. */
void progress_end(struct progress_line *l);
/* The text, without line end: "grpo 12/50  reward 0.412  length 87  15.2k tokens/s  3m20s left".
 * Returns its length; text that does not fit is cut. */
size_t progress_text(char *out, size_t size, const struct progress *p);

#endif
