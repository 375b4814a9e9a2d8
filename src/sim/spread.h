/* spread.h - over how many domains of the fabric gangs were spread
 *
 * Of every start of a gang on several nodes: the domains that have nodes of it ("leaves", whatever their level), and
 * the fewest that could have held so many nodes had the cluster been empty. Layer: sim.
 */
#ifndef TUG_SIM_SPREAD_H
#define TUG_SIM_SPREAD_H

#include "core/core.h"

struct tug_spread; /* opaque: see spread.c */
struct tug_sim_result;

/* NULL when the core has no fabric. Nodes in no domain are one together. */
struct tug_spread *tug_spread_new(const struct tug_core *c);
void tug_spread_free(struct tug_spread *s); /* NULL is fine, as below */
void tug_spread_add(struct tug_spread *s, const struct tug_slice *slices, size_t n);
/* Fills in result's 'spread'. */
void tug_spread_finish(const struct tug_spread *s, struct tug_sim_result *r);

#endif
