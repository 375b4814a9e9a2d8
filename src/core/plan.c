/* plan.c - what is free when: the expected ends of what runs, and a pass's reservations
 *
 * The profile is made when a pass first asks for it, and follows what the pass starts and reserves.
 * Within a pass it only shrinks: what found no room, or would have delayed a reservation, need not
 * be tried again for a run that is as long or longer. GPUs are counted whole: one in parts comes
 * free with the last of them, and who wants a part of one books all of it, unless another part of
 * it is held for longer. Layer: core.
 */
#include <errno.h>
#include <string.h>

#include "core/pass.h"
#include "core/profile.h"

/* A job that should have ended already, or is being ended, is expected to end this much later. */
#define SOON_MS 1000
/* Where the policy says nothing. */
#define HORIZON_MS (366LL * 86400 * 1000)
#define STEP_MS    (60 * 1000)

/* By width and length of a run, in steps of half a power of two: what a search in this pass has
 * found. Nothing wider and longer starts earlier. */
#define WIDTHS  34
#define LENGTHS 44
struct bounds {
    uint64_t pass;
    int64_t ms[WIDTHS][LENGTHS];
};

struct tug_plan {
    struct tug_profile *profile;
    uint64_t pass;      /* of the profile */
    uint64_t set_pass;  /* of the horizon */
    uint64_t booked_in; /* pass that last reserved something */
    size_t n_booked;
    tug_job_id first; /* it reserved for */
    int64_t first_ms;
    int64_t horizon_ms, step_ms;
    struct tug_vec(int64_t) ends;
    struct tug_vec(uint64_t) allowed; /* nodes of allowed_of that could be used in that pass */
    const struct tug_where *allowed_of;
    uint64_t allowed_in;
    struct tug_vec(uint32_t) nodes;
    struct tug_vec(uint32_t) apart; /* those that when_apart() found */
    const struct tug_entry *apart_of; /* for it; NULL = it was not asked */
    struct tug_vec(uint32_t) rest;
    struct tug_vec(uint64_t) all, idle;
    struct tug_vec(uint64_t) full, last; /* nodes where a slice, and the last one, fits */
    struct tug_vec(struct bounds *) bounds; /* by family; NULL = none yet */
};

static struct tug_plan *plan_of(struct tug_core *c)
{
    if (!c->plan) {
        c->plan = tug_new(struct tug_plan);
        c->plan->profile = tug_profile_new();
    }
    return c->plan;
}

void tug_plan_clear(struct tug_core *c)
{
    if (!c->plan)
        return;
    tug_profile_free(c->plan->profile);
    tug_vec_clear(&c->plan->ends);
    tug_vec_clear(&c->plan->allowed);
    tug_vec_clear(&c->plan->nodes);
    tug_vec_clear(&c->plan->apart);
    tug_vec_clear(&c->plan->rest);
    tug_vec_clear(&c->plan->all);
    tug_vec_clear(&c->plan->idle);
    tug_vec_clear(&c->plan->full);
    tug_vec_clear(&c->plan->last);
    for (size_t i = 0; i < c->plan->bounds.len; i++)
        free(c->plan->bounds.at[i]);
    tug_vec_clear(&c->plan->bounds);
    free(c->plan);
    c->plan = NULL;
}

size_t tug_plan_reserved(const struct tug_core *c, tug_job_id *job, int64_t *start_ms)
{
    if (!c->plan || c->plan->booked_in != c->pass)
        return 0;
    *job = c->plan->first;
    *start_ms = c->plan->first_ms;
    return c->plan->n_booked;
}

size_t tug_plan_bytes(const struct tug_core *c)
{
    const struct tug_plan *plan = c->plan;
    if (!plan)
        return 0;
    size_t bytes =
        sizeof *plan + tug_profile_bytes(plan->profile) + plan->ends.cap * sizeof *plan->ends.at;
    for (size_t i = 0; i < plan->bounds.len; i++)
        bytes += plan->bounds.at[i] ? sizeof **plan->bounds.at : 0;
    return bytes;
}

int tug_plan_check(const struct tug_core *c, struct tug_err *err)
{
    if (c->plan && c->plan->pass == c->pass && c->pass && tug_profile_check(c->plan->profile))
        return tug_fail(err, -EINVAL, "the plan's bitmaps do not say what its nodes say");
    return 0;
}

/* ---- how long */

/* What is left of a run that is expected to take so long in all; TUG_NEVER = nobody knows. */
static int64_t left_of(const struct tug_policy_job *row)
{
    if (row->expected_ms < 0)
        return TUG_NEVER;
    int64_t left_ms = row->expected_ms - row->ran_ms;
    return left_ms > 0 ? left_ms : SOON_MS;
}

static int64_t end_of(const struct tug_core *c, const struct tug_entry *e,
                      const struct tug_policy_job *row)
{
    int64_t end_ms;
    if (e->j.state == TUG_JOB_COMPLETING || e->j.state == TUG_JOB_REQUEUED || row->leaving)
        return c->now_ms + SOON_MS;
    if (row->expected_ms < 0 ||
        __builtin_add_overflow(row->start_ms, row->expected_ms - row->ran_ms, &end_ms))
        return TUG_NEVER;
    return end_ms > c->now_ms ? end_ms : c->now_ms + SOON_MS;
}

int64_t tug_plan_expected_end(struct tug_policy_pass *p, uint64_t job)
{
    const struct tug_entry *e = tug_jobtab_find(&p->c->jobs, job);
    struct tug_policy_job row;
    if (!e || !tug_job_state_holds(e->j.state) || e->j.suspended_ms >= 0)
        return -1;
    tug_job_row(p->c, e, &row);
    return end_of(p->c, e, &row);
}

/* ---- what a job wants */

/* Or nowhere; its memory, it still has. */
static void only_where_it_is(struct tug_core *c, const struct tug_entry *e, struct tug_want *w)
{
    uint64_t *bits = c->plan->allowed.at;
    memset(bits, 0, c->index.words * sizeof *bits);
    for (size_t i = 0; i < e->j.n_slices; i++) {
        uint32_t node = e->j.slices[i].node;
        bits[node / 64] |= c->index.usable[node / 64] & 1ULL << (node % 64);
    }
    w->each.mem_bytes = w->last.mem_bytes = 0;
}

static void want_of(struct tug_core *c, const struct tug_entry *e, struct tug_want *w)
{
    const struct tug_job_req *r = &e->j.req;
    struct tug_plan *plan = c->plan;
    struct tug_policy_job row;
    tug_job_row(c, e, &row);
    w->each = (struct tug_need){.mem_bytes = r->mem_per_node_bytes,
                                .cut = e->shape->key.cut,
                                .gpus = r->gpus_per_node,
                                .cpus = r->cpus_per_node,
                                .exclusive = r->exclusive || e->shape->key.within.alone};
    w->last = w->each;
    w->last.gpus = tug_job_req_gpus(r, r->nodes - 1);
    w->last.cpus = tug_job_req_cpus(r, r->nodes - 1);
    w->nodes = r->nodes;
    w->run_ms = left_of(&row);
    tug_vec_reserve(&plan->allowed, c->index.words + 1);
    if (e->j.state == TUG_JOB_SUSPENDED)
        only_where_it_is(c, e, w);
    else if (plan->allowed_in != c->pass || plan->allowed_of != e->shape->key.where)
        for (size_t i = 0; i < c->index.words; i++)
            plan->allowed.at[i] = e->shape->key.where->nodes[i] & c->index.usable[i];
    plan->allowed_in = c->pass;
    plan->allowed_of = e->j.state == TUG_JOB_SUSPENDED ? NULL : e->shape->key.where;
    w->allowed = plan->allowed.at;
    tug_vec_reserve(&plan->nodes, r->nodes);
}

/* ---- domains that a job has for itself: nobody else is to be on their other nodes */

static const struct tug_need nobody = {.exclusive = 1};

/* Those, to be booked for as long as the gang; 0 nodes for most gangs. */
static struct tug_want rest_of(struct tug_core *c, const struct tug_entry *e,
                               const uint32_t *nodes, uint32_t n, int64_t run_ms, int with_own)
{
    struct tug_plan *plan = c->plan;
    struct tug_want rest = {.each = nobody, .last = nobody, .run_ms = run_ms};
    if (!e->shape->key.within.alone)
        return rest;
    tug_vec_reserve(&plan->rest, c->nodes.len + 1);
    rest.nodes = tug_alone_rest(c, &e->shape->key.within, nodes, n, with_own, plan->rest.at);
    return rest;
}

static void book(struct tug_core *c, const struct tug_entry *e, const struct tug_want *w,
                 const uint32_t *nodes, int64_t at_ms)
{
    struct tug_want rest = rest_of(c, e, nodes, w->nodes, w->run_ms, 0);
    tug_profile_book(c->plan->profile, w, nodes, at_ms);
    if (rest.nodes)
        tug_profile_book(c->plan->profile, &rest, c->plan->rest.at, at_ms);
}

/* Who has domains for itself already, until then; on its own nodes, too, nobody else may be. */
static void book_shut(struct tug_core *c, const struct tug_entry *e, const struct tug_slice *at,
                      size_t n, int64_t end_ms)
{
    if (!e->n_shuts)
        return;
    tug_vec_reserve(&c->plan->nodes, n + 1);
    for (size_t i = 0; i < n; i++)
        c->plan->nodes.at[i] = at[i].node;
    struct tug_want rest = rest_of(c, e, c->plan->nodes.at, (uint32_t) n,
                                   end_ms == TUG_NEVER ? TUG_NEVER : end_ms - c->now_ms, 1);
    if (rest.nodes)
        tug_profile_book(c->plan->profile, &rest, c->plan->rest.at, c->now_ms);
}

/* Of the bits only those in domains that would be its own from then on until the run ends. */
static void keep_own(struct tug_core *c, const struct tug_entry *e, const struct tug_want *w,
                     int64_t at_ms, uint64_t *bits)
{
    struct tug_plan *plan = c->plan;
    if (!e->shape->key.within.alone)
        return;
    tug_vec_reserve(&plan->all, c->index.words + 1);
    tug_vec_reserve(&plan->idle, c->index.words + 1);
    memset(plan->all.at, 0xff, c->index.words * sizeof *plan->all.at);
    tug_profile_serving(plan->profile, &nobody, plan->all.at, at_ms, w->run_ms, plan->idle.at);
    const uint64_t *own = tug_alone_empty(c, &e->shape->key.within, plan->idle.at);
    for (size_t i = 0; i < c->index.words; i++)
        bits[i] &= own[i];
}

/* ---- making the profile */

static void add_ends(struct tug_core *c, const struct tug_entry *e, int64_t end_ms)
{
    for (size_t i = 0; i < e->j.n_slices; i++) {
        const struct tug_slice *s = &e->j.slices[i];
        const struct tug_ledger_node *n = tug_ledger_node(c->ledger, s->node);
        struct tug_stock held = {.mem_bytes = (int64_t) s->mem_bytes,
                                 .cpus = (int32_t) s->cpus,
                                 .gpus = s->gpu_milli
                                             ? 0 /* see add_shared() */
                                             : (int32_t) tug_gpuset_count(s->gpus & n->gpus),
                                 .gangs = 1};
        if (n->all_slices)
            tug_cut_count(c, s->node, s->gpus & n->slices, held.slices);
        tug_profile_ends(c->plan->profile, s->node, end_ms, &held);
    }
}

/* When the last of those is expected to end who have a part of that GPU, without 'but'; -1 = nobody
 * has. */
static int64_t last_end(const struct tug_core *c, uint32_t node, tug_gpuset gpu,
                        const struct tug_entry *but)
{
    const struct tug_node *n = &c->nodes.at[node];
    int64_t last_ms = -1;
    for (size_t i = 0; i < n->gangs.len; i++) {
        const struct tug_entry *e = n->gangs.at[i];
        struct tug_policy_job row;
        if (e == but || !e->j.req.gpu_milli || e->j.suspended_ms >= 0 || e->j.slices[0].gpus != gpu)
            continue;
        tug_job_row(c, e, &row);
        int64_t end_ms = end_of(c, e, &row);
        last_ms = end_ms > last_ms ? end_ms : last_ms;
    }
    return last_ms;
}

/* The plan counts whole GPUs: one in parts comes free with the last of them. */
static void add_shared(struct tug_core *c)
{
    const struct tug_stock whole = {.gpus = 1};
    for (uint32_t i = 0; i < c->nodes.len; i++) {
        const struct tug_ledger_node *n = tug_ledger_node(c->ledger, i);
        for (tug_gpuset g = n->gpus_shared & n->gpus; g; g &= g - 1)
            tug_profile_ends(c->plan->profile, i, last_end(c, i, g & -g, NULL), &whole);
    }
}

/* A part of a GPU of which somebody has another part for longer is nobody's loss. */
static void want_there(const struct tug_core *c, const struct tug_entry *e, uint32_t node,
                       tug_gpuset gpu, struct tug_want *w)
{
    int64_t end_ms;
    if (!e->j.req.gpu_milli)
        return;
    if (w->run_ms == TUG_NEVER || __builtin_add_overflow(c->now_ms, w->run_ms, &end_ms))
        end_ms = TUG_NEVER;
    if (last_end(c, node, gpu, e) >= end_ms)
        w->each.gpus = w->last.gpus = 0;
}

static void add_cuts(struct tug_core *c, uint32_t node, const struct tug_cut_node *cut)
{
    uint32_t kinds[TUG_PROFILE_CUTS] = {0};
    for (uint32_t k = 0; k < cut->n; k++)
        kinds[k] = cut->at[k].kind;
    tug_profile_cuts(c->plan->profile, node, kinds);
}

static void add_nodes(struct tug_core *c)
{
    for (uint32_t i = 0; i < c->nodes.len; i++) {
        const struct tug_ledger_node *n = tug_ledger_node(c->ledger, i);
        struct tug_stock has = {.mem_bytes = (int64_t) n->mem_bytes,
                                .cpus = (int32_t) n->cpus,
                                .gpus = (int32_t) tug_gpuset_count(n->gpus)};
        struct tug_stock left = {.mem_bytes = has.mem_bytes - (int64_t) n->mem_used_bytes,
                                 .cpus = has.cpus - (int32_t) n->cpus_used,
                                 .gpus = (int32_t) tug_gpuset_count(tug_ledger_gpus_free(n)),
                                 .gangs = n->gangs + (uint32_t) c->nodes.at[i].holds.len};
        const struct tug_cut_node *cut = c->nodes.at[i].cut;
        if (cut)
            tug_cut_count(c, i, n->slices & ~n->gpus_used, left.slices);
        tug_profile_node(c->plan->profile, i, &has, &left);
        if (cut)
            add_cuts(c, i, cut);
    }
}

static int64_t end_of_started(const struct tug_core *c, const struct tug_entry *e)
{
    struct tug_policy_job row;
    tug_job_row(c, e, &row);
    return end_of(c, e, &row);
}

/* What is kept for a job comes free when that will have run. */
static int64_t end_of_held(const struct tug_core *c, const struct tug_entry *e)
{
    struct tug_policy_job row;
    int64_t end_ms;
    tug_job_row(c, e, &row);
    int64_t left_ms = left_of(&row);
    return left_ms == TUG_NEVER || __builtin_add_overflow(tug_hold_ready_ms(c, e), left_ms, &end_ms)
               ? TUG_NEVER
               : end_ms;
}

static size_t count_holds(const struct tug_core *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->nodes.len; i++)
        n += c->nodes.at[i].holds.len;
    return n;
}

/* What a node gives to a hold: what is kept is free again when the job will have run. What is still
 * to come is in the hands of those who are leaving, and the hold's as soon as they are gone. */
static void add_hold(struct tug_core *c, const struct tug_entry *e, uint32_t node)
{
    struct tug_slice kept = tug_hold_kept(e, node), lacks = tug_hold_lacks(e, node);
    tug_gpuset gpus = tug_ledger_node(c->ledger, node)->gpus;
    struct tug_stock coming = {.mem_bytes = -(int64_t) lacks.mem_bytes,
                               .cpus = -(int32_t) lacks.cpus,
                               .gpus = -(int32_t) tug_gpuset_count(lacks.gpus & gpus)};
    struct tug_stock all = {.mem_bytes = (int64_t) (kept.mem_bytes + lacks.mem_bytes),
                            .cpus = (int32_t) (kept.cpus + lacks.cpus),
                            .gpus = (int32_t) tug_gpuset_count((kept.gpus | lacks.gpus) & gpus),
                            .gangs = 1};
    tug_cut_count(c, node, lacks.gpus, coming.slices);
    tug_cut_count(c, node, kept.gpus | lacks.gpus, all.slices);
    for (size_t k = 0; k < TUG_PROFILE_CUTS; k++)
        coming.slices[k] = (int8_t) -coming.slices[k];
    tug_profile_ends(c->plan->profile, node, c->now_ms + SOON_MS, &coming);
    tug_profile_ends(c->plan->profile, node, end_of_held(c, e), &all);
}

static void add_holds(struct tug_core *c)
{
    for (uint32_t i = 0; i < c->nodes.len; i++)
        for (size_t k = 0; k < c->nodes.at[i].holds.len; k++)
            add_hold(c, c->nodes.at[i].holds.at[k], i);
}

/* A hold is met once for each of its nodes. */
static void add_shut(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    const struct tug_plan *plan = c->plan;
    for (size_t i = 0; i < c->running.len; i++) {
        const struct tug_entry *e = c->running.at[i].entry;
        book_shut(c, e, e->j.slices, e->j.n_slices, plan->ends.at[i]);
    }
    for (size_t i = 0; i < p->started.len; i++) {
        const struct tug_entry *e = p->started.at[i];
        book_shut(c, e, e->j.slices, e->j.n_slices, plan->ends.at[c->running.len + i]);
    }
    for (size_t i = 0; i < c->nodes.len; i++)
        for (size_t k = 0; k < c->nodes.at[i].holds.len; k++) {
            const struct tug_entry *e = c->nodes.at[i].holds.at[k];
            if (e->hold->want[0].node == i)
                book_shut(c, e, e->hold->want, e->hold->n, end_of_held(c, e));
        }
}

/* What runs, this pass's own included, and what is kept for those that will. */
static void make(struct tug_policy_pass *p)
{
    struct tug_core *c = p->c;
    struct tug_plan *plan = plan_of(c);
    size_t n = 0;
    if (plan->set_pass != c->pass)
        tug_plan_horizon(p, 0, 0);
    plan->pass = c->pass;
    tug_vec_reserve(&plan->ends, c->running.len + p->started.len + count_holds(c) + 1);
    for (size_t i = 0; i < c->running.len; i++)
        plan->ends.at[n++] = end_of(c, c->running.at[i].entry, &c->running.at[i].job);
    for (size_t i = 0; i < p->started.len; i++)
        plan->ends.at[n++] = end_of_started(c, p->started.at[i]);
    for (size_t i = 0; i < c->nodes.len; i++)
        for (size_t k = 0; k < c->nodes.at[i].holds.len; k++)
            plan->ends.at[n++] = end_of_held(c, c->nodes.at[i].holds.at[k]);
    if (n > c->running.len + p->started.len) /* there are holds: see add_hold() */
        plan->ends.at[n++] = c->now_ms + SOON_MS;
    int64_t horizon_ms;
    if (__builtin_add_overflow(c->now_ms, plan->horizon_ms, &horizon_ms))
        horizon_ms = TUG_NOWHEN;
    tug_profile_begin(plan->profile, c->now_ms, horizon_ms, plan->step_ms, c->nodes.len,
                      plan->ends.at, n);
    add_nodes(c);
    for (size_t i = 0; i < c->running.len; i++)
        add_ends(c, c->running.at[i].entry, plan->ends.at[i]);
    for (size_t i = 0; i < p->started.len; i++)
        add_ends(c, p->started.at[i], plan->ends.at[c->running.len + i]);
    add_shared(c);
    add_holds(c);
    add_shut(p);
}

void tug_plan_started(struct tug_policy_pass *p, const struct tug_entry *e)
{
    struct tug_core *c = p->c;
    struct tug_want w;
    if (!c->plan || c->plan->pass != c->pass)
        return;
    want_of(c, e, &w);
    want_there(c, e, e->j.slices[0].node, e->j.slices[0].gpus, &w);
    for (size_t i = 0; i < e->j.n_slices; i++)
        c->plan->nodes.at[i] = e->j.slices[i].node;
    book(c, e, &w, c->plan->nodes.at, c->now_ms);
}

/* ---- what a policy may call */

size_t tug_plan_next(struct tug_policy_pass *p, size_t from)
{
    struct tug_core *c = p->c;
    const uint32_t *limits = tug_family_limits(c);
    uint32_t widest = 0; /* that may fit, of any family */
    for (size_t i = 1; i < c->families.len; i++)
        if (c->families.at[i] && limits[i] > widest)
            widest = limits[i];
    if (widest < 2 && !c->order.n_apart)
        return c->order.len;
    const struct tug_brief *b = c->order.briefs + c->order.head;
    for (; from < c->order.len; from++) {
        const struct tug_family *f = c->families.at[b[from].family];
        if (b[from].nodes < limits[b[from].family] &&
            (!f || !tug_family_is_delaying(c, f, b[from].nodes, b[from].run_s)))
            break;
    }
    return from;
}

int tug_plan_horizon(struct tug_policy_pass *p, int64_t horizon_ms, int64_t step_ms)
{
    struct tug_plan *plan = plan_of(p->c);
    if (horizon_ms < 0 || step_ms < 0)
        return tug_pass_refuse(p, -EINVAL, "plans with a horizon or step that is negative");
    if (plan->pass == p->c->pass)
        return tug_pass_refuse(p, -EINVAL, "sets the horizon of a plan that is made already");
    plan->set_pass = p->c->pass;
    plan->horizon_ms = horizon_ms ? horizon_ms : HORIZON_MS;
    plan->step_ms = step_ms ? step_ms : STEP_MS;
    return 0;
}

/* 0, 1, 2, 3, 4, 6, 8, 12, 16, ...: the last that is not more than x */
static size_t step_below(uint64_t x)
{
    if (x < 2)
        return (size_t) x;
    unsigned e = 63 - (unsigned) __builtin_clzll(x);
    return 2 * e + (x >> (e - 1) & 1);
}

/* The first that is not less. */
static size_t step_above(uint64_t x)
{
    size_t i = step_below(x);
    return i < 2 || ((2 + (i & 1)) << (i / 2)) / 2 == x ? i : i + 1;
}

#define MINUTE_MS 60000

static size_t within(size_t i, size_t n)
{
    return i < n ? i : n - 1;
}

static struct bounds *bounds_of(struct tug_core *c, const struct tug_family *f)
{
    struct tug_plan *plan = c->plan;
    while (plan->bounds.len <= f->number)
        tug_vec_push(&plan->bounds, NULL);
    struct bounds *b = plan->bounds.at[f->number];
    if (!b)
        b = plan->bounds.at[f->number] = tug_new(struct bounds);
    if (b->pass != c->pass)
        memset(b, 0, sizeof *b);
    b->pass = c->pass;
    return b;
}

static int64_t bound_below(const struct bounds *b, const struct tug_want *w)
{
    size_t length = step_below((uint64_t) w->run_ms / MINUTE_MS);
    return b->ms[within(step_below(w->nodes), WIDTHS)][within(length, LENGTHS)];
}

static void note_bound(struct bounds *b, const struct tug_want *w, int64_t found_ms)
{
    size_t width = step_above(w->nodes);
    size_t length = step_above((uint64_t) w->run_ms / MINUTE_MS + 1);
    for (; width < WIDTHS && length < LENGTHS && b->ms[width][length] < found_ms; width++)
        for (size_t i = length; i < LENGTHS && b->ms[width][i] < found_ms; i++)
            b->ms[width][i] = found_ms;
}

/* As bits: nodes where that fits from then on until the run ends. */
static uint64_t *serving(struct tug_core *c, const struct tug_entry *e, const struct tug_want *w,
                         int last, int64_t at_ms)
{
    struct tug_plan *plan = c->plan;
    uint64_t *bits = last ? plan->last.at : plan->full.at;
    tug_profile_serving(plan->profile, last ? &w->last : &w->each, w->allowed, at_ms, w->run_ms,
                        bits);
    keep_own(c, e, w, at_ms, bits);
    return bits;
}

/* The plan's nodes are those that it would get then: 1, or 0. */
static int fits_within(struct tug_core *c, const struct tug_entry *e, const struct tug_want *w,
                       int64_t at_ms)
{
    struct tug_plan *plan = c->plan;
    const struct tug_shape *s = e->shape;
    int uneven = tug_shape_is_uneven(s);
    tug_vec_reserve(&plan->full, c->index.words + 1);
    tug_vec_reserve(&plan->last, c->index.words + 1);
    const uint64_t *full = serving(c, e, w, w->nodes == 1, at_ms),
                   *last = uneven ? serving(c, e, w, 1, at_ms) : full;
    return tug_split_choose(c, &s->key.within, w->nodes, uneven, full, last, plan->nodes.at);
}

/* At each edge that has nodes enough it is asked whether they are where it wants them. */
static int64_t earliest(struct tug_core *c, const struct tug_entry *e, const struct tug_want *w,
                        int64_t from_ms)
{
    struct tug_profile *p = c->plan->profile;
    int64_t at_ms = tug_profile_earliest(p, w, from_ms);
    if (e->j.state == TUG_JOB_SUSPENDED || !tug_within_binds(&e->shape->key.within))
        return at_ms;
    while (at_ms != TUG_NEVER && !fits_within(c, e, w, at_ms)) {
        at_ms = tug_profile_edge_after(p, at_ms);
        if (at_ms != TUG_NEVER)
            at_ms = tug_profile_earliest(p, w, at_ms);
    }
    return at_ms;
}

/* Where, at the time that earliest() found. */
static void choose(struct tug_core *c, const struct tug_entry *e, const struct tug_want *w,
                   int64_t at_ms)
{
    if (!tug_within_binds(&e->shape->key.within) || e->j.state == TUG_JOB_SUSPENDED) {
        tug_profile_choose(c->plan->profile, w, at_ms, c->plan->nodes.at);
        return;
    }
    int fits = fits_within(c, e, w, at_ms);
    tug_assert(fits);
}

/* ---- without two nodes that are not used together: without the one or the other, whichever is sooner */

#define TRIES_MAX 64

static void look_apart(struct tug_core *c, const struct tug_entry *e, const struct tug_want *w, int64_t from_ms,
                       size_t *tries, int64_t *best_ms)
{
    struct tug_plan *plan = c->plan;
    uint32_t pair[2];
    int64_t at_ms = *tries ? earliest(c, e, w, from_ms) : TUG_NEVER;
    if (at_ms >= *best_ms)
        return;
    --*tries;
    choose(c, e, w, at_ms);
    if (!tug_links_forbid(c, plan->nodes.at, w->nodes, pair)) {
        *best_ms = at_ms;
        memcpy(plan->apart.at, plan->nodes.at, w->nodes * sizeof *plan->nodes.at);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        uint64_t *word = &plan->allowed.at[pair[i] / 64], bit = 1ULL << (pair[i] % 64);
        *word &= ~bit;
        look_apart(c, e, w, from_ms, tries, best_ms);
        *word |= bit;
    }
}

static int64_t when(struct tug_core *c, const struct tug_entry *e, const struct tug_want *w, int64_t from_ms)
{
    struct tug_plan *plan = c->plan;
    int64_t best_ms = TUG_NEVER;
    size_t tries = TRIES_MAX;
    plan->apart_of = NULL;
    if (!c->links.n_bad || w->nodes < 2 || e->j.state == TUG_JOB_SUSPENDED)
        return earliest(c, e, w, from_ms);
    tug_vec_reserve(&plan->apart, w->nodes);
    plan->apart_of = e;
    look_apart(c, e, w, from_ms, &tries, &best_ms);
    return best_ms;
}

static void choose_then(struct tug_core *c, const struct tug_entry *e, const struct tug_want *w, int64_t at_ms)
{
    if (c->plan->apart_of == e)
        memcpy(c->plan->nodes.at, c->plan->apart.at, w->nodes * sizeof *c->plan->nodes.at);
    else
        choose(c, e, w, at_ms);
}

/* Nobody knows when a good placement comes, so one that waits for it has a reservation only from when it takes any; INT64_MAX =
 * never. */
static int64_t takes_any_from(const struct tug_core *c, const struct tug_entry *e)
{
    return e->shape->key.within.quality_milli ? tug_within_takes_any_ms(e) : c->now_ms;
}

/* When, and what it wants; 0 also for TUG_NOWHEN. */
static int find(struct tug_policy_pass *p, const char *verb, uint64_t job, struct tug_entry **e,
                struct tug_want *w, int64_t *start_ms)
{
    struct tug_core *c = p->c;
    *start_ms = TUG_NEVER;
    int rc = tug_pass_find(p, job, verb, e);
    if (!rc)
        rc = tug_pass_may_start(p, *e);
    if (rc)
        return rc;
    if ((*e)->hold) {
        *start_ms = tug_hold_ready_ms(c, *e);
        return 0;
    }
    int64_t any_ms = takes_any_from(c, *e);
    if (any_ms == INT64_MAX)
        return -ENOSPC;
    if (plan_of(c)->pass != c->pass)
        make(p);
    want_of(c, *e, w);
    struct tug_shape *s = (*e)->shape;
    if (any_ms > c->now_ms) { /* a time of its own: what was found for its like says nothing */
        tug_profile_edge_at(c->plan->profile, any_ms);
        *start_ms = when(c, *e, w, any_ms);
        return *start_ms == TUG_NEVER ? -ENOSPC : 0;
    }
    if ((*e)->j.state == TUG_JOB_SUSPENDED) { /* wants certain nodes */
        *start_ms = when(c, *e, w, c->now_ms);
        return *start_ms == TUG_NEVER ? -ENOSPC : 0;
    }
    struct bounds *b = bounds_of(c, s->family);
    int64_t from_ms = bound_below(b, w);
    if (s->found_in == c->pass && s->found_run_ms <= w->run_ms && s->found_ms > from_ms)
        from_ms = s->found_ms;
    *start_ms = from_ms == TUG_NEVER ? from_ms : when(c, *e, w, from_ms);
    s->found_in = c->pass;
    s->found_run_ms = w->run_ms;
    s->found_ms = *start_ms;
    note_bound(b, w, *start_ms);
    return *start_ms == TUG_NEVER ? -ENOSPC : 0;
}

int tug_plan_earliest(struct tug_policy_pass *p, uint64_t job, int64_t *start_ms)
{
    struct tug_entry *e;
    struct tug_want w;
    int rc = find(p, "asks about", job, &e, &w, start_ms);
    if (rc || *start_ms != TUG_NOWHEN)
        return rc;
    *start_ms = TUG_NEVER;
    return -ENOSPC;
}

int tug_plan_reserve(struct tug_policy_pass *p, uint64_t job, int64_t *start_ms)
{
    struct tug_entry *e;
    struct tug_want w;
    int rc = find(p, "reserves for", job, &e, &w, start_ms);
    if (rc || e->hold) /* all that it needs is being kept for it */
        return rc;
    struct tug_plan *plan = p->c->plan;
    choose_then(p->c, e, &w, *start_ms);
    book(p->c, e, &w, plan->nodes.at, *start_ms);
    if (*start_ms == TUG_NOWHEN)
        *start_ms = TUG_NEVER;
    if (plan->booked_in != p->c->pass) {
        plan->n_booked = 0;
        plan->first = job;
        plan->first_ms = *start_ms;
    }
    plan->booked_in = p->c->pass;
    plan->n_booked++;
    e->planned_in = p->c->pass;
    e->planned_ms = *start_ms;
    return *start_ms == TUG_NEVER ? -ENOSPC : 0;
}

/* ---- backfill */

/* Where core.placement puts it when only those nodes are left to it on which it delays nobody. An
 * uneven gang's last slice goes where the others could. */
static int choose_elsewhere(struct tug_core *c, const struct tug_entry *e, const struct tug_want *w)
{
    const struct tug_shape *s = e->shape;
    struct tug_where open = *s->key.where;
    struct tug_shape there = *s;
    there.family = NULL; /* that it fails says nothing of the others */
    open.nodes = tug_profile_open_now(c->plan->profile, w);
    if (s->key.within.alone) { /* the profile's bits are overwritten by the next question */
        tug_vec_reserve(&c->plan->full, c->index.words + 1);
        memcpy(c->plan->full.at, open.nodes, c->index.words * sizeof *open.nodes);
        open.nodes = c->plan->full.at;
        keep_own(c, e, w, c->now_ms, open.nodes);
    }
    there.key.where = &open;
    there.failed_at = 0;
    int rc = tug_place_find(c, &there);
    if (rc)
        return rc;
    tug_place_as_picked(c, e);
    return tug_within_suffices(c, e->shape, c->chosen.at, e->j.req.nodes) ? 0 : -EAGAIN;
}

static int delays_nobody_there(struct tug_core *c, const struct tug_entry *e,
                               const struct tug_want *w)
{
    for (uint32_t i = 0; i < w->nodes; i++)
        c->plan->nodes.at[i] = c->chosen.at[i].node;
    struct tug_want rest = rest_of(c, e, c->plan->nodes.at, w->nodes, w->run_ms, 0);
    return tug_profile_fits_now(c->plan->profile, w, c->plan->nodes.at) &&
           (!rest.nodes || tug_profile_fits_now(c->plan->profile, &rest, c->plan->rest.at));
}

/* One that is suspended, or that others give way to. */
static int backfill_in_place(struct tug_policy_pass *p, struct tug_entry *e)
{
    struct tug_core *c = p->c;
    struct tug_want w;
    int rc = tug_preempt_choose(p, e);
    if (rc)
        return rc;
    if (plan_of(c)->booked_in == c->pass && !e->hold) { /* what is kept, no reservation has */
        want_of(c, e, &w);
        want_there(c, e, c->chosen.at[0].node, c->chosen.at[0].gpus, &w);
        if (!delays_nobody_there(c, e, &w))
            return -EBUSY;
    }
    return tug_preempt_start(p, e);
}

int tug_plan_backfill(struct tug_policy_pass *p, uint64_t job)
{
    struct tug_core *c = p->c;
    struct tug_entry *e;
    struct tug_want w;
    int rc = tug_pass_find(p, job, "backfills", &e);
    if (!rc)
        rc = tug_pass_may_start(p, e);
    if (!rc && tug_preempt_has_place(e))
        return backfill_in_place(p, e);
    if (!rc)
        rc = tug_place_choose(p, e);
    if (rc)
        return rc;
    if (plan_of(c)->booked_in != c->pass)
        return tug_pass_start(p, e, tug_place_slices(c, e, c->chosen.at));
    want_of(c, e, &w);
    want_there(c, e, c->chosen.at[0].node, c->chosen.at[0].gpus, &w);
    struct tug_shape *s = e->shape;
    if (s->delays_in == c->pass && s->delays_ms <= w.run_ms)
        return -EBUSY;
    if (!delays_nobody_there(c, e, &w) && choose_elsewhere(c, e, &w)) {
        s->delays_in = c->pass;
        s->delays_ms = w.run_ms;
        tug_family_delays(c, s->family, w.nodes, w.run_ms);
        return -EBUSY;
    }
    return tug_pass_start(p, e, tug_place_slices(c, e, c->chosen.at));
}
