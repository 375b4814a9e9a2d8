/* step.c - a step, its parts on the nodes, and the barrier
 *
 * A part goes WAITING, READY, STARTED, KILLING, GONE, may skip but never goes back. No part of a
 * step is STARTED before every part has been READY; once one has failed, every other one is killed,
 * and only the first cause is kept. A step leaves the job (the main one stays, as a record) when
 * all its parts are GONE. in_phase[] counts the parts. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

static const char *const state_names[] = {
    [TUG_STEP_STARTING] = "STARTING", [TUG_STEP_RUNNING] = "RUNNING",
    [TUG_STEP_ENDING] = "ENDING",     [TUG_STEP_COMPLETED] = "COMPLETED",
    [TUG_STEP_FAILED] = "FAILED",     [TUG_STEP_CANCELLED] = "CANCELLED"};

const char *tug_step_state_name(enum tug_step_state s)
{
    return (size_t) s < sizeof state_names / sizeof *state_names ? state_names[s] : "?";
}

int tug_step_state_parse(const char *name)
{
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
        if (!strcmp(name, state_names[i]))
            return (int) i;
    return -1;
}

/* ---- parts */

uint32_t tug_step_allowed_s(const struct tug_core *c, const struct tug_entry *e, const struct tug_step *s)
{
    return c->launch_timeout_s + (tug_visit_is(s) ? tug_visit_prolog_s(c, e) : 0);
}

struct tug_step *tug_step_new(struct tug_core *c, struct tug_entry *e, uint32_t ntasks,
                              const uint32_t *on, size_t n_parts)
{
    struct tug_job *j = &e->j;
    j->steps = tug_xrealloc(j->steps, (j->n_steps + 1) * sizeof *j->steps);
    struct tug_step *s = &j->steps[j->n_steps++];
    *s = (struct tug_step){.id = j->next_step++,
                           .ntasks = ntasks,
                           .n_parts = n_parts,
                           .start_ms = -1,
                           .wired_ms = -1,
                           .end_ms = -1,
                           .cause.node = TUG_NO_NODE};
    s->deadline_ms = c->now_ms + (int64_t) tug_step_allowed_s(c, e, s) * 1000;
    s->parts = tug_xcalloc(n_parts, sizeof *s->parts);
    uint32_t rank = 0, of_job = 0;
    for (uint32_t i = 0; i < n_parts; i++) {
        s->parts[i].slice = on ? on[i] : i;
        of_job += j->slices[s->parts[i].slice].ntasks;
    }
    for (uint32_t i = 0; i < n_parts; i++) {
        struct tug_part *p = &s->parts[i];
        p->first_rank = rank;
        p->ntasks = of_job == ntasks
                        ? j->slices[p->slice].ntasks
                        : ntasks / (uint32_t) n_parts + (i < ntasks % (uint32_t) n_parts);
        rank += p->ntasks;
    }
    s->in_phase[TUG_PART_WAITING] = (uint32_t) n_parts;
    return s;
}

void tug_step_clear(struct tug_step *s)
{
    free(s->parts);
    s->parts = NULL;
    s->n_parts = 0;
    tug_cause_clear(&s->cause);
}

void tug_step_part_set(struct tug_step *s, struct tug_part *p, enum tug_part_phase phase)
{
    s->in_phase[p->phase]--;
    s->in_phase[phase]++;
    p->phase = phase;
    if (phase == TUG_PART_GONE)
        p->lost = 0;
}

struct tug_part *tug_step_part_at(const struct tug_entry *e, const struct tug_step *s,
                                  uint32_t node)
{
    for (size_t i = 0; i < s->n_parts; i++)
        if (e->j.slices[s->parts[i].slice].node == node)
            return &s->parts[i];
    return NULL;
}

static void tell(struct tug_core *c, enum tug_action_type type, const struct tug_entry *e,
                 const struct tug_step *s, const struct tug_part *p, uint32_t grace_s,
                 const char *text)
{
    tug_act_part(c, type, e->j.id, e->j.attempt, s->id, e->j.slices[p->slice].node, grace_s, 0,
                 text);
}

void tug_step_launch(struct tug_core *c, struct tug_entry *e, struct tug_step *s)
{
    tug_act_changed(c, e);
    for (size_t i = 0; i < s->n_parts; i++)
        tell(c, TUG_ACT_LAUNCH, e, s, &s->parts[i], 0, NULL);
}

void tug_step_kill(struct tug_core *c, struct tug_entry *e, struct tug_step *s,
                   const struct tug_cause *cause)
{
    if (s->state >= TUG_STEP_COMPLETED)
        return;
    /* Nobody runs before the barrier; and what is stopped must not go on where others run now. */
    int is_ours = s->state == TUG_STEP_STARTING || tug_preflight_is(e, s);
    uint32_t grace_s = is_ours || e->j.suspended_ms >= 0 ? 0 : c->kill_grace_s;
    if (s->cause.kind == TUG_CAUSE_NONE && cause)
        tug_cause_set(&s->cause, cause);
    s->state = TUG_STEP_ENDING;
    tug_act_changed(c, e);
    for (size_t i = 0; i < s->n_parts; i++) {
        struct tug_part *p = &s->parts[i];
        if (p->phase == TUG_PART_GONE || p->phase == TUG_PART_KILLING)
            continue;
        tug_step_part_set(s, p, TUG_PART_KILLING);
        tell(c, TUG_ACT_KILL, e, s, p, grace_s, s->cause.text);
    }
}

/* ---- exits */

static int weight(const struct tug_exit *x)
{
    return x->signal ? 128 + x->signal : x->code;
}

static void merge_exit(struct tug_exit *to, const struct tug_exit *x)
{
    uint8_t oom = to->oom || x->oom;
    if (weight(x) > weight(to))
        *to = *x;
    to->oom = oom;
}

static enum tug_job_state failed_state(const struct tug_step *s)
{
    return s->exit.oom || s->cause.exit.oom ? TUG_JOB_OUT_OF_MEMORY : TUG_JOB_FAILED;
}

/* ---- failing */

/* The step could not be set up; nobody of it has run. */
static void launch_failed(struct tug_core *c, struct tug_entry *e, struct tug_step *s,
                          const struct tug_cause *cause)
{
    if (s->id == 0 || tug_preflight_is(e, s) || tug_visit_is(s))
        tug_job_launch_failed(c, e, cause);
    else
        tug_step_kill(c, e, s, cause);
}

/* The first failure of a step that runs. */
static void run_failed(struct tug_core *c, struct tug_entry *e, struct tug_step *s,
                       struct tug_cause *cause)
{
    char more[TUG_ACTION_TEXT];
    if (cause->kind == TUG_CAUSE_RANK && weight(&cause->exit) > 0) {
        uint8_t oom = s->exit.oom || cause->exit.oom;
        s->exit = cause->exit;
        s->exit.oom = oom;
    }
    if (cause->kind == TUG_CAUSE_LINK)
        tug_link_said(c, e, cause);
    if (tug_visit_is(s)) { /* it is over and nobody had told it to be */
        tug_job_node_lost(c, e, cause->node, cause->text ? cause->text : "it gave up its part of the gang");
        return;
    }
    if (tug_preflight_is(e, s)) {
        tug_preflight_failed(c, e, cause);
        return;
    }
    if (cause->kind == TUG_CAUSE_HANG) {
        tug_cause_set(&s->cause, cause);
        if (tug_job_hung(c, e, cause, more, sizeof more))
            return;
    }
    if (s->id != 0) {
        tug_step_kill(c, e, s, cause);
        return;
    }
    if (cause->kind == TUG_CAUSE_NODE) { /* the node's own word: it was started anew, or was past its lease */
        tug_job_node_lost(c, e, cause->node, cause->text);
        return;
    }
    if (cause->kind == TUG_CAUSE_LINK) {
        tug_job_link_lost(c, e, cause);
        return;
    }
    tug_cause_set(&s->cause, cause);
    e->j.exit = s->exit;
    if (e->j.state == TUG_JOB_RUNNING && e->j.gives_way && cause->kind == TUG_CAUSE_RANK)
        tug_preempt_left(c, e, NULL);
    else if (!tug_requeue_wants(e, cause) || !tug_requeue_failed(c, e, cause, more, sizeof more))
        tug_job_end(c, e, failed_state(s), cause);
}

static void failed(struct tug_core *c, struct tug_entry *e, struct tug_step *s,
                   struct tug_cause *cause)
{
    if (s->state == TUG_STEP_STARTING) {
        if (cause->kind == TUG_CAUSE_LAUNCH || cause->kind == TUG_CAUSE_STEPD) {
            tug_failure_note(c, cause->node, TUG_FAILURE_LAUNCH, e->j.id);
            tug_job_shun(c, e, cause->node);
            tug_node_bad_launch(c, cause->node, cause->text);
        }
        launch_failed(c, e, s, cause);
    } else if (s->state == TUG_STEP_RUNNING) {
        if (cause->kind == TUG_CAUSE_STEPD && cause->node != TUG_NO_NODE) {
            tug_failure_note(c, cause->node, TUG_FAILURE_STEPD, e->j.id);
            tug_job_shun(c, e, cause->node);
        }
        run_failed(c, e, s, cause);
    }
}

static void node_was_late(struct tug_core *c, struct tug_entry *e, uint32_t node, uint32_t allowed_s)
{
    char text[80];
    snprintf(text, sizeof text, "it was not ready within %u s", allowed_s);
    tug_failure_note(c, node, TUG_FAILURE_LATE, e->j.id);
    tug_job_shun(c, e, node);
    tug_node_bad_launch(c, node, text);
}

void tug_step_late(struct tug_core *c, struct tug_entry *e, struct tug_step *s)
{
    char text[TUG_ACTION_TEXT];
    uint32_t first = TUG_NO_NODE;
    unsigned more = s->in_phase[TUG_PART_WAITING];
    uint32_t allowed_s = tug_step_allowed_s(c, e, s);
    for (size_t i = 0; i < s->n_parts; i++)
        if (s->parts[i].phase == TUG_PART_WAITING && first == TUG_NO_NODE)
            first = e->j.slices[s->parts[i].slice].node;
    int n = snprintf(text, sizeof text, "node %s was not ready within %u s",
                     c->nodes.at[first].name, allowed_s);
    if (more > 1 && n > 0 && (size_t) n < sizeof text)
        snprintf(text + n, sizeof text - (size_t) n, ", nor %u more", more - 1);
    for (size_t i = 0; i < s->n_parts; i++)
        if (s->parts[i].phase == TUG_PART_WAITING)
            node_was_late(c, e, e->j.slices[s->parts[i].slice].node, allowed_s);
    struct tug_cause cause = {
        .kind = TUG_CAUSE_LAUNCH, .node = first, .at_ms = c->now_ms, .text = text};
    launch_failed(c, e, s, &cause);
}

/* ---- ending */

static void finish(struct tug_core *c, struct tug_entry *e, struct tug_step *s)
{
    if (s->state >= TUG_STEP_COMPLETED)
        return;
    if (s->cause.kind == TUG_CAUSE_NONE)
        s->state = TUG_STEP_COMPLETED;
    else
        s->state = s->cause.kind == TUG_CAUSE_CANCEL || s->cause.kind == TUG_CAUSE_PREEMPT
                       ? TUG_STEP_CANCELLED
                       : TUG_STEP_FAILED;
    s->end_ms = c->now_ms;
    if (s->id == 0)
        e->j.exit = s->exit;
}

static void take_off(struct tug_core *c, struct tug_entry *e, struct tug_step *s)
{
    struct tug_job *j = &e->j;
    if (j->hang.kind[0] && j->hang.step == s->id)
        tug_hang_clear(&j->hang);
    size_t at = (size_t) (s - j->steps);
    struct tug_step *ended = tug_xmemdup(s, sizeof *s);
    memmove(s, s + 1, (j->n_steps - at - 1) * sizeof *s);
    j->n_steps--;
    tug_act_changed(c, e);
    tug_act_step_ended(c, e, ended);
}

void tug_step_settle(struct tug_core *c, struct tug_entry *e, struct tug_step *s)
{
    if (s->in_phase[TUG_PART_GONE] < s->n_parts)
        return;
    finish(c, e, s);
    if (tug_visit_is(s)) {
        tug_job_settle(c, e);
        tug_job_arm(c, e);
        return;
    }
    int is_main = s->id == 0, is_cleared = tug_preflight_is(e, s) && e->j.state == TUG_JOB_CONFIGURING;
    if (s->id != 0)
        take_off(c, e, s);
    if (is_cleared)
        tug_job_launch(c, e);
    else if (is_main && (e->j.state == TUG_JOB_RUNNING || e->j.state == TUG_JOB_SUSPENDED))
        tug_job_end(c, e, TUG_JOB_COMPLETED, NULL);
    tug_job_settle(c, e);
    tug_job_arm(c, e);
}

/* A failure may have ended the job's attempt and taken the step with it: look for it again. */
static void settle_again(struct tug_core *c, struct tug_entry *e, uint32_t attempt, uint32_t step)
{
    struct tug_step *s = e->j.attempt == attempt ? tug_job_step(e, step) : NULL;
    if (s && s->state < TUG_STEP_COMPLETED)
        tug_step_settle(c, e, s);
    if (e->j.attempt == attempt)
        tug_visit_leave(c, e);
    tug_suspend_settle(c, e);
    tug_job_arm(c, e);
}

void tug_step_part_vanished(struct tug_core *c, struct tug_entry *e, struct tug_step *s,
                            struct tug_part *p)
{
    uint32_t node = e->j.slices[p->slice].node, attempt = e->j.attempt, id = s->id;
    enum tug_part_phase was = p->phase;
    tug_act_changed(c, e);
    tug_step_part_set(s, p, TUG_PART_GONE);
    if (was != TUG_PART_KILLING || (id == 0 && tug_job_failed_with(&e->j, node)))
        tug_job_node_lost(c, e, node, "it came back without its part of the gang");
    settle_again(c, e, attempt, id);
}

/* ---- events of clients */

static int find_step(const struct tug_core *c, const struct tug_event *ev, struct tug_entry **e,
                     struct tug_step **s, struct tug_err *err)
{
    *e = tug_jobtab_find(&c->jobs, ev->job);
    if (!*e)
        return tug_fail(err, -ENOENT, "there is no job %llu", (unsigned long long) ev->job);
    *s = tug_job_step(*e, ev->step);
    if (!*s)
        return tug_fail(err, -ENOENT, "there is no step %u in job %llu", ev->step,
                        (unsigned long long) ev->job);
    return 0;
}

int tug_ev_step_submit(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct tug_entry *e = tug_jobtab_find(&c->jobs, ev->job);
    if (!e)
        return tug_fail(err, -ENOENT, "there is no job %llu", (unsigned long long) ev->job);
    if (e->j.state != TUG_JOB_RUNNING || e->j.stopping_ms >= 0)
        return tug_fail(err, -EINVAL, "job %llu is %s: steps are started inside a job that runs",
                        (unsigned long long) ev->job, tug_job_shown_state(&e->j));
    uint32_t ntasks = ev->ntasks ? ev->ntasks : e->j.req.ntasks;
    if (ev->n_on > ntasks)
        return tug_fail(err, -EINVAL, "%u ranks cannot be on %zu nodes: each has one at least",
                        ntasks, ev->n_on);
    for (size_t i = 0; i < ev->n_on; i++)
        if (ev->on[i] >= e->j.n_slices || (i && ev->on[i] <= ev->on[i - 1]))
            return tug_fail(err, -EINVAL, "the step's nodes are not nodes of job %llu, each once",
                            (unsigned long long) ev->job);
    size_t n_parts = ntasks < e->j.n_slices ? ntasks : e->j.n_slices;
    struct tug_step *s = ev->n_on ? tug_step_new(c, e, ntasks, ev->on, ev->n_on)
                                  : tug_step_new(c, e, ntasks, NULL, n_parts);
    if (ev->step_out)
        *ev->step_out = s->id;
    tug_step_launch(c, e, s);
    tug_job_arm(c, e);
    return 0;
}

int tug_ev_step_cancel(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct tug_entry *e;
    struct tug_step *s;
    int rc = find_step(c, ev, &e, &s, err);
    if (rc)
        return rc;
    if (s->id == 0)
        return tug_ev_job_cancel(c, ev, err);
    if (tug_preflight_is(e, s))
        return tug_fail(err, -EPERM, "step %u of job %llu is its preflight, without which it does not start; cancel the job",
                        s->id, (unsigned long long) e->j.id);
    if (s->state == TUG_STEP_ENDING)
        return tug_fail(err, -EALREADY, "step %u of job %llu is being ended already", s->id,
                        (unsigned long long) ev->job);
    struct tug_cause cause = {.kind = TUG_CAUSE_CANCEL,
                              .node = TUG_NO_NODE,
                              .at_ms = c->now_ms,
                              .text = (char *) (uintptr_t) (ev->text ? ev->text : "cancelled")};
    tug_step_kill(c, e, s, &cause);
    tug_job_arm(c, e);
    return 0;
}

/* ---- events of nodes */

struct part_ref {
    struct tug_entry *e;
    struct tug_step *s;
    struct tug_part *p;
};

/* The part that the event is about, if it is one that the core expects to hear of. */
static int find_part(const struct tug_core *c, const struct tug_event *ev, struct part_ref *out)
{
    out->e = tug_jobtab_find(&c->jobs, ev->job);
    if (!out->e || out->e->j.attempt != ev->attempt || !tug_job_state_holds(out->e->j.state))
        return 0;
    out->s = tug_job_step(out->e, ev->step);
    out->p = out->s ? tug_step_part_at(out->e, out->s, ev->node) : NULL;
    return out->p != NULL;
}

static int check_node(const struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    if (ev->node >= c->nodes.len)
        return tug_fail(err, -EINVAL, "there is no node %u", ev->node);
    return 0;
}

/* A gang's head reports for all of them: may it say that 'node' was it? Only a node of the gang,
 * and never for what would count against a node: a step daemon that is lost before the barrier
 * does. */
static int is_on(const struct tug_job *j, uint32_t node)
{
    return j && tug_job_slice_on(j, node);
}

static int may_name(const struct tug_core *c, const struct tug_event *ev, enum tug_cause_kind kind)
{
    const struct tug_job *j = tug_core_job(c, ev->job);

    const struct tug_step *s = tug_core_step(c, ev->job, ev->step);
    int runs = s && s->state != TUG_STEP_STARTING;

    if (ev->cause.kind == TUG_CAUSE_NONE || kind == TUG_CAUSE_LAUNCH ||
        (kind == TUG_CAUSE_STEPD && !runs))
        return 0;
    return is_on(j, ev->cause.node);
}

/* The node's word as a cause: when is known better here than there. */
static struct tug_cause cause_of(const struct tug_core *c, const struct tug_event *ev,
                                 enum tug_cause_kind fallback, const char *text)
{
    struct tug_cause cause = ev->cause;
    if (cause.kind == TUG_CAUSE_NONE)
        cause.kind = fallback;
    if (!cause.text || !*cause.text)
        cause.text = (char *) (uintptr_t) text;
    if (!may_name(c, ev, cause.kind))
        cause.node = ev->node;
    if (cause.kind == TUG_CAUSE_LINK && (cause.peer == cause.node || !is_on(tug_core_job(c, ev->job), cause.peer)))
        cause.kind = TUG_CAUSE_STEPD; /* no two of the gang */
    cause.at_ms = c->now_ms;
    return cause;
}

static void open_barrier(struct tug_core *c, struct tug_entry *e, struct tug_step *s)
{
    struct tug_job *j = &e->j;
    s->state = TUG_STEP_RUNNING;
    s->start_ms = c->now_ms;
    if (s->id == 0) {
        tug_job_move(c, e, TUG_JOB_RUNNING);
        j->launched_ms = tug_not_before(c, j->alloc_ms);
        j->launch_failures = 0;
        if (j->req.time_limit_s)
            j->limit_ms = c->now_ms + (int64_t) j->req.time_limit_s * 1000;
        tug_act_job(c, TUG_ACT_JOB_HISTORY, e, "start");
        tug_job_refresh_row(c, e);
        tug_preempt_can_now(c, e);
    }
    if (tug_preflight_is(e, s))
        tug_preflight_opened(c, e, s);
    tug_act_changed(c, e);
    for (size_t i = 0; i < s->n_parts; i++) {
        tug_step_part_set(s, &s->parts[i], TUG_PART_STARTED);
        tell(c, TUG_ACT_START, e, s, &s->parts[i], 0, NULL);
        tug_node_good_launch(c, j->slices[s->parts[i].slice].node);
    }
    tug_job_arm(c, e);
}

void tug_step_open(struct tug_core *c, struct tug_entry *e, struct tug_step *s)
{
    if (s->state == TUG_STEP_STARTING && s->in_phase[TUG_PART_READY] == s->n_parts &&
        e->j.state != TUG_JOB_SUSPENDED && e->j.stopping_ms < 0) {
        if (tug_visit_is(s))
            tug_visit_entered(c, e);
        else
            open_barrier(c, e, s);
    }
}

int tug_ev_step_ready(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct part_ref r;
    int rc = check_node(c, ev, err);
    if (rc)
        return rc;
    if (!find_part(c, ev, &r) || r.p->phase == TUG_PART_GONE) {
        tug_node_stray(c, ev->node, ev->job, ev->attempt, ev->step, "is not expected here");
        return 0;
    }
    if (r.p->phase == TUG_PART_WAITING) {
        tug_step_part_set(r.s, r.p, TUG_PART_READY);
        tug_act_changed(c, r.e);
        tug_step_open(c, r.e, r.s);
    } else if (r.p->phase == TUG_PART_STARTED && tug_visit_is(r.s)) {
        return 0; /* said again after a reconnect */
    } else if (r.p->phase == TUG_PART_STARTED && r.e->j.state != TUG_JOB_SUSPENDED) {
        tell(c, TUG_ACT_START, r.e, r.s, r.p, 0, NULL);
        if (r.e->j.stopping_ms >= 0)
            tug_suspend_say_again(c, r.e, r.s, ev->node);
    } else if (r.p->phase == TUG_PART_KILLING) {
        tell(c, TUG_ACT_KILL, r.e, r.s, r.p, 0, r.s->cause.text);
    }
    return 0;
}

int tug_ev_step_wired(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct part_ref r;
    int rc = check_node(c, ev, err);
    if (rc || !find_part(c, ev, &r) || r.p->phase != TUG_PART_STARTED || r.p->wired)
        return rc;
    r.p->wired = 1;
    if (++r.s->wired_parts < r.s->n_parts)
        return 0;
    r.s->wired_ms = c->now_ms;
    if (r.s->id == 0)
        r.e->j.wired_ms = c->now_ms;
    tug_act_changed(c, r.e);
    return 0;
}

/* One row of the history when a gang begins to hang and one when it goes on, not one for each word in between. */
int tug_ev_step_watch(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct part_ref r;
    int rc = check_node(c, ev, err);
    if (rc || !ev->hang || !find_part(c, ev, &r) || r.p != &r.s->parts[0] ||
        r.p->phase != TUG_PART_STARTED)
        return rc;
    struct tug_hang *h = &r.e->j.hang;
    int was = h->kind[0] != 0, mine = was && h->step == ev->step, is = ev->hang->kind[0] != 0;
    if (!is && !mine)
        return 0;
    if (is && mine && h->text && ev->hang->text && !strcmp(h->text, ev->hang->text))
        return 0; /* said again after a reconnect */
    if (is) {
        tug_hang_set(h, ev->hang);
        h->step = ev->step;
    } else {
        tug_hang_clear(h);
    }
    tug_act_changed(c, r.e);
    if (is != mine)
        tug_act_job(c, TUG_ACT_JOB_HISTORY, r.e, is ? "hang" : "hang-over");
    return 0;
}

/* The first cause of a failure stands, but for two, which cost the attempt and not the job: the others saw that a part had
 * gone, and its node knows that it was the node itself; or ranks failed, and now it shows that their nodes had lost each
 * other. */
static void known_better(struct tug_core *c, const struct part_ref *r, const struct tug_event *ev)
{
    struct tug_cause cause = cause_of(c, ev, TUG_CAUSE_NONE, "");
    if (cause.kind == TUG_CAUSE_LINK) {
        tug_link_said(c, r->e, &cause);
        if (r->s->id == 0)
            tug_job_link_lost(c, r->e, &cause);
    }
    if (r->s->id == 0 && ev->cause.kind == TUG_CAUSE_NODE)
        tug_job_node_lost(c, r->e, ev->node, ev->cause.text ? ev->cause.text : "it was started anew");
}

int tug_ev_step_failed(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct part_ref r;
    int rc = check_node(c, ev, err);
    if (rc)
        return rc;
    if (!find_part(c, ev, &r) || r.p->phase == TUG_PART_GONE) {
        tug_act_part(c, TUG_ACT_KILL, ev->job, ev->attempt, ev->step, ev->node, 0, 0,
                     "is not expected here");
        return 0;
    }
    if (r.p->phase == TUG_PART_KILLING) {
        known_better(c, &r, ev);
        return 0; /* its end is awaited */
    }
    struct tug_cause cause = cause_of(c, ev, TUG_CAUSE_LAUNCH, "failed without saying why");
    uint32_t attempt = r.e->j.attempt;
    failed(c, r.e, r.s, &cause);
    settle_again(c, r.e, attempt, ev->step);
    return 0;
}

/* What a finished part says about its ranks: 1 and 'out' (its text in buf) if that is a failure. */
static int exits_failed(const struct tug_core *c, const struct tug_event *ev,
                        const struct tug_part *p, struct tug_cause *out, char *buf,
                        size_t size_bytes)
{
    const char *node = c->nodes.at[ev->node].name;
    snprintf(buf, size_bytes, "node %s said nothing of its ranks", node);
    if (ev->cause.kind != TUG_CAUSE_NONE || ev->n_exits == 0) {
        *out = cause_of(c, ev, TUG_CAUSE_STEPD, buf);
        return 1;
    }
    for (uint32_t i = 0; i < ev->n_exits; i++) {
        const struct tug_exit *x = &ev->exits[i];
        if (weight(x) == 0)
            continue;
        snprintf(buf, size_bytes,
                 x->signal ? "rank %u on node %s was ended by signal %d"
                           : "rank %u on node %s exited with code %d",
                 p->first_rank + i, node, x->signal ? x->signal : x->code);
        *out = cause_of(c, ev, TUG_CAUSE_RANK, buf);
        out->rank = p->first_rank + i;
        out->exit = *x;
        return 1;
    }
    return 0;
}

static void take_exits(struct tug_entry *e, struct tug_step *s, const struct tug_event *ev)
{
    struct tug_exit all = s->exit;
    for (size_t i = 0; i < ev->n_exits; i++)
        merge_exit(&all, &ev->exits[i]);
    if (s->cause.kind == TUG_CAUSE_RANK && weight(&s->exit) > 0)
        s->exit.oom = all.oom; /* the culprit's exit stands, the others were killed */
    else
        s->exit = all;
    if (s->id != 0)
        return;
    e->j.exit = s->exit;
    if (e->j.state == TUG_JOB_COMPLETING && e->j.end_state == TUG_JOB_FAILED)
        e->j.end_state = failed_state(s);
}

/* That the kernel killed for memory shows last, when it was counted: the same failure, told better. */
static void take_memory(struct tug_core *c, const struct part_ref *r, const struct tug_event *ev)
{
    struct tug_cause cause = cause_of(c, ev, TUG_CAUSE_NONE, "");
    struct tug_cause *of[] = {&r->s->cause, r->s->id == 0 ? &r->e->j.cause : NULL};
    if (cause.kind != TUG_CAUSE_RANK || !cause.exit.oom)
        return;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (of[i] && of[i]->kind == TUG_CAUSE_RANK && of[i]->node == cause.node && of[i]->rank == cause.rank)
            tug_cause_set(of[i], &cause);
}

/* Nothing of that part runs any more: what it says of its ranks counts, and the step goes on to its end. */
static void part_over(struct tug_core *c, const struct tug_event *ev, struct part_ref *r)
{
    enum tug_part_phase was = r->p->phase;
    struct tug_cause cause;
    char text[TUG_ACTION_TEXT];
    int bad = was != TUG_PART_KILLING && exits_failed(c, ev, r->p, &cause, text, sizeof text);
    uint32_t attempt = r->e->j.attempt;
    tug_act_changed(c, r->e);
    take_exits(r->e, r->s, ev);
    if (was == TUG_PART_KILLING)
        known_better(c, r, ev);
    take_memory(c, r, ev);
    tug_step_part_set(r->s, r->p, TUG_PART_GONE);
    if (was == TUG_PART_WAITING || was == TUG_PART_READY) {
        if (!bad || ev->cause.kind == TUG_CAUSE_NONE)
            cause = cause_of(c, ev, TUG_CAUSE_LAUNCH, "ended before the gang started");
        bad = 1;
    }
    if (bad)
        failed(c, r->e, r->s, &cause);
    settle_again(c, r->e, attempt, ev->step);
}

/* A job that is being stopped may have waited for that. */
static void remnant_over(struct tug_core *c, const struct tug_event *ev)
{
    struct tug_entry *e = tug_jobtab_find(&c->jobs, ev->job);
    if (!tug_remnant_gone(c, ev->node, ev->job, ev->attempt, ev->step) || !e || e->j.attempt != ev->attempt)
        return;
    tug_suspend_settle(c, e);
    tug_job_arm(c, e);
}

int tug_ev_step_done(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct part_ref r;
    int rc = check_node(c, ev, err);
    if (rc)
        return rc;
    if (find_part(c, ev, &r) && r.p->phase != TUG_PART_GONE) {
        part_over(c, ev, &r);
    } else {
        remnant_over(c, ev);
        tug_node_stray_gone(c, ev->node, ev->job, ev->attempt, ev->step);
    }
    tug_act_part(c, TUG_ACT_ACK, ev->job, ev->attempt, ev->step, ev->node, 0, 0, NULL);
    return 0;
}

int tug_ev_step_stuck(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    const struct tug_held_step held = {.job = ev->job, .attempt = ev->attempt, .step = ev->step};
    struct part_ref r;
    int rc = check_node(c, ev, err);
    if (rc)
        return rc;
    if (find_part(c, ev, &r) && r.p->phase != TUG_PART_GONE) {
        tug_remnant_put(c, ev, TUG_REMNANT_OF_GANG); /* first: whoever releases the gang looks for it */
        part_over(c, ev, &r);
        return 0;
    }
    if (!tug_remnant_is_known(c, ev->node, &held))
        tug_node_stray(c, ev->node, ev->job, ev->attempt, ev->step, "is not expected here");
    tug_remnant_put(c, ev, TUG_REMNANT_NOTHING);
    return 0;
}
