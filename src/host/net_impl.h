/* net_impl.h - what the files of net share; nobody else includes it
 *
 * Layer: host.
 */
#ifndef TUG_HOST_NET_IMPL_H
#define TUG_HOST_NET_IMPL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "host/net.h"

/* ---- net.c: the options, copied with all that they point to; shared by a listener and its
 * connections ---- */
struct tug_net_conf {
    unsigned refs;
    struct tug_net_opts o;
    struct tug_keypair own;
    uint8_t peer_pub[32];
    char own_name[64];
};
int tug_net_conf_new(struct tug_net_conf **out, const struct tug_net_opts *o, struct tug_err *err);
struct tug_net_conf *tug_net_conf_ref(struct tug_net_conf *c);
void tug_net_conf_unref(struct tug_net_conf *c);
int64_t tug_net_now_ms(void); /* CLOCK_MONOTONIC: for deadlines of connect and handshake */

/* ---- net_endpoint.c: addresses and sockets ---- */
struct tug_endpoint {
    int is_unix;
    char path[4096];         /* unix */
    char host[256], port[8]; /* TCP */
};
int tug_endpoint_parse(const char *text, struct tug_endpoint *out, struct tug_err *err);
/* -EINVAL: a network endpoint without a key. */
int tug_endpoint_allows(const struct tug_endpoint *e, const char *text,
                        const struct tug_net_opts *o, struct tug_err *err);

struct tug_sockaddr {
    struct sockaddr_storage ss;
    socklen_t len;
    int dir_fd; /* a unix path too long for the kernel goes through this directory; -1 none */
};
/* Address of a unix path. Close dir_fd with tug_sockaddr_clear. */
int tug_sockaddr_unix(const char *path, struct tug_sockaddr *out, struct tug_err *err);
void tug_sockaddr_clear(struct tug_sockaddr *a);
/* Numeric hosts and "localhost" never block; other names ask the resolver, which may. */
int tug_sockaddr_tcp(const struct tug_endpoint *e, int to_listen, struct tug_sockaddr *out,
                     struct tug_err *err);
void tug_sockaddr_format(const struct sockaddr *sa, char *out, size_t size_bytes, int *port);

/* ---- net_lookup.c: names, without blocking the loop ---- */
struct tug_lookup;
/* On the loop, once; 'addr' is the callee's to copy. */
typedef void tug_lookup_cb(void *arg, int rc, const struct tug_sockaddr *addr,
                           const struct tug_err *err);
int tug_endpoint_is_quick(const struct tug_endpoint *e); /* tug_sockaddr_tcp() would not block */
int tug_lookup_new(struct tug_lookup **out, struct event_base *loop, const struct tug_endpoint *e,
                   tug_lookup_cb *cb, void *arg, struct tug_err *err);
void tug_lookup_free(struct tug_lookup *l); /* no callback follows; also from inside of it */

/* A new CLOEXEC socket of that family with the options that every connection has. */
int tug_socket_new(int family, int nonblocking);
void tug_socket_tune(int fd, int family);
/* net_silence.c */
void tug_socket_steady(int fd); /* after tug_socket_tune(): a peer that does not read is not given up */
unsigned tug_socket_silent_ms(int fd); /* the peer's machine has answered nothing for so long */
int tug_socket_is_unreachable(int error); /* errno of a peer's machine that does not answer */
/* What the kernel knows about the other end of a connected unix or TCP socket. */
void tug_socket_peer(int fd, enum tug_auth auth, struct tug_peer *out);

/* ---- a run of bytes with a front: those before 'at' are done with ---- */
struct tug_stream {
    struct tug_buf b;
    size_t at;
};

#define TUG_STREAM_KEEP_BYTES 4096 /* larger empty buffers are given back */

static inline size_t tug_stream_waiting(const struct tug_stream *s)
{
    return s->b.len - s->at;
}

static inline uint8_t *tug_stream_front(const struct tug_stream *s)
{
    return (uint8_t *) s->b.data + s->at;
}

static inline void tug_stream_took(struct tug_stream *s, size_t n)
{
    s->at += n;
    if (s->at < s->b.len)
        return;
    s->at = 0;
    if (s->b.cap > TUG_STREAM_KEEP_BYTES)
        tug_buf_clear(&s->b);
    else
        tug_buf_reset(&s->b);
}

/* Drop the front before more is added: at most one byte is moved for each that was taken. */
static inline void tug_stream_tidy(struct tug_stream *s)
{
    if (s->at == 0 || s->at < tug_stream_waiting(s))
        return;
    tug_buf_consume(&s->b, s->at);
    s->at = 0;
}

/* ---- net_conn.c ---- */
enum tug_conn_state {
    TUG_CONN_CONNECTING,
    TUG_CONN_SHAKING,
    TUG_CONN_UP,
    TUG_CONN_DRAINING,  /* closed by us; what was sent is still being written */
    TUG_CONN_LINGERING, /* our end is shut; waiting for the peer's, so that no reset eats what
                           we sent */
};

struct tug_conn {
    struct tug_net_conf *conf;
    struct event_base *loop;
    struct tug_listener *listener;     /* NULL: dialled, or the listener is gone */
    TAILQ_ENTRY(tug_conn) all;         /* in the listener */
    TAILQ_ENTRY(tug_conn) waiting, beside; /* at its door, among all and among those of its address */
    struct tug_door_side *side;        /* NULL: not at the door */
    struct tug_session *session; /* NULL: plain frames */
    struct event ev_read, ev_write, ev_timer;
    int fd;
    enum tug_conn_state state;
    struct tug_stream in;   /* as it came */
    struct tug_stream text; /* opened records, when there is a session */
    struct tug_stream out;  /* frames to send */
    struct tug_stream wire; /* handshake and sealed records to send */
    unsigned busy;          /* callbacks on the stack: freed when the last one returns */
    unsigned dead : 1, silent : 1, paused : 1, flush_asked : 1, blocked : 1, try_again : 1;
    unsigned unreachable : 1; /* the peer's machine does not answer */
    char *why;
    int64_t deadline_ms; /* of connect and handshake; CLOCK_MONOTONIC */
    struct tug_peer peer;
    void *data;
    struct tug_lookup *lookup; /* dialled by name: until the answer is there */
    struct tug_sockaddr addr;  /* dialled */
    char *endpoint;            /* dialled: as it was written */
};

/* Take over a socket that a listener accepted; on_open may come before this returns. */
void tug_conn_accepted(struct tug_listener *l, struct event_base *loop, int fd,
                       struct tug_net_conf *conf);
/* Close with that reason: on_close comes. */
void tug_conn_refuse(struct tug_conn *c, const char *why);

/* ---- net_door.c: who waits in front of a listener ---- */
struct tug_door;
struct tug_door_side;

/* What counts as one address: IPv4 as it is, IPv6 by its /64, all of loopback together, local sockets by user. */
struct tug_door_from {
    uint32_t family;
    uint8_t net[8];
};
void tug_door_from(const struct sockaddr *sa, uid_t uid, struct tug_door_from *out);

struct tug_door *tug_door_new(struct event_base *loop, unsigned max, unsigned max_address);
void tug_door_free(struct tug_door *d); /* drops who is there */
/* May refuse the oldest, of its address or of all, to make room; that may be 'c' itself. */
void tug_door_enter(struct tug_door *d, struct tug_conn *c);
void tug_door_leave(struct tug_door *d, struct tug_conn *c); /* it is up or gone; one that is not there: nothing */
bool tug_door_drop_oldest(struct tug_door *d, const char *why); /* false: nobody is there */

/* Around each piece of work for those who wait: false: enough was done in this turn of the loop. */
enum tug_door_work { TUG_DOOR_ACCEPT, TUG_DOOR_PROVE, TUG_DOOR_WORKS };
bool tug_door_begin(struct tug_door *d, enum tug_door_work work);
void tug_door_end(struct tug_door *d, enum tug_door_work work);

/* ---- net_listen.c: what a listener wants to know of its connections ---- */
/* 0, or -EUSERS: its user has too many already; it counts until it is gone all the same. */
int tug_listener_conn_added(struct tug_listener *l, struct tug_conn *c, int unauth);
void tug_listener_conn_up(struct tug_listener *l, struct tug_conn *c);
void tug_listener_conn_gone(struct tug_listener *l, struct tug_conn *c);
struct tug_door *tug_listener_door(const struct tug_listener *l);

#endif
