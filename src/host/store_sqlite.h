/* store_sqlite.h - a store that is one sqlite3 file, as its parts see it; for src/host/store_sqlite*.c only
 *
 * store_sqlite.c        opening, loading, closing, and what the loop is told
 * store_sqlite_write.c  the writer's thread: commits, the log, want of room; and the patrol
 * store_sqlite_query.c  the reader's thread: rows of the history
 *
 * Always true: a batch is on exactly one of 'todo', the writer's hands and 'done'; 'rc' != 0 means
 * that a transaction failed, and then no later one is begun. Layer: host.
 */
#ifndef TUG_HOST_STORE_SQLITE_H
#define TUG_HOST_STORE_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/loop.h"
#include "host/store_db.h"
#include "host/store_impl.h"

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

static inline struct sqlite_store *of(struct tug_store *base)
{
    return (struct sqlite_store *) base;
}

void tug_sqlite_queue_init(struct queue *q);
void tug_sqlite_queue_add(struct queue *q, struct request *r);
struct request *tug_sqlite_queue_pop(struct queue *q); /* NULL: it is empty */
void tug_sqlite_request_free(struct request *r);
/* Run a statement that gives no rows (or whose first one is enough). Keeps errno for tug_store_db_fail(). */
int tug_sqlite_step(sqlite3_stmt *st);
/* What is there by now, for the writer to count on from. */
int tug_sqlite_tallies(struct sqlite_store *s, struct tug_err *err);

void *tug_sqlite_writer(void *store); /* of a thread each */
void *tug_sqlite_patrol(void *store);
void tug_sqlite_history(struct tug_store *base, const struct tug_history_filter *f, tug_store_history_cb *cb, void *arg);

#endif
