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
    char cause[128], text[384]; /* the system's own words; the levels */
    size_t used;
};

/* Innermost first: "H5FD__sec2_write: file write failed: time = ..., error message = 'No space left
 * on device', ...". The system's words and what stands before the details are kept, and three
 * levels are enough. */
static herr_t add_level(unsigned level, const H5E_error2_t *e, void *to)
{
    struct stack_text *s = to;
    const char *desc = e->desc ? e->desc : "", *details = strstr(desc, ": time ="),
               *message = strstr(desc, "error message = '");
    const int length = details ? (int)(details - desc) : (int)strlen(desc);
    if (message && !s->cause[0]) sscanf(message, "error message = '%120[^']", s->cause);
    if (level >= 3 || s->used + 1 >= sizeof s->text) return 0;
    const int n = snprintf(s->text + s->used, sizeof s->text - s->used, "%s%s: %.*s",
                           level ? "; " : "", e->func_name, length, desc);
    if (n > 0) s->used += (size_t)n;
    return 0;
}

int64_t h5_check(struct failure *f, int64_t rc, const char *call, const char *file, int line)
{
    if (rc >= 0 || failed(f)) return rc;
    struct stack_text s = {.used = 0};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, add_level, &s);
    char why[520];
    snprintf(why, sizeof why, "%s%s%s", s.cause, s.cause[0] ? ": " : "",
             s.used ? s.text : "HDF5 reported no reason");
    failure_note(f, why, "%s at %s:%d", call, file, line);
    return rc;
}
