/* store_sqlite.c - the durable copy of what the daemon holds in memory, in one sqlite3 file
 *
 * Threads of our own: the writer takes every batch that is waiting, makes them one transaction and
 * hands them back to the loop; the reader (started by the first query) has its own connection, so
 * that no commit waits for a query; a patrol checks the pages of a big file once, from the first commit on. The log is
 * checkpointed by the writer when nothing waits, and never as part of a commit.
 *
 * What a file is made of and how it is checked: store_db.c.
 * Layer: host.
 */
#include "host/store_sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/store_file.h"
#include "host/thread.h"

enum {
    /* Up to this size every page is checked at open (~1 ms a MiB), above it by the patrol. */
    CHECK_MAX_BYTES = 32 << 20,
    /* Somebody may be making a backup while we start. */
    READER_MS = 5000,
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

/* ---- queues ---- */

void tug_sqlite_queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

void tug_sqlite_queue_add(struct queue *q, struct request *r)
{
    r->next = NULL;
    *q->tail = r;
    q->tail = &r->next;
}

struct request *tug_sqlite_queue_pop(struct queue *q)
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

void tug_sqlite_request_free(struct request *r)
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

int tug_sqlite_tallies(struct sqlite_store *s, struct tug_err *err)
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

int tug_sqlite_step(sqlite3_stmt *st)
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
        rc = tug_sqlite_step(s->st[ST_OPENED]);
    sqlite3_busy_timeout(s->db, 0);
    return rc == SQLITE_OK
               ? 0
               : tug_store_db_fail(s->path, s->db, rc, "cannot prepare the state file", err);
}

static void on_done(void *arg);
static void store_free(struct sqlite_store *s);
static const struct tug_store_ops ops;

static struct sqlite_store *store_new(const char *path)
{
    struct sqlite_store *s = tug_new(struct sqlite_store);
    pthread_condattr_t attr;

    s->path = tug_xstrdup(path);
    s->lock_fd = -1;
    tug_sqlite_queue_init(&s->todo);
    tug_sqlite_queue_init(&s->queries);
    tug_sqlite_queue_init(&s->done);
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
        rc = tug_sqlite_tallies(s, err);
    if (rc == 0)
        rc = tug_wake_new(&s->wake, loop, on_done, s, err);
    if (rc == 0) {
        rc = tug_thread_start(&s->writer, tug_sqlite_writer, s);
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

/* ---- committing ---- */

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
    tug_sqlite_queue_add(&s->todo, r);
    pthread_cond_signal(&s->to_write);
    if (s->needs_patrol) /* not while the state is read, which is waited for; without the thread at the next start */
        s->has_patrol = tug_thread_start(&s->patrol, tug_sqlite_patrol, s) == 0;
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
    tug_sqlite_request_free(r);
}

static void on_done(void *arg)
{
    struct sqlite_store *s = arg;
    struct request *r, *next;
    char *full = NULL;
    bool news;

    pthread_mutex_lock(&s->lock);
    r = s->done.head;
    tug_sqlite_queue_init(&s->done);
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
    while ((r = tug_sqlite_queue_pop(&s->queries)) != NULL) {
        r->rc = -ECANCELED;
        r->why = tug_xstrdup("the store is being closed");
        tug_sqlite_queue_add(&s->done, r);
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

static const struct tug_store_ops ops = {.close = sqlite_close,
                                         .load = sqlite_load,
                                         .commit = sqlite_commit,
                                         .wait_for_room = sqlite_wait_for_room,
                                         .history = tug_sqlite_history,
                                         .stats = sqlite_stats};
