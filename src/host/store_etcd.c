/* store_etcd.c - the durable copy of what the daemon holds in memory, in etcd, shared by several controllers
 *
 * Which keys there are: store_keys.h. Every write is one transaction that holds only while the leader key is as we wrote it: what a controller
 * writes after its lease is gone is refused by etcd, however long it slept. A controller that executes itself anew keeps its
 * lease and writes the key again, so that what its former image has under way is refused as well. The number of a part is used once, so asking again
 * after an answer that never came does no harm.
 *
 * The history is not kept in etcd: each controller copies its rows into a file of its own as it reads the log, says now and then
 * how far that is on its disk for good, and the log is not cleaned further than all have.
 *
 * Without room (etcd's quota, or the disk of the history) the writer waits and tries again; a standby then reads no further
 * and does not stand for the lead. Layer: host.
 */
#include "host/store_etcd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "host/store_keys.h"
#include "host/thread.h"

#define LEASE_S 5

/* ---- what the loop is told */

void tug_store_etcd_say_role(struct etcd_store *s, enum tug_store_role role, const char *text)
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

void tug_store_etcd_give_up(struct etcd_store *s, enum tug_store_role role, int rc, const char *why)
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
        tug_store_etcd_say_role(s, role, why);
}

void tug_store_etcd_txn_end(struct txn *t)
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
void tug_store_etcd_tell_room(struct etcd_store *s)
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
    tug_store_etcd_tell_room(s);
}

static void on_wake(void *arg)
{
    struct etcd_store *s = arg;
    tug_store_etcd_tell_room(s);
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
        tug_store_etcd_txn_end(t);
    }
}

/* ---- what both threads need */

void tug_store_etcd_nap(struct etcd_store *s, int64_t ms)
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

bool tug_store_etcd_is_stopped(struct etcd_store *s)
{
    pthread_mutex_lock(&s->lock);
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

void tug_store_etcd_copy_history(struct etcd_store *s, struct tug_batch *rows, tug_store_done_cb *cb, void *arg)
{
    uint64_t last = tug_reclog_next(s->log) - 1;
    if (last > s->copied) {
        tug_store_copied_put(rows, last);
        s->copied = last;
        atomic_store(&s->copied_now, last);
    }
    tug_store_commit(s->history, rows, cb, arg);
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
    s->anew = o->anew || o->restoring;
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
    tug_store_etcd_txn_end(rest);
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
    int rc = start_thread(&s->keeper, tug_store_etcd_keeper, s, &err);
    s->has_keeper = !rc;
    if (!rc) {
        rc = start_thread(&s->writer, tug_store_etcd_writer, s, &err);
        s->has_writer = !rc;
    }
    if (rc)
        tug_store_etcd_give_up(s, TUG_STORE_UNFIT, rc, err.msg);
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
