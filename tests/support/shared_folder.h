/* A fresh folder that all ranks of a test know, and its end with all that is in it. Header only:
 * each test is one file. */
#ifndef DUET_TESTS_SUPPORT_SHARED_FOLDER_H
#define DUET_TESTS_SUPPORT_SHARED_FOLDER_H

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check_mpi.h"
#include "trainer/checkpoint/files.h"

enum { SHARED_FOLDER = 64 };

/* Collective. In memory where the machine has such a place. */
static inline void shared_folder_make(char folder[SHARED_FOLDER])
{
    if (ck_world.rank == 0) {
        strcpy(folder, "/dev/shm/duet_test_XXXXXX");
        if (!mkdtemp(folder)) {
            strcpy(folder, "/tmp/duet_test_XXXXXX");
            if (!mkdtemp(folder)) perror(folder);
        }
    }
    MPI_OK(MPI_Bcast(folder, SHARED_FOLDER, MPI_CHAR, 0, ck_world.comm));
}

/* Collective: files, and folders of files. */
static inline void shared_folder_remove(const char folder[SHARED_FOLDER])
{
    MPI_OK(MPI_Barrier(ck_world.comm));
    if (ck_world.rank != 0) return;
    struct failure f = {0};
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[PATH_BYTES];
        path_make(path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.' && unlink(path) != 0) folder_remove(path, &f);
    }
    if (d) closedir(d);
    folder_remove(folder, &f);
}

#endif
