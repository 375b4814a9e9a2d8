/* span.c - what lies between the nodes of a gang, and what each of them can give to it
 *
 * Layer: core.
 */
#include "core/span.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/bandwidth.h"
#include "core/state.h"

static const struct tug_level *level_of(const struct tug_fabric *f, uint32_t domain)
{
    uint32_t row = domain < f->n ? f->at[domain].level_row : TUG_NO_DOMAIN;
    return row == TUG_NO_DOMAIN ? NULL : &f->levels[row];
}

#define NO_LIMIT 1e18

static double level_mbs(const struct tug_level *l)
{
    return l && l->bandwidth_bytes_s ? (double) l->bandwidth_bytes_s / 1e6 * TUG_BANDWIDTH_EFFICIENCY : NO_LIMIT;
}

uint32_t tug_span_island(const struct tug_core *c, uint32_t node)
{
    const struct tug_fabric *f = &c->fabric;
    uint32_t island = TUG_NO_DOMAIN;
    for (uint32_t d = c->nodes.at[node].domain; f->has_nvlink && d != TUG_NO_DOMAIN; d = f->at[d].parent)
        if (level_of(f, d) && level_of(f, d)->nvlink)
            island = d;
    return island;
}

static uint32_t common(const struct tug_fabric *f, uint32_t a, uint32_t b)
{
    while (a != TUG_NO_DOMAIN && (b == TUG_NO_DOMAIN || !tug_fabric_contains(f, a, b)))
        a = f->at[a].parent;
    return a;
}

struct tug_span tug_span_of(struct tug_core *c, const struct tug_policy_slice *at, size_t n, uint32_t ranks)
{
    const struct tug_fabric *f = &c->fabric;
    struct tug_span s = {c->nodes.at[at[0].node].domain, ranks, (uint32_t) n, 0};
    c->marks++;
    for (size_t i = 0; i < n; i++) {
        uint32_t own = c->nodes.at[at[i].node].domain, island = tug_span_island(c, at[i].node);
        if (own != s.domain)
            s.domain = common(f, s.domain, own);
        if (island != TUG_NO_DOMAIN && f->at[island].mark == c->marks)
            continue;
        if (island != TUG_NO_DOMAIN)
            f->at[island].mark = c->marks;
        s.islands++;
    }
    return s;
}

/* ---- the way of a GPU's data, up to the domain that holds the gang */

static struct tug_way work_out(const struct tug_fabric *f, uint32_t from, uint32_t to)
{
    struct tug_way w = {1, NO_LIMIT, TUG_NO_DOMAIN, TUG_NO_DOMAIN};
    for (uint32_t d = from; d != TUG_NO_DOMAIN; d = f->at[d].parent) {
        const struct tug_level *l = level_of(f, d);
        if (l && !l->nvlink && level_mbs(l) < w.most_mbs) {
            w.most_mbs = level_mbs(l);
            w.narrow = d;
        }
        if (d == to)
            break;
        if (l && l->oversubscription > 1) {
            w.over *= l->oversubscription;
            w.most_mbs = w.most_mbs < NO_LIMIT ? w.most_mbs / l->oversubscription : NO_LIMIT;
            w.leaving = d;
        }
    }
    return w;
}

static void weigh(struct tug_fabric *f, uint32_t from, uint32_t to, struct tug_way *w)
{
    struct tug_domain *d = &f->at[to == TUG_NO_DOMAIN ? f->n : to];
    *w = work_out(f, from, to);
    if (d->best_over == 0 || w->over < d->best_over)
        d->best_over = w->over;
    if (w->most_mbs > d->best_most_mbs)
        d->best_most_mbs = w->most_mbs;
}

void tug_span_weigh(struct tug_fabric *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        for (uint32_t d = f->at[i].parent; d != TUG_NO_DOMAIN; d = f->at[d].parent)
            f->at[i].depth++;
    for (uint32_t i = 0; i < f->n; i++) {
        uint32_t k = 0;
        if (f->at[i].own.from == f->at[i].own.to)
            continue;
        f->at[i].ways = tug_xcalloc(f->at[i].depth + 2, sizeof *f->at[i].ways);
        for (uint32_t d = i; d != TUG_NO_DOMAIN; d = f->at[d].parent)
            weigh(f, i, d, &f->at[i].ways[k++]);
        weigh(f, i, TUG_NO_DOMAIN, &f->at[i].ways[k]);
    }
    struct tug_way free;
    if (f->at[f->n].own.from != f->at[f->n].own.to)
        weigh(f, TUG_NO_DOMAIN, TUG_NO_DOMAIN, &free);
    for (uint32_t i = 0; i <= f->n; i++)
        if (f->at[i].best_over == 0) /* no nodes */
            f->at[i].best_over = 1;
}

static const struct tug_way *way_up(const struct tug_fabric *f, uint32_t from, uint32_t to)
{
    static const struct tug_way none = {1, NO_LIMIT, TUG_NO_DOMAIN, TUG_NO_DOMAIN};
    if (from == TUG_NO_DOMAIN)
        return &none;
    const struct tug_domain *d = &f->at[from];
    if (to == TUG_NO_DOMAIN)
        return &d->ways[d->depth + 1];
    tug_assert(tug_fabric_contains(f, to, from));
    return &d->ways[d->depth - f->at[to].depth];
}

static double per_gpu(const struct tug_span *s)
{
    return (double) (s->ranks - 1) / (s->islands - 1);
}

static struct tug_gang_size size_over(const struct tug_span *s, const struct tug_way *w)
{
    return (struct tug_gang_size){s->ranks, s->islands, (uint32_t) (w->over * 1000)};
}

static uint32_t smaller(uint32_t mbs, double most)
{
    return most < mbs ? (uint32_t) most : mbs;
}

/* What the levels let through, however fast the node is. */
static double most_mbs(const struct tug_core *c, const struct tug_span *s, uint32_t node, const struct tug_way *w)
{
    uint32_t island = s->nodes > 1 ? tug_span_island(c, node) : TUG_NO_DOMAIN;
    double most = island != TUG_NO_DOMAIN ? level_mbs(level_of(&c->fabric, island)) : NO_LIMIT;
    if (s->islands > 1 && w->most_mbs * per_gpu(s) < most)
        most = w->most_mbs * per_gpu(s);
    return most < TUG_BANDWIDTH_NO_LIMIT ? most : NO_LIMIT;
}

/* The smaller of what the node and what the levels say; the one that is known. */
static uint32_t known(uint32_t mbs, double most)
{
    return mbs ? smaller(mbs, most) : most < NO_LIMIT ? (uint32_t) most : 0;
}

tug_gpuset tug_span_choose(const struct tug_core *c, const struct tug_span *s, uint32_t node, tug_gpuset free, uint32_t n,
                           uint32_t *mbs)
{
    const struct tug_way *w = way_up(&c->fabric, s->islands > 1 ? c->nodes.at[node].domain : TUG_NO_DOMAIN, s->domain);
    tug_gpuset set = tug_inside_choose(c->nodes.at[node].inv.machine, free, n, size_over(s, w), mbs);
    if (mbs && s->nodes > 1)
        *mbs = known(*mbs, most_mbs(c, s, node, w));
    return set;
}

uint32_t tug_span_most(const struct tug_core *c, const struct tug_span *s, uint32_t gpus)
{
    const struct tug_domain *d = &c->fabric.at[s->domain == TUG_NO_DOMAIN ? c->fabric.n : s->domain];
    struct tug_way best = {.over = d->best_over, .most_mbs = d->best_most_mbs};
    uint32_t most = tug_insides_most(c->insides, gpus, size_over(s, &best));
    return s->islands > 1 && best.most_mbs < NO_LIMIT ? known(most, best.most_mbs * per_gpu(s)) : most;
}

static int more(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

uint32_t tug_span_fewest_islands(const struct tug_core *c, uint32_t domain, uint32_t nodes, const uint64_t *fit)
{
    const struct tug_fabric *f = &c->fabric;
    const struct tug_region *r = domain < f->n ? &f->at[domain].all : NULL;
    if (!f->has_nvlink || nodes < 2)
        return nodes;
    uint32_t *room = tug_xcalloc(f->n + 1, sizeof *room), left = nodes, islands = 0;
    for (size_t w = r ? r->from : 0; w < (r ? r->to : c->index.words); w++)
        for (uint64_t m = r ? fit[w] & r->nodes[w] : fit[w]; m; m &= m - 1) {
            uint32_t island = tug_span_island(c, (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m));
            if (island != TUG_NO_DOMAIN)
                room[island]++;
        }
    qsort(room, f->n, sizeof *room, more);
    for (uint32_t d = 0; d < f->n && left && room[d]; d++, islands++)
        left -= room[d] < left ? room[d] : left;
    free(room);
    return islands + left;
}

/* ---- a whole placement */

static void limit(struct tug_forecast *out, double mbs, enum tug_span_limit by, uint32_t node, uint32_t domain)
{
    if (mbs < 1 || mbs >= TUG_BANDWIDTH_NO_LIMIT || (out->mbs && mbs >= out->mbs))
        return;
    *out = (struct tug_forecast){(uint32_t) mbs, by, node, domain};
}

static void look_at(const struct tug_core *c, const struct tug_span *s, const struct tug_policy_slice *at,
                    struct tug_forecast *out)
{
    const struct tug_machine *m = c->nodes.at[at->node].inv.machine;
    const struct tug_fabric *f = &c->fabric;
    unsigned gpus = tug_gpuset_count(at->gpus);
    uint32_t island = s->nodes > 1 ? tug_span_island(c, at->node) : TUG_NO_DOMAIN;
    if (m && gpus > 1)
        limit(out, tug_inside_mbs(m, at->gpus, TUG_GANG_ALONE), TUG_SPAN_INSIDE, at->node, TUG_NO_DOMAIN);
    if (island != TUG_NO_DOMAIN)
        limit(out, level_mbs(level_of(f, island)), TUG_SPAN_LEVEL, at->node, island);
    if (s->islands < 2 || !gpus)
        return;
    const struct tug_way *w = way_up(f, c->nodes.at[at->node].domain, s->domain);
    double nics = m ? (double) tug_inside_out_mbs(m, at->gpus) / gpus * per_gpu(s) : 0;
    limit(out, nics, TUG_SPAN_NICS, at->node, TUG_NO_DOMAIN);
    limit(out, nics / w->over, TUG_SPAN_OVER, at->node, w->leaving);
    double most = w->most_mbs * per_gpu(s);
    int divided = w->leaving != TUG_NO_DOMAIN && w->narrow != s->domain;
    limit(out, most, divided ? TUG_SPAN_OVER : TUG_SPAN_LEVEL, at->node, divided ? w->leaving : w->narrow);
}

void tug_span_forecast(struct tug_core *c, const struct tug_policy_slice *at, size_t n, struct tug_forecast *out)
{
    uint32_t ranks = 0;
    for (size_t i = 0; i < n; i++)
        ranks += tug_gpuset_count(at[i].gpus);
    *out = (struct tug_forecast){.node = TUG_NO_NODE, .domain = TUG_NO_DOMAIN};
    if (ranks < 2)
        return;
    struct tug_span s = tug_span_of(c, at, n, ranks);
    for (size_t i = 0; i < n; i++)
        look_at(c, &s, &at[i], out);
}
