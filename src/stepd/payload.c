/* payload.c - what one step is, as told by the controller, seen from this node
 *
 * The bytes were made by the controller and their digest was checked by the launcher; they are
 * checked again for what this program takes for granted, because a payload of another release may
 * say less. Layer: stepd.
 */
#include "stepd/payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/pattern.h"
#include "proto/machine.h"
#include "stepd/gpus.h"
#include "stepd/probe.h"

#define PAYLOAD_MAX_BYTES (12u << 20) /* as StepLaunch.payload in proto/caps.def */

/* A memfd is read at our own offset: the descriptor's is shared with the node daemon, which could
 * move it on while we read, and what we got were not the bytes that the launcher checked. */
static ssize_t read_some(int fd, struct tug_buf *b)
{
    ssize_t n = pread(fd, tug_buf_room(b, 65536), 65536, (off_t) b->len);

    return n < 0 && errno == ESPIPE ? read(fd, tug_buf_room(b, 65536), 65536) : n;
}

static int read_all(int fd, struct tug_buf *b, struct tug_err *err)
{
    for (;;) {
        ssize_t n = read_some(fd, b);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tug_fail(err, -errno, "reading the step's payload from descriptor %d: %s", fd,
                            strerror(errno));
        if (n == 0)
            return 0;
        b->len += (size_t) n;
        if (b->len > PAYLOAD_MAX_BYTES)
            return tug_fail(err, -EPROTO, "the step's payload is over %u bytes", PAYLOAD_MAX_BYTES);
    }
}

static int bad(struct tug_err *err, const char *what)
{
    return tug_fail(
        err, -EPROTO,
        "the step's payload %s; the controller and this node differ too much in version", what);
}

/* Ranks are numbered along the slices: that is what makes "rank -> node" computable everywhere. */
static int check(const Tugpb__StepPayload *pb, struct tug_err *err)
{
    uint32_t next = 0;

    if (!pb->key || !pb->spec)
        return bad(err, "names no step or no job");
    if (pb->n_slices == 0 || pb->node_index >= pb->n_slices)
        return bad(err, "does not say which node of the gang this is");
    for (size_t i = 0; i < pb->n_slices; i++) {
        if (!pb->slices[i]->node[0])
            return bad(err, "has a node without a name");
        if (pb->slices[i]->first_rank != next)
            return bad(err, "does not number its ranks along its nodes");
        next += pb->slices[i]->ntasks;
        if (!tug_gpus_are_ordered(pb->slices[i]->gpus, &pb->slices[i]->gpu_order))
            return bad(err, "has an order of GPUs that is not of the gang's GPUs");
    }
    if (pb->n_slices > 1 && (pb->gang_key.len != 32 || pb->n_addresses != pb->n_slices))
        return bad(err, "lacks the gang's key or a node's address");
    if (pb->spec->kind == TUGPB__JOB_KIND__JOB_BATCH ? pb->spec->script.len == 0
                                                     : pb->spec->n_argv == 0)
        return bad(err, "has nothing to run");
    if (pb->spec->kind == TUGPB__JOB_KIND__JOB_GANG && next == 0)
        return bad(err, "has no ranks");
    if (pb->spec->interactive && (!pb->spec->io_addr[0] || pb->spec->io_key.len != 32))
        return bad(err, "is interactive but does not say where its terminal is");
    if (pb->spec->kind == TUGPB__JOB_KIND__JOB_BATCH && pb->node_index != 0)
        return bad(err, "is a batch script's and meant for its first node only");
    return 0;
}

/* A prober of ours is beside this program. */
static void find_prober(struct tug_arena *arena, const Tugpb__StepPayload *pb)
{
    if (!pb->preflight || strchr(pb->spec->argv[0], '/'))
        return;
    char *path = tug_probe_program(pb->spec->argv[0]);
    char *kept = tug_arena_alloc(arena, strlen(path) + 1);
    tug_assert(kept);
    strcpy(kept, path);
    free(path);
    pb->spec->argv[0] = kept;
}

static void derive(struct tug_payload *p, const Tugpb__StepPayload *pb)
{
    p->pb = pb;
    p->spec = pb->spec;
    p->me = pb->node_index;
    p->n_nodes = (unsigned) pb->n_slices;
    p->slice = pb->slices[p->me];
    p->inv = pb->n_nodes ? pb->nodes[0] : NULL;
    p->node = p->slice->node;
    p->address = p->me < pb->n_addresses ? pb->addresses[p->me] : "";
    for (size_t i = 0; i < pb->n_slices; i++)
        p->ntasks += pb->slices[i]->ntasks;
    p->batch = pb->spec->kind == TUGPB__JOB_KIND__JOB_BATCH;
    p->n_stepds = p->batch ? 1 : p->n_nodes;
    if (p->batch) {
        p->n_ranks = 1;
        p->n_local = p->me == 0;
    } else {
        p->n_ranks = p->ntasks;
        p->n_local = p->slice->ntasks;
        p->first_rank = p->slice->first_rank;
    }
    p->pmix = !p->batch && (pb->spec->launcher == TUGPB__LAUNCHER__LAUNCHER_AUTO ||
                            pb->spec->launcher == TUGPB__LAUNCHER__LAUNCHER_PMIX);
    p->emulated = p->inv && p->inv->emulated;
    /* One that contradicts itself tells nothing; the controller has said so to who can act on it. */
    if (p->inv && p->inv->links && tug_machine_of_pb(p->inv->links, &p->machine, NULL) < 0)
        p->machine = NULL;
}

int tug_payload_read(struct tug_payload *out, int fd, struct tug_err *err)
{
    struct tug_buf bytes = {0};
    struct tug_arena arena = {0};
    ProtobufCMessage *m = NULL;
    int rc = read_all(fd, &bytes, err);

    if (rc == 0)
        rc = tug_proto_decode(&arena, &tugpb__step_payload__descriptor, tug_buf_str(&bytes),
                              bytes.len, &m, err);
    if (rc == 0)
        rc = check((const Tugpb__StepPayload *) m, err);
    tug_buf_clear(&bytes);
    if (rc < 0) {
        tug_arena_clear(&arena);
        return rc;
    }
    find_prober(&arena, ((const Tugpb__StepPayload *) m));
    memset(out, 0, sizeof *out);
    out->arena = arena;
    derive(out, (const Tugpb__StepPayload *) m);
    return 0;
}

void tug_payload_clear(struct tug_payload *p)
{
    tug_arena_clear(&p->arena);
    free(p->machine);
    memset(p, 0, sizeof *p);
}

unsigned tug_payload_node_of(const struct tug_payload *p, unsigned rank)
{
    size_t lo = 0, hi = p->pb->n_slices;

    while (hi - lo > 1) { /* last slice whose first rank is <= rank; empty slices come before it */
        size_t mid = lo + (hi - lo) / 2;
        if (p->pb->slices[mid]->first_rank <= rank)
            lo = mid;
        else
            hi = mid;
    }
    return (unsigned) lo;
}

char *tug_payload_path(const struct tug_payload *p, const char *pattern, unsigned rank)
{
    struct tug_pattern_values v = {.job = p->pb->key->job,
                                   .attempt = p->pb->key->attempt,
                                   .name = p->spec->name,
                                   .user = p->pb->user,
                                   .rank = rank,
                                   .node_index = p->me,
                                   .node = p->node};
    struct tug_buf b = {0};

    tug_pattern_path(&b, p->spec->cwd, pattern, &v);
    return b.data ? tug_buf_take(&b) : tug_xstrdup("");
}
