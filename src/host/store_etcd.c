/* store_etcd.c - the durable copy of what the daemon holds in memory, in etcd, shared by several controllers
 *
 * Which keys there are: store_keys.h. Every write is one transaction that holds only while the leader key is as we wrote it: what a controller
 * writes after its lease is gone is refused by etcd, however long it slept. A controller that executes itself anew keeps its
 * lease and writes the key again, so that what its former image has under way is refused as well. The number of a part is used once, so asking again
 * after an answer that never came does no harm.
 *
 * Threads of our own: the keeper follows the log, stands for the lead and keeps the lease; the writer makes batches
 * durable. 'log' belongs to the keeper while we follow, then to the loop until the first commit, then to the writer. The
 * history is not kept in etcd: each controller copies its rows into a file of its own as it reads the log, says now and then
 * how far that is on its disk for good, and the log is not cleaned further than all have.
 *
 * Without room (etcd's quota, or the disk of the history) the writer waits and tries again; a standby then reads no further
 * and does not stand for the lead. Layer: host.
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/vec.h"
#include "host/etcd.h"
#include "host/loop.h"
#include "host/reclog.h"
#include "host/store_impl.h"
#include "host/store_keys.h"
#include "host/store_log.h"
#include "host/thread.h"

enum {
    LEASE_S = 5,
    /* etcd takes requests of 1.5 MiB unless told otherwise. */
    PART_BYTES = 1 << 20,
    MERGE_BYTES = 1 << 20,
    FOLLOW_MS = 300,
    ROOM_MS = 500,
    SAY_MS = 2000,
    LOOK_MS = 10000,
    COMPACT_MS = 5 * 60 * 1000,
    /* More bytes in the log than twice what holds, before it is cleaned. */
    SLACK_BYTES = 16 << 20,
    /* Who said nothing for so long is not waited for with cleaning. */
    ABSENT_MS = 24 * 3600 * 1000,
};

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

static struct etcd_store *of(struct tug_store *base)
{
    return (struct etcd_store *) base;
}

/* ---- what the loop is told */

static void say_role(struct etcd_store *s, enum tug_store_role role, const char *text)
{
    struct news *n = tug_new(struct news);
    n->role = role;
    n->text = tug_xstrdup(text);
    pthread_mutex_lock(&s->lock);
    *s->news_tail = n;
    s->news_tail = &n->next;
    pthread_mutex_unlock(&s->lock);
    tug_wake_up(s->wake);
}

/* Nothing is committed any more. */
static void give_up(struct etcd_store *s, enum tug_store_role role, int rc, const char *why)
{
    atomic_store(&s->until, 0);
    pthread_mutex_lock(&s->lock);
    bool first = !s->rc;
    if (first) {
        s->rc = rc;
        s->why = tug_xstrdup(why);
    }
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (first)
        say_role(s, role, why);
}

static void txn_end(struct txn *t)
{
    struct request *r, *next;
    for (r = t->requests; r; r = next) {
        next = r->next;
        if (r->done)
            r->done(r->arg, t->rc, t->why);
        tug_batch_free(r->batch);
        free(r);
    }
    free(t->why);
    free(t);
}

/* Room is missing here or there: the first reason, when it is news. */
static void tell_room(struct etcd_store *s)
{
    char *why;
    pthread_mutex_lock(&s->lock);
    why = tug_xstrdup(s->full ? s->full : s->history_full);
    pthread_mutex_unlock(&s->lock);
    if (s->on_room && !s->closing && (!why != !s->told_full || (why && strcmp(why, s->told_full) != 0))) {
        free(s->told_full);
        s->told_full = tug_xstrdup(why);
        s->on_room(s->room_arg, why);
    }
    free(why);
}

static void on_history_room(void *arg, const char *why)
{
    struct etcd_store *s = arg;
    free(s->history_full);
    s->history_full = tug_xstrdup(why);
    atomic_store(&s->history_is_full, why != NULL);
    tell_room(s);
}

static void on_wake(void *arg)
{
    struct etcd_store *s = arg;
    tell_room(s);
    pthread_mutex_lock(&s->lock);
    struct news *n = s->news, *next_news;
    struct txn *t = s->failed, *next_txn;
    s->news = NULL;
    s->news_tail = &s->news;
    s->failed = NULL;
    s->failed_tail = &s->failed;
    pthread_mutex_unlock(&s->lock);
    for (; n; n = next_news) { /* why we stop comes before what it stopped */
        next_news = n->next;
        if (s->on_role && !s->closing)
            s->on_role(s->role_arg, n->role, n->text);
        free(n->text);
        free(n);
    }
    for (; t; t = next_txn) {
        next_txn = t->next;
        txn_end(t);
    }
}

/* ---- following (the keeper's thread) */

static void copy_history(struct etcd_store *s, struct tug_batch *rows, tug_store_done_cb *cb, void *arg)
{
    uint64_t last = tug_reclog_next(s->log) - 1;
    if (last > s->copied) {
        tug_store_copied_put(rows, last);
        s->copied = last;
        atomic_store(&s->copied_now, last);
    }
    tug_store_commit(s->history, rows, cb, arg);
}

static void on_rows(void *arg, struct tug_batch *rows)
{
    copy_history(arg, rows, NULL, NULL);
}

/* All that was acknowledged to anybody before this call is in 'log' afterwards. */
static int catch_up(struct etcd_store *s, struct tug_err *err)
{
    struct tug_store_log at = {s->keeper_etcd, s->prefix, s->log, &s->copied, on_rows, s};
    return tug_store_log_read(&at, err);
}

/* Is all of it still there, also what was read long ago? What is gone must hold no more, by what came since. */
static int look_over(struct etcd_store *s, uint64_t *first, struct tug_err *err)
{
    *first = 0;
    int rc = tug_reclog_next(s->log) ? tug_store_log_look(s->keeper_etcd, s->prefix, tug_reclog_next(s->log) - 1, first, err) : 0;
    rc = rc ? rc : catch_up(s, err);
    if (!rc && *first && (rc = tug_reclog_cut(s->log, *first, err)))
        rc = tug_fail_ctx(err, rc, "etcd: keys before %s/log/%016llx", s->prefix, (unsigned long long) *first);
    s->looked_at = (int64_t) tug_now_ms();
    return rc;
}

/* Whoever led before can write nothing more. */
static int take_over(struct etcd_store *s, struct tug_err *err)
{
    uint64_t first;
    int rc = catch_up(s, err);
    rc = rc ? rc : look_over(s, &first, err);
    if (!rc && tug_reclog_next(s->log) && !first)
        rc = tug_store_log_missing(s->prefix, tug_reclog_first(s->log), tug_reclog_next(s->log) - 1,
                                   "nothing is left of the log, and this controller has read it", err);
    atomic_store(&s->begins, tug_reclog_first(s->log));
    atomic_store(&s->written, tug_reclog_next(s->log) ? tug_reclog_next(s->log) - 1 : 0);
    return rc;
}

struct leader {
    int64_t mod_revision, lease; /* 0 = nobody */
    char name[128];
};

static int on_leader(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct leader *l = arg;
    json_t *said = json_loadb(kv->value, kv->len, 0, NULL);
    const char *name = json_string_value(json_object_get(said, "name"));
    const char *address = json_string_value(json_object_get(said, "address"));
    (void) err;
    l->mod_revision = kv->mod_revision;
    l->lease = kv->lease;
    snprintf(l->name, sizeof l->name, "%s%s%s", name ? name : "?", address && *address ? " at " : "", address ? address : "");
    json_decref(said);
    return 0;
}

static int look(struct etcd_store *s, struct tug_etcd *e, struct leader *out, struct tug_err *err)
{
    char *key = tug_store_key_leader(s->prefix);
    *out = (struct leader){0};
    int rc = tug_etcd_range(e, key, NULL, 1, on_leader, out, err);
    free(key);
    return rc;
}

static void follow(struct etcd_store *s, const char *text)
{
    if (!strcmp(s->said, text))
        return;
    snprintf(s->said, sizeof s->said, "%s", text);
    say_role(s, TUG_STORE_FOLLOWS, text);
}

static char *describe(const struct etcd_store *s, const char *role)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(s->name));
    json_object_set_new(o, "address", json_string(s->address));
    json_object_set_new(o, "role", json_string(role));
    json_object_set_new(o, "since_ms", json_integer(s->since_ms));
    json_object_set_new(o, "at_ms", json_integer(tug_wall_ms()));
    json_object_set_new(o, "copied", json_integer((json_int_t) atomic_load(&s->copied_for_good)));
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static int on_restoring(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct etcd_store *s = arg;
    struct tug_store_restoring r;
    if (kv->mod_revision == s->restoring)
        return 0;
    (void) tug_store_restoring_read(kv->value, kv->len, &r, NULL); /* whatever it says, it is there */
    return tug_store_restoring_refuse(&r, err);
}

/* -EBUSY: a backup is being put back, or half of it is there. */
static int check_restoring(struct etcd_store *s, struct tug_err *err)
{
    char *key = tug_store_key_restoring(s->prefix);
    int rc = tug_etcd_range(s->keeper_etcd, key, NULL, 1, on_restoring, s, err);
    free(key);
    return rc;
}

/* 0 = somebody was faster. */
static int campaign(struct etcd_store *s, int *won, struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    char *key = tug_store_key_leader(s->prefix), *restoring = tug_store_key_restoring(s->prefix), *text;
    int64_t sent = (int64_t) tug_now_ms(), revision = 0;
    int rc = tug_etcd_lease_grant(s->keeper_etcd, s->lease_s, &s->lease, err);
    *won = 0;
    if (!rc) {
        s->since_ms = tug_wall_ms();
        text = describe(s, "leader");
        tug_etcd_if_created(&t, key, 0);
        tug_etcd_if_modified(&t, restoring, s->restoring);
        tug_etcd_put(&t, key, text, strlen(text), s->lease);
        rc = tug_etcd_commit(s->keeper_etcd, &t, won, &revision, err);
        free(text);
    }
    struct leader now = {0};
    if (!rc && !*won && (rc = look(s, s->keeper_etcd, &now, err)) == 0 && now.lease == s->lease) {
        *won = 1; /* the answer to our first try never came */
        revision = now.mod_revision;
    }
    if (!rc && *won) {
        s->lead_revision = revision;
        /* Never from when the answer came. 1 %: twice the drift that two clocks may have. */
        atomic_store(&s->until, sent + (int64_t) s->lease_s * 990);
        rc = take_over(s, err);
    }
    if ((rc || !*won) && s->lease) {
        atomic_store(&s->until, 0);
        tug_etcd_lease_revoke(s->keeper_etcd, s->lease, NULL);
        s->lease = 0;
    }
    tug_etcd_txn_clear(&t);
    free(key);
    free(restoring);
    return rc;
}

/* Lead as our former image did, whose lease still holds. 0 and not won: it is over, stand for it like anybody. */
static int go_on(struct etcd_store *s, int *won, struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    char *key = tug_store_key_leader(s->prefix), *text = NULL;
    int64_t sent = (int64_t) tug_now_ms(), revision = 0;
    long long lease, was;
    int rc = -ENOENT;
    *won = 0;
    if (sscanf(s->lead_before, "%lld,%lld", &lease, &was) == 2)
        rc = tug_etcd_lease_keepalive(s->keeper_etcd, lease, err);
    if (!rc) {
        s->since_ms = tug_wall_ms();
        text = describe(s, "leader");
        tug_etcd_if_modified(&t, key, was);
        tug_etcd_put(&t, key, text, strlen(text), lease);
        rc = tug_etcd_commit(s->keeper_etcd, &t, won, &revision, err);
        free(text);
    }
    if (!rc && *won) {
        s->lease = lease;
        s->lead_revision = revision;
        atomic_store(&s->until, sent + (int64_t) s->lease_s * 990);
        rc = take_over(s, err);
    }
    if (rc == -ENOENT)
        rc = 0;
    tug_etcd_txn_clear(&t);
    free(key);
    free(s->lead_before); /* once */
    s->lead_before = NULL;
    return rc;
}

/* Single members before 3.4.21 could lose what they had acknowledged (etcd issue 14370). */
static int check_etcd(struct etcd_store *s, struct tug_err *err)
{
    char version[32];
    unsigned members, major = 0, minor = 0, patch = 0;
    int rc = tug_etcd_version(s->keeper_etcd, version, sizeof version, &members, err);
    if (rc)
        return rc;
    sscanf(version, "%u.%u.%u", &major, &minor, &patch);
    if (major < 3 || (major == 3 && minor < 4))
        return tug_fail(err, -ENOTSUP, "etcd is of version %s; at least 3.4 is needed", version);
    if (members < 2 && major == 3 && minor == 4 && patch < 21)
        return tug_fail(err, -ENOTSUP,
                        "etcd %s with a single member can lose what it has acknowledged; use 3.4.21 or newer, or three members",
                        version);
    s->checked = true;
    return 0;
}

/* One round: 1 = we lead now. */
static int follow_round(struct etcd_store *s, struct tug_err *err)
{
    struct leader now;
    char text[256];
    uint64_t first;
    int won = 0, rc = s->checked ? 0 : check_etcd(s, err);
    if (!rc && s->lead_before && ((rc = go_on(s, &won, err)) != 0 || won))
        return rc ? rc : 1;
    if (!rc && atomic_load(&s->history_is_full))
        rc = tug_fail(err, -ENOSPC, "the disk with this controller's copy of the history is full");
    if (!rc)
        rc = catch_up(s, err);
    if (!rc && (int64_t) tug_now_ms() - s->looked_at >= LOOK_MS)
        rc = look_over(s, &first, err);
    if (!rc)
        rc = look(s, s->keeper_etcd, &now, err);
    if (rc)
        return rc;
    if (now.mod_revision) {
        snprintf(text, sizeof text, "%s leads", now.name);
        follow(s, text);
        return 0;
    }
    rc = check_restoring(s, err);
    rc = rc ? rc : campaign(s, &won, err);
    return rc ? rc : won;
}

/* ---- leading (the keeper's thread) */

static int on_controller(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    uint64_t *least = arg;
    json_t *said = json_loadb(kv->value, kv->len, 0, NULL);
    int64_t at = json_integer_value(json_object_get(said, "at_ms"));
    uint64_t copied = (uint64_t) json_integer_value(json_object_get(said, "copied"));
    (void) err;
    if (tug_wall_ms() - at < ABSENT_MS && copied < *least)
        *least = copied;
    json_decref(said);
    return 0;
}

struct synced {
    struct etcd_store *s;
    uint64_t number;
};

static void on_synced(void *arg, int rc, const char *why)
{
    struct synced *y = arg;
    (void) why; /* the next commit says it */
    if (!rc)
        atomic_store(&y->s->copied_for_good, y->number);
    free(y);
}

/* What is copied by now shall be counted with the next time that we say how far we are. */
static void sync_history(struct etcd_store *s)
{
    struct synced *y = tug_new(struct synced);
    *y = (struct synced){s, atomic_load(&s->copied_now)};
    if (y->number == atomic_load(&s->copied_for_good) || atomic_load(&s->history_is_full))
        free(y);
    else
        tug_store_sqlite_sync(s->history, on_synced, y);
}

/* Say how far we are; who leads hears how far the others are. */
static int say(struct etcd_store *s, const char *role, struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    char *key = tug_store_key_controller(s->prefix, s->name), *text = describe(s, role);
    char *from = tug_store_key_controller(s->prefix, ""), *to = tug_store_key_controller_end(s->prefix);
    uint64_t least = UINT64_MAX;
    int64_t revision = 0;
    int held;
    tug_etcd_put(&t, key, text, strlen(text), 0);
    int rc = tug_etcd_commit(s->keeper_etcd, &t, &held, &revision, err);
    if (!rc && !strcmp(role, "leader"))
        rc = tug_etcd_range(s->keeper_etcd, from, to, 0, on_controller, &least, err);
    if (!rc && !strcmp(role, "leader")) {
        atomic_store(&s->copied_by_all, least);
        if (s->compact_revision && (int64_t) tug_now_ms() >= s->compact_at)
            tug_etcd_compact(s->keeper_etcd, s->compact_revision, NULL); /* also by others: then it is done */
        if (!s->compact_revision || (int64_t) tug_now_ms() >= s->compact_at) {
            s->compact_revision = revision;
            s->compact_at = (int64_t) tug_now_ms() + COMPACT_MS;
        }
    }
    sync_history(s);
    s->said_at = (int64_t) tug_now_ms();
    tug_etcd_txn_clear(&t);
    free(key);
    free(text);
    free(from);
    free(to);
    return rc;
}

static int lead_round(struct etcd_store *s, struct tug_err *err)
{
    int64_t sent = (int64_t) tug_now_ms();
    int rc = tug_etcd_lease_keepalive(s->keeper_etcd, s->lease, err);
    if (!rc)
        atomic_store(&s->until, sent + (int64_t) s->lease_s * 990);
    return rc;
}

/* Is all of it still there that we wrote and read? The writer may be at work meanwhile. */
static int look_over_ours(struct etcd_store *s, struct tug_err *err)
{
    uint64_t first, last = atomic_load(&s->written);
    int rc = last ? tug_store_log_look(s->keeper_etcd, s->prefix, last, &first, err) : 0;
    uint64_t begins = atomic_load(&s->begins);
    if (!rc && last && (!first || first > begins))
        rc = tug_store_log_missing(s->prefix, begins, first ? first - 1 : last, "this controller did not delete them", err);
    s->looked_at = (int64_t) tug_now_ms();
    return rc;
}

static void nap(struct etcd_store *s, int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&s->lock);
    while (!s->stop && pthread_cond_timedwait(&s->changed, &s->lock, &at) == 0)
        ;
    pthread_mutex_unlock(&s->lock);
}

static bool is_stopped(struct etcd_store *s)
{
    pthread_mutex_lock(&s->lock);
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static void keep_leading(struct etcd_store *s)
{
    struct tug_err err = {0};
    int64_t next = 0;
    while (!is_stopped(s)) {
        int64_t now = (int64_t) tug_now_ms(), until = atomic_load(&s->until);
        int rc = now >= next ? lead_round(s, &err) : 0;
        if (!rc && now >= next)
            next = now + (int64_t) s->lease_s * 1000 / 3;
        if (rc == -ECANCELED)
            return;
        if (rc == -ENOENT || (int64_t) tug_now_ms() >= atomic_load(&s->until) || (rc && now >= until)) {
            char why[TUG_ERR_MAX + 64];
            snprintf(why, sizeof why, "the lease of the lead could not be renewed in time (%s)",
                     rc ? err.msg : "this process was stopped for too long");
            give_up(s, TUG_STORE_LOST, -ESTALE, why);
            return;
        }
        if (!rc && (int64_t) tug_now_ms() - s->said_at >= SAY_MS)
            say(s, "leader", NULL); /* the next one will do */
        if (!rc && (int64_t) tug_now_ms() - s->looked_at >= LOOK_MS && look_over_ours(s, &err) == -EILSEQ) {
            give_up(s, TUG_STORE_BROKEN, -EILSEQ, err.msg);
            return;
        }
        nap(s, 100);
    }
}

static void *keeper_main(void *arg)
{
    struct etcd_store *s = arg;
    struct tug_err err = {0};
    while (!is_stopped(s)) {
        int rc = follow_round(s, &err);
        if (rc == 1) {
            s->said[0] = 0;
            say_role(s, TUG_STORE_LEADS, "");
            keep_leading(s);
            return NULL;
        }
        if (rc == -EILSEQ || rc == -ENOTSUP) {
            give_up(s, rc == -ENOTSUP ? TUG_STORE_UNFIT : TUG_STORE_BROKEN, rc, err.msg);
            return NULL;
        }
        if (rc && rc != -ECANCELED)
            follow(s, err.msg);
        if (!rc && (int64_t) tug_now_ms() - s->said_at >= SAY_MS)
            say(s, "standby", NULL);
        nap(s, FOLLOW_MS);
    }
    return NULL;
}

/* ---- writing (the writer's thread) */

struct same {
    const struct tug_buf *part;
    bool is_there, is_ours;
};

static int on_same(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct same *is = arg;
    (void) err;
    is->is_there = true;
    is->is_ours = kv->len == is->part->len && !memcmp(kv->value, is->part->data, kv->len);
    return 0;
}

/* The transaction did not hold: because we no longer lead, because an earlier try of it did, or because the log is not as we left it? */
static int was_written(struct etcd_store *s, uint64_t number, const struct tug_buf *part, struct tug_err *err)
{
    struct leader now;
    struct same is = {.part = part};
    char *key = tug_store_key_log(s->prefix, number);
    int rc = look(s, s->writer_etcd, &now, err);
    if (!rc)
        rc = tug_etcd_range(s->writer_etcd, key, NULL, 1, on_same, &is, err);
    if (!rc && now.mod_revision != s->lead_revision)
        rc = tug_fail(err, -ESTALE, "another controller leads (%s)", now.mod_revision ? now.name : "or will soon");
    else if (!rc && is.is_there && !is.is_ours)
        rc = tug_fail(err, -EILSEQ, "etcd: '%s' is there already, and not ours", key);
    else if (!rc && !is.is_there)
        rc = tug_store_log_missing(s->prefix, number - 1, number - 1, "it was the newest, and is never deleted by a controller", err);
    free(key);
    return rc;
}

/* etcd's word for it came; the loop is told when that is news. 'why' NULL: it takes something again. */
static void set_full(struct etcd_store *s, const char *why)
{
    pthread_mutex_lock(&s->lock);
    bool news = why ? !s->full : s->full != NULL;
    if (news) {
        free(s->full);
        s->full = why ? tug_xasprintf("%s: its quota is used up; compact and defragment its members, or give them a larger "
                                      "quota, then `etcdctl alarm disarm`, and it goes on by itself", why)
                      : NULL;
    }
    pthread_mutex_unlock(&s->lock);
    if (news)
        tug_wake_up(s->wake);
}

/* It had no room: 1 = try again now. */
static int wait_for_room(struct etcd_store *s, const char *why)
{
    if (!s->on_room)
        return 0;
    set_full(s, why);
    nap(s, ROOM_MS);
    return !is_stopped(s);
}

struct cleaning {
    uint64_t first, last; /* parts of the oldest entry; 0 = none is to go */
};

static int write_part(struct etcd_store *s, uint64_t number, const struct tug_buf *part, const struct cleaning *c,
                      struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    char *leader = tug_store_key_leader(s->prefix), *key = tug_store_key_log(s->prefix, number);
    int held = 0;
    int64_t revision;
    tug_etcd_if_modified(&t, leader, s->lead_revision);
    tug_etcd_if_created(&t, key, 0);
    if (atomic_load(&s->written)) { /* behind a hole it could never be read */
        char *before = tug_store_key_log(s->prefix, number - 1);
        tug_etcd_if_there(&t, before);
        free(before);
    }
    tug_etcd_put(&t, key, part->data, part->len, 0);
    if (c && c->first) {
        char *from = tug_store_key_log(s->prefix, c->first), *to = tug_store_key_log(s->prefix, c->last + 1);
        tug_etcd_del(&t, from, to);
        free(from);
        free(to);
    }
    int rc;
    do
        rc = tug_etcd_commit(s->writer_etcd, &t, &held, &revision, err);
    while (rc == -ENOSPC && wait_for_room(s, err->msg));
    if (!rc)
        set_full(s, NULL);
    if (!rc && !held)
        rc = was_written(s, number, part, err);
    if (!rc)
        atomic_store(&s->written, number);
    tug_etcd_txn_clear(&t);
    free(leader);
    free(key);
    return rc;
}

/* All parts of the entry, each after the other; with the last one the cleaned one goes. */
static int write_entry(struct etcd_store *s, uint64_t first, const struct tug_buf *entry, const struct cleaning *c,
                       struct tug_batch *rows, struct tug_err *err)
{
    size_t n = tug_reclog_parts(entry->len, PART_BYTES);
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        struct tug_buf part = {0};
        tug_reclog_part(&part, entry, PART_BYTES, i);
        rc = write_part(s, first + i, &part, i + 1 == n ? c : NULL, err);
        tug_buf_clear(&part);
    }
    if (rc)
        return rc;
    tug_reclog_wrote(s->log, first, n, entry, rows);
    if (c->first)
        tug_reclog_drop_oldest(s->log);
    return 0;
}

/* A new log begins behind all that an older one of that name had, of which controllers may have copies. */
static uint64_t next_number(const struct etcd_store *s)
{
    uint64_t now = (uint64_t) tug_wall_ms();
    return tug_reclog_next(s->log) ? tug_reclog_next(s->log) : now > s->copied ? now : s->copied + 1;
}

/* What the log begins with once that entry is written. */
static uint64_t begin_of(const struct etcd_store *s, uint64_t entry, const struct cleaning *c)
{
    return c->first ? c->last + 1 : tug_reclog_first(s->log) ? tug_reclog_first(s->log) : entry;
}

struct fetched {
    struct tug_vec(struct tug_buf) parts;
};

static int on_fetched(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct fetched *f = arg;
    struct tug_buf b = {0};
    (void) err;
    tug_buf_add(&b, kv->value, kv->len);
    tug_vec_push(&f->parts, b);
    return 0;
}

/* Decide whether the oldest entry goes with this commit, and say anew what holds of it. */
static int clean(struct etcd_store *s, struct cleaning *c, struct tug_batch *saved, struct tug_err *err)
{
    uint64_t first, last;
    int holds, rc = 0;
    *c = (struct cleaning){0};
    if (!tug_reclog_oldest(s->log, SLACK_BYTES, &first, &last, &holds) || last > atomic_load(&s->copied_by_all))
        return 0;
    if (holds) {
        struct fetched f = {0};
        char *from = tug_store_key_log(s->prefix, first), *to = tug_store_key_log(s->prefix, last + 1);
        rc = tug_etcd_range(s->writer_etcd, from, to, 0, on_fetched, &f, err);
        if (!rc && f.parts.len != last + 1 - first)
            rc = tug_store_log_missing(s->prefix, first, last, "some or all of them are gone, and this controller did not delete them",
                                       err);
        if (!rc)
            rc = tug_reclog_rescue(s->log, f.parts.at, f.parts.len, saved, err);
        for (size_t i = 0; i < f.parts.len; i++)
            tug_buf_clear(&f.parts.at[i]);
        tug_vec_clear(&f.parts);
        free(from);
        free(to);
    }
    if (!rc)
        *c = (struct cleaning){first, last};
    return rc;
}

static struct request *take_todo(struct etcd_store *s)
{
    struct request *list = s->todo, *r = list;
    size_t bytes = tug_batch_bytes(r->batch);
    while (r->next && bytes < MERGE_BYTES) {
        r = r->next;
        bytes += tug_batch_bytes(r->batch);
    }
    s->todo = r->next;
    if (!s->todo)
        s->todo_tail = &s->todo;
    r->next = NULL;
    return list;
}

static void on_copied(void *arg, int rc, const char *why)
{
    struct txn *t = arg;
    t->rc = rc;
    t->why = tug_xstrdup(why);
    tell_room(t->s); /* that comes first */
    txn_end(t);
}

static void write_some(struct etcd_store *s, struct txn *t)
{
    struct tug_vec(struct tug_batch *) batches = {0};
    struct tug_batch *saved = tug_batch_new(), *rows = tug_batch_new();
    struct tug_buf entry = {0};
    struct tug_err err = {0};
    struct cleaning c;
    int rc = clean(s, &c, saved, &err);
    tug_vec_push(&batches, saved); /* first: what is new comes behind it */
    for (struct request *r = t->requests; r; r = r->next)
        tug_vec_push(&batches, r->batch);
    size_t n = batches.len - 1;
    if (!rc) {
        uint64_t first = next_number(s);
        atomic_store(&s->begins, begin_of(s, first, &c));
        tug_reclog_pack(&entry, batches.at, batches.len, atomic_load(&s->begins));
        rc = write_entry(s, first, &entry, &c, rows, &err);
    }
    tug_buf_clear(&entry);
    tug_vec_clear(&batches);
    tug_batch_free(saved);
    if (!rc) {
        pthread_mutex_lock(&s->lock);
        s->stats.batches += n;
        s->stats.transactions++;
        pthread_mutex_unlock(&s->lock);
        copy_history(s, rows, on_copied, t);
        return;
    }
    tug_batch_free(rows);
    give_up(s, rc == -EILSEQ ? TUG_STORE_BROKEN : TUG_STORE_LOST, rc, err.msg);
    t->rc = rc;
    t->why = tug_xstrdup(err.msg);
    pthread_mutex_lock(&s->lock);
    *s->failed_tail = t;
    s->failed_tail = &t->next;
    pthread_mutex_unlock(&s->lock);
    tug_wake_up(s->wake);
}

static void *writer_main(void *arg)
{
    struct etcd_store *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->rc) {
        if (!s->todo) {
            if (s->stop)
                break;
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        struct txn *t = tug_new(struct txn);
        t->s = s;
        t->requests = take_todo(s);
        pthread_mutex_unlock(&s->lock);
        write_some(s, t);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the store's calls */

static int start_thread(pthread_t *t, void *(*main_fn)(void *), struct etcd_store *s, struct tug_err *err)
{
    int rc = tug_thread_start(t, main_fn, s);
    return rc ? tug_fail(err, rc, "cannot start a thread for etcd: %s", strerror(-rc)) : 0;
}

static int on_copied_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct etcd_store *s = arg;
    (void) kind, (void) id;
    s->copied = tug_store_copied(data, len);
    atomic_store(&s->copied_now, s->copied);
    return 0;
}

static int open_history(struct etcd_store *s, struct event_base *loop, const struct tug_store_opts *o, struct tug_err *err)
{
    /* The truth is in etcd until all have copied it: a crash of the machine costs its last rows at most. */
    struct tug_store_opts file = {.path = o->path, .relaxed = 1, .create = 1};
    int rc = tug_store_open(&s->history, loop, &file, err);
    return rc ? rc : tug_store_load(s->history, TUG_STORE_COPIED, on_copied_record, s, err);
}

static struct etcd_store *store_new(const struct tug_store_opts *o)
{
    struct etcd_store *s = tug_new(struct etcd_store);
    pthread_condattr_t attr;
    s->prefix = tug_xstrdup(o->prefix);
    s->name = tug_xstrdup(o->name);
    s->address = tug_xstrdup(o->address ? o->address : "");
    s->lead_before = o->lead ? tug_xstrdup(o->lead) : NULL;
    s->restoring = o->restoring;
    s->lease_s = o->lease_s ? o->lease_s : LEASE_S;
    s->since_ms = tug_wall_ms();
    s->log = tug_reclog_new();
    s->todo_tail = &s->todo;
    s->failed_tail = &s->failed;
    s->news_tail = &s->news;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    return s;
}

static void store_free(struct etcd_store *s)
{
    tug_wake_free(s->wake);
    tug_etcd_free(s->keeper_etcd);
    tug_etcd_free(s->writer_etcd);
    tug_reclog_free(s->log);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s->why);
    free(s->full);
    free(s->history_full);
    free(s->told_full);
    free(s->lead_before);
    free(s->prefix);
    free(s->name);
    free(s->address);
    free(s);
}

static void etcd_close(struct tug_store *base)
{
    struct etcd_store *s = of(base);
    struct txn *rest = tug_new(struct txn);
    pthread_mutex_lock(&s->lock);
    s->stop = s->closing = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->has_writer)
        pthread_join(s->writer, NULL);
    if (s->keeper_etcd)
        tug_etcd_abort(s->keeper_etcd);
    if (s->has_keeper)
        pthread_join(s->keeper, NULL);
    if (s->writer_etcd && s->lease && atomic_load(&s->until)) /* whoever comes next need not wait for it */
        tug_etcd_lease_revoke(s->writer_etcd, s->lease, NULL);
    rest->requests = s->todo;
    rest->rc = s->rc ? s->rc : -ECANCELED;
    rest->why = tug_xstrdup(s->why ? s->why : "the store is being closed");
    if (s->wake)
        on_wake(s);
    tug_store_close(s->history);
    txn_end(rest);
    store_free(s);
}

static int etcd_load(struct tug_store *base, const char *kind, tug_store_record_cb *cb, void *arg, struct tug_err *err)
{
    struct etcd_store *s = of(base);
    if (!atomic_load(&s->until))
        return tug_fail(err, -EPERM, "another controller leads");
    int rc = tug_reclog_walk(s->log, kind, cb, arg);
    if (!kind)
        tug_reclog_drop_data(s->log);
    return rc;
}

static void etcd_commit(struct tug_store *base, struct tug_batch *b, tug_store_done_cb *cb, void *arg)
{
    struct etcd_store *s = of(base);
    struct request *r = tug_new(struct request);
    struct txn *dead = NULL;
    *r = (struct request){.batch = b, .done = cb, .arg = arg};
    pthread_mutex_lock(&s->lock);
    if (s->rc) {
        dead = tug_new(struct txn);
        *dead = (struct txn){.s = s, .requests = r, .rc = s->rc, .why = tug_xstrdup(s->why)};
        *s->failed_tail = dead;
        s->failed_tail = &dead->next;
    } else {
        *s->todo_tail = r;
        s->todo_tail = &r->next;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    if (dead)
        tug_wake_up(s->wake);
}

static void etcd_history(struct tug_store *base, const struct tug_history_filter *f, tug_store_history_cb *cb, void *arg)
{
    tug_store_history(of(base)->history, f, cb, arg);
}

static void etcd_stats(struct tug_store *base, struct tug_store_stats *out)
{
    struct etcd_store *s = of(base);
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
}

static void etcd_lead(struct tug_store *base, tug_store_role_cb *cb, void *arg)
{
    struct etcd_store *s = of(base);
    struct tug_err err = {0};
    s->on_role = cb;
    s->role_arg = arg;
    int rc = start_thread(&s->keeper, keeper_main, s, &err);
    s->has_keeper = !rc;
    if (!rc) {
        rc = start_thread(&s->writer, writer_main, s, &err);
        s->has_writer = !rc;
    }
    if (rc)
        give_up(s, TUG_STORE_UNFIT, rc, err.msg);
}

static void etcd_wait_for_room(struct tug_store *base, tug_store_room_cb *cb, void *arg)
{
    struct etcd_store *s = of(base);
    s->on_room = cb;
    s->room_arg = arg;
    tug_store_wait_for_room(s->history, on_history_room, s);
}

static void etcd_lead_token(struct tug_store *base, char *out, size_t size_bytes)
{
    const struct etcd_store *s = of(base);
    snprintf(out, size_bytes, "%lld,%lld", (long long) s->lease, (long long) s->lead_revision);
}

static int64_t etcd_leads_until(struct tug_store *base)
{
    return atomic_load(&of(base)->until);
}

static const struct tug_store_ops ops = {.close = etcd_close,
                                         .load = etcd_load,
                                         .commit = etcd_commit,
                                         .wait_for_room = etcd_wait_for_room,
                                         .history = etcd_history,
                                         .stats = etcd_stats,
                                         .lead = etcd_lead,
                                         .lead_token = etcd_lead_token,
                                         .leads_until = etcd_leads_until};

int tug_store_open_etcd(struct tug_store **out, struct event_base *loop, const struct tug_store_opts *o,
                        struct tug_err *err)
{
    struct etcd_store *s = store_new(o);
    s->base.ops = &ops;
    int rc = open_history(s, loop, o, err);
    rc = rc ? rc : tug_wake_new(&s->wake, loop, on_wake, s, err);
    rc = rc ? rc : tug_etcd_new(&s->keeper_etcd, o->etcd, err);
    rc = rc ? rc : tug_etcd_new(&s->writer_etcd, o->etcd, err);
    if (rc) {
        tug_store_close(s->history);
        store_free(s);
        return rc;
    }
    *out = &s->base;
    return 0;
}
