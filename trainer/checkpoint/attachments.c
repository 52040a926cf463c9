#include "trainer/checkpoint/attachments.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"

bool attachment_name_valid(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(name);
    return n > 0 && n < ATTACHMENT_NAME && name[0] != '.' && strspn(name, allowed) == n;
}

void attachments_add(struct attachments *a, const char *name, char *bytes, size_t n)
{
    INVARIANT(a->n < MOST_ATTACHMENTS && attachment_name_valid(name), "%d files, %s", a->n, name);
    struct attachment *f = &a->at[a->n++];
    strcpy(f->name, name);
    f->bytes = bytes;
    f->n = n;
}

void attachments_copy(struct attachments *to, const struct attachments *from)
{
    *to = (struct attachments){0};
    for (int i = 0; i < from->n; i++) {
        char *bytes = memory_take(from->at[i].n + 1, 1, "a file of the model");
        memcpy(bytes, from->at[i].bytes, from->at[i].n);
        attachments_add(to, from->at[i].name, bytes, from->at[i].n);
    }
}

const struct attachment *attachments_find(const struct attachments *a, const char *name)
{
    for (int i = 0; i < a->n; i++)
        if (strcmp(a->at[i].name, name) == 0) return &a->at[i];
    return NULL;
}

void attachments_free(struct attachments *a)
{
    for (int i = 0; i < a->n; i++) free(a->at[i].bytes);
    *a = (struct attachments){0};
}
