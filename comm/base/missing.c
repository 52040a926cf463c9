#include "comm/base/missing.h"

#include <pthread.h>
#include <string.h>

#include "comm/base/die.h"
#include "comm/base/log.h"

enum { ROWS_MAX = 128 }; /* of all tables of a process */

static struct {
    const char *table, *row;
    unsigned long uses;
} missing[ROWS_MAX];
static int n_missing;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int find(const char *table, const char *row)
{
    int i = 0;
    while (i < n_missing &&
           (strcmp(missing[i].table, table) != 0 || strcmp(missing[i].row, row) != 0))
        i++;
    return i;
}

/* Threads of the transport come here too, hence the lock; the log line is written outside it. */
void missing_row(const char *table, const char *row)
{
    pthread_mutex_lock(&lock);
    int i = find(table, row);
    INVARIANT(i < ROWS_MAX, "more than %d rows are missing", ROWS_MAX);
    if (i == n_missing) {
        missing[n_missing++].table = table;
        missing[i].row = row;
    }
    missing[i].uses++;
    bool first = missing[i].uses == 1;
    pthread_mutex_unlock(&lock);
    if (first)
        log_info("%s has no %s: computed on the host instead, with copies to and from it", table,
                 row);
}

unsigned long missing_uses(const char *table, const char *row)
{
    pthread_mutex_lock(&lock);
    int i = find(table, row);
    unsigned long uses = i < n_missing ? missing[i].uses : 0;
    pthread_mutex_unlock(&lock);
    return uses;
}
