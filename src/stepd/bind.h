/* bind.h - which CPUs a rank may run on, and whose memory it shall prefer. Layer: stepd. */
#ifndef TUG_STEPD_BIND_H
#define TUG_STEPD_BIND_H

#include <sched.h>
#include <stdint.h>

#include "stepd/payload.h"

struct tug_bind; /* the ranks of a node; see bind.c */

/* The share of each rank in the slice's CPUs. core_of[c]: a number that the hardware threads of CPU
 * c's core have in common, for CPU_SETSIZE CPUs; NULL: every CPU is a core. NULL is answered when the
 * slice names no CPUs: ranks are not bound then. Freed by free(). */
struct tug_bind *tug_bind_new(const struct tug_payload *p, const uint16_t *core_of);
/* Never empty. */
const cpu_set_t *tug_bind_cpus(const struct tug_bind *b, unsigned local);
/* NUMA nodes of the rank's GPUs, or of its CPUs where it has no GPUs whose place is known. 0: no
 * choice: it may have the memory of all, or nobody knows. */
uint64_t tug_bind_numa(const struct tug_bind *b, unsigned local);

/* core_of of this host, for the CPUs of the slice; those that it can't tell are cores of their own. */
void tug_bind_cores(const struct tug_payload *p, uint16_t core_of[CPU_SETSIZE]);
/* For this thread and what it executes: new memory comes from these NUMA nodes while they have any.
 * System calls only. -errno of the kernel, which may forbid it (in containers), or be too old to
 * prefer more than one (before 5.15). */
int tug_bind_memory(uint64_t numa);

#endif
