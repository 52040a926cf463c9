/* The user's mistakes, collected and printed at once; names that are nearly right. */
#include "comm/base/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LETTERS = 64 };

/* Never fails: without memory the mistakes found so far are still reported. */
void problems_add(struct problems *p, const char *file, int line, const char *fmt, ...)
{
    char text[1024];
    int n = 0;
    if (file && line > 0)
        n = snprintf(text, sizeof text, "%.400s:%d: ", file, line);
    else if (file)
        n = snprintf(text, sizeof text, "%.400s: ", file);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + n, sizeof text - (size_t)n, fmt, args);
    va_end(args);
    if (p->n == p->capacity) {
        int capacity = p->capacity ? 2 * p->capacity : 8;
        char **grown = realloc(p->text, (size_t)capacity * sizeof *grown);
        if (!grown) return; /* the first ones are kept */
        p->text = grown;
        p->capacity = capacity;
    }
    char *copy = strdup(text);
    if (copy) p->text[p->n++] = copy;
}

/* One write, so that the list is not torn apart by other ranks; without memory for it, line by
 * line. */
void problems_print(const struct problems *p)
{
    if (p->n == 0) return;
    size_t size = 64, n = 0;
    for (int i = 0; i < p->n; i++) size += strlen(p->text[i]) + 1;
    char *text = malloc(size);
    for (int i = 0; i < p->n; i++) {
        if (text) {
            n += (size_t)snprintf(text + n, size - n, "%s\n", p->text[i]);
        } else {
            die_write(p->text[i], strlen(p->text[i]));
            die_write("\n", 1);
        }
    }
    if (text) {
        n += (size_t)snprintf(text + n, size - n, "%d problem%s\n", p->n, p->n == 1 ? "" : "s");
        die_write(text, n);
    }
    free(text);
}

void problems_call(struct problems *p, int rank, const char *host)
{
    for (int i = 0; i < p->n; i++) {
        size_t size = strlen(p->text[i]) + strlen(host) + 32;
        char *called = malloc(size);
        if (!called) return;
        snprintf(called, size, "rank %d on %s: %s", rank, host, p->text[i]);
        free(p->text[i]);
        p->text[i] = called;
    }
}

void problems_free(struct problems *p)
{
    if (!p) return;
    for (int i = 0; i < p->n; i++) free(p->text[i]);
    free(p->text);
    *p = (struct problems){0};
}

static void speak(const void *p)
{
    problems_print(p);
}

_Noreturn void problems_end(const struct problems *p, int speaker, enum exit_code code)
{
    die_together(code, speaker, speak, p);
}

void problems_end_if_any(struct problems *p)
{
    if (p->n > 0) problems_end(p, 0, EXIT_USER);
}

static int min_of(int a, int b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance with swaps of neighbours counted once, over three rows of the table. */
static int edit_distance(const char *a, int na, const char *b, int nb)
{
    int row[3][NAME_MAX_LETTERS + 1];
    for (int j = 0; j <= nb; j++) row[0][j] = j;
    for (int i = 1; i <= na; i++) {
        int *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= nb; j++) {
            int best = min_of(now[j - 1], up[j]) + 1;
            best = min_of(best, up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = min_of(best, up2[j - 2] + 1);
            now[j] = best;
        }
    }
    return row[na % 3][nb];
}

/* At most a third of the characters may differ: beyond that a suggestion misleads. */
const char *nearest_name(const char *word, const char *const *names, int n)
{
    const char *nearest = NULL;
    size_t nw = strlen(word);
    int best = NAME_MAX_LETTERS;
    if (nw > NAME_MAX_LETTERS) return NULL;
    for (int i = 0; i < n; i++) {
        size_t nn = strlen(names[i]);
        if (nn > NAME_MAX_LETTERS) continue;
        int distance = edit_distance(word, (int)nw, names[i], (int)nn);
        int longer = (int)(nw > nn ? nw : nn);
        if (distance * 3 <= longer && distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}
