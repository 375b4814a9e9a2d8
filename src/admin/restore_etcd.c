/* restore_etcd.c - a backup to where controllers share their state
 *
 * The key PREFIX/restoring keeps every controller from leading, from before the first look at what is there until the restored
 * state is whole and was read back. What is there is kept as a file; then one transaction empties the log and writes into that key
 * which numbers it had given out; then the records are written. Before that transaction a failure takes the key away again and
 * nothing was changed; behind it the key stays, no controller starts, and the same command goes on.
 *
 * Every change of the key is bound to the revision that we wrote: of two such commands the later one goes on, the other stops.
 * The history is each controller's own: a copy that is here stays, one that is not is made from the backup. Layer: programs.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/survey.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/coreconf.h"
#include "host/loop.h"
#include "host/store_file.h"
#include "host/store_keys.h"

struct shared {
    const struct admin *a;
    struct tug_coreconf_store at;
    struct tug_etcd *etcd;
    char *leader, *restoring; /* keys */
    struct tug_store_restoring mark;
    int64_t revision; /* of the key 'restoring', as we wrote it; 0 = we did not */
    struct survey there;
};

/* ---- the key that keeps controllers away */

struct found {
    int64_t revision; /* 0 = no such key */
    char *text;
};

static int on_found(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct found *f = arg;

    (void) err;
    free(f->text);
    f->revision = kv->mod_revision;
    f->text = tug_xasprintf("%.*s", (int) kv->len, (const char *) kv->value);
    return 0;
}

static int find(struct shared *s, const char *key, struct found *out, struct tug_err *err)
{
    *out = (struct found){0};
    return tug_etcd_range(s->etcd, key, NULL, 1, on_found, out, err);
}

static int refuse_leader(const char *said, struct tug_err *err)
{
    json_t *o = json_loads(said, 0, NULL);
    const char *name = json_string_value(json_object_get(o, "name"));
    int rc = tug_fail(err, -EBUSY,
                      "%s leads: stop all controllers first (`tug admin controllers` shows them; the lead of one that was killed "
                      "ends some seconds later)",
                      name ? name : "a controller");

    json_decref(o);
    return rc;
}

static int check_leader(struct shared *s, struct tug_err *err)
{
    struct found f;
    int rc = find(s, s->leader, &f, err);

    if (!rc && f.revision)
        rc = refuse_leader(f.text, err);
    free(f.text);
    return rc;
}

/* The transaction writes the key, or takes it away (text NULL), and what else it has, if it is as we left it. Asked twice, because
 * an answer was lost, it does not hold: then what is there tells. */
static int change(struct shared *s, struct tug_etcd_txn *t, const char *text, struct tug_err *err)
{
    struct found f = {0};
    int64_t revision = 0;
    int held = 0, rc;

    tug_etcd_if_modified(t, s->restoring, s->revision);
    if (text) {
        tug_etcd_if_created(t, s->leader, 0);
        tug_etcd_put(t, s->restoring, text, strlen(text), 0);
    } else {
        tug_etcd_del(t, s->restoring, NULL);
    }
    rc = tug_etcd_commit(s->etcd, t, &held, &revision, err);
    if (!rc && !held) {
        rc = text ? check_leader(s, err) : 0;
        rc = rc ? rc : find(s, s->restoring, &f, err);
        if (!rc && (text ? !f.text || strcmp(f.text, text) != 0 : f.text != NULL))
            rc = tug_fail(err, -EBUSY, "another `tug admin restore` works on %s", s->at.prefix);
        revision = f.revision;
        free(f.text);
    }
    if (!rc)
        s->revision = text ? revision : 0;
    tug_etcd_txn_clear(t);
    return rc;
}

static int write_mark(struct shared *s, struct tug_etcd_txn *t, struct tug_err *err)
{
    char *text;
    int rc;

    s->mark.at_ms = tug_wall_ms();
    tug_str_copy(s->mark.by, sizeof s->mark.by, s->at.name);
    text = tug_store_restoring_put(&s->mark);
    rc = change(s, t, text, err);
    free(text);
    return rc;
}

/* Go on from one that was interrupted, or begin. */
static int keep_away(struct shared *s, struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    struct found f;
    int rc = check_leader(s, err);

    rc = rc ? rc : find(s, s->restoring, &f, err);
    if (rc)
        return rc;
    if (f.text && tug_store_restoring_read(f.text, strlen(f.text), &s->mark, err))
        rc = tug_fail(err, -EILSEQ, "etcd: %s is not to be read: delete all keys below %s/ and restore then", s->restoring, s->at.prefix);
    free(f.text);
    if (rc)
        return rc;
    s->revision = f.revision;
    rc = write_mark(s, &t, err);
    if (rc)
        s->revision = 0; /* not ours to take away */
    return rc;
}

static void let_in(struct shared *s)
{
    struct tug_etcd_txn t = {0};

    if (s->revision && !s->mark.emptied && change(s, &t, NULL, NULL))
        fprintf(stderr, "tug-admin: no controller leads as long as etcd has the key %s, and it could not be deleted\n", s->restoring);
}

/* ---- what is there */

static int may_replace(struct shared *s, const struct tug_lineage *backup, struct tug_err *err)
{
    const char *is = s->mark.replaced.cluster, *was = backup->cluster;

    if (!s->a->replace && (s->there.parts || s->mark.emptied))
        return tug_fail(err, -EEXIST, "%s in etcd holds a state%s; with --replace it is kept as a file", s->at.prefix,
                        s->there.is_damaged ? ", a damaged one" : s->mark.emptied ? ", half of one" : "");
    if (*is && *was && strcmp(is, was) != 0)
        return tug_fail(err, -EXDEV,
                        "%s is of another cluster (%s) than the state at %s in etcd (%s): set another etcd.prefix, or delete all keys "
                        "below that one",
                        s->a->file, was, s->at.prefix, is);
    return 0;
}

static int look(struct shared *s, const struct tug_lineage *backup, struct tug_err *err)
{
    int rc = survey_read(&s->there, s->etcd, s->at.prefix, err);

    if (!rc && !s->mark.emptied) /* else it was half of what we restore, and the key knows */
        s->mark.replaced = s->there.lineage;
    rc = rc ? rc : may_replace(s, backup, err);
    if (!rc && s->there.is_damaged && !s->there.has_lineage && !s->mark.emptied)
        fprintf(stderr,
                "tug-admin: %s, which is replaced, cannot be read: ids of its jobs may be given out again if this backup was put back "
                "before (%s)\n",
                s->at.prefix, s->there.damage.msg);
    return rc;
}

/* ---- what is kept of it */

static int keep_whole(struct shared *s, const char *file, struct tug_err *err)
{
    struct backup made = {0};
    struct state old;
    int rc = state_gather(&old, &s->a->cfg, state_default(s->a), err);

    rc = rc ? rc : backup_to(&old, file, &made, err);
    if (old.path)
        state_close(&old);
    return rc;
}

static int keep(struct shared *s, struct tug_err *err)
{
    char when[32], *file;
    time_t now = time(NULL);
    struct tm tm;
    int rc;

    if (s->mark.emptied || !s->there.parts)
        return 0;
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    file = s->there.is_damaged ? tug_xasprintf("%s/etcd.before-%s.json", state_default(s->a), when)
                               : tug_xasprintf("%s/state.db.before-%s", state_default(s->a), when);
    if (!tug_str_copy(s->mark.kept, sizeof s->mark.kept, file))
        rc = tug_fail(err, -ENAMETOOLONG, "%s: the name is too long", file);
    else
        rc = s->there.is_damaged ? survey_keep(file, s->etcd, s->at.prefix, err) : keep_whole(s, file, err);
    free(file);
    return rc;
}

static int make_history(struct shared *s, struct state *backup, struct tug_err *err)
{
    int rc = state_make_dir(state_default(s->a), err);

    rc = rc ? rc : tug_store_file_check_dir(s->at.path, err);
    if (!rc && tug_store_file_is_locked(s->at.path))
        rc = tug_fail(err, -EBUSY, "a controller runs here and holds %s: stop all controllers first", s->at.path);
    return rc || access(s->at.path, F_OK) == 0 ? rc : state_history_to(backup, s->at.path, err);
}

/* ---- what takes its place */

static int open_marked(struct shared *s, struct state *backup, const char *part, struct state *out, struct tug_err *err)
{
    struct tug_lineage from;
    char why[256];
    int rc = state_lineage(backup, &from, err);

    snprintf(why, sizeof why, "this state was put back from %.120s (epoch %" PRIu64 ")", backup->path, from.epoch);
    rc = rc ? rc : tug_store_db_copy(backup->path, backup->db, part, err);
    rc = rc ? rc : state_mark(part, why, &s->mark.replaced, err);
    rc = rc ? rc : state_open(out, part, err);
    return rc ? rc : state_check(out, err);
}

static int empty(struct shared *s, struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    char *log = tug_store_key_log(s->at.prefix, 0), *end = tug_store_key_log_end(s->at.prefix);
    int rc, was = s->mark.emptied;

    s->mark.emptied = 1;
    tug_etcd_del(&t, log, end);
    rc = write_mark(s, &t, err);
    if (rc == -EBUSY || rc == -ENOSPC) /* refused; else nobody knows whether it is */
        s->mark.emptied = was;
    free(log);
    free(end);
    return rc;
}

static int check_written(struct shared *s, const struct state *fresh, struct tug_err *err)
{
    struct survey is;
    int rc = survey_read(&is, s->etcd, s->at.prefix, err);

    if (!rc && is.is_damaged)
        rc = tug_fail(err, -EILSEQ, "%s", is.damage.msg);
    if (!rc && (int64_t) is.records != fresh->records)
        rc = tug_fail(err, -EILSEQ, "%zu records are in etcd, not %" PRId64, is.records, fresh->records);
    return rc;
}

static int write_all(struct shared *s, struct state *fresh, struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    int rc = empty(s, err);

    s->at.opts.restoring = s->revision;
    rc = rc ? rc : move_records(fresh, &s->at.opts, err);
    rc = rc ? rc : check_written(s, fresh, err);
    rc = rc ? rc : change(s, &t, NULL, err);
    if (rc && s->mark.emptied)
        rc = tug_fail_ctx(err, rc, "the state in etcd is not whole, and no controller starts before it is: run this again");
    return rc;
}

static int replace(struct shared *s, struct state *backup, struct tug_err *err)
{
    char *part = tug_xasprintf("%s/restoring.db", state_default(s->a));
    struct state fresh = {0};
    int rc = make_history(s, backup, err);

    rc = rc ? rc : keep(s, err);
    rc = rc ? rc : open_marked(s, backup, part, &fresh, err);
    rc = rc ? rc : write_all(s, &fresh, err);
    if (fresh.path)
        state_close(&fresh);
    state_remove(part);
    free(part);
    return rc;
}

int restore_to_etcd(const struct admin *a, struct state *backup, char **kept, struct tug_err *err)
{
    struct shared s = {.a = a};
    struct tug_lineage from;
    int rc = state_lineage(backup, &from, err);

    tug_coreconf_store(&a->cfg, state_default(a), &s.at);
    s.leader = tug_store_key_leader(s.at.prefix);
    s.restoring = tug_store_key_restoring(s.at.prefix);
    rc = rc ? rc : tug_etcd_new(&s.etcd, &s.at.etcd, err);
    rc = rc ? rc : keep_away(&s, err);
    rc = rc ? rc : look(&s, &from, err);
    rc = rc ? rc : replace(&s, backup, err);
    if (rc)
        let_in(&s);
    else if (*s.mark.kept)
        *kept = tug_xstrdup(s.mark.kept);
    tug_etcd_free(s.etcd);
    tug_coreconf_store_clear(&s.at);
    free(s.leader);
    free(s.restoring);
    return rc;
}
