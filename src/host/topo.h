/* topo.h - CPUs, memory and NUMA nodes of this machine, as hwloc sees them
 *
 * GPUs come from gpu.h: hwloc's own plugins for them are slow and may connect to an X server. Layer: host.
 */
#ifndef TUG_HOST_TOPO_H
#define TUG_HOST_TOPO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TUG_TOPO_NUMA_MAX 64
#define TUG_TOPO_MASK_BYTES 128     /* logical CPUs 0..1023, little-endian bit set */

struct tug_topo {
    uint32_t cpus;                  /* logical CPUs that this process may use */
    uint64_t mem_bytes;
    uint32_t n_numa;                /* highest NUMA number + 1; a number that is not there has no CPUs */
    uint8_t numa_cpus[TUG_TOPO_NUMA_MAX][TUG_TOPO_MASK_BYTES];
    uint32_t mask_bytes;            /* how many of a mask are in use */
};

/* Look at the machine; with 'xml' also write it there (whole, mode 0644), so that every step's PMIx server need not
 * look again (HWLOC_XMLFILE). -EIO: hwloc cannot. */
int tug_topo_load(struct tug_topo *out, const char *xml, struct tug_err *err);

#endif
