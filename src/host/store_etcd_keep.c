/* store_etcd_keep.c - who leads: following the log, standing for the lead, keeping the lease
 *
 * Layer: host.
 */
#include "host/store_etcd.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "host/store_keys.h"
#include "host/store_log.h"

enum {
    FOLLOW_MS = 300,
    SAY_MS = 2000,
    LOOK_MS = 10000,
    COMPACT_MS = 5 * 60 * 1000,
    /* Who said nothing for so long is not waited for with cleaning. */
    ABSENT_MS = 24 * 3600 * 1000,
};

/* ---- following */

static void on_rows(void *arg, struct tug_batch *rows)
{
    tug_store_etcd_copy_history(arg, rows, NULL, NULL);
}

/* All that was acknowledged to anybody before this call is in 'log' afterwards. */
static int catch_up(struct etcd_store *s, struct tug_err *err)
{
    struct tug_store_log at = {s->keeper_etcd, s->prefix, s->log, &s->copied, on_rows, s};
    return tug_store_log_read(&at, err);
}

/* Is all of it still there, also what was read long ago? What is gone must hold no more, by what came since. */
static int look_over(struct etcd_store *s, uint64_t *first, struct tug_err *err)
{
    *first = 0;
    int rc = tug_reclog_next(s->log) ? tug_store_log_look(s->keeper_etcd, s->prefix, tug_reclog_next(s->log) - 1, first, err) : 0;
    rc = rc ? rc : catch_up(s, err);
    if (!rc && *first && (rc = tug_reclog_cut(s->log, *first, err)))
        rc = tug_fail_ctx(err, rc, "etcd: keys before %s/log/%016llx", s->prefix, (unsigned long long) *first);
    s->looked_at = (int64_t) tug_now_ms();
    return rc;
}

/* Whoever led before can write nothing more. */
static int take_over(struct etcd_store *s, struct tug_err *err)
{
    uint64_t first, copied = s->copied;
    int rc = catch_up(s, err);
    rc = rc ? rc : look_over(s, &first, err);
    if (!rc && !s->anew)
        rc = tug_store_log_reaches(s->prefix, tug_reclog_next(s->log) ? tug_reclog_next(s->log) - 1 : 0, copied, err);
    if (!rc && tug_reclog_next(s->log) && !first)
        rc = tug_store_log_missing(s->prefix, tug_reclog_first(s->log), tug_reclog_next(s->log) - 1,
                                   "nothing is left of the log, and this controller has read it", err);
    atomic_store(&s->begins, tug_reclog_first(s->log));
    atomic_store(&s->written, tug_reclog_next(s->log) ? tug_reclog_next(s->log) - 1 : 0);
    return rc;
}

static int on_leader(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct leader *l = arg;
    json_t *said = json_loadb(kv->value, kv->len, 0, NULL);
    const char *name = json_string_value(json_object_get(said, "name"));
    const char *address = json_string_value(json_object_get(said, "address"));
    (void) err;
    l->mod_revision = kv->mod_revision;
    l->lease = kv->lease;
    snprintf(l->name, sizeof l->name, "%s%s%s", name ? name : "?", address && *address ? " at " : "", address ? address : "");
    json_decref(said);
    return 0;
}

int tug_store_etcd_look(struct etcd_store *s, struct tug_etcd *e, struct leader *out, struct tug_err *err)
{
    char *key = tug_store_key_leader(s->prefix);
    *out = (struct leader){0};
    int rc = tug_etcd_range(e, key, NULL, 1, on_leader, out, err);
    free(key);
    return rc;
}

static void follow(struct etcd_store *s, const char *text)
{
    if (!strcmp(s->said, text))
        return;
    snprintf(s->said, sizeof s->said, "%s", text);
    tug_store_etcd_say_role(s, TUG_STORE_FOLLOWS, text);
}

static char *describe(const struct etcd_store *s, const char *role)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(s->name));
    json_object_set_new(o, "address", json_string(s->address));
    json_object_set_new(o, "role", json_string(role));
    json_object_set_new(o, "since_ms", json_integer(s->since_ms));
    json_object_set_new(o, "at_ms", json_integer(tug_wall_ms()));
    json_object_set_new(o, "copied", json_integer((json_int_t) atomic_load(&s->copied_for_good)));
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static int on_restoring(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct etcd_store *s = arg;
    struct tug_store_restoring r;
    if (kv->mod_revision == s->restoring)
        return 0;
    (void) tug_store_restoring_read(kv->value, kv->len, &r, NULL); /* whatever it says, it is there */
    return tug_store_restoring_refuse(&r, err);
}

/* -EBUSY: a backup is being put back, or half of it is there. */
static int check_restoring(struct etcd_store *s, struct tug_err *err)
{
    char *key = tug_store_key_restoring(s->prefix);
    int rc = tug_etcd_range(s->keeper_etcd, key, NULL, 1, on_restoring, s, err);
    free(key);
    return rc;
}

/* 0 = somebody was faster. */
static int campaign(struct etcd_store *s, int *won, struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    char *key = tug_store_key_leader(s->prefix), *restoring = tug_store_key_restoring(s->prefix), *text;
    int64_t sent = (int64_t) tug_now_ms(), revision = 0;
    int rc = tug_etcd_lease_grant(s->keeper_etcd, s->lease_s, &s->lease, err);
    *won = 0;
    if (!rc) {
        s->since_ms = tug_wall_ms();
        text = describe(s, "leader");
        tug_etcd_if_created(&t, key, 0);
        tug_etcd_if_modified(&t, restoring, s->restoring);
        tug_etcd_put(&t, key, text, strlen(text), s->lease);
        rc = tug_etcd_commit(s->keeper_etcd, &t, won, &revision, err);
        free(text);
    }
    struct leader now = {0};
    if (!rc && !*won && (rc = tug_store_etcd_look(s, s->keeper_etcd, &now, err)) == 0 && now.lease == s->lease) {
        *won = 1; /* the answer to our first try never came */
        revision = now.mod_revision;
    }
    if (!rc && *won) {
        s->lead_revision = revision;
        /* Never from when the answer came. 1 %: twice the drift that two clocks may have. */
        atomic_store(&s->until, sent + (int64_t) s->lease_s * 990);
        rc = take_over(s, err);
    }
    if ((rc || !*won) && s->lease) {
        atomic_store(&s->until, 0);
        tug_etcd_lease_revoke(s->keeper_etcd, s->lease, NULL);
        s->lease = 0;
    }
    tug_etcd_txn_clear(&t);
    free(key);
    free(restoring);
    return rc;
}

/* Lead as our former image did, whose lease still holds. 0 and not won: it is over, stand for it like anybody. */
static int go_on(struct etcd_store *s, int *won, struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    char *key = tug_store_key_leader(s->prefix), *text = NULL;
    int64_t sent = (int64_t) tug_now_ms(), revision = 0;
    long long lease, was;
    int rc = -ENOENT;
    *won = 0;
    if (sscanf(s->lead_before, "%lld,%lld", &lease, &was) == 2)
        rc = tug_etcd_lease_keepalive(s->keeper_etcd, lease, err);
    if (!rc) {
        s->since_ms = tug_wall_ms();
        text = describe(s, "leader");
        tug_etcd_if_modified(&t, key, was);
        tug_etcd_put(&t, key, text, strlen(text), lease);
        rc = tug_etcd_commit(s->keeper_etcd, &t, won, &revision, err);
        free(text);
    }
    if (!rc && *won) {
        s->lease = lease;
        s->lead_revision = revision;
        atomic_store(&s->until, sent + (int64_t) s->lease_s * 990);
        rc = take_over(s, err);
    }
    if (rc == -ENOENT)
        rc = 0;
    tug_etcd_txn_clear(&t);
    free(key);
    free(s->lead_before); /* once */
    s->lead_before = NULL;
    return rc;
}

/* Single members before 3.4.21 could lose what they had acknowledged (etcd issue 14370). */
static int check_etcd(struct etcd_store *s, struct tug_err *err)
{
    char version[32];
    unsigned members, major = 0, minor = 0, patch = 0;
    int rc = tug_etcd_version(s->keeper_etcd, version, sizeof version, &members, err);
    if (rc)
        return rc;
    sscanf(version, "%u.%u.%u", &major, &minor, &patch);
    if (major < 3 || (major == 3 && minor < 4))
        return tug_fail(err, -ENOTSUP, "etcd is of version %s; at least 3.4 is needed", version);
    if (members < 2 && major == 3 && minor == 4 && patch < 21)
        return tug_fail(err, -ENOTSUP,
                        "etcd %s with a single member can lose what it has acknowledged; use 3.4.21 or newer, or three members",
                        version);
    s->checked = true;
    return 0;
}

/* One round: 1 = we lead now. */
static int follow_round(struct etcd_store *s, struct tug_err *err)
{
    struct leader now;
    char text[256];
    uint64_t first;
    int won = 0, rc = s->checked ? 0 : check_etcd(s, err);
    if (!rc && s->lead_before && ((rc = go_on(s, &won, err)) != 0 || won))
        return rc ? rc : 1;
    if (!rc && atomic_load(&s->history_is_full))
        rc = tug_fail(err, -ENOSPC, "the disk with this controller's copy of the history is full");
    if (!rc)
        rc = catch_up(s, err);
    if (!rc && (int64_t) tug_now_ms() - s->looked_at >= LOOK_MS)
        rc = look_over(s, &first, err);
    if (!rc)
        rc = tug_store_etcd_look(s, s->keeper_etcd, &now, err);
    if (rc)
        return rc;
    if (now.mod_revision) {
        snprintf(text, sizeof text, "%s leads", now.name);
        follow(s, text);
        return 0;
    }
    rc = check_restoring(s, err);
    rc = rc ? rc : campaign(s, &won, err);
    return rc ? rc : won;
}

/* ---- leading */

static int on_controller(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    uint64_t *least = arg;
    json_t *said = json_loadb(kv->value, kv->len, 0, NULL);
    int64_t at = json_integer_value(json_object_get(said, "at_ms"));
    uint64_t copied = (uint64_t) json_integer_value(json_object_get(said, "copied"));
    (void) err;
    if (tug_wall_ms() - at < ABSENT_MS && copied < *least)
        *least = copied;
    json_decref(said);
    return 0;
}

struct synced {
    struct etcd_store *s;
    uint64_t number;
};

static void on_synced(void *arg, int rc, const char *why)
{
    struct synced *y = arg;
    (void) why; /* the next commit says it */
    if (!rc)
        atomic_store(&y->s->copied_for_good, y->number);
    free(y);
}

/* What is copied by now shall be counted with the next time that we say how far we are. */
static void sync_history(struct etcd_store *s)
{
    struct synced *y = tug_new(struct synced);
    *y = (struct synced){s, atomic_load(&s->copied_now)};
    if (y->number == atomic_load(&s->copied_for_good) || atomic_load(&s->history_is_full))
        free(y);
    else
        tug_store_sqlite_sync(s->history, on_synced, y);
}

/* Say how far we are; who leads hears how far the others are. */
static int say(struct etcd_store *s, const char *role, struct tug_err *err)
{
    struct tug_etcd_txn t = {0};
    char *key = tug_store_key_controller(s->prefix, s->name), *text = describe(s, role);
    char *from = tug_store_key_controller(s->prefix, ""), *to = tug_store_key_controller_end(s->prefix);
    uint64_t least = UINT64_MAX;
    int64_t revision = 0;
    int held;
    tug_etcd_put(&t, key, text, strlen(text), 0);
    int rc = tug_etcd_commit(s->keeper_etcd, &t, &held, &revision, err);
    if (!rc && !strcmp(role, "leader"))
        rc = tug_etcd_range(s->keeper_etcd, from, to, 0, on_controller, &least, err);
    if (!rc && !strcmp(role, "leader")) {
        atomic_store(&s->copied_by_all, least);
        if (s->compact_revision && (int64_t) tug_now_ms() >= s->compact_at)
            tug_etcd_compact(s->keeper_etcd, s->compact_revision, NULL); /* also by others: then it is done */
        if (!s->compact_revision || (int64_t) tug_now_ms() >= s->compact_at) {
            s->compact_revision = revision;
            s->compact_at = (int64_t) tug_now_ms() + COMPACT_MS;
        }
    }
    sync_history(s);
    s->said_at = (int64_t) tug_now_ms();
    tug_etcd_txn_clear(&t);
    free(key);
    free(text);
    free(from);
    free(to);
    return rc;
}

static int lead_round(struct etcd_store *s, struct tug_err *err)
{
    int64_t sent = (int64_t) tug_now_ms();
    int rc = tug_etcd_lease_keepalive(s->keeper_etcd, s->lease, err);
    if (!rc)
        atomic_store(&s->until, sent + (int64_t) s->lease_s * 990);
    return rc;
}

/* Is all of it still there that we wrote and read? The writer may be at work meanwhile. */
static int look_over_ours(struct etcd_store *s, struct tug_err *err)
{
    uint64_t first, last = atomic_load(&s->written);
    int rc = last ? tug_store_log_look(s->keeper_etcd, s->prefix, last, &first, err) : 0;
    uint64_t begins = atomic_load(&s->begins);
    if (!rc && last && (!first || first > begins))
        rc = tug_store_log_missing(s->prefix, begins, first ? first - 1 : last, "this controller did not delete them", err);
    s->looked_at = (int64_t) tug_now_ms();
    return rc;
}

static void keep_leading(struct etcd_store *s)
{
    struct tug_err err = {0};
    int64_t next = 0;
    while (!tug_store_etcd_is_stopped(s)) {
        int64_t now = (int64_t) tug_now_ms(), until = atomic_load(&s->until);
        int rc = now >= next ? lead_round(s, &err) : 0;
        if (!rc && now >= next)
            next = now + (int64_t) s->lease_s * 1000 / 3;
        if (rc == -ECANCELED)
            return;
        if (rc == -ENOENT || (int64_t) tug_now_ms() >= atomic_load(&s->until) || (rc && now >= until)) {
            char why[TUG_ERR_MAX + 64];
            snprintf(why, sizeof why, "the lease of the lead could not be renewed in time (%s)",
                     rc ? err.msg : "this process was stopped for too long");
            tug_store_etcd_give_up(s, TUG_STORE_LOST, -ESTALE, why);
            return;
        }
        if (!rc && (int64_t) tug_now_ms() - s->said_at >= SAY_MS)
            say(s, "leader", NULL); /* the next one will do */
        if (!rc && (int64_t) tug_now_ms() - s->looked_at >= LOOK_MS && look_over_ours(s, &err) == -EILSEQ) {
            tug_store_etcd_give_up(s, TUG_STORE_BROKEN, -EILSEQ, err.msg);
            return;
        }
        tug_store_etcd_nap(s, 100);
    }
}

void *tug_store_etcd_keeper(void *arg)
{
    struct etcd_store *s = arg;
    struct tug_err err = {0};
    while (!tug_store_etcd_is_stopped(s)) {
        int rc = follow_round(s, &err);
        if (rc == 1) {
            s->said[0] = 0;
            tug_store_etcd_say_role(s, TUG_STORE_LEADS, "");
            keep_leading(s);
            return NULL;
        }
        if (rc == -EILSEQ || rc == -ENOTSUP) {
            tug_store_etcd_give_up(s, rc == -ENOTSUP ? TUG_STORE_UNFIT : TUG_STORE_BROKEN, rc, err.msg);
            return NULL;
        }
        if (rc && rc != -ECANCELED)
            follow(s, err.msg);
        if (!rc && (int64_t) tug_now_ms() - s->said_at >= SAY_MS)
            say(s, "standby", NULL);
        tug_store_etcd_nap(s, FOLLOW_MS);
    }
    return NULL;
}
