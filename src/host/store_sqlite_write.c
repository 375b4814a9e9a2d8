/* store_sqlite_write.c - the thread that makes batches durable in a sqlite3 file, and the one that looks whether it is whole
 *
 * A transaction that found no room did not fail when somebody waits for that: nothing of it is on the disk, it goes back to
 * the front of 'todo'. Layer: host.
 */
#include "host/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/store_file.h"

enum {
    /* Batches merged into one transaction stop here, so that acks don't wait long. */
    TXN_MAX_BYTES = 16 << 20,
    /* Nothing came for this long: a checkpoint disturbs nobody, and is worth it from so many pages.
     * Over FORCE_PAGES (32 MiB) the log may not grow, busy or not. */
    IDLE_MS = 200,
    IDLE_PAGES = 256,
    FORCE_PAGES = 8192,
    /* A disk that had no room is asked again after so long. */
    ROOM_MS = 250,
    /* The patrol looks every so many operations whether it should stop. */
    PATROL_OPS = 100000,
};

/* ---- one transaction ---- */

/* The hash of a record that is there, so that the tally can let it go. */
static int find_sum(struct sqlite_store *s, const struct tug_batch_item *item, bool *there,
                    uint64_t *sum)
{
    sqlite3_stmt *st = s->st[ST_SUM];
    int rc, reset;

    sqlite3_bind_text(st, 1, item->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, item->id, -1, SQLITE_STATIC);
    rc = sqlite3_step(st);
    *there = rc == SQLITE_ROW;
    *sum = *there ? (uint64_t) sqlite3_column_int64(st, 0) : 0;
    reset = sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? reset : rc;
}

static int write_record(struct sqlite_store *s, const struct tug_batch_item *item)
{
    struct tug_store_tally *t = tug_store_tally_of(&s->tallies, item->kind);
    sqlite3_stmt *st = s->st[item->op == TUG_BATCH_PUT ? ST_PUT : ST_DEL];
    uint64_t old, sum = 0;
    bool there;
    int rc = find_sum(s, item, &there, &old);

    if (rc != SQLITE_OK)
        return rc;
    sqlite3_bind_text(st, 1, item->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, item->id, -1, SQLITE_STATIC);
    if (item->op == TUG_BATCH_PUT) {
        sum = tug_store_db_record_sum(item->kind, item->id, item->data, item->len);
        sqlite3_bind_int64(st, 3, (int64_t) sum);
        sqlite3_bind_blob64(st, 4, item->data, item->len, SQLITE_STATIC);
    }
    rc = tug_sqlite_step(st);
    t->n += (item->op == TUG_BATCH_PUT) - (int) there;
    t->sum += sum - old;
    t->dirty = true;
    return rc;
}

static int write_row(struct sqlite_store *s, const struct tug_history_row *r)
{
    sqlite3_stmt *st = s->st[ST_ROW];
    const char *str[] = {r->user, r->queue, r->account, r->name, r->state};
    struct tug_store_tally *t = tug_store_tally_of(&s->tallies, TUG_STORE_ROWS);
    int64_t id = s->next_row++;
    uint64_t sum = tug_store_db_row_sum(id, r);

    t->n++;
    t->sum += sum;
    t->dirty = true;
    sqlite3_bind_int64(st, 1, id);
    sqlite3_bind_int64(st, 2, (int64_t) sum);
    sqlite3_bind_int64(st, 3, r->at_ms);
    sqlite3_bind_int64(st, 4, (int64_t) r->job);
    sqlite3_bind_int64(st, 5, r->attempt);
    sqlite3_bind_text(st, 6, r->what, -1, SQLITE_STATIC); /* NULL binds NULL */
    sqlite3_bind_int64(st, 7, r->uid);
    for (int i = 0; i < 5; i++)
        sqlite3_bind_text(st, 8 + i, str[i], -1, SQLITE_STATIC);
    if (r->view != NULL)
        sqlite3_bind_blob64(st, 13, r->view, r->view_len, SQLITE_STATIC);
    else
        sqlite3_bind_null(st, 13);
    return tug_sqlite_step(st);
}

static int write_batch(struct sqlite_store *s, const struct tug_batch *b)
{
    struct tug_batch_item item;
    int rc = SQLITE_OK;

    for (size_t pos = 0; rc == SQLITE_OK && tug_batch_next(b, &pos, &item);)
        rc = item.op == TUG_BATCH_HISTORY ? write_row(s, &item.row) : write_record(s, &item);
    return rc;
}

static int write_tallies(struct sqlite_store *s)
{
    sqlite3_stmt *st = s->st[ST_TALLY];
    int rc = SQLITE_OK;

    for (size_t i = 0; rc == SQLITE_OK && i < s->tallies.len; i++) {
        struct tug_store_tally *t = &s->tallies.at[i];

        if (!t->dirty)
            continue;
        sqlite3_bind_text(st, 1, t->kind, -1, SQLITE_STATIC);
        sqlite3_bind_int64(st, 2, t->n);
        sqlite3_bind_int64(st, 3, (int64_t) t->sum);
        rc = tug_sqlite_step(st);
        t->dirty = false;
    }
    return rc;
}

/* The log as it is now. A commit of a relaxed store does not. */
static int sync_log(struct sqlite_store *s, struct tug_err *err)
{
    char *wal = tug_xasprintf("%s-wal", s->path);
    int fd = open(wal, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc = 0;

    if (fd < 0 || fdatasync(fd) < 0)
        rc = tug_fail(err, -EIO, "cannot make %s durable: %s", wal, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(wal);
    return rc < 0 ? rc : tug_store_file_sync_dir(s->path, err);
}

/* After a transaction that found no room: all is as it was before it. */
static int start_over(struct sqlite_store *s, struct tug_err *err)
{
    int rc = sqlite3_get_autocommit(s->db) ? SQLITE_OK : tug_sqlite_step(s->st[ST_ROLLBACK]);

    if (rc != SQLITE_OK)
        return tug_store_db_fail(s->path, s->db, rc, "cannot take back what had no room in", err);
    tug_store_tallies_clear(&s->tallies);
    return tug_sqlite_tallies(s, err);
}

/* One transaction of everything in 'list'. -ENOSPC: somebody waits for room, and nothing is changed.
 * After any other failure what is on the disk is unknown until the next start, and so are our
 * tallies and row numbers: nothing more may be written through this connection. */
static int write_all(struct sqlite_store *s, const struct request *list, struct tug_err *err)
{
    bool waits;
    int rc;

    pthread_mutex_lock(&s->db_lock);
    rc = tug_sqlite_step(s->st[ST_BEGIN]);
    for (const struct request *r = list; rc == SQLITE_OK && r != NULL; r = r->next)
        rc = write_batch(s, r->batch);
    if (rc == SQLITE_OK)
        rc = write_tallies(s);
    if (rc == SQLITE_OK)
        rc = tug_sqlite_step(s->st[ST_COMMIT]);
    waits = s->on_room != NULL && tug_store_db_found_no_room(s->db, rc);
    if (waits) {
        tug_store_db_say_full(s->path, err);
        rc = start_over(s, err) == 0 ? -ENOSPC : -EIO;
    } else if (rc != SQLITE_OK) {
        rc = tug_store_db_fail(s->path, s->db, rc, "cannot write", err);
        if (rc == -ENOSPC && s->on_room != NULL)
            rc = -EIO; /* a sync that failed, for whatever reason */
        if (!sqlite3_get_autocommit(s->db))
            tug_sqlite_step(s->st[ST_ROLLBACK]);
    }
    for (const struct request *r = list; rc == 0 && r != NULL; r = r->next)
        if (r->sync) {
            rc = sync_log(s, err);
            break;
        }
    pthread_mutex_unlock(&s->db_lock);
    return rc;
}

static int checkpoint(struct sqlite_store *s, struct tug_err *err)
{
    int log = 0, moved = 0, rc;

    pthread_mutex_lock(&s->db_lock);
    rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &moved);
    if (rc == SQLITE_OK || rc == SQLITE_BUSY) {
        /* All moved: the next commit starts the log again. Otherwise a query still reads from it;
         * try later. */
        s->wal_pages = log - moved;
        rc = 0;
    } else if (s->on_room != NULL && tug_store_db_found_no_room(s->db, rc)) {
        rc = -ENOSPC; /* the log has it all, and can be moved another time */
    } else {
        rc = tug_store_db_fail(s->path, s->db, rc, "cannot move the log into", err);
    }
    pthread_mutex_unlock(&s->db_lock);
    return rc;
}

/* Called with the lock held. The first failure counts: what comes after it is only its consequence.
 */
static void set_failed(struct sqlite_store *s, int rc, const struct tug_err *err)
{
    if (s->rc != 0)
        return;
    s->rc = rc;
    s->why = tug_xstrdup(err->msg);
}

/* Take what is waiting, in order, as far as one transaction should go. Called with the lock held.
 */
static struct request *take_todo(struct sqlite_store *s, size_t *n)
{
    struct request *list = s->todo.head, *last = list;
    size_t bytes = tug_batch_bytes(list->batch);

    for (*n = 1; last->next != NULL; last = last->next, ++*n) {
        bytes += tug_batch_bytes(last->next->batch);
        if (bytes > TXN_MAX_BYTES)
            break;
    }
    s->todo.head = last->next;
    if (s->todo.head == NULL)
        s->todo.tail = &s->todo.head;
    last->next = NULL;
    return list;
}

/* The loop is told when that is news; 'why' NULL: there is room. Called with the lock held. */
static void set_full(struct sqlite_store *s, const char *why)
{
    if (why == NULL ? s->full == NULL : s->full != NULL && strcmp(s->full, why) == 0)
        return;
    free(s->full);
    s->full = tug_xstrdup(why);
    s->room_news = true;
    tug_wake_up(s->wake);
}

/* A list that take_todo() gave goes back, before what has come since. Called with the lock held. */
static void give_back(struct sqlite_store *s, struct request *list)
{
    struct request *last = list;

    while (last->next != NULL)
        last = last->next;
    last->next = s->todo.head;
    if (s->todo.head == NULL)
        s->todo.tail = &last->next;
    s->todo.head = list;
}

static void in_ms(struct timespec *at, long ms)
{
    clock_gettime(CLOCK_MONOTONIC, at);
    at->tv_nsec += ms % 1000 * 1000000L;
    at->tv_sec += ms / 1000 + at->tv_nsec / 1000000000;
    at->tv_nsec %= 1000000000;
}

/* Until it is time to try again, or the end. Called with the lock held. */
static void wait_for_room(struct sqlite_store *s)
{
    struct timespec until;

    in_ms(&until, ROOM_MS);
    while (!s->stop && s->rc == 0 &&
           pthread_cond_timedwait(&s->to_write, &s->lock, &until) != ETIMEDOUT)
        ;
}

/* False: it has no room, and all of it still waits. Called with the lock held. */
static bool write_todo(struct sqlite_store *s)
{
    struct tug_err err = {0, ""};
    struct request *list, *next;
    bool was_failed = s->rc != 0; /* by another commit, a checkpoint or the patrol */
    size_t n;
    int rc;

    list = take_todo(s, &n);
    if (was_failed) {
        rc = -EIO;
    } else {
        pthread_mutex_unlock(&s->lock);
        rc = write_all(s, list, &err);
        pthread_mutex_lock(&s->lock);
        if (rc == -ENOSPC && s->on_room != NULL && !s->stop) {
            give_back(s, list);
            set_full(s, err.msg);
            return false;
        }
        if (rc < 0)
            set_failed(s, rc, &err);
        else
            set_full(s, NULL);
    }
    if (rc == 0) {
        s->stats.batches += n;
        s->stats.transactions++;
        s->stats.wal_pages = (uint64_t) s->wal_pages;
    }
    for (; list != NULL; list = next) {
        next = list->next;
        list->rc = rc;
        if (rc < 0)
            list->why = was_failed ? tug_xasprintf("the store takes nothing more since: %s", s->why)
                                   : tug_xstrdup(s->why);
        tug_sqlite_queue_add(&s->done, list);
    }
    tug_wake_up(s->wake);
    return true;
}

/* True when something came (or the end), false when IDLE_MS passed without. Called with the lock
 * held. */
static bool wait_todo(struct sqlite_store *s)
{
    struct timespec until;

    in_ms(&until, s->no_room ? ROOM_MS : IDLE_MS);
    while (s->todo.head == NULL && !s->stop) {
        if (s->wal_pages < IDLE_PAGES || s->rc != 0)
            pthread_cond_wait(&s->to_write, &s->lock);
        else if (pthread_cond_timedwait(&s->to_write, &s->lock, &until) == ETIMEDOUT)
            return false;
    }
    return true;
}

/* Called with the lock held, which is let go of meanwhile. */
static void move_log(struct sqlite_store *s)
{
    struct tug_err err = {0, ""};
    int rc;

    pthread_mutex_unlock(&s->lock);
    rc = checkpoint(s, &err);
    pthread_mutex_lock(&s->lock);
    s->no_room = rc == -ENOSPC;
    s->stats.checkpoints++;
    s->stats.wal_pages = (uint64_t) s->wal_pages;
    if (rc < 0 && rc != -ENOSPC) /* the next commit tells the daemon */
        set_failed(s, rc, &err);
}

void *tug_sqlite_writer(void *arg)
{
    struct sqlite_store *s = arg;

    pthread_mutex_lock(&s->lock);
    for (;;) {
        bool came = wait_todo(s), was_full = s->full != NULL, waits = false;

        if (s->todo.head != NULL)
            waits = !write_todo(s);
        else if (s->stop)
            break;
        /* A log that is moved begins again at its front: that alone may make the room. And what a
         * transaction left behind that had none is not looked at then. */
        if (s->rc == 0 && (waits || was_full || !came || (s->wal_pages >= FORCE_PAGES && !s->no_room)))
            move_log(s);
        if (waits)
            wait_for_room(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static int should_stop(void *arg)
{
    struct sqlite_store *s = arg;
    int stop;

    pthread_mutex_lock(&s->lock);
    stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

/* A big file is checked while the daemon already works. When it is damaged, the next commit says
 * so. */
void *tug_sqlite_patrol(void *arg)
{
    struct sqlite_store *s = arg;
    struct tug_err err = {0, ""};
    sqlite3 *db = NULL;
    int rc = tug_store_db_open(s->path, SQLITE_OPEN_READONLY, &db, &err);

    if (rc == 0) {
        sqlite3_progress_handler(db, PATROL_OPS, should_stop, s);
        rc = tug_store_db_check_pages(s->path, db, &err);
    }
    sqlite3_close(db);
    if (rc < 0) {
        pthread_mutex_lock(&s->lock);
        set_failed(s, rc, &err);
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}
