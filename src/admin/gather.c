/* gather.c - a state that is in etcd, as a file
 *
 * The entries of the log are read as a standby reads them, by which no controller is disturbed; the history is this
 * controller's copy and what the log has beyond it. The file is like that of a state which was always in one, so that
 * the other commands need not know. It lies in a directory of its own and goes with it. Layer: programs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/batch.h"
#include "base/mem.h"
#include "host/coreconf.h"
#include "host/etcd.h"
#include "host/loop.h"
#include "host/store_file.h"
#include "host/store_keys.h"
#include "host/store_log.h"

#define BATCH_BYTES (1 << 20)

struct gather {
    struct tug_loop *loop;
    struct tug_store *to;
    struct tug_batch *batch;
    struct tug_reclog *log;
    uint64_t copied; /* rows of entries up to this one are in the file */
    int waiting, rc;
    struct tug_err *err;
};

/* ---- into the file */

static void on_done(void *arg, int rc, const char *why)
{
    struct gather *g = arg;
    if (rc)
        g->rc = tug_fail(g->err, rc, "%s", why);
    g->waiting = 0;
    tug_loop_stop(g->loop);
}

static int flush(struct gather *g)
{
    g->waiting = 1;
    tug_store_commit(g->to, g->batch, on_done, g);
    g->batch = tug_batch_new();
    while (g->waiting)
        tug_loop_run(g->loop);
    return g->rc;
}

static int put_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct gather *g = arg;
    tug_batch_put(g->batch, kind, id, data, len);
    return tug_batch_bytes(g->batch) >= BATCH_BYTES ? flush(g) : 0;
}

static int put_row(void *arg, int64_t id, const struct tug_history_row *row)
{
    struct gather *g = arg;
    (void) id;
    tug_batch_history(g->batch, row);
    return tug_batch_bytes(g->batch) >= BATCH_BYTES ? flush(g) : 0;
}

/* ---- from etcd */

/* Of entries that are not in this controller's copy. */
static void on_rows(void *arg, struct tug_batch *rows)
{
    struct gather *g = arg;
    struct tug_batch_item item;
    for (size_t pos = 0; tug_batch_next(rows, &pos, &item);)
        if (item.op == TUG_BATCH_HISTORY)
            put_row(g, 0, &item.row);
    g->copied = tug_reclog_next(g->log) - 1;
    tug_batch_free(rows);
}

/* Half a state is none. */
static int on_restoring(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct tug_store_restoring r;
    int rc = tug_store_restoring_read(kv->value, kv->len, &r, err);
    (void) arg;
    return rc || !r.emptied ? rc : tug_store_restoring_refuse(&r, err);
}

static int check_whole(struct tug_etcd *e, const char *prefix, struct tug_err *err)
{
    char *key = tug_store_key_restoring(prefix);
    int rc = tug_etcd_range(e, key, NULL, 1, on_restoring, NULL, err);
    free(key);
    return rc;
}

static int read_log(struct gather *g, const struct tug_coreconf_store *from)
{
    struct tug_etcd *e = NULL;
    int rc = tug_etcd_new(&e, &from->etcd, g->err);
    struct tug_store_log at = {e, from->prefix, g->log, &g->copied, on_rows, g};
    rc = rc ? rc : tug_store_log_read(&at, g->err);
    rc = rc ? rc : g->rc;
    rc = rc ? rc : check_whole(e, from->prefix, g->err); /* behind it: what was read was whole then */
    if (!rc && !tug_reclog_records(g->log))
        rc = tug_fail(g->err, -ENOENT, "there is no state at %s in etcd", from->prefix);
    tug_etcd_free(e);
    return rc;
}

/* ---- from this controller's copy of the history */

static int on_copied(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct gather *g = arg;
    (void) kind, (void) id;
    g->copied = tug_store_copied(data, len);
    return 0;
}

static int read_history(struct gather *g, const struct tug_coreconf_store *from)
{
    struct state copy;
    int rc = access(from->path, F_OK) == 0
                 ? state_open(&copy, from->path, g->err)
                 : tug_fail(g->err, -ENOENT,
                            "%s, this controller's copy of the history, is not there; do it where a controller runs",
                            from->path);
    if (rc)
        return rc;
    rc = tug_store_db_load(copy.path, copy.db, TUG_STORE_COPIED, &copy.tallies, on_copied, g, g->err);
    rc = rc ? rc : tug_store_db_rows(copy.path, copy.db, &copy.tallies, put_row, g, g->err);
    state_close(&copy);
    return rc ? rc : flush(g);
}

/* ---- all of it */

static void gather_clear(struct gather *g)
{
    tug_store_close(g->to);
    tug_batch_free(g->batch);
    tug_reclog_free(g->log);
    tug_loop_free(g->loop);
}

static int gather_into(const char *file, const struct tug_coreconf_store *from, struct tug_err *behind, struct tug_err *err)
{
    struct tug_store_opts o = {.path = file, .create = 1, .relaxed = 1};
    struct gather g = {.batch = tug_batch_new(), .log = tug_reclog_new(), .err = err};
    int rc = tug_loop_new(&g.loop, err);
    rc = rc ? rc : tug_store_open(&g.to, tug_loop_base(g.loop), &o, err);
    rc = rc ? rc : read_history(&g, from); /* first: what is copied meanwhile is in the log still */
    uint64_t copied = g.copied;
    rc = rc ? rc : read_log(&g, from);
    if (!rc)
        tug_store_log_reaches(from->prefix, tug_reclog_next(g.log) - 1, copied, behind);
    rc = rc ? rc : tug_reclog_walk(g.log, NULL, put_record, &g);
    rc = rc ? rc : flush(&g);
    gather_clear(&g);
    return rc;
}

int state_history_to(struct state *s, const char *file, struct tug_err *err)
{
    char *part = tug_xasprintf("%s.part", file);
    struct tug_store_opts o = {.path = part, .create = 1};
    struct gather g = {.batch = tug_batch_new(), .log = tug_reclog_new(), .err = err};
    int rc = tug_loop_new(&g.loop, err);
    state_remove(part); /* of one that was interrupted */
    rc = rc ? rc : tug_store_open(&g.to, tug_loop_base(g.loop), &o, err);
    rc = rc ? rc : tug_store_db_rows(s->path, s->db, s->version < 2 ? NULL : &s->tallies, put_row, &g, err);
    rc = rc ? rc : flush(&g);
    gather_clear(&g);
    char *wal = tug_xasprintf("%s-wal", part);
    if (!rc && access(wal, F_OK) == 0) /* closing moves it into the file */
        rc = tug_fail(err, -EIO, "cannot write %s completely", part);
    free(wal);
    if (!rc && rename(part, file) < 0)
        rc = tug_fail(err, -errno, "cannot give the history its name %s: %s", file, strerror(errno));
    state_remove(part);
    free(part);
    return rc ? rc : tug_store_file_sync_dir(file, err);
}

int state_gather(struct state *s, const struct tug_config *cfg, const char *state_dir, struct tug_err *err)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = tug_xasprintf("%s/tug-state-XXXXXX", tmp && *tmp ? tmp : "/tmp"), *file;
    struct tug_coreconf_store from;
    int rc;

    *s = (struct state){0};
    if (!mkdtemp(dir)) {
        rc = tug_fail(err, -errno, "cannot make a directory for the copy, %s: %s", dir, strerror(errno));
        free(dir);
        return rc;
    }
    file = tug_xasprintf("%s/state.db", dir);
    tug_coreconf_store(cfg, state_dir, &from);
    struct tug_err behind = {0};
    rc = gather_into(file, &from, &behind, err);
    tug_coreconf_store_clear(&from);
    rc = rc ? rc : state_open(s, file, err);
    s->own_dir = dir;
    s->behind = behind;
    if (rc) {
        free(s->path);
        s->path = tug_xstrdup(file);
        state_close(s);
    }
    free(file);
    return rc;
}
