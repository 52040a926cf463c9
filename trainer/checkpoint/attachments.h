/* Files that stand beside a checkpoint's shards and belong to its model: what an imported model's
 * folder had (config.json, tokenizer files, chat template), kept so that it can be exported without
 * that folder. Any bytes; names are plain, without folders. Local. */
#ifndef DUET_TRAINER_CHECKPOINT_ATTACHMENTS_H
#define DUET_TRAINER_CHECKPOINT_ATTACHMENTS_H

#include <stdbool.h>
#include <stddef.h>

enum { ATTACHMENT_NAME = 64, MOST_ATTACHMENTS = 64 };

struct attachment {
    char name[ATTACHMENT_NAME];
    char *bytes; /* malloc'ed, with a 0 behind them */
    size_t n;
};

struct attachments {
    struct attachment at[MOST_ATTACHMENTS];
    int n;
};

/* Can a file be called so? Letters, digits, and . _ - inside. */
bool attachment_name_valid(const char *name);
/* Takes bytes over (malloc'ed). */
void attachments_add(struct attachments *a, const char *name, char *bytes, size_t n);
void attachments_copy(struct attachments *to, const struct attachments *from);
const struct attachment *attachments_find(const struct attachments *a, const char *name);
void attachments_free(struct attachments *a);

#endif
