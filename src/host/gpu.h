/* gpu.h - the NVIDIA GPUs of this machine: which they are, and what is between them
 *
 * GPU i is NVML's index i, which is PCI bus order; one that is lost keeps its index, so that the others keep theirs. A
 * machine without the driver has no GPUs, which is no failure. Layer: host.
 */
#ifndef TUG_HOST_GPU_H
#define TUG_HOST_GPU_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/gpuset.h"
#include "base/machine.h"
#include "host/nvml.h"

#define TUG_GPU_NO_NUMA TUG_MACHINE_NO_NUMA
#define TUG_GPU_NO_MINOR UINT32_MAX
#define TUG_GPU_PARTS_MAX 512

struct tug_gpu {
    char uuid[96];                  /* "" when it is lost */
    char name[96];                  /* "NVIDIA H100 80GB HBM3" */
    char pci[32];                   /* "0000:3b:00.0"; "" when it is lost */
    uint32_t numa;                  /* TUG_GPU_NO_NUMA = not known */
    uint32_t mem_mib;               /* 0 = not known */
    uint32_t minor;                 /* of /dev/nvidia<minor>; TUG_GPU_NO_MINOR = not known */
    uint32_t pcie_gen, pcie_lanes;  /* 0 = not known */
    int is_mig;                     /* it is cut into parts, and only they can be used */
    char why[160];                  /* why it is lost; "" = it is not */
};

struct tug_gpu_part {               /* what MIG makes of a GPU */
    uint32_t gpu, mem_mib;
    uint32_t of;                    /* so many compute slices the GPU has in all */
    char uuid[96];                  /* "MIG-..." */
    char profile[32];               /* "1g.10gb" */
};

struct tug_gpus {
    uint32_t n, n_parts;
    tug_gpuset lost;                /* bit set: listed, and cannot be used */
    int hides_pci;                  /* NVLinks lead to PCI devices that are not there: this machine is a virtual one */
    int fabric_pending;             /* the fabric manager is still joining NVLinks: look again */
    char nvlink_domain[64];         /* "<cluster uuid>.<clique>" where NVLink reaches other nodes, else "" */
    char model[64];                 /* of the first, as users ask for it: "h100" */
    struct tug_gpu at[TUG_GPUS_MAX];
    struct tug_gpu_part part[TUG_GPU_PARTS_MAX];
};

/* Identities into 'out'; the hardware (GPUs and links; NICs are nic.h's) into *m, which is zeroed but for n_numa: of a GPU
 * whose NUMA node is not below it none is known. 'library' NULL: the driver's; 'sys' NULL: "/sys".
 *   -EIO  there is a driver and it fails as a whole. A GPU that fails by itself is lost. */
int tug_gpus_probe(const char *library, const char *sys, struct tug_gpus *out, struct tug_machine *m, struct tug_err *err);

/* gpu_links.c: what is between the GPUs; device[i] is NULL of a lost one. Fills m->link, port_mbs and nvswitch; sets
 * out->hides_pci. */
void tug_gpu_links(const struct tug_nvml *n, const tug_nvml_device *device, const char *sys, struct tug_gpus *out,
                   struct tug_machine *m);

/* "NVIDIA A100-SXM4-80GB" -> "a100", "NVIDIA GeForce RTX 3090" -> "rtx3090". Returns out, cut to size. */
char *tug_gpu_model(const char *name, char *out, size_t size_bytes);

#endif
