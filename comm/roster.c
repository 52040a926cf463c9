#include "comm/roster.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "comm/base/checksum.h"
#include "comm/base/memory.h"
#include "comm/mpi_ok.h"

static const char USE[] = "which host has which rank";

static struct {
    int ranks, nodes;
    int *node;        /* (ranks) */
    char (*name)[64]; /* (nodes) */
} roster;

/* What cannot be read is left out: the name alone then tells hosts apart. */
unsigned long long roster_id(const char *host)
{
    char boot[64] = "";
    struct stat net = {0};
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (f) {
        if (!fgets(boot, sizeof boot, f)) boot[0] = '\0';
        fclose(f);
    }
    if (stat("/proc/self/ns/net", &net) != 0) net.st_ino = 0;
    const unsigned long long inode = net.st_ino;
    const uint64_t sum = checksum(boot, strlen(boot), checksum(host, strlen(host), 0));
    return checksum(&inode, sizeof inode, sum);
}

/* --- hosts --- */

struct rank_of_host {
    unsigned long long id;
    int rank;
};

static int host_order(const void *a, const void *b)
{
    const struct rank_of_host *x = a, *y = b;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* First node[r] is the lowest rank of r's host, then the number of that host. */
int roster_nodes(int *node, const struct roster_card *card, int ranks)
{
    int nodes = 0;
    struct rank_of_host *all = memory_take((size_t)ranks, sizeof *all, USE);
    for (int r = 0; r < ranks; r++) all[r] = (struct rank_of_host){card[r].id, r};
    qsort(all, (size_t)ranks, sizeof *all, host_order);
    for (int i = 0, lowest = 0; i < ranks; i++) {
        if (i == 0 || all[i].id != all[i - 1].id) lowest = all[i].rank;
        node[all[i].rank] = lowest;
    }
    for (int r = 0; r < ranks; r++) node[r] = node[r] == r ? nodes++ : node[node[r]];
    free(all);
    return nodes;
}

/* Not MPI_Iallgather, in which Open MPI connects every rank with all others: this one goes in
 * log2(ranks) steps or round a ring. */
static struct roster_card *cards_of_all(const char *host)
{
    struct roster_card mine = {.id = roster_id(host)};
    struct roster_card *all = memory_take((size_t)roster.ranks, sizeof *all, USE);
    snprintf(mine.host, sizeof mine.host, "%s", host);
    floor_open(mine.floor);
    MPI_OK(MPI_Allgather(&mine, (int)sizeof mine, MPI_BYTE, all, (int)sizeof mine, MPI_BYTE,
                         MPI_COMM_WORLD));
    return all;
}

/* Nodes are numbered in the order of their lowest ranks: a node that is `seen` for the first time
 * gets its name from that rank. */
struct roster_place roster_up(const char *host)
{
    int me;
    MPI_OK(MPI_Comm_rank(MPI_COMM_WORLD, &me));
    MPI_OK(MPI_Comm_size(MPI_COMM_WORLD, &roster.ranks));
    struct roster_card *card = cards_of_all(host);
    roster.node = memory_take((size_t)roster.ranks, sizeof *roster.node, USE);
    roster.nodes = roster_nodes(roster.node, card, roster.ranks);
    roster.name = memory_take((size_t)roster.nodes, sizeof *roster.name, USE);
    struct roster_place at = {.node = roster.node[me], .nodes = roster.nodes};
    for (int r = 0, seen = 0; r < roster.ranks; r++) {
        const int node = roster.node[r];
        if (node == seen) memcpy(roster.name[seen++], card[r].host, sizeof *roster.name);
        if (node != at.node) continue;
        if (at.local_size == 0 && r != me) floor_join(card[r].floor);
        at.local_rank += r < me;
        at.local_size++;
    }
    free(card);
    return at;
}

void roster_down(void)
{
    free(roster.node);
    free(roster.name);
    roster.node = NULL, roster.name = NULL;
}

int roster_node(int rank)
{
    return roster.node ? roster.node[rank] : rank;
}

const char *roster_name(int rank)
{
    return roster.node ? roster.name[roster.node[rank]] : "its host";
}
