/* state.c - a state that is only read
 *
 * A file without a log that no daemon holds is opened as one that nobody changes, so that not even
 * a lock file appears beside a copy. Else sqlite reads the log too, and makes its index if it is
 * not there. Layer: programs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/version.h"
#include "host/coreconf.h"
#include "host/store_file.h"

const char *state_default(const struct admin *a)
{
    if (a->state_dir)
        return a->state_dir;
    return a->has_config ? a->cfg.cluster.state_dir : TUG_STATEDIR;
}

/* "file:/path?immutable=1", with what has a meaning in there escaped. */
static char *uri_of(const char *path)
{
    struct tug_buf b = {0};

    tug_buf_adds(&b, "file:");
    for (const char *c = path; *c; c++)
        if (*c == '?' || *c == '#' || *c == '%')
            tug_buf_addf(&b, "%%%02x", (unsigned char) *c);
        else
            tug_buf_addc(&b, *c);
    tug_buf_adds(&b, "?immutable=1");
    return tug_buf_take(&b);
}

static int has_log(const char *path)
{
    char *wal = tug_xasprintf("%s-wal", path);
    struct stat st;
    int has = stat(wal, &st) == 0 && st.st_size > 0;

    free(wal);
    return has;
}

static int open_file(struct state *s, struct tug_err *err)
{
    int is_locked = tug_store_file_is_locked(s->path), rc = 0;
    char *uri;

    if (is_locked || has_log(s->path)) {
        if (!is_locked)
            rc = tug_store_file_check_wal(s->path, err);
        return rc < 0 ? rc : tug_store_db_open(s->path, SQLITE_OPEN_READONLY, &s->db, err);
    }
    uri = uri_of(s->path);
    rc = tug_store_db_open(uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, &s->db, err);
    free(uri);
    return rc;
}

int state_open(struct state *s, const char *where, struct tug_err *err)
{
    struct stat st;
    int rc;

    *s = (struct state){0};
    if (stat(where, &st) < 0)
        return tug_fail(err, -errno, "%s: %s; name a backup, or a state directory", where,
                        strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        s->path = tug_xasprintf("%s/state.db", where);
        rc = tug_store_file_check(s->path, err);
    } else { /* a copy may be anybody's */
        s->path = tug_xstrdup(where);
        rc = S_ISREG(st.st_mode) && st.st_size > 0
                 ? 0
                 : tug_fail(err, -EILSEQ, "%s is %s; name a backup, or a state directory", where,
                            S_ISREG(st.st_mode) ? "empty" : "no file");
    }
    rc = rc < 0 ? rc : open_file(s, err);
    if (rc == 0) { /* one moment: until the end of this transaction nothing changes for us */
        sqlite3_busy_timeout(s->db, 5000);
        sqlite3_exec(s->db, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; BEGIN", NULL,
                     NULL, NULL);
        rc = tug_store_db_identify(s->path, s->db, &s->version, err);
    }
    rc = rc < 0 ? rc : tug_store_db_tallies(s->path, s->db, &s->tallies, err);
    if (rc < 0)
        state_close(s);
    return rc;
}

int state_open_default(struct state *s, const struct admin *a, struct tug_err *err)
{
    if (!a->state_dir && a->has_config && a->cfg.cluster.store == TUG_STORE_IN_ETCD)
        return state_gather(s, &a->cfg, state_default(a), err);
    return state_open(s, state_default(a), err);
}

void state_remove(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".new", ".new-wal"};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *name = tug_xasprintf("%s%s", path, suffixes[i]);
        unlink(name);
        free(name);
    }
}

void state_close(struct state *s)
{
    sqlite3_close(s->db);
    tug_store_tallies_clear(&s->tallies);
    if (s->own_dir) {
        state_remove(s->path);
        rmdir(s->own_dir);
    }
    free(s->own_dir);
    free(s->path);
    *s = (struct state){0};
}

static int count_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    (void) kind;
    (void) id;
    (void) data;
    (void) len;
    ++*(int64_t *) arg;
    return 0;
}

static int count_row(void *arg, int64_t id, const struct tug_history_row *row)
{
    (void) id;
    (void) row;
    ++*(int64_t *) arg;
    return 0;
}

int state_check(struct state *s, struct tug_err *err)
{
    int rc = tug_store_db_check_pages(s->path, s->db, err);

    s->records = s->rows = 0;
    rc = rc < 0
             ? rc
             : tug_store_db_load(s->path, s->db, NULL, &s->tallies, count_record, &s->records, err);
    return rc < 0 ? rc
                  : tug_store_db_rows(s->path, s->db, s->version < 2 ? NULL : &s->tallies,
                                      count_row, &s->rows, err);
}

/* ---- what the cluster knows of itself */

static int keep_bytes(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    (void) kind;
    (void) id;
    tug_buf_add(arg, data, len);
    return 0;
}

/* The one record of that kind, packed. */
static int read_meta(const char *path, sqlite3 *db, struct tug_store_tallies *tallies, struct tug_buf *out, struct tug_err *err)
{
    int rc = tug_store_db_load(path, db, "meta", tallies, keep_bytes, out, err);

    if (rc == 0 && out->len == 0)
        rc = tug_fail(err, -EILSEQ, "state file %s holds no cluster (no record meta/cluster)", path);
    return rc;
}

int state_lineage(struct state *s, struct tug_lineage *out, struct tug_err *err)
{
    struct tug_buf meta = {0};
    int rc = read_meta(s->path, s->db, &s->tallies, &meta, err);

    *out = (struct tug_lineage){0};
    rc = rc < 0 ? rc : tug_lineage_read(meta.data, meta.len, out, err);
    tug_buf_clear(&meta);
    return rc;
}

int state_mark(const char *path, const char *why, const struct tug_lineage *replaced, struct tug_err *err)
{
    struct tug_store_tallies tallies = {NULL, 0, 0};
    struct tug_buf meta = {0}, marked = {0};
    sqlite3 *db = NULL;
    int rc = tug_store_db_open(path, SQLITE_OPEN_READWRITE, &db, err);

    rc = rc < 0 ? rc : tug_store_db_tallies(path, db, &tallies, err);
    rc = rc < 0 ? rc : read_meta(path, db, &tallies, &meta, err);
    rc = rc < 0 ? rc : tug_lineage_mark(&marked, meta.data, meta.len, why, replaced, err);
    rc = rc < 0 ? rc : tug_store_db_put(path, db, "meta", "cluster", marked.data, marked.len, err);
    tug_buf_clear(&meta);
    tug_buf_clear(&marked);
    tug_store_tallies_clear(&tallies);
    if (sqlite3_close(db) != SQLITE_OK && rc == 0)
        rc = tug_fail(err, -EIO, "cannot write %s completely", path);
    return rc;
}
