/* gpukinds.h - kinds of GPUs by what topology files say of them
 *
 * Layer: conf.
 */
#ifndef TUG_CONF_GPUKINDS_H
#define TUG_CONF_GPUKINDS_H

#include <stdint.h>

struct tug_gpu_kind {
    const char *model;
    uint32_t device; /* PCI, of vendor 10de */
    uint32_t sm;     /* compute capability times 10 */
    uint32_t nvlink_mbs;
};

/* NULL: none is known. */
const struct tug_gpu_kind *tug_gpu_kind_of_device(uint32_t device);
const struct tug_gpu_kind *tug_gpu_kind_of_model(const char *model);
/* Bandwidth of one NVLink of GPUs with that compute capability, MB/s; 0 = not known. */
uint32_t tug_gpu_nvlink_mbs(uint32_t sm);

#endif
