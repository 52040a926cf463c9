#include "comm/mpi_ok.h"

#include <stdio.h>

const char mpi_fix[] =
    "look for the first rank that died above; if none, check the network between the hosts";

const char *mpi_why(int rc, char text[MPI_MAX_ERROR_STRING])
{
    int n = 0;
    text[0] = 0;
    if (MPI_Error_string(rc, text, &n) != MPI_SUCCESS)
        snprintf(text, MPI_MAX_ERROR_STRING, "MPI error %d", rc);
    return text;
}

_Noreturn void mpi_die(const char *file, int line, const char *call, int rc)
{
    char why[MPI_MAX_ERROR_STRING];
    die(file, line, EXIT_WORLD, call, mpi_why(rc, why), mpi_fix);
}

MPI_Comm mpi_split(MPI_Comm whole, int color, int key)
{
    MPI_Comm part;
    MPI_OK(MPI_Comm_split(whole, color, key, &part));
    if (part != MPI_COMM_NULL) MPI_OK(MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN));
    return part;
}
