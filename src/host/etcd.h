/* etcd.h - a client of etcd v3, as much of it as a controller's state needs
 *
 * Key-value, transactions and leases through the JSON gateway that every etcd >= 3.4 has ("/v3/...", etcd's
 * api_grpc_gateway manual): keys and values are base64, 64-bit numbers are texts. Calls block, so they belong onto
 * threads of their own; a client may be used by one thread at a time. A call that gets no answer in time is tried
 * again at the next endpoint, all within 'patience': what came of the first try is then not known, and transactions must be
 * such that asking twice does no harm. Layer: host.
 */
#ifndef TUG_HOST_ETCD_H
#define TUG_HOST_ETCD_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct tug_etcd;

struct tug_etcd_opts {
    const char *const *endpoints; /* "http://10.0.0.1:2379" */
    size_t n_endpoints;
    /* TLS; NULL = not used. With a CA file, endpoints must be https. */
    const char *ca_file, *cert_file, *key_file;
    uint32_t timeout_ms;  /* of one try; 0 = 1500 */
    uint32_t patience_ms; /* of a call with all its tries; 0 = 10000 */
};

/* Copies the options; asks nobody yet. -EINVAL: no endpoint, or one that is no http(s) address. */
int tug_etcd_new(struct tug_etcd **out, const struct tug_etcd_opts *o, struct tug_err *err);
void tug_etcd_free(struct tug_etcd *e);
/* From any thread: the call under way gives up at once, and so do all later ones (-ECANCELED). */
void tug_etcd_abort(struct tug_etcd *e);

/* Each: 0, or
 *   -EHOSTUNREACH  no endpoint answered in time (names the last one and what it did)
 *   -ENOSPC        etcd's quota is used up: it takes nothing before it was cleaned and its alarm put out by hand
 *   -EPROTO        an answer that is no such answer, or etcd's own refusal
 *   -ECANCELED     tug_etcd_abort() */

/* "3.4.23", and how many members the cluster has. */
int tug_etcd_version(struct tug_etcd *e, char *version, size_t size_bytes, unsigned *members, struct tug_err *err);

int tug_etcd_lease_grant(struct tug_etcd *e, uint32_t ttl_s, int64_t *lease, struct tug_err *err);
/* -ENOENT: it has run out. */
int tug_etcd_lease_keepalive(struct tug_etcd *e, int64_t lease, struct tug_err *err);
int tug_etcd_lease_revoke(struct tug_etcd *e, int64_t lease, struct tug_err *err);

struct tug_etcd_kv {
    const char *key;   /* NUL-terminated */
    const void *value;
    size_t len;
    int64_t create_revision, mod_revision, lease;
};
/* A non-zero return stops and is returned. The key-value is valid during the call. */
typedef int tug_etcd_kv_cb(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err);
/* Keys from 'from' up to, not including, 'to' in their order, at most 'limit' (0 = all); to NULL: that key alone.
 * Linearizable: sees all that was acknowledged to anybody before. */
int tug_etcd_range(struct tug_etcd *e, const char *from, const char *to, uint32_t limit, tug_etcd_kv_cb *cb, void *arg,
                   struct tug_err *err);

/* How many keys there are from 'from' up to 'to', and the first 'limit' (0 = all) of them, without their values; at one moment. */
int tug_etcd_keys(struct tug_etcd *e, const char *from, const char *to, uint32_t limit, uint64_t *n, tug_etcd_kv_cb *cb, void *arg,
                  struct tug_err *err);

/* Forget what keys were before that revision: etcd keeps it until somebody says so. */
int tug_etcd_compact(struct tug_etcd *e, int64_t revision, struct tug_err *err);

/* A transaction that is being written down: conditions first, then what to do when all of them hold. */
struct tug_etcd_txn {
    struct tug_buf compare, then;
};
void tug_etcd_txn_clear(struct tug_etcd_txn *t);
void tug_etcd_if_created(struct tug_etcd_txn *t, const char *key, int64_t create_revision); /* 0 = is not there */
void tug_etcd_if_there(struct tug_etcd_txn *t, const char *key);
void tug_etcd_if_leased(struct tug_etcd_txn *t, const char *key, int64_t lease); /* is there, bound to that lease */
void tug_etcd_if_modified(struct tug_etcd_txn *t, const char *key, int64_t mod_revision);   /* last, with that revision */
void tug_etcd_put(struct tug_etcd_txn *t, const char *key, const void *value, size_t len, int64_t lease);
void tug_etcd_del(struct tug_etcd_txn *t, const char *from, const char *to); /* as a range; to NULL: that key */
/* *held = 1: the conditions held and all of it is durable in etcd; 0: nothing was changed. */
int tug_etcd_commit(struct tug_etcd *e, const struct tug_etcd_txn *t, int *held, int64_t *revision, struct tug_err *err);

#endif
