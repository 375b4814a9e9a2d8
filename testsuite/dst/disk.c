/* disk.c - what survives
 *
 * Records by kind and id, as the store keeps them. A commit that was acknowledged is there for good; of those under way
 * when a process ends, some from the front are, and nobody was told which. Layer: tests.
 */
#include "dst.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

struct record {
    char *key;             /* kind, NUL, id */
    size_t kind_len;
    void *data;
    size_t len;
    UT_hash_handle hh;
};

struct dst_disk {
    struct record *records;
};

struct dst_disk *dst_disk_new(void)
{
    return tug_new(struct dst_disk);
}

static void drop(struct dst_disk *d, struct record *r)
{
    HASH_DEL(d->records, r);
    free(r->key);
    free(r->data);
    free(r);
}

void dst_disk_free(struct dst_disk *d)
{
    while (d && d->records)
        drop(d, d->records);
    free(d);
}

struct dst_disk *dst_disk_copy(const struct dst_disk *d)
{
    struct dst_disk *copy = dst_disk_new();

    for (const struct record *r = d->records; r; r = r->hh.next) {
        struct record *k = tug_new(struct record);
        k->key = tug_xstrdup(r->key);
        k->kind_len = r->kind_len;
        k->len = r->len;
        k->data = tug_xmalloc(r->len + 1);
        if (r->len)
            memcpy(k->data, r->data, r->len);
        HASH_ADD_KEYPTR(hh, copy->records, k->key, strlen(k->key), k);
    }
    return copy;
}

static struct record *find(const struct dst_disk *d, const char *kind, const char *id)
{
    char key[256];
    struct record *r;
    int n = snprintf(key, sizeof key, "%s/%s", kind, id);

    tug_assert(n > 0 && (size_t) n < sizeof key);
    HASH_FIND(hh, d->records, key, (size_t) n, r);
    return r;
}

const void *dst_disk_get(const struct dst_disk *d, const char *kind, const char *id, size_t *len)
{
    const struct record *r = find(d, kind, id);

    *len = r ? r->len : 0;
    return r ? r->data : NULL;
}

static void put(struct dst_disk *d, const struct tug_batch_item *it)
{
    struct record *r = find(d, it->kind, it->id);

    if (!r) {
        r = tug_new(struct record);
        r->key = tug_xasprintf("%s/%s", it->kind, it->id);
        r->kind_len = strlen(it->kind);
        HASH_ADD_KEYPTR(hh, d->records, r->key, strlen(r->key), r);
    }
    free(r->data);
    r->data = tug_xmalloc(it->len + 1);
    if (it->len)
        memcpy(r->data, it->data, it->len);
    r->len = it->len;
}

void dst_disk_apply(struct dst_disk *d, const struct tug_batch *b)
{
    struct tug_batch_item it;
    struct record *r;
    size_t pos = 0;

    while (tug_batch_next(b, &pos, &it)) {
        if (it.op == TUG_BATCH_PUT)
            put(d, &it);
        else if (it.op == TUG_BATCH_DEL && (r = find(d, it.kind, it.id)) != NULL)
            drop(d, r);
    }
}

void dst_disk_each(struct dst_disk *d, void (*f)(void *arg, const char *kind, const char *id, const void *data,
                                                 size_t len), void *arg)
{
    for (const struct record *r = d->records; r; r = r->hh.next) {
        char kind[64];

        tug_assert(r->kind_len < sizeof kind);
        memcpy(kind, r->key, r->kind_len);
        kind[r->kind_len] = 0;
        f(arg, kind, r->key + r->kind_len + 1, r->data, r->len);
    }
}

/* ---- commits */

static int64_t takes_ms(struct dst *w, const struct dst_store *s)
{
    if (w->now_ms < s->slow_until_ms)
        return dst_between(&w->of_env, 50, 3000);
    return dst_chance(&w->of_env, 0.02) ? dst_between(&w->of_env, 10, 200) : dst_between(&w->of_env, 1, 6);
}

void dst_store_commit(struct dst *w, struct dst_store *s, struct tug_batch *b, uint64_t ticket, unsigned dir,
                      unsigned who, unsigned life)
{
    struct dst_pending p = {b, ticket};
    struct dst_event *e = dst_event_new(w, DST_COMMITTED, who);
    int64_t at_ms = w->now_ms + takes_ms(w, s);

    tug_vec_push(&s->pending, p);
    s->last_ms = e->at_ms = at_ms > s->last_ms ? at_ms : s->last_ms;
    e->life = life;
    e->dir = dir;
    e->arg = ticket;
    dst_push(w, e);
    w->n.commits++;
}

static void keep(struct dst *w, struct dst_store *s, unsigned dir, struct tug_batch *b)
{
    dst_disk_apply(s->disk, b);
    if (dir == DST_TO_CTL)
        dst_truth_durable(w, b);
}

static void try_again(struct dst *w, struct dst_store *s, const struct dst_event *e)
{
    struct dst_event *next = dst_event_new(w, DST_COMMITTED, e->who);

    s->last_ms = next->at_ms = w->now_ms + 1000;
    next->life = e->life;
    next->dir = e->dir;
    next->arg = e->arg;
    dst_push(w, next);
    w->n.store_waits++;
}

enum dst_taken dst_store_committed(struct dst *w, struct dst_store *s, const struct dst_event *e)
{
    struct dst_pending p = s->pending.at[0];

    tug_assert(s->pending.len && p.ticket <= e->arg);
    if (p.ticket < e->arg || (w->now_ms < s->full_until_ms && w->now_ms >= s->fails_until_ms)) { /* or one before it waits */
        try_again(w, s, e);
        return DST_NO_ROOM;
    }
    if (w->now_ms < s->full_until_ms || w->now_ms < s->fails_until_ms) {
        w->n.store_failed++;
        return DST_NOT_TAKEN;
    }
    tug_vec_remove(&s->pending, 0);
    keep(w, s, e->dir, p.batch);
    tug_batch_free(p.batch);
    return DST_TAKEN;
}

void dst_store_crash(struct dst *w, struct dst_store *s, unsigned dir)
{
    size_t n = s->pending.len ? tug_rand_below(&w->of_faults, s->pending.len + 1) : 0;

    if (w->now_ms < s->full_until_ms || w->now_ms < s->fails_until_ms)
        n = 0;
    for (size_t i = 0; i < s->pending.len; i++) {
        if (i < n) {
            keep(w, s, dir, s->pending.at[i].batch);
            w->n.unsynced_kept++;
        } else {
            w->n.unsynced_lost++;
        }
        tug_batch_free(s->pending.at[i].batch);
    }
    s->pending.len = 0;
    s->last_ms = w->now_ms;
}

void dst_store_clear(struct dst_store *s)
{
    for (size_t i = 0; i < s->pending.len; i++)
        tug_batch_free(s->pending.at[i].batch);
    tug_vec_clear(&s->pending);
    dst_disk_free(s->disk);
}
