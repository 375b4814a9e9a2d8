/* waiters.c - who waits for a job to start, to end or to change
 *
 * A list per job that somebody waits for; each waiter is answered once and forgotten. Layer: logic.
 */
#include <stdlib.h>

#include "logic/control_int.h"

static struct ctl_waitlist *list_of(struct tug_control *c, uint64_t job)
{
    struct ctl_waitlist *l;

    HASH_FIND(hh, c->waits, &job, sizeof job, l);
    return l;
}

static void answer(struct tug_control *c, const struct ctl_waiter *w, const struct tug_job *job,
                   const struct tug_step *ended, int timed_out)
{
    Tugpb__WaitReply m = TUGPB__WAIT_REPLY__INIT;
    Tugpb__JobView view;
    struct tug_arena a = {.budget_bytes = 64 << 20};

    tug_ctl_view_job(c, &a, job, 0, &view);
    if (ended) {
        /* The core no longer lists a step that is over: add it as it ended. */
        Tugpb__StepView *s = tug_ctl_alloc(&a, sizeof *s);
        Tugpb__StepView **all = tug_ctl_alloc(&a, (view.n_steps + 1) * sizeof *all);

        tugpb__step_view__init(s);
        s->step = ended->id;
        s->state = (char *) tug_step_state_name(ended->state);
        s->ntasks = ended->ntasks;
        s->exit = tug_ctl_exit_pb(&a, &ended->exit);
        s->cause = tug_ctl_cause_pb(c, &a, &ended->cause);
        s->start_ms = ended->start_ms > 0 ? ended->start_ms : 0;
        s->end_ms = ended->end_ms > 0 ? ended->end_ms : 0;
        for (size_t i = 0; i < view.n_steps; i++)
            all[i] = view.steps[i];
        all[view.n_steps++] = s;
        view.steps = all;
    }
    m.job = &view;
    m.timed_out = timed_out;
    tug_outbox_send(c->out, w->peer, TUG_MSG_WAIT_REPLY, w->rid, &m.base);
    tug_arena_clear(&a);
}

static int is_due(const struct ctl_waiter *w, const struct tug_job *job)
{
    switch (w->until) {
    case TUGPB__WAIT_FOR__WAIT_START:
        return job->state == TUG_JOB_RUNNING || job->state == TUG_JOB_COMPLETING ||
               tug_job_state_is_over(job->state);
    case TUGPB__WAIT_FOR__WAIT_CHANGE:
        return (int) job->state != w->seen_state;
    default:
        return w->step == 0 && tug_job_state_is_over(job->state);
    }
}

/* Answer and drop every waiter of the list for which 'due' holds. */
typedef int due_fn(const struct ctl_waiter *w, const void *arg);

static void sweep(struct tug_control *c, uint64_t id, const struct tug_job *job,
                  const struct tug_step *ended, due_fn *due, const void *arg, int reply,
                  int timed_out)
{
    struct ctl_waitlist *l = list_of(c, id);

    if (!l)
        return;
    for (struct ctl_waiter **at = &l->first; *at;) {
        struct ctl_waiter *w = *at;

        if (!due(w, arg)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        if (reply)
            answer(c, w, job, ended, timed_out);
        free(w);
    }
    if (!l->first) {
        HASH_DEL(c->waits, l);
        free(l);
    }
}

static int due_job(const struct ctl_waiter *w, const void *job)
{
    return is_due(w, job);
}

static int due_step(const struct ctl_waiter *w, const void *step)
{
    return w->step != 0 && w->step == ((const struct tug_step *) step)->id;
}

static int due_peer(const struct ctl_waiter *w, const void *peer)
{
    return w->peer == *(const tug_peer_id *) peer;
}

static int due_time(const struct ctl_waiter *w, const void *now_ms)
{
    return w->timeout_ms <= *(const int64_t *) now_ms;
}

static int due_always(const struct ctl_waiter *w, const void *arg)
{
    (void) w;
    (void) arg;
    return 1;
}

void tug_ctl_wait_add(struct tug_control *c, const struct ctl_waiter *w)
{
    const struct tug_job *job = tug_core_job(c->core, w->job);
    struct ctl_waitlist *l;
    struct ctl_waiter *copy;

    if (is_due(w, job)) {
        answer(c, w, job, NULL, 0);
        return;
    }
    l = list_of(c, w->job);
    if (!l) {
        l = tug_new(struct ctl_waitlist);
        l->job = w->job;
        HASH_ADD(hh, c->waits, job, sizeof l->job, l);
    }
    copy = tug_new(struct ctl_waiter);
    *copy = *w;
    copy->next = l->first;
    l->first = copy;
    if (w->timeout_ms < c->wait_next_ms)
        c->wait_next_ms = w->timeout_ms;
}

void tug_ctl_wait_job(struct tug_control *c, const struct tug_job *job)
{
    sweep(c, job->id, job, NULL, due_job, job, 1, 0);
    /* A job that is over takes its steps along: nobody waits for them for ever. */
    if (tug_job_state_is_over(job->state))
        sweep(c, job->id, job, NULL, due_always, NULL, 1, 0);
}

void tug_ctl_wait_step(struct tug_control *c, const struct tug_job *job,
                       const struct tug_step *ended)
{
    sweep(c, job->id, job, ended, due_step, ended, 1, 0);
}

void tug_ctl_wait_gone(struct tug_control *c, uint64_t job)
{
    sweep(c, job, NULL, NULL, due_always, NULL, 0, 0);
}

void tug_ctl_wait_peer_down(struct tug_control *c, tug_peer_id peer)
{
    struct ctl_waitlist *l, *next;

    HASH_ITER (hh, c->waits, l, next)
        sweep(c, l->job, NULL, NULL, due_peer, &peer, 0, 0);
}

void tug_ctl_wait_check(struct tug_control *c, int64_t now_ms)
{
    struct ctl_waitlist *l, *next;

    if (now_ms < c->wait_next_ms)
        return;
    HASH_ITER (hh, c->waits, l, next)
        sweep(c, l->job, tug_core_job(c->core, l->job), NULL, due_time, &now_ms, 1, 1);
    c->wait_next_ms = INT64_MAX;
    for (l = c->waits; l; l = l->hh.next)
        for (const struct ctl_waiter *w = l->first; w; w = w->next)
            c->wait_next_ms = w->timeout_ms < c->wait_next_ms ? w->timeout_ms : c->wait_next_ms;
}

int64_t tug_ctl_wait_next(const struct tug_control *c)
{
    return c->wait_next_ms;
}
