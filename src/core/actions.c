/* actions.c - what goes out, in order
 *
 * Every action has a number that is never used twice. A job's or node's CHANGED is queued only if
 * its last one has been taken: the host writes the record as it is when it drains, so one is
 * enough, and it stands before every order that relies on it because all of a drain is durable
 * before any of it is carried out. Layer: core.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

static void free_ended(struct tug_actions *a)
{
    for (size_t i = 0; i < a->ended.len; i++) {
        tug_step_clear(a->ended.at[i]);
        free(a->ended.at[i]);
    }
    a->ended.len = 0;
}

void tug_actions_clear(struct tug_actions *a)
{
    free_ended(a);
    tug_vec_clear(&a->ended);
    tug_vec_clear(&a->queue);
    tug_buf_clear(&a->texts);
}

void tug_actions_begin(struct tug_actions *a)
{
    if (a->taken < a->queue.len)
        return;
    a->before += a->queue.len;
    a->queue.len = 0;
    a->taken = 0;
    tug_buf_reset(&a->texts);
    free_ended(a);
}

static size_t keep_text(struct tug_actions *a, const char *text)
{
    if (!text || !*text)
        return 0;
    size_t at = a->texts.len;
    tug_buf_add(&a->texts, text, strlen(text) + 1);
    return at + 1;
}

static void push(struct tug_core *c, struct tug_queued_action act, const char *text)
{
    act.text = keep_text(&c->actions, text);
    tug_vec_push(&c->actions.queue, act);
}

/* Is the action of that number still to be taken? */
static int is_queued(const struct tug_actions *a, uint64_t number)
{
    return number >= a->before + a->taken && number < a->before + a->queue.len;
}

static uint64_t next_number(const struct tug_actions *a)
{
    return a->before + a->queue.len;
}

void tug_act_job(struct tug_core *c, enum tug_action_type type, const struct tug_entry *e,
                 const char *text)
{
    push(c,
         (struct tug_queued_action){
             .type = type, .job = e->j.id, .attempt = e->j.attempt, .node = TUG_NO_NODE},
         text);
}

void tug_act_onhold(struct tug_core *c, const struct tug_entry *e, const char *what, enum tug_onhold_by whose, uint32_t uid,
                    const char *user)
{
    push(c,
         (struct tug_queued_action){.type = TUG_ACT_JOB_HISTORY,
                                    .job = e->j.id,
                                    .attempt = e->j.attempt,
                                    .node = TUG_NO_NODE,
                                    .what = tug_onhold_name(whose),
                                    .uid = uid,
                                    .user = keep_text(&c->actions, user)},
         what);
}

void tug_act_changed(struct tug_core *c, struct tug_entry *e)
{
    if (is_queued(&c->actions, e->changed_at))
        return;
    e->changed_at = next_number(&c->actions);
    tug_act_job(c, TUG_ACT_JOB_CHANGED, e, NULL);
}

void tug_act_node_changed(struct tug_core *c, uint32_t node)
{
    struct tug_node *n = &c->nodes.at[node];
    if (is_queued(&c->actions, n->changed_at))
        return;
    n->changed_at = next_number(&c->actions);
    push(c, (struct tug_queued_action){.type = TUG_ACT_NODE_CHANGED, .node = node}, NULL);
}

void tug_act_node_history(struct tug_core *c, uint32_t node, const char *what,
                          const struct tug_core_drain *d, const char *text)
{
    struct tug_queued_action act = {
        .type = TUG_ACT_NODE_HISTORY, .node = node, .what = what, .by = d ? d->by : TUG_DRAINS};
    if (d) {
        act.uid = d->uid;
        act.user = keep_text(&c->actions, d->user);
    }
    push(c, act, d ? d->reason : text);
}

void tug_act_node_log(struct tug_core *c, uint32_t node, const char *fmt, ...)
{
    char text[TUG_ACTION_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    push(c, (struct tug_queued_action){.type = TUG_ACT_NODE_LOG, .node = node}, text);
}

void tug_act_part(struct tug_core *c, enum tug_action_type type, tug_job_id job, uint32_t attempt,
                  uint32_t step, uint32_t node, uint32_t grace_s, int signal, const char *text)
{
    struct tug_queued_action act = {.type = type,
                                    .job = job,
                                    .attempt = attempt,
                                    .step = step,
                                    .node = node,
                                    .grace_s = grace_s,
                                    .signal = signal};
    push(c, act, text);
}

void tug_act_stop(struct tug_core *c, const struct tug_entry *e, uint32_t step, uint32_t node, int signal)
{
    struct tug_queued_action act = {.type = TUG_ACT_SIGNAL,
                                    .job = e->j.id,
                                    .attempt = e->j.attempt,
                                    .step = step,
                                    .node = node,
                                    .signal = signal,
                                    .serial = e->j.stop_serial};
    push(c, act, NULL);
}

void tug_act_forgotten(struct tug_core *c, tug_job_id id)
{
    push(c,
         (struct tug_queued_action){.type = TUG_ACT_JOB_FORGOTTEN, .job = id, .node = TUG_NO_NODE},
         NULL);
}

void tug_act_usage_changed(struct tug_core *c, uint32_t share_row)
{
    push(c,
         (struct tug_queued_action){
             .type = TUG_ACT_USAGE_CHANGED, .node = TUG_NO_NODE, .share = share_row},
         NULL);
}

void tug_act_step_ended(struct tug_core *c, const struct tug_entry *e, struct tug_step *s)
{
    struct tug_queued_action act = {.type = TUG_ACT_STEP_ENDED,
                                    .job = e->j.id,
                                    .attempt = e->j.attempt,
                                    .step = s->id,
                                    .node = TUG_NO_NODE,
                                    .ended = s};
    tug_vec_push(&c->actions.ended, s);
    push(c, act, NULL);
}

int tug_core_next_action(struct tug_core *c, struct tug_action *out)
{
    struct tug_actions *a = &c->actions;
    if (a->taken == a->queue.len)
        return 0;
    const struct tug_queued_action *q = &a->queue.at[a->taken++];
    out->type = q->type;
    out->job = q->job;
    out->attempt = q->attempt;
    out->serial = q->serial;
    out->step = q->step;
    out->node = q->node;
    out->share = q->share;
    out->grace_s = q->grace_s;
    out->signal = q->signal;
    out->ended_step = q->ended;
    out->what = q->what;
    out->by = q->by;
    out->uid = q->uid;
    snprintf(out->user, sizeof out->user, "%s", q->user ? a->texts.data + q->user - 1 : "");
    snprintf(out->text, sizeof out->text, "%s", q->text ? a->texts.data + q->text - 1 : "");
    return 1;
}
