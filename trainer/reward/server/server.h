/* The grader server of a rank: a process, forked before MPI is up, that runs whatever may hang,
 * crash or eat memory (programs in the sandbox, plug-ins, environments) while the rank decodes.
 * The rank hands it requests and collects the replies when it needs them.
 *
 *   if (grade_server_wanted(argc, argv)) grade_server_fork();      in main, before MPI_Init
 *   ...
 *   struct grade_server *s = grade_server();
 *   grade_server_configure(s, GRADE_CODE, ...);                    once
 *   while (!grade_server_send(s, GRADE_CODE, id, bytes, n)) take_a_reply(s);
 *   while (grade_server_open(s, GRADE_CODE) && grade_server_poll(s, GRADE_CODE, &reply, -1)) ...
 *
 * Requests and replies are copied through buffers that are taken once: nothing is allocated in a
 * step (P7). A keeper starts a server that has died again; what was open then comes back as lost.
 * Server and keeper end with the rank, however it ends. Everything here is local. */
#ifndef DUET_TRAINER_REWARD_SERVER_SERVER_H
#define DUET_TRAINER_REWARD_SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Who grades: rows of kinds.c. */
enum grade_kind_number { GRADE_CODE, GRADE_PLUGIN, GRADE_ENVIRONMENT, GRADE_KINDS };

enum { GRADE_WINDOW = 256 }; /* requests of a kind that are open, or whose reply is not fetched */

struct grade_server;

struct grade_reply {
    uint64_t id;       /* as it was sent */
    bool lost;         /* no verdict: server or grader died; count it */
    const char *bytes; /* (n) until the next call */
    size_t n;
};

/* Does this command line, or the recipe that it names, speak of a reward that needs the server?
 * Only words are looked for; a word too many costs an idle process. */
bool grade_server_wanted(int argc, char *const *argv);
/* Forks it. Before MPI is up and before any thread runs. Dies when there are no processes left. */
struct grade_server *grade_server_fork(void);
/* The one of this process; NULL: none was forked. */
struct grade_server *grade_server(void);
/* Ends it: what is open is forgotten. NULL is fine. */
void grade_server_close(struct grade_server *s);

/* What a kind needs to know; kept, and told again to a server that is started again. */
void grade_server_configure(struct grade_server *s, enum grade_kind_number kind, const void *bytes,
                            size_t n);
/* Never waits. false: the kind's window or the buffer is full, take replies and try again. A
 * request that is too long (16 MiB), or whose server is gone for good, comes back as lost. */
bool grade_server_send(struct grade_server *s, enum grade_kind_number kind, uint64_t id,
                       const void *bytes, size_t n);
/* The same of bytes in pieces, in their order. */
bool grade_server_send_pieces(struct grade_server *s, enum grade_kind_number kind, uint64_t id,
                              const struct iovec *piece, int pieces);
/* The next reply of that kind, in the order in which they come; waits for at most timeout_ms (-1:
 * for as long as one is open). false: none came. */
bool grade_server_poll(struct grade_server *s, enum grade_kind_number kind,
                       struct grade_reply *reply, int timeout_ms);
/* Requests of that kind whose reply is not fetched yet. */
int grade_server_open(const struct grade_server *s, enum grade_kind_number kind);

#endif
