/* gpus.h - which GPUs of the node a rank works with, in the order of the ring. Layer: stepd. */
#ifndef TUG_STEPD_GPUS_H
#define TUG_STEPD_GPUS_H

#include <stdint.h>

#include "base/gpuset.h"
#include "stepd/payload.h"

struct tug_gpu_list {
    unsigned n;
    uint8_t at[TUG_GPUS_MAX]; /* the node's own numbers; of slices those of the controller (node.proto: MigSlice) */
};

/* Is it a way to number the GPUs of the set, each once? Empty is: they are taken as they rise. */
bool tug_gpus_are_ordered(uint64_t gpus, const ProtobufCBinaryData *order);
/* All that the gang has on this node. */
void tug_gpus_of_node(const struct tug_payload *p, struct tug_gpu_list *out);
/* Those that are the local-th rank's: with t GPUs a task the l*t-th and the t-1 behind it, else an even
 * share. With fewer GPUs than ranks neighbours share one. A batch script has all. */
void tug_gpus_of_rank(const struct tug_payload *p, unsigned local, struct tug_gpu_list *out);
/* Those that it is shown: its own; with --launcher=torch all of the node, because such a rank takes
 * number LOCAL_RANK of what it sees; of slices its own, as CUDA shows a process one slice. */
void tug_gpus_shown(const struct tug_payload *p, unsigned local, struct tug_gpu_list *out);

/* The slice of a GPU that has that number; NULL: it is a GPU, or nobody knows. */
const Tugpb__MigSlice *tug_gpus_slice(const struct tug_payload *p, unsigned device);
/* The GPU that it is, or is cut from: what is next to it is next to all of its slices. */
unsigned tug_gpus_gpu(const struct tug_payload *p, unsigned device);

#endif
