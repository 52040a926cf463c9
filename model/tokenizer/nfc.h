/* Unicode's normalization form C. */
#ifndef DUET_MODEL_TOKENIZER_NFC_H
#define DUET_MODEL_TOKENIZER_NFC_H

#include <stdbool.h>
#include <stddef.h>
#include "model/tokenizer/room.h"

/* Appends the form of n bytes of valid UTF-8 to `out`; `points` is room to work in. Linear in n. */
void nfc_put(struct room *out, struct room *points, const char *text, size_t n);
/* Is it sure, from its bytes alone, that the form of the text is the text? */
bool nfc_is_plain(const char *text, size_t n);

#endif
