/* store_sqlite_query.c - rows of the history in a sqlite3 file, read on a thread of their own
 *
 * Layer: host.
 */
#include "host/store_sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"
#include "host/thread.h"

#define HISTORY_LIMIT 1000

/* ---- the reader's thread ---- */

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
        r = tug_sqlite_queue_pop(&s->queries);
        if (r == NULL) {
            pthread_cond_wait(&s->to_read, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        rc = open_rc == 0 ? read_history(s, db, r, &err) : open_rc;
        pthread_mutex_lock(&s->lock);
        r->rc = rc;
        r->why = rc < 0 ? tug_xstrdup(open_rc == 0 ? err.msg : open_err.msg) : NULL;
        tug_sqlite_queue_add(&s->done, r);
        tug_wake_up(s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    sqlite3_close(db);
    return NULL;
}

/* ---- the loop's thread ---- */

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

void tug_sqlite_history(struct tug_store *base, const struct tug_history_filter *f,
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
        tug_sqlite_queue_add(&s->queries, r);
        pthread_cond_signal(&s->to_read);
    } else {
        r->rc = rc;
        r->why = tug_xasprintf("cannot start the thread that reads the history in %s: %s", s->path,
                               strerror(-rc));
        tug_sqlite_queue_add(&s->done, r);
        tug_wake_up(s->wake);
    }
    pthread_mutex_unlock(&s->lock);
}
