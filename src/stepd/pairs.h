/* pairs.h - which pairs of a gang's nodes are tried, and from which end
 *
 * All of a gang of up to 257 nodes; of a larger one those that are up to 128 apart in the gang's order, and those that are so many
 * powers of two apart, as in trees. The head's are left out: it has a connection to each. Pure. Layer: stepd.
 */
#ifndef TUG_STEPD_PAIRS_H
#define TUG_STEPD_PAIRS_H

#include <stddef.h>

#define TUG_PAIRS_MAX 140

/* Whom 'me' of 'n' nodes tries: how many. */
size_t tug_pairs_of(unsigned n, unsigned me, unsigned out[TUG_PAIRS_MAX]);

#endif
