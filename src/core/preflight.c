/* preflight.c - a job's nodes are tried out before it starts on them
 *
 * The preflight is a step of the job like any other, over all its nodes, with the number TUG_PREFLIGHT_STEP; its
 * job is CONFIGURING, and the main step is not there yet. When all of it ended well, the main step is
 * launched. When a node is to blame - the preflight says which, or the others wired up and it did not - the job
 * never gets that node again, or nobody does where the queue's preflight drains; and the attempt
 * counts as a failed launch: the job waits for other nodes, or is given up after too many. Layer: core.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

int tug_preflight_is(const struct tug_entry *e, const struct tug_step *s)
{
    return e->j.req.preflight_s > 0 && s->id == TUG_PREFLIGHT_STEP;
}

/* One rank for each GPU, and as many as the job has where there are none. */
static uint32_t ranks_on(const struct tug_job_req *r, uint32_t i)
{
    uint32_t gpus = r->gpu_milli ? 0 : tug_job_req_gpus(r, i);
    return gpus ? gpus : tug_job_req_tasks(r, i);
}

void tug_preflight_start(struct tug_core *c, struct tug_entry *e)
{
    struct tug_job *j = &e->j;
    uint32_t all = 0;
    for (uint32_t i = 0; i < j->n_slices; i++)
        all += ranks_on(&j->req, i);
    j->next_step = TUG_PREFLIGHT_STEP;
    struct tug_step *s = tug_step_new(c, e, all, NULL, j->n_slices);
    uint32_t rank = 0;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        s->parts[i].first_rank = rank;
        s->parts[i].ntasks = ranks_on(&j->req, i);
        rank += s->parts[i].ntasks;
    }
    tug_step_launch(c, e, s);
}

void tug_preflight_opened(struct tug_core *c, struct tug_entry *e, struct tug_step *s)
{
    s->deadline_ms = c->now_ms + (int64_t) e->j.req.preflight_s * 1000;
}

int64_t tug_preflight_deadline(const struct tug_entry *e, const struct tug_step *s)
{
    return tug_preflight_is(e, s) && s->state == TUG_STEP_RUNNING ? s->deadline_ms : INT64_MAX;
}

/* ---- who is to blame */

static void put_aside(struct tug_core *c, struct tug_entry *e, uint32_t node, const char *why)
{
    const struct tug_node *n = &c->nodes.at[node];
    char text[TUG_ACTION_TEXT];
    snprintf(text, sizeof text, "preflight of job %llu: %s", (unsigned long long) e->j.id, why);
    tug_failure_note(c, node, TUG_FAILURE_PREFLIGHT, e->j.id);
    if (e->j.req.preflight_drains && !n->drained) {
        tug_node_drain(c, node, TUG_DRAIN_PREFLIGHT, text);
        return;
    }
    tug_act_node_log(c, node, "node %s is not given to job %llu again: %s", n->name,
                     (unsigned long long) e->j.id, text);
    tug_job_avoid(c, e, node);
}

static void give_up(struct tug_core *c, struct tug_entry *e, uint32_t node, const char *why)
{
    char text[TUG_ACTION_TEXT];
    snprintf(text, sizeof text, "preflight: %s", why);
    struct tug_cause cause = {
        .kind = TUG_CAUSE_PREFLIGHT, .node = node, .at_ms = c->now_ms, .text = text};
    tug_job_launch_failed(c, e, &cause);
}

void tug_preflight_failed(struct tug_core *c, struct tug_entry *e, const struct tug_cause *cause)
{
    const char *why = cause->text ? cause->text : "";
    int is_blamed = cause->kind == TUG_CAUSE_PREFLIGHT && cause->node != TUG_NO_NODE;
    if (cause->kind == TUG_CAUSE_NODE || cause->kind == TUG_CAUSE_STEPD || cause->kind == TUG_CAUSE_LINK) {
        tug_job_launch_failed(c, e, cause);
        return;
    }
    if (is_blamed)
        put_aside(c, e, cause->node, why);
    give_up(c, e, is_blamed ? cause->node : TUG_NO_NODE, why);
}

void tug_preflight_late(struct tug_core *c, struct tug_entry *e, struct tug_step *s)
{
    uint32_t silent = (uint32_t) s->n_parts - s->wired_parts, first = TUG_NO_NODE;
    char why[TUG_ACTION_TEXT / 2];
    int is_told = silent > 0 && (s->wired_parts > 0 || s->n_parts == 1);
    snprintf(why, sizeof why, "did not answer within %u s", e->j.req.preflight_s);
    for (size_t i = 0; i < s->n_parts && is_told; i++) {
        uint32_t node = e->j.slices[s->parts[i].slice].node;
        if (s->parts[i].wired)
            continue;
        first = first == TUG_NO_NODE ? node : first;
        put_aside(c, e, node, why);
    }
    char text[TUG_ACTION_TEXT - 16];
    if (!is_told)
        snprintf(text, sizeof text, "it was not over within %u s, and which node held it up is not known",
                 e->j.req.preflight_s);
    else if (silent > 1)
        snprintf(text, sizeof text, "node %s %s, nor did %u more", c->nodes.at[first].name, why, silent - 1);
    else
        snprintf(text, sizeof text, "node %s %s", c->nodes.at[first].name, why);
    give_up(c, e, first, text);
}
