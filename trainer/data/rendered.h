/* A conversation as one text, in which it is known of each byte who wrote it: the template, whose
 * special tokens count, or others, whose text is text whatever it looks like. */
#ifndef DUET_TRAINER_DATA_RENDERED_H
#define DUET_TRAINER_DATA_RENDERED_H

#include <stdbool.h>
#include <stddef.h>

enum { WHO_TEMPLATE = 0, WHO_OTHERS = 1, WHO_ASSISTANT = 2 };

/* Zeroed: empty. */
struct rendered {
    char *text;         /* (n) */
    unsigned char *who; /* (n) WHO_... */
    size_t n, room;
};
void rendered_add(struct rendered *r, const char *text, size_t n, unsigned char who);
/* Does it end with this text of the template? */
bool rendered_ends(const struct rendered *r, const char *text);
void rendered_free(struct rendered *r);

#endif
