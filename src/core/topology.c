/* topology.c - where in the fabric a gang goes
 *
 * As low as possible, then where the best holes are left: a gang that fits below one leaf gets a leaf, and
 * the one where it breaks up the least of what gangs of whole nodes could have (frag.h: FGD's gradient),
 * then with the fewest whole nodes, then with the fewest GPUs free. A gang on one
 * node is as low as it gets: it goes to the fullest node, by the same rule where there are several. A gang
 * that spans leaves takes the fewest: the roomiest ones, and the rest near those where it fits tightest. Its
 * ranks stand leaf by leaf.
 *
 * Where links of nodes are known, that is the second question. The first is where the gang has the most
 * bandwidth (span.h): each domain that holds it could give it what its slowest node would have if the
 * fastest were taken, and a higher one is taken only if it gives more than a lower one. From then on
 * only nodes over that bar count as ones that hold a slice. 2 % are given up to go lower and tighter.
 *
 * Nodes are counted by words of the index; single nodes are looked at only in domains whose counts
 * suffice. Layer: core.
 */
#include <stdlib.h>
#include <string.h>

#include "core/bandwidth.h"
#include "core/frag.h"
#include "core/state.h"

/* Nodes with nodes of their own, as far as a gang may use them now. */
struct unit {
    const struct tug_domain *domain;
    size_t room; /* nodes that hold a slice */
    uint32_t gpus_free;
    size_t taken;
};

static int all_in(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r,
                  uint32_t gpus, size_t enough)
{
    const uint64_t *bits = tug_place_candidates(c, s, gpus);
    size_t n = 0;
    for (size_t w = r->from; w < r->to && n < enough; w++)
        n += tug_gpuset_count(bits[w] & r->nodes[w] & s->key.where->nodes[w]);
    return n >= enough;
}

/* Nodes of the region where such a slice fits, counted up to 'enough'. */
static size_t count(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r,
                    int last, size_t enough)
{
    const uint64_t *bits = tug_place_candidates(c, s, last ? s->key.gpus_last : s->key.gpus);
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

/* By what is free of GPUs. */
static int might_hold(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r)
{
    return all_in(c, s, r, s->key.gpus, alike(s)) && all_in(c, s, r, s->key.gpus_last, s->key.nodes);
}

static int holds(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r)
{
    return count(c, s, r, 0, alike(s)) == alike(s) &&
           (!tug_shape_is_uneven(s) || count(c, s, r, 1, s->key.nodes) == s->key.nodes);
}

static uint32_t gpus_free(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r)
{
    uint32_t sum = 0, with = 1; /* nodes with g free or more */
    for (uint32_t g = 1; g <= TUG_GPUS_MAX && with; g++) {
        with = 0;
        for (size_t w = r->from; w < r->to; w++)
            with += tug_gpuset_count(tug_index_free(c, s->key.cut, g)[w] & r->nodes[w]);
        sum += with;
    }
    return sum;
}

/* ---- holes */

/* What would be left of a domain. */
struct hole {
    int32_t grows;       /* its fragments */
    uint32_t whole, gpus; /* free before */
};

/* A gang takes whole nodes only when the others do not suffice. */
static struct hole hole_in(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r, size_t nodes, size_t broken)
{
    size_t whole = tug_region_count(c->index.idle, r), taken = nodes > broken ? nodes - broken : 0;
    return (struct hole){tug_frag_growth((uint32_t) tug_region_count(c->index.usable, r), (uint32_t) whole, (uint32_t) taken),
                         (uint32_t) whole, gpus_free(c, s, r)};
}

static int is_tighter(const struct hole *a, const struct hole *b)
{
    if (a->grows != b->grows)
        return a->grows < b->grows;
    return a->whole != b->whole ? a->whole < b->whole : a->gpus < b->gpus;
}

/* Nodes of the region where some of it might go that are not whole. */
static size_t broken_in(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r)
{
    const uint64_t *bits = tug_place_candidates(c, s, s->key.gpus);
    size_t n = 0;
    for (size_t w = r->from; w < r->to; w++)
        n += tug_gpuset_count(bits[w] & ~c->index.idle[w] & r->nodes[w] & s->key.where->nodes[w]);
    return n;
}

/* ---- what is aimed at */

#define CLOSE_TO(mbs) ((uint32_t) (((uint64_t) (mbs) *99 + 99) / 100)) /* twice: 0.98 */

/* Nodes that give the same. */
struct tally {
    uint32_t mbs, last_mbs; /* with a slice, with the last one; 0 also: it does not fit */
    size_t n;
};
struct tallies {
    struct tug_vec(struct tally) rows;
    uint32_t enough_mbs; /* nobody gives much more */
};

/* Does it matter which links a gang gets, and does anybody know? */
static int links_matter(const struct tug_core *c, const struct tug_shape *s)
{
    return !s->key.milli && !s->key.cut && s->key.gpus && (c->fabric.has_bandwidth || tug_insides_count(c->insides)) &&
           (s->key.nodes > 1 ? s->key.gpus + s->key.gpus_last : s->key.gpus_last) > 1;
}

static struct tug_span span_below(const struct tug_core *c, const struct tug_shape *s, size_t domain)
{
    const struct tug_fabric *f = &c->fabric;
    uint32_t at = domain < f->n ? (uint32_t) domain : TUG_NO_DOMAIN;
    return (struct tug_span){.domain = at,
                             .ranks = s->key.gpus * (uint32_t) alike(s) + (alike(s) < s->key.nodes ? s->key.gpus_last : 0),
                             .nodes = s->key.nodes,
                             .islands = tug_span_fewest_islands(c, at, s->key.nodes, tug_place_candidates(c, s, s->key.gpus_last))};
}

static void tally(struct tallies *t, uint32_t mbs, uint32_t last_mbs)
{
    for (size_t i = 0; i < t->rows.len; i++)
        if (t->rows.at[i].mbs == mbs && t->rows.at[i].last_mbs == last_mbs) {
            t->rows.at[i].n++;
            return;
        }
    struct tally row = {mbs, last_mbs, 1};
    tug_vec_push(&t->rows, row);
}

/* Nodes of the region; enough of the fastest are enough. */
static void tally_nodes(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r,
                        const struct tug_span *span, struct tallies *t)
{
    const uint64_t *bits = tug_place_candidates(c, s, s->key.gpus_last);
    size_t fast = 0;
    t->rows.len = 0;
    for (size_t w = r->from; w < r->to; w++)
        for (uint64_t m = bits[w] & r->nodes[w] & s->key.where->nodes[w]; m; m &= m - 1) {
            uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
            if (!tug_place_fits_last(c, s, node))
                continue;
            uint32_t last = tug_place_mbs(c, s, span, node, 1), mbs = last;
            if (tug_shape_is_uneven(s))
                mbs = tug_place_fits(c, s, node) ? tug_place_mbs(c, s, span, node, 0) : 0;
            tally(t, mbs, last);
            fast += mbs >= t->enough_mbs && last >= t->enough_mbs;
            if (fast == s->key.nodes)
                return;
        }
}

static int are_enough(const struct tug_shape *s, const struct tallies *t, uint32_t mbs)
{
    size_t full = 0, last = 0, any = 0;
    for (size_t i = 0; i < t->rows.len; i++) {
        const struct tally *row = &t->rows.at[i];
        full += row->mbs >= mbs ? row->n : 0;
        last += row->last_mbs >= mbs ? row->n : 0;
        any += row->mbs >= mbs || row->last_mbs >= mbs ? row->n : 0;
    }
    return full >= alike(s) && last && any >= s->key.nodes;
}

/* The most that the slowest node of the gang can have; 0: it is not known. */
static uint32_t highest_bar(const struct tug_shape *s, const struct tallies *t)
{
    uint32_t best = 0;
    for (size_t i = 0; i < t->rows.len; i++) {
        const uint32_t mbs[] = {t->rows.at[i].mbs, t->rows.at[i].last_mbs};
        for (size_t k = 0; k < 2; k++)
            if (mbs[k] > best && are_enough(s, t, mbs[k]))
                best = mbs[k];
    }
    return best;
}

/* A node that the last slice can have even if the others take all others: one that only it fits on, else any. */
static uint32_t keep_for_last(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r)
{
    const uint64_t *bits = tug_place_candidates(c, s, s->key.gpus_last);
    uint32_t kept = TUG_NO_NODE;
    for (size_t w = r->from; w < r->to && tug_shape_is_uneven(s); w++)
        for (uint64_t m = bits[w] & r->nodes[w] & s->key.where->nodes[w]; m; m &= m - 1) {
            uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
            if (!tug_place_fits_last(c, s, node))
                continue;
            if (!tug_place_fits(c, s, node))
                return TUG_NO_NODE;
            kept = node;
        }
    return kept;
}

/* Nobody gives more, or, where a place is wanted, much more. Whole nodes give what they have. */
static uint32_t enough(const struct tug_core *c, const struct tug_shape *s, const struct tug_span *span)
{
    if (s->key.exclusive)
        return TUG_BANDWIDTH_NO_LIMIT;
    uint32_t most = tug_span_most(c, span, span->nodes > 1 ? s->key.gpus : s->key.gpus_last);
    return c->as_if_empty ? most : CLOSE_TO(most);
}

static void set_bar(struct tug_core *c, const struct tug_shape *s, const struct tug_region *r, const struct tug_span *span,
                    uint32_t mbs)
{
    c->bar.span = *span;
    c->bar.mbs = mbs;
    c->bar.keep = TUG_NO_NODE;
    if (mbs)
        c->bar.keep = keep_for_last(c, s, r);
}

static struct tug_region whole(const struct tug_core *c)
{
    return (struct tug_region){.nodes = c->index.usable, .to = c->index.words};
}

/* ---- a gang on one node */

/* The fullest node that holds it, in the tightest domain of those that have one. */
static uint32_t find_fullest(struct tug_core *c, const struct tug_shape *s)
{
    const struct tug_fabric *f = &c->fabric;
    uint32_t best = TUG_NO_NODE, best_gpus = 0;
    struct hole best_left = {0};
    c->marks++;
    for (size_t i = 0; i <= f->n; i++) {
        const struct tug_domain *d = &f->at[f->by_order[i]];
        uint32_t gpus = 0, node = tug_place_fullest_last(c, s, &d->own, &gpus);
        if (node == TUG_NO_NODE || (best != TUG_NO_NODE && gpus > best_gpus))
            continue;
        struct hole left = hole_in(c, s, &d->own, 1, !tug_bit(c->index.idle, node));
        if (best != TUG_NO_NODE && gpus == best_gpus && !is_tighter(&left, &best_left))
            continue;
        best = node;
        best_gpus = gpus;
        best_left = left;
    }
    return best;
}

/* What the fastest one gives; without slack if it is to be known exactly. */
static uint32_t fastest_node(struct tug_core *c, const struct tug_shape *s, struct tug_span *span)
{
    struct tug_region all = whole(c);
    *span = (struct tug_span){TUG_NO_DOMAIN, s->key.gpus_last, 1, 1};
    struct tallies t = {.enough_mbs = enough(c, s, span)};
    tally_nodes(c, s, &all, span, &t);
    uint32_t mbs = highest_bar(s, &t);
    tug_vec_clear(&t.rows);
    return mbs;
}

static int find_node(struct tug_core *c, const struct tug_shape *s)
{
    if (links_matter(c, s)) {
        struct tug_span span;
        struct tug_region all = whole(c);
        uint32_t mbs = fastest_node(c, s, &span);
        set_bar(c, s, &all, &span, CLOSE_TO(mbs));
    }
    uint32_t node = find_fullest(c, s);
    c->bar.mbs = 0;
    if (node == TUG_NO_NODE)
        return 0;
    tug_vec_push(&c->picked, node);
    return 1;
}

/* ---- a gang on several nodes */

/* What a domain could give, and how tight it is; the higher ones are worse. */
struct offer {
    size_t domain; /* n for the whole cluster */
    uint32_t height, mbs;
    struct hole left;
    struct tug_span span;
};

static int is_better_offer(const struct offer *a, const struct offer *b, uint32_t top_mbs)
{
    if (b->mbs < CLOSE_TO(top_mbs))
        return a->mbs >= CLOSE_TO(top_mbs);
    return a->mbs >= CLOSE_TO(top_mbs) && a->height == b->height && is_tighter(&a->left, &b->left);
}

/* Could it still be taken, as far as can be said without looking at its nodes? Nobody gives much more than 'enough'. */
static int may_be_better(const struct offer *o, const struct offer *best, uint32_t top_mbs, uint32_t enough_mbs)
{
    return enough_mbs > top_mbs || (o->height == best->height && is_tighter(&o->left, &best->left));
}

/* The lowest domain that gives the most, *top_mbs, or close to that; then the tightest. 0: none holds it. */
static int find_domain(const struct tug_core *c, const struct tug_shape *s, struct offer *best, uint32_t *top_mbs)
{
    const struct tug_fabric *f = &c->fabric;
    struct tug_region all = whole(c);
    struct tallies t = {0};
    *top_mbs = 0;
    int found = 0, matters = links_matter(c, s);
    for (size_t i = 0; i <= f->n; i++) {
        struct offer o = {.domain = i < f->n ? f->by_height[i] : f->n, .height = UINT32_MAX};
        const struct tug_region *r = i < f->n ? &f->at[o.domain].all : &all;
        if (i < f->n)
            o.height = f->at[o.domain].height;
        if (found && !matters && o.height > best->height)
            break;
        if (!might_hold(c, s, r))
            continue;
        o.left = hole_in(c, s, r, s->key.nodes, broken_in(c, s, r));
        if (matters) {
            o.span = span_below(c, s, o.domain);
            t.enough_mbs = enough(c, s, &o.span);
        }
        if ((found && !may_be_better(&o, best, *top_mbs, t.enough_mbs)) || !holds(c, s, r))
            continue;
        if (matters) {
            tally_nodes(c, s, r, &o.span, &t);
            o.mbs = highest_bar(s, &t);
        }
        *top_mbs = o.mbs > *top_mbs ? o.mbs : *top_mbs;
        if (!found || is_better_offer(&o, best, *top_mbs))
            *best = o;
        found = 1;
    }
    tug_vec_clear(&t.rows);
    best->mbs = best->mbs < CLOSE_TO(*top_mbs) ? best->mbs : CLOSE_TO(*top_mbs);
    return found;
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
    if (to_a != to_b)
        return to_a < to_b;
    return a->room != b->room ? a->room < b->room : a->gpus_free < b->gpus_free;
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
                                   .room = count(c, s, &d->own, 0, SIZE_MAX),
                                   .gpus_free = gpus_free(c, s, &d->own)};
    }
    place_in(c, s, units, n);
    free(units);
}

static void begin(struct tug_core *c)
{
    memset(c->memos, 0, 2 * sizeof *c->memos);
}

int tug_topology_find(struct tug_core *c, const struct tug_shape *s)
{
    struct offer best = {0};
    uint32_t top_mbs;
    begin(c);
    if (s->key.nodes == 1)
        return find_node(c, s);
    if (!find_domain(c, s, &best, &top_mbs))
        return 0;
    struct tug_region all = whole(c);
    set_bar(c, s, best.domain < c->fabric.n ? &c->fabric.at[best.domain].all : &all, &best.span, best.mbs);
    place_below(c, s, best.domain);
    c->bar.mbs = 0;
    return 1;
}

uint32_t tug_topology_most(struct tug_core *c, const struct tug_shape *s)
{
    struct offer best = {0};
    struct tug_span span;
    uint32_t mbs = 0;
    if (!links_matter(c, s))
        return 0;
    begin(c);
    c->as_if_empty = 1;
    if (s->key.nodes == 1)
        mbs = fastest_node(c, s, &span);
    else
        find_domain(c, s, &best, &mbs);
    c->as_if_empty = 0;
    return mbs < TUG_BANDWIDTH_NO_LIMIT ? mbs : 0;
}
