/* colls.h - how far each rank is in the collectives of its communicators, as NCCL counts them
 *
 * Snapshots go in, what they show comes out: who has been given up, whose communicator has failed, who is behind while
 * nothing moves, who is always the last. A value, like watch.h, of which it is a part. Layer: stepd.
 */
#ifndef TUG_STEPD_COLLS_H
#define TUG_STEPD_COLLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tug_coll { /* one rank in one communicator */
    uint64_t comm;
    unsigned comm_size;
    unsigned rank;  /* of the gang */
    uint64_t count; /* collectives that it has launched */
    int error;      /* ncclResult_t; 0 = none */
    bool missing;   /* it did not answer: count and error mean nothing */
    bool dead;      /* and the others have given it up */
};

struct tug_colls;

struct tug_colls *tug_colls_new(unsigned n_ranks);
void tug_colls_free(struct tug_colls *c);
/* A snapshot. After more than 'stale_ms' without one everything begins anew. */
void tug_colls_take(struct tug_colls *c, uint64_t now_ms, uint64_t stale_ms, const struct tug_coll *all, size_t n);
void tug_colls_forget(struct tug_colls *c);

/* Each fills who[rank] with whom it means and returns how many they are, 0 = nobody; 'since_ms' is when that began. */
unsigned tug_colls_dead(const struct tug_colls *c, bool *who, uint64_t *since_ms);
unsigned tug_colls_failed(const struct tug_colls *c, bool *who, uint64_t *since_ms, int *error);
/* Whom the others wait for in the last snapshot; nothing has moved since 'since_ms'. 'first' is an example: one of them,
 * and how far the others of that communicator are. */
unsigned tug_colls_behind(const struct tug_colls *c, bool *who, uint64_t *since_ms, struct tug_coll *first,
                          uint64_t *others_at);
/* Who was behind again and again, while everything moved: in 'times' of TUG_COLLS_TURNS snapshots. */
#define TUG_COLLS_TURNS 20
unsigned tug_colls_slow(const struct tug_colls *c, bool *who, uint64_t *since_ms, unsigned *times);

#endif
