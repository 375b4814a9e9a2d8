/* control.c - the controller's logic: life cycle, peers, dispatch, time, flush
 *
 * Owns struct tug_control. What always holds: every message that goes out went through the outbox;
 * every change of the core is followed by tug_ctl_actions() before anything else happens; a job is
 * in 'jobs' exactly as long as the core knows it. Layer: logic.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logic/control_int.h"

#define POLICY_REFUSED_MAX 100  /* refused proposals before a policy is switched off */
#define POLICY_SLOW_MS     1000 /* a pass that takes longer holds everybody up */
#define POLICY_SLOW_MAX    3    /* such passes before a policy is switched off */

enum who { WHO_ANY, WHO_OPERATOR, WHO_NODE };

struct rpc {
    uint16_t number;
    enum who who;
    enum ctl_full full;
    tug_ctl_handler *handler;
};

static const struct rpc rpcs[] = {
#define TUG_RPC(REQUEST, h, who, full) {TUG_MSG_##REQUEST, WHO_##who, CTL_FULL_##full, h},
#include "logic/rpc.def"
#undef TUG_RPC
};

int64_t tug_ctl_now(struct tug_control *c)
{
    return c->env.now(c->env.ctx);
}

struct tug_batch *tug_ctl_batch(struct tug_control *c)
{
    tug_outbox_expect_writes(c->out);
    return tug_outbox_batch(c->out);
}

void tug_ctl_log(struct tug_control *c, enum tug_log_level level, const char *fmt, ...)
{
    char text[TUG_ERR_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tug_vec_reserve(&c->logs, c->logs.len + 1);
    c->logs.at[c->logs.len].level = level;
    c->logs.at[c->logs.len].text = tug_xstrdup(text);
    c->logs.len++;
}

int tug_control_next_log(struct tug_control *c, enum tug_log_level *level, const char **text)
{
    free(c->last_log);
    c->last_log = NULL;
    if (c->logs_read == c->logs.len) {
        c->logs.len = c->logs_read = 0;
        return 0;
    }
    *level = c->logs.at[c->logs_read].level;
    *text = c->last_log = c->logs.at[c->logs_read].text;
    c->logs_read++;
    return 1;
}

/* ---- which plugin takes how long */

static void hook_account(struct tug_control *c)
{
    int64_t now = tug_ctl_now(c);

    if (c->hook_depth)
        c->hook_ms[c->hook_at[c->hook_depth - 1]] += now - c->hook_since_ms;
    c->hook_since_ms = now;
}

static void hook_begins(void *ctx, size_t at, const struct tug_policy_ops *ops, const char *hook)
{
    struct tug_control *c = ctx;

    hook_account(c);
    tug_assert(c->hook_depth < sizeof c->hook_at / sizeof *c->hook_at);
    c->hook_at[c->hook_depth++] = at;
    if (c->policy_watch.begin)
        c->policy_watch.begin(c->policy_watch.ctx, at, ops, hook);
}

static void hook_ends(void *ctx, size_t at)
{
    struct tug_control *c = ctx;

    if (c->policy_watch.end)
        c->policy_watch.end(c->policy_watch.ctx, at);
    hook_account(c);
    c->hook_depth--;
}

void tug_control_watch_hooks(struct tug_control *c, const struct tug_hook_watch *w)
{
    c->policy_watch = w ? *w : (struct tug_hook_watch){0};
}

/* ---- life cycle */

struct tug_control *tug_control_new(const struct tug_env *env, const struct tug_control_conf *conf,
                                    struct tug_err *err)
{
    struct tug_core *core = tug_core_new(&conf->core, err);
    struct tug_control *c;

    if (!core)
        return NULL;
    c = tug_new(struct tug_control);
    c->env = *env;
    c->conf = *conf;
    c->core = core;
    c->cluster = tug_xstrdup(conf->cluster);
    c->version = tug_xstrdup(conf->version);
    c->out = tug_outbox_new(env);
    c->blobs = tug_blobs_new();
    c->n_nodes = tug_core_nodes(core);
    c->nodes = tug_xcalloc(c->n_nodes ? c->n_nodes : 1, sizeof *c->nodes);
    c->policy_name = tug_xstrdup("built-in fifo");
    c->policy_note = tug_xstrdup("");
    tug_core_watch_hooks(core, &(struct tug_hook_watch){hook_begins, hook_ends, c});
    TAILQ_INIT(&c->spent);
    c->next_id = 1;
    c->id_limit = 1;
    c->wait_next_ms = INT64_MAX;
    return c;
}

static void users_free(struct tug_control *c)
{
    struct ctl_user *u, *next;

    HASH_ITER (hh, c->users, u, next) {
        HASH_DEL(c->users, u);
        free(u->name);
        free(u->home);
        free(u->shell);
        free(u);
    }
}

static void nodes_free(struct tug_control *c)
{
    for (size_t i = 0; i < c->n_nodes; i++) {
        free(c->nodes[i].address);
        free(c->nodes[i].version);
        free(c->nodes[i].nvlink_domain);
        tug_ctl_keep_health(&c->nodes[i], NULL);
        tug_ctl_forget_visit_failure(&c->nodes[i].visit_failures[0]);
        tug_ctl_forget_visit_failure(&c->nodes[i].visit_failures[1]);
        tug_ctl_stuck_clear(&c->nodes[i]);
        free(c->nodes[i].inventory);
    }
    free(c->nodes);
}

void tug_control_free(struct tug_control *c)
{
    struct ctl_peer *p, *next_peer;

    if (!c)
        return;
    HASH_ITER (hh, c->peers, p, next_peer) {
        tug_vec_clear(&p->interactive); /* we go, not they */
        tug_control_peer_down(c, p->id);
    }
    tug_ctl_jobs_free(c);
    users_free(c);
    tug_ctl_tokens_free(c);
    nodes_free(c);
    for (size_t i = c->logs_read; i < c->logs.len; i++)
        free(c->logs.at[i].text);
    tug_vec_clear(&c->logs);
    tug_vec_clear(&c->dirty_jobs);
    tug_vec_clear(&c->dirty_nodes);
    tug_vec_clear(&c->safe.strays);
    free(c->last_log);
    tug_blobs_free(c->blobs);
    tug_outbox_free(c->out);
    tug_core_free(c->core);
    free(c->policy_name);
    free(c->policy_note);
    free(c->full);
    free(c->no_snapshot);
    free(c->cluster);
    free(c->version);
    free(c);
}

static void make_uuid(struct tug_control *c)
{
    uint8_t r[16];

    c->env.random(c->env.ctx, r, sizeof r);
    r[6] = (uint8_t) ((r[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    r[8] = (uint8_t) ((r[8] & 0x3f) | 0x80);
    snprintf(c->uuid, sizeof c->uuid,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1],
             r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14],
             r[15]);
}

/* All nodes count as heard now: who is silent from here on is lost when its time is over. */
static void take_up(struct tug_control *c, int64_t now)
{
    for (size_t i = 0; i < c->n_nodes; i++)
        c->nodes[i].heard_ms = now;
    tug_core_restored(c->core, now);
    tug_ctl_actions(c);
}

int tug_control_start(struct tug_control *c, struct tug_err *err)
{
    int rc = tug_ctl_restore_finish(c, err);
    int64_t now = tug_ctl_now(c);

    if (rc)
        return rc;
    c->started_ms = now;
    tug_ctl_commits_start(c);
    c->epoch++;
    if (c->next_id < c->id_limit)
        c->next_id = c->id_limit; /* some of that block may have been given out before the crash */
    if (c->uuid[0] == '\0')
        make_uuid(c);
    tug_ctl_leases_start(c, now);
    tug_ctl_put_meta(c, tug_ctl_batch(c));
    tug_ctl_safe_start(c);
    tug_blobs_sweep(c->blobs, tug_ctl_batch(c));
    take_up(c, now);
    tug_ctl_drift_log(c, UINT32_MAX);
    return 0;
}

int tug_control_show(struct tug_control *c, struct tug_err *err)
{
    int rc = tug_ctl_restore_finish(c, err);
    int64_t now = tug_ctl_now(c);

    if (rc)
        return rc;
    c->started_ms = now;
    c->durable_epoch = c->epoch;
    tug_ctl_safe_start(c);
    take_up(c, now);
    return 0;
}

/* Room for nodes that were not there at the start; nobody has granted them a lease. */
void tug_ctl_add_nodes(struct tug_control *c)
{
    size_t n = tug_core_nodes(c->core);
    int64_t now = tug_ctl_now(c);

    if (n <= c->n_nodes)
        return;
    c->nodes = tug_xrealloc(c->nodes, n * sizeof *c->nodes);
    memset(c->nodes + c->n_nodes, 0, (n - c->n_nodes) * sizeof *c->nodes);
    for (; c->n_nodes < n; c->n_nodes++)
        c->nodes[c->n_nodes].heard_ms = c->nodes[c->n_nodes].lease_end_ms = now;
}

int tug_control_configure(struct tug_control *c, const struct tug_control_conf *conf,
                          struct tug_err *err)
{
    int rc = tug_core_configure(c->core, tug_ctl_now(c), &conf->core, err);

    if (rc)
        return rc;
    tug_ctl_add_nodes(c);
    c->conf.node_timeout_s = conf->node_timeout_s;
    c->conf.wireup_timeout_s = conf->wireup_timeout_s;
    c->conf.launch_timeout_s = conf->launch_timeout_s;
    c->conf.kill_grace_s = conf->kill_grace_s;
    c->conf.max_jobs = conf->max_jobs;
    c->conf.max_script_bytes = conf->max_script_bytes;
    c->conf.max_env_bytes = conf->max_env_bytes;
    c->conf.min_uid = conf->min_uid;
    c->nodes_next_ms = 0; /* with another node_timeout, somebody may be down sooner */
    tug_ctl_actions(c);
    tug_ctl_drift_log(c, UINT32_MAX);
    return 0;
}

void tug_control_set_policy(struct tug_control *c, const char *name,
                            const struct tug_policy_set *set, const char *note)
{
    char *copy = tug_xstrdup(name);

    free(c->policy_name);
    c->policy_name = copy;
    tug_control_note_policy(c, note ? note : "");
    c->policy = set ? *set : (struct tug_policy_set){0};
    memset(c->policy_refused, 0, sizeof c->policy_refused);
    c->policy_slow = 0;
    tug_core_forget_policies(c->core);
}

void tug_control_note_policy(struct tug_control *c, const char *note)
{
    char *copy = tug_xstrdup(note);

    free(c->policy_note);
    c->policy_note = copy;
}

int tug_control_has_policy(const struct tug_control *c)
{
    return c->policy.n > 0;
}

void tug_control_recall(struct tug_control *c, const struct tug_policy_job *row, int64_t end_ms,
                        int ok)
{
    tug_core_recall(c->core, row, end_ms, ok);
}

void tug_control_snapshot(struct tug_control *c, int64_t newest_ms, const char *why_not)
{
    char *copy = tug_xstrdup(why_not);

    free(c->no_snapshot);
    c->no_snapshot = copy;
    c->snapshot_ms = newest_ms;
}

const struct tug_core *tug_control_core(const struct tug_control *c)
{
    return c->core;
}

uint64_t tug_control_epoch(const struct tug_control *c)
{
    return c->epoch;
}

int tug_control_is_operator(const struct tug_control *c, uint32_t uid)
{
    return uid == 0 || uid == c->conf.operator_uid;
}

int tug_control_wants_shutdown(const struct tug_control *c)
{
    return c->shutdown;
}

/* ---- peers */

static void set_text(char **at, const char *text)
{
    if (*at && strcmp(*at, text) == 0)
        return;
    free(*at);
    *at = tug_xstrdup(text);
}

/* The user of that uid, as last seen: names and groups follow the newest connection. */
struct ctl_user *tug_ctl_user(struct tug_control *c, const struct tug_control_peer *who)
{
    struct ctl_user *u;

    HASH_FIND(hh, c->users, &who->uid, sizeof who->uid, u);
    if (!u) {
        u = tug_new(struct ctl_user);
        u->uid = who->uid;
        HASH_ADD(hh, c->users, uid, sizeof u->uid, u);
    }
    u->gid = who->gid;
    u->n_gids = who->n_gids;
    memcpy(u->gids, who->gids, who->n_gids * sizeof *u->gids);
    set_text(&u->name, who->user ? who->user : "");
    set_text(&u->home, who->home ? who->home : "/");
    set_text(&u->shell, who->shell ? who->shell : "/bin/sh");
    return u;
}

void tug_control_peer_up(struct tug_control *c, tug_peer_id peer,
                         const struct tug_control_peer *who)
{
    struct ctl_peer *p = tug_new(struct ctl_peer);

    p->id = peer;
    p->nth = ++c->n_peers;
    p->role = who->role;
    p->node = TUG_NO_NODE;
    if (who->role == TUG_ROLE_USER)
        p->user = tug_ctl_user(c, who);
    p->node_name = tug_xstrdup(who->node);
    p->address = tug_xstrdup(who->address);
    HASH_ADD(hh, c->peers, id, sizeof p->id, p);
}

/* A gang of `tug run` that was not started yet has nobody who wants it any more. Once it runs, its
 * head step daemon knows better: it may have ended well before its client went. */
static void drop_interactive(struct tug_control *c, struct ctl_peer *p)
{
    for (size_t i = 0; i < p->interactive.len; i++) {
        const struct tug_job *job = tug_core_job(c->core, p->interactive.at[i]);
        struct tug_event ev = {
            .type = TUG_EV_JOB_CANCEL, .job = p->interactive.at[i], .text = "its client has gone"};

        if (job && (job->state == TUG_JOB_PENDING || job->state == TUG_JOB_CONFIGURING))
            tug_ctl_apply(c, &ev, NULL);
    }
    tug_vec_clear(&p->interactive);
}

void tug_control_peer_down(struct tug_control *c, tug_peer_id peer)
{
    struct ctl_peer *p;

    HASH_FIND(hh, c->peers, &peer, sizeof peer, p);
    if (!p)
        return;
    if (p->role == TUG_ROLE_NODE)
        tug_ctl_node_gone(c, p);
    else
        tug_ctl_wait_peer_down(c, peer);
    HASH_DEL(c->peers, p);
    drop_interactive(c, p);
    free(p->node_name);
    free(p->address);
    free(p);
}

/* ---- messages */

void tug_ctl_reply_error(struct tug_control *c, struct ctl_peer *p, uint32_t rid, int code,
                         const char *text)
{
    Tugpb__Error m = TUGPB__ERROR__INIT;

    m.code = code < 0 ? -code : code;
    m.text = (char *) text;
    tug_outbox_send(c->out, p->id, TUG_MSG_ERROR, rid, &m.base);
}

static int may_call(const struct tug_control *c, const struct ctl_peer *p, enum who who)
{
    if (who == WHO_NODE)
        return p->role == TUG_ROLE_NODE;
    if (p->role != TUG_ROLE_USER)
        return 0;
    return who == WHO_ANY || tug_control_is_operator(c, p->user->uid);
}

/* The row of that message, if this peer may say it now. */
static const struct rpc *find_rpc(struct tug_control *c, const struct ctl_peer *p, uint16_t number,
                                  const ProtobufCMessage *m, struct tug_err *err)
{
    const struct rpc *r = rpcs, *end = rpcs + sizeof rpcs / sizeof *rpcs;

    while (r < end && r->number != number)
        r++;
    if (r == end) {
        tug_fail(err, -ENOSYS, "this controller (version %s) does not answer message %u",
                 c->version, number);
        return NULL;
    }
    if (!may_call(c, p, r->who)) {
        tug_fail(err, -EPERM, "%s is not for %s; it is for %s", tug_msg_info(number)->name,
                 p->role == TUG_ROLE_NODE ? "node daemons" : p->user->name,
                 r->who == WHO_NODE ? "node daemons" : "root and the owner of the daemon");
        return NULL;
    }
    return tug_ctl_full_check(c, p, r->full, number, m, err) == 0 ? r : NULL;
}

void tug_control_message(struct tug_control *c, tug_peer_id peer, uint16_t number, uint32_t rid,
                         const ProtobufCMessage *m)
{
    struct tug_err err = {0};
    const struct rpc *r;
    struct ctl_peer *p;

    HASH_FIND(hh, c->peers, &peer, sizeof peer, p);
    if (!p)
        return;
    r = find_rpc(c, p, number, m, &err);
    if (!r || r->full == CTL_FULL_ANSWERED)
        tug_ctl_full_aside(c);
    tug_outbox_loose(c->out, !r || r->full == CTL_FULL_ANSWERED);
    if (r)
        r->handler(c, p, rid, m);
    else
        tug_ctl_reply_error(c, p, rid, err.code, err.msg);
    tug_outbox_loose(c->out, 0);
    tug_outbox_aside(c->out, 0);
}

/* ---- core, time, flush */

int tug_ctl_apply(struct tug_control *c, struct tug_event *ev, struct tug_err *err)
{
    int rc = tug_core_apply(c->core, tug_ctl_now(c), ev, err);

    tug_ctl_actions(c);
    return rc;
}

void tug_control_timer(struct tug_control *c)
{
    int64_t now = tug_ctl_now(c);
    struct tug_event tick = {.type = TUG_EV_TICK};

    tug_ctl_nodes_check(c, now);
    if (!c->full && tug_core_next_wake(c->core) <= now)
        tug_ctl_apply(c, &tick, NULL);
    tug_ctl_wait_check(c, now);
}

static void policy_off(struct tug_control *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void policy_off(struct tug_control *c, const char *fmt, ...)
{
    char why[TUG_ERR_MAX], note[TUG_ERR_MAX + 192];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    snprintf(note, sizeof note,
             "policy '%s' was switched off: %s; the built-in order is in force until tugd reads its "
             "configuration again or is restarted",
             c->policy_name, why);
    tug_ctl_log(c, TUG_LOG_ERROR, "%s", note);
    tug_control_set_policy(c, "built-in fifo", NULL, note);
}

static const char *policy_at(const struct tug_control *c, size_t at)
{
    return c->policy.at[at].ops->name;
}

/* The plugin of the greatest figure. */
static size_t largest(const struct tug_control *c, const int64_t *of)
{
    size_t at = 0;

    for (size_t i = 1; i < c->policy.n; i++)
        if (of[i] > of[at])
            at = i;
    return at;
}

/* Is it time to do without them? */
static void judge_policy(struct tug_control *c, const struct tug_pass_stats *stats, int64_t took_ms)
{
    c->policy_slow += took_ms > POLICY_SLOW_MS;
    for (size_t i = 0; i < c->policy.n; i++) {
        c->policy_refused[i] += stats->refused_of[i];
        if (c->policy_refused[i] > POLICY_REFUSED_MAX) {
            policy_off(c, "too many proposals of '%s' were refused", policy_at(c, i));
            return;
        }
    }
    if (c->policy_slow >= POLICY_SLOW_MAX)
        policy_off(c, "its passes take longer than 1 s, and '%s' most of that",
                   policy_at(c, largest(c, c->hook_ms)));
}

static void run_pass(struct tug_control *c)
{
    struct tug_pass_stats stats = {0};
    struct tug_err err = {0};
    int64_t began = tug_ctl_now(c);
    int rc;

    memset(c->hook_ms, 0, sizeof c->hook_ms);
    rc = tug_core_pass(c->core, began, &c->policy, &stats, &err);
    if (c->policy.n) {
        if (rc < 0 || stats.refused)
            tug_ctl_log(c, TUG_LOG_WARN, "%s", err.msg);
        /* A policy that only proposes what cannot be must not keep everybody waiting until it is
         * switched off. */
        if (rc >= 0 && stats.refused && !stats.started)
            tug_core_pass(c->core, began, NULL, NULL, NULL);
        if (rc < 0)
            policy_off(c, "%s", err.msg);
        else
            judge_policy(c, &stats, tug_ctl_now(c) - began);
    }
    tug_ctl_actions(c);
}

static void write_dirty(struct tug_control *c)
{
    struct tug_batch *b = tug_outbox_batch(c->out);

    for (size_t i = 0; i < c->dirty_jobs.len; i++) {
        struct ctl_job *j = tug_ctl_job(c, c->dirty_jobs.at[i]);
        const struct tug_job *job = j ? tug_core_job(c->core, j->id) : NULL;

        if (!job)
            continue;
        j->dirty = 0;
        tug_ctl_put_job(c, j, job, b);
    }
    c->dirty_jobs.len = 0;
    for (size_t i = 0; i < c->dirty_nodes.len; i++) {
        c->nodes[c->dirty_nodes.at[i]].dirty = 0;
        tug_ctl_put_node(c, c->dirty_nodes.at[i], b);
    }
    c->dirty_nodes.len = 0;
}

void tug_control_flush(struct tug_control *c)
{
    int64_t next, t;

    tug_ctl_safe_check(c);
    if (tug_core_wants_pass(c->core) && !tug_ctl_safe_holds(c) && !c->full)
        run_pass(c);
    if (!tug_outbox_is_busy(c->out)) {
        write_dirty(c);
        tug_ctl_commits_number(c);
        c->going_epoch = c->epoch; /* whoever changes it writes it down in the same turn */
        tug_outbox_flush(c->out);
    }
    next = c->full ? INT64_MAX : tug_core_next_wake(c->core);
    t = tug_ctl_nodes_next(c);
    next = t < next ? t : next;
    t = tug_ctl_wait_next(c);
    next = t < next ? t : next;
    c->env.timer(c->env.ctx, next);
}

void tug_control_persisted(struct tug_control *c, uint64_t ticket)
{
    c->durable_epoch = c->going_epoch;
    tug_ctl_commits_made(c);
    tug_outbox_persisted(c->out, ticket);
}
