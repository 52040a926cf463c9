/* Bytes that grow and are used again. */
#ifndef DUET_MODEL_TOKENIZER_ROOM_H
#define DUET_MODEL_TOKENIZER_ROOM_H

#include <stddef.h>

struct room {
    char *at;
    size_t n, size;
};
/* Room for n bytes in all; those that are there stay. */
void room_reserve(struct room *r, size_t n);
void room_put(struct room *r, const char *bytes, size_t n);
void room_free(struct room *r);

#endif
