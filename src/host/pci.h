/* pci.h - where PCI devices are, as /sys tells it
 *
 * The kernel shows a device below the bridges that lead to it, so the paths of two say what is between them. NCCL looks at
 * them in the same way. 'sys' is "/sys" but in tests. Layer: host.
 */
#ifndef TUG_HOST_PCI_H
#define TUG_HOST_PCI_H

#include <stddef.h>
#include <stdint.h>

#include "base/machine.h"

#define TUG_PCI_PATH_MAX 1024

/* Reads a short file below 'sys' without its newline; "" when it is not there. Returns out. */
char *tug_sys_read(const char *sys, const char *path, char *out, size_t size_bytes);

/* The real path of the PCI device "0000:3b:00.0", below 'sys'. -ENOENT: there is none. */
int tug_pci_path(const char *sys, const char *address, char out[TUG_PCI_PATH_MAX]);
/* The nearest PCI device above what 'link' (below 'sys') leads to; both "" when there is none, as of a tunnel. */
void tug_pci_of(const char *sys, const char *link, char path[TUG_PCI_PATH_MAX], char address[32]);
/* What is between two devices by their paths; NODE and SYS differ by their NUMA nodes. */
enum tug_link_class tug_pci_class(const char *a, uint32_t numa_a, const char *b, uint32_t numa_b);
/* The NUMA node of the device at that path; TUG_MACHINE_NO_NUMA = not known, or not below n_numa. With one node it is that. */
uint32_t tug_pci_numa(const char *path, uint32_t n_numa);

#endif
