/* mig.h - slices of a GPU as NVIDIA's MIG cuts them, and what their profiles are called
 *
 * A profile is named as NVML and nvidia-smi name it: "1g.10gb", "3g.40gb", "1g.10gb+me", "1c.2g.20gb". The number before
 * the 'g' counts compute slices, of which a GPU has 7, or 4 where it is small; a name with 'c' is one of several compute
 * instances in such a slice and has only as many of its compute slices.
 */
#ifndef TUG_BASE_MIG_H
#define TUG_BASE_MIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/gpuset.h"

#define TUG_MIG_PROFILE_MAX 32    /* bytes of a name, NUL included */
#define TUG_MIG_OF 7              /* compute slices of a GPU where nobody says */
#define TUG_MIG_MICRO 1000000     /* a whole GPU, where slices of it are charged */

struct tug_mig_slice {
    uint8_t gpu;                  /* that it is cut from, by the node's own index */
    char profile[TUG_MIG_PROFILE_MAX];
};
struct tug_mig {                  /* what the GPUs of a machine are cut into; by GPU */
    uint32_t n;
    struct tug_mig_slice at[TUG_GPUS_MAX];
};

/* Is it the name of a profile? Nothing else is spelled like one: no model of a GPU is. */
int tug_mig_is_profile(const char *text, size_t len);
/* Its compute slices; 0: it is no name of a profile. */
uint32_t tug_mig_compute(const char *profile);
/* What part of a GPU with 'of' compute slices it is, in millionths; of 0: TUG_MIG_OF. At least 1. */
uint32_t tug_mig_micro(const char *profile, uint32_t of);
/* GPUs that are cut. */
tug_gpuset tug_mig_gpus(const struct tug_mig *m);

#endif
