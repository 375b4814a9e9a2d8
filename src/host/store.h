/* store.h - the durable copy of what the daemon holds in memory
 *
 * Records are bytes, upserted by (kind, id); history rows are appended. A batch is one transaction:
 * all of it is durable when its callback says 0, or none of it is. Commits run one after the other
 * on the store's own thread; the callback comes on the event loop, in the order of the commits.
 * After a failed commit the store takes no more (-EIO): the daemon must stop, the store is the truth
 * after a restart (no retry after a failed fsync). Want of room is not a failure for who asked to wait for it
 * (tug_store_wait_for_room).
 *
 * Who owns what: tug_store_commit takes the batch.
 * Layer: host.
 */
#ifndef TUG_HOST_STORE_H
#define TUG_HOST_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/batch.h"
#include "base/err.h"

struct event_base;
struct tug_store;

struct tug_etcd_opts;

struct tug_store_opts {
    const char *path; /* the file; its directory must exist and be ours, 0700 */
    int relaxed;      /* node daemon: survives a crash of the process, not of the machine
                         (synchronous=NORMAL) */
    int create;       /* make it when it is not there; else -ENOENT */
    /* Records are in etcd, shared by several controllers of which one leads; then 'path' keeps this
     * controller's copy of the history only. NULL: all of it is in the file, and we lead. */
    const struct tug_etcd_opts *etcd;
    const char *prefix;  /* of all keys, "/tugline/mycluster" */
    const char *name;    /* of this controller, "ctl1": no two may have the same */
    const char *address; /* where its nodes connect; for people */
    uint32_t lease_s;    /* of the leader; 0 = 5 */
    /* PREFIX/restoring, which keeps all others from leading, is ours, with this revision; 0 = it is not */
    int64_t restoring;
    int anew; /* a state is being put there: it may be another one than this controller's copy of the history is of */
    const char *lead;    /* what tug_store_lead_token() said to this process before it executed itself anew; NULL = nothing */
};

/* Open and lock the store that is one file (o->etcd is NULL). On failure the sentence names the file and the way out.
 *   -EBUSY    another daemon holds it (says its pid)      -EPROTO  written by a newer version
 *   -EILSEQ   not a database, truncated or damaged        -ENOSPC  the disk is full
 *   -EACCES   not ours, or readable by others             -ENOTSUP on a network file system */
int tug_store_open(struct tug_store **out, struct event_base *loop, const struct tug_store_opts *o,
                   struct tug_err *err);
/* ... whose records are in o->etcd. As above for the file with the history; asks etcd nothing yet. A call of its own, so that
 * programs which have a file only are not linked with all that etcd needs. */
int tug_store_open_etcd(struct tug_store **out, struct event_base *loop, const struct tug_store_opts *o,
                        struct tug_err *err);
/* Commits what was handed over and runs the callbacks that are still due (queries: -ECANCELED)
 * before it returns. Not from inside a callback of the store. */
void tug_store_close(struct tug_store *s);

/* ---- who leads. Only the leader may load and commit. */

enum tug_store_role {
    TUG_STORE_FOLLOWS, /* somebody else leads; 'text' says who */
    TUG_STORE_LEADS,   /* everything that was ever acknowledged is here now: load */
    TUG_STORE_LOST,    /* somebody else may lead by now; 'text' says why. Final: the daemon must stop, and may open anew */
    TUG_STORE_UNFIT,   /* nothing can be kept there, etcd is not fit for it. Final: a person must look */
    TUG_STORE_BROKEN   /* what is there cannot be read. Final, too */
};
typedef void tug_store_role_cb(void *arg, enum tug_store_role role, const char *text);
/* Stand for the lead, for ever. cb comes on the loop with every change; without etcd once, LEADS. */
void tug_store_lead(struct tug_store *s, tug_store_role_cb *cb, void *arg);
/* How this process goes on leading after it executed itself anew: a word for opts.lead, to be asked for when it LEADS. What the
 * image before still had under way is refused then. "" without etcd. */
void tug_store_lead_token(struct tug_store *s, char *out, size_t size_bytes);
/* Until when (tug_now_ms()) nobody else can lead; what needs no commit must not be promised after that. INT64_MAX
 * without etcd. From any thread. */
int64_t tug_store_leads_until(struct tug_store *s);

/* Read every record of 'kind' (NULL: all) before the first commit. A non-zero return of 'cb' stops
 * and is returned.
 *   -EILSEQ  a record is damaged (names kind and id) or missing; 'cb' may have seen others before
 */
typedef int tug_store_record_cb(void *arg, const char *kind, const char *id, const void *data,
                                size_t len);
int tug_store_load(struct tug_store *s, const char *kind, tug_store_record_cb *cb, void *arg,
                   struct tug_err *err);

/* All of them, in two steps that overlap: 'read' is called on a thread of its own for one record after the other, 'take' on the
 * caller's, in the same order, for what 'read' made of them with memory from 'a'. The first failure in the order of the records
 * is returned; 'take' has seen those before it. As tug_store_load() otherwise. */
struct tug_arena;
struct tug_store_feed {
    int (*read)(void *arg, struct tug_arena *a, const char *kind, const char *id, const void *data,
                size_t len, void **made, struct tug_err *err);
    int (*take)(void *arg, void *made, struct tug_err *err);
    void *arg;
};
int tug_store_feed(struct tug_store *s, const struct tug_store_feed *to, struct tug_err *err);

/* All records of a store that is one file and that tug_store_open() found no room to open: nothing is written, and it is locked
 * during the call only. As tug_store_open() and tug_store_load() otherwise; -EPROTO also for an older version. */
int tug_store_peek(const char *path, tug_store_record_cb *cb, void *arg, struct tug_err *err);

/* Make 'b' durable, then call cb(arg, 0, NULL) on the loop; or cb(arg, -errno, sentence) when it
 * could not be. Taken also on failure. Several outstanding commits are merged into one transaction.
 * cb may be NULL. */
typedef void tug_store_done_cb(void *arg, int rc, const char *why);
void tug_store_commit(struct tug_store *s, struct tug_batch *b, tug_store_done_cb *cb, void *arg);

/* Wait for room: a commit that finds none (a full file system, a quota, etcd's too) is kept and tried again, a few times a second, with
 * all that comes behind it, until it can be made. cb comes on the loop: 'why' names what is full, how much is free there and
 * what to do; NULL: that is over (before the callbacks of the commits that waited). To be said right after opening; else such
 * a commit fails like any other one. A close does not wait: what has no room then fails. */
typedef void tug_store_room_cb(void *arg, const char *why);
void tug_store_wait_for_room(struct tug_store *s, tug_store_room_cb *cb, void *arg);

/* Rows of the history, newest first, read on a thread of their own so that no commit waits for
 * them. Sees every batch whose callback has come. cb on the loop once per row (row != NULL), then
 * once with NULL and rc. The filter is copied. */
struct tug_history_filter {
    const char *what;           /* NULL = all */
    int64_t since_ms, until_ms; /* both inclusive; until 0 = no bound */
    const uint32_t *uids;
    size_t n_uids;
    const uint64_t *ids;
    size_t n_ids;
    const char *const *states;
    size_t n_states;
    uint32_t limit; /* 0 = 1000 */
};
typedef void tug_store_history_cb(void *arg, const struct tug_history_row *row, int rc,
                                  const char *why);
void tug_store_history(struct tug_store *s, const struct tug_history_filter *f,
                       tug_store_history_cb *cb, void *arg);

/* For metrics and tests. */
struct tug_store_stats {
    uint64_t batches;      /* made durable */
    uint64_t transactions; /* that took */
    uint64_t checkpoints;
    uint64_t wal_pages; /* in the log now */
};
void tug_store_stats(struct tug_store *s, struct tug_store_stats *out);

#endif
