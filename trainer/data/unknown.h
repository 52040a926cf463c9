/* Characters that a tokenizer lacks: the model reads <unk> for them and can never write them. */
#ifndef DUET_TRAINER_DATA_UNKNOWN_H
#define DUET_TRAINER_DATA_UNKNOWN_H

#include "model/tokenizer.h"
#include "trainer/data/completion.h"
#include "trainer/data/text.h"

enum { UNKNOWN_KINDS = 8 };

/* Zeroed: none found. */
struct unknown {
    long n; /* characters */
    int kinds;
    struct {
        char text[5]; /* UTF-8, or a byte that is none */
        long n;
    } kind[UNKNOWN_KINDS];
};

/* Counts those of a text; false when it has none. special: as tokenizer_encode takes it. Local. */
bool unknown_scan(struct unknown *u, const struct tokenizer *t, struct span text, bool special);
/* Adds those of b: what is told apart in a keeps its place. */
void unknown_join(struct unknown *a, const struct unknown *b);
/* Appends: "×" (U+00D7) 9 times, "÷" (U+00F7) once */
void unknown_name(const struct unknown *u, struct text *out);

#endif
