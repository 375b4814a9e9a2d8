/* quality.h - how good the nodes and GPUs of a gang are: predicted bandwidth / the best that this cluster could give it
 *
 * The best is what the gang would have (span.h) if all nodes that it may use were empty, by the choice that topology.c makes. A
 * node that is down or drained is not one of them: quality says what waiting would bring, not what buying would. Layer: core.
 */
#ifndef TUG_CORE_QUALITY_H
#define TUG_CORE_QUALITY_H

#include "core/span.h"

struct tug_shape;

struct tug_quality {
    struct tug_forecast has;
    uint32_t best_mbs; /* 0 = not known */
    uint32_t milli;    /* in thousandths of the best, at most 1000; 0 = not known, or there is only one GPU */
};

/* Of gangs that ask for that, placed there. The best is worked out when it is first asked for and whenever the usable nodes have
 * changed since. Changes nothing that shows. */
void tug_quality_of(struct tug_core *c, struct tug_shape *s, const struct tug_policy_slice *at, size_t n,
                    struct tug_quality *out);
uint32_t tug_quality_best(struct tug_core *c, struct tug_shape *s);
/* "spans 2 of level leaf with oversubscription 2; predicted 46 GB/s of 74 GB/s": returns buf; "" where nothing is known. */
const char *tug_quality_say(struct tug_core *c, const struct tug_quality *q, const struct tug_policy_slice *at, size_t n,
                            char *buf, size_t size_bytes);

#endif
