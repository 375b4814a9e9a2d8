/* plugin.c - the policies in force
 *
 * A policy that cannot be loaded is not a reason to stop a cluster: the one before stays, or the
 * built-in order takes over, and the log and `tug ping` say so. Policies that keep state are told
 * the jobs of the past, from the history, before they decide anything. Layer: programs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "host/plugset.h"
#include "proto/job.pb-c.h"
#include "queued/daemon.h"

#define RECALLED_MAX 10000 /* finished jobs that a policy is told when it comes */

struct recall {
    struct tugd *d;
    struct tug_plugset *set; /* comes into force when the history is there */
    char *name;
    int is_awaited;                         /* the loop runs for it alone */
    struct tug_vec(Tugpb__JobView *) views; /* newest first */
};

/* ---- into force */

static void close_set(struct tug_plugset *set)
{
    watchdog_begin("(the one before)", "destroy");
    tug_plugset_close(set);
    watchdog_end();
}

static void put_in_force(struct tugd *d, struct tug_plugset *set, const char *name)
{
    struct tug_plugset *before = d->policies;
    const char *rest;

    tug_control_set_policy(d->control, name, tug_plugset_policies(set), "");
    d->policies = set;
    close_set(before);
    for (size_t i = 0; i < tug_plugset_count(set); i++)
        tug_info("%s", tug_plugload_where(tug_plugset_at(set, i)));
    for (size_t i = 0; (rest = tug_plugset_unfilled(set, i)); i++)
        tug_info("policy '%s' does not decide %s", name, rest);
}

/* The one before goes on, if there is one. */
static void stays(struct tugd *d, const char *why)
{
    char note[TUG_ERR_MAX + 128];

    if (tug_control_has_policy(d->control)) {
        snprintf(note, sizeof note, "%s; the policy from before stays in force", why);
        tug_control_note_policy(d->control, note);
    } else {
        snprintf(note, sizeof note, "%s; the built-in order (fifo, strict) is in force", why);
        tug_control_set_policy(d->control, "built-in fifo", NULL, note);
    }
    tug_error("%s", note);
}

/* ---- the past */

static void recall_free(struct recall *r)
{
    for (size_t i = 0; i < r->views.len; i++)
        tugpb__job_view__free_unpacked(r->views.at[i], NULL);
    tug_vec_clear(&r->views);
    close_set(r->set);
    free(r->name);
    free(r);
}

/* Of a node, when the whole gang has 'all' and its last node 'last', 0 = as the others. */
static uint32_t of_each(uint32_t all, uint32_t last, uint32_t nodes)
{
    return last && nodes > 1 ? (all - last) / (nodes - 1) : all / nodes;
}

/* One that an older version wrote does not say how long it ran. */
static int64_t ran_ms(const Tugpb__JobView *v)
{
    return v->ran_ms || !v->alloc_ms || v->end_ms < v->alloc_ms ? v->ran_ms
                                                                : v->end_ms - v->alloc_ms;
}

static void recall_one(struct tugd *d, const Tugpb__JobView *v)
{
    uint32_t nodes = v->nodes ? v->nodes : 1;
    struct tug_policy_job row = {
        .id = v->id,
        .uid = v->uid,
        .nodes = nodes,
        .ntasks = v->ntasks,
        .gpus_per_node = of_each(v->gpus, v->gpus_last, nodes),
        .cpus_per_node = of_each(v->cpus, v->cpus_last, nodes),
        .attempt = v->attempt,
        .mem_per_node_bytes = v->mem_bytes / nodes,
        .submit_ms = v->submit_ms,
        .eligible_ms = v->eligible_ms,
        .time_limit_ms = v->time_limit_s ? (int64_t) v->time_limit_s * 1000 : -1,
        .start_ms = v->alloc_ms ? v->alloc_ms : -1,
        .priority = v->priority,
        .queue = v->queue,
        .account = v->account,
        .exclusive = v->exclusive,
        .name = v->name,
        .user = v->user,
        .gpus = v->gpus,
        .nice = v->nice,
        .queue_row = UINT32_MAX,
        .share_row = UINT32_MAX,
        .safe_until_ms = INT64_MAX,
        .ran_ms = ran_ms(v),
    };

    row.expected_ms = row.time_limit_ms;
    row.gpus_last = v->gpus_last ? v->gpus_last : row.gpus_per_node;
    row.cpus_last = v->cpus_last ? v->cpus_last : row.cpus_per_node;
    tug_control_recall(d->control, &row, v->end_ms,
                       !strcmp(v->state, tug_job_state_name(TUG_JOB_COMPLETED)));
}

static void recalled(struct recall *r, int rc, const char *why)
{
    struct tugd *d = r->d;

    if (d->recall != r) { /* another one has been asked for since */
        recall_free(r);
        return;
    }
    d->recall = NULL;
    if (r->is_awaited)
        tug_loop_stop(d->loop);
    if (rc == -ECANCELED) {
        recall_free(r);
        return;
    }
    if (rc)
        tug_warn("policy '%s' is told nothing of the past: %s", r->name, why);
    for (size_t i = r->views.len; i > 0; i--)
        recall_one(d, r->views.at[i - 1]);
    put_in_force(d, r->set, r->name);
    r->set = NULL;
    recall_free(r);
}

static void on_row(void *arg, const struct tug_history_row *row, int rc, const char *why)
{
    struct recall *r = arg;
    Tugpb__JobView *v;

    if (!row) {
        recalled(r, rc, why);
        return;
    }
    v = row->view ? tugpb__job_view__unpack(NULL, row->view_len, row->view) : NULL;
    if (v)
        tug_vec_push(&r->views, v);
}

static void recall_then_use(struct tugd *d, struct tug_plugset *set, const char *name)
{
    const struct tug_history_filter f = {.what = "end", .limit = RECALLED_MAX};
    struct recall *r = tug_new(struct recall);

    r->d = d;
    r->set = set;
    r->name = tug_xstrdup(name);
    d->recall = r;
    tug_store_history(d->store, &f, on_row, r);
}

/* ---- loading */

/* Every job has a time limit when every queue gives it one. */
static uint32_t what_we_have(const struct tug_config *cfg)
{
    struct setup s;
    uint32_t has = TUG_POLICY_NEEDS_EXPECTED;

    setup_control(cfg, &s);
    for (size_t i = 0; i < s.conf.core.n_queues; i++)
        if (!s.conf.core.queues[i].default_time_s && !s.conf.core.queues[i].max_time_s)
            has &= ~TUG_POLICY_NEEDS_EXPECTED;
    if (s.conf.core.preemption == TUG_PREEMPTION_ORDER)
        has |= TUG_POLICY_NEEDS_ORDER_PREEMPTION;
    setup_free(&s);
    return has;
}

static int open_set(const struct tug_config *cfg, struct tug_plugset **out, struct tug_err *err)
{
    const struct tug_conf_scheduler *s = &cfg->scheduler;
    struct tug_plugload_param *params = tug_xcalloc(s->policy_params.n + 1, sizeof *params);
    struct tug_plugset_conf conf = {.names = s->policy,
                                    .dirs = (const char *const *) s->policy_dirs.at,
                                    .n_dirs = s->policy_dirs.n,
                                    .params = params,
                                    .n_params = s->policy_params.n,
                                    .has = what_we_have(cfg)};
    int rc;

    for (size_t i = 0; i < s->policy_params.n; i++)
        params[i] =
            (struct tug_plugload_param){s->policy_params.at[i].name, s->policy_params.at[i].value};
    watchdog_begin(s->policy, "create");
    rc = tug_plugset_open(&conf, out, err);
    watchdog_end();
    free(params);
    return rc;
}

int plugin_check(const struct tug_config *cfg, struct tug_err *err)
{
    struct tug_plugset *set = NULL;
    int rc = open_set(cfg, &set, err);

    tug_plugset_close(set);
    return rc ? tug_fail_ctx(err, rc, "scheduler.policy") : 0;
}

static int wants_the_past(const struct tug_plugset *set)
{
    const struct tug_policy_set *p = tug_plugset_policies(set);

    for (size_t i = 0; i < p->n; i++)
        if (tug_core_observes(p->at[i].ops) >> TUG_POLICY_EV_END & 1)
            return 1;
    return 0;
}

/* The file that a policy comes from, as it is now. */
static void say_file(struct tug_buf *out, const struct tug_conf_scheduler *s, const char *name,
                     int len)
{
    struct stat st;

    for (size_t i = 0; i < s->policy_dirs.n; i++) {
        char *path = tug_xasprintf("%s/%.*s.so", s->policy_dirs.at[i], len, name);

        if (stat(path, &st) == 0) {
            tug_buf_addf(out, "file %s %lld.%09ld %lld\n", path, (long long) st.st_mtim.tv_sec,
                         st.st_mtim.tv_nsec, (long long) st.st_size);
            free(path);
            return;
        }
        free(path);
    }
}

/* Which policies, with what parameters, of what files: all that may change when one is mended. */
static void say_all(struct tug_buf *out, const struct tug_conf_scheduler *s)
{
    tug_buf_addf(out, "policy %s\n", s->policy);
    for (size_t i = 0; i < s->policy_params.n; i++)
        tug_buf_addf(out, "param %s=%s\n", s->policy_params.at[i].name,
                     s->policy_params.at[i].value);
    for (const char *at = s->policy; *at; at += *at == '+') {
        int len = (int) strcspn(at, "+");

        say_file(out, s, at, len);
        at += len;
    }
}

static int is_forbidden(struct tugd *d)
{
    char why[TUG_ERR_MAX];
    struct tug_buf block = {0};

    say_all(&block, &d->cfg.scheduler);
    int rc = watchdog_forbids(d, tug_buf_str(&block), why, sizeof why);
    watchdog_of(d, tug_buf_str(&block));
    tug_buf_clear(&block);
    if (rc)
        stays(d, why);
    return rc;
}

static void load(struct tugd *d)
{
    struct tug_plugset *set = NULL;
    struct tug_err err = {0};

    d->recall = NULL;
    if (is_forbidden(d))
        return;
    if (open_set(&d->cfg, &set, &err))
        stays(d, err.msg);
    else if (wants_the_past(set))
        recall_then_use(d, set, d->cfg.scheduler.policy);
    else
        put_in_force(d, set, d->cfg.scheduler.policy);
}

void plugin_load(struct tugd *d)
{
    load(d);
    if (!d->recall)
        return;
    d->recall->is_awaited = 1; /* no pass before the policy that is configured can decide in it */
    tug_loop_run(d->loop);
}

void plugin_reload(struct tugd *d, int has_changed)
{
    d->without_policy = 0;
    if (!has_changed && (tug_control_has_policy(d->control) || d->recall)) {
        watchdog_patience(d);
        return;
    }
    if (!tug_control_has_policy(d->control)) {
        /* Not before its file is closed is another one loaded in its place. */
        close_set(d->policies);
        d->policies = NULL;
    }
    load(d);
}

void plugin_free(struct tugd *d)
{
    close_set(d->policies);
}
