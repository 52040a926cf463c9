/* The first thing that went wrong on a path that must not end the job itself: the writer thread,
 * whose failure all ranks learn of first, and verification, which turns it into a problem. Later
 * failures are consequences and are not kept, so that a sequence of calls needs no branch after
 * each. */
#ifndef DUET_TRAINER_CHECKPOINT_FAILURE_H
#define DUET_TRAINER_CHECKPOINT_FAILURE_H

#include <stdbool.h>

struct failure {
    char what[320]; /* empty: all is well */
    char why[512];
};

static inline bool failed(const struct failure *f)
{
    return f->what[0] != 0;
}
void failure_note(struct failure *f, const char *why, const char *what_fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
