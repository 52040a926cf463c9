#include "comm/message_table.h"

#include <stdlib.h>

#include "comm/base/die.h"
#include "comm/base/memory.h"

static const char what[] = "open messages";

static uint64_t key_of(const struct message *m)
{
    return (uint64_t)m->peer * MESSAGE_TAGS * 2 + (uint64_t)m->tag * 2 + m->send;
}

/* Fibonacci hashing: the upper bits of a product with 2^64 / the golden ratio. */
static int *line_at(const struct message_table *t, uint64_t key)
{
    return &t->line[key * 0x9E3779B97F4A7C15u >> t->shift];
}

/* At least as many hashes as rows, so that lines rarely share one. */
void message_table_make(struct message_table *t, int rows)
{
    int bits = 1;
    while (1 << bits < rows) bits++;
    *t = (struct message_table){.rows = rows, .free = NO_ROW, .shift = 64 - bits};
    t->row = memory_take((size_t)rows, sizeof *t->row, what);
    t->line = memory_take((size_t)1 << bits, sizeof *t->line, what);
    for (int i = 0; i < 1 << bits; i++) t->line[i] = NO_ROW;
    for (int i = rows - 1; i >= 0; i--) {
        t->row[i].behind = t->free;
        t->free = i;
    }
}

void message_table_free(struct message_table *t)
{
    free(t->row);
    free(t->line);
}

/* Where the first of the line is noted; holds NO_ROW where there is no such line. */
static int *line_find(struct message_table *t, uint64_t key)
{
    int *at = line_at(t, key);
    for (; *at != NO_ROW && t->row[*at].key != key; at = &t->row[*at].beside) t->looked++;
    t->looked++;
    return at;
}

/* The line grows at its end, which its first knows. */
int message_add(struct message_table *t, struct message m, bool *first)
{
    int row = t->free;
    if (row == NO_ROW) return NO_ROW;
    t->free = t->row[row].behind;
    t->used++;
    m.used = true;
    m.key = key_of(&m);
    m.behind = m.beside = NO_ROW;
    m.last = row;
    t->row[row] = m;
    int *at = line_find(t, m.key);
    *first = *at == NO_ROW;
    if (*first) {
        *at = row;
    } else {
        struct message *head = &t->row[*at];
        t->row[head->last].behind = row;
        head->last = row;
    }
    return row;
}

int message_line_next(struct message_table *t, int row)
{
    struct message *m = &t->row[row];
    int *at = line_find(t, m->key);
    INVARIANT(*at == row, "row %d is not the first of its line", row);
    if (m->behind == NO_ROW) {
        *at = m->beside;
        return NO_ROW;
    }
    *at = m->behind;
    t->row[m->behind].last = m->last;
    t->row[m->behind].beside = m->beside;
    return m->behind;
}

bool message_is_first(struct message_table *t, int row)
{
    return *line_find(t, t->row[row].key) == row;
}

void message_drop(struct message_table *t, int row)
{
    t->row[row].used = false;
    t->row[row].behind = t->free;
    t->free = row;
    t->used--;
}
