/* nic.h - the network cards of this machine, and how near they are to its GPUs
 *
 * Verbs devices (InfiniBand, RoCE, EFA) with a port that is linked, and network interfaces that are up and no face of one of
 * those; not virtual ones, nor functions lent to virtual machines. In PCI bus order. Layer: host.
 */
#ifndef TUG_HOST_NIC_H
#define TUG_HOST_NIC_H

#include "base/machine.h"
#include "host/gpu.h"

/* Adds them to *m, which has its NUMA nodes and GPUs; 'sys' NULL: "/sys". Of more than a machine can have, verbs devices stay. */
void tug_nics_probe(const char *sys, const struct tug_gpus *gpus, struct tug_machine *m);

/* "400 Gb/sec (4X NDR)" -> 50000 MB/s; 0: no such text. */
uint32_t tug_nic_rate_mbs(const char *text);

#endif
