/* visit.c - what comes before and after an attempt on each of its nodes: their prolog, their epilog
 *
 * A visit is a step without ranks that stands beside the others, with a part on each node that has a prolog or an epilog.
 * It is launched first: a part is READY once its node's prolog has succeeded, and nothing else of the attempt is launched
 * before all are. A part is told to end when its attempt is being ended and nothing else of that is left on its node; it is
 * GONE when the epilog is over, however that ended, and until then the job holds all it has. A part says nothing of how
 * the job ended. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

int tug_visit_is(const struct tug_step *s)
{
    return s->id == TUG_VISIT_STEP;
}

uint32_t tug_visit_prolog_s(const struct tug_core *c, const struct tug_entry *e)
{
    uint32_t longest = 0;
    for (size_t i = 0; e->j.visit && i < e->j.visit->n_parts; i++) {
        const struct tug_node *n = &c->nodes.at[e->j.slices[e->j.visit->parts[i].slice].node];
        longest = n->inv.prolog_s > longest ? n->inv.prolog_s : longest;
    }
    return longest;
}

int tug_visit_start(struct tug_core *c, struct tug_entry *e)
{
    struct tug_job *j = &e->j;
    struct tug_step *s = tug_new(struct tug_step);
    *s = (struct tug_step){
        .id = TUG_VISIT_STEP, .start_ms = -1, .wired_ms = -1, .end_ms = -1, .cause.node = TUG_NO_NODE};
    s->parts = tug_xcalloc(j->n_slices, sizeof *s->parts);
    for (uint32_t i = 0; i < j->n_slices; i++) {
        const struct tug_core_inventory *inv = &c->nodes.at[j->slices[i].node].inv;
        if (inv->prolog_s || inv->epilog_s)
            s->parts[s->n_parts++].slice = i;
    }
    if (!s->n_parts) {
        tug_step_clear(s);
        free(s);
        return 0;
    }
    s->in_phase[TUG_PART_WAITING] = (uint32_t) s->n_parts;
    j->visit = s;
    s->deadline_ms = c->now_ms + (int64_t) tug_step_allowed_s(c, e, s) * 1000;
    tug_step_launch(c, e, s);
    return 1;
}

void tug_visit_clear(struct tug_job *j)
{
    if (!j->visit)
        return;
    tug_step_clear(j->visit);
    free(j->visit);
    j->visit = NULL;
}

void tug_visit_entered(struct tug_core *c, struct tug_entry *e)
{
    struct tug_step *s = e->j.visit;
    s->state = TUG_STEP_RUNNING;
    s->start_ms = c->now_ms;
    for (size_t i = 0; i < s->n_parts; i++)
        tug_step_part_set(s, &s->parts[i], TUG_PART_STARTED);
    tug_act_changed(c, e);
    tug_job_go(c, e);
    tug_job_arm(c, e);
}

int tug_visit_is_over(const struct tug_job *j)
{
    return !j->visit || j->visit->in_phase[TUG_PART_GONE] == j->visit->n_parts;
}

static int others_are_gone(const struct tug_entry *e, uint32_t node)
{
    for (size_t i = 0; i < e->j.n_steps; i++) {
        const struct tug_part *p = tug_step_part_at(e, &e->j.steps[i], node);
        if (p && p->phase != TUG_PART_GONE)
            return 0;
    }
    return 1;
}

void tug_visit_leave(struct tug_core *c, struct tug_entry *e)
{
    struct tug_step *s = e->j.visit;
    if (!s || (e->j.state != TUG_JOB_COMPLETING && e->j.state != TUG_JOB_REQUEUED))
        return;
    if (s->state < TUG_STEP_ENDING)
        s->state = TUG_STEP_ENDING;
    for (size_t i = 0; i < s->n_parts; i++) {
        struct tug_part *p = &s->parts[i];
        uint32_t node = e->j.slices[p->slice].node;
        if (p->phase >= TUG_PART_KILLING || !others_are_gone(e, node))
            continue;
        /* The epilog comes when processes that do not end have gone; the job does not wait for that. */
        int stays = tug_remnant_visits(c, e, node);
        tug_step_part_set(s, p, stays ? TUG_PART_GONE : TUG_PART_KILLING);
        tug_act_part(c, TUG_ACT_KILL, e->j.id, e->j.attempt, s->id, node, 0, 0, "its attempt is over");
        tug_act_changed(c, e);
    }
}

int tug_visit_say(const struct tug_core *c, const struct tug_job *j, char *buf, size_t size_bytes)
{
    const struct tug_step *s = j->visit;
    int ends = s && s->state == TUG_STEP_ENDING;
    enum tug_part_phase phase = ends ? TUG_PART_KILLING : TUG_PART_WAITING;
    uint32_t n = 0, first = TUG_NO_NODE;
    for (size_t i = 0; s && i < s->n_parts; i++)
        if (s->parts[i].phase == phase && n++ == 0)
            first = j->slices[s->parts[i].slice].node;
    if (!n)
        return 0;
    int len = snprintf(buf, size_bytes, "%s on %s", ends ? "epilog" : "prolog", c->nodes.at[first].name);
    if (n > 1 && len > 0 && (size_t) len < size_bytes)
        snprintf(buf + len, size_bytes - (size_t) len, " and %u more", n - 1);
    return 1;
}

int tug_ev_node_visit_failed(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    enum tug_drain by = ev->is_epilog ? TUG_DRAIN_EPILOG : TUG_DRAIN_PROLOG;
    if (ev->node >= c->nodes.len)
        return tug_fail(err, -EINVAL, "there is no node %u", ev->node);
    tug_node_drain(c, ev->node, by, ev->text);
    return 0;
}
