/* store_db.c - one connection to a store's file: its schema, its checksums, what is in it
 *
 * Damage is never passed on: every record and row carries a SipHash of its key and content, and
 * 'tally' has the number and the sum of hashes of each kind, so that a record cannot vanish either.
 * Layer: host.
 */
#include "host/store_db.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/store_file.h"

enum {
    APPLICATION_ID = 0x5475676c, /* "Tugl" */
    COPY_PAGES = 1024,           /* at a time: 4 MiB */
};

/* ---- errors ---- */

static bool is_no_room(int sys)
{
    return sys == ENOSPC || sys == EDQUOT || sys == EFBIG;
}

/* errno is as sqlite left it: sqlite3_system_errno() stays 0 when a COMMIT fails. */
int tug_store_db_fail(const char *path, sqlite3 *db, int rc, const char *doing, struct tug_err *err)
{
    int saved = errno;
    const char *said = db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    int sys = db != NULL ? sqlite3_system_errno(db) : 0,
        ext = db != NULL ? sqlite3_extended_errcode(db) : rc;
    bool full, io = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;
    long long free_bytes = tug_store_file_free_bytes(path);

    if (io && sys == 0)
        sys = saved;
    full = (rc & 0xff) == SQLITE_FULL || (io && is_no_room(sys)) ||
           (io && free_bytes >= 0 && free_bytes < 64 * 1024);

    if (full)
        return tug_fail(
            err, -ENOSPC,
            "%s %s: the disk is full%s%s%s (%lld bytes free there); make room and start the "
            "daemon again, nothing that was acknowledged is lost",
            doing, path, sys != 0 ? " (" : "", sys != 0 ? strerror(sys) : "", sys != 0 ? ")" : "",
            free_bytes);
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* our statements are right, so the schema is not what it was */
    case SQLITE_SCHEMA:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return tug_fail(
            err, -EILSEQ,
            "%s %s: it is damaged or not a database (%s); restore it from a backup (tug admin "
            "restore), or move it and %s-wal away to start with an empty state",
            doing, path, said, path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return tug_fail(err, -EBUSY,
                        "%s %s: another program has it open for writing (%s); end that program",
                        doing, path, said);
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return tug_fail(err, -EACCES, "%s %s: %s; give the daemon's user the right to write there",
                        doing, path, said);
    default:
        return tug_fail(
            err, -EIO,
            "%s %s: %s%s%s (sqlite %d, %lld bytes free there); look at the disk, then start the "
            "daemon again, nothing that was acknowledged is lost",
            doing, path, said, sys != 0 ? ": " : "", sys != 0 ? strerror(sys) : "", ext,
            free_bytes);
    }
}

bool tug_store_db_found_no_room(sqlite3 *db, int rc)
{
    int saved = errno, sys = sqlite3_system_errno(db);

    switch (rc) {
    case SQLITE_FULL: /* os_unix.c says it of writes alone */
        return true;
    case SQLITE_IOERR_WRITE:
    case SQLITE_IOERR_SHMSIZE:
        return is_no_room(sys != 0 ? sys : saved);
    default:
        return false;
    }
}

int tug_store_db_say_full(const char *path, struct tug_err *err)
{
    char *on = tug_store_file_mount(path);

    tug_fail(err, -ENOSPC,
             "%s cannot be written: the disk is full, file system %s has %lld bytes free; make room "
             "there (or raise the quota), and it goes on by itself",
             path, on, tug_store_file_free_bytes(path));
    free(on);
    return -ENOSPC;
}

/* ---- hashes ---- */

/* SipHash-2-4 under a fixed key: against damage, not against people who can write the file. The
 * hash of the key is half of the key under which the content is hashed, so nothing has to be copied
 * together. */
static uint64_t hash(uint64_t under, const void *p, size_t len)
{
    unsigned char key[crypto_shorthash_KEYBYTES] = "tugstore", out[crypto_shorthash_BYTES];
    uint64_t v;

    _Static_assert(sizeof key == 16 && sizeof out == 8,
                   "SipHash has a 16-byte key and an 8-byte result");
    memcpy(key + 8, &under, 8);
    crypto_shorthash(out, p != NULL ? p : key, p != NULL ? len : 0, key);
    memcpy(&v, out, 8);
    return v;
}

uint64_t tug_store_db_record_sum(const char *kind, const char *id, const void *data, size_t len)
{
    return hash(hash(hash(0, kind, strlen(kind)), id, strlen(id)), data, len);
}

uint64_t tug_store_db_row_sum(int64_t id, const struct tug_history_row *r)
{
    const char *str[] = {r->what, r->user, r->queue, r->account, r->name, r->state};
    uint64_t num[] = {(uint64_t) id, r->job, r->attempt, (uint64_t) r->at_ms, r->uid};
    uint64_t h = hash(0, num, sizeof num);

    for (size_t i = 0; i < sizeof str / sizeof str[0];
         i++) /* with the NUL, so that "" is not NULL */
        h = hash(h, str[i], str[i] != NULL ? strlen(str[i]) + 1 : 0);
    return hash(h + (r->view != NULL), r->view, r->view_len);
}

/* ---- the schema ---- */

/* Numbers and hashes are in the byte order of the machine: the file is not carried between
 * architectures. */
static int to_version_1(sqlite3 *db)
{
    return sqlite3_exec(db,
                        "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
                        "INSERT INTO meta (key, value) VALUES ('schema', 1), ('opened', 0);"
                        "CREATE TABLE record (kind TEXT NOT NULL, id TEXT NOT NULL, sum INTEGER "
                        "NOT NULL, data BLOB NOT NULL,"
                        "    PRIMARY KEY (kind, id)) WITHOUT ROWID;"
                        "CREATE TABLE tally (kind TEXT PRIMARY KEY, n INTEGER NOT NULL, sum "
                        "INTEGER NOT NULL) WITHOUT ROWID;"
                        "CREATE TABLE history (id INTEGER PRIMARY KEY, sum INTEGER NOT NULL, at_ms "
                        "INTEGER NOT NULL,"
                        "    job INTEGER NOT NULL, attempt INTEGER NOT NULL, what TEXT, uid "
                        "INTEGER NOT NULL, user TEXT, queue TEXT,"
                        "    account TEXT, name TEXT, state TEXT, view BLOB);"
                        "CREATE INDEX history_at ON history (at_ms);"
                        "CREATE INDEX history_job ON history (job);"
                        "CREATE INDEX history_uid ON history (uid, at_ms);"
                        "PRAGMA application_id = 1416980332;" /* APPLICATION_ID */
                        "PRAGMA user_version = 1;",
                        NULL, NULL, NULL);
}

/* Rows of the history are counted as records are: none can vanish. */
static int to_version_2(sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    int64_t n = 0;
    uint64_t sum = 0;
    int rc = sqlite3_prepare_v2(db, "SELECT sum FROM history", -1, &st, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        n++;
        sum += (uint64_t) sqlite3_column_int64(st, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(st);
    st = NULL;
    if (rc == SQLITE_DONE)
        rc = sqlite3_prepare_v2(db, "INSERT INTO tally (kind, n, sum) VALUES (?1, ?2, ?3)", -1, &st,
                                NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(st, 1, TUG_STORE_ROWS, -1, SQLITE_STATIC);
        sqlite3_bind_int64(st, 2, n);
        sqlite3_bind_int64(st, 3, (int64_t) sum);
        rc = sqlite3_step(st);
    }
    sqlite3_finalize(st);
    if (rc != SQLITE_DONE)
        return rc;
    return sqlite3_exec(db,
                        "UPDATE meta SET value = 2 WHERE key = 'schema'; PRAGMA user_version = 2;",
                        NULL, NULL, NULL);
}

/* migrations[v] makes a file of version v one of version v + 1; each ends with PRAGMA user_version.
 */
static int (*const migrations[])(sqlite3 *db) = {to_version_1, to_version_2};
enum { VERSION = sizeof migrations / sizeof migrations[0] };

int tug_store_db_version(void)
{
    return VERSION;
}

/* Runs on literals only; what varies is bound. */
int tug_store_db_number(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW)
            *out = sqlite3_column_int64(st, 0);
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
    }
    sqlite3_finalize(st);
    return rc;
}

/* A copy that can be started from, should the new version be given up. */
static int keep_old(const char *path, sqlite3 *db, int64_t from, struct tug_err *err)
{
    char *to = tug_xasprintf("%s.v%lld", path, (long long) from);
    int rc = tug_store_db_copy(path, db, to, err);

    free(to);
    return rc < 0
               ? tug_fail_ctx(err, rc,
                              "state file %s is of an older version (schema %lld), and no copy of "
                              "it can be kept, so it stays as it is",
                              path, (long long) from)
               : 0;
}

static int run_migrations(const char *path, sqlite3 *db, int64_t from, struct tug_err *err)
{
    int rc = sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL);

    for (int64_t v = from; rc == SQLITE_OK && v < VERSION; v++)
        rc = migrations[v](db);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;
    rc = tug_store_db_fail(path, db, rc, "cannot bring the state file to this version:", err);
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int tug_store_db_migrate(const char *path, sqlite3 *db, int64_t from, struct tug_err *err)
{
    int rc = keep_old(path, db, from, err);

    if (rc == 0) /* the commit must be on the disk before the daemon relies on it */
        rc = sqlite3_exec(db, "PRAGMA synchronous = FULL", NULL, NULL, NULL) == SQLITE_OK
                 ? 0
                 : tug_store_db_fail(path, db, SQLITE_ERROR, "cannot prepare the state file", err);
    return rc < 0 ? rc : run_migrations(path, db, from, err);
}

int tug_store_db_open(const char *path, int flags, sqlite3 **db, struct tug_err *err)
{
    int rc = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK)
        return 0;
    rc = tug_store_db_fail(path, *db, rc, "cannot open the state file", err);
    sqlite3_close(*db);
    *db = NULL;
    return rc;
}

int tug_store_db_create(const char *path, struct tug_err *err)
{
    char *name = tug_xasprintf("%s.new", path), *wal = tug_xasprintf("%s.new-wal", path);
    struct tug_err local;
    sqlite3 *db = NULL;
    int rc, fd;

    unlink(name);
    unlink(wal);
    fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = tug_fail(err, -errno, "cannot create the state file %s: %s", name, strerror(errno));
        goto out;
    }
    close(fd);
    err = err != NULL ? err : &local;
    rc = tug_store_db_open(name, SQLITE_OPEN_READWRITE, &db, err);
    if (rc < 0)
        goto out;
    rc = sqlite3_exec(
        db, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", NULL,
        NULL, NULL);
    rc = rc == SQLITE_OK ? run_migrations(name, db, 0, err)
                         : tug_store_db_fail(name, db, rc, "cannot create the state file", err);
    if (rc < 0)
        goto out;
    rc = sqlite3_close(db); /* checkpoints and removes the log */
    db = NULL;
    if (rc != SQLITE_OK || access(wal, F_OK) == 0) {
        rc = tug_fail(err, -EIO,
                      "cannot write the new state file %s completely (%lld bytes free there)", name,
                      tug_store_file_free_bytes(path));
        goto out;
    }
    if (rename(name, path) < 0)
        rc = tug_fail(err, -errno, "cannot give the new state file its name %s: %s", path,
                      strerror(errno));
    else
        rc = tug_store_file_sync_dir(path, err);
out:
    sqlite3_close(db);
    free(name);
    free(wal);
    return rc;
}

/* ---- copies ---- */

/* A few pages at a time, each on the disk before the next: a file that comes all at once makes whoever syncs beside it wait for
 * all of it. What is read is of one moment, whoever writes to it: 'from' is in a transaction. Nobody else knows of the copy yet,
 * so that its locks, which a close here takes away, are nobody's. */
static int copy_slowly(sqlite3_backup *backup, const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC), sql;

    do {
        sql = sqlite3_backup_step(backup, COPY_PAGES);
        if (fd >= 0)
            fdatasync(fd);
    } while (sql == SQLITE_OK);
    if (fd >= 0)
        close(fd);
    return sql;
}

static int copy_pages(const char *path, sqlite3 *from, const char *name, struct tug_err *err)
{
    sqlite3_backup *backup;
    sqlite3 *to = NULL;
    int rc = tug_store_db_open(name, SQLITE_OPEN_READWRITE, &to, err), sql;
    bool begins = sqlite3_get_autocommit(from);

    if (rc < 0)
        return rc;
    sql = begins ? sqlite3_exec(from, "BEGIN", NULL, NULL, NULL) : SQLITE_OK;
    if (sql == SQLITE_OK)
        sql = sqlite3_exec(to, "PRAGMA synchronous = FULL; PRAGMA cache_size = -4096", NULL, NULL, NULL);
    backup = sql == SQLITE_OK ? sqlite3_backup_init(to, "main", from, "main") : NULL;
    sql = backup ? copy_slowly(backup, name) : sql != SQLITE_OK ? sql : sqlite3_errcode(to);
    sqlite3_backup_finish(backup);
    if (begins && !sqlite3_get_autocommit(from))
        sqlite3_exec(from, "COMMIT", NULL, NULL, NULL);
    if (sql == SQLITE_DONE) /* it came as a file with a log; a copy is one file */
        sql = sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    if (sql == SQLITE_CORRUPT || sql == SQLITE_NOTADB)
        rc = tug_store_db_fail(path, from, sql, "cannot copy", err);
    else if (sql != SQLITE_OK)
        rc = tug_store_db_fail(name, to, sql, "cannot write the copy", err);
    sqlite3_close(to);
    return rc;
}

static int sync_file(const char *name, struct tug_err *err)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC), rc = 0;

    if (fd < 0 || fsync(fd) < 0)
        rc = tug_fail(err, -errno, "cannot make %s durable: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

int tug_store_db_copy(const char *path, sqlite3 *db, const char *to, struct tug_err *err)
{
    char *name = tug_xasprintf("%s.new", to);
    struct tug_err local = {0, ""};
    int rc = 0, fd;

    err = err != NULL ? err : &local;
    unlink(name);
    fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        rc = tug_fail(err, -errno, "cannot create the copy %s: %s", name, strerror(errno));
        goto out;
    }
    close(fd);
    rc = copy_pages(path, db, name, err);
    rc = rc < 0 ? rc : sync_file(name, err);
    if (rc == 0 && rename(name, to) < 0)
        rc = tug_fail(err, -errno, "cannot give the copy its name %s: %s", to, strerror(errno));
    else if (rc == 0)
        rc = tug_store_file_sync_dir(to, err);
    if (rc < 0)
        unlink(name);
out:
    free(name);
    return rc;
}

/* ---- checking ---- */

int tug_store_db_check_pages(const char *path, sqlite3 *db, struct tug_err *err)
{
    sqlite3_stmt *st = NULL;
    const char *said = NULL;
    int rc, sql = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &st, NULL);

    if (sql == SQLITE_OK && (sql = sqlite3_step(st)) == SQLITE_ROW)
        said = (const char *) sqlite3_column_text(st, 0);
    if (sql == SQLITE_INTERRUPT)
        rc = 1;
    else if (said == NULL)
        rc = tug_store_db_fail(path, db, sql, "cannot check the state file", err);
    else if (strcmp(said, "ok") == 0)
        rc = 0;
    else
        rc = tug_fail(
            err, -EILSEQ,
            "state file %s is damaged (%s); restore it from a backup (tug admin restore), or move "
            "it away to start with an empty state",
            path, said);
    sqlite3_finalize(st);
    return rc;
}

int tug_store_db_identify(const char *path, sqlite3 *db, int64_t *version, struct tug_err *err)
{
    int64_t app = 0, objects = 0;
    int rc = tug_store_db_number(db, "SELECT count(*) FROM sqlite_schema",
                                 &objects); /* reads: a bad header shows here */

    *version = 0;
    if (rc == SQLITE_OK)
        rc = tug_store_db_number(db, "PRAGMA application_id", &app);
    if (rc == SQLITE_OK)
        rc = tug_store_db_number(db, "PRAGMA user_version", version);
    if (rc != SQLITE_OK)
        return tug_store_db_fail(path, db, rc, "cannot read the state file", err);
    if (app != APPLICATION_ID)
        return tug_fail(
            err, -EILSEQ,
            "%s is a database, but not a state file of Tugline (application id %#llx); give "
            "another path or move it away",
            path, (unsigned long long) app);
    if (*version > VERSION)
        return tug_fail(
            err, -EPROTO,
            "state file %s was written by a newer Tugline (schema %lld, this one knows up to "
            "%d); start that version, or restore the copy kept before the upgrade (%s.v%d)",
            path, (long long) *version, VERSION, path, VERSION);
    if (*version < 1)
        return tug_fail(err, -EILSEQ,
                        "state file %s is damaged: it says schema %lld; restore it from a backup "
                        "(tug admin restore)",
                        path, (long long) *version);
    return 0;
}

/* ---- tallies ---- */

struct tug_store_tally *tug_store_tally_of(struct tug_store_tallies *tallies, const char *kind)
{
    struct tug_store_tally t = {NULL, 0, 0, false};

    for (size_t i = 0; i < tallies->len; i++)
        if (strcmp(tallies->at[i].kind, kind) == 0)
            return &tallies->at[i];
    t.kind = tug_xstrdup(kind);
    tug_vec_push(tallies, t);
    return &tallies->at[tallies->len - 1];
}

void tug_store_tallies_clear(struct tug_store_tallies *t)
{
    for (size_t i = 0; i < t->len; i++)
        free(t->at[i].kind);
    tug_vec_clear(t);
}

int tug_store_db_tallies(const char *path, sqlite3 *db, struct tug_store_tallies *out,
                         struct tug_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT kind, n, sum FROM tally", -1, &st, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *kind = (const char *) sqlite3_column_text(st, 0);
        struct tug_store_tally t = {tug_xstrdup(kind != NULL ? kind : ""),
                                    sqlite3_column_int64(st, 1),
                                    (uint64_t) sqlite3_column_int64(st, 2), false};

        tug_vec_push(out, t);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? 0
                             : tug_store_db_fail(path, db, rc, "cannot read the state file", err);
}

/* 'have' must be what the last transaction said. */
static int compare(const char *path, const struct tug_store_tally *want, int64_t n, uint64_t sum,
                   struct tug_err *err)
{
    bool is_rows = strcmp(want->kind, TUG_STORE_ROWS) == 0;

    if (n == want->n && sum == want->sum)
        return 0;
    return tug_fail(
        err, -EILSEQ,
        "state file %s is damaged: it has %lld %s%s, but %lld were written (or they are "
        "not the ones); restore it from a backup (tug admin restore)",
        path, (long long) n, is_rows ? "rows of history" : "records of kind ",
        is_rows ? "" : want->kind, (long long) want->n);
}

/* ---- records ---- */

static int load_record(const char *path, sqlite3_stmt *st, struct tug_store_tallies *found,
                       tug_store_record_cb *cb, void *arg, struct tug_err *err)
{
    const char *kind = (const char *) sqlite3_column_text(st, 0),
               *id = (const char *) sqlite3_column_text(st, 1);
    uint64_t sum = (uint64_t) sqlite3_column_int64(st, 2);
    const void *data = sqlite3_column_blob(st, 3);
    size_t len = (size_t) sqlite3_column_bytes(st, 3);
    struct tug_store_tally *t;

    if (kind == NULL || id == NULL || tug_store_db_record_sum(kind, id, data, len) != sum)
        return tug_fail(
            err, -EILSEQ,
            "state file %s: record %s/%s is damaged (%zu bytes, wrong checksum); restore the "
            "file from a backup (tug admin restore)",
            path, kind != NULL ? kind : "?", id != NULL ? id : "?", len);
    t = tug_store_tally_of(found, kind);
    t->n++;
    t->sum += sum;
    return cb(arg, kind, id, data != NULL ? data : "", len);
}

static int compare_all(const char *path, const char *kind, struct tug_store_tallies *tallies,
                       struct tug_store_tallies *found, struct tug_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < found->len; i++)
        tug_store_tally_of(tallies, found->at[i].kind); /* what nobody counted must not pass */
    for (size_t i = 0; rc == 0 && i < tallies->len; i++) {
        const struct tug_store_tally *want = &tallies->at[i], *have;

        if (strcmp(want->kind, TUG_STORE_ROWS) == 0 ||
            (kind != NULL && strcmp(kind, want->kind) != 0))
            continue;
        have = tug_store_tally_of(found, want->kind);
        rc = compare(path, want, have->n, have->sum, err);
    }
    return rc;
}

int tug_store_db_load(const char *path, sqlite3 *db, const char *kind,
                      struct tug_store_tallies *tallies, tug_store_record_cb *cb, void *arg,
                      struct tug_err *err)
{
    struct tug_store_tallies found = {NULL, 0, 0};
    sqlite3_stmt *st = NULL;
    int sql, rc = 0;

    if (kind == NULL)
        sql = sqlite3_prepare_v2(db, "SELECT kind, id, sum, data FROM record ORDER BY kind, id", -1,
                                 &st, NULL);
    else
        sql = sqlite3_prepare_v2(
            db, "SELECT kind, id, sum, data FROM record WHERE kind = ?1 ORDER BY kind, id", -1, &st,
            NULL);
    if (sql == SQLITE_OK && kind != NULL)
        sql = sqlite3_bind_text(st, 1, kind, -1, SQLITE_STATIC);
    while (sql == SQLITE_OK && rc == 0) {
        sql = sqlite3_step(st);
        if (sql != SQLITE_ROW)
            break;
        rc = load_record(path, st, &found, cb, arg, err);
        sql = SQLITE_OK;
    }
    if (sql != SQLITE_OK && sql != SQLITE_DONE)
        rc = tug_store_db_fail(path, db, sql, "cannot read the state file", err);
    if (rc == 0)
        rc = compare_all(path, kind, tallies, &found, err);
    sqlite3_finalize(st);
    tug_store_tallies_clear(&found);
    return rc;
}

/* ?1 kind, ?2 id, ?3 sum, ?4 data. Sums wrap around, which sqlite's integers do not: ?5 and ?6 are
 * the new tally. */
static const char *const put_sql[] = {
    "INSERT INTO record (kind, id, sum, data) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (kind, id) DO UPDATE SET sum = excluded.sum, data = excluded.data",
    "INSERT INTO tally (kind, n, sum) VALUES (?1, ?5, ?6)"
    " ON CONFLICT (kind) DO UPDATE SET n = excluded.n, sum = excluded.sum",
};

static int find_sum(sqlite3 *db, const char *kind, const char *id, bool *there, uint64_t *sum)
{
    sqlite3_stmt *st = NULL;
    int rc =
        sqlite3_prepare_v2(db, "SELECT sum FROM record WHERE kind = ?1 AND id = ?2", -1, &st, NULL);

    if (rc == SQLITE_OK) {
        sqlite3_bind_text(st, 1, kind, -1, SQLITE_STATIC);
        sqlite3_bind_text(st, 2, id, -1, SQLITE_STATIC);
        rc = sqlite3_step(st);
        *there = rc == SQLITE_ROW;
        *sum = *there ? (uint64_t) sqlite3_column_int64(st, 0) : 0;
    }
    sqlite3_finalize(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int tug_store_db_put(const char *path, sqlite3 *db, const char *kind, const char *id,
                     const void *data, size_t len, struct tug_err *err)
{
    uint64_t sum = tug_store_db_record_sum(kind, id, data, len), old = 0;
    struct tug_store_tallies tallies = {NULL, 0, 0};
    struct tug_store_tally *t;
    bool there = false;
    int rc = tug_store_db_tallies(path, db, &tallies, err), sql;

    if (rc < 0)
        goto out;
    t = tug_store_tally_of(&tallies, kind);
    sql = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (sql == SQLITE_OK)
        sql = find_sum(db, kind, id, &there, &old);
    for (size_t i = 0; sql == SQLITE_OK && i < sizeof put_sql / sizeof put_sql[0]; i++) {
        sqlite3_stmt *st = NULL;

        sql = sqlite3_prepare_v2(db, put_sql[i], -1, &st, NULL);
        if (sql != SQLITE_OK)
            break;
        sqlite3_bind_text(st, 1, kind, -1, SQLITE_STATIC);
        sqlite3_bind_text(st, 2, id, -1, SQLITE_STATIC);
        sqlite3_bind_int64(st, 3, (int64_t) sum);
        sqlite3_bind_blob64(st, 4, data, len, SQLITE_STATIC);
        sqlite3_bind_int64(st, 5, t->n + !there);
        sqlite3_bind_int64(st, 6, (int64_t) (t->sum + sum - old));
        sql = sqlite3_step(st) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(db);
        sqlite3_finalize(st);
    }
    if (sql == SQLITE_OK)
        sql = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (sql != SQLITE_OK) {
        rc = tug_store_db_fail(path, db, sql, "cannot write", err);
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
out:
    tug_store_tallies_clear(&tallies);
    return rc;
}

/* ---- history ---- */

int tug_store_db_row(const char *path, sqlite3_stmt *st, int64_t *id, struct tug_history_row *out,
                     struct tug_err *err)
{
    *id = sqlite3_column_int64(st, 0);
    *out = (struct tug_history_row){
        .at_ms = sqlite3_column_int64(st, 2),
        .job = (uint64_t) sqlite3_column_int64(st, 3),
        .attempt = (uint32_t) sqlite3_column_int64(st, 4),
        .what = (const char *) sqlite3_column_text(st, 5),
        .uid = (uint32_t) sqlite3_column_int64(st, 6),
        .user = (const char *) sqlite3_column_text(st, 7),
        .queue = (const char *) sqlite3_column_text(st, 8),
        .account = (const char *) sqlite3_column_text(st, 9),
        .name = (const char *) sqlite3_column_text(st, 10),
        .state = (const char *) sqlite3_column_text(st, 11),
    };
    if (sqlite3_column_type(st, 12) != SQLITE_NULL) {
        const void *view = sqlite3_column_blob(st, 12); /* NULL for an empty one */

        out->view = view != NULL ? view : "";
        out->view_len = (size_t) sqlite3_column_bytes(st, 12);
    }
    if (tug_store_db_row_sum(*id, out) != (uint64_t) sqlite3_column_int64(st, 1))
        return tug_fail(
            err, -EILSEQ,
            "state file %s: history row %lld is damaged (wrong checksum); restore the file "
            "from a backup (tug admin restore)",
            path, (long long) *id);
    return 0;
}

int tug_store_db_rows(const char *path, sqlite3 *db, struct tug_store_tallies *tallies,
                      tug_store_row_cb *cb, void *arg, struct tug_err *err)
{
    struct tug_store_tally have = {NULL, 0, 0, false};
    struct tug_history_row row;
    sqlite3_stmt *st = NULL;
    int rc = 0, sql = sqlite3_prepare_v2(
                    db, "SELECT " TUG_STORE_ROW_COLUMNS " FROM history ORDER BY id", -1, &st, NULL);
    int64_t id;

    while (sql == SQLITE_OK && rc == 0) {
        sql = sqlite3_step(st);
        if (sql != SQLITE_ROW)
            break;
        sql = SQLITE_OK;
        rc = tug_store_db_row(path, st, &id, &row, err);
        have.n++;
        have.sum += (uint64_t) sqlite3_column_int64(st, 1);
        if (rc == 0 && cb != NULL)
            rc = cb(arg, id, &row);
    }
    if (sql != SQLITE_OK && sql != SQLITE_DONE)
        rc = tug_store_db_fail(path, db, sql, "cannot read the history in", err);
    sqlite3_finalize(st);
    return rc != 0 || tallies == NULL
               ? rc
               : compare(path, tug_store_tally_of(tallies, TUG_STORE_ROWS), have.n, have.sum, err);
}
