#include "trainer/checkpoint/h5.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

void h5_enter(void)
{
    pthread_mutex_lock(&one_at_a_time);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* a setting of the calling thread */
}

void h5_leave(void)
{
    pthread_mutex_unlock(&one_at_a_time);
}

struct stack_text {
    char text[512];
    size_t used;
};

/* Innermost first: the cause ("file write failed: ... No space left on device") comes before the layers above it. */
static herr_t add_level(unsigned level, const H5E_error2_t *e, void *to)
{
    struct stack_text *s = to;
    if (s->used + 1 >= sizeof s->text) return 0;
    const int n = snprintf(s->text + s->used, sizeof s->text - s->used, "%s%s: %s",
                           level ? "; " : "", e->func_name, e->desc ? e->desc : "");
    if (n > 0) s->used += (size_t)n;
    return 0;
}

int64_t h5_check(struct failure *f, int64_t rc, const char *call, const char *file, int line)
{
    if (rc >= 0 || failed(f)) return rc;
    struct stack_text s = {.used = 0};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, add_level, &s);
    failure_note(f, s.used ? s.text : "HDF5 gave no reason", "%s at %s:%d", call, file, line);
    return rc;
}
