/* launcher.c - launch.proto <-> the records of proto/wire.h, over descriptor 3
 *
 * Layer: programs.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "noded/daemon.h"
#include "proto/launch.pb-c.h"

#define PING_MS   5000
#define PINGS_MAX 4                    /* then it is taken not to be there: it answers in no time */

/* ---- to the launcher */

static int send_record(const struct outgoing *o)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {.iov_base = (void *) (uintptr_t) &o->record, .iov_len = sizeof o->record};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (o->fd >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(h), &o->fd, sizeof o->fd);
    }
    return sendmsg(TUG_WIRE_FD, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void flush(struct noded *d)
{
    size_t n = 0;
    for (int rc = 0; n < d->wire_out.len; n++) {
        rc = send_record(&d->wire_out.at[n]);
        if (rc == -EAGAIN || rc == -EINTR || rc == -ENOBUFS) {
            event_add(d->wire_write, NULL);
            break;
        }
        if (d->wire_out.at[n].fd >= 0)
            close(d->wire_out.at[n].fd);
        /* Another failure is the launcher's end, which reading will show. */
    }
    memmove(d->wire_out.at, d->wire_out.at + n, (d->wire_out.len - n) * sizeof *d->wire_out.at);
    d->wire_out.len -= n;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    flush(arg);
}

static int make_payload(const ProtobufCBinaryData *payload)
{
    int fd = memfd_create("tug-payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    for (size_t at = 0; fd >= 0 && at < payload->len;) {
        ssize_t n = write(fd, payload->data + at, payload->len - at);
        if (n <= 0) {
            close(fd);
            return -1;
        }
        at += (size_t) n;
    }
    if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void set_key(struct tug_wire *r, const Tugpb__StepKey *key)
{
    r->job = key->job;
    r->attempt = key->attempt;
    r->step = key->step;
}

/* Order and signature have their fixed sizes: the agent has checked. */
static void make_start(const Tugpb__LnStart *m, struct outgoing *o)
{
    tug_assert(m->order.len == TUG_ORDER_LEN && m->signature.len == TUG_ORDER_SIG_LEN);
    o->record.type = TUG_WIRE_START;
    set_key(&o->record, m->key);
    memcpy(o->record.start.order, m->order.data, TUG_ORDER_LEN);
    memcpy(o->record.start.signature, m->signature.data, TUG_ORDER_SIG_LEN);
    o->fd = make_payload(&m->payload);
    if (o->fd < 0)      /* the launcher refuses an order without one, and says so */
        tug_error("no memory file for a payload of %zu bytes: %s", m->payload.len, strerror(errno));
}

void launcher_bounds(const struct noded *d, Tugpb__Inventory *inv)
{
    inv->pids_max = d->limits_pids ? d->o.processes : 0;
    inv->mem_limited = d->limits_memory;
    if (!inv->mem_reserved_bytes)
        inv->mem_bytes -= d->o.reserved_memory_bytes;
    inv->mem_reserved_bytes = d->o.reserved_memory_bytes;
}

static void put_out(struct noded *d, struct outgoing o)
{
    o.record.version = TUG_WIRE_VERSION;
    tug_vec_push(&d->wire_out, o);
    flush(d);
}

/* Whether it can is in its answer to what the agent asks first. */
static void send_limits(struct noded *d)
{
    struct outgoing o = {.fd = -1};
    o.record.type = TUG_WIRE_LIMITS;
    o.record.limits.pids_max = d->o.processes;
    o.record.limits.mem_max = d->o.reserved_memory_bytes ? d->inventory->mem_bytes - d->o.reserved_memory_bytes : 0;
    put_out(d, o);
}

void launcher_send(struct noded *d, enum tug_msg number, const ProtobufCMessage *m)
{
    struct outgoing o = {.fd = -1};
    switch (number) {
    case TUG_MSG_LN_START:
        make_start((const Tugpb__LnStart *) m, &o);
        break;
    case TUG_MSG_LN_KILL:
        o.record.type = TUG_WIRE_KILL;
        set_key(&o.record, ((const Tugpb__LnKill *) m)->key);
        break;
    case TUG_MSG_LN_LIST:
        o.record.type = TUG_WIRE_LIST;
        break;
    case TUG_MSG_LN_LEASE:
        o.record.type = TUG_WIRE_LEASE;
        o.record.lease.until_boot_ms = world_to_boot(d, ((const Tugpb__LnLease *) m)->until_ms);
        break;
    default:
        return;
    }
    put_out(d, o);
}

/* ---- from the launcher */

static Tugpb__StepKey key_of(const struct tug_wire *r)
{
    Tugpb__StepKey k = TUGPB__STEP_KEY__INIT;
    k.job = r->job;
    k.attempt = r->attempt;
    k.step = r->step;
    return k;
}

static Tugpb__LnStarted started_of(const struct tug_wire *r)
{
    Tugpb__LnStarted m = TUGPB__LN_STARTED__INIT;
    m.pid = r->held.pid;
    m.uid = r->held.uid;
    m.requeueable = r->held.requeueable != 0;
    m.left = r->held.left != 0;
    return m;
}

static void on_listed(struct noded *d, const struct tug_wire *r)
{
    Tugpb__LnHeld m = TUGPB__LN_HELD__INIT;
    Tugpb__LnStarted **list = tug_xcalloc(d->held.len + 1, sizeof *list);
    for (size_t i = 0; i < d->held.len; i++) {
        d->held.at[i].key = &d->held_keys.at[i];
        list[i] = &d->held.at[i];
    }
    m.n_steps = d->held.len;
    m.steps = list;
    m.lease_until_ms = world_from_boot(d, r->lease.until_boot_ms);
    if (r->lease.pongs)
        tug_timer_set(d->ping, tug_now_ms());
    d->limits_pids = r->lease.limits_pids;
    d->limits_memory = r->lease.limits_memory;
    launcher_bounds(d, d->inventory);
    tug_agent_inventory(d->agent, d->inventory);
    tug_agent_message(d->agent, TUG_PEER_LAUNCHER, TUG_MSG_LN_HELD, 0, &m.base);
    free(list);
    tug_vec_clear(&d->held);
    tug_vec_clear(&d->held_keys);
}

/* ---- processes that do not end */

static void put_text(char **out, const char *text)
{
    if (*out != (char *) protobuf_c_empty_string)
        free(*out);
    *out = tug_xstrdup(text);
}

/* What everybody may read of it; the name is the user's own, so nothing but printable text leaves. */
static void look_at(Tugpb__StuckProcess *p)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%u/stat", p->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (!name || !end || end < name || !end[1])
        return;
    *end = 0;
    for (char *at = name + 1; *at; at++)
        if ((unsigned char) *at < ' ' || (unsigned char) *at > '~')
            *at = '?';
    put_text(&p->command, name + 1);
    end[3] = 0;
    put_text(&p->state, end + 2);
}

static void forget_stuck(struct noded *d)
{
    for (size_t i = 0; i < d->stuck.len; i++)
        tugpb__stuck_process__free_unpacked(d->stuck.at[i], NULL);
    d->stuck.len = 0;
}

static void on_stuck(struct noded *d, const struct tug_wire *r)
{
    Tugpb__StuckProcess *p = tug_new(Tugpb__StuckProcess);
    Tugpb__LnStuck m = TUGPB__LN_STUCK__INIT;
    Tugpb__StepKey key = key_of(r);
    if (r->stuck.nth == 0)
        forget_stuck(d);
    tugpb__stuck_process__init(p);
    p->pid = r->stuck.pid;
    put_text(&p->wchan, r->stuck.wchan);
    put_text(&p->stack, r->stuck.stack);
    look_at(p);
    tug_vec_push(&d->stuck, p);
    if (r->stuck.nth + 1 < r->stuck.of)
        return;
    m.key = &key;
    m.processes = d->stuck.at;
    m.n_processes = d->stuck.len;
    m.n = r->stuck.all;
    m.wait_status = r->stuck.wait_status;
    m.lease = r->stuck.lease != 0;
    tug_agent_message(d->agent, TUG_PEER_LAUNCHER, TUG_MSG_LN_STUCK, 0, &m.base);
    forget_stuck(d);
}

/* ---- is it there? */

/* Turns are counted, not time: none passes while this machine sleeps. */
static void on_ping(void *arg)
{
    struct noded *d = arg;
    char text[160];
    if (d->pings == 0)
        put_out(d, (struct outgoing){.fd = -1, .record.type = TUG_WIRE_PING});
    if (++d->pings > PINGS_MAX) {
        snprintf(text, sizeof text, "its launcher (tuglaunch, pid %d) does not answer: it is stopped, or hangs", (int) getppid());
        tug_agent_mute(d->agent, text);
        world_check(d);
    }
    tug_timer_set(d->ping, tug_now_ms() + PING_MS);
}

static void on_pong(struct noded *d)
{
    d->pings = 0;
    tug_agent_mute(d->agent, NULL);
}

static void on_record(struct noded *d, const struct tug_wire *r)
{
    Tugpb__StepKey key = key_of(r);
    Tugpb__LnStarted started = started_of(r);
    Tugpb__LnRefused refused = TUGPB__LN_REFUSED__INIT;
    Tugpb__LnGone gone = TUGPB__LN_GONE__INIT;
    Tugpb__JobUse use = TUGPB__JOB_USE__INIT;
    switch (r->type) {
    case TUG_WIRE_STARTED:
        started.key = &key;
        tug_agent_message(d->agent, TUG_PEER_LAUNCHER, TUG_MSG_LN_STARTED, 0, &started.base);
        break;
    case TUG_WIRE_REFUSED:
        refused.key = &key;
        refused.text = (char *) (uintptr_t) r->refused.text;
        tug_agent_message(d->agent, TUG_PEER_LAUNCHER, TUG_MSG_LN_REFUSED, 0, &refused.base);
        break;
    case TUG_WIRE_GONE:
        gone.key = &key;
        use.pids_max = r->gone.use.pids_max;
        use.pids_hits = r->gone.use.pids_hits;
        use.mem_max = r->gone.use.mem_max;
        use.mem_peak = r->gone.use.mem_peak;
        use.oom_kills = r->gone.use.oom_kills;
        gone.use = &use;
        gone.wait_status = r->gone.wait_status;
        gone.oom = r->gone.oom != 0;
        gone.lease = r->gone.lease != 0;
        gone.cpu_us = r->gone.cpu_us;
        gone.max_rss_bytes = r->gone.max_rss_bytes;
        tug_agent_message(d->agent, TUG_PEER_LAUNCHER, TUG_MSG_LN_GONE, 0, &gone.base);
        break;
    case TUG_WIRE_STUCK:
        on_stuck(d, r);
        break;
    case TUG_WIRE_PONG:
        on_pong(d);
        break;
    case TUG_WIRE_HELD:
        tug_vec_push(&d->held, started);
        tug_vec_push(&d->held_keys, key);
        break;
    case TUG_WIRE_LISTED:
        on_listed(d, r);
        break;
    default:
        tug_warn("the launcher sent a record of unknown type %u", r->type);
    }
    world_check(d);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct noded *d = arg;
    struct tug_wire r;
    (void) what;
    for (int i = 0; i < 64; i++) {
        ssize_t n = recv(fd, &r, sizeof r, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n != (ssize_t) sizeof r || r.version != TUG_WIRE_VERSION) {
            tug_error("tuglaunch is gone%s", n > 0 ? " mad: its records are not of this build" : "");
            d->exit_code = 1;
            tug_loop_stop(d->loop);
            return;
        }
        if (r.type == TUG_WIRE_REFUSED)
            r.refused.text[sizeof r.refused.text - 1] = 0;
        if (r.type == TUG_WIRE_STUCK)
            r.stuck.wchan[sizeof r.stuck.wchan - 1] = r.stuck.stack[sizeof r.stuck.stack - 1] = 0;
        on_record(d, &r);
    }
}

int launcher_start(struct noded *d, struct tug_err *err)
{
    int type = 0;
    socklen_t len = sizeof type;
    if (getsockopt(TUG_WIRE_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
        return tug_fail(err, -EINVAL, "descriptor %d is not tuglaunch's socket: tugnoded is started by tuglaunch",
                        TUG_WIRE_FD);
    if (d->o.reserved_memory_bytes >= d->inventory->mem_bytes)
        return tug_fail(err, -EINVAL, "limits: reserved_memory is %llu MiB, and this node has no more than %llu",
                        (unsigned long long) d->o.reserved_memory_bytes >> 20, (unsigned long long) d->inventory->mem_bytes >> 20);
    fcntl(TUG_WIRE_FD, F_SETFD, FD_CLOEXEC);
    d->wire_read = event_new(tug_loop_base(d->loop), TUG_WIRE_FD, EV_READ | EV_PERSIST, on_readable, d);
    d->wire_write = event_new(tug_loop_base(d->loop), TUG_WIRE_FD, EV_WRITE, on_writable, d);
    if (!d->wire_read || !d->wire_write || event_add(d->wire_read, NULL) < 0)
        return tug_fail(err, -ENOMEM, "no event for tuglaunch's socket");
    send_limits(d);
    return tug_timer_new(&d->ping, tug_loop_base(d->loop), on_ping, d, err);
}

void launcher_stop(struct noded *d)
{
    if (d->wire_read)
        event_free(d->wire_read);
    if (d->wire_write)
        event_free(d->wire_write);
    tug_timer_free(d->ping);
    for (size_t i = 0; i < d->wire_out.len; i++)
        if (d->wire_out.at[i].fd >= 0)
            close(d->wire_out.at[i].fd);
    tug_vec_clear(&d->wire_out);
    tug_vec_clear(&d->held);
    tug_vec_clear(&d->held_keys);
    forget_stuck(d);
    tug_vec_clear(&d->stuck);
}
