/* store_sqlite.c - the durable copy of what the daemon holds in memory, in one sqlite3 file
 *
 * Threads of our own: the writer takes every batch that is waiting, makes them one transaction and
 * hands them back to the loop; the reader (started by the first query) has its own connection, so
 * that no commit waits for a query; a patrol checks the pages of a big file once, from the first commit on. The log is
 * checkpointed by the writer when nothing waits, and never as part of a commit.
 *
 * Always true: a batch is on exactly one of 'todo', the writer's hands and 'done'; 'rc' != 0 means
 * that a transaction failed, and then no later one is begun. A transaction that found no room did
 * not fail when somebody waits for that: nothing of it is on the disk, it goes back to the front of
 * 'todo'. What a file is made of and how it is checked: store_db.c.
 * Layer: host.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"
#include "host/loop.h"
#include "host/store.h"
#include "host/store_db.h"
#include "host/store_file.h"
#include "host/store_impl.h"
#include "host/thread.h"

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
    /* Up to this size every page is checked at open (~1 ms a MiB), above it by the patrol, which
     * looks every so many operations whether it should stop. */
    CHECK_MAX_BYTES = 32 << 20,
    PATROL_OPS = 100000,
    HISTORY_LIMIT = 1000,
    /* Somebody may be making a backup while we start. */
    READER_MS = 5000,
};

enum {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_SUM,
    ST_PUT,
    ST_DEL,
    ST_ROW,
    ST_TALLY,
    ST_OPENED,
    N_STATEMENTS
};

static const char *const statement_sql[N_STATEMENTS] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_SUM] = "SELECT sum FROM record WHERE kind = ?1 AND id = ?2",
    [ST_PUT] = "INSERT INTO record (kind, id, sum, data) VALUES (?1, ?2, ?3, ?4)"
               " ON CONFLICT (kind, id) DO UPDATE SET sum = excluded.sum, data = excluded.data",
    [ST_DEL] = "DELETE FROM record WHERE kind = ?1 AND id = ?2",
    [ST_ROW] = "INSERT INTO history (id, sum, at_ms, job, attempt, what, uid, user, queue, "
               "account, name, state, view)"
               " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    [ST_TALLY] = "INSERT INTO tally (kind, n, sum) VALUES (?1, ?2, ?3)"
                 " ON CONFLICT (kind) DO UPDATE SET n = excluded.n, sum = excluded.sum",
    [ST_OPENED] = "UPDATE meta SET value = value + 1 WHERE key = 'opened'",
};

enum what { COMMIT, QUERY };

/* Something handed over, until its callback has run. */
struct request {
    struct request *next;
    enum what what;
    struct tug_batch *batch; /* COMMIT: what to write; QUERY: the rows found */
    bool sync;               /* COMMIT: and all before it, though the store is relaxed */
    tug_store_done_cb *done;
    tug_store_history_cb *row;
    void *arg;
    int rc;
    char *why;
    /* QUERY: the filter; lists as JSON arrays, NULL for all */
    char *what_is, *uids, *ids, *states;
    int64_t since_ms, until_ms, uid;
    int64_t limit;
};

struct queue {
    struct request *head, **tail;
};

struct sqlite_store {
    struct tug_store base; /* first: see of() */
    char *path;
    int lock_fd;
    struct tug_wake *wake;

    pthread_mutex_t db_lock; /* held while the writer's connection is in use */
    sqlite3 *db;
    sqlite3_stmt *st[N_STATEMENTS];
    struct tug_store_tallies tallies;
    int64_t next_row;
    int wal_pages; /* the writer's own; others read stats.wal_pages */
    bool no_room;  /* the writer's own: its last try to commit or to checkpoint found none */
    tug_store_room_cb *on_room; /* NULL: nobody waits for room */
    void *room_arg;

    bool needs_patrol;
    pthread_t writer, reader, patrol;
    bool has_reader, has_patrol;
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t to_write, to_read;
    struct queue todo, queries, done;
    bool stop;
    int rc; /* of the transaction that failed, and its sentence */
    char *why;
    char *full;    /* what waits has no room, and why; NULL: it has */
    bool room_news; /* 'full' is not what the loop was told */
    struct tug_store_stats stats;
};

static struct sqlite_store *of(struct tug_store *base)
{
    return (struct sqlite_store *) base;
}

/* ---- queues ---- */

static void queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void queue_add(struct queue *q, struct request *r)
{
    r->next = NULL;
    *q->tail = r;
    q->tail = &r->next;
}

static struct request *queue_pop(struct queue *q)
{
    struct request *r = q->head;

    if (r == NULL)
        return NULL;
    q->head = r->next;
    if (q->head == NULL)
        q->tail = &q->head;
    r->next = NULL;
    return r;
}

static void request_free(struct request *r)
{
    tug_batch_free(r->batch);
    free(r->why);
    free(r->what_is);
    free(r->uids);
    free(r->ids);
    free(r->states);
    free(r);
}

/* ---- opening ---- */

/* Is it ours, of which version, and are its pages whole? */
static int check_content(struct sqlite_store *s, struct tug_err *err)
{
    int64_t version;
    struct stat st;
    int rc = tug_store_db_identify(s->path, s->db, &version, err);

    if (rc < 0)
        return rc;
    if (stat(s->path, &st) == 0 && st.st_size > CHECK_MAX_BYTES)
        s->needs_patrol = true;
    else
        rc = tug_store_db_check_pages(s->path, s->db, err);
    if (rc < 0 || version == tug_store_db_version())
        return rc;
    return tug_store_db_migrate(s->path, s->db, version, err);
}

static int load_tallies(struct sqlite_store *s, struct tug_err *err)
{
    int sql, rc = tug_store_db_tallies(s->path, s->db, &s->tallies, err);

    if (rc < 0)
        return rc;
    sql = tug_store_db_number(s->db, "SELECT coalesce(max(id), 0) + 1 FROM history", &s->next_row);
    return sql == SQLITE_OK
               ? 0
               : tug_store_db_fail(s->path, s->db, sql, "cannot read the state file", err);
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_store *s = arg;

    (void) db;
    (void) name;
    s->wal_pages = pages;
    return SQLITE_OK;
}

/* Run a statement that gives no rows (or whose first one is enough). Keeps errno for
 * tug_store_db_fail(). */
static int step(sqlite3_stmt *st)
{
    int rc, reset, saved;

    errno = 0;
    rc = sqlite3_step(st);
    saved = errno;
    reset = sqlite3_reset(st);
    errno = saved;
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? reset : rc;
}

static int prepare(struct sqlite_store *s, bool relaxed, struct tug_err *err)
{
    int64_t ignored;
    int rc = SQLITE_OK;

    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, READER_MS);
    /* A file that was put here by hand may be without a log. */
    rc = sqlite3_exec(s->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return tug_store_db_fail(s->path, s->db, rc, "cannot prepare the state file", err);
    if (relaxed)
        rc = sqlite3_exec(s->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
    else
        rc = sqlite3_exec(s->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(
            s->db,
            "PRAGMA cache_size = -8192; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;"
            " PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 33554432",
            NULL, NULL, NULL);
    sqlite3_wal_hook(s->db, on_wal, s); /* also turns automatic checkpoints off */
    for (int i = 0; rc == SQLITE_OK && i < N_STATEMENTS; i++)
        rc = sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->st[i],
                                NULL);
    /* Begin with an empty log: a torn transaction that a crash left behind must not be found again
     * behind new ones. And write something: a disk that takes nothing should be known before
     * anybody is promised anything. */
    if (rc == SQLITE_OK)
        rc = tug_store_db_number(s->db, "PRAGMA wal_checkpoint(TRUNCATE)", &ignored);
    if (rc == SQLITE_OK)
        rc = step(s->st[ST_OPENED]);
    sqlite3_busy_timeout(s->db, 0);
    return rc == SQLITE_OK
               ? 0
               : tug_store_db_fail(s->path, s->db, rc, "cannot prepare the state file", err);
}

static void *writer_main(void *arg);
static void *reader_main(void *arg);
static void *patrol_main(void *arg);
static void on_done(void *arg);
static void store_free(struct sqlite_store *s);
static const struct tug_store_ops ops;

static struct sqlite_store *store_new(const char *path)
{
    struct sqlite_store *s = tug_new(struct sqlite_store);
    pthread_condattr_t attr;

    s->path = tug_xstrdup(path);
    s->lock_fd = -1;
    queue_init(&s->todo);
    queue_init(&s->queries);
    queue_init(&s->done);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->db_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->to_write, &attr);
    pthread_cond_init(&s->to_read, &attr);
    pthread_condattr_destroy(&attr);
    return s;
}

int tug_store_open(struct tug_store **out, struct event_base *loop, const struct tug_store_opts *o,
                   struct tug_err *err)
{
    struct tug_err local = {0, ""};
    struct sqlite_store *s;
    int rc;

    err = err != NULL ? err : &local;
    s = store_new(o->path);
    rc = tug_store_file_check_dir(o->path, err);
    if (rc == 0)
        rc = tug_store_file_lock(o->path, &s->lock_fd, err);
    if (rc == 0) {
        rc = tug_store_file_check(o->path, err);
        if (rc == -ENOENT && o->create)
            rc = tug_store_db_create(o->path, err);
    }
    if (rc == 0 && !o->relaxed) /* relaxed: the log may have holes after a power failure, and nobody
                                   was promised more */
        rc = tug_store_file_check_wal(o->path, err);
    if (rc == 0)
        rc = tug_store_db_open(o->path, SQLITE_OPEN_READWRITE, &s->db, err);
    if (rc == 0)
        rc = check_content(s, err);
    if (rc == 0)
        rc = prepare(s, o->relaxed, err);
    if (rc == 0)
        rc = load_tallies(s, err);
    if (rc == 0)
        rc = tug_wake_new(&s->wake, loop, on_done, s, err);
    if (rc == 0) {
        rc = tug_thread_start(&s->writer, writer_main, s);
        if (rc < 0)
            tug_fail(err, rc, "cannot start the thread that writes %s: %s", o->path, strerror(-rc));
    }
    if (rc < 0) {
        store_free(s);
        return rc;
    }
    s->base.ops = &ops;
    *out = &s->base;
    return 0;
}

static void store_free(struct sqlite_store *s)
{
    for (int i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(s->st[i]);
    if (s->rc != 0) /* the disk is in doubt: leave the log as it is, the next start reads it */
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(s->db);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    tug_wake_free(s->wake);
    tug_store_tallies_clear(&s->tallies);
    pthread_cond_destroy(&s->to_write);
    pthread_cond_destroy(&s->to_read);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->db_lock);
    free(s->why);
    free(s->full);
    free(s->path);
    free(s);
}

static int sqlite_load(struct tug_store *base, const char *kind, tug_store_record_cb *cb, void *arg,
                       struct tug_err *err)
{
    struct sqlite_store *s = of(base);
    int rc;

    pthread_mutex_lock(&s->db_lock);
    rc = tug_store_db_load(s->path, s->db, kind, &s->tallies, cb, arg, err);
    pthread_mutex_unlock(&s->db_lock);
    return rc;
}

/* ---- writing (the writer's thread) ---- */

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
    rc = step(st);
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
    return step(st);
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
        rc = step(st);
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
    int rc = sqlite3_get_autocommit(s->db) ? SQLITE_OK : step(s->st[ST_ROLLBACK]);

    if (rc != SQLITE_OK)
        return tug_store_db_fail(s->path, s->db, rc, "cannot take back what had no room in", err);
    tug_store_tallies_clear(&s->tallies);
    return load_tallies(s, err);
}

/* One transaction of everything in 'list'. -ENOSPC: somebody waits for room, and nothing is changed.
 * After any other failure what is on the disk is unknown until the next start, and so are our
 * tallies and row numbers: nothing more may be written through this connection. */
static int write_all(struct sqlite_store *s, const struct request *list, struct tug_err *err)
{
    bool waits;
    int rc;

    pthread_mutex_lock(&s->db_lock);
    rc = step(s->st[ST_BEGIN]);
    for (const struct request *r = list; rc == SQLITE_OK && r != NULL; r = r->next)
        rc = write_batch(s, r->batch);
    if (rc == SQLITE_OK)
        rc = write_tallies(s);
    if (rc == SQLITE_OK)
        rc = step(s->st[ST_COMMIT]);
    waits = s->on_room != NULL && tug_store_db_found_no_room(s->db, rc);
    if (waits) {
        tug_store_db_say_full(s->path, err);
        rc = start_over(s, err) == 0 ? -ENOSPC : -EIO;
    } else if (rc != SQLITE_OK) {
        rc = tug_store_db_fail(s->path, s->db, rc, "cannot write", err);
        if (rc == -ENOSPC && s->on_room != NULL)
            rc = -EIO; /* a sync that failed, for whatever reason */
        if (!sqlite3_get_autocommit(s->db))
            step(s->st[ST_ROLLBACK]);
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
        queue_add(&s->done, list);
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

static void *writer_main(void *arg)
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
static void *patrol_main(void *arg)
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

static void commit(struct sqlite_store *s, struct tug_batch *b, bool sync, tug_store_done_cb *cb,
                   void *arg)
{
    struct request *r = tug_new(struct request);

    r->what = COMMIT;
    r->batch = b;
    r->sync = sync;
    r->done = cb;
    r->arg = arg;
    pthread_mutex_lock(&s->lock);
    queue_add(&s->todo, r);
    pthread_cond_signal(&s->to_write);
    if (s->needs_patrol) /* not while the state is read, which is waited for; without the thread at the next start */
        s->has_patrol = tug_thread_start(&s->patrol, patrol_main, s) == 0;
    s->needs_patrol = false;
    pthread_mutex_unlock(&s->lock);
}

static void sqlite_commit(struct tug_store *base, struct tug_batch *b, tug_store_done_cb *cb,
                          void *arg)
{
    commit(of(base), b, false, cb, arg);
}

void tug_store_sqlite_sync(struct tug_store *base, tug_store_done_cb *cb, void *arg)
{
    commit(of(base), tug_batch_new(), true, cb, arg);
}

static void sqlite_wait_for_room(struct tug_store *base, tug_store_room_cb *cb, void *arg)
{
    struct sqlite_store *s = of(base);

    pthread_mutex_lock(&s->lock);
    s->on_room = cb;
    s->room_arg = arg;
    pthread_mutex_unlock(&s->lock);
}

/* ---- callbacks (the loop's thread) ---- */

static void finish(struct request *r)
{
    struct tug_batch_item item;

    if (r->what == COMMIT) {
        if (r->done != NULL)
            r->done(r->arg, r->rc, r->why);
    } else {
        for (size_t pos = 0; r->rc == 0 && tug_batch_next(r->batch, &pos, &item);)
            r->row(r->arg, &item.row, 0, NULL);
        r->row(r->arg, NULL, r->rc, r->why);
    }
    request_free(r);
}

static void on_done(void *arg)
{
    struct sqlite_store *s = arg;
    struct request *r, *next;
    char *full = NULL;
    bool news;

    pthread_mutex_lock(&s->lock);
    r = s->done.head;
    queue_init(&s->done);
    news = s->room_news;
    s->room_news = false;
    if (news)
        full = tug_xstrdup(s->full);
    pthread_mutex_unlock(&s->lock);
    if (news && s->on_room != NULL)
        s->on_room(s->room_arg, full);
    free(full);
    for (; r != NULL; r = next) {
        next = r->next;
        finish(r);
    }
}

static void sqlite_close(struct tug_store *base)
{
    struct sqlite_store *s = of(base);
    struct request *r;

    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->to_write);
    pthread_cond_signal(&s->to_read);
    pthread_mutex_unlock(&s->lock);
    if (s->has_reader)
        pthread_join(s->reader, NULL);
    if (s->has_patrol)
        pthread_join(s->patrol, NULL);
    pthread_join(s->writer, NULL);
    while ((r = queue_pop(&s->queries)) != NULL) {
        r->rc = -ECANCELED;
        r->why = tug_xstrdup("the store is being closed");
        queue_add(&s->done, r);
    }
    on_done(s);
    store_free(s);
}

static void sqlite_stats(struct tug_store *base, struct tug_store_stats *out)
{
    struct sqlite_store *s = of(base);

    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
}

/* ---- history (the reader's thread) ---- */

#define HISTORY_COLUMNS "SELECT " TUG_STORE_ROW_COLUMNS " FROM history "
#define HISTORY_REST                                                                               \
    " AND at_ms >= ?1 AND at_ms <= ?2 AND (?3 IS NULL OR what = ?3)"                               \
    " AND (?4 IS NULL OR uid IN (SELECT value FROM json_each(?4)))"                                \
    " AND (?5 IS NULL OR job IN (SELECT value FROM json_each(?5)))"                                \
    " AND (?6 IS NULL OR state IN (SELECT value FROM json_each(?6)))"                              \
    " ORDER BY at_ms DESC, id DESC LIMIT ?7"

/* One text for each index that can lead. ?8 is the uid when there is only one: then the index gives
 * the order too. */
enum { BY_TIME, BY_JOB, BY_UID, N_WAYS };
static const char *const history_sql[N_WAYS] = {
    [BY_TIME] = HISTORY_COLUMNS "INDEXED BY history_at WHERE 1" HISTORY_REST,
    [BY_JOB] = HISTORY_COLUMNS
    "INDEXED BY history_job WHERE job IN (SELECT value FROM json_each(?5))" HISTORY_REST,
    [BY_UID] = HISTORY_COLUMNS "INDEXED BY history_uid WHERE uid = ?8" HISTORY_REST,
};

static int bind_query(sqlite3_stmt *st, const struct request *r)
{
    int rc = sqlite3_bind_int64(st, 1, r->since_ms);
    const char *lists[] = {r->what_is, r->uids, r->ids, r->states};

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 2, r->until_ms);
    for (int i = 0; rc == SQLITE_OK && i < 4; i++)
        rc = sqlite3_bind_text(st, 3 + i, lists[i], -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 7, r->limit);
    if (rc == SQLITE_OK && sqlite3_bind_parameter_count(st) == 8)
        rc = sqlite3_bind_int64(st, 8, r->uid);
    return rc;
}

static int read_history(struct sqlite_store *s, sqlite3 *db, struct request *r, struct tug_err *err)
{
    int way = r->ids != NULL ? BY_JOB : r->uid >= 0 ? BY_UID : BY_TIME, rc = 0;
    struct tug_history_row row;
    sqlite3_stmt *st = NULL;
    int64_t id;
    int sql = sqlite3_prepare_v2(db, history_sql[way], -1, &st, NULL);

    if (sql == SQLITE_OK)
        sql = bind_query(st, r);
    while (sql == SQLITE_OK && rc == 0) {
        sql = sqlite3_step(st);
        if (sql != SQLITE_ROW)
            break;
        sql = SQLITE_OK;
        rc = tug_store_db_row(s->path, st, &id, &row, err);
        if (rc == 0)
            tug_batch_history(r->batch, &row);
    }
    if (sql != SQLITE_OK && sql != SQLITE_DONE)
        rc = tug_store_db_fail(s->path, db, sql, "cannot read the history in", err);
    sqlite3_finalize(st);
    return rc;
}

static void *reader_main(void *arg)
{
    struct sqlite_store *s = arg;
    struct tug_err err = {0, ""}, open_err = {0, ""};
    struct request *r;
    sqlite3 *db = NULL;
    int open_rc = tug_store_db_open(s->path, SQLITE_OPEN_READONLY, &db, &open_err), rc;

    if (open_rc == 0)
        sqlite3_exec(
            db,
            "PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF",
            NULL, NULL, NULL);
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        r = queue_pop(&s->queries);
        if (r == NULL) {
            pthread_cond_wait(&s->to_read, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        rc = open_rc == 0 ? read_history(s, db, r, &err) : open_rc;
        pthread_mutex_lock(&s->lock);
        r->rc = rc;
        r->why = rc < 0 ? tug_xstrdup(open_rc == 0 ? err.msg : open_err.msg) : NULL;
        queue_add(&s->done, r);
        tug_wake_up(s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    sqlite3_close(db);
    return NULL;
}

static char *json_numbers(const uint64_t *at, size_t n)
{
    struct tug_buf b = {NULL, 0, 0};

    for (size_t i = 0; i < n; i++)
        tug_buf_addf(&b, "%c%llu", i == 0 ? '[' : ',', (unsigned long long) at[i]);
    tug_buf_addc(&b, ']');
    return n > 0 ? tug_buf_take(&b) : (tug_buf_clear(&b), NULL);
}

static char *json_strings(const char *const *at, size_t n)
{
    struct tug_buf b = {NULL, 0, 0};

    for (size_t i = 0; i < n; i++) {
        tug_buf_adds(&b, i == 0 ? "[\"" : ",\"");
        for (const unsigned char *c = (const unsigned char *) at[i]; *c != '\0'; c++) {
            if (*c < 0x20 || *c == '"' || *c == '\\')
                tug_buf_addf(&b, "\\u%04x", *c);
            else
                tug_buf_addc(&b, (char) *c);
        }
        tug_buf_addc(&b, '"');
    }
    tug_buf_addc(&b, ']');
    return n > 0 ? tug_buf_take(&b) : (tug_buf_clear(&b), NULL);
}

static struct request *query_new(const struct tug_history_filter *f)
{
    struct request *r = tug_new(struct request);
    struct tug_vec(uint64_t) uids = {0};

    for (size_t i = 0; i < f->n_uids; i++)
        tug_vec_push(&uids, f->uids[i]);
    r->what = QUERY;
    r->batch = tug_batch_new();
    r->what_is = tug_xstrdup(f->what);
    r->uids = json_numbers(uids.at, uids.len);
    r->ids = json_numbers(f->ids, f->n_ids);
    r->states = json_strings(f->states, f->n_states);
    r->since_ms = f->since_ms;
    r->until_ms = f->until_ms != 0 ? f->until_ms : INT64_MAX;
    r->uid = f->n_uids == 1 ? (int64_t) f->uids[0] : -1;
    r->limit = f->limit != 0 ? f->limit : HISTORY_LIMIT;
    tug_vec_clear(&uids);
    return r;
}

static void sqlite_history(struct tug_store *base, const struct tug_history_filter *f,
                           tug_store_history_cb *cb, void *arg)
{
    struct sqlite_store *s = of(base);
    struct request *r = query_new(f);
    int rc = 0;

    r->row = cb;
    r->arg = arg;
    pthread_mutex_lock(&s->lock);
    if (!s->has_reader) {
        rc = tug_thread_start(&s->reader, reader_main, s);
        s->has_reader = rc == 0;
    }
    if (rc == 0) {
        queue_add(&s->queries, r);
        pthread_cond_signal(&s->to_read);
    } else {
        r->rc = rc;
        r->why = tug_xasprintf("cannot start the thread that reads the history in %s: %s", s->path,
                               strerror(-rc));
        queue_add(&s->done, r);
        tug_wake_up(s->wake);
    }
    pthread_mutex_unlock(&s->lock);
}

static const struct tug_store_ops ops = {.close = sqlite_close,
                                         .load = sqlite_load,
                                         .commit = sqlite_commit,
                                         .wait_for_room = sqlite_wait_for_room,
                                         .history = sqlite_history,
                                         .stats = sqlite_stats};
