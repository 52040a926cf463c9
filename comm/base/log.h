/* One line an event, from rank 0 unless asked otherwise: "[  12.3s] text". Goes to stderr so that
 * stdout stays free for results. */
#ifndef DUET_COMM_BASE_LOG_H
#define DUET_COMM_BASE_LOG_H

enum log_level { LOG_QUIET, LOG_INFO, LOG_DEBUG };

void log_set(enum log_level level, int rank);
/* Rank 0 only. */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Any rank; says which. */
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Called before a line goes out on this rank, so that a live line can be ended first. NULL:
 * nothing. Local. */
void log_before(void (*call)(void *ctx), void *ctx);

/* Seconds on a monotonic clock. */
double clock_now(void);

#endif
