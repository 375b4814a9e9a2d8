/* bandwidth.h - how fast GPUs of one machine can talk, as far as its links tell
 *
 * The figure is what nccl-tests call the bus bandwidth of a large all-reduce (doc/PERFORMANCE.md there): what each GPU's
 * links carry. It is a model, to compare placements with; a machine that was measured (allreduce_mbs) is believed.
 *
 *   NVLink switches   0.8 x min(port, pair); the count is all that matters
 *   NVLinks           rings are laid one after the other, each over the widest links that are left; one of capacity c gives
 *                     2c (both directions at once), two GPUs share one link and have c; at most what the narrowest port sends.
 *                     0.8 x the sum. All 8 GPUs of a DGX-1V have 3 rings over every link: 0.8 x 150 GB/s
 *   else PCIe         one ring over the best paths, both its directions through one port: its narrowest path. What a path has is
 *                     after losses already (tug_link_class_mbs())
 *   The better of the last two counts.
 *
 * 0.8: 8 A100 measured 235 of 300 GB/s, 8 H200 368 of 450 (S. Bekman, Machine Learning Engineering, network/README.md); 16 A100
 * with 4 x 100 Gb/s per node 78 of 94 (AWS, awsome-distributed-training, micro-benchmarks). Layer: core.
 */
#ifndef TUG_CORE_BANDWIDTH_H
#define TUG_CORE_BANDWIDTH_H

#include <stddef.h>
#include <stdint.h>

#include "base/machine.h"

#define TUG_BANDWIDTH_NO_LIMIT UINT32_MAX
#define TUG_BANDWIDTH_EXACT_MAX 16 /* GPUs; above, and without switches, rings are found step by step, not the best ones */

#define TUG_BANDWIDTH_EFFICIENCY 0.8
static inline uint32_t tug_bandwidth_efficient(uint32_t mbs)
{
    return (uint32_t) ((uint64_t) mbs * 4 / 5);
}

/* Of the GPUs of the set among themselves, MB/s; one GPU has TUG_BANDWIDTH_NO_LIMIT. 0: a link is not known. */
uint32_t tug_bandwidth_inside(const struct tug_machine *m, tug_gpuset set);
/* What the set has to other nodes: the NICs that its GPUs use, MB/s, after losses. Each GPU uses those that are not behind a host
 * bridge's end (up to PHB); one that has none so near uses the best of the nearest. 0: a rate is not known, or there is no NIC. */
uint32_t tug_bandwidth_out(const struct tug_machine *m, tug_gpuset set);
/* The GPUs in the order of the best ring over any paths, the widest at its narrowest: the one that comes first as a list, so the
 * same set always gives the same. It starts at the lowest GPU. Without a machine: in index order. out[] has room for the set.
 * Returns how many there are. */
size_t tug_bandwidth_ring(const struct tug_machine *m, tug_gpuset set, uint32_t *out);
/* NUMA nodes that the set is spread over; GPUs whose node is not known count for none. */
unsigned tug_bandwidth_numas(const struct tug_machine *m, tug_gpuset set);

#endif
