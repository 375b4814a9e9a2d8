/* actions.c - the core's actions, carried out
 *
 * One function an action, found in a table. Records are only marked here: they are written once per
 * batch, however often they changed in between. Layer: logic.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logic/control_int.h"

static void act_job_changed(struct tug_control *c, const struct tug_action *a)
{
    const struct tug_job *job = tug_core_job(c->core, a->job);
    struct ctl_job *j = tug_ctl_job(c, a->job);

    if (!job)
        return;
    tug_ctl_job_dirty(c, a->job);
    if (j && !tug_job_state_holds(job->state) && j->n_masks)
        tug_ctl_cpus_give(c, j, job);
    tug_ctl_wait_job(c, job);
}

static void pack_view(struct tug_history_row *row, const ProtobufCMessage *m)
{
    uint8_t *packed;

    row->view_len = protobuf_c_message_get_packed_size(m);
    packed = tug_xmalloc(row->view_len ? row->view_len : 1);
    protobuf_c_message_pack(m, packed);
    row->view = packed;
}

/* Ends, requeues and hangs carry the whole view, holds and releases who did it. */
static void set_view(struct tug_control *c, struct tug_arena *arena, const struct tug_job *job, const struct tug_action *a,
                     struct tug_history_row *row)
{
    Tugpb__JobView view;
    Tugpb__JobHold hold = TUGPB__JOB_HOLD__INIT;

    if (strcmp(a->text, "end") == 0 || strcmp(a->text, "requeue") == 0 || strcmp(a->text, "hang") == 0) {
        tug_ctl_view_job(c, arena, job, 0, &view);
        pack_view(row, &view.base);
    } else if (a->what) {
        hold.by = (char *) a->what;
        hold.uid = a->uid;
        hold.user = (char *) a->user;
        hold.why = (char *) (strcmp(a->text, "hold") == 0 && job->onhold.why ? job->onhold.why : "");
        hold.at_ms = row->at_ms;
        pack_view(row, &hold.base);
    }
}

static void act_job_history(struct tug_control *c, const struct tug_action *a)
{
    const struct tug_job *job = tug_core_job(c->core, a->job);
    struct tug_history_row row = {0};
    struct tug_arena arena = {.budget_bytes = 64 << 20};

    if (!job)
        return;
    row.job = job->id;
    row.attempt = job->attempt;
    row.what = a->text;
    row.at_ms = tug_ctl_now(c);
    row.uid = job->req.uid;
    row.user = job->req.user;
    row.queue = job->req.queue;
    row.account = job->req.account;
    row.name = job->req.name;
    row.state = tug_job_state_name(job->state);
    set_view(c, &arena, job, a, &row);
    tug_batch_history(tug_ctl_batch(c), &row);
    free((void *) (uintptr_t) row.view);
    tug_arena_clear(&arena);
}

static void act_job_forgotten(struct tug_control *c, const struct tug_action *a)
{
    struct tug_batch *b = tug_ctl_batch(c);
    struct ctl_job *j = tug_ctl_job(c, a->job);
    struct ctl_token *t;
    char id[24];

    if (!j)
        return;
    snprintf(id, sizeof id, "%llu", (unsigned long long) a->job);
    tug_batch_del(b, "job", id);
    if (j->token[0] && (t = tug_ctl_token(c, j->user->uid, j->token)) != NULL) {
        /* The job's record held its token until now. */
        tug_ctl_token_spend(c, t, tug_ctl_now(c) + TOKEN_KEPT_MS);
        tug_ctl_put_token(c, t, b);
    }
    tug_ctl_tokens_purge(c, b);
    tug_ctl_wait_gone(c, a->job);
    tug_ctl_job_free(c, j, b);
}

static void act_step_ended(struct tug_control *c, const struct tug_action *a)
{
    const struct tug_job *job = tug_core_job(c->core, a->job);
    struct ctl_job *j = tug_ctl_job(c, a->job);

    if (!job || !j)
        return;
    if (a->ended_step)
        tug_ctl_wait_step(c, job, a->ended_step);
    if (a->step == 0)
        return;
    for (size_t i = 0; i < j->steps.len; i++)
        if (j->steps.at[i].id == a->step) {
            tug_ctl_step_clear(c, &j->steps.at[i], tug_ctl_batch(c));
            tug_vec_remove(&j->steps, i);
            break;
        }
    tug_ctl_job_dirty(c, a->job);
}

void tug_ctl_node_dirty(struct tug_control *c, uint32_t node)
{
    if (node >= c->n_nodes || c->nodes[node].dirty)
        return;
    c->nodes[node].dirty = 1;
    tug_vec_push(&c->dirty_nodes, node);
    tug_outbox_expect_writes(c->out);
}

static void act_node_changed(struct tug_control *c, const struct tug_action *a)
{
    tug_ctl_node_dirty(c, a->node);
}

static void act_node_history(struct tug_control *c, const struct tug_action *a)
{
    struct tug_core_node k;
    Tugpb__NodeEvent e = TUGPB__NODE_EVENT__INIT;
    struct tug_history_row row = {.what = "node"};

    tug_core_node(c->core, a->node, &k);
    e.node = (char *) k.name;
    e.what = (char *) a->what;
    e.by = (char *) (a->by < TUG_DRAINS ? tug_drain_name(a->by) : "");
    e.reason = (char *) a->text;
    e.uid = a->uid;
    e.user = (char *) a->user;
    e.at_ms = row.at_ms = tug_ctl_now(c);
    row.uid = a->uid;
    row.user = a->user;
    row.name = k.name;
    row.state = a->what;
    pack_view(&row, &e.base);
    tug_batch_history(tug_ctl_batch(c), &row);
    free((void *) (uintptr_t) row.view);
}

static void act_node_log(struct tug_control *c, const struct tug_action *a)
{
    tug_ctl_log(c, TUG_LOG_WARN, "%s", a->text);
}

static void act_usage_changed(struct tug_control *c, const struct tug_action *a)
{
    tug_ctl_put_usage(c, a->share, tug_ctl_batch(c));
}

static void (*const acts[])(struct tug_control *, const struct tug_action *) = {
    [TUG_ACT_LAUNCH] = tug_ctl_order_launch, [TUG_ACT_START] = tug_ctl_order_start,
    [TUG_ACT_KILL] = tug_ctl_order_kill,     [TUG_ACT_SIGNAL] = tug_ctl_order_signal,
    [TUG_ACT_ACK] = tug_ctl_order_ack,       [TUG_ACT_JOB_CHANGED] = act_job_changed,
    [TUG_ACT_JOB_HISTORY] = act_job_history, [TUG_ACT_JOB_FORGOTTEN] = act_job_forgotten,
    [TUG_ACT_STEP_ENDED] = act_step_ended,   [TUG_ACT_NODE_CHANGED] = act_node_changed,
    [TUG_ACT_NODE_HISTORY] = act_node_history, [TUG_ACT_NODE_LOG] = act_node_log,
    [TUG_ACT_USAGE_CHANGED] = act_usage_changed,
};

void tug_ctl_actions(struct tug_control *c)
{
    struct tug_action a;

    while (tug_core_next_action(c->core, &a)) {
        tug_assert(a.type < sizeof acts / sizeof *acts && acts[a.type]);
        if ((a.type == TUG_ACT_LAUNCH || a.type == TUG_ACT_KILL) && tug_ctl_safe_stops(c, &a))
            continue;
        acts[a.type](c, &a);
    }
}
