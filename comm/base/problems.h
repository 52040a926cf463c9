/* The user's mistakes: collected, never the first only, then printed together, with the nearest
 * known name for a typo. */
#ifndef DUET_COMM_BASE_PROBLEMS_H
#define DUET_COMM_BASE_PROBLEMS_H

#include "comm/base/die.h"

/* Grows on the heap; never loses the first. */
struct problems {
    char **text;
    int n, capacity;
};

/* "file:line: message"; line 0 leaves the line out, file NULL the whole prefix. Local. */
void problems_add(struct problems *p, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Prints all of them to stderr, one a line, with a closing count. */
void problems_print(const struct problems *p);
void problems_free(struct problems *p);
/* Puts "rank 1 on HOST: " before each, where not every rank has them. */
void problems_call(struct problems *p, int rank, const char *host);
/* Prints (on rank 0, or when no world is up) and exits 2 if there are any. Every rank must call it
 * with the same problems: the message is printed once. */
void problems_end_if_any(struct problems *p);
/* Rank `speaker` prints them and ends the job with `code`; the other ranks end with it, silently.
 * Every rank must call it (world_agree_problems does). */
_Noreturn void problems_end(const struct problems *p, int speaker, enum exit_code code);

/* The nearest of n names to `word` by edit distance, or NULL when none is near (more than a third
 * of its characters differ). For "unknown setting X; did you mean Y?". */
const char *nearest_name(const char *word, const char *const *names, int n);

#endif
