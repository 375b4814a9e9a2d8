/* core.c - the scheduler as a value: events in, actions out
 *
 * One table says which function takes which event. Time never goes back. Layer: core.
 */
#include "core/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

static bool wakes_sooner(const struct tug_heap_node *a, const struct tug_heap_node *b)
{
    const struct tug_entry *x = tug_heap_entry(a, struct tug_entry, wake),
                           *y = tug_heap_entry(b, struct tug_entry, wake);
    return x->wake_ms != y->wake_ms ? x->wake_ms < y->wake_ms : x->j.id < y->j.id;
}

struct tug_core *tug_core_new(const struct tug_core_conf *conf, struct tug_err *err)
{
    struct tug_core *c = tug_new(struct tug_core);
    c->texts = tug_interns_new();
    c->insides = tug_insides_new();
    c->memos = tug_xcalloc(2, sizeof *c->memos);
    c->ledger = tug_ledger_new();
    c->shares = tug_shares_new(c->texts);
    c->wakes.less = wakes_sooner;
    c->rand = tug_rand_seed(conf->seed);
    c->actions.before = 1;
    c->policy_wake_ms = c->failures_next_ms = c->links.next_ms = c->cleaning_next_ms = INT64_MAX;
    c->mass_ms = INT64_MIN;
    c->freed = c->reshaped = 1;
    LIST_INIT(&c->parked);
    if (tug_config_apply(c, conf, err)) {
        tug_core_free(c);
        return NULL;
    }
    return c;
}

static void free_jobs(struct tug_core *c)
{
    struct tug_entry *e;
    while ((e = tug_jobtab_after(&c->jobs, 0))) {
        tug_job_unbench(c, e);
        tug_entry_free(c, e);
    }
    tug_idtab_clear(&c->jobs);
}

void tug_core_free(struct tug_core *c)
{
    if (!c)
        return;
    free_jobs(c);
    tug_plan_clear(c);
    tug_within_clear(c);
    tug_links_clear(c);
    tug_order_clear(&c->order);
    tug_heap_clear(&c->wakes);
    tug_vec_clear(&c->running);
    tug_vec_clear(&c->ripe);
    tug_vec_clear(&c->first);
    tug_vec_clear(&c->picked);
    tug_vec_clear(&c->reclaim.coming);
    tug_vec_clear(&c->reclaim.going);
    tug_vec_clear(&c->chosen);
    tug_vec_clear(&c->proposed);
    tug_vec_clear(&c->veils);
    tug_actions_clear(&c->actions);
    tug_observe_clear(c, &c->events);
    tug_observe_clear(c, &c->recalled);
    tug_vec_clear(&c->events);
    tug_vec_clear(&c->recalled);
    struct tug_name *name, *next;
    HASH_ITER (hh, c->names, name, next) {
        HASH_DEL(c->names, name);
        free(name);
    }
    for (size_t i = 0; i < c->nodes.len; i++)
        tug_node_clear(c, &c->nodes.at[i]);
    for (size_t i = 0; i < c->queues.len; i++)
        tug_queue_clear(c, &c->queues.at[i]);
    tug_vec_clear(&c->nodes);
    tug_vec_clear(&c->node_rows);
    tug_vec_clear(&c->queues);
    tug_vec_clear(&c->queue_rows);
    tug_shares_free(c->shares);
    tug_index_clear(&c->index);
    tug_cuts_clear(c);
    tug_fabric_clear(c);
    tug_ledger_free(c->ledger);
    tug_insides_free(c->insides);
    free(c->memos);
    tug_interns_free(c->texts);
    free(c);
}

static void time_is(struct tug_core *c, int64_t now_ms)
{
    if (now_ms > c->now_ms)
        c->now_ms = now_ms;
    tug_actions_begin(&c->actions);
}

int tug_core_configure(struct tug_core *c, int64_t now_ms, const struct tug_core_conf *conf,
                       struct tug_err *err)
{
    time_is(c, now_ms);
    return tug_config_apply(c, conf, err);
}

static int (*const handlers[])(struct tug_core *c, const struct tug_event *ev,
                               struct tug_err *err) = {
    [TUG_EV_JOB_SUBMIT] = tug_ev_job_submit,
    [TUG_EV_JOB_CANCEL] = tug_ev_job_cancel,
    [TUG_EV_JOB_SIGNAL] = tug_ev_job_signal,
    [TUG_EV_STEP_STOPPED] = tug_ev_step_stopped,
    [TUG_EV_JOB_REQUEUE] = tug_ev_job_requeue,
    [TUG_EV_JOB_HOLD] = tug_ev_job_hold,
    [TUG_EV_JOB_RELEASE] = tug_ev_job_release,
    [TUG_EV_STEP_SUBMIT] = tug_ev_step_submit,
    [TUG_EV_STEP_CANCEL] = tug_ev_step_cancel,
    [TUG_EV_NODE_UP] = tug_ev_node_up,
    [TUG_EV_NODE_CHANGED] = tug_ev_node_changed,
    [TUG_EV_NODE_DOWN] = tug_ev_node_down,
    [TUG_EV_NODE_LEASE_OVER] = tug_ev_node_lease_over,
    [TUG_EV_NODE_DRAIN] = tug_ev_node_drain,
    [TUG_EV_NODE_RESUME] = tug_ev_node_resume,
    [TUG_EV_NODE_HEALTH] = tug_ev_node_health,
    [TUG_EV_LINK_BROKEN] = tug_ev_link_broken,
    [TUG_EV_LINK_CLEAR] = tug_ev_link_clear,
    [TUG_EV_NODE_VISIT_FAILED] = tug_ev_node_visit_failed,
    [TUG_EV_STEP_READY] = tug_ev_step_ready,
    [TUG_EV_STEP_WIRED] = tug_ev_step_wired,
    [TUG_EV_STEP_FAILED] = tug_ev_step_failed,
    [TUG_EV_STEP_WATCH] = tug_ev_step_watch,
    [TUG_EV_STEP_DONE] = tug_ev_step_done,
    [TUG_EV_STEP_STUCK] = tug_ev_step_stuck,
    [TUG_EV_TICK] = tug_ev_tick,
};

int tug_core_apply(struct tug_core *c, int64_t now_ms, const struct tug_event *ev,
                   struct tug_err *err)
{
    tug_assert((size_t) ev->type < sizeof handlers / sizeof *handlers);
    time_is(c, now_ms);
    return handlers[ev->type](c, ev, err);
}

int64_t tug_core_next_wake(const struct tug_core *c)
{
    const struct tug_heap_node *first = tug_heap_first(&c->wakes);
    int64_t at = first ? tug_heap_entry(first, struct tug_entry, wake)->wake_ms : INT64_MAX;
    if (c->failures_next_ms < at)
        at = c->failures_next_ms;
    if (c->links.next_ms < at)
        at = c->links.next_ms;
    if (c->cleaning_next_ms < at)
        at = c->cleaning_next_ms;
    return c->policy_wake_ms < at ? c->policy_wake_ms : at;
}

int tug_core_wants_pass(const struct tug_core *c)
{
    return c->wants_pass;
}

/* ---- reading */

const struct tug_job *tug_core_job(const struct tug_core *c, tug_job_id id)
{
    const struct tug_entry *e = tug_jobtab_find(&c->jobs, id);
    return e ? &e->j : NULL;
}

const struct tug_step *tug_core_step(const struct tug_core *c, tug_job_id id, uint32_t step)
{
    const struct tug_entry *e = tug_jobtab_find(&c->jobs, id);
    return e ? tug_job_step(e, step) : NULL;
}

const struct tug_job *tug_core_job_after(const struct tug_core *c, tug_job_id after)
{
    const struct tug_entry *e = tug_jobtab_after(&c->jobs, after);
    return e ? &e->j : NULL;
}

void tug_core_count(const struct tug_core *c, struct tug_core_counts *out)
{
    *out = (struct tug_core_counts){.pending = c->n_pending,
                                    .running = c->n_running,
                                    .ended = c->n_ended,
                                    .nodes_up = c->nodes_up};
    for (uint32_t i = 0; i < c->nodes.len; i++) {
        struct tug_core_inventory has;
        tug_node_size(c, i, &has);
        out->gpus += c->nodes.at[i].in_conf ? has.gpus : 0;
        const struct tug_ledger_node *l = tug_ledger_node(c->ledger, i);
        out->gpus_used += tug_gpuset_count(l->gpus_used & ~l->all_slices);
    }
}

static size_t job_bytes(const struct tug_entry *e)
{
    size_t bytes =
        sizeof *e + e->j.n_slices * sizeof *e->j.slices + e->j.n_steps * sizeof *e->j.steps;
    for (size_t i = 0; i < e->j.n_steps; i++)
        bytes += e->j.steps[i].n_parts * sizeof *e->j.steps[i].parts;
    if (e->j.visit)
        bytes += sizeof *e->j.visit + e->j.visit->n_parts * sizeof *e->j.visit->parts;
    return bytes + (e->j.explain ? strlen(e->j.explain) + 1 : 0);
}

size_t tug_core_memory_bytes(const struct tug_core *c)
{
    size_t bytes = sizeof *c + tug_interns_bytes(c->texts) + tug_insides_bytes(c->insides);
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id))
        bytes += job_bytes(e);
    bytes += tug_idtab_bytes(&c->jobs);
    bytes += c->order.cap * (sizeof *c->order.rows + sizeof *c->order.briefs) + c->order.added.cap * sizeof *c->order.added.at;
    bytes += (c->events.cap + c->recalled.cap) * sizeof *c->events.at;
    bytes += c->running.cap * sizeof *c->running.at + c->wakes.cap * sizeof *c->wakes.at;
    bytes += HASH_COUNT(c->shapes) * sizeof *c->shapes;
    bytes += HASH_COUNT(c->families_by_key) * (sizeof *c->families_by_key + 12);
    bytes += HASH_COUNT(c->wheres) * (sizeof *c->wheres + c->index.words * sizeof(uint64_t));
    bytes += c->nodes.cap * sizeof *c->nodes.at + c->node_rows.cap * sizeof *c->node_rows.at;
    bytes += c->nodes.len * sizeof(struct tug_ledger_node) +
             (TUG_GPUS_MAX + 4) * c->index.words * sizeof(uint64_t);
    bytes += tug_plan_bytes(c) + tug_shares_bytes(c->shares) +
             c->queue_rows.cap * sizeof *c->queue_rows.at;
    return bytes + c->actions.queue.cap * sizeof *c->actions.queue.at + c->actions.texts.cap;
}
