/* One job at a time writes to a run folder: FOLDER/duet.lock names it (host, process, since when,
 * Slurm's job) while it runs. Local, one process of the job; nothing here dies for the state of a
 * disk.
 *
 * flock(2) and fcntl(2) do not reach from host to host on every network file system. Here the owner
 * touches its lock every `beat` seconds, and a lock that is not touched for `stale` seconds has
 * lost its owner. A process that shares the owner's process table need not wait: pid and start time
 * say at once whether it lives. Making the file (O_EXCL) has one winner. A stale lock is replaced
 * by rename, which several may do: the last one wins, and all look again after `settle` seconds;
 * one that was too slow for that is found out by the owner's lock_look. */
#ifndef DUET_TRAINER_CHECKPOINT_LOCK_H
#define DUET_TRAINER_CHECKPOINT_LOCK_H

#include "trainer/checkpoint/files.h"

#define LOCK_NAME "duet.lock"

struct lock_times {
    double beat, stale, settle, grace; /* grace: how long a living owner is given to end */
};
extern const struct lock_times lock_times_usual;

struct lock_owner {
    char host[64], since[32];
    char job[48];  /* "Slurm job 17"; empty without */
    char boot[40]; /* which start of which machine */
    char pids[40]; /* which process table there */
    long pid;
    unsigned long long started; /* clock ticks after the boot */
    unsigned long long folder;  /* inode: a copied folder has a copied lock, which says nothing */
};
bool lock_parse(struct lock_owner *o, const char *text, size_t n);

enum lock_state { LOCK_TAKEN, LOCK_HELD, LOCK_WAIT, LOCK_FAILED };

struct lock;
/* folder: there, writable. `times` is kept until lock_free. */
struct lock *lock_new(const char *folder, const struct lock_times *times);
/* Tries; LOCK_WAIT: not clear yet whether the owner lives, try again in a moment. LOCK_HELD: it
 * does (lock_owner). */
enum lock_state lock_try(struct lock *l, struct failure *f);
/* The owner of the lock that stood in the way, also of one that was replaced; NULL: none did. */
const struct lock_owner *lock_owner(const struct lock *l);
/* For a taken one: is it still ours? One that was removed is made again. false: f says whose it is
 * now. */
bool lock_look(struct lock *l, struct failure *f);
/* Removes the file when it is ours. May be called from any thread, by a process that is about to
 * end. */
void lock_drop(struct lock *l);
void lock_free(struct lock *l);

#endif
