/* inside.h - which GPUs of a node a gang gets
 *
 * Each kind of machine is kept once, however many nodes are of it, together with what was worked out about it: the best set for
 * every set of free GPUs and every size. Up to 16 GPUs all subsets are looked at, and of these the best is taken:
 *
 *   1 by predicted bandwidth (bandwidth.h). A gang on one node: among themselves. On several: that or what the set's NICs give,
 *     whichever is less
 *   2 fewest NUMA nodes
 *   3 the best hole: what the rest could still give to others. Behind NVLink switches: the GPUs that are left stand together at
 *     NUMA nodes and NICs (sum of squares of how many). Else for sizes of 2, 4 and 8: sets are taken off the rest, the best
 *     first, and their bandwidths added, weighed by the size; that up to 10 GPUs, else as behind switches
 *   4 lowest GPUs
 *
 * Above 16 GPUs a set grows from each GPU by the widest links to it, and the best of these is taken. Layer: core.
 */
#ifndef TUG_CORE_INSIDE_H
#define TUG_CORE_INSIDE_H

#include <stddef.h>

#include "base/machine.h"

struct tug_insides; /* opaque: see inside.c */

struct tug_insides *tug_insides_new(void);
void tug_insides_free(struct tug_insides *all); /* frees every machine */
size_t tug_insides_count(const struct tug_insides *all);
size_t tug_insides_holders(const struct tug_insides *all); /* of all of them together */
size_t tug_insides_bytes(const struct tug_insides *all);

/* One more holder of the machine with that hardware, whatever its name is. NULL stays NULL: nothing is known. */
const struct tug_machine *tug_inside_hold(struct tug_insides *all, const struct tug_machine *m);
void tug_inside_drop(struct tug_insides *all, const struct tug_machine *held); /* one holder less; NULL is fine */

/* The gang as a whole, for what its NICs have to carry: all-reduce over 'ranks' GPUs in 'islands' that only NICs join (nodes, or
 * NVLink domains of several). Each GPU's NICs carry (islands - 1) / (ranks - 1) of the bus bandwidth. islands = 1: no NIC is
 * needed. */
struct tug_gang_size {
    uint32_t ranks, islands;
    uint32_t over_milli; /* of what NICs send, 1000 / over_milli gets to the others; >= 1000 */
};
#define TUG_GANG_ALONE ((struct tug_gang_size){1, 1, 1000})
/* What a set can give to such a gang, MB/s: the smaller of tug_bandwidth_inside() and, where NICs are known, their part.
 * 0: its links are not known. */
uint32_t tug_inside_mbs(const struct tug_machine *held, tug_gpuset set, struct tug_gang_size gang);
/* What its NICs give: tug_bandwidth_out(). */
uint32_t tug_inside_out_mbs(const struct tug_machine *held, tug_gpuset set);
/* More than any n GPUs of these machines give to such a gang; 0: none has as many, or nothing is known. */
uint32_t tug_insides_most(const struct tug_insides *all, uint32_t n, struct tug_gang_size gang);
/* The best n of the free GPUs, of which there are as many; *mbs (may be NULL) as above. held = NULL: the lowest, 0. */
tug_gpuset tug_inside_choose(const struct tug_machine *held, tug_gpuset free, uint32_t n, struct tug_gang_size gang,
                             uint32_t *mbs);

#endif
