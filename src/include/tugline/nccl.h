/* nccl.h - an NCCL communicator over the ranks of a gang, in one call
 *
 *     ncclComm_t comm;
 *     char why[TUG_WHY_MAX];
 *     if (tug_nccl_init(&comm, why)) { fprintf(stderr, "%s\n", why); exit(1); }
 *
 * Nothing but this header needs NCCL: the library moves the id (<tugline/tugline.h>). The CUDA device of the
 * calling thread is used; a rank of Tugline sees its own GPUs only, so that device 0, the default, is right.
 * Each rank of the group calls it, as often and in the same order for one group. Licence: Apache-2.0.
 */
#ifndef TUGLINE_NCCL_H
#define TUGLINE_NCCL_H

#include <errno.h>
#include <nccl.h>
#include <stdio.h>
#include <tugline/tugline.h>

#if NCCL_UNIQUE_ID_BYTES != TUG_NCCL_ID_BYTES
#error "this NCCL has a unique id of another size than <tugline/tugline.h> knows"
#endif

static inline int tug_nccl_failed_(const char *what, ncclResult_t rc, char *why)
{
    if (why)
        snprintf(why, TUG_WHY_MAX, "%s: %s", what, ncclGetErrorString(rc));
    return -EPROTO;
}

/* A communicator over the group's ranks, numbered in its order; NULL = all ranks of the step.
 * As tug_hand_out(), and -EPROTO with NCCL's own words. */
static inline int tug_nccl_init_group(ncclComm_t *comm, const struct tug_group *g, char *why)
{
    struct tug_world w;
    ncclUniqueId id;
    ncclResult_t made = ncclSuccess;
    int all, size, rank, rc = tug_world_get(&w, why);

    if (rc)
        return rc;
    all = !g || !g->ranks;
    size = all ? w.size : g->n;
    rank = all ? w.rank : 0;
    while (!all && rank < size && g->ranks[rank] != w.rank)
        rank++;
    if (rank == 0)
        made = ncclGetUniqueId(&id);
    rc = tug_nccl_unique_id(g, made == ncclSuccess ? &id : NULL, why);
    if (made != ncclSuccess)
        return tug_nccl_failed_("ncclGetUniqueId", made, why);
    if (rc)
        return rc;
    made = ncclCommInitRank(comm, size, id, rank);
    return made == ncclSuccess ? 0 : tug_nccl_failed_("ncclCommInitRank", made, why);
}

static inline int tug_nccl_init(ncclComm_t *comm, char *why)
{
    return tug_nccl_init_group(comm, NULL, why);
}

#endif
