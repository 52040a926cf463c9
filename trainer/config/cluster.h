/* A cluster in a small YAML file: what `duet plan` needs to know of machines that are not here. The
 * table below is read, checked and explained by the same code as a recipe's settings.
 * `schedule: auto` weighs passes and messages by it, too, where the recipe names it (mesh.cluster).
 */
#ifndef DUET_TRAINER_CONFIG_CLUSTER_H
#define DUET_TRAINER_CONFIG_CLUSTER_H

#include <stdint.h>
#include "trainer/config/settings.h"

/* clang-format off: a table reads in columns */
#define CLUSTER_SETTINGS(X)                                                                     \
    X(STR, name, "", 0, 0, "", "name in reports")                                               \
    X(INT, nodes, 1, 1, 1048576, "nodes", "machines")                                           \
    X(INT, devices, 1, 1, 4096, "devices", "devices per node, one rank each")                   \
    X(INT, cores, 0, 0, 65536, "cores",                                                         \
      "processor cores that the devices of a node share; 0: devices do not share cores")        \
    X(REAL, memory_gib, 0, 0, 1e6, "GiB", "memory per device; 0: unlimited")                    \
    X(REAL, memory_gbs, 100, 1e-3, 1e6, "GB/s", "memory bandwidth of a device (GB: 1e9 bytes)") \
    X(BOOL, packed, false, 0, 0, "",                                                            \
      "weights are also stored packed for matrix products, as on CPUs")                         \
    X(REAL, hidden, 0.9, 0, 1, "",                                                              \
      "fraction of an overlapped pair's exchanges that its computation hides")

/* Peaks are dense: without structured sparsity. */
#define COMPUTE_SETTINGS(X)                                                           \
    X(REAL, fp32, 0, 0, 1e6, "TFLOP/s", "peak of a device in fp32; 0: not supported") \
    X(REAL, bf16, 0, 0, 1e6, "TFLOP/s", "peak of a device in bf16; 0: not supported") \
    X(REAL, fp8, 0, 0, 1e6, "TFLOP/s", "peak of a device in fp8; 0: not supported")   \
    X(REAL, achieved, 0.5, 1e-4, 1, "", "fraction of it that matrix products reach")  \
    X(REAL, attention, 0.5, 1e-4, 1, "", "fraction of that rate that attention reaches")

#define LINK_SETTINGS(X)                                                       \
    X(REAL, gbs, 0, 0, 1e6, "GB/s", "bandwidth of a device in each direction") \
    X(REAL, us, 5, 0, 1e6, "microseconds", "latency of a message's first byte")

/* Milliseconds of a micro-batch (data.micro_batch_tokens rows); all zero: computed from FLOPs and
 * bytes. `duet plan --measure` prints what they are on the machine it runs on. */
#define COSTS_SETTINGS(X)                                                                       \
    X(REAL, layer_f, 0, 0, 1e9, "ms", "forward of a layer")                                     \
    X(REAL, layer_b, 0, 0, 1e9, "ms", "backward of a layer, input part")                        \
    X(REAL, layer_w, 0, 0, 1e9, "ms", "backward of a layer, weight part")                       \
    X(REAL, head_f, 0, 0, 1e9, "ms", "forward of the head, with loss and gradients")            \
    X(REAL, head_b, 0, 0, 1e9, "ms", "backward of the head, input part: its norm")              \
    X(REAL, head_w, 0, 0, 1e9, "ms", "backward of the head, weight part")                       \
    X(REAL, update, 0, 0, 1e9, "ms", "per million parameters that a rank updates: norm, AdamW") \
    X(REAL, hold, 0, 0, 1e9, "ms",                                                              \
      "per million weights that a rank holds: clearing and adding gradients, packing")
/* clang-format on */

/* clang-format off */
struct cluster_settings { CLUSTER_SETTINGS(SETTING_FIELD) };
struct compute_settings { COMPUTE_SETTINGS(SETTING_FIELD) };
struct link_settings { LINK_SETTINGS(SETTING_FIELD) };
struct costs_settings { COSTS_SETTINGS(SETTING_FIELD) };

struct cluster_lines { CLUSTER_SETTINGS(SETTING_LINE) };
struct compute_lines { COMPUTE_SETTINGS(SETTING_LINE) };
struct link_lines { LINK_SETTINGS(SETTING_LINE) };
struct costs_lines { COSTS_SETTINGS(SETTING_LINE) };
/* clang-format on */

struct cluster {
    struct cluster_settings top;
    struct compute_settings compute;
    struct link_settings inside, between; /* between devices of a node; between nodes */
    struct link_settings across;          /* between sites */
    struct costs_settings costs;
    char *file;   /* NULL: none was read */
    uint64_t sum; /* checksum of its bytes (cluster_load) */
    struct {
        struct cluster_lines top;
        struct compute_lines compute;
        struct link_lines inside, between, across;
        struct costs_lines costs;
    } lines;
};

void cluster_defaults(struct cluster *c);
void cluster_free(struct cluster *c);
/* Another of the same, with texts of its own. */
void cluster_copy(struct cluster *to, const struct cluster *from);
/* What it is called: its name or, without one, its file; "" for neither. */
const char *cluster_name(const struct cluster *c);
/* YAML bytes over the defaults; mistakes by line, unknown names with the nearest known one, and
 * what cannot be (cluster_check). Bounded memory, never crashes (P11). true: no mistake. Either way
 * c can be freed. */
bool cluster_parse(struct cluster *c, const void *yaml, size_t n, const char *file,
                   struct problems *p);
bool cluster_load(struct cluster *c, const char *path, struct problems *p);
/* Entries that contradict each other, all of them. */
bool cluster_check(const struct cluster *c, struct problems *p);
/* Are times known for this precision? false: a problem. */
bool cluster_serves(const struct cluster *c, enum precision precision, struct problems *p);
/* Every entry, from the table. */
void cluster_help(void);

int cluster_devices(const struct cluster *c); /* of all nodes */
/* How often ranks that compute at once outnumber the cores that they share; 1 where they do not. */
double cluster_crowding(const struct cluster *c, long ranks, int threads);
/* FLOP/s that matrix products of this precision reach on a device; 0: it cannot. */
double cluster_rate(const struct cluster *c, enum precision precision);
/* Its dense peak, FLOP/s: what MFU is a part of. */
double cluster_peak(const struct cluster *c, enum precision precision);
void cluster_set_peak(struct cluster *c, enum precision precision, double peak);
/* The line that gives it; 0: none does. */
int cluster_peak_line(const struct cluster *c, enum precision precision);
/* Seconds that a device takes to send this many bytes, within a node or to another. */
double cluster_send(const struct cluster *c, bool inside, double bytes);
/* The same to another site; where the file does not say, as to another node. */
double cluster_across(const struct cluster *c, double bytes);

#endif
