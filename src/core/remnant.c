/* remnant.c - processes of a step that SIGKILL does not end, and what stays held for them
 *
 * They wait inside the kernel and run no instruction of their program any more, so for the gang that node's part is over:
 * the job ends, or is run again. What its slice had on that node is kept by the remnant until the node says that they have
 * gone; everything else there can be given out. A remnant is
 *   OF_GANG  while the gang itself still holds the slice (a further step of a job that runs)
 *   ALL      it holds the slice's GPUs, CPUs and memory
 *   MEMORY   that of a gang that was stopped
 *   NOTHING  of a step that nobody expects there (node.c's strays): the whole node waits for it
 * After cleaning_timeout the node is drained for it, until the last one has gone. Where the attempt has a visit (visit.c), that
 * is a remnant as well, until its epilog is over; the job's next attempt does not come to that node before. Layer: core.
 */
#include <stdio.h>
#include <string.h>

#include "core/state.h"

static struct tug_core_remnant *find(struct tug_node *n, tug_job_id job, uint32_t attempt, uint32_t step)
{
    for (size_t i = 0; i < n->remnants.len; i++) {
        struct tug_core_remnant *r = &n->remnants.at[i];
        if (r->job == job && r->attempt == attempt && r->step == step)
            return r;
    }
    return NULL;
}

/* A visit waits for others, and its epilog has a timeout of its own. */
static int64_t late_ms(const struct tug_core *c, const struct tug_core_remnant *r)
{
    return !c->cleaning_timeout_s || r->late || r->step == TUG_VISIT_STEP ? INT64_MAX : r->since_ms + (int64_t) c->cleaning_timeout_s * 1000;
}

static void arm(struct tug_core *c, const struct tug_core_remnant *r)
{
    if (late_ms(c, r) < c->cleaning_next_ms)
        c->cleaning_next_ms = late_ms(c, r);
}

static void add(struct tug_core *c, uint32_t node, const struct tug_core_remnant *r)
{
    struct tug_core_remnant mine = *r;
    mine.text = tug_intern(c->texts, r->text);
    tug_vec_push(&c->nodes.at[node].remnants, mine);
    c->visits_left += r->step == TUG_VISIT_STEP;
    arm(c, &mine);
}

/* ---- what it holds */

static int claim(struct tug_core *c, const struct tug_core_remnant *r, struct tug_err *err)
{
    if (r->holds == TUG_REMNANT_MEMORY)
        tug_ledger_claim_memory(c->ledger, &r->slice, 1);
    else if (r->holds == TUG_REMNANT_ALL)
        return tug_ledger_claim(c->ledger, r->job, &r->slice, 1, TUG_LEDGER_RESTORE, err);
    return 0;
}

/* Its gang has just released that slice: the first remnant of it on that node holds it from now on, for the others, too. */
static void inherit(struct tug_core *c, const struct tug_entry *e, const struct tug_slice *s)
{
    struct tug_node *n = &c->nodes.at[s->node];
    int holds = e->j.suspended_ms >= 0 ? TUG_REMNANT_MEMORY : TUG_REMNANT_ALL;
    for (size_t i = 0; i < n->remnants.len; i++) {
        struct tug_core_remnant *r = &n->remnants.at[i];
        if (r->job != e->j.id || r->attempt != e->j.attempt || r->holds != TUG_REMNANT_OF_GANG)
            continue;
        r->holds = (uint8_t) holds;
        r->slice = *s;
        int rc = holds == TUG_REMNANT_OF_GANG ? 0 : claim(c, r, NULL);
        tug_assert(rc == 0);
        holds = TUG_REMNANT_OF_GANG; /* for the rest of them nothing is left to hold */
        tug_act_node_changed(c, s->node);
    }
    if (holds == TUG_REMNANT_OF_GANG)
        tug_hold_node_lost(c, s->node); /* who waits for it to leave looks for another place */
}

void tug_remnants_inherit(struct tug_core *c, const struct tug_entry *e)
{
    for (size_t i = 0; i < e->j.n_slices; i++)
        inherit(c, e, &e->j.slices[i]);
}

/* Another one of the same attempt holds the slice now, or nobody does. */
static void pass_on(struct tug_core *c, uint32_t node, const struct tug_core_remnant *was)
{
    struct tug_node *n = &c->nodes.at[node];
    for (size_t i = 0; i < n->remnants.len; i++) {
        struct tug_core_remnant *r = &n->remnants.at[i];
        if (r->job == was->job && r->attempt == was->attempt && r->holds == TUG_REMNANT_OF_GANG) {
            r->holds = was->holds;
            r->slice = was->slice;
            return;
        }
    }
    if (was->holds == TUG_REMNANT_MEMORY)
        tug_ledger_release_memory(c->ledger, &was->slice, 1);
    else
        tug_ledger_release(c->ledger, was->job, &was->slice, 1);
    tug_hold_fill(c, node);
    c->freed++;
    c->wants_pass = 1;
}

/* ---- what the next attempt keeps away from */

size_t tug_remnants_keep_out(const struct tug_core *c, const struct tug_job *j, struct tug_buf *names)
{
    size_t n = 0;
    for (size_t node = 0; tug_remnants_may_keep_out(c, j) && node < c->nodes.len; node++) {
        const struct tug_node *at = &c->nodes.at[node];
        size_t i = 0;
        while (i < at->remnants.len && (at->remnants.at[i].job != j->id || at->remnants.at[i].step != TUG_VISIT_STEP))
            i++;
        if (i == at->remnants.len)
            continue;
        tug_buf_addf(names, "%s%s", names->len ? "," : "", at->name);
        n++;
    }
    return n;
}

/* Its epilog is over: the job may come to that node again. Where it is placed already, that is of no use to it. */
static void let_in(struct tug_core *c, tug_job_id job)
{
    struct tug_entry *e = tug_jobtab_find(&c->jobs, job);
    c->visits_left--;
    if (!e || e->j.state != TUG_JOB_PENDING)
        return;
    tug_job_unbench(c, e);
    tug_shape_renew(c, e);
    tug_job_bench(c, e);
}

/* ---- coming and going */

void tug_remnant_put(struct tug_core *c, const struct tug_event *ev, enum tug_remnant_holds holds)
{
    struct tug_node *n = &c->nodes.at[ev->node];
    struct tug_core_remnant *is = find(n, ev->job, ev->attempt, ev->step);
    const char *text = ev->text ? ev->text : "";
    if (is && !strcmp(is->text, text))
        return;
    if (is) {
        const char *old = is->text;
        is->text = tug_intern(c->texts, text);
        tug_intern_drop(c->texts, old);
    } else {
        const struct tug_core_remnant r = {.job = ev->job,
                                           .attempt = ev->attempt,
                                           .step = ev->step,
                                           .holds = (uint8_t) holds,
                                           .since_ms = c->now_ms,
                                           .text = text};
        add(c, ev->node, &r);
        if (ev->step != TUG_VISIT_STEP)
            tug_act_node_log(c, ev->node, "node %s: job %llu has ended there, but for processes that SIGKILL does not end: %s", n->name,
                         (unsigned long long) ev->job, text);
    }
    tug_act_node_changed(c, ev->node);
}

int tug_remnant_visits(struct tug_core *c, const struct tug_entry *e, uint32_t node)
{
    const struct tug_node *n = &c->nodes.at[node];
    const struct tug_event ev = {.job = e->j.id, .attempt = e->j.attempt, .step = TUG_VISIT_STEP, .node = node,
                                 .text = n->inv.epilog_s ? "its epilog is run when they have gone" : "it is left when they have gone"};
    for (size_t i = 0; i < n->remnants.len; i++)
        if (n->remnants.at[i].job == e->j.id && n->remnants.at[i].attempt == e->j.attempt) {
            tug_remnant_put(c, &ev, TUG_REMNANT_OF_GANG);
            return 1;
        }
    return 0;
}

static void remove_at(struct tug_core *c, uint32_t node, size_t at)
{
    struct tug_node *n = &c->nodes.at[node];
    struct tug_core_remnant was = n->remnants.at[at];
    tug_vec_remove(&n->remnants, at);
    tug_act_node_log(c, node, "node %s: nothing is left of job %llu", n->name, (unsigned long long) was.job);
    tug_intern_drop(c->texts, was.text);
    was.text = "";
    if (was.holds == TUG_REMNANT_ALL || was.holds == TUG_REMNANT_MEMORY)
        pass_on(c, node, &was);
    if (!n->remnants.len)
        tug_node_undrain(c, node, TUG_DRAIN_CLEANING, "has no processes of ended jobs any more");
    tug_node_refresh(c, node);
    tug_act_node_changed(c, node);
    if (was.step == TUG_VISIT_STEP)
        let_in(c, was.job);
}

int tug_remnant_gone(struct tug_core *c, uint32_t node, tug_job_id job, uint32_t attempt, uint32_t step)
{
    struct tug_node *n = &c->nodes.at[node];
    struct tug_core_remnant *r = find(n, job, attempt, step);
    if (!r)
        return 0;
    remove_at(c, node, (size_t) (r - n->remnants.at));
    return 1;
}

int tug_remnant_is_known(const struct tug_core *c, uint32_t node, const struct tug_held_step *h)
{
    const struct tug_core_remnant *r = find(&c->nodes.at[node], h->job, h->attempt, h->step);
    return r && r->holds != TUG_REMNANT_NOTHING;
}

/* What a node that comes does not name is not there any more, be it that it was started anew. */
void tug_remnants_back(struct tug_core *c, const struct tug_event *ev)
{
    struct tug_node *n = &c->nodes.at[ev->node];
    for (size_t i = n->remnants.len; i-- > 0;) {
        const struct tug_core_remnant *r = &n->remnants.at[i];
        size_t k = 0;
        while (k < ev->n_held && (ev->held[k].job != r->job || ev->held[k].attempt != r->attempt || ev->held[k].step != r->step))
            k++;
        if (k == ev->n_held || ev->held[k].phase == TUG_HELD_DONE)
            remove_at(c, ev->node, i);
        else if (r->step == TUG_VISIT_STEP) /* it may not have heard that it is to leave */
            tug_act_part(c, TUG_ACT_KILL, r->job, r->attempt, r->step, ev->node, 0, 0, "its attempt is over");
    }
}

/* ---- too long */

static void drain_for(struct tug_core *c, uint32_t node, const struct tug_core_remnant *r)
{
    char text[TUG_ACTION_TEXT];
    snprintf(text, sizeof text, "job %llu does not end here for %u s: %s", (unsigned long long) r->job, c->cleaning_timeout_s,
             r->text);
    tug_node_drain(c, node, TUG_DRAIN_CLEANING, text);
}

void tug_remnants_due(struct tug_core *c)
{
    c->cleaning_next_ms = INT64_MAX;
    for (uint32_t node = 0; node < c->nodes.len; node++) {
        struct tug_node *n = &c->nodes.at[node];
        for (size_t i = 0; i < n->remnants.len; i++) {
            struct tug_core_remnant *r = &n->remnants.at[i];
            if (late_ms(c, r) <= c->now_ms) {
                r->late = 1;
                drain_for(c, node, r);
            }
            arm(c, r);
        }
    }
}

void tug_remnants_rearm(struct tug_core *c)
{
    c->cleaning_next_ms = INT64_MAX;
    for (size_t node = 0; node < c->nodes.len; node++)
        for (size_t i = 0; i < c->nodes.at[node].remnants.len; i++)
            arm(c, &c->nodes.at[node].remnants.at[i]);
}

int tug_remnants_are_of(const struct tug_core *c, const struct tug_entry *e)
{
    for (size_t i = 0; i < e->j.n_slices; i++) {
        const struct tug_node *n = &c->nodes.at[e->j.slices[i].node];
        for (size_t k = 0; k < n->remnants.len; k++)
            if (n->remnants.at[k].job == e->j.id && n->remnants.at[k].holds == TUG_REMNANT_OF_GANG)
                return 1;
    }
    return 0;
}

size_t tug_remnants_hold(const struct tug_node *n)
{
    size_t some = 0;
    for (size_t i = 0; i < n->remnants.len; i++)
        some += n->remnants.at[i].holds == TUG_REMNANT_ALL || n->remnants.at[i].holds == TUG_REMNANT_MEMORY;
    return some;
}

/* ---- from records, the end, and what always holds */

int tug_remnant_restore(struct tug_core *c, uint32_t node, const struct tug_core_remnant *r, struct tug_err *err)
{
    struct tug_core_remnant mine = *r;
    if (find(&c->nodes.at[node], r->job, r->attempt, r->step))
        return 0;
    mine.slice.node = node;
    int rc = claim(c, &mine, err);
    if (!rc)
        add(c, node, &mine);
    return rc;
}

void tug_remnants_clear(struct tug_core *c, struct tug_node *n)
{
    for (size_t i = 0; i < n->remnants.len; i++)
        tug_intern_drop(c->texts, n->remnants.at[i].text);
    tug_vec_clear(&n->remnants);
}

int tug_remnants_claim(const struct tug_core *c, struct tug_ledger *l, struct tug_err *err)
{
    int rc = 0;
    for (size_t node = 0; node < c->nodes.len; node++)
        for (size_t i = 0; !rc && i < c->nodes.at[node].remnants.len; i++) {
            const struct tug_core_remnant *r = &c->nodes.at[node].remnants.at[i];
            if (r->holds == TUG_REMNANT_MEMORY)
                tug_ledger_claim_memory(l, &r->slice, 1);
            else if (r->holds == TUG_REMNANT_ALL)
                rc = tug_ledger_claim(l, r->job, &r->slice, 1, TUG_LEDGER_RESTORE, err);
        }
    return rc;
}
