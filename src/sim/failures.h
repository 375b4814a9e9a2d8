/* failures.h - when simulated nodes fail and come back
 *
 * Each node has its own stream of random numbers, so what happens to one does not depend on how
 * many others there are. It works for a time that is exponentially distributed, and is then away
 * for as long as a repair takes. Times are in the caller's unit. Layer: sim.
 */
#ifndef TUG_SIM_FAILURES_H
#define TUG_SIM_FAILURES_H

#include <stdint.h>

struct tug_failures; /* opaque: see failures.c */

/* All nodes work at 'begin'. 'mean': mean time to the next failure, > 0; 'repair' >= 1. */
struct tug_failures *tug_failures_new(uint32_t nodes, int64_t begin, int64_t mean, int64_t repair,
                                      uint64_t seed);
void tug_failures_free(struct tug_failures *f); /* NULL is fine */

/* When the next node fails or comes back; INT64_MAX = never. Of several at once the node with the
 * lowest index comes first. */
int64_t tug_failures_next(const struct tug_failures *f);
/* Takes that: the node, and whether it fails (1) or comes back (0). */
uint32_t tug_failures_take(struct tug_failures *f, int *fails);
/* How many nodes are away. */
uint32_t tug_failures_away(const struct tug_failures *f);

#endif
