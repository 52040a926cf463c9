/* Rows that a backend's table does not have yet: the host's row stands in, with copies around it.
 * That is slow, so each use is counted, and rank 0 says in the log when it first has to use one. */
#ifndef DUET_COMM_BASE_MISSING_H
#define DUET_COMM_BASE_MISSING_H

/* One use of a row that `table` ("cuda") lacks ("fill"). Both texts are kept. Local, for any
 * thread. */
void missing_row(const char *table, const char *row);
/* How often so far. Local. */
unsigned long missing_uses(const char *table, const char *row);

#endif
