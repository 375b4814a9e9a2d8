/* limits.h - resource limits under which NCCL and RDMA fail late, or run slowly. Layer: stepd. */
#ifndef TUG_STEPD_LIMITS_H
#define TUG_STEPD_LIMITS_H

#include <stdint.h>

#include "base/buf.h"
#include "stepd/payload.h"

/* Soft limits of a rank, RLIM_INFINITY for none. */
struct tug_limits {
    uint64_t memlock_bytes, nofile, stack_bytes;
};

/* What ranks of this step will have: ours, with what the submitter had on top. */
void tug_limits_of_ranks(const struct tug_payload *p, struct tug_limits *out);
/* What is too low for a gang with GPUs, each with the way out, on one line; nothing when all is well,
 * or the gang has one rank or no real GPUs here. */
void tug_limits_warn(const struct tug_payload *p, const struct tug_limits *l, struct tug_buf *out);

#endif
