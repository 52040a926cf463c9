/* Texts of a chat template (jinja.h), of which every byte is known by who wrote it; they lie in a
 * pool. Characters are those of UTF-8. */
#ifndef DUET_TRAINER_DATA_JINJA_WRITTEN_H
#define DUET_TRAINER_DATA_JINJA_WRITTEN_H

#include "trainer/data/jinja_pool.h"

struct written {
    const char *text;
    const unsigned char *who; /* NULL: all the template's */
    size_t n;
};

bool written_equal(struct written a, struct written b);
/* Where b first stands in a from byte `from`; a.n: nowhere. */
size_t written_search(struct written a, struct written b, size_t from);
/* The bytes from..to-1, not copied. */
struct written written_part(struct written s, size_t from, size_t to);
/* Bytes of the character at byte `at`. */
size_t written_character(struct written s, size_t at);
size_t written_characters(struct written s);
/* The byte at which character number i begins. */
size_t written_byte(struct written s, size_t i);

/* A text that grows: zeroed but for its pool. */
struct builder {
    struct pool *p;
    char *text;
    unsigned char *who;
    size_t n, room;
};
/* n bytes; who: NULL: the template's. */
void builder_add(struct builder *b, const char *text, const unsigned char *who, size_t n);
void builder_add_written(struct builder *b, struct written s);
/* What it holds, in its memory; empty when the pool failed. */
struct written builder_written(const struct builder *b);

#endif
