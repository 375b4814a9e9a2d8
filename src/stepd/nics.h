/* nics.h - which verbs NICs (InfiniBand, RoCE) are the nearest to GPUs. Layer: stepd.
 *
 * Bit i of a set is NIC i of the inventory's machine. Empty where no NIC is known to be near: whoever
 * asks then leaves the choice to the libraries.
 */
#ifndef TUG_STEPD_NICS_H
#define TUG_STEPD_NICS_H

#include <stdint.h>

#include "base/buf.h"
#include "stepd/payload.h"

/* Every NIC that is the nearest to one of the gang's GPUs on this node, or as near as another. NCCL
 * wants to see all that a job may use, and chooses by its own view of the machine. */
uint32_t tug_nics_of_node(const struct tug_payload *p);
/* One for each GPU of the local-th rank; where several are as near, GPUs take turns. */
uint32_t tug_nics_of_rank(const struct tug_payload *p, unsigned local);
/* "mlx5_0,mlx5_3" with 'suffix' behind each name; nothing for no NIC. */
void tug_nics_print(const struct tug_payload *p, uint32_t nics, const char *suffix,
                    struct tug_buf *out);

#endif
