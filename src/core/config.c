/* config.c - queues and the nodes that may join
 *
 * A configuration is checked as a whole and then taken as a whole. A node keeps its index for as
 * long as the core lives: one that left the configuration stays as a row that nothing can use.
 * Layer: core.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"
#include "core/state.h"

#define PREEMPT_MAX 3
#define MAX_REQUEUES 10

struct tug_queue *tug_queue_find(const struct tug_core *c, const char *name)
{
    for (size_t i = 0; name && i < c->queues.len; i++)
        if (c->queues.at[i].name == name || !strcmp(c->queues.at[i].name, name))
            return &c->queues.at[i];
    return NULL;
}

void tug_queue_clear(struct tug_core *c, struct tug_queue *q)
{
    tug_intern_drop(c->texts, q->name);
    tug_intern_drop(c->texts, q->nodes);
    tug_intern_drop(c->texts, q->allow_users);
    tug_intern_drop(c->texts, q->parent);
    tug_intern_drop(c->texts, q->preflight);
}

void tug_queue_add_ghost(struct tug_core *c, const char *name)
{
    struct tug_queue q = {.name = tug_intern(c->texts, name),
                          .nodes = tug_intern(c->texts, ""),
                          .allow_users = tug_intern(c->texts, ""),
                          .parent = tug_intern(c->texts, ""),
                          .preflight = tug_intern(c->texts, ""),
                          .is_down = 1,
                          .is_ghost = 1};
    tug_vec_push(&c->queues, q);
    tug_queue_row_add(c);
}

const char *tug_core_default_queue(const struct tug_core *c)
{
    for (size_t i = 0; i < c->queues.len; i++)
        if (c->queues.at[i].is_default)
            return c->queues.at[i].name;
    for (size_t i = 0; i < c->queue_rows.len; i++)
        if (c->queue_rows.at[i].is_leaf)
            return c->queues.at[i].name;
    return "";
}

/* Ghosts stand behind the configured ones. */
size_t tug_core_queues(const struct tug_core *c)
{
    size_t n = c->queues.len;
    while (n && c->queues.at[n - 1].is_ghost)
        n--;
    return n;
}

void tug_core_queue_row(const struct tug_core *c, size_t i, struct tug_core_queue *out)
{
    tug_assert(i < tug_core_queues(c));
    const struct tug_queue *q = &c->queues.at[i];
    *out = (struct tug_core_queue){.name = q->name,
                                   .priority = q->priority,
                                   .max_time_s = q->max_time_s,
                                   .default_time_s = q->default_time_s,
                                   .nodes = q->nodes,
                                   .is_default = q->is_default,
                                   .is_down = q->is_down,
                                   .allow_users = q->allow_users,
                                   .parent = q->parent,
                                   .weight = q->weight,
                                   .guarantee_gpus = q->guarantee_gpus,
                                   .cap_gpus = q->cap_gpus,
                                   .no_borrow = q->no_borrow,
                                   .no_lend = q->no_lend,
                                   .share_gpus = q->share_gpus,
                                   .tier = q->tier,
                                   .preemptable = q->preemptable,
                                   .preempt_min_run_s = q->preempt_min_run_s,
                                   .preempt_signal = q->preempt_signal,
                                   .preempt_notice_s = q->preempt_notice_s,
                                   .preflight = q->preflight,
                                   .preflight_floor = q->preflight_floor,
                                   .preflight_s = q->preflight_s,
                                   .preflight_drains = q->preflight_drains};
}

/* ---- checks */

static int check_queue_nodes(const struct tug_core_conf *conf, const struct tug_core_queue *q,
                             struct tug_err *err)
{
    struct tug_hostlist *hl = NULL;
    int rc = tug_hostlist_parse(q->nodes ? q->nodes : "", &hl, err);
    if (rc)
        return tug_fail_ctx(err, rc, "queue '%s'", q->name);
    struct tug_hostlist *all = tug_hostlist_new();
    for (size_t i = 0; i < conf->n_nodes; i++)
        tug_hostlist_add(all, conf->nodes[i].name, NULL);
    for (size_t i = 0; i < tug_hostlist_count(hl) && !rc; i++)
        if (!tug_hostlist_contains(all, tug_hostlist_nth(hl, i)))
            rc = tug_fail(err, -EINVAL, "queue '%s': node '%s' is not configured", q->name,
                          tug_hostlist_nth(hl, i));
    tug_hostlist_free(all);
    tug_hostlist_free(hl);
    return rc;
}

static int check_queues(const struct tug_core_conf *conf, struct tug_err *err)
{
    unsigned defaults = 0;
    if (conf->n_queues == 0)
        return tug_fail(err, -EINVAL, "no queue is configured; one is needed");
    for (size_t i = 0; i < conf->n_queues; i++) {
        const struct tug_core_queue *q = &conf->queues[i];
        if (!q->name || !*q->name)
            return tug_fail(err, -EINVAL, "queue %zu has no name", i + 1);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(conf->queues[k].name, q->name))
                return tug_fail(err, -EINVAL, "queue '%s' is configured twice", q->name);
        if (q->is_default && defaults++)
            return tug_fail(err, -EINVAL,
                            "queue '%s' is the second default queue; there can be one", q->name);
        int rc = check_queue_nodes(conf, q, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* Names in natural order cost little to add, so a list of thousands is fine. */
static int check_nodes(const struct tug_core_conf *conf, struct tug_err *err)
{
    struct tug_hostlist *seen = tug_hostlist_new();
    int rc = 0;
    for (size_t i = 0; i < conf->n_nodes && !rc; i++) {
        const struct tug_core_node_row *n = &conf->nodes[i];
        if (n->name && tug_hostlist_contains(seen, n->name))
            rc = tug_fail(err, -EINVAL, "node '%s' is configured twice", n->name);
        else if (n->gpus > TUG_GPUS_MAX)
            rc = tug_fail(err, -EINVAL, "node '%s': %u GPUs are over the %d that a node can have",
                          n->name, n->gpus, TUG_GPUS_MAX);
        else
            rc = tug_hostlist_add(seen, n->name ? n->name : "", err);
    }
    tug_hostlist_free(seen);
    return rc;
}

static const struct tug_core_queue *queue_row(const struct tug_core_conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->n_queues; i++)
        if (!strcmp(conf->queues[i].name, name))
            return &conf->queues[i];
    return NULL;
}

/* Index of the row with that name, starting to look where it most likely is. */
static const struct tug_core_node_row *node_row(const struct tug_core_conf *conf, const char *name,
                                                size_t hint)
{
    for (size_t i = 0; i < conf->n_nodes; i++) {
        const struct tug_core_node_row *n = &conf->nodes[(hint + i) % conf->n_nodes];
        if (!strcmp(n->name, name))
            return n;
    }
    return NULL;
}

static int check_in_use(const struct tug_core *c, const struct tug_core_conf *conf,
                        struct tug_err *err)
{
    for (size_t i = 0; i < c->queues.len; i++) {
        const struct tug_queue *q = &c->queues.at[i];
        size_t at = 0;
        while (at < conf->n_queues &&
               (!conf->queues[at].parent || strcmp(conf->queues[at].parent, q->name) != 0))
            at++;
        if (q->n_jobs && at < conf->n_queues && c->queue_rows.at[i].is_leaf)
            return tug_fail(err, -EBUSY,
                            "queue '%s' still has %zu jobs; wait for them or cancel them, then put "
                            "'%s' below it",
                            q->name, q->n_jobs, conf->queues[at].name);
        if (q->n_jobs && !q->is_ghost && !queue_row(conf, q->name))
            return tug_fail(
                err, -EBUSY,
                "queue '%s' still has %zu jobs; wait for them or cancel them, then remove it",
                q->name, q->n_jobs);
    }
    for (size_t i = 0; i < c->nodes.len; i++) {
        const struct tug_node *n = &c->nodes.at[i];
        if (n->gangs.len && !node_row(conf, n->name, i))
            return tug_fail(err, -EBUSY,
                            "node '%s' is held by job %llu; drain it and wait, then remove it",
                            n->name, (unsigned long long) n->gangs.at[0]->j.id);
        if (n->remnants.len && !node_row(conf, n->name, i))
            return tug_fail(err, -EBUSY,
                            "processes of job %llu do not end on node '%s'; see tug node show %s, and remove it when they are gone",
                            (unsigned long long) n->remnants.at[0].job, n->name, n->name);
    }
    return 0;
}

/* ---- taking it */

static void take_queues(struct tug_core *c, const struct tug_core_conf *conf)
{
    size_t n_old = c->queues.len;
    struct tug_queue *old = c->queues.at;
    memset(&c->queues, 0, sizeof c->queues);
    for (size_t i = 0; i < conf->n_queues; i++) {
        const struct tug_core_queue *row = &conf->queues[i];
        struct tug_queue q = {.name = tug_intern(c->texts, row->name),
                              .nodes = tug_intern(c->texts, row->nodes),
                              .priority = row->priority,
                              .max_time_s = row->max_time_s,
                              .default_time_s = row->default_time_s,
                              .is_default = row->is_default,
                              .is_down = row->is_down,
                              .allow_users = tug_intern(c->texts, row->allow_users),
                              .parent = tug_intern(c->texts, row->parent),
                              .weight = row->weight > 0 ? row->weight : 1,
                              .guarantee_gpus = row->guarantee_gpus,
                              .cap_gpus = row->cap_gpus,
                              .no_borrow = row->no_borrow,
                              .no_lend = row->no_lend,
                              .share_gpus = row->share_gpus,
                              .tier = row->tier,
                              .preemptable = row->preemptable,
                              .preempt_min_run_s = row->preempt_min_run_s,
                              .preempt_signal = row->preempt_signal,
                              .preempt_notice_s = row->preempt_notice_s,
                              .preflight = tug_intern(c->texts, row->preflight),
                              .preflight_floor = row->preflight_floor,
                              .preflight_s = row->preflight_s,
                              .preflight_drains = row->preflight_drains};
        tug_vec_push(&c->queues, q);
    }
    tug_queue_rows_renew(c);
    for (size_t i = 0; i < n_old; i++) {
        struct tug_queue *q = tug_queue_find(c, old[i].name);
        if (!q && old[i].n_jobs) {
            tug_queue_add_ghost(c, old[i].name);
            q = &c->queues.at[c->queues.len - 1];
        }
        if (q)
            q->n_jobs = old[i].n_jobs;
        tug_queue_clear(c, &old[i]);
    }
    free(old);
}

static void take_accounts(struct tug_core *c, const struct tug_core_conf *conf)
{
    double weight = conf->usage_cpu_weight;
    c->usage_cpu_rate =
        weight < 0 ? 0 : weight > 0 ? llround(weight * TUG_USAGE_GPU) : TUG_USAGE_GPU / 10;
    int64_t was_ms = tug_core_usage_half_life_ms(c);
    tug_shares_configure(c->shares, conf->accounts, conf->n_accounts, conf->usage_half_life_ms,
                         c->now_ms);
    if (was_ms != tug_core_usage_half_life_ms(c))
        tug_share_write_all(c);
}

static void take_nodes(struct tug_core *c, const struct tug_core_conf *conf)
{
    size_t n_old = c->nodes.len;
    for (uint32_t i = 0; i < n_old; i++)
        tug_node_configure(c, i, conf->n_nodes ? node_row(conf, c->nodes.at[i].name, i) : NULL);
    for (size_t i = 0; i < conf->n_nodes; i++)
        if (tug_core_node_find(c, conf->nodes[i].name) == TUG_NO_NODE)
            tug_node_configure(c, tug_node_add(c, conf->nodes[i].name), &conf->nodes[i]);
    tug_node_rows_follow(c);
}

/* Shapes and places in the order hang on queues: take every job out, and put it back under the new
 * ones. */
static void unbench_all(struct tug_core *c)
{
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        if (tug_job_state_is_over(e->j.state))
            continue;
        tug_job_unbench(c, e);
        tug_shape_drop(c, e);
    }
    tug_order_settle(&c->order);
}

static void bench_all(struct tug_core *c)
{
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        if (tug_job_state_is_over(e->j.state)) {
            e->queue_row = e->share_row = UINT32_MAX;
            continue;
        }
        tug_shape_hold(c, e);
        tug_share_hold(c, e);
        int64_t charged_ms = e->charged_ms;
        e->charged_ms = -1;
        if (charged_ms >= 0)
            tug_share_run(c, e, charged_ms);
        const struct tug_queue *q = tug_queue_find(c, e->j.req.queue);
        if (!q->is_ghost)
            e->j.priority = (int64_t) q->priority - e->j.req.nice;
        if (e->running_at)
            tug_job_row(c, e, &c->running.at[e->running_at - 1].job);
        if (tug_job_state_waits(e->j.state))
            tug_job_bench(c, e);
    }
}

int tug_config_apply(struct tug_core *c, const struct tug_core_conf *conf, struct tug_err *err)
{
    int rc = check_nodes(conf, err);
    if (!rc)
        rc = check_queues(conf, err);
    if (!rc)
        rc = tug_fabric_check(conf, err);
    if (!rc)
        rc = tug_queue_check_tree(conf, err);
    if (!rc)
        rc = tug_shares_check(conf->accounts, conf->n_accounts, err);
    if (!rc)
        rc = check_in_use(c, conf, err);
    if (rc)
        return rc;
    c->launch_timeout_s = conf->launch_timeout_s;
    c->kill_grace_s = conf->kill_grace_s;
    c->launch_retries = conf->launch_retries ? conf->launch_retries : 1;
    c->pass_budget = conf->pass_budget;
    c->node_bad_launches = conf->node_bad_launches;
    c->kept_ms = conf->kept_ms;
    c->flap_losses = conf->flap_losses;
    c->flap_period_s = conf->flap_period_s;
    c->failures_kept_ms = conf->failures_kept_ms;
    tug_failures_due(c);
    c->link_failures = conf->link_failures;
    c->link_period_s = conf->link_period_s;
    c->link_peers = conf->link_peers;
    tug_links_due(c);
    c->cleaning_timeout_s = conf->cleaning_timeout_s;
    tug_remnants_rearm(c);
    c->placement = conf->placement;
    c->preemption = conf->preemption;
    c->preempt_max = conf->preempt_max ? conf->preempt_max : PREEMPT_MAX;
    c->max_requeues = conf->max_requeues ? conf->max_requeues : MAX_REQUEUES;
    c->requeue_delay_s = conf->requeue_delay_s;
    if (c->preempt_max > c->most_preemptions)
        c->most_preemptions = c->preempt_max;
    c->quiet = conf->quiet;
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id))
        tug_alone_open(c, e);
    unbench_all(c);
    take_nodes(c, conf);
    tug_fabric_take(c, conf);
    take_queues(c, conf);
    take_accounts(c, conf);
    tug_wheres_renew(c);
    bench_all(c);
    tug_alone_reshut(c);
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id))
        tug_job_arm(c, e); /* kept_ms may have changed */
    tug_observe_config(c);
    return 0;
}
