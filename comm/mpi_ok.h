/* Around every call of MPI: what fails says so and ends the job. */
#ifndef DUET_COMM_MPI_OK_H
#define DUET_COMM_MPI_OK_H

#include <mpi.h>
#include "comm/base/die.h"

/* MPI_OK(MPI_Send(...)): dies naming call, error text, rank, host, place. */
#define MPI_OK(call)                                                             \
    do {                                                                         \
        int mpi_rc_ = (call);                                                    \
        if (mpi_rc_ != MPI_SUCCESS) mpi_die(__FILE__, __LINE__, #call, mpi_rc_); \
    } while (0)
_Noreturn void mpi_die(const char *file, int line, const char *call, int rc);
/* MPI's text of an error, which is put into `text`; what to do about it, for die. Local. */
const char *mpi_why(int rc, char text[MPI_MAX_ERROR_STRING]);
extern const char mpi_fix[];

/* MPI_Comm_split whose part returns errors, too, for MPI_OK; MPI_COMM_NULL where the color is
 * MPI_UNDEFINED. Collective over `whole`. */
MPI_Comm mpi_split(MPI_Comm whole, int color, int key);

#endif
