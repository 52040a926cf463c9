/* Text that is put together in a buffer of fixed size. */
#ifndef DUET_TRAINER_DATA_TEXT_H
#define DUET_TRAINER_DATA_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Text in a caller's fixed buffer; never overflows: `cut` says that it would have. */
struct text {
    char *at;
    size_t n, size;
    bool cut;
};
void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Any bytes; what does not fit is left out, whole characters of UTF-8 at a time. */
void text_add_bytes(struct text *t, const char *bytes, size_t n);

#endif
