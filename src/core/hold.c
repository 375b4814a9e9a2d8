/* hold.c - what is kept for a job that others give way to
 *
 * A hold is the plan on which others were told to give way: slices for one waiting job, of which
 * some resources are free already and some come free when those others are gone. What is free of
 * them is kept in the ledger under the job's id, at once and whenever more comes free, so nobody
 * else can be placed there; to the ledger, the index and every policy they are in use.
 *
 * Always: a job with a hold stands in core.order; have[i] is within want[i]; plans of two holds
 * share no GPU; what all plans on a node still lack is no more than what those hold there who are
 * leaving, and comes to the oldest hold first. So every hold on a node is complete when all who are
 * leaving it are gone. A hold ends when its job starts (here or elsewhere), leaves
 * the order, a node of the plan can no longer be used, or 'until_ms' has come. Those who are giving
 * way go on doing so: they have been told, and may be half way out. Layer: core.
 */
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

/* Once complete, the next pass starts the job before it asks any policy; if it may not start within
 * this, its queue is full or down. */
#define READY_MS (60 * 1000)

static int slice_is_complete(const struct tug_slice *want, const struct tug_slice *have)
{
    return want->gpus == have->gpus && want->cpus == have->cpus &&
           want->mem_bytes == have->mem_bytes;
}

/* Keep what is free of one slice: 1 if it is complete now and was not before. */
static int keep_free(struct tug_core *c, struct tug_entry *e, size_t i)
{
    struct tug_hold *h = e->hold;
    const struct tug_slice *want = &h->want[i];
    struct tug_slice *have = &h->have[i];
    const struct tug_ledger_node *n = tug_ledger_node(c->ledger, want->node);
    uint32_t cpus = want->cpus - have->cpus, cpus_free = tug_ledger_cpus_free(n);
    uint64_t mem = want->mem_bytes - have->mem_bytes, mem_free = tug_ledger_mem_free(n);
    if (slice_is_complete(want, have))
        return 0;
    struct tug_slice more = {.node = want->node,
                             .gpus = want->gpus & ~have->gpus & tug_ledger_devices_free(n),
                             .cpus = cpus < cpus_free ? cpus : cpus_free,
                             .mem_bytes = mem < mem_free ? mem : mem_free};
    tug_ledger_keep(c->ledger, e->j.id, &more);
    have->gpus |= more.gpus;
    have->cpus += more.cpus;
    have->mem_bytes += more.mem_bytes;
    return slice_is_complete(want, have);
}

int tug_hold_is_idle(const struct tug_core *c, const struct tug_slice *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct tug_ledger_node *l = tug_ledger_node(c->ledger, want[i].node);
        if (want[i].gpus & ~tug_ledger_devices_free(l) || want[i].cpus > tug_ledger_cpus_free(l) ||
            want[i].mem_bytes > tug_ledger_mem_free(l))
            return 0;
    }
    return 1;
}

static void on_complete(struct tug_core *c, struct tug_entry *e)
{
    e->hold->until_ms = c->now_ms + READY_MS;
    tug_vec_push(&c->ripe, e->j.id);
    c->wants_pass = 1;
    tug_job_arm(c, e);
}

void tug_hold_new(struct tug_core *c, struct tug_entry *e, struct tug_slice *want,
                  const tug_job_id *givers, size_t n_givers, int64_t until_ms)
{
    tug_assert(!e->hold && e->bench == TUG_BENCH_ORDER);
    struct tug_hold *h = e->hold = tug_new(struct tug_hold);
    h->want = want;
    h->n = e->j.req.nodes;
    h->have = tug_xcalloc(h->n, sizeof *h->have);
    h->place = tug_xcalloc(h->n, sizeof *h->place);
    h->givers = tug_xmemdup(givers, n_givers * sizeof *givers);
    h->n_givers = n_givers;
    h->until_ms = until_ms;
    tug_queue_holds(c, e, 1);
    for (size_t i = 0; i < h->n; i++) {
        h->have[i].node = want[i].node;
        tug_vec_push(&c->nodes.at[want[i].node].holds, e);
        h->complete += slice_is_complete(&want[i], &h->have[i]) || keep_free(c, e, i);
        tug_node_refresh(c, want[i].node);
    }
    h->crowded = tug_alone_is_crowded(c, e, want, h->n);
    tug_alone_shut(c, e, want, h->n);
    h->was_crowded = h->crowded;
    c->within.holds += (uint32_t) h->was_crowded;
    if (tug_hold_is_complete(e))
        on_complete(c, e);
    tug_job_arm(c, e);
}

/* Returns where it stood. */
static size_t take_off(struct tug_core *c, struct tug_entry *e, size_t i)
{
    struct tug_node *n = &c->nodes.at[e->hold->want[i].node];
    size_t at = 0;
    while (at < n->holds.len && n->holds.at[at] != e)
        at++;
    tug_assert(at < n->holds.len);
    tug_vec_remove(&n->holds, at);
    return at;
}

struct tug_hold *tug_hold_detach(struct tug_core *c, struct tug_entry *e)
{
    struct tug_hold *h = e->hold;
    if (!h)
        return NULL;
    tug_assert(!h->lifted);
    c->within.holds -= (uint32_t) h->was_crowded;
    tug_alone_open(c, e);
    tug_queue_holds(c, e, -1);
    for (size_t i = 0; i < h->n; i++) {
        tug_ledger_unkeep(c->ledger, e->j.id, &h->have[i]);
        take_off(c, e, i);
    }
    e->hold = NULL;
    return h;
}

void tug_hold_scatter(struct tug_core *c, struct tug_hold *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n; i++) {
        tug_hold_fill(c, h->want[i].node);
        tug_node_refresh(c, h->want[i].node);
    }
    free(h->want);
    free(h->have);
    free(h->place);
    free(h->givers);
    free(h);
    tug_hold_left(c);
    c->freed++;
    c->wants_pass = 1;
}

void tug_hold_drop(struct tug_core *c, struct tug_entry *e)
{
    if (!e->hold)
        return;
    tug_hold_scatter(c, tug_hold_detach(c, e));
    tug_job_arm(c, e);
}

int64_t tug_hold_until(const struct tug_entry *e)
{
    return e->hold ? e->hold->until_ms : INT64_MAX;
}

int tug_hold_is_complete(const struct tug_entry *e)
{
    return e->hold && e->hold->complete == e->hold->n && !e->hold->crowded;
}

int64_t tug_hold_ready_ms(const struct tug_core *c, const struct tug_entry *e)
{
    int64_t at_ms = c->now_ms;
    for (size_t i = 0; i < e->hold->n_givers && !tug_hold_is_complete(e); i++) {
        const struct tug_entry *g = tug_jobtab_find(&c->jobs, e->hold->givers[i]);
        if (g && tug_preempt_is_leaving(g) && g->j.notice_ms > at_ms)
            at_ms = g->j.notice_ms;
    }
    return tug_hold_is_complete(e) ? at_ms : at_ms + c->kill_grace_s * 1000LL;
}

struct tug_slice tug_hold_kept(const struct tug_entry *e, uint32_t node)
{
    const struct tug_hold *h = e->hold;
    for (size_t i = 0; i < h->n; i++)
        if (h->have[i].node == node)
            return h->have[i];
    return (struct tug_slice){.node = node};
}

struct tug_slice tug_hold_lacks(const struct tug_entry *e, uint32_t node)
{
    const struct tug_hold *h = e->hold;
    for (size_t i = 0; i < h->n; i++)
        if (h->want[i].node == node)
            return (struct tug_slice){.node = node,
                                      .gpus = h->want[i].gpus & ~h->have[i].gpus,
                                      .cpus = h->want[i].cpus - h->have[i].cpus,
                                      .mem_bytes = h->want[i].mem_bytes - h->have[i].mem_bytes};
    return (struct tug_slice){.node = node};
}

uint32_t tug_hold_gpus(const struct tug_entry *e)
{
    uint32_t gpus = 0;
    for (size_t i = 0; e->hold && i < e->hold->n; i++)
        gpus += tug_gpuset_count(e->hold->want[i].gpus);
    return gpus ? tug_entry_gpus(e, gpus) : 0;
}

static void fill_one(struct tug_core *c, uint32_t node, struct tug_entry *e)
{
    struct tug_hold *h = e->hold;
    for (size_t i = 0; i < h->n; i++)
        if (h->want[i].node == node && keep_free(c, e, i) && ++h->complete == h->n && !h->crowded)
            on_complete(c, e);
}

void tug_hold_left(struct tug_core *c)
{
    for (size_t i = 0; c->within.holds && i < c->nodes.len; i++)
        for (size_t k = 0; k < c->nodes.at[i].holds.len; k++) {
            struct tug_entry *e = c->nodes.at[i].holds.at[k];
            if (!e->hold->crowded || tug_alone_is_crowded(c, e, e->hold->want, e->hold->n))
                continue;
            e->hold->crowded = 0;
            if (tug_hold_is_complete(e))
                on_complete(c, e);
        }
}

void tug_hold_owed(const struct tug_core *c, uint32_t node, tug_gpuset *gpus, uint32_t *cpus,
                   uint64_t *mem_bytes)
{
    const struct tug_node *n = &c->nodes.at[node];
    *gpus = 0;
    *cpus = 0;
    *mem_bytes = 0;
    for (size_t i = 0; i < n->holds.len; i++) {
        const struct tug_hold *h = n->holds.at[i]->hold;
        for (size_t k = 0; k < h->n; k++) {
            if (h->want[k].node != node)
                continue;
            *gpus |= h->want[k].gpus & ~h->have[k].gpus;
            *cpus += h->want[k].cpus - h->have[k].cpus;
            *mem_bytes += h->want[k].mem_bytes - h->have[k].mem_bytes;
        }
    }
}

void tug_hold_fill(struct tug_core *c, uint32_t node)
{
    struct tug_node *n = &c->nodes.at[node];
    for (size_t i = 0; i < n->holds.len; i++)
        fill_one(c, node, n->holds.at[i]);
}

void tug_hold_node_lost(struct tug_core *c, uint32_t node)
{
    while (c->nodes.at[node].holds.len)
        tug_hold_drop(c, c->nodes.at[node].holds.at[0]);
}

void tug_hold_lift(struct tug_core *c, struct tug_entry *e)
{
    struct tug_hold *h = e->hold;
    if (!h)
        return;
    h->lifted = 1;
    tug_alone_open(c, e);
    for (size_t i = 0; i < h->n; i++) {
        tug_ledger_unkeep(c->ledger, e->j.id, &h->have[i]);
        h->place[i] = take_off(c, e, i);
        tug_node_refresh(c, h->want[i].node);
    }
}

void tug_hold_lower(struct tug_core *c, struct tug_entry *e)
{
    struct tug_hold *h = e->hold;
    if (!h)
        return;
    h->lifted = 0;
    tug_alone_shut(c, e, h->want, h->n);
    for (size_t i = 0; i < h->n; i++) {
        struct tug_node *n = &c->nodes.at[h->want[i].node];
        tug_ledger_keep(c->ledger, e->j.id, &h->have[i]);
        tug_vec_push(&n->holds, e);
        for (size_t k = n->holds.len - 1; k > h->place[i]; k--)
            n->holds.at[k] = n->holds.at[k - 1];
        n->holds.at[h->place[i]] = e;
        tug_node_refresh(c, h->want[i].node);
    }
}
