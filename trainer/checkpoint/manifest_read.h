/* Inside manifest_parse.c and manifest_tensors.c: reading a manifest. */
#ifndef DUET_TRAINER_CHECKPOINT_MANIFEST_READ_H
#define DUET_TRAINER_CHECKPOINT_MANIFEST_READ_H

#include "trainer/checkpoint/manifest.h"

struct manifest_reader {
    struct manifest *m;
    const char *file;
    struct problems *p;
};

/* A problem, with what to do. false. */
__attribute__((format(printf, 2, 3))) bool manifest_bad(const struct manifest_reader *r,
                                                        const char *fmt, ...);

#endif
