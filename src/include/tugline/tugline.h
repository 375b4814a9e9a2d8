/* tugline.h - what a program may ask about the gang that it is a rank of
 *
 * A small library for programs that run under Tugline: who am I, and hand these bytes to everybody.
 * NCCL's unique id is such bytes: <tugline/nccl.h> has tug_nccl_init(), which gives a communicator.
 *
 *     cc prog.c $(pkg-config --cflags --libs tugline)
 *
 * Every call returns 0 or a negative errno, and then 'why' (TUG_WHY_MAX bytes; NULL = don't care) has
 * one sentence. On failure outputs are as they were. One thread at a time. Bytes travel over PMIx, which
 * ranks have with --launcher=auto or pmix; a program may use MPI as well. Licence: Apache-2.0.
 */
#ifndef TUGLINE_TUGLINE_H
#define TUGLINE_TUGLINE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TUG_WHY_MAX        512
#define TUG_NCCL_ID_BYTES  128  /* ncclUniqueId of every NCCL 2 (nccl.h: NCCL_UNIQUE_ID_BYTES) */
#define TUG_NCCL_TIMEOUT_S 300  /* what tug_nccl_unique_id() and tug_nccl_init() wait */
#define TUG_HAND_OUT_MAX   65536

struct tug_world {
    int rank, size;             /* of the step */
    int local_rank, local_size; /* on this node */
    int node, nodes;            /* this node's place in the gang, and how many there are */
};
/* From the environment that Tugline gave the rank.
 *   -ENOENT  a variable is missing: not started as a rank      -EINVAL  one is not what it should be */
int tug_world_get(struct tug_world *out, char *why);

/* Some ranks, each once; the first of them is the one that gives. */
struct tug_group {
    const char *name; /* not over 64 bytes; ranks that meet under one name must be the same each time */
    const int *ranks; /* NULL = all of the step, rank 0 gives */
    int n;
};

/* Gives the 'len' bytes at 'data' of the group's first rank to all others of it. A collective: every member
 * calls it, as often and in the same order for one name. The first rank may say NULL: it has nothing to
 * give, and the others fail with -ECANCELED. NULL for 'g' = everybody, under the name "world".
 *   -ETIMEDOUT  somebody has not come within timeout_s; the sentence names who
 *   -ENOTCONN   there is no PMIx server here (another --launcher, or not under Tugline)
 *   -EINVAL     no such group, or this rank is not in it; over TUG_HAND_OUT_MAX bytes
 *   -EPROTO     PMIx failed, or the giver's length is another one */
int tug_hand_out(const struct tug_group *g, void *data, size_t len, int timeout_s, char *why);

/* The same for the 128 bytes of an ncclUniqueId, of whatever NCCL the program uses: the first rank calls
 * ncclGetUniqueId() before, all others ncclCommInitRank() afterwards. */
int tug_nccl_unique_id(const struct tug_group *g, void *id, char *why);

#ifdef __cplusplus
}
#endif
#endif
