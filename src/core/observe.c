/* observe.c - what happened since the last pass, for policies that keep state
 *
 * Kept only while a plugin of the set in force wants to know, and then all of its kind: a policy that
 * misses an event is wrong from there on. An event holds its texts, as its job may be forgotten
 * before it is told. Layer: core.
 */
#include "core/state.h"

/* Those of a row of ours are interned already. */
static void hold_texts(const struct tug_policy_job *j)
{
    tug_intern_hold(j->queue);
    tug_intern_hold(j->account);
    tug_intern_hold(j->name);
    tug_intern_hold(j->user);
    tug_intern_hold(j->gpu_model);
}

static void copy_texts(struct tug_core *c, struct tug_policy_job *j)
{
    j->queue = tug_intern(c->texts, j->queue);
    j->account = tug_intern(c->texts, j->account);
    j->name = tug_intern(c->texts, j->name);
    j->user = tug_intern(c->texts, j->user);
    j->gpu_model = tug_intern(c->texts, j->gpu_model);
}

static void drop_texts(struct tug_core *c, const struct tug_policy_job *j)
{
    tug_intern_drop(c->texts, j->queue);
    tug_intern_drop(c->texts, j->account);
    tug_intern_drop(c->texts, j->name);
    tug_intern_drop(c->texts, j->user);
    tug_intern_drop(c->texts, j->gpu_model);
}

static void tell(struct tug_core *c, struct tug_policy_event ev)
{
    if (ev.job.id)
        hold_texts(&ev.job);
    else
        copy_texts(c, &ev.job); /* about no job: "" */
    tug_vec_push(&c->events, ev);
}

static int is_wanted(const struct tug_core *c, enum tug_policy_event_type type)
{
    return c->hooks.observe >> type & 1;
}

static void tell_job(struct tug_core *c, enum tug_policy_event_type type, const struct tug_entry *e,
                     int64_t at_ms)
{
    struct tug_policy_event ev = {.at_ms = at_ms, .type = type, .node = TUG_NO_NODE};
    if (!is_wanted(c, type))
        return;
    tug_job_row(c, e, &ev.job);
    if (type == TUG_POLICY_EV_END) {
        ev.ok = e->j.state == TUG_JOB_COMPLETED;
        ev.job.ran_ms = tug_job_ran_ms(&e->j);
    }
    tell(c, ev);
}

void tug_observe_job(struct tug_core *c, enum tug_policy_event_type type, const struct tug_entry *e)
{
    tell_job(c, type, e, c->now_ms);
}

void tug_observe_node(struct tug_core *c, uint32_t node, int usable)
{
    enum tug_policy_event_type type = usable ? TUG_POLICY_EV_NODE_UP : TUG_POLICY_EV_NODE_DOWN;
    if (is_wanted(c, type))
        tell(c, (struct tug_policy_event){.at_ms = c->now_ms, .type = type, .node = node});
}

/* Queues and shares have moved since. */
static void find_rows(const struct tug_core *c, struct tug_policy_job *j)
{
    const struct tug_entry *e = tug_jobtab_find(&c->jobs, j->id);
    const struct tug_queue *q = tug_queue_find(c, j->queue);
    j->queue_row = q ? (uint32_t) (q - c->queues.at) : UINT32_MAX;
    j->share_row = e ? e->share_row : UINT32_MAX;
}

void tug_observe_config(struct tug_core *c)
{
    for (size_t i = 0; i < c->events.len; i++)
        if (c->events.at[i].job.id)
            find_rows(c, &c->events.at[i].job);
    if (is_wanted(c, TUG_POLICY_EV_CONFIG))
        tell(c, (struct tug_policy_event){
                    .at_ms = c->now_ms, .type = TUG_POLICY_EV_CONFIG, .node = TUG_NO_NODE});
}

void tug_observe_clear(struct tug_core *c, tug_events *events)
{
    for (size_t i = 0; i < events->len; i++)
        drop_texts(c, &events->at[i].job);
    events->len = 0;
    if (events->cap > 4096)
        tug_vec_clear(events);
}

void tug_core_recall(struct tug_core *c, const struct tug_policy_job *row, int64_t end_ms, int ok)
{
    struct tug_policy_event ev = {.at_ms = end_ms,
                                  .type = TUG_POLICY_EV_END,
                                  .node = TUG_NO_NODE,
                                  .ok = ok != 0,
                                  .job = *row};
    copy_texts(c, &ev.job);
    tug_vec_push(&c->recalled, ev);
}

/* The recalled ones move to the events, texts and all. */
static void tell_past(struct tug_core *c)
{
    c->tellings++;
    for (size_t i = 0; i < c->recalled.len; i++) {
        struct tug_entry *e = tug_jobtab_find(&c->jobs, c->recalled.at[i].job.id);
        if (e)
            e->recalled = c->tellings;
        tug_vec_push(&c->events, c->recalled.at[i]);
    }
    tug_vec_clear(&c->recalled);
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id))
        if (tug_job_state_is_over(e->j.state) && e->recalled != c->tellings)
            tell_job(c, TUG_POLICY_EV_END, e, e->j.end_ms);
}

/* It ran, and does not now. */
static void tell_suspended(struct tug_core *c, const struct tug_entry *e)
{
    tell_job(c, TUG_POLICY_EV_START, e, e->j.alloc_ms);
    tell_job(c, TUG_POLICY_EV_SUSPEND, e, e->j.suspended_ms);
}

void tug_observe_all(struct tug_core *c)
{
    if (is_wanted(c, TUG_POLICY_EV_END))
        tell_past(c);
    else
        tug_observe_clear(c, &c->recalled);
    if (!is_wanted(c, TUG_POLICY_EV_SUBMIT) && !is_wanted(c, TUG_POLICY_EV_START) &&
        !is_wanted(c, TUG_POLICY_EV_SUSPEND))
        return;
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        if (e->j.state == TUG_JOB_PENDING)
            tell_job(c, TUG_POLICY_EV_SUBMIT, e, e->j.submit_ms);
        else if (e->running_at)
            tell_job(c, TUG_POLICY_EV_START, e, e->j.alloc_ms);
        else if (e->j.suspended_ms >= 0 && !tug_job_state_is_over(e->j.state))
            tell_suspended(c, e);
    }
}
