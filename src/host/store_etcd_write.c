/* store_etcd_write.c - the thread that makes batches durable in etcd, and cleans the log
 *
 * Layer: host.
 */
#include "host/store_etcd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/vec.h"
#include "host/store_keys.h"
#include "host/store_log.h"

enum {
    /* etcd takes requests of 1.5 MiB unless told otherwise. */
    PART_BYTES = 1 << 20,
    MERGE_BYTES = 1 << 20,
    ROOM_MS = 500,
    /* More bytes in the log than twice what holds, before it is cleaned. */
    SLACK_BYTES = 16 << 20,
};

/* ---- one part */

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
    int rc = tug_store_etcd_look(s, s->writer_etcd, &now, err);
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
    tug_store_etcd_nap(s, ROOM_MS);
    return !tug_store_etcd_is_stopped(s);
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
    tug_etcd_if_leased(&t, leader, s->lease); /* revisions of etcd 3.4 may go back after a crash (etcd issue 17780) */
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

/* ---- one entry */

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
    tug_store_etcd_tell_room(t->s); /* that comes first */
    tug_store_etcd_txn_end(t);
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
        tug_store_etcd_copy_history(s, rows, on_copied, t);
        return;
    }
    tug_batch_free(rows);
    tug_store_etcd_give_up(s, rc == -EILSEQ ? TUG_STORE_BROKEN : TUG_STORE_LOST, rc, err.msg);
    t->rc = rc;
    t->why = tug_xstrdup(err.msg);
    pthread_mutex_lock(&s->lock);
    *s->failed_tail = t;
    s->failed_tail = &t->next;
    pthread_mutex_unlock(&s->lock);
    tug_wake_up(s->wake);
}

void *tug_store_etcd_writer(void *arg)
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
