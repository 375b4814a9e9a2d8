/* cluster.h - what a simulation schedules: nodes that are all alike, or a daemon's configuration
 *
 * Layer: sim.
 */
#ifndef TUG_SIM_CLUSTER_H
#define TUG_SIM_CLUSTER_H

#include "host/coreconf.h"

#define TUG_SIM_LEVELS_MAX 6

struct tug_sim_cluster {
    struct tug_core_conf core; /* of a host whose nodes answer at once and where nobody asks why */
    uint64_t gpus;             /* of all nodes */
    uint32_t parts;            /* core's nodes for a node of the cluster */
    int is_configured;         /* queues are the configuration's */
    /* owned */
    struct tug_config config;
    struct tug_coreconf from;
    struct tug_core_node_row *rows;
    struct tug_core_queue *queues;
    struct tug_core_domain *domains;
    const struct tug_mig *mig; /* of nodes that are all alike: what their GPUs are cut into; borrowed, NULL = nothing */
};

/* Nodes n1, n2, ... with one queue that all jobs go to. 'parts' > 1: each is so many nodes of the
 * core, with one GPU each. */
void tug_sim_cluster_even(struct tug_sim_cluster *c, uint32_t nodes, uint32_t gpus_per_node,
                          uint32_t parts);
/* A fabric for these: 'widths[0]' nodes in a leaf, 'widths[1]' leaves in a spine, and so on; the last one of a level may
 * have less. With n 0 there is none. */
void tug_sim_cluster_wire(struct tug_sim_cluster *c, const uint32_t *widths, size_t n);
/* All nodes are that machine; it has at least as many GPUs, and must outlive the cluster. */
void tug_sim_cluster_furnish(struct tug_sim_cluster *c, const struct tug_machine *m);
/* What that node's GPUs are cut into, as a controller numbers it; returns how many of out[TUG_GPUS_MAX]. */
size_t tug_sim_cluster_slices(const struct tug_sim_cluster *c, uint32_t node, struct tug_core_mig *out);
/* tugline.yaml. What nodes have must stand there, or come with its machine: -EINVAL names one without GPUs and CPUs. */
int tug_sim_cluster_read(struct tug_sim_cluster *c, const char *path, struct tug_err *err);
/* Times in the configuration become ticks of that clock. */
void tug_sim_cluster_use_clock(struct tug_sim_cluster *c, int64_t ticks_per_s);
void tug_sim_cluster_clear(struct tug_sim_cluster *c); /* a zeroed one is fine */

#define TUG_SIM_QUEUE "main" /* of clusters without a configuration */

#endif
