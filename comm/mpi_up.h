/* MPI begins and ends. Most of a start with many ranks a host is spent in MPI_Init; what it does
 * there for nothing is left out. */
#ifndef DUET_COMM_MPI_UP_H
#define DUET_COMM_MPI_UP_H

#include <stdbool.h>

/* MPI_Init_thread for MPI_THREAD_MULTIPLE; true: granted. What MPI looks for in the environment is
 * set before, unless the user has set it. Ends the process with EXIT_USER where srun has started
 * ranks that cannot find each other. Collective over the job. */
bool mpi_up(int *argc, char ***argv);
/* MPI_Finalize. Collective over the job. */
void mpi_down(void);

#endif
