#include "trainer/data/rendered.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/die.h"

void rendered_add(struct rendered *r, const char *text, size_t n, unsigned char who)
{
    if (r->n + n > r->room) {
        r->room = 2 * (r->n + n) + 256;
        r->text = realloc(r->text, r->room);
        r->who = realloc(r->who, r->room);
        SYS_OK(r->text && r->who, "give the job more memory", "no memory for a conversation");
    }
    if (n == 0) return;
    memcpy(r->text + r->n, text, n);
    memset(r->who + r->n, who, n);
    r->n += n;
}

bool rendered_ends(const struct rendered *r, const char *text)
{
    size_t n = strlen(text);
    if (n > r->n || memcmp(r->text + r->n - n, text, n) != 0) return false;
    for (size_t i = r->n - n; i < r->n; i++)
        if (r->who[i] != WHO_TEMPLATE) return false;
    return true;
}

void rendered_free(struct rendered *r)
{
    free(r->text);
    free(r->who);
    *r = (struct rendered){.n = 0};
}
