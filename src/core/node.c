/* node.c - nodes: what they have, whether they may be used, and what they say they hold when they
 * come back
 *
 * A node is usable when it is configured, up, not drained, has said what it has, and nothing that
 * the core gave up on (a stray) is still being ended there. Its ledger row, policy row and index
 * bits always agree with that (tug_node_refresh). Layer: core.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bandwidth.h"
#include "core/state.h"

/* ---- size */

static const char *replace_text(struct tug_core *c, const char *old, const char *text)
{
    const char *s = tug_intern(c->texts, text);
    tug_intern_drop(c->texts, old);
    return s;
}

static uint32_t smaller(uint32_t configured, uint32_t reported)
{
    return configured && configured < reported ? configured : reported;
}

/* What it says that it can use, by its own index. */
static tug_gpuset said_gpus(const struct tug_core_inventory *inv)
{
    return tug_gpuset_first_n(inv->gpus < TUG_GPUS_MAX ? inv->gpus : TUG_GPUS_MAX) & ~inv->gpus_lost;
}

/* Those that are given out; of more than are configured the first. */
static tug_gpuset usable_gpus(const struct tug_node *n)
{
    tug_gpuset all = said_gpus(&n->inv);
    return n->row.gpus && n->row.gpus < tug_gpuset_count(all) ? tug_gpuset_take_low(all, n->row.gpus) : all;
}

/* Those of them that are not cut. */
static tug_gpuset gpus_of(const struct tug_node *n)
{
    return usable_gpus(n) & ~(n->cut ? n->cut->gpus : 0);
}

/* Slices of the others. */
static tug_gpuset slices_of(const struct tug_node *n)
{
    tug_gpuset usable = usable_gpus(n), slices = 0;
    for (uint32_t i = 0; n->cut && i < n->cut->n; i++)
        for (tug_gpuset s = n->cut->at[i].slices; s; s &= s - 1)
            if (usable >> n->cut->gpu_of[__builtin_ctzll(s)] & 1)
                slices |= s & -s;
    return slices;
}

int tug_node_size(const struct tug_core *c, uint32_t node, struct tug_core_inventory *out)
{
    const struct tug_node *n = &c->nodes.at[node];
    *out = n->row;
    if (n->known) {
        out->cpus = smaller(n->row.cpus, n->inv.cpus);
        out->gpus = tug_gpuset_count(gpus_of(n));
        out->gpus_lost = n->inv.gpus_lost;
        /* Firmware keeps some for itself: within the slack, what is configured counts. */
        out->mem_bytes = n->row.mem_bytes && n->inv.mem_bytes >= n->row.mem_bytes / 10 * 9
                             ? n->row.mem_bytes
                             : n->inv.mem_bytes;
        if (*n->inv.gpu_model)
            out->gpu_model = n->inv.gpu_model;
        out->machine = n->inv.machine;
        return 1;
    }
    return n->row.cpus || n->row.gpus;
}

int tug_node_is_usable(const struct tug_core *c, uint32_t node)
{
    const struct tug_node *n = &c->nodes.at[node];
    return n->in_conf && n->up && n->known && !n->drained && n->strays.len == 0;
}

/* The row as a policy sees it, and totals over usable nodes. Where somebody has the domain for itself, nothing is
 * free for others. */
static void refresh_row(struct tug_core *c, uint32_t node, int usable)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    struct tug_policy_node *r = &c->node_rows.at[node];
    static const uint16_t nothing[TUG_GPUS_MAX];
    int open = !c->nodes.at[node].shut;
    struct tug_core_inventory has;
    tug_node_size(c, node, &has);
    if (r->usable) {
        c->gpus -= r->gpus;
        c->gpus_free -= tug_gpuset_count(r->gpus_free);
    }
    *r = (struct tug_policy_node){.name = c->nodes.at[node].name,
                                  .index = node,
                                  .cpus = l->cpus,
                                  .cpus_free = open ? tug_ledger_cpus_free(l) : 0,
                                  .gpus = tug_gpuset_count(l->gpus),
                                  .usable = (uint32_t) usable,
                                  .gpus_free = open ? tug_ledger_gpus_free(l) : 0,
                                  .mem_bytes = l->mem_bytes,
                                  .mem_free_bytes = open ? tug_ledger_mem_free(l) : 0,
                                  .gpu_model = has.gpu_model,
                                  .gpu_milli_free = open ? l->milli_free : nothing,
                                  .domain = c->nodes.at[node].domain,
                                  .held = c->nodes.at[node].holds.len > 0};
    if (usable) {
        c->gpus += r->gpus;
        c->gpus_free += tug_gpuset_count(r->gpus_free);
    }
}

int tug_node_is_shared(const struct tug_core *c, uint32_t node)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    int some = 0;
    for (tug_gpuset g = l->gpus_shared; g && !some; g &= g - 1)
        some = l->milli_free[__builtin_ctzll(g)] > 0;
    return some && tug_node_is_usable(c, node) && tug_ledger_cpus_free(l) > 0 &&
           !c->nodes.at[node].shut;
}

void tug_node_refresh(struct tug_core *c, uint32_t node)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    int usable = tug_node_is_usable(c, node), was = (int) c->node_rows.at[node].usable;
    refresh_row(c, node, usable);
    int open = !c->nodes.at[node].shut;
    tug_index_set(&c->index, node, usable, tug_gpuset_count(tug_ledger_gpus_free(l)),
                  open && tug_ledger_cpus_free(l) > 0,
                  open && l->gangs == 0 && !c->nodes.at[node].holds.len);
    c->index.room[node] = (struct tug_index_room){.mem_bytes = tug_ledger_mem_free(l),
                                                  .gpus = tug_ledger_gpus_free(l),
                                                  .machine = c->nodes.at[node].inv.machine,
                                                  .cpus = tug_ledger_cpus_free(l),
                                                  .domain = c->nodes.at[node].domain};
    tug_index_set_shared(&c->index, node, tug_node_is_shared(c, node));
    tug_cut_index(c, node, usable, open && tug_ledger_cpus_free(l) > 0);
    if (usable == was)
        return;
    tug_observe_node(c, node, usable);
    c->reshaped++;
    if (usable) {
        c->freed++;
        c->wants_pass = 1;
    } else {
        tug_hold_node_lost(c, node);
    }
}

/* Size changes count as free resources: what did not fit may fit now. */
static void resize(struct tug_core *c, uint32_t node)
{
    struct tug_core_inventory has;
    tug_node_size(c, node, &has);
    int known = c->nodes.at[node].known;
    const struct tug_node *n = &c->nodes.at[node];
    tug_gpuset gpus = known ? gpus_of(n) : 0, slices = known ? slices_of(n) : 0;
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    uint32_t cpus = known ? has.cpus : 0;
    uint64_t mem_bytes = known ? has.mem_bytes : 0;
    if (l->cpus != cpus || l->gpus != gpus || l->mem_bytes != mem_bytes || l->all_slices != slices) {
        tug_hold_node_lost(c, node);
        tug_ledger_resize(c->ledger, node, cpus, gpus, mem_bytes);
        if (n->cut)
            tug_ledger_set_slices(c->ledger, node, slices, n->cut->gpus, n->cut->gpu_of);
        c->reshaped++;
        c->freed++;
        c->wants_pass = 1;
    }
    tug_node_refresh(c, node);
}

/* ---- configuration */

uint32_t tug_node_add(struct tug_core *c, const char *name)
{
    uint32_t node = (uint32_t) c->nodes.len;
    struct tug_node n = {.name = tug_intern(c->texts, name), .in_conf = 1, .domain = TUG_NO_DOMAIN};
    n.down_reason = tug_intern(c->texts, "");
    n.drain_reason = tug_intern(c->texts, "");
    n.row.gpu_model = tug_intern(c->texts, "");
    n.inv.gpu_model = tug_intern(c->texts, "");
    n.since_ms = c->now_ms;
    tug_vec_push(&c->nodes, n);
    struct tug_policy_node row = {
        .name = n.name, .index = node, .gpu_model = n.row.gpu_model, .domain = TUG_NO_DOMAIN};
    tug_vec_push(&c->node_rows, row);
    tug_ledger_grow(c->ledger, node + 1);
    tug_index_grow(&c->index, node + 1);
    struct tug_name *entry = tug_new(struct tug_name);
    entry->name = n.name;
    entry->node = node;
    HASH_ADD_KEYPTR(hh, c->names, entry->name, strlen(entry->name), entry);
    return node;
}

void tug_node_rows_follow(struct tug_core *c)
{
    for (uint32_t i = 0; i < c->nodes.len; i++)
        c->node_rows.at[i].gpu_milli_free = tug_ledger_node(c->ledger, i)->milli_free;
}

void tug_node_clear(struct tug_core *c, struct tug_node *n)
{
    tug_intern_drop(c->texts, n->name);
    tug_intern_drop(c->texts, n->down_reason);
    tug_intern_drop(c->texts, n->drain_reason);
    tug_drain_clear(c, n);
    tug_vec_clear(&n->failures);
    tug_intern_drop(c->texts, n->row.gpu_model);
    tug_intern_drop(c->texts, n->inv.gpu_model);
    tug_inside_drop(c->insides, n->inv.machine);
    tug_inside_drop(c->insides, n->row.machine);
    tug_inside_drop(c->insides, n->told);
    free(n->cut);
    tug_vec_clear(&n->strays);
    tug_remnants_clear(c, n);
    tug_vec_clear(&n->gangs);
    tug_vec_clear(&n->holds);
}

/* Hold another machine instead of *held. Did it change? */
static int hold_machine(struct tug_core *c, const struct tug_machine **held, const struct tug_machine *m)
{
    const struct tug_machine *old = *held;
    *held = tug_inside_hold(c->insides, m);
    tug_inside_drop(c->insides, old);
    return *held != old;
}

/* What a node says of its links counts; else what is configured, if it has as many GPUs. */
static int settle_machine(struct tug_core *c, struct tug_node *n)
{
    const struct tug_machine *row = n->row.machine && n->row.machine->n_gpus >= n->inv.gpus ? n->row.machine : NULL;
    return hold_machine(c, &n->inv.machine, !n->known ? NULL : n->told ? n->told : row);
}

void tug_node_configure(struct tug_core *c, uint32_t node, const struct tug_core_node_row *row)
{
    struct tug_node *n = &c->nodes.at[node];
    n->in_conf = row != NULL;
    if (!row)
        tug_failures_removed(c, node);
    n->row.cpus = row ? row->cpus : 0;
    n->row.gpus = row ? row->gpus : 0;
    n->row.mem_bytes = row ? row->mem_bytes : 0;
    n->row.gpu_model = replace_text(c, n->row.gpu_model, row ? row->gpu_model : NULL);
    hold_machine(c, &n->row.machine, row ? row->machine : NULL);
    if (settle_machine(c, n))
        c->reshaped++;
    resize(c, node);
}

/* ---- reasons to drain it */

void tug_node_bad_launch(struct tug_core *c, uint32_t node, const char *why)
{
    struct tug_node *n = &c->nodes.at[node];
    n->bad_launches++;
    tug_act_node_changed(c, node);
    if (!c->node_bad_launches || n->bad_launches < c->node_bad_launches || n->drained)
        return;
    char text[TUG_ACTION_TEXT];
    snprintf(text, sizeof text, "%u launches in a row failed here; the last one: %s",
             n->bad_launches, why ? why : "");
    tug_node_drain(c, node, TUG_DRAIN_LAUNCHES, text);
}

void tug_node_good_launch(struct tug_core *c, uint32_t node)
{
    if (!c->nodes.at[node].bad_launches)
        return;
    c->nodes.at[node].bad_launches = 0;
    tug_act_node_changed(c, node);
}

/* Less than is configured. */
static void expect_at_least(struct tug_core *c, uint32_t node)
{
    const struct tug_node *n = &c->nodes.at[node];
    uint32_t gpus = tug_gpuset_count(usable_gpus(n));
    char text[TUG_ACTION_TEXT] = "";
    if (gpus < n->row.gpus)
        snprintf(text, sizeof text, "reports %u GPUs, %u are configured", gpus, n->row.gpus);
    else if (n->inv.cpus < n->row.cpus)
        snprintf(text, sizeof text, "reports %u CPUs, %u are configured", n->inv.cpus, n->row.cpus);
    else if (n->inv.mem_bytes < n->row.mem_bytes / 10 * 9)
        snprintf(text, sizeof text, "reports %" PRIu64 " MiB of memory, %" PRIu64 " are configured",
                 n->inv.mem_bytes >> 20, n->row.mem_bytes >> 20);
    else if (*n->row.gpu_model && !tug_gpu_model_matches(n->inv.gpu_model, n->row.gpu_model))
        snprintf(text, sizeof text, "reports GPU model '%s', '%s' is configured", n->inv.gpu_model,
                 n->row.gpu_model);
    else if (n->row.machine && n->told && n->row.machine->n_gpus == n->told->n_gpus)
        tug_machine_shortfall(n->row.machine, n->told, text, sizeof text);
    const struct tug_core_drain *before = tug_node_drained_by(n, TUG_DRAIN_SHORTFALL);
    if (*text && (!before || strcmp(before->reason, text) != 0))
        tug_node_drain(c, node, TUG_DRAIN_SHORTFALL, text);
}

/* ---- against what it had when it was here last */

/* In words what 'now' has less of; "" = nothing. A count that is configured as it is now is no loss. */
static void find_loss(const struct tug_node *n, const struct tug_core_inventory *now, char *out, size_t size)
{
    uint32_t had = tug_gpuset_count(said_gpus(&n->inv)), has = tug_gpuset_count(said_gpus(now));
    int is_wanted = n->row.gpus && n->row.gpus == has;
    char which[128];
    *out = 0;
    if (has < had && now->gpus == n->inv.gpus && !is_wanted)
        snprintf(out, size, "GPU %s cannot be used any more",
                 tug_gpuset_format(now->gpus_lost & ~n->inv.gpus_lost, which, sizeof which));
    else if (has < had && !is_wanted)
        snprintf(out, size, "%u GPUs before, %u now", had, has);
    else if (n->told && now->machine && now->gpus == n->inv.gpus)
        tug_machine_loss(n->told, now->machine, out, size);
}

/* What it lost before and nobody has taken so stands before it. */
static void drain_for_loss(struct tug_core *c, uint32_t node, const char *loss)
{
    const struct tug_core_drain *before = tug_node_drained_by(&c->nodes.at[node], TUG_DRAIN_LOSS);
    char text[2 * TUG_ACTION_TEXT];
    if (before && strstr(before->reason, loss))
        return;
    snprintf(text, sizeof text, "%s%s%s", before ? before->reason : "", before ? "; " : "", loss);
    tug_node_drain(c, node, TUG_DRAIN_LOSS, text);
}

/* ---- strays */

void tug_node_stray(struct tug_core *c, uint32_t node, tug_job_id job, uint32_t attempt,
                    uint32_t step, const char *why)
{
    struct tug_node *n = &c->nodes.at[node];
    struct tug_stray s = {job, attempt, step};
    tug_act_part(c, TUG_ACT_KILL, job, attempt, step, node, 0, 0, why);
    for (size_t i = 0; i < n->strays.len; i++)
        if (n->strays.at[i].job == job && n->strays.at[i].attempt == attempt &&
            n->strays.at[i].step == step)
            return;
    tug_vec_push(&n->strays, s);
    tug_node_refresh(c, node);
}

void tug_node_stray_gone(struct tug_core *c, uint32_t node, tug_job_id job, uint32_t attempt,
                         uint32_t step)
{
    struct tug_node *n = &c->nodes.at[node];
    for (size_t i = 0; i < n->strays.len; i++)
        if (n->strays.at[i].job == job && n->strays.at[i].attempt == attempt &&
            n->strays.at[i].step == step) {
            tug_vec_remove(&n->strays, i);
            tug_node_refresh(c, node);
            return;
        }
}

/* ---- gangs on nodes */

int tug_gang_claim(struct tug_core *c, struct tug_entry *e, enum tug_ledger_rule rule,
                   struct tug_err *err)
{
    int rc = 0;
    if (e->j.suspended_ms >= 0)
        tug_ledger_claim_memory(c->ledger, e->j.slices, e->j.n_slices);
    else
        rc = tug_ledger_claim(c->ledger, e->j.id, e->j.slices, e->j.n_slices, rule, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < e->j.n_slices; i++) {
        uint32_t node = e->j.slices[i].node;
        tug_vec_push(&c->nodes.at[node].gangs, e);
        tug_node_refresh(c, node);
    }
    if (e->j.suspended_ms < 0)
        tug_alone_shut(c, e, e->j.slices, e->j.n_slices);
    if (e->j.suspended_ms < 0)
        tug_share_run(c, e,
                      rule == TUG_LEDGER_FREE  ? c->now_ms
                      : e->j.resumed_ms >= 0 ? e->j.resumed_ms
                                             : e->j.alloc_ms);
    return 0;
}

void tug_gang_release(struct tug_core *c, struct tug_entry *e)
{
    if (e->charged_ms >= 0)
        tug_share_halt(c, e);
    if (e->j.suspended_ms >= 0)
        tug_ledger_release_memory(c->ledger, e->j.slices, e->j.n_slices);
    else
        tug_ledger_release(c->ledger, e->j.id, e->j.slices, e->j.n_slices);
    tug_remnants_inherit(c, e);
    for (size_t i = 0; i < e->j.n_slices; i++) {
        struct tug_node *n = &c->nodes.at[e->j.slices[i].node];
        size_t at = 0;
        while (at < n->gangs.len && n->gangs.at[at] != e)
            at++;
        tug_assert(at < n->gangs.len);
        tug_vec_remove(&n->gangs, at);
        tug_hold_fill(c, e->j.slices[i].node);
        tug_node_refresh(c, e->j.slices[i].node);
    }
    tug_alone_open(c, e);
    tug_hold_left(c);
    c->freed++;
    c->wants_pass = 1;
    tug_gang_runs_no_more(c, e);
}

void tug_gang_runs_no_more(struct tug_core *c, struct tug_entry *e)
{
    if (!e->running_at)
        return;
    struct tug_running_row *last = &c->running.at[c->running.len - 1];
    last->entry->running_at = e->running_at;
    c->running.at[e->running_at - 1] = *last;
    e->running_at = 0;
    c->running.len--;
}

/* ---- coming back: what it holds against what the core thinks */

static const struct tug_held_step *find_held(const struct tug_event *ev, const struct tug_entry *e,
                                             const struct tug_step *s)
{
    for (size_t i = 0; i < ev->n_held; i++)
        if (ev->held[i].job == e->j.id && ev->held[i].attempt == e->j.attempt &&
            ev->held[i].step == s->id)
            return &ev->held[i];
    return NULL;
}

static void say_again(struct tug_core *c, const struct tug_entry *e, const struct tug_step *s,
                      uint32_t node, enum tug_action_type type)
{
    tug_act_part(c, type, e->j.id, e->j.attempt, s->id, node, 0, 0,
                 type == TUG_ACT_KILL ? s->cause.text : NULL);
}

/* One part that the core expects there. */
static void reconcile_part(struct tug_core *c, const struct tug_event *ev, struct tug_entry *e,
                           struct tug_step *s, struct tug_part *p)
{
    const struct tug_held_step *held = find_held(ev, e, s);
    if (!held) {
        if (p->phase == TUG_PART_WAITING)
            say_again(c, e, s, ev->node, TUG_ACT_LAUNCH);
        else
            tug_step_part_vanished(c, e, s, p);
        return;
    }
    struct tug_event as = {.job = e->j.id,
                           .attempt = e->j.attempt,
                           .step = s->id,
                           .node = ev->node,
                           .exits = held->exits,
                           .n_exits = held->n_exits,
                           .cause = held->cause};
    if (p->lost)
        tug_act_changed(c, e);
    p->lost = 0;
    if (held->phase == TUG_HELD_RUNNING && p->phase == TUG_PART_STARTED)
        tug_suspend_say_again(c, e, s, ev->node);
    if (held->phase == TUG_HELD_DONE)
        tug_ev_step_done(c, &as, NULL);
    else if (p->phase == TUG_PART_KILLING)
        say_again(c, e, s, ev->node, TUG_ACT_KILL);
    else if (held->phase == TUG_HELD_READY ||
             (held->phase == TUG_HELD_RUNNING && p->phase == TUG_PART_WAITING))
        tug_ev_step_ready(c, &as, NULL);
}

/* Every part of the job on that node. A failure may end the attempt and free the steps: start over
 * by step id. */
static void reconcile_job(struct tug_core *c, const struct tug_event *ev, struct tug_entry *e)
{
    uint32_t attempt = e->j.attempt;
    for (uint32_t id = 0; id < e->j.next_step; id++) {
        struct tug_step *s = tug_job_step(e, id);
        struct tug_part *p = s ? tug_step_part_at(e, s, ev->node) : NULL;
        if (p && p->phase != TUG_PART_GONE)
            reconcile_part(c, ev, e, s, p);
        if (e->j.attempt != attempt || !tug_job_state_holds(e->j.state))
            return;
    }
    struct tug_part *visit = e->j.visit ? tug_step_part_at(e, e->j.visit, ev->node) : NULL;
    if (visit && visit->phase != TUG_PART_GONE)
        reconcile_part(c, ev, e, e->j.visit, visit);
}

static int is_expected(const struct tug_core *c, uint32_t node, const struct tug_held_step *h)
{
    const struct tug_entry *e = tug_jobtab_find(&c->jobs, h->job);
    if (!e || e->j.attempt != h->attempt || !tug_job_state_holds(e->j.state))
        return 0;
    const struct tug_step *s = tug_job_step(e, h->step);
    const struct tug_part *p = s ? tug_step_part_at(e, s, node) : NULL;
    return p && p->phase != TUG_PART_GONE;
}

static void end_strays(struct tug_core *c, const struct tug_event *ev)
{
    for (size_t i = 0; i < ev->n_held; i++) {
        const struct tug_held_step *h = &ev->held[i];
        if (is_expected(c, ev->node, h) || tug_remnant_is_known(c, ev->node, h))
            continue;
        if (h->phase == TUG_HELD_DONE)
            tug_act_part(c, TUG_ACT_ACK, h->job, h->attempt, h->step, ev->node, 0, 0, NULL);
        else
            tug_node_stray(c, ev->node, h->job, h->attempt, h->step, "is not expected here");
    }
}

/* A copy, as the list changes while gangs end. */
static struct tug_entry **gangs_of(const struct tug_node *n, size_t *len)
{
    *len = n->gangs.len;
    return tug_xmemdup(n->gangs.at, n->gangs.len * sizeof *n->gangs.at);
}

int tug_node_take_inventory(struct tug_core *c, uint32_t node, const struct tug_core_inventory *inv)
{
    struct tug_node *n = &c->nodes.at[node];
    struct tug_core_inventory old = n->inv;
    int makes_sense = inv->machine && inv->machine->n_gpus >= inv->gpus;
    n->inv = *inv;
    n->inv.gpu_model = tug_intern(c->texts, inv->gpu_model);
    n->inv.machine = old.machine;
    n->inv.mig = NULL; /* see n->cut */
    n->inv.n_mig = 0;
    int differs = !n->known || n->inv.gpu_model != old.gpu_model ? TUG_NODE_NEW_MODEL : 0;
    n->known = 1;
    hold_machine(c, &n->told, makes_sense ? inv->machine : NULL);
    differs |= settle_machine(c, n) ? TUG_NODE_NEW_LINKS : 0;
    tug_cut_take(c, node, inv->mig, inv->n_mig);
    tug_intern_drop(c->texts, old.gpu_model);
    return differs;
}

static void take_inventory(struct tug_core *c, uint32_t node, const struct tug_core_inventory *inv)
{
    struct tug_node *n = &c->nodes.at[node];
    int differs = tug_node_take_inventory(c, node, inv);
    resize(c, node);
    if (differs & TUG_NODE_NEW_LINKS)
        c->reshaped++;
    if (differs & TUG_NODE_NEW_MODEL && (*n->inv.gpu_model || *n->row.gpu_model))
        tug_wheres_renew(c);
}

/* Slices that have gone drain the node; GPUs that are cut otherwise are said. */
static void hear_cuts(struct tug_core *c, uint32_t node, const struct tug_cut_node *was)
{
    const struct tug_node *n = &c->nodes.at[node];
    char loss[TUG_ACTION_TEXT], change[TUG_ACTION_TEXT];
    tug_cut_compare(c, was, n->cut, n->inv.gpus_lost, loss, change, sizeof loss);
    if (*loss)
        drain_for_loss(c, node, loss);
    if (*change)
        tug_act_node_log(c, node, "node %s is cut otherwise than before: %s", n->name, change);
}

/* Less than it had drains it; other hardware is said. */
static void hear_inventory(struct tug_core *c, uint32_t node, const struct tug_core_inventory *inv)
{
    const struct tug_node *n = &c->nodes.at[node];
    struct tug_cut_node *was = n->cut ? tug_xmemdup(n->cut, sizeof *n->cut) : NULL;
    int known = n->known;
    char loss[TUG_ACTION_TEXT] = "", change[TUG_ACTION_TEXT] = "";
    if (n->known)
        find_loss(n, inv, loss, sizeof loss);
    if (n->told && inv->machine && !*loss)
        tug_machine_difference(n->told, inv->machine, change, sizeof change);
    take_inventory(c, node, inv);
    expect_at_least(c, node);
    if (*loss)
        drain_for_loss(c, node, loss);
    else if (*change)
        tug_act_node_log(c, node, "node %s has other hardware than before: %s", n->name, change);
    if (known)
        hear_cuts(c, node, was);
    free(was);
    tug_act_node_changed(c, node);
}

int tug_ev_node_changed(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    if (ev->node >= c->nodes.len || !c->nodes.at[ev->node].up)
        return tug_fail(err, -ENOENT, "node %u is not up", ev->node);
    hear_inventory(c, ev->node, &ev->inventory);
    tug_node_refresh(c, ev->node);
    return 0;
}

int tug_ev_node_up(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    if (ev->node >= c->nodes.len)
        return tug_fail(err, -ENOENT, "node %u is not configured", ev->node);
    struct tug_node *n = &c->nodes.at[ev->node];
    int64_t lost_ms = n->since_ms;
    int is_other_boot = n->up && ev->boot_changed;
    if (!n->in_conf && !n->gangs.len)
        return tug_fail(err, -ENOENT, "node '%s' is not configured any more, and nothing holds it", n->name);
    if (!n->up)
        n->since_ms = c->now_ms;
    if (!n->up && *n->down_reason)
        tug_act_node_history(c, ev->node, "up", NULL, NULL);
    c->nodes_up += !n->up;
    n->up = 1;
    n->down_reason = replace_text(c, n->down_reason, NULL);
    n->strays.len = 0;
    tug_failure_back(c, ev->node, lost_ms, is_other_boot);
    hear_inventory(c, ev->node, &ev->inventory);
    tug_remnants_back(c, ev);
    end_strays(c, ev); /* before reconciling makes other parts unexpected */
    size_t len;
    struct tug_entry **gangs = gangs_of(n, &len);
    for (size_t i = 0; i < len; i++)
        reconcile_job(c, ev, gangs[i]);
    free(gangs);
    tug_node_refresh(c, ev->node);
    return 0;
}

/* ---- going away */

static void lose_parts(struct tug_entry *e, uint32_t node)
{
    for (size_t i = 0; i < e->j.n_steps; i++) {
        struct tug_step *s = &e->j.steps[i];
        struct tug_part *p = tug_step_part_at(e, s, node);
        if (!p || p->phase == TUG_PART_GONE)
            continue;
        tug_step_part_set(s, p, TUG_PART_KILLING);
        p->lost = 1;
    }
    struct tug_part *visit = e->j.visit ? tug_step_part_at(e, e->j.visit, node) : NULL;
    if (visit && visit->phase != TUG_PART_GONE) {
        tug_step_part_set(e->j.visit, visit, TUG_PART_KILLING);
        visit->lost = 1;
    }
}

int tug_ev_node_down(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    if (ev->node >= c->nodes.len)
        return tug_fail(err, -EINVAL, "there is no node %u", ev->node);
    struct tug_node *n = &c->nodes.at[ev->node];
    const char *why = ev->text && *ev->text ? ev->text : "it was not heard of any more";
    c->nodes_up -= n->up;
    if (n->up)
        tug_act_node_history(c, ev->node, "down", NULL, why);
    int was_here = n->up;
    if (n->up || !*n->down_reason)
        n->since_ms = c->now_ms;
    n->up = 0;
    if (was_here)
        tug_failure_lost(c, ev->node);
    tug_links_node_down(c, ev->node);
    n->down_reason = replace_text(c, n->down_reason, why);
    tug_node_refresh(c, ev->node);
    tug_act_node_changed(c, ev->node);
    size_t len;
    struct tug_entry **gangs = gangs_of(n, &len);
    for (size_t i = 0; i < len; i++) {
        tug_act_changed(c, gangs[i]);
        lose_parts(gangs[i], ev->node);
        tug_job_node_lost(c, gangs[i], ev->node, why);
    }
    free(gangs);
    return 0;
}

static void forget_lost(struct tug_core *c, struct tug_entry *e, uint32_t node)
{
    uint32_t attempt = e->j.attempt;
    for (uint32_t id = 0; id < e->j.next_step; id++) {
        struct tug_step *s = tug_job_step(e, id);
        struct tug_part *p = s ? tug_step_part_at(e, s, node) : NULL;
        if (!p || !p->lost)
            continue;
        tug_step_part_vanished(c, e, s, p);
        if (e->j.attempt != attempt || !tug_job_state_holds(e->j.state))
            return;
    }
    struct tug_part *visit = e->j.visit ? tug_step_part_at(e, e->j.visit, node) : NULL;
    if (visit && visit->lost)
        tug_step_part_vanished(c, e, e->j.visit, visit);
}

int tug_ev_node_lease_over(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    if (ev->node >= c->nodes.len)
        return tug_fail(err, -EINVAL, "there is no node %u", ev->node);
    size_t len;
    struct tug_entry **gangs = gangs_of(&c->nodes.at[ev->node], &len);
    for (size_t i = 0; i < len; i++)
        forget_lost(c, gangs[i], ev->node);
    free(gangs);
    return 0;
}

/* ---- reading */

size_t tug_core_nodes(const struct tug_core *c)
{
    return c->nodes.len;
}

void tug_core_node(const struct tug_core *c, uint32_t index, struct tug_core_node *out)
{
    tug_assert(index < c->nodes.len);
    const struct tug_node *n = &c->nodes.at[index];
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, index);
    struct tug_core_inventory has;
    tug_gpuset cut = n->cut ? n->cut->gpus & usable_gpus(n) : 0;
    tug_node_size(c, index, &has);
    const char *reason = n->drain_reason;
    if (!n->in_conf)
        reason = "is no longer in the configuration";
    else if (!n->up && *n->down_reason)
        reason = n->down_reason;
    else if (!n->drained && n->remnants.len)
        reason = n->remnants.at[0].text;
    else if (!n->drained && n->strays.len)
        reason = "something that should not run there is being ended";
    *out = (struct tug_core_node){.name = n->name,
                                  .up = n->up,
                                  .drained = n->drained,
                                  .known = n->known,
                                  .reason = reason,
                                  .drains = n->drains.at,
                                  .n_drains = n->drains.len,
                                  .since_ms = n->since_ms,
                                  .bad_launches = n->bad_launches,
                                  .failures = n->failures.at,
                                  .n_failures = n->failures.len,
                                  .remnants = n->remnants.at,
                                  .n_remnants = n->remnants.len,
                                  .cpus = has.cpus,
                                  .cpus_used = l->cpus_used,
                                  .gpus = has.gpus,
                                  .gpus_used = l->gpus_used & ~l->all_slices,
                                  .mem_bytes = has.mem_bytes,
                                  .mem_used_bytes = l->mem_used_bytes,
                                  .gpu_model = has.gpu_model,
                                  .n_jobs = l->gangs,
                                  .domain = n->domain,
                                  .machine = has.machine,
                                  .gpus_lost = has.gpus_lost,
                                  .prolog_s = n->inv.prolog_s,
                                  .epilog_s = n->inv.epilog_s,
                                  .gpus_cut = cut,
                                  .slices = tug_gpuset_count(l->all_slices),
                                  .slices_used = tug_gpuset_count(l->all_slices & l->gpus_used)};
}

size_t tug_core_gpu_ring(const struct tug_core *c, uint32_t node, tug_gpuset gpus, uint32_t *out)
{
    const struct tug_node *n = &c->nodes.at[node];
    tug_gpuset slices = gpus & ~tug_gpuset_first_n(n->inv.gpus < TUG_GPUS_MAX ? n->inv.gpus : TUG_GPUS_MAX);
    return tug_bandwidth_ring(slices ? NULL : n->inv.machine, gpus, out);
}

const char *tug_core_node_state(const struct tug_core_node *n)
{
    if (!n->up)
        return *n->reason ? "DOWN" : "UNKNOWN";
    if (n->drained)
        return n->n_jobs ? "DRAINING" : "DRAINED";
    if (n->n_remnants)
        return "CLEANING";
    if (!n->n_jobs)
        return "IDLE";
    return n->cpus_used >= n->cpus || (n->gpus + n->slices && tug_gpuset_count(n->gpus_used) + n->slices_used >= n->gpus + n->slices)
               ? "ALLOCATED"
               : "MIXED";
}

uint32_t tug_core_node_find(const struct tug_core *c, const char *name)
{
    struct tug_name *found = NULL;
    HASH_FIND_STR(c->names, name, found);
    return found ? found->node : TUG_NO_NODE;
}
