/* payload.h - what one step is, as told by the controller, seen from this node
 *
 * The decoded StepPayload and what follows from it for this node. Read once, never changed after.
 * Layer: stepd.
 */
#ifndef TUG_STEPD_PAYLOAD_H
#define TUG_STEPD_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/machine.h"
#include "proto/msg.h"
#include "proto/node.pb-c.h"

struct tug_payload {
    struct tug_arena arena; /* owns all that the pointers lead to */
    const Tugpb__StepPayload *pb;
    const Tugpb__JobSpec *spec;  /* pb->spec */
    const Tugpb__Slice *slice;   /* this node's */
    const Tugpb__Inventory *inv; /* this node's, NULL when not told */
    struct tug_machine *machine; /* what is inside it, NULL when not told */
    const char *node;            /* this node's name */
    const char *run_dir;         /* where the step keeps its files on this node; set by main */
    const char *address;         /* this node's address, "" when not told */
    unsigned me;                 /* index of this node; 0 is the head */
    unsigned n_nodes;
    unsigned n_stepds;   /* nodes that run something of this step: all, or one for a batch script */
    unsigned ntasks;     /* of the gang */
    unsigned n_local;    /* ranks that this node spawns */
    unsigned first_rank; /* of those */
    unsigned n_ranks;    /* ranks that are spawned on all nodes: ntasks, or 1 for a batch script */
    bool batch;
    bool pmix;     /* ranks get a PMIx server */
    bool emulated; /* several nodes share this host */
};

/* Read all of 'fd' and check it; 'fd' stays open. On failure nothing is kept.
 *   -EPROTO  not a StepPayload, or one that contradicts itself; 'err' names the field */
int tug_payload_read(struct tug_payload *out, int fd, struct tug_err *err);
void tug_payload_clear(struct tug_payload *p);

/* Which node runs 'rank'; rank < ntasks. */
unsigned tug_payload_node_of(const struct tug_payload *p, unsigned rank);
/* The absolute path that a pattern of the job (base/pattern.h) stands for on this node and for
 * 'rank'. The caller frees. */
char *tug_payload_path(const struct tug_payload *p, const char *pattern, unsigned rank);
/* The rank that is the 'local'-th on this node. */
static inline unsigned tug_payload_rank(const struct tug_payload *p, unsigned local)
{
    return p->first_rank + local;
}

#endif
