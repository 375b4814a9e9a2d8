/* call.c - a blocking client, for commands that ask and wait
 *
 * The same handshake, records and frames as net_conn.c, driven by poll(2) with a deadline; no loop.
 * Layer: host.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/net_impl.h"
#include "host/session.h"

#define READ_BYTES (65536 - 1)
#define AGAIN_MS   5

struct tug_call {
    int fd;
    int timeout_ms; /* of open, and of each send */
    enum tug_channel channel;
    struct tug_session *session;
    struct tug_stream in, text;
    size_t taken; /* bytes of the frame that was handed out last */
    char *endpoint;
};

static int64_t deadline(int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : tug_net_now_ms() + timeout_ms;
}

static int wait_for(struct tug_call *c, short what, int64_t until, struct tug_err *err)
{
    for (;;) {
        int64_t left = until == INT64_MAX ? -1 : until - tug_net_now_ms();
        if (until != INT64_MAX && left < 0)
            left = 0;
        struct pollfd p = {.fd = c->fd, .events = what};
        int n = poll(&p, 1, left > 1000000 ? 1000000 : (int) left);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return tug_fail(err, -errno, "waiting for %s: %s", c->endpoint, strerror(errno));
        if (n == 0 && until != INT64_MAX && tug_net_now_ms() >= until)
            return tug_fail(err, -ETIMEDOUT, "%s did not answer in time", c->endpoint);
    }
}

static int write_all(struct tug_call *c, const void *data, size_t len, int64_t until,
                     struct tug_err *err)
{
    const char *p = data;
    while (len) {
        ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);
        if (n > 0) {
            p += n;
            len -= (size_t) n;
        } else if (errno == EAGAIN) {
            int rc = wait_for(c, POLLOUT, until, err);
            if (rc)
                return rc;
        } else if (errno != EINTR) {
            return tug_fail(err, -ECONNRESET, "%s: the connection broke while writing: %s",
                            c->endpoint, strerror(errno));
        }
    }
    return 0;
}

/* > 0 bytes, or an error; waits. */
static ssize_t read_some(struct tug_call *c, void *to, size_t len, int64_t until,
                         struct tug_err *err)
{
    for (;;) {
        ssize_t n = recv(c->fd, to, len, 0);
        if (n > 0)
            return n;
        if (n == 0)
            return tug_fail(err, -ECONNRESET, "%s closed the connection", c->endpoint);
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return tug_fail(err, -ECONNRESET, "%s: the connection broke: %s", c->endpoint,
                            strerror(errno));
        int rc = wait_for(c, POLLIN, until, err);
        if (rc)
            return rc;
    }
}

static int finish_connect(struct tug_call *c, int64_t until, struct tug_err *err)
{
    int error = 0;
    socklen_t len = sizeof error;
    int rc = wait_for(c, POLLOUT, until, err);
    if (!rc)
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return rc ? rc : -error;
}

static int connect_to(struct tug_call *c, const struct tug_sockaddr *a, int64_t until,
                      struct tug_err *err)
{
    for (;;) {
        int rc = connect(c->fd, (const struct sockaddr *) &a->ss, a->len) == 0 ? 0 : -errno;
        if (rc == -EAGAIN) { /* the queue of a unix listener is full */
            if (tug_net_now_ms() >= until)
                return tug_fail(err, -ETIMEDOUT, "%s is too busy to answer", c->endpoint);
            poll(NULL, 0, AGAIN_MS);
            continue;
        }
        if (rc == -EINPROGRESS || rc == -EINTR)
            rc = finish_connect(c, until, err);
        if (rc == -ENOENT || rc == -ECONNREFUSED)
            return tug_fail(err, rc, "nobody listens at %s", c->endpoint);
        if (rc == -ETIMEDOUT)
            return tug_fail(err, rc, "%s does not answer", c->endpoint);
        return rc ? tug_fail(err, rc, "connecting to %s: %s", c->endpoint, strerror(-rc)) : 0;
    }
}

static int shake(struct tug_call *c, const struct tug_net_opts *o, int64_t until,
                 struct tug_err *err)
{
    struct tug_buf said = {0};
    int rc = tug_session_new(&c->session, TUG_SIDE_CLIENT, o, &said, err);
    while (!rc && !tug_session_up(c->session)) {
        size_t missing;
        uint8_t *to = tug_session_room(c->session, &missing);
        ssize_t n = read_some(c, to, missing, until, err);
        rc = n < 0 ? (int) n : tug_session_got(c->session, (size_t) n, &said, err);
        if (!rc && said.len)
            rc = write_all(c, said.data, said.len, until, err);
        tug_buf_reset(&said);
    }
    tug_buf_clear(&said);
    return rc ? tug_fail_ctx(err, rc, "handshake") : 0;
}

int tug_call_open(struct tug_call **out, const char *endpoint, const struct tug_net_opts *o,
                  int timeout_ms, struct tug_err *err)
{
    struct tug_endpoint *e = tug_new(struct tug_endpoint);
    struct tug_sockaddr a = {.dir_fd = -1};
    struct tug_call *c = tug_new(struct tug_call);
    int64_t until = deadline(timeout_ms);
    c->fd = -1;
    c->timeout_ms = timeout_ms;
    c->channel = o->channel;
    c->endpoint = tug_xstrdup(endpoint);
    int rc = tug_endpoint_parse(endpoint, e, err);
    rc = rc ? rc : tug_endpoint_allows(e, endpoint, o, err);
    if (!rc)
        rc = e->is_unix ? tug_sockaddr_unix(e->path, &a, err) : tug_sockaddr_tcp(e, 0, &a, err);
    if (!rc) {
        c->fd = tug_socket_new(a.ss.ss_family, 1);
        rc = c->fd < 0 ? tug_fail(err, c->fd, "socket for %s: %s", endpoint, strerror(-c->fd)) : 0;
    }
    rc = rc ? rc : connect_to(c, &a, until, err);
    if (!rc && o->auth != TUG_AUTH_UNIX)
        rc = shake(c, o, until, err);
    tug_sockaddr_clear(&a);
    free(e);
    if (rc) {
        tug_call_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

int tug_call_send(struct tug_call *c, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m,
                  struct tug_err *err)
{
    const struct tug_msg_info *info = tug_msg_info((uint16_t) number);
    struct tug_buf frame = {0}, wire = {0};
    int rc = 0;
    tug_assert(info && info->channel == c->channel);
    tug_msg_encode(&frame, number, rid, m);
    if (frame.len - TUG_FRAME_HEAD > info->max_bytes)
        rc = tug_fail(err, -EMSGSIZE, "the request is %zu bytes; at most %zu can be sent",
                      frame.len - TUG_FRAME_HEAD, info->max_bytes);
    for (size_t at = 0; !rc && c->session && at < frame.len; at += TUG_RECORD_MAX)
        tug_session_seal(c->session, &wire, frame.data + at,
                         frame.len - at < TUG_RECORD_MAX ? frame.len - at : TUG_RECORD_MAX);
    const struct tug_buf *b = c->session ? &wire : &frame;
    if (!rc)
        rc = write_all(c, b->data, b->len, deadline(c->timeout_ms), err);
    tug_buf_clear(&frame);
    tug_buf_clear(&wire);
    return rc;
}

static int open_records(struct tug_call *c, struct tug_err *err)
{
    uint8_t *text;
    size_t n;
    while (tug_stream_waiting(&c->in)) {
        long took = tug_session_unseal(c->session, tug_stream_front(&c->in),
                                       tug_stream_waiting(&c->in), &text, &n, err);
        if (took < 0)
            return (int) took;
        if (took == 0)
            break;
        tug_buf_add(&c->text.b, text, n);
        tug_stream_took(&c->in, (size_t) took);
    }
    tug_stream_tidy(&c->in);
    return 0;
}

int tug_call_recv(struct tug_call *c, struct tug_frame *out, int timeout_ms, struct tug_err *err)
{
    struct tug_stream *s = c->session ? &c->text : &c->in;
    int64_t until = deadline(timeout_ms);
    if (c->taken)
        tug_stream_took(s, c->taken);
    c->taken = 0;
    for (;;) {
        long took =
            tug_stream_waiting(s)
                ? tug_frame_cut(tug_stream_front(s), tug_stream_waiting(s), c->channel, out, err)
                : 0;
        if (took < 0)
            return (int) took;
        if (took > 0) {
            c->taken = (size_t) took;
            return 0;
        }
        tug_stream_tidy(s);
        ssize_t n = read_some(c, tug_buf_room(&c->in.b, READ_BYTES), READ_BYTES, until, err);
        if (n < 0)
            return (int) n;
        c->in.b.len += (size_t) n;
        int rc = c->session ? open_records(c, err) : 0;
        if (rc)
            return rc;
    }
}

int tug_call_fd(const struct tug_call *c)
{
    return c->fd;
}

void tug_call_close(struct tug_call *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    tug_session_free(c->session);
    tug_buf_clear(&c->in.b);
    tug_buf_clear(&c->text.b);
    free(c->endpoint);
    free(c);
}
