/* How long the watchdog has not been fed: for tests of what feeds it. Apart from watch.h, which
 * everybody has. */
#ifndef DUET_COMM_IDLE_H
#define DUET_COMM_IDLE_H

/* Seconds since the last watchdog_feed, or watchdog_long. Local. */
double watchdog_idle(void);

#endif
