/* cpus.h - which CPUs of a node a slice is bound to. Layer: logic. */
#ifndef TUG_LOGIC_CPUS_H
#define TUG_LOGIC_CPUS_H

#include <stdint.h>

#include "proto/node.pb-c.h"

#define TUG_CPUS_MASK_LEN 128 /* bytes: 1,024 logical CPUs */

/* 'want' CPUs of the node that are not in 'used': of the NUMA nodes of 'gpus' in proportion, then what
 * else is there next to them, then elsewhere, on as few NUMA nodes as possible. Marks them in both
 * sets; answers how many there were. */
uint32_t tug_cpus_pick(const Tugpb__Inventory *inv, uint64_t gpus, uint32_t want,
                       uint8_t used[TUG_CPUS_MASK_LEN], uint8_t mine[TUG_CPUS_MASK_LEN]);

#endif
