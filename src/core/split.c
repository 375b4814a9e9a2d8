/* split.c - over which domains of a level a gang is split, and how many slices go to each
 *
 * The question is put on bits, nodes where a slice fits, so that it can be asked of what is free now or at some time to come, of what
 * victims would leave, and of empty nodes; the answer is exact. Layer: core.
 */
#include <stdlib.h>

#include "core/state.h"

/* A domain that slices go to. 'last' counts those of 'full', too. */
struct unit {
    const struct tug_region *nodes;
    size_t full, last;
    size_t quota; /* slices that it gets, but for the smaller one */
    uint8_t ends; /* it gets that one */
};

struct choice {
    const struct tug_core *c;
    const struct tug_within *w;
    uint32_t nodes, alike; /* slices in all, and those that are not smaller */
    const uint64_t *full, *last;
    const struct tug_tier *tier;
    struct unit *units; /* in the order of the tree */
    size_t n;
};

static void count_units(struct choice *k)
{
    if (!k->w->level) { /* domains for itself, as many as it takes */
        k->n = 1;
        k->units = tug_xcalloc(1, sizeof *k->units);
        k->units->nodes = &k->tier->nodes;
        k->units->full = tug_region_count(k->full, k->units->nodes);
        k->units->last = tug_region_count(k->last, k->units->nodes);
        return;
    }
    k->n = k->tier->n;
    k->units = tug_xcalloc(k->n + 1, sizeof *k->units);
    for (size_t i = 0; i < k->n; i++) {
        struct unit *u = &k->units[i];
        u->nodes = &k->c->fabric.at[k->tier->domains[i]].all;
        u->full = tug_region_count(k->full, u->nodes);
        u->last = k->last == k->full ? u->full : tug_region_count(k->last, u->nodes);
    }
}

static int is_uneven(const struct choice *k)
{
    return k->alike < k->nodes;
}

static int unit_holds(const struct choice *k, const struct unit *u)
{
    return u->full >= k->alike && u->last >= k->nodes;
}

/* The tightest that holds all of it. */
static int choose_one(struct choice *k)
{
    struct unit *best = NULL;
    for (size_t i = 0; i < k->n; i++)
        if (unit_holds(k, &k->units[i]) && (!best || k->units[i].last < best->last))
            best = &k->units[i];
    if (!best)
        return 0;
    best->quota = k->alike;
    best->ends = (uint8_t) is_uneven(k);
    return 1;
}

/* ---- at most so many domains: the roomiest, and the rest where it fits tightest */

/* Gives out 'need' more slices to units that have none; 'most' units may get some. */
static int fill_units(struct choice *k, size_t need, size_t most)
{
    for (; need && most; most--) {
        struct unit *best = NULL;
        for (size_t i = 0; i < k->n; i++) {
            struct unit *u = &k->units[i];
            if (u->quota || u->ends || !u->full)
                continue;
            if (!best || (best->full < need ? u->full > best->full
                                            : u->full >= need && u->full < best->full))
                best = u;
        }
        if (!best)
            break;
        best->quota = best->full < need ? best->full : need;
        need -= best->quota;
    }
    return need == 0;
}

static void start_over(struct choice *k)
{
    for (size_t i = 0; i < k->n; i++)
        k->units[i].quota = k->units[i].ends = 0;
}

/* A smaller last slice may need a unit of its own, or one that has a node only for it. */
static int choose_some(struct choice *k)
{
    if (!is_uneven(k) || fill_units(k, k->nodes, k->w->domains)) {
        for (size_t i = k->n; is_uneven(k) && i > 0; i--)
            if (k->units[i - 1].quota) {
                k->units[i - 1].quota--;
                k->units[i - 1].ends = 1;
                break;
            }
        return is_uneven(k) || fill_units(k, k->nodes, k->w->domains);
    }
    for (size_t i = 0; i < k->n; i++) {
        struct unit *u = &k->units[i];
        if (u->last <= u->full)
            continue;
        start_over(k);
        u->ends = 1;
        u->quota = u->full < k->alike ? u->full : k->alike;
        if (fill_units(k, k->alike - u->quota, k->w->domains - 1))
            return 1;
    }
    return 0;
}

/* ---- over all of them: the next slice goes where the fewest are, and there is the most room */

static struct unit *emptiest(struct choice *k, int last)
{
    struct unit *best = NULL;
    for (size_t i = 0; i < k->n; i++) {
        struct unit *u = &k->units[i];
        size_t room = last ? u->last : u->full;
        if (u->quota < room &&
            (!best || (u->quota != best->quota ? u->quota < best->quota : u->full > best->full)))
            best = u;
    }
    return best;
}

static int choose_spread(struct choice *k)
{
    for (uint32_t i = 0; i < k->alike; i++) {
        struct unit *u = emptiest(k, 0);
        if (!u)
            return 0;
        u->quota++;
    }
    struct unit *end = is_uneven(k) ? emptiest(k, 1) : NULL;
    if (end)
        end->ends = 1;
    return end || !is_uneven(k);
}

/* ---- segments: each domain gets a multiple of them */

static size_t segments(const struct choice *k, const struct unit *u)
{
    return u->full / k->w->segment;
}

/* Segments that fit beside the one with the smaller slice; SIZE_MAX: not even that does. */
static size_t beside_last(const struct choice *k, const struct unit *u)
{
    size_t m = k->w->segment;
    if (u->full + 1 < m || u->last < m)
        return SIZE_MAX;
    size_t a = (u->full + 1 - m) / m, b = (u->last - m) / m;
    return a < b ? a : b;
}

static void give_segments(const struct choice *k, struct unit *u, size_t room, size_t *need)
{
    size_t n = room < *need ? room : *need;
    u->quota += n * k->w->segment;
    *need -= n;
}

/* Of the units from..to-1: first the one that the gang ends in, then the roomiest, and the rest where it fits
 * tightest. */
static int fill_segments(struct choice *k, size_t from, size_t to, struct unit *end)
{
    size_t need = k->nodes / k->w->segment;
    start_over(k);
    if (end) {
        need--;
        give_segments(k, end, beside_last(k, end), &need);
        end->quota += k->w->segment - 1;
        end->ends = 1;
    }
    while (need) {
        struct unit *best = NULL;
        size_t has = 0;
        for (size_t i = from; i < to; i++) {
            struct unit *u = &k->units[i];
            size_t room = u->quota || u->ends ? 0 : segments(k, u);
            if (room && (!best || (has < need ? room > has : room >= need && room < has))) {
                best = u;
                has = room;
            }
        }
        if (!best)
            return 0;
        give_segments(k, best, has, &need);
    }
    return 1;
}

static int segments_fit(struct choice *k, size_t from, size_t to)
{
    size_t need = k->nodes / k->w->segment, have = 0;
    for (size_t i = from; i < to; i++)
        have += segments(k, &k->units[i]);
    if (!is_uneven(k))
        return have >= need && fill_segments(k, from, to, NULL);
    for (size_t i = from; i < to; i++) {
        struct unit *u = &k->units[i];
        size_t beside = beside_last(k, u);
        if (beside != SIZE_MAX && have - segments(k, u) + beside + 1 >= need)
            return fill_segments(k, from, to, u);
    }
    return 0;
}

/* The first unit at that place of the tree or behind it. */
static size_t first_from(const struct choice *k, uint32_t order)
{
    size_t low = 0, high = k->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (k->c->fabric.at[k->tier->domains[mid]].order < order)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Below the lowest domain that holds them all: units of the tier that lie below it follow each other. */
static int choose_segments(struct choice *k)
{
    const struct tug_fabric *f = &k->c->fabric;
    if (!segments_fit(k, 0, k->n))
        return 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct tug_domain *d = &f->at[f->by_height[i]];
        size_t from = first_from(k, d->order), to = first_from(k, d->order_end);
        if (to > from && segments_fit(k, from, to))
            return 1;
    }
    return segments_fit(k, 0, k->n);
}

/* ---- the nodes: unit by unit in the order of the tree, the one that ends the gang last */

static uint32_t *take(const uint64_t *bits, const struct tug_region *r, size_t n, uint32_t *out)
{
    for (size_t w = r->from; w < r->to && n; w++)
        for (uint64_t m = bits[w] & r->nodes[w]; m && n; m &= m - 1, n--)
            *out++ = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
    return out;
}

static uint32_t take_last(const struct choice *k, const struct unit *u, const uint32_t *taken,
                          size_t n)
{
    uint32_t spare = TUG_NO_NODE;
    for (size_t w = u->nodes->from; w < u->nodes->to; w++)
        for (uint64_t m = k->last[w] & u->nodes->nodes[w]; m; m &= m - 1) {
            uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
            size_t i = 0;
            while (i < n && taken[i] != node)
                i++;
            if (i < n)
                continue;
            if (!tug_bit(k->full, node))
                return node; /* good for nothing else */
            spare = spare == TUG_NO_NODE ? node : spare;
        }
    return spare;
}

static void take_nodes(const struct choice *k, uint32_t *out)
{
    const struct unit *end = NULL;
    for (size_t i = 0; i < k->n; i++) {
        if (k->units[i].ends)
            end = &k->units[i];
        else
            out = take(k->full, k->units[i].nodes, k->units[i].quota, out);
    }
    if (!end)
        return;
    uint32_t *from = out;
    out = take(k->full, end->nodes, end->quota, out);
    *out = take_last(k, end, from, (size_t) (out - from));
    tug_assert(*out != TUG_NO_NODE);
}

int tug_split_choose(const struct tug_core *c, const struct tug_within *w, uint32_t nodes,
                      int uneven, const uint64_t *full, const uint64_t *last, uint32_t *out)
{
    struct tug_within alone = {.alone = w->alone};
    if (w->alone && !w->domains && !w->segment)
        w = &alone; /* a level is only a wish then */
    struct choice k = {.c = c,
                       .w = w,
                       .nodes = nodes,
                       .alike = nodes - (uint32_t) (uneven != 0),
                       .full = full,
                       .last = uneven ? last : full,
                       .tier = tug_fabric_tier(&c->fabric, w->level ? w->level : w->alone)};
    if (!k.tier)
        return 0;
    count_units(&k);
    int found = w->domains == 1 || nodes == 1 || !w->level ? choose_one(&k)
                : w->segment                               ? choose_segments(&k)
                : w->spread && !w->domains                 ? choose_spread(&k)
                                                           : choose_some(&k);
    if (found && out)
        take_nodes(&k, out);
    free(k.units);
    return found;
}
