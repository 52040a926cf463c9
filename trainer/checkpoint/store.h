/* The folder of checkpoints: which are there, how one comes and how old ones go. Local (rank 0's
 * work).
 *
 *   step-NNNNNNNN           committed: complete, with its manifest
 *   step-NNNNNNNN.partial   being written, or on its way out; what a killed job leaves; never read
 *   step-NNNNNNNN.old       the former one of that step, for the moment of a second commit of it
 *   step-NNNNNNNN.left-1    was in the way and could not be removed, or is not ours: for a person
 *                           to look at, never touched again
 *   latest                  name of the last committed: a run that went back to an earlier step
 *                           has newer-looking folders */
#ifndef DUET_TRAINER_CHECKPOINT_STORE_H
#define DUET_TRAINER_CHECKPOINT_STORE_H

#include "trainer/checkpoint/files.h"

struct store_entry {
    long step;
    bool old;
    bool left; /* beyond the latest: a run that went back left it behind */
};

struct store_list {
    struct store_entry *entry; /* in the order in which they should be tried */
    int n;
    long latest; /* the step that `latest` names */
    bool has_latest, latest_readable;
};

/* "step-00000012" or "step-00000012.old"; anything else is none of ours. */
bool store_parse_name(const char *name, struct store_entry *e);
void store_path(char out[PATH_BYTES], const char *root, struct store_entry e);
/* Reads root; one that is not there is an empty list. latest >= 0 stands in for what the file
 * `latest` says. false: it cannot be read, and the list is empty. */
bool store_scan(struct store_list *l, const char *root, long latest, struct failure *f);
void store_list_free(struct store_list *l);

/* Clears what a killed job left and makes the folder that shards are written to; its path in
 * `partial`. root is made when it is not there, what is above it never: a run folder that was moved
 * away is not committed again. */
bool store_begin(char partial[PATH_BYTES], const char *root, long step, struct failure *f);
/* What the manifests of a run's checkpoints said of their age when this job wrote or read them: a
 * save reads only those that it has not seen as they are. Zero at first. */
struct store_seen {
    struct store_look *at;
    int n, next; /* next: where the following one is likely to be */
    long round;
};
void store_seen_free(struct store_seen *s);

/* A checkpoint that is whole but for its manifest. */
struct store_new {
    long step;
    bool keep_forever; /* as the manifest says */
    const char *manifest;
    size_t n;
};

/* Writes the manifest, gives the folder its name, points `latest` at it; on failure removes the
 * partial folder. */
bool store_commit(const char *root, const struct store_new *c, struct store_seen *seen,
                  struct failure *f);
/* Removes committed ones beyond the `keep` newest, those to keep forever not counted; step: the one
 * just committed. What cannot be removed is a warning, once for each thing: a run does not end for
 * it. */
void store_prune(const char *root, long step, int keep, struct store_seen *seen);

#endif
