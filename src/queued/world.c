/* world.c - the real world behind the controller's logic
 *
 * The clock starts at the wall clock and then runs with CLOCK_BOOTTIME: a step of the wall clock
 * moves no deadline. Layer: programs.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/proc.h"
#include "queued/daemon.h"

int64_t world_clock(const struct tugd *d)
{
    return d->wall0 + ((int64_t) tug_now_ms() - d->mono0);
}

static int64_t world_now(void *ctx)
{
    return world_clock(ctx);
}

uint64_t world_boot(void)
{
    char id[TUG_BOOT_ID_LEN];
    uint64_t boot = 0;

    if (tug_proc_boot_id(id, NULL) != 0)
        return 0;
    for (const char *at = id; *at && boot >> 60 == 0; at++)
        if (*at != '-')
            boot = boot << 4 | (uint64_t) (*at <= '9' ? *at - '0' : (*at | 32) - 'a' + 10);
    return boot;
}

static void world_timer(void *ctx, int64_t at_ms)
{
    struct tugd *d = ctx;

    if (at_ms == INT64_MAX)
        tug_timer_stop(d->timer);
    else
        tug_timer_set(d->timer, at_ms < d->wall0 ? 0 : (uint64_t) (at_ms - d->wall0 + d->mono0));
}

struct peer *world_peer(struct tugd *d, tug_peer_id id)
{
    struct peer *p;

    HASH_FIND(hh, d->peers, &id, sizeof id, p);
    return p;
}

static void world_send_packed(void *ctx, tug_peer_id id, enum tug_msg number, uint32_t rid,
                              const void *body, size_t len)
{
    struct tugd *d = ctx;
    struct peer *p = world_peer(d, id);
    struct tug_buf launch = {0};

    if (!p)
        return;
    /* The one promise that rides on no commit: a lease of a node, which the next controller waits out. */
    if (number == TUG_MSG_LEASE_GRANT && (int64_t) tug_now_ms() >= tug_store_leads_until(d->store))
        return;
    if (number == TUG_MSG_STEP_LAUNCH) {
        sign_launch(d, body, len, &launch);
        body = launch.data;
        len = launch.len;
    }
    tug_conn_send_raw(p->conn, (uint16_t) number, rid, body, len);
    tug_buf_clear(&launch);
}

void world_close(struct tugd *d, tug_peer_id id)
{
    struct peer *p = world_peer(d, id);
    struct tug_conn *conn;

    if (!p)
        return;
    conn = p->conn;
    tug_conn_set_data(conn, NULL);
    /* Control drops its side of the peer here, as it would on a close from the other end. */
    HASH_DEL(d->peers, p);
    tug_control_peer_down(d->control, id);
    free(p);
    tug_conn_close(conn);
}

static void world_send(void *ctx, tug_peer_id id, enum tug_msg number, uint32_t rid,
                       const ProtobufCMessage *m)
{
    struct tugd *d = ctx;
    struct peer *p = world_peer(d, id);
    uint8_t *body;
    size_t len;

    if (!p)
        return;
    if (!m) {
        world_close(d, id);
        return;
    }
    if (number != TUG_MSG_STEP_LAUNCH && number != TUG_MSG_LEASE_GRANT) {
        tug_conn_send(p->conn, number, rid, m);
        return;
    }
    len = protobuf_c_message_get_packed_size(m);
    body = tug_xmalloc(len);
    protobuf_c_message_pack(m, body);
    world_send_packed(ctx, id, number, rid, body, len);
    free(body);
}

struct commit {
    struct tugd *d;
    uint64_t ticket;
};

static void on_committed(void *arg, int rc, const char *why)
{
    struct commit *commit = arg;
    struct tugd *d = commit->d;

    if (rc) {
        /* Nothing of it was acknowledged. The store is the truth after a restart (no retry after a
         * failed fsync). */
        if (!d->stopping) /* who stops leading has said so */
            tug_error(
                "the state could not be made durable: %s; stopping, nothing unacknowledged is lost",
                why);
        world_stop(d, 1);
    } else if (d->exit_code == 0) {
        tug_control_persisted(d->control, commit->ticket);
    }
    free(commit);
}

static void world_persist(void *ctx, struct tug_batch *b, uint64_t ticket)
{
    struct commit *commit = tug_new(struct commit);

    commit->d = ctx;
    commit->ticket = ticket;
    tug_store_commit(commit->d->store, b, on_committed, commit);
}

static void on_room(void *arg, const char *why)
{
    struct tugd *d = arg;

    if (d->control)
        tug_control_full(d->control, why);
    else if (why)
        tug_warn("STATE_FULL: %s; until then this controller does not lead", why);
}

void world_wait_for_room(struct tugd *d)
{
    tug_store_wait_for_room(d->store, on_room, d);
}

static void world_random(void *ctx, void *out, size_t len)
{
    (void) ctx;
    randombytes_buf(out, len);
}

static void world_turns(void *ctx, struct tug_turns *out)
{
    const struct tugd *d = ctx;
    struct tug_loop_stats s;

    tug_loop_stats(d->loop, &s);
    *out = (struct tug_turns){
        .n = s.turns, .p50_us = s.p50_us, .p99_us = s.p99_us, .max_us = s.max_us,
        .cpu_p50_us = s.cpu_p50_us, .cpu_p99_us = s.cpu_p99_us, .cpu_max_us = s.cpu_max_us};
}

void world_env(struct tugd *d, struct tug_env *env)
{
    *env = (struct tug_env){.ctx = d,
                            .now = world_now,
                            .timer = world_timer,
                            .send = world_send,
                            .send_packed = world_send_packed,
                            .persist = world_persist,
                            .random = world_random,
                            .turns = world_turns};
}

void world_log(struct tugd *d)
{
    enum tug_log_level level;
    const char *text;

    while (tug_control_next_log(d->control, &level, &text))
        tug_log(level, "%s", text);
}

void world_stop(struct tugd *d, int exit_code)
{
    d->stopping = 1;
    if (exit_code)
        d->exit_code = exit_code;
    tug_loop_stop(d->loop);
}
