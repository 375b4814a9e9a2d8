/* world.c - the real world behind the agent
 *
 * Layer: programs.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "noded/daemon.h"

#define LEAVE_MS 100

static int64_t world_now(void *ctx)
{
    const struct noded *d = ctx;
    return d->wall0 + ((int64_t) tug_now_ms() - d->boot0);
}

int64_t world_from_boot(const struct noded *d, int64_t boot_ms)
{
    return boot_ms == 0 || boot_ms == INT64_MAX ? boot_ms : boot_ms - d->boot0 + d->wall0;
}

int64_t world_to_boot(const struct noded *d, int64_t agent_ms)
{
    return agent_ms == 0 || agent_ms == INT64_MAX ? agent_ms : agent_ms - d->wall0 + d->boot0;
}

static void world_timer(void *ctx, int64_t at_ms)
{
    struct noded *d = ctx;
    int64_t boot_ms = world_to_boot(d, at_ms);
    if (at_ms == INT64_MAX)
        tug_timer_stop(d->timer);
    else
        tug_timer_set(d->timer, boot_ms < 0 ? 0 : (uint64_t) boot_ms);
}

/* A rank that failed may have met a GPU that is lost. */
static bool has_failed(enum tug_msg number, const ProtobufCMessage *m)
{
    return m && number == TUG_MSG_STEP_DONE && ((const Tugpb__StepDone *) m)->result &&
           ((const Tugpb__StepDone *) m)->result->cause;
}

static void world_send(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m)
{
    struct noded *d = ctx;
    struct tug_conn *c;
    if (has_failed(number, m))
        recheck_soon(d->recheck);
    if (peer == TUG_PEER_LAUNCHER) {
        launcher_send(d, number, m);
    } else if (peer == TUG_PEER_CHECKER) {
        check_run(d, (const Tugpb__HcRun *) m);
    } else if (peer == TUG_PEER_PROGRAMS) {
        programs_run(d, (const Tugpb__VsRun *) m);
    } else if (!m) {
        link_close(d, peer);
    } else if ((c = link_conn(d, peer)) != NULL) {
        int rc = tug_conn_send(c, number, rid, m);
        if (rc == -EMSGSIZE)
            tug_error("a message of type %s is too large to be sent", tug_msg_info((uint16_t) number)->name);
    }
}

struct commit {
    struct noded *d;
    uint64_t ticket;
};

static void on_committed(void *arg, int rc, const char *why)
{
    struct commit *c = arg;
    if (rc) {
        /* What is not kept must not be promised: the steps go on, tuglaunch starts us again. */
        tug_error("the node's state cannot be written: %s", why);
        _exit(1);
    }
    tug_agent_persisted(c->d->agent, c->ticket);
    world_check(c->d);
    free(c);
}

static void world_persist(void *ctx, struct tug_batch *b, uint64_t ticket)
{
    struct noded *d = ctx;
    struct commit *c = tug_new(struct commit);
    c->d = d;
    c->ticket = ticket;
    tug_store_commit(d->store, b, on_committed, c);
}

static void on_room(void *arg, const char *why)
{
    struct noded *d = arg;
    tug_agent_full(d->agent, why);
    world_check(d);
}

void world_wait_for_room(struct noded *d)
{
    tug_store_wait_for_room(d->store, on_room, d);
}

static void world_random(void *ctx, void *out, size_t len_bytes)
{
    (void) ctx;
    randombytes_buf(out, len_bytes);
}

static void world_send_packed(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const void *body,
                              size_t len_bytes)
{
    struct tug_conn *c = link_conn(ctx, peer);
    if (c)
        tug_conn_send_raw(c, (uint16_t) number, rid, body, len_bytes);
}

void world_env(struct noded *d, struct tug_env *env)
{
    *env = (struct tug_env){.ctx = d, .now = world_now, .timer = world_timer, .send = world_send,
                            .persist = world_persist, .random = world_random, .send_packed = world_send_packed};
}

void world_check(struct noded *d)
{
    const char *why = tug_agent_refused(d->agent);
    if (!why || d->exit_code)
        return;
    tug_error("the controller does not want this node: %s", why);
    d->exit_code = TUG_WIRE_EXIT_REFUSED;
    tug_timer_stop(d->redial);
    tug_timer_set(d->leaving, tug_now_ms() + LEAVE_MS);     /* the connection is being closed */
}
