/* Reading the files that a recipe names. */
#ifndef DUET_TRAINER_DATA_INPUT_H
#define DUET_TRAINER_DATA_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include "comm/base/problems.h"

/* What names a file: for messages. */
struct input {
    const char *path;
    const char *setting; /* "data.file" */
    const char *recipe;  /* path of the recipe, NULL: unknown */
};

/* The whole file, malloc'ed, NUL-terminated behind its *n bytes. NULL and a problem when it cannot
 * be read: it says where it was looked for, whether it stands beside the recipe, and which setting
 * names another. Local. */
char *input_read(const struct input *in, size_t *n, struct problems *p);

/* The same file, a regular one, open for reading, and its size; -1 and the same problem. Local. */
int input_open(const struct input *in, uint64_t *bytes, struct problems *p);

#endif
