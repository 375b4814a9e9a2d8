/* frag.c - how much of what is free cannot be used by the gangs that come
 *
 * Counted by words of the index, as topology.c counts. Layer: core.
 */
#include "core/frag.h"

#include "core/state.h"

/* by_free[g]: nodes of the domain with exactly g GPUs free. */
struct room {
    uint32_t by_free[TUG_GPUS_MAX + 1];
    uint32_t nodes; /* usable ones */
    uint32_t gpus;  /* of the largest of them */
};

static uint32_t largest(const struct tug_core *c, uint32_t domain)
{
    const struct tug_region *r = &c->fabric.at[domain].own;
    uint32_t most = 0;
    for (size_t w = r->from; w < r->to; w++)
        for (uint64_t m = c->index.usable[w] & r->nodes[w]; m; m &= m - 1) {
            uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
            uint32_t has = tug_gpuset_count(tug_ledger_node(c->ledger, node)->gpus);
            most = has > most ? has : most;
        }
    return most;
}

static void count_room(const struct tug_core *c, uint32_t domain, struct room *out)
{
    const struct tug_region *r = &c->fabric.at[domain].own;
    uint32_t before = 0;
    *out = (struct room){.gpus = largest(c, domain)};
    for (size_t w = r->from; w < r->to; w++)
        out->nodes += tug_gpuset_count(c->index.usable[w] & r->nodes[w]);
    for (uint32_t g = TUG_GPUS_MAX + 1; g-- > 1;) {
        uint32_t with = 0;
        for (size_t w = r->from; w < r->to; w++)
            with += tug_gpuset_count(c->index.free_ge[g][w] & r->nodes[w]);
        out->by_free[g] = with - before;
        before = with;
    }
}

static uint32_t all_free(const struct room *r)
{
    uint32_t sum = 0;
    for (uint32_t g = 1; g <= TUG_GPUS_MAX; g++)
        sum += g * r->by_free[g];
    return sum;
}

static uint32_t usable(const struct room *r, const struct tug_frag_kind *m)
{
    uint32_t slots = 0, most = r->gpus / m->gpus; /* slices that an empty node holds */
    for (uint32_t g = m->gpus; g <= TUG_GPUS_MAX; g++)
        slots += g / m->gpus * r->by_free[g];
    if (m->nodes <= r->nodes * most)
        return slots / m->nodes * m->nodes * m->gpus;
    return slots == r->nodes * most ? slots * m->gpus : 0;
}

static double fragment(const struct tug_core *c, uint32_t domain, const struct tug_frag_kind *kinds, size_t n, uint32_t *free)
{
    struct room r;
    double sum = 0, weights = 0;
    count_room(c, domain, &r);
    *free = all_free(&r);
    for (size_t i = 0; i < n; i++) {
        weights += kinds[i].weight;
        if (kinds[i].gpus)
            sum += kinds[i].weight * (*free - usable(&r, &kinds[i]));
        else
            sum += kinds[i].weight * *free;
    }
    return weights > 0 ? sum / weights : 0;
}

double tug_frag_domain(const struct tug_core *c, uint32_t domain, const struct tug_frag_kind *kinds, size_t n)
{
    uint32_t free;
    return fragment(c, domain, kinds, n, &free);
}

double tug_frag_share(const struct tug_core *c, const struct tug_frag_kind *kinds, size_t n)
{
    double sum = 0;
    uint64_t all = 0;
    for (uint32_t d = 0; d <= c->fabric.n; d++) {
        uint32_t free;
        if (c->fabric.at[d].own.from == c->fabric.at[d].own.to)
            continue;
        sum += fragment(c, d, kinds, n, &free);
        all += free;
    }
    return all ? sum / (double) all : 0;
}

static int32_t left_over(uint32_t nodes, uint32_t whole)
{
    int32_t sum = 0;
    for (uint32_t k = 2; k <= nodes; k *= 2)
        sum += (int32_t) (whole % k);
    return sum;
}

int32_t tug_frag_growth(uint32_t nodes, uint32_t whole, uint32_t taken)
{
    return left_over(nodes, whole - (taken < whole ? taken : whole)) - left_over(nodes, whole);
}
