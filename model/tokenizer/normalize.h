/* The normalizer of a tokenizer.json: NFC (utf8proc), Prepend and Replace (Llama 2), in a Sequence
 * or alone. */
#ifndef DUET_MODEL_TOKENIZER_NORMALIZE_H
#define DUET_MODEL_TOKENIZER_NORMALIZE_H

#include <stddef.h>
#include "model/tokenizer/parse.h"
#include "model/tokenizer/room.h"

enum normal_kind { NORMAL_NFC, NORMAL_PREPEND, NORMAL_REPLACE };
struct normal_step {
    enum normal_kind kind;
    char *from, *to; /* Replace; Prepend has `to` only */
    size_t n_from, n_to;
};
struct normalizer {
    struct normal_step step[STEPS_MOST];
    int n;
};
struct normal_room {
    struct room text[2];
    struct room points; /* of a part that is composed */
};

void normalizer_read(struct parse *p, struct normalizer *z, const json_t *step);
void normalizer_free(struct normalizer *z);
/* The normal form of *n bytes of valid UTF-8; they themselves when nothing changes, otherwise in
 * `room`, until it is used again. Linear in *n. */
const char *normalizer_run(const struct normalizer *z, struct normal_room *room, const char *text,
                           size_t *n);
void normal_room_free(struct normal_room *room);

#endif
