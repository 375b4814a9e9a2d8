/* victims.c - whose end makes room for a job
 *
 * Looks at the slices of those who could give way, node by node: what a node has free plus what the
 * chosen ones hold there is the room that the job would have. Those who are on their way out
 * already are chosen from the start and cost nothing. The others: take the node that becomes large
 * enough for the least lost work, again and again until the gang has all its nodes; once by what
 * each one's end costs in all, once by that per node that it would clear; then send back whoever is
 * not needed, dearest first, so that without any single one of those left the job would not fit.
 * The cheaper of the two answers counts, and of equal ones the one that gives the job more bandwidth (span.h); where
 * links are known, domains that could hold it are looked at each by itself, too. Where queues do not lend what is guaranteed to them, so
 * many leave that these still have it, too. A gang that is to be within one domain of the fabric is
 * looked at domain by domain, and the cheapest of these answers counts; one that asks for something
 * else of it is cleared room for until it fits so. Work: slices of the candidates, plus nodes, times
 * the log. Layer: core.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/victims.h"

/* One who leaves is waited for as long as an end takes, and this. */
#define LEAVING_MS (60 * 1000)
/* So many domains are tried, lower ones first, for a set that costs no more and stands together. */
#define TRY_DOMAINS_MAX 64

/* ---- who could give way */

static double lost_work(const struct tug_core *c, const struct tug_entry *e)
{
    const struct tug_job *j = &e->j;
    int64_t start_ms = tug_job_run_start_ms(j);
    double gpus = 0;
    if (tug_preempt_how(c, e) == TUG_PREEMPT_SUSPEND || start_ms < 0)
        return 1; /* nothing is lost; fewer are still better */
    for (size_t i = 0; i < j->n_slices; i++)
        gpus += tug_gpuset_count(j->slices[i].gpus) + j->slices[i].cpus / 1000.0;
    return 1 + gpus * (double) tug_since(c, start_ms);
}

/* Leaves anyway, and soon; and might have been made to. */
static int leaves_anyway(struct tug_core *c, const struct tug_entry *mine,
                         const struct tug_entry *e)
{
    return e->j.suspended_ms < 0 && tug_preempt_is_leaving(e) &&
           (e->j.preemptor == mine->j.id || tug_preempt_rule(c, mine, e)) &&
           (e->j.state == TUG_JOB_RUNNING ||
            c->now_ms < e->ending_ms + c->kill_grace_s * 1000LL + LEAVING_MS);
}

/* Of those of the same tier only who stands behind it in the order: whom it made give way cannot
 * have it give way in turn. */
static int is_candidate(struct tug_core *c, const struct tug_entry *e, const struct tug_entry *v)
{
    struct tug_policy_job mine, its;
    if (tug_preempt_may(c, e, v, NULL, 0))
        return 0;
    tug_job_row(c, e, &mine);
    tug_job_row(c, v, &its);
    return c->preemption == TUG_PREEMPTION_TIER || its.tier != mine.tier ||
           tug_order_before(&c->order, &mine, &its);
}

static void add(struct tug_victims *v, struct tug_entry *e, int leaves)
{
    struct tug_cand k = {.e = e, .chosen = (uint8_t) leaves, .free = (uint8_t) leaves};
    int how = e->j.gives_way ? e->j.gives_way : (int) tug_preempt_how(v->c, e);
    k.cost = leaves ? 0 : lost_work(v->c, e);
    k.keeps_memory = e->j.state == TUG_JOB_RUNNING && how == TUG_PREEMPT_SUSPEND;
    for (size_t i = 0; i < e->j.n_slices; i++)
        k.nodes += (uint32_t) tug_bit(v->c->index.usable, e->j.slices[i].node);
    if (k.nodes)
        tug_vec_push(&v->cands, k);
}

static void gather(struct tug_victims *v, struct tug_entry *const *only, size_t n_only)
{
    struct tug_core *c = v->c;
    for (size_t i = 0; i < c->running.len; i++) {
        struct tug_entry *e = c->running.at[i].entry;
        if (leaves_anyway(c, v->e, e))
            add(v, e, 1);
        else if (!only && is_candidate(c, v->e, e))
            add(v, e, 0);
    }
    for (size_t i = 0; i < n_only; i++)
        add(v, only[i], 0);
}

/* By node: count, then sum up, then fill in from the end. */
static void sort_parts(struct tug_victims *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->cands.len; i++) {
        const struct tug_job *j = &v->cands.at[i].e->j;
        for (size_t k = 0; k < j->n_slices; k++)
            v->first[j->slices[k].node + 1]++;
        n += j->n_slices;
    }
    for (uint32_t i = 0; i < v->n_nodes; i++)
        v->first[i + 1] += v->first[i];
    v->parts = tug_xcalloc(n + 1, sizeof *v->parts);
    uint32_t *at = tug_xmemdup(v->first, (v->n_nodes + 1) * sizeof *at);
    for (uint32_t i = 0; i < v->cands.len; i++) {
        const struct tug_job *j = &v->cands.at[i].e->j;
        for (uint32_t k = 0; k < j->n_slices; k++)
            v->parts[at[j->slices[k].node]++] = (struct tug_cand_part){i, k};
    }
    free(at);
}

static void look_at_queues(struct tug_victims *v)
{
    const struct tug_core *c = v->c;
    for (size_t i = 0; i < c->queue_rows.len && !v->keeps; i++)
        v->keeps = !c->queue_rows.at[i].lends && c->queue_rows.at[i].guarantee_gpus;
    for (uint32_t i = 0; i < v->n_nodes && v->keeps; i++) {
        struct tug_vacancy r = {0};
        tug_hold_owed(c, i, &r.gpus_owed, &r.cpus_owed, &r.mem_owed_bytes);
        v->gpus_owed += tug_gpuset_count(r.gpus_owed & tug_ledger_node(c->ledger, i)->gpus);
    }
}

struct tug_victims *tug_victims_new(struct tug_core *c, struct tug_entry *e,
                                    struct tug_entry *const *only, size_t n_only)
{
    struct tug_victims *v = tug_new(struct tug_victims);
    v->c = c;
    v->e = e;
    v->n_nodes = (uint32_t) c->nodes.len;
    v->first = tug_xcalloc(v->n_nodes + 1, sizeof *v->first);
    v->room = tug_xcalloc(v->n_nodes + 1, sizeof *v->room);
    for (uint32_t i = 0; i < v->n_nodes; i++)
        v->room[i] = tug_vacancy_room(v, i);
    v->fits = tug_xcalloc(v->n_nodes + 1, sizeof *v->fits);
    v->fixed = tug_xcalloc(v->n_nodes + 1, sizeof *v->fixed);
    v->full = tug_xcalloc(c->index.words + 1, sizeof *v->full);
    v->any = tug_xcalloc(c->index.words + 1, sizeof *v->any);
    for (uint32_t i = 0; e->j.state == TUG_JOB_SUSPENDED && i < e->j.n_slices; i++)
        v->fixed[e->j.slices[i].node] = i + 1;
    gather(v, only, n_only);
    sort_parts(v);
    look_at_queues(v);
    return v;
}

void tug_victims_free(struct tug_victims *v)
{
    if (!v)
        return;
    tug_vec_clear(&v->cands);
    tug_vec_clear(&v->heap);
    free(v->parts);
    free(v->first);
    free(v->room);
    free(v->fits);
    free(v->fixed);
    free(v->full);
    free(v->any);
    free(v->best);
    free(v->without);
    free(v);
}

/* ---- what other queues do not lend */

/* On nodes that can be used. */
static uint32_t gpus_of(const struct tug_victims *v, const struct tug_cand *k)
{
    const struct tug_job *j = &k->e->j;
    uint32_t gpus = 0;
    for (size_t i = 0; i < j->n_slices; i++)
        if (tug_bit(v->c->index.usable, j->slices[i].node) && !j->slices[i].gpu_milli && !*j->req.mig_profile)
            gpus += tug_gpuset_count(j->slices[i].gpus);
    return gpus;
}

/* The queues' figures for the moment as they are without those who were chosen. */
static uint32_t take_away(struct tug_victims *v, int sign)
{
    uint32_t gpus = 0;
    for (size_t i = 0; i < v->cands.len; i++) {
        const struct tug_cand *k = &v->cands.at[i];
        if (!k->chosen || k->e->charged_ms < 0)
            continue;
        tug_queue_runs(v->c, k->e, sign);
        gpus += gpus_of(v, k);
    }
    return gpus;
}

/* Once those who were chosen are gone and it is there. */
static int leaves_enough(struct tug_victims *v)
{
    if (!v->keeps)
        return 1;
    uint32_t free = v->c->gpus_free + take_away(v, -1);
    int enough = tug_queue_leaves_enough(v->c, v->e, free > v->gpus_owed ? free - v->gpus_owed : 0);
    take_away(v, 1);
    return enough;
}

/* ---- choosing */

static int is_cheaper(const struct tug_offer *a, const struct tug_offer *b)
{
    return a->price != b->price ? a->price < b->price : a->node < b->node;
}

static void push(struct tug_victims *v, struct tug_offer o)
{
    tug_vec_push(&v->heap, o);
    struct tug_offer *h = v->heap.at;
    for (size_t i = v->heap.len - 1; i && is_cheaper(&h[i], &h[(i - 1) / 2]); i = (i - 1) / 2) {
        struct tug_offer t = h[i];
        h[i] = h[(i - 1) / 2];
        h[(i - 1) / 2] = t;
    }
}

static struct tug_offer pop(struct tug_victims *v)
{
    struct tug_offer *h = v->heap.at, first = h[0];
    h[0] = h[--v->heap.len];
    for (size_t i = 0;;) {
        size_t l = 2 * i + 1, r = l + 1, m = i;
        if (l < v->heap.len && is_cheaper(&h[l], &h[m]))
            m = l;
        if (r < v->heap.len && is_cheaper(&h[r], &h[m]))
            m = r;
        if (m == i)
            return first;
        struct tug_offer t = h[i];
        h[i] = h[m];
        h[m] = t;
        i = m;
    }
}

static void choose(struct tug_victims *v, struct tug_cand *k)
{
    k->chosen = 1;
    v->n_chosen++;
    tug_vacancy_refit(v, k);
}

/* It will do for the slice that is looked for. */
static int is_taken(const struct tug_victims *v, uint32_t node)
{
    return v->fits[node] >= (v->for_last ? TUG_FITS_LAST : TUG_FITS_ANY);
}

static void offer(struct tug_victims *v, uint32_t node)
{
    struct tug_clearing k;
    uint64_t set;
    double price;
    if (tug_vacancy_may_use(v, node) && !is_taken(v, node) && tug_clearing_find(v, node, &k, &set, &price))
        push(v, (struct tug_offer){price, node});
}

/* Choosing makes other nodes cheaper: those get a new offer, and an old one that is too dear by
 * then is made anew when its turn comes. */
static void take(struct tug_victims *v, struct tug_offer o)
{
    struct tug_clearing k;
    uint64_t set;
    double price;
    if (is_taken(v, o.node) || !tug_clearing_find(v, o.node, &k, &set, &price))
        return;
    uint32_t n = 0, who[64];
    for (; set; set &= set - 1)
        who[n++] = k.at[__builtin_ctzll(set)];
    for (uint32_t i = 0; i < n; i++)
        choose(v, &v->cands.at[who[i]]);
    for (uint32_t i = 0; i < n; i++) {
        const struct tug_job *j = &v->cands.at[who[i]].e->j;
        for (size_t s = 0; s < j->n_slices; s++)
            offer(v, j->slices[s].node);
    }
}

static int dearest_first(const void *a, const void *b)
{
    const struct tug_cand *x = *(const struct tug_cand *const *) a, *y = *(const struct tug_cand *const *) b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? 1 : -1;
    return x->e->j.id < y->e->j.id ? 1 : -1;
}

static void send_back_unneeded(struct tug_victims *v)
{
    struct tug_cand **all = tug_xcalloc(v->n_chosen + 1, sizeof(struct tug_cand *));
    size_t n = 0;
    for (size_t i = 0; i < v->cands.len; i++)
        if (v->cands.at[i].chosen && !v->cands.at[i].free)
            all[n++] = &v->cands.at[i];
    qsort(all, n, sizeof(struct tug_cand *), dearest_first);
    for (size_t i = 0; i < n; i++) {
        all[i]->chosen = 0;
        v->n_chosen--;
        tug_vacancy_refit(v, all[i]);
        if (!tug_vacancy_has_all(v) || !leaves_enough(v))
            choose(v, all[i]);
    }
    free(all);
}

static double price_per_gpu(const struct tug_cand *k)
{
    unsigned gpus = 0;
    for (size_t i = 0; i < k->e->j.n_slices; i++)
        gpus += tug_gpuset_count(k->e->j.slices[i].gpus);
    return k->price / (gpus ? gpus : 1);
}

static int cheapest_gpus_first(const void *a, const void *b)
{
    const struct tug_cand *x = *(const struct tug_cand *const *) a, *y = *(const struct tug_cand *const *) b;
    double p = price_per_gpu(x), q = price_per_gpu(y);
    if (p != q)
        return p < q ? -1 : 1;
    return x->e->j.id < y->e->j.id ? -1 : 1;
}

/* It fits; more have to go so that others still have what they do not lend. The more go the better
 * that is, so the number is found by halving. 1, or 0 when not even all suffice. */
static int make_up_for_it(struct tug_victims *v)
{
    if (leaves_enough(v))
        return 1;
    struct tug_cand **all = tug_xcalloc(v->cands.len + 1, sizeof(struct tug_cand *));
    size_t n = 0, low = 0;
    for (size_t i = 0; i < v->cands.len; i++)
        if (!v->cands.at[i].chosen && gpus_of(v, &v->cands.at[i]))
            all[n++] = &v->cands.at[i];
    qsort(all, n, sizeof(struct tug_cand *), cheapest_gpus_first);
    for (size_t high = n + 1; low < high;) {
        size_t mid = low + (high - low) / 2;
        for (size_t i = 0; i < n; i++)
            all[i]->chosen = i < mid;
        if (leaves_enough(v))
            high = mid;
        else
            low = mid + 1;
    }
    for (size_t i = 0; i < n; i++)
        all[i]->chosen = 0;
    for (size_t i = 0; i < n && i < low && low <= n; i++)
        choose(v, all[i]);
    free(all);
    return low <= n;
}

/* The first node at i or behind it that is looked at; n_nodes = none. */
static uint32_t node_from(const struct tug_victims *v, uint32_t i)
{
    if (!v->in)
        return i;
    for (size_t w = i / 64; w < v->in->to; w++) {
        uint64_t m = v->in->nodes[w] & (w == i / 64 ? ~0ULL << (i % 64) : ~0ULL);
        if (m)
            return (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
    }
    return v->n_nodes;
}

static uint32_t first_node(const struct tug_victims *v)
{
    return node_from(v, v->in ? (uint32_t) v->in->from * 64 : 0);
}

static uint32_t next_node(const struct tug_victims *v, uint32_t i)
{
    return node_from(v, i + 1);
}

/* Only there from now on, NULL = anywhere; nothing fits anywhere before start_over(). */
static void look_in(struct tug_victims *v, const struct tug_region *r)
{
    for (uint32_t i = first_node(v); i < v->n_nodes; i = next_node(v, i))
        tug_vacancy_set(v, i, TUG_FITS_NOT);
    v->in = r;
}

static void start_over(struct tug_victims *v)
{
    v->heap.len = 0;
    v->n_chosen = 0;
    for (size_t i = 0; i < v->cands.len; i++)
        v->cands.at[i].chosen = v->cands.at[i].free;
    for (uint32_t i = first_node(v); i < v->n_nodes; i = next_node(v, i))
        tug_vacancy_set(v, i, tug_vacancy_fits(v, i));
}

static int look_for(struct tug_victims *v, int last, int (*enough)(const struct tug_victims *))
{
    v->for_last = last;
    v->heap.len = 0;
    for (uint32_t i = first_node(v); i < v->n_nodes && !enough(v); i = next_node(v, i))
        offer(v, i);
    while (!enough(v) && v->heap.len)
        take(v, pop(v));
    return enough(v);
}

/* Who was chosen costs that much in all; INFINITY stands for not enough. */
static double try_prices(struct tug_victims *v)
{
    double cost = 0;
    start_over(v);
    if (!tug_shape_is_uneven(v->e->shape))
        look_for(v, 0, tug_vacancy_has_all);
    else if (look_for(v, 0, tug_vacancy_has_all_but_last) && !look_for(v, 1, tug_vacancy_has_all))
        look_for(v, 0, tug_vacancy_has_all); /* as it asks of the fabric: some more whole ones */
    if (!tug_vacancy_has_all(v) || !make_up_for_it(v))
        return -1;
    send_back_unneeded(v);
    for (size_t i = 0; i < v->cands.len; i++)
        cost += v->cands.at[i].chosen ? v->cands.at[i].cost : 0;
    return cost;
}

/* Of the free GPUs, if there are enough; else of these and those that come free. */
static tug_gpuset gpus_to_pick_from(const struct tug_victims *v, uint32_t node, unsigned n)
{
    uint32_t cut = v->e->shape->key.cut;
    tug_gpuset now = tug_cut_free(v->c, node, cut);
    struct tug_vacancy r = tug_vacancy_at(v, node);
    tug_gpuset later = r.gpus & tug_cut_devices(v->c, node, cut) & ~now & ~r.gpus_owed;
    return tug_gpuset_count(now) >= n ? now : now | later;
}

/* Of the region (NULL = of all) in node order, the last slice where only that fits, if there is such a node: 1, or 0. */
static int pick_nodes(const struct tug_victims *v, const struct tug_region *r, struct tug_policy_slice *at, uint32_t n)
{
    uint32_t got = 0, last = TUG_NO_NODE;
    size_t from = r ? r->from * 64 : 0, to = r && r->to * 64 < v->n_nodes ? r->to * 64 : v->n_nodes;
    for (uint32_t i = (uint32_t) from; i < to && last == TUG_NO_NODE; i++)
        if (v->fits[i] == TUG_FITS_LAST && (!r || tug_bit(r->nodes, i)))
            last = i;
    for (uint32_t i = (uint32_t) from; i < to && got < n - (last != TUG_NO_NODE); i++)
        if (v->fits[i] == TUG_FITS_ANY && (!r || tug_bit(r->nodes, i)))
            at[got++].node = i;
    if (last != TUG_NO_NODE)
        at[got++].node = last;
    return got == n;
}

static void pick_as_asked(const struct tug_victims *v, struct tug_policy_slice *at, uint32_t n)
{
    uint32_t *nodes = tug_xcalloc(n, sizeof *nodes);
    int fits = tug_vacancy_is_as_asked(v, nodes);
    tug_assert(fits);
    for (uint32_t i = 0; i < n; i++)
        at[i].node = nodes[i];
    free(nodes);
}

static void pick_gpus(const struct tug_victims *v, struct tug_policy_slice *at)
{
    const struct tug_job_req *r = &v->e->j.req;
    for (uint32_t i = 0; i < r->nodes; i++)
        at[i].gpus = gpus_to_pick_from(v, at[i].node, tug_job_req_gpus(r, i));
    tug_place_gpus(v->c, r, at);
}

static int links_matter(const struct tug_victims *v)
{
    const struct tug_core *c = v->c;
    return v->e->j.state != TUG_JOB_SUSPENDED && !v->e->shape->key.milli && !v->e->shape->key.cut &&
           (c->placement == TUG_PLACEMENT_TOPOLOGY || v->e->shape->key.within.quality_milli) &&
           (c->fabric.has_bandwidth || tug_insides_count(c->insides));
}

/* Where it has the most bandwidth once they are gone: in the lowest domain of those that give the most, else anywhere. Returns
 * that, MB/s; 0: not known, or it does not matter. 'out' may be NULL. */
static uint32_t best_nodes(struct tug_victims *v, struct tug_policy_slice *out)
{
    const struct tug_fabric *f = &v->c->fabric;
    uint32_t n = v->e->j.req.nodes, best_mbs = 0;
    int found = 0, matter = links_matter(v), as_asked = tug_within_binds(&v->e->shape->key.within);
    if (!matter && !out)
        return 0;
    struct tug_policy_slice *at = tug_xcalloc(n, sizeof *at);
    for (size_t i = matter && !as_asked && n > 1 ? 0 : f->n; i <= f->n; i++) {
        const struct tug_region *r = i < f->n ? &f->at[f->by_height[i]].all : NULL;
        struct tug_forecast has = {0};
        if (as_asked && !v->in)
            pick_as_asked(v, at, n);
        else if (!pick_nodes(v, r, at, n))
            continue;
        pick_gpus(v, at);
        if (matter)
            tug_span_forecast(v->c, at, n, &has);
        if (found && has.mbs <= best_mbs)
            continue;
        found = 1;
        best_mbs = has.mbs;
        if (out)
            memcpy(out, at, n * sizeof *at);
    }
    tug_assert(found || !out);
    free(at);
    return best_mbs;
}

static void remember(struct tug_victims *v)
{
    for (size_t i = 0; i < v->cands.len; i++)
        v->best[i] = v->cands.at[i].chosen;
}

/* Remembers who is chosen now if they cost less than 'best', or as much and give the job more bandwidth. Returns what the
 * cheapest cost. */
static double keep_if_better(struct tug_victims *v, double cost, double best)
{
    double slack = best * 1e-9; /* sums of the same figures in another order */
    if (best >= 0 && cost > best + slack)
        return best;
    uint32_t mbs = best_nodes(v, NULL);
    if (best >= 0 && cost >= best - slack && mbs <= v->best_mbs)
        return best;
    remember(v);
    v->best_mbs = mbs;
    return cost;
}

static void recall(struct tug_victims *v)
{
    v->n_chosen = 0;
    for (size_t i = 0; i < v->cands.len; i++) {
        v->cands.at[i].chosen = v->best[i];
        v->n_chosen += v->best[i] && !v->cands.at[i].free;
    }
}

/* Where it looks now; remembers whom, if that is cheaper than 'best'. Returns what the cheapest costs; < 0 = nothing. */
static double choose_here(struct tug_victims *v, double best)
{
    uint32_t wanted = v->e->j.req.nodes;
    for (size_t i = 0; i < v->cands.len; i++)
        v->cands.at[i].price = v->cands.at[i].cost;
    double whole = try_prices(v);
    if (whole < 0)
        return best;
    best = keep_if_better(v, whole, best);
    for (size_t i = 0; i < v->cands.len; i++) {
        struct tug_cand *k = &v->cands.at[i];
        k->price = k->cost / (k->nodes < wanted ? k->nodes : wanted);
    }
    double shared = try_prices(v);
    return shared >= 0 ? keep_if_better(v, shared, best) : best;
}

/* Nodes of the region that could hold a slice if they were empty: are there enough? */
static int could_hold(const struct tug_victims *v, const struct tug_region *r)
{
    const struct tug_shape *s = v->e->shape;
    uint32_t n = 0;
    for (size_t w = r->from; w < r->to && n < s->key.nodes; w++)
        for (uint64_t m = r->nodes[w] & s->key.where->nodes[w] & v->c->index.usable[w]; m;
             m &= m - 1)
            n += (uint32_t) tug_shape_could_hold_last(
                v->c, s, (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m));
    return n >= s->key.nodes;
}

static double choose_in_one(struct tug_victims *v)
{
    const struct tug_fabric *f = &v->c->fabric;
    const struct tug_tier *t = tug_fabric_tier(f, v->e->shape->key.within.level);
    double best = -1;
    for (size_t i = 0; t && i < t->n; i++) {
        const struct tug_region *r = &f->at[t->domains[i]].all;
        if (!could_hold(v, r))
            continue;
        look_in(v, r);
        best = choose_here(v, best);
    }
    look_in(v, NULL);
    return best;
}

/* The same money may clear nodes that stand together. */
static double choose_together(struct tug_victims *v, double best)
{
    const struct tug_fabric *f = &v->c->fabric;
    size_t tries = 0;
    for (size_t i = 0; i < f->n && tries < TRY_DOMAINS_MAX; i++) {
        const struct tug_region *r = &f->at[f->by_height[i]].all;
        if (!could_hold(v, r))
            continue;
        look_in(v, r);
        best = choose_here(v, best);
        tries++;
    }
    look_in(v, NULL);
    return best;
}

/* ---- a gang that is to have its domains for itself: everybody goes who is in one of them */

static int is_in(const struct tug_victims *v, const struct tug_cand *k, uint32_t domain)
{
    const struct tug_fabric *f = &v->c->fabric;
    for (size_t i = 0; i < k->e->j.n_slices; i++)
        if (tug_bit(f->at[domain].all.nodes, k->e->j.slices[i].node))
            return 1;
    for (size_t i = 0; i < k->e->n_shuts; i++)
        if (tug_fabric_contains(f, k->e->shuts[i], domain) ||
            tug_fabric_contains(f, domain, k->e->shuts[i]))
            return 1;
    return 0;
}

static void clear_domain(struct tug_victims *v, uint32_t domain)
{
    for (size_t i = 0; i < v->cands.len; i++)
        if (!v->cands.at[i].chosen && is_in(v, &v->cands.at[i], domain))
            choose(v, &v->cands.at[i]);
}

static double cost_of_domain(const struct tug_victims *v, uint32_t domain)
{
    double cost = 0;
    for (size_t i = 0; i < v->cands.len; i++)
        if (!v->cands.at[i].chosen && is_in(v, &v->cands.at[i], domain))
            cost += v->cands.at[i].cost;
    return cost;
}

static double cost_of_chosen(const struct tug_victims *v)
{
    double cost = 0;
    for (size_t i = 0; i < v->cands.len; i++)
        cost += v->cands.at[i].chosen ? v->cands.at[i].cost : 0;
    return cost;
}

static double note_if_cheaper(struct tug_victims *v, double best)
{
    return keep_if_better(v, cost_of_chosen(v), best);
}

/* The domains that are to be its own: those it has for one job when they are cheap for the nodes that they have. */
static uint32_t *by_price(const struct tug_victims *v, const struct tug_tier *t)
{
    uint32_t *order = tug_xmemdup(t->domains, t->n * sizeof *order);
    double *price = tug_xcalloc(t->n + 1, sizeof *price);
    for (size_t i = 0; i < t->n; i++) {
        const struct tug_region *r = &v->c->fabric.at[t->domains[i]].all;
        size_t n = 1;
        for (size_t w = r->from; w < r->to; w++)
            n += (size_t) __builtin_popcountll(r->nodes[w] & v->e->shape->key.where->nodes[w]);
        double p = cost_of_domain(v, t->domains[i]) / (double) n;
        size_t k = i;
        for (; k && price[k - 1] > p; k--) {
            price[k] = price[k - 1];
            order[k] = order[k - 1];
        }
        price[k] = p;
        order[k] = t->domains[i];
    }
    free(price);
    return order;
}

/* One domain, the cheapest; else one after the other, cheap ones first, until it fits. */
static double choose_alone(struct tug_victims *v)
{
    const struct tug_tier *t = tug_fabric_tier(&v->c->fabric, v->e->shape->key.within.alone);
    double best = -1;
    for (size_t i = 0; t && i < t->n; i++) {
        start_over(v);
        clear_domain(v, t->domains[i]);
        if (tug_vacancy_has_all(v) && make_up_for_it(v))
            best = note_if_cheaper(v, best);
    }
    if (best >= 0 || !t)
        return best;
    start_over(v);
    uint32_t *order = by_price(v, t);
    for (size_t i = 0; i < t->n && !tug_vacancy_has_all(v); i++)
        clear_domain(v, order[i]);
    if (tug_vacancy_has_all(v) && make_up_for_it(v))
        best = note_if_cheaper(v, best);
    free(order);
    return best;
}

static double choose_to_go_on_alone(struct tug_victims *v)
{
    const struct tug_tier *t = tug_fabric_tier(&v->c->fabric, v->e->shape->key.within.alone);
    start_over(v);
    for (size_t i = 0; t && i < v->e->j.n_slices; i++)
        if (t->domain_of[v->e->j.slices[i].node] != TUG_NO_DOMAIN)
            clear_domain(v, t->domain_of[v->e->j.slices[i].node]);
    return tug_vacancy_has_all(v) && make_up_for_it(v) ? note_if_cheaper(v, -1) : -1;
}

static double choose_as_asked(struct tug_victims *v)
{
    int stopped = v->e->j.state == TUG_JOB_SUSPENDED;
    if (v->e->shape->key.within.alone)
        return stopped ? choose_to_go_on_alone(v) : choose_alone(v);
    if (v->e->shape->key.within.domains == 1 && !stopped)
        return choose_in_one(v);
    double best = choose_here(v, -1);
    return best >= 0 && links_matter(v) && v->e->j.req.nodes > 1 ? choose_together(v, best) : best;
}

static int choose_somewhere(struct tug_victims *v)
{
    start_over(v);
    if (tug_vacancy_has_all(v) && leaves_enough(v))
        return 0;
    if (!v->cands.len)
        return -EPERM;
    free(v->best);
    v->best = tug_xcalloc(v->cands.len, 1);
    v->best_mbs = 0;
    if (choose_as_asked(v) < 0)
        return -EAGAIN;
    recall(v);
    return 0;
}

/* ---- without two nodes that are not used together: without the one, or else without the other */

#define TRIES_MAX 16

/* Where it would be, without those who are chosen. */
static int is_apart(struct tug_victims *v, struct tug_policy_slice *at, uint32_t pair[2])
{
    for (uint32_t i = 0; i < v->n_nodes; i++)
        tug_vacancy_set(v, i, tug_vacancy_fits(v, i));
    best_nodes(v, at);
    return !tug_links_forbid_slices(v->c, at, v->e->j.req.nodes, pair);
}

/* 'somewhere' finds room without looking at pairs: 0, or why there is none. In the end 'at' is where. */
static int apart(struct tug_victims *v, int (*somewhere)(struct tug_victims *), struct tug_policy_slice *at, size_t *tries)
{
    uint32_t pair[2];
    int rc = *tries ? somewhere(v) : -EAGAIN;
    if (rc || is_apart(v, at, pair))
        return rc;
    --*tries;
    rc = -EAGAIN;
    for (size_t i = 0; i < 2 && rc; i++) {
        uint64_t *word = &v->without[pair[i] / 64], bit = 1ULL << (pair[i] % 64);
        *word |= bit;
        rc = apart(v, somewhere, at, tries);
        *word &= ~bit;
    }
    return rc;
}

static int look_apart(struct tug_victims *v, int (*somewhere)(struct tug_victims *), struct tug_policy_slice *at)
{
    size_t tries = TRIES_MAX;
    if (!v->without)
        v->without = tug_xcalloc(v->c->index.words + 1, sizeof *v->without);
    return apart(v, somewhere, at, &tries);
}

static int pairs_matter(const struct tug_victims *v)
{
    return v->c->links.n_bad && v->e->j.req.nodes > 1 && v->e->j.state != TUG_JOB_SUSPENDED;
}

int tug_victims_choose(struct tug_victims *v)
{
    if (!pairs_matter(v))
        return choose_somewhere(v);
    struct tug_policy_slice *at = tug_xcalloc(v->e->j.req.nodes, sizeof *at);
    int rc = look_apart(v, choose_somewhere, at);
    free(at);
    return rc;
}

size_t tug_victims_get(const struct tug_victims *v, uint64_t *out, size_t n)
{
    size_t got = 0;
    for (size_t i = 0; i < v->cands.len; i++)
        if (v->cands.at[i].chosen && !v->cands.at[i].free) {
            if (got < n)
                out[got] = v->cands.at[i].e->j.id;
            got++;
        }
    return got;
}

/* ---- the plan */

static struct tug_slice *place_suspended(const struct tug_victims *v)
{
    struct tug_slice *want = tug_xmemdup(v->e->j.slices, v->e->j.n_slices * sizeof *want);
    for (size_t i = 0; i < v->e->j.n_slices; i++)
        want[i].mem_bytes = 0; /* that, it still has */
    return want;
}

/* Those that were asked for are chosen, all of them. */
static int all_go(struct tug_victims *v)
{
    for (size_t i = 0; i < v->cands.len; i++)
        v->cands.at[i].free = 1;
    start_over(v);
    return tug_vacancy_has_all(v) && leaves_enough(v) ? 0 : -EAGAIN;
}

struct tug_slice *tug_victims_place(struct tug_victims *v)
{
    const struct tug_job_req *r = &v->e->j.req;
    struct tug_slice *want;
    if (all_go(v))
        return NULL;
    if (v->e->j.state == TUG_JOB_SUSPENDED) {
        want = place_suspended(v);
    } else {
        struct tug_policy_slice *at = tug_xcalloc(r->nodes, sizeof *at);
        int good = 1;
        if (pairs_matter(v))
            good = look_apart(v, all_go, at) == 0;
        else
            best_nodes(v, at);
        good = good && tug_within_suffices(v->c, v->e->shape, at, r->nodes);
        want = good ? tug_place_slices(v->c, v->e, at) : NULL;
        free(at);
    }
    return want;
}
