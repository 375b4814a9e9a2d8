/* topology.c - where in the fabric a gang goes
 *
 * As low as possible, then as tight as possible: a gang that fits below one leaf gets a leaf, and
 * the one with the fewest GPUs left, so that large gangs find whole leaves later. A gang on one
 * node is as low as it gets: it goes to the fullest node. A gang that spans leaves takes the
 * fewest: the roomiest ones, and the rest where it fits tightest, near those. Its ranks stand leaf
 * by leaf.
 *
 * Nodes are counted by words of the index; single nodes are looked at only in domains whose counts
 * suffice. Layer: core.
 */
#include <stdlib.h>

#include "core/state.h"

/* Nodes with nodes of their own, as far as a gang may use them now. */
struct unit {
    const struct tug_domain *domain;
    size_t room; /* nodes that hold a slice, counted up to what is needed */
    uint32_t gpus_free;
    size_t taken;
};

static const uint64_t *candidates(const struct tug_core *c, const struct tug_shape *s,
                                  uint32_t gpus)
{
    return s->key.exclusive ? c->index.idle : c->index.free_ge[gpus];
}

static int all_in(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r,
                  uint32_t gpus, size_t enough)
{
    const uint64_t *bits = candidates(c, s, gpus);
    size_t n = 0;
    for (size_t w = r->from; w < r->to && n < enough; w++)
        n += (size_t) __builtin_popcountll(bits[w] & r->nodes[w] & s->key.where->nodes[w]);
    return n >= enough;
}

/* Nodes of the region where such a slice fits, counted up to 'enough'. */
static size_t count(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r,
                    int last, size_t enough)
{
    const uint64_t *bits = candidates(c, s, last ? s->key.gpus_last : s->key.gpus);
    size_t n = 0;
    for (size_t w = r->from; w < r->to; w++)
        for (uint64_t m = bits[w] & r->nodes[w] & s->key.where->nodes[w]; m && n < enough;
             m &= m - 1) {
            uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
            n += (size_t) (last ? tug_place_fits_last(c, s, node) : tug_place_fits(c, s, node));
        }
    return n;
}

static size_t alike(const struct tug_shape *s)
{
    return s->key.nodes - (uint32_t) tug_shape_is_uneven(s);
}

static int holds(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r)
{
    if (!all_in(c, s, r, s->key.gpus, alike(s)) || !all_in(c, s, r, s->key.gpus_last, s->key.nodes))
        return 0;
    return count(c, s, r, 0, alike(s)) == alike(s) &&
           (!tug_shape_is_uneven(s) || count(c, s, r, 1, s->key.nodes) == s->key.nodes);
}

static uint32_t gpus_free(const struct tug_core *c, const struct tug_region *r)
{
    uint32_t sum = 0, with = 1; /* nodes with g free or more */
    for (uint32_t g = 1; g <= TUG_GPUS_MAX && with; g++) {
        with = 0;
        for (size_t w = r->from; w < r->to; w++)
            with += (uint32_t) __builtin_popcountll(c->index.free_ge[g][w] & r->nodes[w]);
        sum += with;
    }
    return sum;
}

/* ---- a gang on one node */

/* The fullest node that holds it, in the tightest domain of those that have one. */
static int find_node(struct tug_core *c, const struct tug_shape *s)
{
    const struct tug_fabric *f = &c->fabric;
    uint32_t best = TUG_NO_NODE, best_gpus = 0, best_left = 0;
    c->marks++;
    for (size_t i = 0; i <= f->n; i++) {
        const struct tug_domain *d = &f->at[f->by_order[i]];
        uint32_t gpus = 0, node = tug_place_fullest_last(c, s, &d->own, &gpus);
        if (node == TUG_NO_NODE || (best != TUG_NO_NODE && gpus > best_gpus))
            continue;
        uint32_t left = gpus_free(c, &d->own);
        if (best != TUG_NO_NODE && gpus == best_gpus && left >= best_left)
            continue;
        best = node;
        best_gpus = gpus;
        best_left = left;
    }
    if (best == TUG_NO_NODE)
        return 0;
    tug_vec_push(&c->picked, best);
    return 1;
}

/* ---- a gang on several nodes */

/* Index of the domain, or n for the whole cluster: the lowest that holds it, then the tightest. */
static size_t find_lowest(const struct tug_core *c, const struct tug_shape *s)
{
    const struct tug_fabric *f = &c->fabric;
    size_t best = f->n;
    uint32_t best_left = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct tug_domain *d = &f->at[f->by_height[i]];
        if (best < f->n && d->height > f->at[best].height)
            break;
        if (!holds(c, s, &d->all))
            continue;
        uint32_t left = gpus_free(c, &d->all);
        if (best == f->n || left < best_left) {
            best = f->by_height[i];
            best_left = left;
        }
    }
    return best;
}

/* How high one has to go from one domain to find the other below. */
static uint32_t distance(const struct tug_fabric *f, const struct tug_domain *a,
                         const struct tug_domain *b)
{
    for (uint32_t up = (uint32_t) (a - f->at); up != TUG_NO_DOMAIN; up = f->at[up].parent)
        if (tug_fabric_contains(f, up, (uint32_t) (b - f->at)))
            return f->at[up].height;
    return UINT32_MAX;
}

/* Room for the rest, near the first one, tight; else the roomiest. */
static int is_better(const struct tug_fabric *f, const struct unit *a, const struct unit *b,
                     size_t need, const struct unit *first)
{
    if (!b)
        return 1;
    if ((a->room >= need) != (b->room >= need))
        return a->room >= need;
    if (a->room < need && a->room != b->room)
        return a->room > b->room;
    uint32_t to_a = first ? distance(f, first->domain, a->domain) : 0,
             to_b = first ? distance(f, first->domain, b->domain) : 0;
    return to_a != to_b ? to_a < to_b : a->gpus_free < b->gpus_free;
}

static struct unit *take_units(const struct tug_fabric *f, struct unit *units, size_t n,
                               size_t need)
{
    struct unit *first = NULL;
    while (need) {
        struct unit *best = NULL;
        for (size_t i = 0; i < n; i++)
            if (!units[i].taken && units[i].room && is_better(f, &units[i], best, need, first))
                best = &units[i];
        tug_assert(best);
        best->taken = best->room < need ? best->room : need;
        need -= best->taken;
        if (!first)
            first = best;
    }
    return first;
}

static int by_index(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void pick(struct tug_core *c, const struct tug_shape *s, const struct unit *u)
{
    size_t from = c->picked.len;
    size_t n = tug_place_fullest(c, s, &u->domain->own, u->taken);
    tug_assert(n == u->taken);
    if (n)
        qsort(&c->picked.at[from], n, sizeof *c->picked.at, by_index);
    for (size_t i = from; i < c->picked.len; i++)
        c->nodes.at[c->picked.at[i]].mark = c->marks;
}

/* The unit that the last slice goes to, *node: one that the gang is on already, if it can be. */
static const struct unit *place_last(const struct tug_core *c, const struct tug_shape *s,
                                     const struct unit *units, size_t n, const struct unit *first,
                                     uint32_t *node)
{
    const struct unit *best = NULL;
    uint32_t best_gpus = 0;
    for (size_t i = 0; i < n; i++) {
        const struct unit *u = &units[i];
        uint32_t gpus = 0, at;
        if (best && best->taken && !u->taken)
            continue;
        at = tug_place_fullest_last(c, s, &u->domain->own, &gpus);
        if (at == TUG_NO_NODE)
            continue;
        if (best && !!best->taken == !!u->taken &&
            (u->taken ? gpus >= best_gpus : !is_better(&c->fabric, u, best, 0, first)))
            continue;
        best = u;
        best_gpus = gpus;
        *node = at;
    }
    return best;
}

/* Node order within a unit, units in the order of the tree, but that of the last slice last. */
static void place_in(struct tug_core *c, const struct tug_shape *s, struct unit *units, size_t n)
{
    const struct unit *first = take_units(&c->fabric, units, n, alike(s)), *end = NULL;
    uint32_t last = TUG_NO_NODE;
    c->marks++;
    for (size_t i = 0; i < n; i++)
        pick(c, s, &units[i]);
    if (!tug_shape_is_uneven(s))
        return;
    end = place_last(c, s, units, n, first, &last);
    tug_assert(end);
    c->picked.len = 0;
    for (size_t i = 0; i < n; i++)
        if (&units[i] != end)
            pick(c, s, &units[i]);
    pick(c, s, end);
    tug_vec_push(&c->picked, last);
}

static void place_below(struct tug_core *c, const struct tug_shape *s, size_t domain)
{
    const struct tug_fabric *f = &c->fabric;
    int all = domain == f->n;
    size_t from = all ? 0 : f->at[domain].order, to = all ? f->n + 1 : f->at[domain].order_end;
    struct unit *units = tug_xcalloc(to - from, sizeof *units);
    size_t n = 0;
    for (size_t i = from; i < to; i++) {
        const struct tug_domain *d = &f->at[f->by_order[i]];
        if (d->own.from == d->own.to)
            continue;
        units[n++] = (struct unit){.domain = d,
                                   .room = count(c, s, &d->own, 0, alike(s)),
                                   .gpus_free = gpus_free(c, &d->own)};
    }
    place_in(c, s, units, n);
    free(units);
}

int tug_topology_find(struct tug_core *c, const struct tug_shape *s)
{
    if (s->key.nodes == 1)
        return find_node(c, s);
    size_t domain = find_lowest(c, s);
    const struct tug_region all = {.nodes = c->index.usable, .to = c->index.words};
    if (domain == c->fabric.n && !holds(c, s, &all))
        return 0;
    place_below(c, s, domain);
    return 1;
}
