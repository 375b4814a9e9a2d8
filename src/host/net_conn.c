/* net_conn.c - one connection: handshake, frames in, frames out
 *
 * Bytes come in at most 64 KiB a wake-up, so that no peer holds the loop; frames go out together
 * once per loop iteration. What always holds: before the session is up nothing but the one awaited
 * handshake frame is read; a connection that failed is freed by finish() only, when none of its
 * callbacks is on the stack; after on_close, or after the owner closed it, no callback follows.
 * Layer: host.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/loop.h"
#include "host/net_impl.h"
#include "host/session.h"

#define READ_BYTES  (65536 - 1)        /* with buf's NUL a power of two */
#define WRITE_BYTES ((size_t) 1 << 20) /* in one wake-up */
#define SEAL_BYTES  ((size_t) 4 * TUG_RECORD_MAX)
#define CLOSE_MS    2000
#define SILENT_MS   15000u /* then a steady peer is given up ... */
#define LOOK_MS     2000   /* ... which is looked for so often */
#define AGAIN_MS    10 /* a local listener whose queue is full */

/* ---- life ---- */

static void on_read(evutil_socket_t fd, short what, void *arg);
static void on_write(evutil_socket_t fd, short what, void *arg);
static void on_timer(evutil_socket_t fd, short what, void *arg);

/* The descriptor may come later than the connection (-1): when a name is looked up first. */
static void conn_watch(struct tug_conn *c, int fd)
{
    c->fd = fd;
    event_assign(&c->ev_read, c->loop, fd, EV_READ | EV_PERSIST, on_read, c);
    event_assign(&c->ev_write, c->loop, fd, EV_WRITE, on_write, c);
}

static struct tug_conn *conn_new(struct event_base *loop, struct tug_net_conf *conf)
{
    struct tug_conn *c = tug_new(struct tug_conn);
    c->conf = tug_net_conf_ref(conf);
    c->loop = loop;
    c->fd = -1;
    c->addr.dir_fd = -1;
    conn_watch(c, -1);
    event_assign(&c->ev_timer, c->loop, -1, EV_TIMEOUT, on_timer, c);
    return c;
}

static void set_timer(struct tug_conn *c, int64_t ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    event_add(&c->ev_timer, &tv);
}

/* The only place where a connection ends. */
static void finish(struct tug_conn *c)
{
    if (c->listener)
        tug_listener_conn_gone(c->listener, c);
    c->listener = NULL;
    tug_lookup_free(c->lookup);
    event_del(&c->ev_read);
    event_del(&c->ev_write);
    event_del(&c->ev_timer);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->busy = 1; /* on_close may call drop or close: they find it dead */
    if (!c->silent)
        c->conf->o.ops->on_close(c->conf->o.arg, c, c->why ? c->why : "closed");
    tug_session_free(c->session);
    tug_buf_clear(&c->in.b);
    tug_buf_clear(&c->text.b);
    tug_buf_clear(&c->out.b);
    tug_buf_clear(&c->wire.b);
    tug_sockaddr_clear(&c->addr);
    tug_net_conf_unref(c->conf);
    free(c->why);
    free(c->endpoint);
    free(c);
}

static void enter(struct tug_conn *c)
{
    c->busy++;
}

static void leave(struct tug_conn *c)
{
    if (--c->busy == 0 && c->dead)
        finish(c);
}

static void die(struct tug_conn *c)
{
    if (c->dead)
        return;
    c->dead = 1;
    if (!c->busy)
        event_active(&c->ev_write, EV_WRITE,
                     0); /* the caller still holds c: finish from the loop */
}

static void fail(struct tug_conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct tug_conn *c, const char *fmt, ...)
{
    va_list ap;
    if (c->dead)
        return;
    va_start(ap, fmt);
    if (vasprintf(&c->why, fmt, ap) < 0)
        c->why = NULL;
    va_end(ap);
    die(c);
}

/* The kernel gives up a peer that reads nothing, too. */
static void broke(struct tug_conn *c, const char *what, int error)
{
    c->unreachable = tug_socket_is_unreachable(error) && tug_socket_silent_ms(c->fd) * 2 >= SILENT_MS;
    fail(c, "%s: %s", what, strerror(error));
}

static void look_for_peer(struct tug_conn *c)
{
    if (tug_socket_silent_ms(c->fd) >= SILENT_MS) {
        c->unreachable = 1;
        fail(c, "its machine has answered nothing for %u s", SILENT_MS / 1000);
    } else {
        set_timer(c, LOOK_MS);
    }
}

void tug_conn_refuse(struct tug_conn *c, const char *why)
{
    enter(c);
    fail(c, "%s", why);
    leave(c);
}

/* ---- writing ---- */

static void ask_flush(struct tug_conn *c)
{
    if (c->flush_asked || c->blocked || c->state == TUG_CONN_CONNECTING || c->dead)
        return;
    c->flush_asked = 1;
    event_active(&c->ev_write, EV_WRITE,
                 0); /* runs in this iteration, after the callbacks that are active now */
}

static void wait_writable(struct tug_conn *c)
{
    c->blocked = 1;
    event_add(&c->ev_write, NULL);
}

static void seal_some(struct tug_conn *c)
{
    size_t n = 0, len;
    while (n < SEAL_BYTES && (len = tug_stream_waiting(&c->out)) > 0) {
        len = len < TUG_RECORD_MAX ? len : TUG_RECORD_MAX;
        tug_session_seal(c->session, &c->wire.b, c->out.b.data + c->out.at, len);
        tug_stream_took(&c->out, len);
        n += len;
    }
}

/* What may be written now; NULL: nothing. */
static struct tug_stream *to_write(struct tug_conn *c)
{
    int up = c->state == TUG_CONN_UP || c->state == TUG_CONN_DRAINING;
    if (tug_stream_waiting(&c->wire))
        return &c->wire;
    if (!up || !tug_stream_waiting(&c->out))
        return NULL;
    if (!c->session)
        return &c->out;
    seal_some(c);
    return &c->wire;
}

static void flushed(struct tug_conn *c)
{
    if (c->state != TUG_CONN_DRAINING)
        return;
    c->state = TUG_CONN_LINGERING;
    shutdown(c->fd, SHUT_WR);
    event_add(&c->ev_read, NULL);
}

static void flush(struct tug_conn *c)
{
    size_t wrote = 0;
    struct tug_stream *s;
    if (c->state == TUG_CONN_CONNECTING || c->state == TUG_CONN_LINGERING)
        return;
    while (!c->dead && (s = to_write(c))) {
        if (wrote >= WRITE_BYTES) {
            wait_writable(c); /* the others' turn */
            return;
        }
        ssize_t n = send(c->fd, s->b.data + s->at, tug_stream_waiting(s), MSG_NOSIGNAL);
        if (n >= 0) {
            tug_stream_took(s, (size_t) n);
            wrote += (size_t) n;
        } else if (errno == EAGAIN) {
            wait_writable(c);
            return;
        } else if (errno != EINTR) {
            broke(c, "the connection broke while writing", errno);
        }
    }
    if (!c->dead)
        flushed(c);
}

static int check_room(struct tug_conn *c, size_t before)
{
    size_t max = c->conf->o.out_max_bytes;
    if (before == 0 || tug_conn_out_bytes(c) <= max) /* one frame may always wait, however large */
        return 0;
    enter(c);
    flush(c);
    c->busy--; /* not leave(): the caller still holds c */
    if (!c->dead && tug_conn_out_bytes(c) <= max)
        return 0;
    if (c->dead)
        event_active(&c->ev_write, EV_WRITE, 0);
    fail(c, "the peer does not read: %zu bytes wait for it, at most %zu may", tug_conn_out_bytes(c),
         max);
    return -ENOBUFS;
}

static int queued(struct tug_conn *c, size_t before)
{
    int rc = check_room(c, before);
    if (!rc)
        ask_flush(c);
    return rc;
}

int tug_conn_send(struct tug_conn *c, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m)
{
    const struct tug_msg_info *info = tug_msg_info((uint16_t) number);
    if (c->dead)
        return -EPIPE;
    tug_assert(info && info->channel == c->conf->o.channel);
    size_t before = tug_conn_out_bytes(c);
    tug_stream_tidy(&c->out);
    size_t mark = c->out.b.len;
    tug_msg_encode(&c->out.b, number, rid, m);
    if (c->out.b.len - mark - TUG_FRAME_HEAD > info->max_bytes) {
        c->out.b.len = mark;
        return -EMSGSIZE;
    }
    return queued(c, before);
}

int tug_conn_send_raw(struct tug_conn *c, uint16_t number, uint32_t rid, const void *body,
                      size_t len)
{
    const struct tug_msg_info *info = tug_msg_info(number);
    uint8_t head[TUG_FRAME_HEAD];
    if (c->dead)
        return -EPIPE;
    tug_assert(info && info->channel == c->conf->o.channel);
    if (len > info->max_bytes)
        return -EMSGSIZE;
    size_t before = tug_conn_out_bytes(c);
    tug_stream_tidy(&c->out);
    tug_frame_head(head, number, rid, len);
    tug_buf_add(&c->out.b, head, sizeof head);
    tug_buf_add(&c->out.b, body, len);
    return queued(c, before);
}

size_t tug_conn_out_bytes(const struct tug_conn *c)
{
    return tug_stream_waiting(&c->out) + tug_stream_waiting(&c->wire);
}

/* ---- reading ---- */

/* bytes that came, 0 nothing now; the connection has failed when the peer closed or broke it */
static size_t receive(struct tug_conn *c, void *to, size_t len)
{
    ssize_t n = recv(c->fd, to, len, 0);
    if (n > 0)
        return (size_t) n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        broke(c, "the connection broke", errno);
    else if (c->state == TUG_CONN_SHAKING && c->endpoint && c->conf->o.auth == TUG_AUTH_NODE)
        fail(c,
             "%s closed the connection during the handshake; it may not know node '%s' or have "
             "another key for it",
             c->endpoint, c->conf->own_name);
    else if (c->state == TUG_CONN_SHAKING)
        fail(c, "the peer closed the connection during the handshake");
    else if (tug_stream_waiting(&c->in) || tug_stream_waiting(&c->text))
        fail(c, "the peer closed the connection in the middle of a frame");
    else
        fail(c, "the peer closed the connection");
    return 0;
}

static void up(struct tug_conn *c)
{
    c->state = TUG_CONN_UP;
    event_del(&c->ev_timer);
    if (c->session)
        snprintf(c->peer.name, sizeof c->peer.name, "%s", tug_session_peer_name(c->session));
    if (c->listener)
        tug_listener_conn_up(c->listener, c);
    if (c->paused)
        event_del(&c->ev_read);
    if (c->conf->o.steady)
        set_timer(c, LOOK_MS);
    if (c->conf->o.ops->on_open)
        c->conf->o.ops->on_open(c->conf->o.arg, c);
    if (tug_stream_waiting(&c->out))
        ask_flush(c);
}

static void take_handshake(struct tug_conn *c)
{
    struct tug_err err = {0};
    size_t missing, n;
    uint8_t *to = tug_session_room(c->session, &missing);
    n = receive(c, to, missing);
    if (!n)
        return;
    if (tug_session_got(c->session, n, &c->wire.b, &err)) {
        fail(c, "handshake refused: %s", err.msg);
        return;
    }
    if (tug_stream_waiting(&c->wire))
        ask_flush(c);
    if (tug_session_up(c->session))
        up(c);
}

/* What is not read now comes again in the next turn. */
static void read_handshake(struct tug_conn *c)
{
    struct tug_door *door = c->listener ? tug_listener_door(c->listener) : NULL;
    if (door && !tug_door_begin(door, TUG_DOOR_PROVE))
        return;
    take_handshake(c);
    if (c->listener) /* else it was freed meanwhile */
        tug_door_end(door, TUG_DOOR_PROVE);
}

/* Hand out the frames at the front of 's'. */
static void cut_frames(struct tug_conn *c, struct tug_stream *s)
{
    struct tug_err err = {0};
    struct tug_frame f;
    size_t taken = 0;
    while (!c->dead && !c->paused && c->state == TUG_CONN_UP) {
        long n = tug_frame_cut(s->b.data + s->at + taken, tug_stream_waiting(s) - taken,
                               c->conf->o.channel, &f, &err);
        if (n < 0)
            fail(c, "%s", err.msg);
        if (n <= 0)
            break;
        taken += (size_t) n;
        c->conf->o.ops->on_frame(c->conf->o.arg, c, &f);
    }
    if (taken)
        tug_stream_took(s, taken);
    tug_stream_tidy(s);
}

static void open_records(struct tug_conn *c)
{
    struct tug_err err = {0};
    uint8_t *text;
    size_t n;
    while (tug_stream_waiting(&c->in)) {
        long took = tug_session_unseal(c->session, (uint8_t *) c->in.b.data + c->in.at,
                                       tug_stream_waiting(&c->in), &text, &n, &err);
        if (took < 0)
            fail(c, "%s", err.msg);
        if (took <= 0)
            break;
        tug_buf_add(&c->text.b, text, n);
        tug_stream_took(&c->in, (size_t) took);
    }
    tug_stream_tidy(&c->in);
}

static void take_input(struct tug_conn *c)
{
    if (c->session)
        open_records(c); /* frames before a bad record are not handed out either */
    if (!c->dead)
        cut_frames(c, c->session ? &c->text : &c->in);
}

static void read_frames(struct tug_conn *c)
{
    if (tug_stream_waiting(&c->in) || tug_stream_waiting(&c->text)) /* left over from a pause */
        take_input(c);
    if (c->dead || c->paused || c->state != TUG_CONN_UP)
        return;
    size_t n = receive(c, tug_buf_room(&c->in.b, READ_BYTES), READ_BYTES);
    c->in.b.len += n;
    if (n)
        take_input(c);
    else if (!tug_stream_waiting(&c->in))
        tug_stream_took(&c->in, 0);
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    struct tug_conn *c = arg;
    char scrap[4096];
    tug_loop_callback();
    enter(c);
    if (c->dead)
        ;
    else if (c->state == TUG_CONN_SHAKING)
        read_handshake(c);
    else if (c->state == TUG_CONN_UP)
        read_frames(c);
    else if (c->state == TUG_CONN_LINGERING)
        receive(c, scrap, sizeof scrap);
    leave(c);
}

void tug_conn_pause(struct tug_conn *c, int paused)
{
    paused = paused != 0;
    if ((int) c->paused == paused || c->dead)
        return;
    c->paused = (unsigned) paused & 1;
    if (c->state != TUG_CONN_UP)
        return; /* the handshake goes on; up() looks at it */
    if (paused) {
        event_del(&c->ev_read);
    } else {
        event_add(&c->ev_read, NULL);
        event_active(&c->ev_read, EV_READ, 0); /* frames may wait in our own buffer */
    }
}

/* ---- dialling ---- */

static void start_session(struct tug_conn *c, enum tug_side side)
{
    struct tug_err err = {0};
    if (tug_session_new(&c->session, side, &c->conf->o, &c->wire.b, &err)) {
        fail(c, "handshake: %s", err.msg);
        return;
    }
    c->state = TUG_CONN_SHAKING;
    event_add(&c->ev_read, NULL);
    flush(c);
}

static void connected(struct tug_conn *c)
{
    tug_socket_peer(c->fd, c->conf->o.auth, &c->peer);
    if (c->conf->o.auth != TUG_AUTH_UNIX) {
        start_session(c, TUG_SIDE_CLIENT);
        return;
    }
    event_add(&c->ev_read, NULL);
    up(c);
}

static void connect_failed(struct tug_conn *c, int error)
{
    c->unreachable = tug_socket_is_unreachable(error) & 1;
    if (error == ENOENT || error == ECONNREFUSED)
        fail(c, "nobody listens at %s", c->endpoint);
    else
        fail(c, "connecting to %s: %s", c->endpoint, strerror(error));
}

static void try_connect(struct tug_conn *c)
{
    c->try_again = 0;
    if (connect(c->fd, (struct sockaddr *) &c->addr.ss, c->addr.len) == 0) {
        event_active(&c->ev_write, EV_WRITE, 0);
    } else if (errno == EINPROGRESS) {
        event_add(&c->ev_write, NULL);
    } else if (errno == EAGAIN) { /* a unix listener's queue is full */
        c->try_again = 1;
        set_timer(c, AGAIN_MS);
    } else {
        connect_failed(c, errno);
    }
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
    (void) what;
    struct tug_conn *c = arg;
    int error = 0;
    socklen_t len = sizeof error;
    tug_loop_callback();
    enter(c);
    c->flush_asked = c->blocked = 0;
    if (!c->dead && c->state == TUG_CONN_CONNECTING) {
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error)
            connect_failed(c, error);
        else
            connected(c);
    } else if (!c->dead) {
        flush(c);
    }
    leave(c);
}

static void no_answer(struct tug_conn *c)
{
    c->unreachable = !c->lookup && c->conf->o.auth != TUG_AUTH_UNIX;
    fail(c, "%s does not answer within %u ms", c->endpoint, c->conf->o.handshake_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    struct tug_conn *c = arg;
    tug_loop_callback();
    enter(c);
    if (c->state == TUG_CONN_DRAINING || c->state == TUG_CONN_LINGERING)
        die(c);
    else if (c->state == TUG_CONN_UP)
        look_for_peer(c);
    else if (c->try_again && tug_net_now_ms() < c->deadline_ms)
        try_connect(c);
    else if (c->state == TUG_CONN_CONNECTING)
        no_answer(c);
    else
        fail(c, "the handshake took longer than %u ms", c->conf->o.handshake_ms);
    if (!c->dead && c->state == TUG_CONN_CONNECTING && !c->try_again)
        set_timer(c, c->deadline_ms > tug_net_now_ms() ? c->deadline_ms - tug_net_now_ms() : 0);
    leave(c);
}

/* Once the address is known. Failures come as on_close from the loop. */
static void dial_address(struct tug_conn *c)
{
    int fd = tug_socket_new(c->addr.ss.ss_family, 1);
    if (fd < 0) {
        fail(c, "socket for %s: %s", c->endpoint, strerror(-fd));
        return;
    }
    if (c->conf->o.steady)
        tug_socket_steady(fd);
    conn_watch(c, fd);
    try_connect(c);
}

static void on_address(void *arg, int rc, const struct tug_sockaddr *addr,
                       const struct tug_err *err)
{
    struct tug_conn *c = arg;
    enter(c);
    if (rc) {
        fail(c, "%s", err->msg);
    } else if (!c->dead) {
        c->addr = *addr;
        dial_address(c);
    }
    tug_lookup_free(c->lookup);
    c->lookup = NULL;
    leave(c);
}

int tug_net_dial(struct tug_conn **out, struct event_base *loop, const char *endpoint,
                 const struct tug_net_opts *o, struct tug_err *err)
{
    struct tug_endpoint *e = tug_new(struct tug_endpoint);
    struct tug_net_conf *conf = NULL;
    struct tug_conn *c = NULL;
    int rc = tug_endpoint_parse(endpoint, e, err);
    rc = rc ? rc : tug_endpoint_allows(e, endpoint, o, err);
    rc = rc ? rc : tug_net_conf_new(&conf, o, err);
    if (rc)
        goto out;
    c = conn_new(loop, conf);
    c->endpoint = tug_xstrdup(endpoint);
    c->deadline_ms = tug_net_now_ms() + conf->o.handshake_ms;
    if (e->is_unix)
        rc = tug_sockaddr_unix(e->path, &c->addr, err);
    else if (tug_endpoint_is_quick(e))
        rc = tug_sockaddr_tcp(e, 0, &c->addr, err);
    else
        rc = tug_lookup_new(&c->lookup, loop, e, on_address, c, err);
    if (rc) {
        tug_conn_drop(c);
        goto out;
    }
    set_timer(c, conf->o.handshake_ms);
    if (!c->lookup)
        dial_address(c);
    *out = c;
out:
    tug_net_conf_unref(conf);
    free(e);
    return rc;
}

void tug_conn_accepted(struct tug_listener *l, struct event_base *loop, int fd,
                       struct tug_net_conf *conf)
{
    struct tug_conn *c = conn_new(loop, conf);
    c->listener = l;
    if (conf->o.steady)
        tug_socket_steady(fd);
    conn_watch(c, fd);
    tug_socket_peer(fd, conf->o.auth, &c->peer);
    enter(c);
    if (tug_listener_conn_added(l, c, conf->o.auth != TUG_AUTH_UNIX)) {
        c->dead = c->silent = 1;
    } else if (conf->o.auth == TUG_AUTH_UNIX) {
        event_add(&c->ev_read, NULL);
        up(c);
    } else {
        set_timer(c, conf->o.handshake_ms);
        start_session(c, TUG_SIDE_SERVER);
    }
    leave(c);
}

/* ---- closing ---- */

void tug_conn_drop(struct tug_conn *c)
{
    if (!c)
        return;
    c->silent = 1;
    c->dead = 1;
    if (!c->busy)
        finish(c);
}

void tug_conn_close(struct tug_conn *c)
{
    if (!c)
        return;
    if (c->dead || c->state != TUG_CONN_UP) {
        tug_conn_drop(c);
        return;
    }
    c->silent = 1;
    c->state = TUG_CONN_DRAINING;
    event_del(&c->ev_read);
    set_timer(c, CLOSE_MS);
    enter(c);
    if (!c->blocked)
        flush(c);
    leave(c);
}

int tug_conn_was_unreachable(const struct tug_conn *c)
{
    return c->unreachable;
}

const struct tug_peer *tug_conn_peer(const struct tug_conn *c)
{
    return &c->peer;
}
void tug_conn_set_data(struct tug_conn *c, void *data)
{
    c->data = data;
}
void *tug_conn_data(const struct tug_conn *c)
{
    return c->data;
}
