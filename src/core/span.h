/* span.h - what lies between the nodes of a gang, and what each of them can give to it
 *
 * All-reduce over all GPUs of the gang, MB/s of bus bandwidth, by this model; the gang has what its slowest node has:
 *
 *   - GPUs of a node among themselves: bandwidth.h. Domains whose level is 'nvlink' (NVL72) are the same across nodes: its
 *     GPUs have the level's bandwidth, and no NIC is needed. Nodes and such domains are the gang's islands
 *   - islands exchange over NICs. With n GPUs in k islands each GPU's NICs carry (k - 1) / (n - 1) of the bus bandwidth
 *     (nccl-tests, doc/PERFORMANCE.md, applied to the islands). A GPU has its part of the NICs near it, and of that what
 *     the fabric lets through: each domain on the way up to the lowest one that holds the gang has the bandwidth of its
 *     level for each GPU, and one that is left divides by its oversubscription, as if all its GPUs sent at once
 *   - what nobody knows does not limit. When nothing is known the figure is 0
 *
 * Layer: core.
 */
#ifndef TUG_CORE_SPAN_H
#define TUG_CORE_SPAN_H

#include "core/fabric.h"
#include "core/inside.h"
#include "tugline/policy.h"

struct tug_core;

struct tug_span {
    uint32_t domain; /* the lowest that holds all its nodes; TUG_NO_DOMAIN = none, only the cluster does */
    uint32_t ranks, nodes, islands;
};

/* Of those nodes; gpus says how many there are in all. Marks domains. */
struct tug_span tug_span_of(struct tug_core *c, const struct tug_policy_slice *at, size_t n, uint32_t ranks);
/* The NVLink domain of several nodes that it is in; TUG_NO_DOMAIN = it is an island by itself. */
uint32_t tug_span_island(const struct tug_core *c, uint32_t node);

/* Of a new fabric whose domains have their nodes: what tug_span_most() needs. */
void tug_span_weigh(struct tug_fabric *f);

/* The best n of the free GPUs of that node for the gang; *mbs (may be NULL) is what they give to it, 0 = not known. */
tug_gpuset tug_span_choose(const struct tug_core *c, const struct tug_span *s, uint32_t node, tug_gpuset free, uint32_t n,
                           uint32_t *mbs);

/* No node gives more to such a gang with that many GPUs there, whatever is free; 0: nothing is known. */
uint32_t tug_span_most(const struct tug_core *c, const struct tug_span *s, uint32_t gpus);
/* The fewest islands that could hold the nodes, 'room' of which are in the region of that domain (TUG_NO_DOMAIN: of the cluster);
 * 'nodes' are bits, over the words of the index. */
uint32_t tug_span_fewest_islands(const struct tug_core *c, uint32_t domain, uint32_t nodes, const uint64_t *fit);

/* What limits a gang. */
enum tug_span_limit {
    TUG_SPAN_NOTHING, /* one GPU, or nothing is known */
    TUG_SPAN_INSIDE,  /* links between GPUs of 'node' */
    TUG_SPAN_NICS,    /* of 'node' */
    TUG_SPAN_LEVEL,   /* bandwidth of the level of 'domain' */
    TUG_SPAN_OVER     /* oversubscription on the way out of 'domain' */
};
struct tug_forecast {
    uint32_t mbs; /* 0 = not known */
    enum tug_span_limit limit;
    uint32_t node, domain;
};
/* Of a whole placement. */
void tug_span_forecast(struct tug_core *c, const struct tug_policy_slice *at, size_t n, struct tug_forecast *out);

#endif
