/* store_feed.c - all records of a store, read on one thread and taken on another
 *
 * A ring of batches: those from 'taken' to 'filled' are the taker's, the others the reader's. What is in one is given back at once.
 * Layer: host.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "host/store.h"
#include "host/thread.h"
#include "proto/msg.h"

enum {
    BATCHES = 4,
    ITEMS = 128, /* of a batch: waking somebody up costs as much as reading a few */
    FULL_BYTES = 1 << 20,
};

struct batch {
    struct tug_arena mem;
    void *made[ITEMS];
    size_t n;
};

struct feed {
    struct tug_store *store;
    const struct tug_store_feed *to;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct batch ring[BATCHES];
    size_t filled, taken; /* batches, so far */
    bool over, stop;      /* no more come; no more are wanted */
    int rc;               /* the reader's */
    struct tug_err err;
};

/* ---- the reader */

/* False: nobody takes it any more. */
static bool hand_over(struct feed *f)
{
    bool go_on;

    pthread_mutex_lock(&f->lock);
    f->filled++;
    pthread_cond_signal(&f->moved);
    while (f->filled - f->taken == BATCHES && !f->stop)
        pthread_cond_wait(&f->moved, &f->lock);
    go_on = !f->stop;
    pthread_mutex_unlock(&f->lock);
    return go_on;
}

static int on_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct feed *f = arg;
    struct batch *b = &f->ring[f->filled % BATCHES];
    int rc = f->to->read(f->to->arg, &b->mem, kind, id, data, len, &b->made[b->n], &f->err);

    if (rc)
        return rc;
    b->n++;
    if (b->n < ITEMS && b->mem.used_bytes < FULL_BYTES)
        return 0;
    return hand_over(f) ? 0 : -ECANCELED;
}

static void *reader_main(void *arg)
{
    struct feed *f = arg;
    int rc = tug_store_load(f->store, NULL, on_record, f, &f->err);

    pthread_mutex_lock(&f->lock);
    if (!f->stop && f->ring[f->filled % BATCHES].n > 0)
        f->filled++;
    f->rc = rc;
    f->over = true;
    pthread_cond_signal(&f->moved);
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- the taker */

static int take(struct feed *f, struct batch *b, struct tug_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < b->n; i++)
        rc = f->to->take(f->to->arg, b->made[i], err);
    b->n = 0;
    tug_arena_reset(&b->mem);
    return rc;
}

static int take_all(struct feed *f, struct tug_err *err)
{
    int rc = 0;

    pthread_mutex_lock(&f->lock);
    while (rc == 0) {
        while (f->filled == f->taken && !f->over)
            pthread_cond_wait(&f->moved, &f->lock);
        if (f->filled == f->taken)
            break;
        pthread_mutex_unlock(&f->lock);
        rc = take(f, &f->ring[f->taken % BATCHES], err);
        pthread_mutex_lock(&f->lock);
        f->taken++;
        pthread_cond_signal(&f->moved);
    }
    f->stop = rc != 0;
    pthread_cond_signal(&f->moved);
    pthread_mutex_unlock(&f->lock);
    return rc;
}

int tug_store_feed(struct tug_store *s, const struct tug_store_feed *to, struct tug_err *err)
{
    struct feed f = {.store = s, .to = to};
    pthread_t reader;
    int rc;

    pthread_mutex_init(&f.lock, NULL);
    pthread_cond_init(&f.moved, NULL);
    rc = tug_thread_start(&reader, reader_main, &f);
    if (rc != 0) {
        tug_fail(err, rc, "cannot start a thread that reads the state: %s", strerror(-rc));
    } else {
        rc = take_all(&f, err);
        pthread_join(reader, NULL);
        if (rc == 0 && f.rc != 0)
            rc = tug_fail(err, f.rc, "%s", f.err.msg);
    }
    for (size_t i = 0; i < BATCHES; i++)
        tug_arena_clear(&f.ring[i].mem);
    pthread_cond_destroy(&f.moved);
    pthread_mutex_destroy(&f.lock);
    return rc;
}
