/* store_etcd.h - a store whose records are in etcd, as its parts see it; for src/host/store_etcd*.c only
 *
 * store_etcd.c        the calls, and what the loop is told
 * store_etcd_keep.c   the keeper's thread: it follows the log, stands for the lead and keeps the lease
 * store_etcd_write.c  the writer's thread: commits, cleaning
 *
 * 'log' belongs to the keeper while we follow, then to the loop until the first commit, then to the writer. Layer: host.
 */
#ifndef TUG_HOST_STORE_ETCD_H
#define TUG_HOST_STORE_ETCD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/etcd.h"
#include "host/loop.h"
#include "host/reclog.h"
#include "host/store_impl.h"

struct request {
    struct request *next;
    struct tug_batch *batch;
    tug_store_done_cb *done;
    void *arg;
};

/* Requests that became one entry. */
struct txn {
    struct txn *next;
    struct etcd_store *s;
    struct request *requests;
    int rc;
    char *why;
};

struct news {
    struct news *next;
    enum tug_store_role role;
    char *text;
};

struct etcd_store {
    struct tug_store base; /* first: see of() */
    struct tug_store *history;
    char *prefix, *name, *address;
    char *lead_before; /* see opts.lead */
    int64_t restoring; /* see opts.restoring */
    bool anew;         /* see opts.anew */
    uint32_t lease_s;
    struct tug_etcd *keeper_etcd, *writer_etcd;
    struct tug_wake *wake;
    pthread_t keeper, writer;
    bool has_keeper, has_writer;
    struct tug_reclog *log;
    uint64_t copied; /* history rows of entries up to this one are in the file */
    tug_store_role_cb *on_role;
    void *role_arg;
    tug_store_room_cb *on_room; /* NULL: nobody waits for room */
    void *room_arg;
    char *history_full, *told_full; /* the loop's: why the history has no room; what on_room was told last */

    /* the keeper's */
    int64_t lease, since_ms, said_at, looked_at, compact_at, compact_revision;
    char said[TUG_ERR_MAX];
    bool checked;
    /* written by the keeper before it says LEADS: the leader key's, as we wrote it last */
    int64_t lead_revision;
    _Atomic int64_t until;        /* tug_now_ms(); 0 = we do not lead */
    _Atomic uint64_t copied_now;  /* how far we are; and how far that would survive a power failure, for others to read */
    _Atomic uint64_t copied_for_good;
    _Atomic uint64_t copied_by_all;
    _Atomic uint64_t begins, written; /* while we lead: the first part that is left, or will be in a moment; the last that is there */
    _Atomic bool history_is_full;

    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t changed;
    struct request *todo, **todo_tail;
    struct txn *failed, **failed_tail;
    struct news *news, **news_tail;
    bool stop, closing;
    char *full; /* why etcd takes nothing; NULL: it does */
    int rc; /* no commit can be made any more, and why */
    char *why;
    struct tug_store_stats stats;
};

static inline struct etcd_store *of(struct tug_store *base)
{
    return (struct etcd_store *) base;
}

/* ---- store_etcd.c, from any thread */

void tug_store_etcd_say_role(struct etcd_store *s, enum tug_store_role role, const char *text);
/* Nothing is committed any more. */
void tug_store_etcd_give_up(struct etcd_store *s, enum tug_store_role role, int rc, const char *why);
bool tug_store_etcd_is_stopped(struct etcd_store *s);
void tug_store_etcd_nap(struct etcd_store *s, int64_t ms); /* or until it is stopped */
/* Rows of entries up to tug_reclog_next(), by who has the log. Takes 'rows'. */
void tug_store_etcd_copy_history(struct etcd_store *s, struct tug_batch *rows, tug_store_done_cb *cb, void *arg);

/* ... on the loop */
void tug_store_etcd_tell_room(struct etcd_store *s);
void tug_store_etcd_txn_end(struct txn *t); /* the callbacks; frees it */

/* ---- store_etcd_keep.c */

struct leader {
    int64_t mod_revision, lease; /* 0 = nobody */
    char name[128];
};
int tug_store_etcd_look(struct etcd_store *s, struct tug_etcd *e, struct leader *out, struct tug_err *err);
void *tug_store_etcd_keeper(void *store); /* of a thread each */

/* ---- store_etcd_write.c */

void *tug_store_etcd_writer(void *store);

#endif
