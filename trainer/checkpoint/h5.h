/* HDF5 calls, each checked: H5_OK(failure, call) is the call's value; the first that fails leaves
 * its text and HDF5's error stack in `failure`. After it ids are negative, which HDF5 refuses, so
 * the rest of a sequence runs through harmlessly. */
#ifndef DUET_TRAINER_CHECKPOINT_H5_H
#define DUET_TRAINER_CHECKPOINT_H5_H

#include <hdf5.h>
#include "trainer/checkpoint/failure.h"

#define H5_OK(f, call) h5_check((f), (call), #call, __FILE__, __LINE__)
/* Takes herr_t, htri_t, hid_t and hssize_t: negative is failure in all of them. */
int64_t h5_check(struct failure *f, int64_t rc, const char *call, const char *file, int line);

/* Around every use: one thread at a time (not every HDF5 is built thread-safe), its own printing
 * off. */
void h5_enter(void);
void h5_leave(void);

#endif
