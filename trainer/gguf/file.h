/* A GGUF file on the disk, mapped: what is read of it comes from there when it is needed. */
#ifndef DUET_TRAINER_GGUF_FILE_H
#define DUET_TRAINER_GGUF_FILE_H

#include "trainer/gguf/gguf.h"

struct gguf_file {
    struct gguf *g;
    void *map;
    size_t bytes;
};

/* Does the path name a file that begins as one? Local. */
bool gguf_is_file(const char *path);
/* false and problems: it cannot be read, or is none. Close it either way. Local. */
bool gguf_file_open(struct gguf_file *f, const char *path, struct problems *p);
void gguf_file_close(struct gguf_file *f);
/* tokenizer.json of the model in a file, malloc'ed, *n bytes; NULL and problems. Local. */
char *gguf_file_tokenizer(const char *path, size_t *n, struct problems *p);
/* The same of its tokenizer_config.json: the template of chats, the first and the last token. */
char *gguf_file_tokenizer_config(const char *path, struct problems *p);

#endif
