/* ledger.h - which gang holds which GPUs, CPUs and memory, and nothing else
 *
 * Devices of a node are its GPUs and, numbered behind them, the slices that some of these are cut into (cut.c): one that is
 * cut is no device that can be claimed, and its slices can't be while somebody still holds all of it.
 * A GPU is held as a whole by one job, or in parts by several; these may be of one GPU of a node only. A slice is held by one.
 * Parts of one GPU are all of one user, or all of those that may be mixed.
 * A gang gets everything it asks for in one call, or nothing. What a node has and what is taken
 * there are kept apart: a node that comes back smaller loses free resources, never the memory of
 * what is held.
 */
#ifndef TUG_CORE_LEDGER_H
#define TUG_CORE_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/gpuset.h"
#include "base/vec.h"
#include "core/job.h"

struct tug_ledger; /* opaque: see ledger.c */

struct tug_ledger_part {   /* of a GPU that is held in parts */
    tug_job_id job;
    uint32_t user;
    uint16_t milli;
    uint8_t gpu, mixed;
};

struct tug_ledger_node {
    uint32_t cpus, cpus_used;
    uint64_t mem_bytes, mem_used_bytes;
    tug_gpuset gpus, gpus_used;     /* used: devices, also such as the node no longer has */
    tug_gpuset slices;              /* devices that can be claimed beside 'gpus' */
    tug_gpuset all_slices, cut;     /* without regard to who holds what; the GPUs that they are of */
    const uint8_t *gpu_of;          /* by device, of all_slices */
    tug_gpuset gpus_shared;         /* of those used: held in parts */
    uint32_t gangs;                 /* that hold something here, without those that hold memory only */
    uint32_t stopped;               /* those */
    tug_job_id owner[TUG_GPUS_MAX]; /* 0 = nobody, or several */
    uint16_t milli_used[TUG_GPUS_MAX], milli_free[TUG_GPUS_MAX]; /* free: of GPUs that it has */
    struct tug_vec(struct tug_ledger_part) parts;                /* in no order */
};

enum tug_ledger_rule {
    TUG_LEDGER_FREE,   /* only what the node has and nobody holds */
    TUG_LEDGER_RESTORE /* what a record says was given: the node may not have told its size yet */
};

struct tug_ledger *tug_ledger_new(void);
void tug_ledger_free(struct tug_ledger *l);
/* Nodes 0..n-1 exist from now on; new ones have nothing. Never shrinks. */
void tug_ledger_grow(struct tug_ledger *l, size_t n);
size_t tug_ledger_nodes(const struct tug_ledger *l);
const struct tug_ledger_node *tug_ledger_node(const struct tug_ledger *l, uint32_t node);
/* What the node has; what is held there stays held. */
void tug_ledger_resize(struct tug_ledger *l, uint32_t node, uint32_t cpus, tug_gpuset gpus,
                       uint64_t mem_bytes);

/* The GPUs 'cut' have these slices; gpu_of is borrowed until the next call for that node. None of them is among the
 * node's 'gpus' of tug_ledger_resize(). */
void tug_ledger_set_slices(struct tug_ledger *l, uint32_t node, tug_gpuset slices, tug_gpuset cut, const uint8_t *gpu_of);

static inline uint32_t tug_ledger_cpus_free(const struct tug_ledger_node *n)
{
    return n->cpus > n->cpus_used ? n->cpus - n->cpus_used : 0;
}
static inline tug_gpuset tug_ledger_gpus_free(const struct tug_ledger_node *n)
{
    return n->gpus & ~n->gpus_used;
}
/* GPUs and slices. */
static inline tug_gpuset tug_ledger_devices_free(const struct tug_ledger_node *n)
{
    return (n->gpus | n->slices) & ~n->gpus_used;
}
static inline uint64_t tug_ledger_mem_free(const struct tug_ledger_node *n)
{
    return n->mem_bytes > n->mem_used_bytes ? n->mem_bytes - n->mem_used_bytes : 0;
}

/* May that part of a GPU (gpu_user, gpu_mixed) be on GPU 'gpu' of the node, beside those that are there? And is
 * there room for it too (gpu_milli)? 1 or 0. */
int tug_ledger_part_may(const struct tug_ledger_node *n, unsigned gpu, const struct tug_slice *part);
int tug_ledger_part_fits(const struct tug_ledger_node *n, unsigned gpu, const struct tug_slice *part);
/* The GPU that a part should go to: of those in parts, where it may be, the one that it leaves the least of,
 * *left; else a free one, the lowest (left = UINT32_MAX). TUG_GPUS_MAX: there is no room. */
unsigned tug_ledger_share(const struct tug_ledger_node *n, const struct tug_slice *part, uint32_t *left);

/* Take every slice for 'job', or none. On failure nothing has changed and 'err' (may be NULL) names
 * the node and the job that is in the way. -EBUSY   a GPU is held, or CPUs or memory do not suffice
 * -EINVAL  no such node or GPU */
int tug_ledger_claim(struct tug_ledger *l, tug_job_id job, const struct tug_slice *at, size_t n,
                     enum tug_ledger_rule rule, struct tug_err *err);
/* Give back what claim took. The slices must be those that 'job' holds. */
void tug_ledger_release(struct tug_ledger *l, tug_job_id job, const struct tug_slice *at, size_t n);

/* A gang that is stopped: the memory of its slices, and nothing else. */
void tug_ledger_claim_memory(struct tug_ledger *l, const struct tug_slice *at, size_t n);
void tug_ledger_release_memory(struct tug_ledger *l, const struct tug_slice *at, size_t n);

/* Keep free resources of one node for a job that will start there (hold.c): no gang, but nobody else
 * can claim them. They must be free. */
void tug_ledger_keep(struct tug_ledger *l, tug_job_id job, const struct tug_slice *s);
void tug_ledger_unkeep(struct tug_ledger *l, tug_job_id job, const struct tug_slice *s);

#endif
