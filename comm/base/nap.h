/* Waiting without burning the core: yield for the first microseconds, then sleep for a sixteenth of
 * the time already waited, 20 to 200 us, and for a hundredth of it once that is more, up to 1 ms. A
 * short wait is thus noticed within a fraction of its length, and a long one costs a few per cent
 * of a core at most.
 *
 *   struct nap n = nap_begin();
 *   while (!done()) nap_take(&n);
 */
#ifndef DUET_COMM_BASE_NAP_H
#define DUET_COMM_BASE_NAP_H

#include <stdbool.h>

struct nap {
    double since; /* seconds, clock_now */
    bool slept;   /* past the yields */
    bool patient; /* set after nap_begin: no yields, naps of 100 us at least; for who works in the
                     background */
};

struct nap nap_begin(void);
/* Returns true the first time it sleeps: the moment to say what is waited for. Local. */
bool nap_take(struct nap *n);
/* Asks the kernel for sleeps exact to 1 us for this thread and those it starts (the default slack
 * is 50). */
void nap_sharpen(void);
/* The contrary: they may last up to 2 ms longer, so that those of many processes fall together. */
void nap_blunt(void);

#endif
