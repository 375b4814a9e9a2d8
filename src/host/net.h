/* net.h - connections that carry frames
 *
 * Three ways in, chosen by whoever opens the socket, never by the peer:
 *   unix    a local socket; the peer's pid, uid and gid come from the kernel (SO_PEERCRED)
 *   node    TCP; both sides prove an Ed25519 key in one fixed-size handshake bound to fresh X25519 keys, then every frame
 *           is AEAD (shared/ reliability 1.3: authenticate, then decode)
 *   psk     TCP or unix; both sides prove one 32-byte pre-shared key, then AEAD (the star of a gang; `tug run`)
 * Before a session is up a peer may send exactly one fixed-size handshake frame, has 5 s, and counts against caps; all such peers
 * together get a small part of each turn of the loop. A listener leaves the last descriptors of the process alone.
 * Callbacks come on the loop; a connection may be closed from inside its callbacks. Writes are buffered and never
 * block; a peer that does not read is closed when more than 'out_max_bytes' wait. Layer: host.
 */
#ifndef TUG_HOST_NET_H
#define TUG_HOST_NET_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "proto/msg.h"

struct event_base;
struct tug_conn;
struct tug_listener;

struct tug_net_ops {
    void (*on_open)(void *arg, struct tug_conn *c);                              /* session is up */
    void (*on_frame)(void *arg, struct tug_conn *c, const struct tug_frame *f);  /* body borrowed for the call */
    void (*on_close)(void *arg, struct tug_conn *c, const char *why);            /* c is gone after this; not called by tug_conn_close.
                                                                                   * Also for one whose handshake failed: then
                                                                                   * no on_open came before */
};

enum tug_auth { TUG_AUTH_UNIX, TUG_AUTH_NODE, TUG_AUTH_PSK };

struct tug_peer {                     /* who is at the other end */
    enum tug_auth auth;
    pid_t pid; uid_t uid; gid_t gid;  /* UNIX */
    char name[64];                    /* NODE: the name the key belongs to */
    char address[64];                 /* TCP: numeric address */
};

struct tug_keypair { uint8_t pub[32]; uint8_t sec[64]; };   /* Ed25519 */

struct tug_net_opts {
    enum tug_auth auth;
    enum tug_channel channel;
    const struct tug_net_ops *ops;
    void *arg;
    /* NODE: */
    const struct tug_keypair *own;
    const char *own_name;             /* sent by the side that dials */
    const uint8_t *peer_pub;          /* dialling: the controller's key */
    /* listening: key of the node called 'name', 0 when it is allowed; -ENOENT no such node */
    int (*node_key)(void *arg, const char *name, uint8_t pub[32]);
    /* PSK: */
    uint8_t psk[32];
    size_t out_max_bytes;             /* 0 = 64 MiB */
    unsigned max_conns;               /* listening; 0 = 16384 */
    unsigned max_conns_uid;           /* listening, unix: of one user who is neither root nor ours; 0 = 3/4 of max_conns */
    unsigned max_unauth;              /* listening: handshake not done; 0 = 512, oldest dropped first */
    unsigned max_unauth_address;      /* listening: likewise of one address (IPv6: of its /64; all of loopback is one; local
                                       * sockets: of one user); 0 = a quarter of max_unauth */
    unsigned handshake_ms;            /* connect and handshake together; 0 = 5000 */
    unsigned steady;                  /* TCP: a peer that does not read is not given up, however long; one whose machine answers
                                       * nothing is, within 17 s, as ever */
};

/* endpoint: "unix:/path" or "host:port" (port 0 = any). mode: of the unix socket. Opts are copied.
 * A stale unix socket file that nobody listens on is replaced; a live one is -EADDRINUSE. */
int tug_net_listen(struct tug_listener **out, struct event_base *loop, const char *endpoint, unsigned mode,
                   const struct tug_net_opts *o, struct tug_err *err);
void tug_listener_free(struct tug_listener *l);
/* Where it really listens: "unix:/path" or "host:port". */
const char *tug_listener_endpoint(const struct tug_listener *l);

/* Never blocks (a host name is looked up on a thread); on_open or on_close follows, never from inside this call. What is sent before on_open waits for it. */
int tug_net_dial(struct tug_conn **out, struct event_base *loop, const char *endpoint, const struct tug_net_opts *o,
                 struct tug_err *err);
void tug_conn_close(struct tug_conn *c);        /* after what was sent is flushed (at most 2 s; the loop must run); no callback
                                                 * follows. Before on_open: as tug_conn_drop */
void tug_conn_drop(struct tug_conn *c);         /* at once; no callback follows */
int tug_conn_send(struct tug_conn *c, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m);
int tug_conn_send_raw(struct tug_conn *c, uint16_t number, uint32_t rid, const void *body, size_t len);
/* Both return 0, or: -EMSGSIZE the body is over that message's cap (nothing was queued); -EPIPE the connection has
 * failed, on_close follows; -ENOBUFS the peer does not read: on_close follows. */
size_t tug_conn_out_bytes(const struct tug_conn *c);             /* waiting to be written */
void tug_conn_pause(struct tug_conn *c, int paused);             /* stop / go on reading: back-pressure; while it
                                                                  * lasts, a peer that goes is not noticed */
/* In on_close: did it end as the peer's machine does not answer? Then it is that, or what is in between: not the peer, which
 * may be stopped, has closed or was not there. */
int tug_conn_was_unreachable(const struct tug_conn *c);
const struct tug_peer *tug_conn_peer(const struct tug_conn *c);
void tug_conn_set_data(struct tug_conn *c, void *data);
void *tug_conn_data(const struct tug_conn *c);

/* A blocking client for short commands: connect, send, wait for one frame. 'timeout_ms' for the whole call. */
struct tug_call;
int tug_call_open(struct tug_call **out, const char *endpoint, const struct tug_net_opts *o, int timeout_ms, struct tug_err *err);
int tug_call_send(struct tug_call *c, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m, struct tug_err *err);
/* Next frame; the body is valid until the next call. -ETIMEDOUT, -ECONNRESET. */
int tug_call_recv(struct tug_call *c, struct tug_frame *out, int timeout_ms, struct tug_err *err);
int tug_call_fd(const struct tug_call *c);
void tug_call_close(struct tug_call *c);

/* keys.c: Ed25519 keys in files: 'path' holds the secret (0600), 'path'.pub the public one, one line of base64 each. */
int tug_keypair_make(struct tug_keypair *k);
int tug_keypair_load(const char *path, struct tug_keypair *out, int create, struct tug_err *err);
int tug_pubkey_load(const char *path, uint8_t out[32], struct tug_err *err);
/* Ed25519 over BLAKE2b-512(domain, one zero byte, data): domains are "tug-order-v1" etc. Verify: 0 or -EACCES. */
void tug_sign(const struct tug_keypair *k, const char *domain, const void *data, size_t len, uint8_t sig[64]);
int tug_verify(const uint8_t pub[32], const char *domain, const void *data, size_t len, const uint8_t sig[64]);

#endif
