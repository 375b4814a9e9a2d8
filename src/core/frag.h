/* frag.h - how much of what is free cannot be used by the gangs that come
 *
 * The measure of FGD (Weng and others, Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
 * Descent, USENIX ATC 2023), for gangs: free GPUs are a fragment for a kind of gang that cannot have them, and the measure is the mean
 * over the kinds of gangs that are typical, by how many of them come.
 *
 *   - on a node, a slice of g GPUs leaves free % g of them; a node that has no CPU free, or is not usable, has nothing free
 *   - in a domain with nodes of its own (a leaf), a gang of k slices finds free / g slots on each node; a gang that would fit there
 *     if it were empty leaves slots % k of them; one that is wider takes whole domains, and one that is not empty is a fragment
 *
 * Layer: core.
 */
#ifndef TUG_CORE_FRAG_H
#define TUG_CORE_FRAG_H

#include <stddef.h>
#include <stdint.h>

struct tug_core;

struct tug_frag_kind {
    uint32_t nodes, gpus; /* slices, GPUs of each */
    double weight;
};
/* GPUs of usable nodes that are free and a fragment, on average over the kinds; 'domain': of the fabric, as its index; its own nodes
 * only. n_domains stands for the nodes in none. */
double tug_frag_domain(const struct tug_core *c, uint32_t domain, const struct tug_frag_kind *kinds, size_t n);
/* Of all nodes, as a share of what is free; 0 when nothing is. */
double tug_frag_share(const struct tug_core *c, const struct tug_frag_kind *kinds, size_t n);

/* The gradient, for placing: by how many nodes the fragments of a domain grow when 'taken' of its 'whole' ones, on which nothing runs,
 * are no longer whole. Nobody knows what comes: typical are gangs of 2, 4, 8, ... whole nodes that the domain would hold if it were
 * empty, each as often. May be negative. */
int32_t tug_frag_growth(uint32_t nodes, uint32_t whole, uint32_t taken);

#endif
