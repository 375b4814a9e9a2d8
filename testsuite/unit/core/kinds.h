/* kinds.h - machines for tests of the core, made by hand; the caller frees
 *
 * Layer: tests.
 */
#ifndef TUG_UNIT_KINDS_H
#define TUG_UNIT_KINDS_H

#include "base/machine.h"
#include "base/rand.h"

/* n GPUs behind NVLink switches, each with port_mbs into them; two NUMA nodes with half of them each. */
struct tug_machine *kind_switched(uint32_t n, uint32_t port_mbs);
/* The hybrid cube mesh of 8 GPUs with 6 NVLinks of 25 GB/s each (NVIDIA DGX-1V: its system architecture paper, figure 4), and a
 * 100 Gb/s NIC next to each two GPUs. */
struct tug_machine *kind_mesh(void);
/* n GPUs in bridged pairs of 4 NVLinks of 25 GB/s, else PCIe 4: a socket has half of them, a switch two. */
struct tug_machine *kind_pairs(uint32_t n);
/* A NIC of that rate next to those GPUs, at their NUMA node. */
void kind_add_nic(struct tug_machine *m, tug_gpuset near, uint32_t mbs);
/* 2 to 8 GPUs; links, ports, NUMA nodes and NICs as they come. */
struct tug_machine *kind_random(struct tug_rand *r, uint32_t n);

#endif
