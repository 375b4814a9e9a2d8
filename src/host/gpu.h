/* gpu.h - the NVIDIA GPUs of this machine, through a library that need not be there
 *
 * libnvidia-ml.so.1 is loaded with dlopen; a machine without the driver has no GPUs, which is no failure. GPU i is
 * NVML's index i, which is PCI bus order. Layer: host.
 */
#ifndef TUG_HOST_GPU_H
#define TUG_HOST_GPU_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/gpuset.h"

#define TUG_GPU_NO_NUMA UINT32_MAX

struct tug_gpu {
    char uuid[96];
    char name[96];                  /* "NVIDIA H100 80GB HBM3" */
    char pci[32];                   /* "0000:3b:00.0" */
    uint32_t numa;                  /* TUG_GPU_NO_NUMA = not known */
};
struct tug_gpus {
    uint32_t n;
    struct tug_gpu at[TUG_GPUS_MAX];
    char model[64];                 /* of the first, as users ask for it: "h100" */
};

/* 'library' NULL: the driver's. Without a driver: 0 and no GPUs.
 *   -EIO  there is a driver and it fails: which GPU and what it said; a GPU that is lost counts as such */
int tug_gpus_probe(const char *library, struct tug_gpus *out, struct tug_err *err);

/* "NVIDIA A100-SXM4-80GB" -> "a100", "NVIDIA GeForce RTX 3090" -> "rtx3090". Returns out, cut to size. */
char *tug_gpu_model(const char *name, char *out, size_t size_bytes);

#endif
