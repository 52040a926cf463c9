/* Which host has which rank of the job: every rank writes a card, all read all of them. One
 * exchange when the job starts answers what would otherwise be asked again for every group of
 * ranks.
 *
 * A host is told by its name, the start of its system and its network: ranks of which all three are
 * the same are on one. Hosts are counted in the order of their lowest ranks. */
#ifndef DUET_COMM_ROSTER_H
#define DUET_COMM_ROSTER_H

#include "comm/base/floor.h"

struct roster_card {
    char host[64];
    char floor[FLOOR_PATH]; /* as of floor_open */
    unsigned long long id;
};

struct roster_place {
    int node, nodes;            /* my host, of how many */
    int local_rank, local_size; /* which of its ranks */
};

/* Collective over all ranks: host is the name of mine. Joins the floor of its lowest rank, which
 * may be settled when all ranks have come here. */
struct roster_place roster_up(const char *host);
void roster_down(void);
/* The host of a rank of MPI_COMM_WORLD; its name. Without roster_up each rank counts as a host of
 * its own. Local. */
int roster_node(int rank);
const char *roster_name(int rank);

/* --- its parts, local --- */

/* A number that only ranks of one host have in common. */
unsigned long long roster_id(const char *host);
/* node (ranks): the hosts of these cards. Returns how many there are. */
int roster_nodes(int *node, const struct roster_card *card, int ranks);

#endif
