/* move.c - the state from sqlite to etcd, or back
 *
 * To where cluster.store says, from the other. Nobody may work on either: the file's lock and the lead keep controllers
 * away. All of it is durable there before the old one is put aside. A half that an interrupted move has left is found, and
 * what to delete is said.
 * Layer: programs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/batch.h"
#include "base/mem.h"
#include "base/vec.h"
#include "host/coreconf.h"
#include "host/loop.h"
#include "host/store_keys.h"

#define BATCH_BYTES (1 << 20)
#define LEAD_MS     30000

struct move {
    struct tug_loop *loop;
    struct tug_timer *patience;
    struct tug_store *from, *to;
    struct tug_batch *batch;
    enum tug_store_role role;
    char *text;
    uint64_t records, rows;
    int standing; /* for the lead */
    int waiting, rc;
    struct tug_err *err;
};

/* ---- one at a time: everything here is waited for */

static void on_done(void *arg, int rc, const char *why)
{
    struct move *m = arg;
    if (rc && !m->rc)
        m->rc = tug_fail(m->err, rc, "%s", why);
    if (--m->waiting == 0)
        tug_loop_stop(m->loop);
}

static int flush(struct move *m)
{
    m->waiting = 1;
    tug_store_commit(m->to, m->batch, on_done, m);
    m->batch = tug_batch_new();
    tug_loop_run(m->loop);
    return m->rc;
}

static int on_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct move *m = arg;
    m->records++;
    tug_batch_put(m->batch, kind, id, data, len);
    return tug_batch_bytes(m->batch) >= BATCH_BYTES ? flush(m) : 0;
}

/* Newest first is how they come; oldest first is how they must go. */
struct rows {
    struct move *m;
    struct tug_vec(struct tug_batch *) all;
};

static void on_row(void *arg, const struct tug_history_row *row, int rc, const char *why)
{
    struct rows *r = arg;
    if (row) {
        struct tug_batch *b = tug_batch_new();
        tug_batch_history(b, row);
        tug_vec_push(&r->all, b);
        return;
    }
    on_done(r->m, rc, why);
}

static int move_rows(struct move *m)
{
    struct rows r = {.m = m};
    struct tug_history_filter all = {.limit = UINT32_MAX};
    m->waiting = 1;
    tug_store_history(m->from, &all, on_row, &r);
    tug_loop_run(m->loop);
    for (size_t i = r.all.len; i-- > 0;) {
        struct tug_batch_item item;
        size_t pos = 0;
        if (!m->rc && tug_batch_next(r.all.at[i], &pos, &item)) {
            tug_batch_history(m->batch, &item.row);
            m->rows++;
            if (tug_batch_bytes(m->batch) >= BATCH_BYTES)
                flush(m);
        }
        tug_batch_free(r.all.at[i]);
    }
    tug_vec_clear(&r.all);
    return m->rc ? m->rc : flush(m);
}

/* ---- who may */

static void on_role(void *arg, enum tug_store_role role, const char *text)
{
    struct move *m = arg;
    free(m->text);
    m->text = tug_xstrdup(text);
    m->role = role;
    if (role != TUG_STORE_FOLLOWS && m->standing) /* else nobody runs the loop: it leads at once */
        tug_loop_stop(m->loop);
}

static void on_patience(void *arg)
{
    struct move *m = arg;
    tug_loop_stop(m->loop);
}

/* Controllers that run lead, or will: then we do not get it. */
static int lead(struct move *m, struct tug_store *s)
{
    m->role = TUG_STORE_FOLLOWS;
    tug_store_lead(s, on_role, m);
    if (m->role == TUG_STORE_FOLLOWS) {
        m->standing = 1;
        tug_timer_set(m->patience, tug_now_ms() + LEAD_MS);
        tug_loop_run(m->loop);
        tug_timer_stop(m->patience);
        m->standing = 0;
    }
    if (m->role == TUG_STORE_LEADS)
        return 0;
    return tug_fail(m->err, -EBUSY, "%s; stop all controllers first", m->text ? m->text : "somebody else leads");
}

static int count(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    (void) kind, (void) id, (void) data, (void) len;
    ++*(uint64_t *) arg;
    return 0;
}

static int check_empty(struct move *m, const struct tug_coreconf_store *to)
{
    uint64_t n = 0;
    int rc = tug_store_load(m->to, NULL, count, &n, m->err);
    if (!rc && n)
        rc = tug_fail(m->err, -EEXIST, "there is a state with %llu records in %s already; %s", (unsigned long long) n,
                      to->opts.etcd ? to->prefix : to->path,
                      to->opts.etcd ? "delete its keys (etcdctl del --prefix) or choose another etcd.prefix"
                                    : "move that file away first");
    return rc;
}

/* ---- the move */

static int carry(struct move *m)
{
    int rc;
    m->batch = tug_batch_new();
    rc = tug_store_load(m->from, NULL, on_record, m, m->err);
    rc = rc ? rc : flush(m);
    rc = rc ? rc : move_rows(m);
    tug_batch_free(m->batch);
    return rc;
}

/* Out of the way, so that nobody starts from it by mistake. */
static int put_aside(const struct tug_coreconf_store *from, char **aside, struct tug_err *err)
{
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    *aside = tug_xasprintf("%s.moved-%s", from->path, when);
    if (rename(from->path, *aside) != 0)
        return tug_fail(err, -errno, "all is moved, but %s could not be renamed: %s; do it by hand", from->path,
                        strerror(errno));
    return 0;
}

static int delete_log(const struct tug_coreconf_store *from, struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    struct tug_etcd *e = NULL;
    char *log = tug_store_key_log(from->prefix, 0), *end = tug_store_key_log_end(from->prefix);
    int held;
    int64_t revision;
    int rc = tug_etcd_new(&e, &from->etcd, err);
    tug_etcd_del(&t, log, end);
    rc = rc ? rc : tug_etcd_commit(e, &t, &held, &revision, err);
    tug_etcd_txn_clear(&t);
    tug_etcd_free(e);
    free(log);
    free(end);
    return rc;
}

static int open_one(struct move *m, struct tug_store **out, const struct tug_store_opts *o)
{
    return o->etcd ? tug_store_open_etcd(out, tug_loop_base(m->loop), o, m->err)
                   : tug_store_open(out, tug_loop_base(m->loop), o, m->err);
}

static int open_both(struct move *m, const struct tug_coreconf_store *from, const struct tug_coreconf_store *to)
{
    struct tug_store_opts source = from->opts;
    source.create = from->opts.etcd != NULL; /* its copy of the history may be made */
    int rc = tug_loop_new(&m->loop, m->err);
    rc = rc ? rc : tug_timer_new(&m->patience, tug_loop_base(m->loop), on_patience, m, m->err);
    rc = rc ? rc : open_one(m, &m->from, &source);
    rc = rc ? rc : open_one(m, &m->to, &to->opts);
    rc = rc ? rc : lead(m, m->from);
    rc = rc ? rc : lead(m, m->to);
    return rc;
}

int move_records(struct state *from, const struct tug_store_opts *to, struct tug_err *err)
{
    struct move m = {.err = err, .batch = tug_batch_new()};
    int rc = tug_loop_new(&m.loop, err);
    rc = rc ? rc : tug_timer_new(&m.patience, tug_loop_base(m.loop), on_patience, &m, err);
    rc = rc ? rc : open_one(&m, &m.to, to);
    rc = rc ? rc : lead(&m, m.to);
    rc = rc ? rc : tug_store_db_load(from->path, from->db, NULL, &from->tallies, on_record, &m, err);
    rc = rc ? rc : flush(&m);
    tug_store_close(m.to);
    tug_batch_free(m.batch);
    tug_timer_free(m.patience);
    tug_loop_free(m.loop);
    free(m.text);
    return rc;
}

static void say(const struct move *m, const struct admin *a, const struct tug_coreconf_store *to, const char *aside)
{
    const char *where = to->opts.etcd ? to->prefix : to->path;
    if (a->json)
        printf("{\"records\":%llu,\"rows\":%llu,\"to\":\"%s\"}\n", (unsigned long long) m->records,
               (unsigned long long) m->rows, where);
    else
        printf("%llu records and %llu rows of history are in %s now; %s%s\n", (unsigned long long) m->records,
               (unsigned long long) m->rows, where, aside ? "the old state is kept as " : "the old one is deleted",
               aside ? aside : "");
}

int do_move(struct admin *a, struct tug_err *err)
{
    struct tug_coreconf_store from, to;
    struct move m = {.err = err};
    char *aside = NULL;
    if (!a->has_config)
        return tug_fail(err, -ENOENT, "there is no configuration; say --config FILE");
    if (!a->cfg.etcd.endpoints.n)
        return tug_fail(err, -EINVAL, "the configuration does not say where etcd is (etcd.endpoints)");
    tug_coreconf_store(&a->cfg, state_default(a), &to);
    to.opts.anew = 1;
    a->cfg.cluster.store = !a->cfg.cluster.store;
    tug_coreconf_store(&a->cfg, state_default(a), &from);
    int rc = open_both(&m, &from, &to);
    rc = rc ? rc : check_empty(&m, &to);
    rc = rc ? rc : carry(&m);
    tug_store_close(m.to);
    tug_store_close(m.from);
    if (!rc)
        rc = from.opts.etcd ? delete_log(&from, err) : put_aside(&from, &aside, err);
    if (!rc)
        say(&m, a, &to, aside);
    tug_timer_free(m.patience);
    tug_loop_free(m.loop);
    tug_coreconf_store_clear(&from);
    tug_coreconf_store_clear(&to);
    free(m.text);
    free(aside);
    return rc;
}
