/* bind.h - which CPUs a rank may run on. Layer: stepd. */
#ifndef TUG_STEPD_BIND_H
#define TUG_STEPD_BIND_H

#include <sched.h>
#include <stdbool.h>

#include "stepd/payload.h"

/* The share of the local-th rank in the node's CPUs, next to its GPUs where the inventory says
 * where they are. False: the rank is not bound, because the slice names no CPUs. */
bool tug_bind_rank(const struct tug_payload *p, unsigned local, cpu_set_t *out);

#endif
