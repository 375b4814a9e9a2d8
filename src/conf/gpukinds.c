/* gpukinds.c - kinds of GPUs by what topology files say of them
 *
 * Layer: conf.
 */
#include "conf/gpukinds.h"

#include <stddef.h>
#include <string.h>

static const struct tug_gpu_kind kinds[] = {
#define TUG_GPU_KIND(model, device, sm, nvlink_mbs) {model, device, sm, nvlink_mbs},
#include "conf/gpukinds.def"
#undef TUG_GPU_KIND
};
#define KINDS (sizeof kinds / sizeof *kinds)

const struct tug_gpu_kind *tug_gpu_kind_of_device(uint32_t device)
{
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].device == device)
            return &kinds[i];
    return NULL;
}

const struct tug_gpu_kind *tug_gpu_kind_of_model(const char *model)
{
    for (size_t i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i].model, model))
            return &kinds[i];
    return NULL;
}

uint32_t tug_gpu_nvlink_mbs(uint32_t sm)
{
    uint32_t mbs = 0;
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].sm == sm && kinds[i].nvlink_mbs > mbs)
            mbs = kinds[i].nvlink_mbs;
    return mbs;
}
