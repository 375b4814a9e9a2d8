/* agent_health.c - the node's health check: when it is run, and what comes of it
 *
 * One run at a time, by the peer TUG_PEER_CHECKER, which answers every HC_RUN with one HC_DONE. What the last run found
 * is kept in the store before the controller hears of it, and told again after every welcome. A check that cannot be run
 * says nothing of the node: neither that it is sick nor that it is well again. The launch of a job that has nothing here
 * yet may wait for a run. Layer: logic.
 */
#include <stdio.h>
#include <string.h>

#include "core/job.h"
#include "logic/agent_impl.h"

void tug_agent_check_init(struct tug_agent *a, const struct tug_agent_check *check)
{
    a->check.next_ms = INT64_MAX;
    if (!check || !check->program)
        return;
    a->check.is = *check;
    a->check.is.program = tug_xstrdup(check->program);
    if (check->when != TUG_CHECK_NEVER)
        a->check.next_ms = 0;
}

void tug_agent_check_clear(struct tug_agent *a)
{
    free((char *) (uintptr_t) a->check.is.program);
    tug_proto_drop(a->check.found);
}

/* ---- when */

static bool is_idle(const struct tug_agent *a)
{
    for (size_t i = 0; i < a->steps.len; i++)
        if (a->steps.at[i]->phase != TUGPB__STEP_PHASE__STEP_DONE)
            return false;
    for (size_t i = 0; i < a->visits.len; i++)
        if (a->visits.at[i]->phase != TUGPB__STEP_PHASE__STEP_DONE)
            return false;
    return true;
}

int64_t tug_agent_check_next(const struct tug_agent *a)
{
    if (!a->check.is.program || a->check.running || !a->listed)
        return INT64_MAX;
    if (a->check.job_ended)
        return a->now_ms;
    if (a->check.is.when == TUG_CHECK_IDLE && !is_idle(a))
        return INT64_MAX;
    return a->check.next_ms;
}

static void run(struct tug_agent *a, const char *why)
{
    Tugpb__HcRun m = TUGPB__HC_RUN__INIT;
    m.program = (char *) (uintptr_t) a->check.is.program;
    m.timeout_s = a->check.is.timeout_s;
    m.why = (char *) (uintptr_t) why;
    a->check.running = true;
    a->check.job_ended = false;
    tug_agent_send(a, TUG_PEER_CHECKER, TUG_MSG_HC_RUN, &m);
}

void tug_agent_check_due(struct tug_agent *a)
{
    if (tug_agent_check_next(a) <= a->now_ms)
        run(a, a->check.job_ended ? "after" : "period");
}

void tug_agent_check_after(struct tug_agent *a, struct agent_key key)
{
    if (a->check.is.after_job && key.step == (tug_agent_visit_of(a, key) ? TUG_VISIT_STEP : 0))
        a->check.job_ended = true;
}

bool tug_agent_check_before(struct tug_agent *a, struct agent_key key)
{
    if (!a->check.is.program || !a->check.is.before_job)
        return false;
    if (key.step != TUG_VISIT_STEP && tug_agent_visit_of(a, key))
        return false;
    for (size_t i = 0; i < a->steps.len; i++) {
        const struct agent_key *other = &a->steps.at[i]->key;
        if (other->step != key.step && other->job == key.job && other->attempt == key.attempt)
            return false;
    }
    if (!a->check.running)
        run(a, "before");
    return true;
}

/* ---- what came of it */

static bool is_sick(const struct tug_agent *a)
{
    return a->check.found && a->check.found->state == TUGPB__HEALTH_STATE__HEALTH_SICK;
}

/* For a reason that passes by itself: nothing of it is kept. */
static void tell_sick(struct tug_agent *a, char *text, int64_t since_ms)
{
    Tugpb__NodeHealth sick = TUGPB__NODE_HEALTH__INIT;
    sick.state = TUGPB__HEALTH_STATE__HEALTH_SICK;
    sick.text = text;
    sick.since_ms = since_ms;
    tug_agent_send(a, a->controller, TUG_MSG_NODE_HEALTH, &sick);
}

void tug_agent_check_tell(struct tug_agent *a)
{
    const Tugpb__NodeHealth none = TUGPB__NODE_HEALTH__INIT;
    if (a->welcomed && a->takes_health && (a->full || a->mute)) {
        tell_sick(a, a->full ? a->full : a->mute, a->full ? a->full_ms : a->mute_ms);
        return;
    }
    if (!a->welcomed || !a->takes_health || (a->check.is.program && !a->check.found))
        return;
    tug_agent_send(a, a->controller, TUG_MSG_NODE_HEALTH, a->check.is.program ? a->check.found : &none);
}

void tug_agent_check_welcomed(struct tug_agent *a)
{
    tug_agent_check_tell(a);
}

/* Launches that waited for it. */
static void let_go(struct tug_agent *a)
{
    for (size_t i = a->steps.len; i-- > 0;) {
        struct agent_step *s = a->steps.at[i];
        if (!s->waits_check)
            continue;
        s->waits_check = false;
        if (is_sick(a)) {
            a->counts.refused_launches++;
            tug_agent_fail_text(a, s, "launch", "health check of %s: %s", a->node, a->check.found->text);
            tug_agent_finish(a, s);
        } else if (!s->requeueable || a->lease_until_ms > a->now_ms) {
            tug_agent_give(a, s, s->order);
        }
    }
    tug_agent_visits_checked(a, is_sick(a) ? a->check.found->text : NULL);
}

static Tugpb__HealthState state_of(const Tugpb__HcDone *m)
{
    if (m->trouble)
        return TUGPB__HEALTH_STATE__HEALTH_BROKEN;
    return m->failed ? TUGPB__HEALTH_STATE__HEALTH_SICK : TUGPB__HEALTH_STATE__HEALTH_GOOD;
}

void tug_agent_check_done(struct tug_agent *a, const Tugpb__HcDone *m)
{
    Tugpb__NodeHealth now = TUGPB__NODE_HEALTH__INIT;
    const Tugpb__NodeHealth *was = a->check.found;
    if (!a->check.running)
        return;
    a->check.running = false;
    a->check.next_ms =
        a->check.is.when == TUG_CHECK_NEVER ? INT64_MAX : a->now_ms + 1000LL * a->check.is.period_s;
    now.state = state_of(m);
    now.text = now.state == TUGPB__HEALTH_STATE__HEALTH_GOOD ? (char *) "" : m->text;
    now.program = (char *) (uintptr_t) a->check.is.program;
    bool same = was && was->state == now.state && !strcmp(was->text, now.text) && !strcmp(was->program, now.program);
    now.since_ms = same || (was && was->state == now.state) ? was->since_ms : a->now_ms;
    if (!same) {
        tug_agent_log(a, now.state == TUGPB__HEALTH_STATE__HEALTH_GOOD ? TUG_LOG_INFO : TUG_LOG_ERROR, "health check %s: %s",
                      now.program, *now.text ? now.text : "healthy");
        Tugpb__NodeHealth *kept = (Tugpb__NodeHealth *) tug_proto_copy(&now.base);
        tug_proto_drop(a->check.found);
        a->check.found = kept;
        tug_agent_keep_health(a, a->check.found);
    }
    if (!same || is_sick(a)) /* an admin may have insisted */
        tug_agent_check_tell(a);
    let_go(a);
}
