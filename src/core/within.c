/* within.c - what a gang asks of the fabric: to be within so many domains, in segments
 *
 * What is asked for is a part of the shape, so that a gang that finds no domain says nothing about
 * those that need none. Two questions are answered here. Where does it go now: core.placement
 * chooses as ever, but of the nodes of one domain; only a gang that spans domains by rule is put
 * together here. And would it fit on these nodes, given as bits: that is asked for what is free at
 * some time to come, for what victims would leave, and for empty nodes; the answer is exact.
 *
 * A floor under the quality is asked of what has been chosen, by the fabric whatever the placement is
 * otherwise. Nothing is reserved for a gang that waits for better, as nobody knows when that comes.
 *
 * Who has domains for itself shuts them: to the index, to policies and to every search nothing is
 * free on their nodes, as long as it runs or others give way to it.
 *
 * Running gangs keep their place when the fabric changes around them: what they asked for was true
 * of the fabric in which they were placed. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/str.h"
#include "core/state.h"

static int64_t level_relaxes_ms(const struct tug_entry *e)
{
    uint32_t wait_s = e->j.req.topology_wait_s;
    return wait_s ? e->j.wants_since_ms + wait_s * 1000LL : INT64_MAX;
}

static int64_t quality_relaxes_ms(const struct tug_entry *e)
{
    uint32_t wait_s = e->j.req.quality_wait_s;
    return wait_s != UINT32_MAX ? e->j.wants_since_ms + wait_s * 1000LL : INT64_MAX;
}

struct tug_within tug_within_of(const struct tug_core *c, const struct tug_entry *e)
{
    const struct tug_job_req *r = &e->j.req;
    struct tug_within w = {
        .level = r->topology && *r->topology ? r->topology : NULL,
        .alone = r->exclusive_level && *r->exclusive_level ? r->exclusive_level : NULL,
        .segment = r->segment,
        .spread = r->spread};
    if (r->topology_required && level_relaxes_ms(e) > c->now_ms)
        w.domains = r->topology_domains ? r->topology_domains : 1;
    if (r->quality_milli && quality_relaxes_ms(e) > c->now_ms)
        w.quality_milli = r->quality_milli;
    return w;
}

/* Of what counts now the first that will not. */
int64_t tug_within_relaxes_ms(const struct tug_entry *e)
{
    if (e->j.state != TUG_JOB_PENDING || !e->shape)
        return INT64_MAX;
    const struct tug_within *w = &e->shape->key.within;
    int64_t level_ms = w->domains ? level_relaxes_ms(e) : INT64_MAX,
            quality_ms = w->quality_milli ? quality_relaxes_ms(e) : INT64_MAX;
    return level_ms < quality_ms ? level_ms : quality_ms;
}

int64_t tug_core_relaxes(const struct tug_core *c, const struct tug_job *job)
{
    (void) c;
    return tug_within_relaxes_ms(tug_entry_of(job));
}

void tug_within_clear(struct tug_core *c)
{
    tug_vec_clear(&c->within.open);
    tug_vec_clear(&c->within.full);
    tug_vec_clear(&c->within.last);
    tug_vec_clear(&c->within.empty);
}

/* ---- on bits */

static size_t count_in(const uint64_t *bits, const struct tug_region *r)
{
    size_t n = 0;
    for (size_t w = r->from; w < r->to; w++)
        n += (size_t) __builtin_popcountll(bits[w] & r->nodes[w]);
    return n;
}

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
        k->units->full = count_in(k->full, k->units->nodes);
        k->units->last = count_in(k->last, k->units->nodes);
        return;
    }
    k->n = k->tier->n;
    k->units = tug_xcalloc(k->n + 1, sizeof *k->units);
    for (size_t i = 0; i < k->n; i++) {
        struct unit *u = &k->units[i];
        u->nodes = &k->c->fabric.at[k->tier->domains[i]].all;
        u->full = count_in(k->full, u->nodes);
        u->last = k->last == k->full ? u->full : count_in(k->last, u->nodes);
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

/* Below the lowest domain that holds them all: units of the tier that lie below it follow each other. */
static int choose_segments(struct choice *k)
{
    const struct tug_fabric *f = &k->c->fabric;
    if (!segments_fit(k, 0, k->n))
        return 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct tug_domain *d = &f->at[f->by_height[i]];
        size_t from = 0, to;
        while (from < k->n && f->at[k->tier->domains[from]].order < d->order)
            from++;
        for (to = from; to < k->n && f->at[k->tier->domains[to]].order < d->order_end;)
            to++;
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

int tug_within_choose(const struct tug_core *c, const struct tug_within *w, uint32_t nodes,
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

/* ---- now */

static uint64_t *bits_of(struct tug_core *c, int last)
{
    if (last) {
        tug_vec_reserve(&c->within.last, c->index.words + 1);
        return c->within.last.at;
    }
    tug_vec_reserve(&c->within.full, c->index.words + 1);
    return c->within.full.at;
}

typedef int fits_fn(const struct tug_core *c, const struct tug_shape *s, uint32_t node);

/* Of the nodes in 'of' that the shape may use those on which it fits. */
static uint64_t *fitting(struct tug_core *c, const struct tug_shape *s, const uint64_t *of,
                         int last, fits_fn *fits)
{
    uint64_t *bits = bits_of(c, last);
    for (size_t w = 0; w < c->index.words; w++) {
        bits[w] = 0;
        for (uint64_t m = of[w] & s->key.where->nodes[w]; m; m &= m - 1) {
            uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
            bits[w] |= fits(c, s, node) ? m & -m : 0;
        }
    }
    return bits;
}

/* Only nodes that could be in domains of its own. */
static void mask_alone(const struct tug_core *c, const struct tug_within *w, const uint64_t *mask,
                       uint64_t *bits)
{
    for (size_t i = 0; w->alone && i < c->index.words; i++)
        bits[i] &= mask[i];
}

int tug_within_is_possible(struct tug_core *c, const struct tug_shape *s)
{
    const struct tug_tier *own = tug_fabric_tier(&c->fabric, s->key.within.alone);
    uint64_t *full = fitting(c, s, c->index.usable, 0, tug_shape_could_hold), *last = full;
    if (tug_shape_is_uneven(s))
        last = fitting(c, s, c->index.usable, 1, tug_shape_could_hold_last);
    if (s->key.within.alone && !own)
        return 0;
    if (own) {
        mask_alone(c, &s->key.within, own->nodes.nodes, full);
        mask_alone(c, &s->key.within, own->nodes.nodes, last);
    }
    return tug_within_choose(c, &s->key.within, s->key.nodes, tug_shape_is_uneven(s), full, last,
                             NULL);
}

static const uint64_t *candidates(const struct tug_core *c, const struct tug_shape *s,
                                  uint32_t gpus)
{
    return s->key.exclusive ? c->index.idle : c->index.free_ge[gpus];
}

/* ---- domains of its own */

const uint64_t *tug_within_empty(struct tug_core *c, const struct tug_within *w,
                                 const uint64_t *empty)
{
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, w->alone);
    tug_vec_reserve(&c->within.empty, c->index.words + 1);
    uint64_t *bits = c->within.empty.at;
    memset(bits, 0, c->index.words * sizeof *bits);
    for (size_t i = 0; t && i < t->n; i++) {
        const struct tug_region *r = &c->fabric.at[t->domains[i]].all;
        uint64_t others = 0;
        for (size_t w_ = r->from; w_ < r->to; w_++)
            others |= r->nodes[w_] & ~empty[w_];
        for (size_t w_ = r->from; w_ < r->to && !others; w_++)
            bits[w_] |= r->nodes[w_];
    }
    return bits;
}

/* So many others than 'e' have the node's domain for themselves. */
static uint32_t shut_by_others(const struct tug_core *c, uint32_t node, const struct tug_entry *e)
{
    uint32_t shut = c->nodes.at[node].shut;
    for (size_t i = 0; e && i < e->n_shuts; i++)
        shut -= (uint32_t) tug_bit(c->fabric.at[e->shuts[i]].all.nodes, node);
    return shut;
}

/* Nobody runs or is to run there but 'e' (NULL = nobody at all), and nobody else has it for itself. */
static int is_nobodys(const struct tug_core *c, uint32_t node, const struct tug_entry *e)
{
    const struct tug_node *n = &c->nodes.at[node];
    for (size_t i = 0; i < n->gangs.len; i++)
        if (n->gangs.at[i] != e && n->gangs.at[i]->j.suspended_ms < 0)
            return 0;
    for (size_t i = 0; i < n->holds.len; i++)
        if (n->holds.at[i] != e)
            return 0;
    return shut_by_others(c, node, e) == 0;
}

/* Nodes of the domains that are empty now. Most nodes that are not idle are in use: only of the others more is asked. */
static const uint64_t *empty_now(struct tug_core *c, const struct tug_within *w)
{
    uint64_t *bits = bits_of(c, 0);
    for (size_t i = 0; i < c->index.words; i++) {
        bits[i] = c->index.idle[i];
        for (uint64_t m = ~c->index.usable[i]; m; m &= m - 1) {
            uint32_t node = (uint32_t) (i * 64) + (uint32_t) __builtin_ctzll(m);
            if (node < c->nodes.len && is_nobodys(c, node, NULL))
                bits[i] |= m & -m;
        }
    }
    return tug_within_empty(c, w, bits);
}

/* Domains of that level that these nodes are in, each once; *n of them, the caller frees. */
static uint32_t *domains_of(const struct tug_core *c, const char *level, const struct tug_slice *at,
                            size_t n_at, size_t *n)
{
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, level);
    uint32_t *out = tug_xcalloc(n_at + 1, sizeof *out);
    *n = 0;
    for (size_t i = 0; t && i < n_at; i++) {
        uint32_t d = t->domain_of[at[i].node];
        size_t k = 0;
        while (k < *n && out[k] != d)
            k++;
        if (k == *n && d != TUG_NO_DOMAIN)
            out[(*n)++] = d;
    }
    return out;
}

static void shut_all(struct tug_core *c, const struct tug_entry *e, int by)
{
    for (size_t i = 0; i < e->n_shuts; i++) {
        const struct tug_region *r = &c->fabric.at[e->shuts[i]].all;
        for (size_t w = r->from; w < r->to; w++)
            for (uint64_t m = r->nodes[w]; m; m &= m - 1) {
                uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
                c->nodes.at[node].shut += (uint32_t) by;
                tug_node_refresh(c, node);
            }
    }
}

void tug_within_shut(struct tug_core *c, struct tug_entry *e, const struct tug_slice *at, size_t n)
{
    tug_assert(!e->n_shuts);
    if (!e->shape || !e->shape->key.within.alone)
        return;
    free(e->shuts);
    e->shuts = domains_of(c, e->shape->key.within.alone, at, n, &e->n_shuts);
    shut_all(c, e, 1);
}

void tug_within_open(struct tug_core *c, struct tug_entry *e)
{
    shut_all(c, e, -1);
    e->n_shuts = 0;
}

void tug_within_reshut(struct tug_core *c)
{
    for (size_t i = 0; i < c->running.len; i++) {
        struct tug_entry *e = c->running.at[i].entry;
        tug_within_shut(c, e, e->j.slices, e->j.n_slices);
    }
}

int tug_within_is_crowded(const struct tug_core *c, const struct tug_entry *e,
                          const struct tug_slice *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (shut_by_others(c, at[i].node, e))
            return 1;
    if (!e->shape || !e->shape->key.within.alone)
        return 0;
    size_t n_domains;
    uint32_t *domains = domains_of(c, e->shape->key.within.alone, at, n, &n_domains);
    int others = 0;
    for (size_t i = 0; i < n_domains; i++) {
        const struct tug_region *r = &c->fabric.at[domains[i]].all;
        for (size_t w = r->from; w < r->to; w++)
            for (uint64_t m = r->nodes[w]; m && !others; m &= m - 1)
                others = !is_nobodys(c, (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m), e);
    }
    free(domains);
    return others;
}

uint32_t tug_within_rest(const struct tug_core *c, const struct tug_within *w,
                         const uint32_t *nodes, size_t n, int with_own, uint32_t *out)
{
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, w->alone);
    uint32_t found = 0;
    uint8_t *is = tug_xcalloc(c->nodes.len + 1, 1); /* 1: of its domains, 2: its own */
    for (size_t i = 0; t && i < n; i++) {
        uint32_t d = t->domain_of[nodes[i]];
        const struct tug_region *r = d == TUG_NO_DOMAIN ? NULL : &c->fabric.at[d].all;
        for (size_t x = r ? r->from : 0; r && x < r->to; x++)
            for (uint64_t m = r->nodes[x]; m; m &= m - 1)
                is[x * 64 + (size_t) __builtin_ctzll(m)] |= 1;
        is[nodes[i]] |= with_own ? 0 : 2;
    }
    for (uint32_t i = 0; i < c->nodes.len; i++)
        if (is[i] == 1)
            out[found++] = i;
    free(is);
    return found;
}

/* As core.placement says, of the nodes of the region. */
static int place_in(struct tug_core *c, const struct tug_shape *s, const struct tug_region *r)
{
    struct tug_where open = *s->key.where;
    struct tug_shape there = *s;
    size_t words = c->index.words;
    tug_vec_reserve(&c->within.open, words + 1);
    open.nodes = c->within.open.at;
    memset(open.nodes, 0, words * sizeof *open.nodes);
    for (size_t w = r->from; w < r->to; w++)
        open.nodes[w] = s->key.where->nodes[w] & r->nodes[w];
    there.key.where = &open;
    there.key.within = (struct tug_within){.quality_milli = s->key.within.quality_milli};
    there.family = NULL;
    return tug_place_anywhere(c, &there);
}

/* Nodes of the region where a slice, or the last one, might fit, by what is free of GPUs. */
static size_t room(const struct tug_core *c, const struct tug_shape *s, const struct tug_region *r,
                   uint32_t gpus)
{
    const uint64_t *bits = candidates(c, s, gpus);
    size_t n = 0;
    for (size_t w = r->from; w < r->to; w++)
        n += (size_t) __builtin_popcountll(bits[w] & r->nodes[w] & s->key.where->nodes[w]);
    return n;
}

/* The tightest domain of the level that holds it. One that has the GPUs may lack CPUs or memory: then the next. */
static int find_in_one(struct tug_core *c, const struct tug_shape *s, const struct tug_tier *t)
{
    if (s->key.nodes == 1)
        return place_in(c, s, &t->nodes);
    size_t least = s->key.nodes, next;
    uint32_t alike = s->key.nodes - (uint32_t) tug_shape_is_uneven(s);
    for (; least != SIZE_MAX; least = next) { /* by room, from the least on */
        next = SIZE_MAX;
        for (size_t i = 0; i < t->n; i++) {
            const struct tug_region *r = &c->fabric.at[t->domains[i]].all;
            size_t has = room(c, s, r, s->key.gpus_last);
            if (has > least)
                next = has < next ? has : next;
            if (has == least && room(c, s, r, s->key.gpus) >= alike && place_in(c, s, r))
                return 1;
        }
    }
    return 0;
}

/* Domain by domain, and in each of them the first nodes that hold a slice. */
static int put_together(struct tug_core *c, const struct tug_shape *s)
{
    int uneven = tug_shape_is_uneven(s);
    const uint64_t *full = fitting(c, s, candidates(c, s, s->key.gpus), 0, tug_place_fits),
                   *last = full;
    if (uneven)
        last = fitting(c, s, candidates(c, s, s->key.gpus_last), 1, tug_place_fits_last);
    c->picked.len = 0;
    for (uint32_t i = 0; i < s->key.nodes; i++)
        tug_vec_push(&c->picked, 0);
    return tug_within_choose(c, &s->key.within, s->key.nodes, uneven, full, last, c->picked.at);
}

static int find_as_asked(struct tug_core *c, const struct tug_shape *s)
{
    const struct tug_within *w = &s->key.within;
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, w->level);
    if (!t)
        return tug_within_binds(w) ? 0 : tug_place_anywhere(c, s);
    if (w->spread && !tug_within_binds(w))
        return put_together(c, s) || tug_place_anywhere(c, s);
    if (w->domains == 1 || s->key.nodes == 1 || !tug_within_binds(w)) {
        if (find_in_one(c, s, t))
            return 1;
        return tug_within_binds(w) ? 0 : tug_place_anywhere(c, s);
    }
    return put_together(c, s);
}

int tug_within_find(struct tug_core *c, const struct tug_shape *s)
{
    if (!s->key.within.alone)
        return find_as_asked(c, s);
    const uint64_t *empty = empty_now(c, &s->key.within);
    struct tug_where open = *s->key.where;
    struct tug_shape there = *s;
    open.nodes = tug_xcalloc(c->index.words + 1, sizeof *open.nodes);
    for (size_t w = 0; w < c->index.words; w++)
        open.nodes[w] = s->key.where->nodes[w] & empty[w];
    there.key.where = &open;
    there.key.within.alone = NULL;
    there.family = NULL;
    int found = tug_within_asks(&there.key.within) ? find_as_asked(c, &there)
                                                   : tug_place_anywhere(c, &there);
    free(open.nodes);
    return found;
}

/* ---- is it good enough? What nothing is known of is. */

int tug_within_suffices(struct tug_core *c, struct tug_shape *s, const struct tug_policy_slice *at,
                        size_t n)
{
    struct tug_quality q;
    if (!s->key.within.quality_milli)
        return 1;
    tug_quality_of(c, s, at, n, &q);
    s->poor_milli = q.milli;
    return !q.milli || q.milli >= s->key.within.quality_milli;
}

int tug_within_is_good(struct tug_core *c, struct tug_shape *s, const struct tug_policy_slice *at,
                       size_t n)
{
    int good = tug_within_suffices(c, s, at, n);
    if (!good)
        s->failed_at = s->poor_at = c->freed;
    return good;
}

int tug_within_explain_quality(const struct tug_core *c, const struct tug_entry *e, char *buf,
                               size_t size_bytes)
{
    const struct tug_shape *s = e->shape;
    int64_t until_ms = quality_relaxes_ms(e), left_s = (until_ms - c->now_ms + 999) / 1000;
    char wait[TUG_DURATION_TEXT_MAX];
    if (!s || !s->key.within.quality_milli || !s->poor_at || s->poor_at < s->failed_at)
        return 0;
    int n = snprintf(buf, size_bytes,
                     "the best placement that was to be had had a quality of %u.%02u, and it asked "
                     "for %u.%02u; ",
                     s->poor_milli / 1000, s->poor_milli % 1000 / 10,
                     s->key.within.quality_milli / 1000, s->key.within.quality_milli % 1000 / 10);
    if (n < 0 || (size_t) n >= size_bytes)
        return 1;
    if (until_ms == INT64_MAX)
        snprintf(buf + n, size_bytes - (size_t) n, "it waits until that is there");
    else
        snprintf(buf + n, size_bytes - (size_t) n, "it waits for %s more, then takes any",
                 tug_duration_format(left_s > 0 ? left_s : 0, wait, sizeof wait));
    return 1;
}

/* ---- is it so? */

static size_t count_domains(const struct tug_tier *t, const uint32_t *nodes, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < i && t->domain_of[nodes[k]] != t->domain_of[nodes[i]])
            k++;
        found += k == i;
    }
    return found;
}

const char *tug_within_wrong(const struct tug_core *c, const struct tug_within *w,
                             const uint32_t *nodes, size_t n)
{
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, w->level);
    const struct tug_tier *own = tug_fabric_tier(&c->fabric, w->alone);
    for (size_t i = 0; w->alone && i < n; i++)
        if (!own || own->domain_of[nodes[i]] == TUG_NO_DOMAIN)
            return "a node is in no domain of the level that it wants for itself";
    if (!w->domains && !w->segment)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (!t || t->domain_of[nodes[i]] == TUG_NO_DOMAIN)
            return "a node is in no domain of the level that it asked for";
    if (w->domains && count_domains(t, nodes, n) > w->domains)
        return "it is in more domains of a level than it asked for";
    for (size_t i = 0; w->segment && i < n; i++)
        if (t->domain_of[nodes[i]] != t->domain_of[nodes[i / w->segment * w->segment]])
            return "a segment is not in one domain";
    return NULL;
}

static int check_gang(const struct tug_core *c, const struct tug_entry *e, struct tug_err *err)
{
    uint32_t *nodes = tug_xcalloc(e->j.n_slices + 1, sizeof *nodes);
    for (size_t k = 0; k < e->j.n_slices; k++)
        nodes[k] = e->j.slices[k].node;
    const char *wrong = tug_within_wrong(c, &e->placed_within, nodes, e->j.n_slices);
    free(nodes);
    return wrong ? tug_fail(err, -EINVAL, "job %llu: %s", (unsigned long long) e->j.id, wrong) : 0;
}

/* Somebody else runs in its domains who was there in this fabric already; those who waited with a hold may come. */
static int check_alone(const struct tug_core *c, const struct tug_entry *e, struct tug_err *err)
{
    for (size_t i = 0; i < e->n_shuts; i++) {
        const struct tug_region *r = &c->fabric.at[e->shuts[i]].all;
        for (uint32_t node = 0; node < c->nodes.len; node++)
            for (size_t k = 0; tug_bit(r->nodes, node) && k < c->nodes.at[node].gangs.len; k++) {
                const struct tug_entry *g = c->nodes.at[node].gangs.at[k];
                if (g != e && g->running_at && g->placed_in == c->fabrics)
                    return tug_fail(err, -EINVAL,
                                    "job %llu has domain '%s' for itself, and job %llu is there",
                                    (unsigned long long) e->j.id, c->fabric.at[e->shuts[i]].name,
                                    (unsigned long long) g->j.id);
            }
    }
    return 0;
}

static int check_shut(const struct tug_core *c, struct tug_err *err)
{
    uint32_t *shut = tug_xcalloc(c->nodes.len + 1, sizeof *shut), holds = 0;
    int rc = 0;
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e && !rc;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        holds += e->hold && e->hold->was_crowded;
        if (e->n_shuts && !e->running_at && !e->hold)
            rc = tug_fail(err, -EINVAL, "job %llu does not run and has a domain for itself",
                          (unsigned long long) e->j.id);
        for (size_t i = 0; i < e->n_shuts; i++)
            for (uint32_t node = 0; node < c->nodes.len; node++)
                shut[node] += (uint32_t) tug_bit(c->fabric.at[e->shuts[i]].all.nodes, node);
    }
    for (uint32_t node = 0; node < c->nodes.len && !rc; node++)
        if (shut[node] != c->nodes.at[node].shut)
            rc = tug_fail(err, -EINVAL, "node %s: %u have its domain for themselves, not %u",
                          c->nodes.at[node].name, shut[node], c->nodes.at[node].shut);
    free(shut);
    return !rc && holds != c->within.holds
               ? tug_fail(err, -EINVAL, "holds that wait for domains are counted wrongly")
               : rc;
}

int tug_within_check(const struct tug_core *c, struct tug_err *err)
{
    int rc = check_shut(c, err);
    for (size_t i = 0; i < c->running.len && !rc; i++) {
        const struct tug_entry *e = c->running.at[i].entry;
        if (e->placed_in != c->fabrics)
            continue;
        rc = check_gang(c, e, err);
        if (!rc)
            rc = check_alone(c, e, err);
    }
    return rc;
}

/* ---- admission */

static void say_levels(const struct tug_fabric *f, struct tug_buf *all)
{
    for (size_t i = 0; i < f->n_tiers; i++)
        tug_buf_addf(all, "%s'%s'", i ? ", " : "", f->tiers[i].name);
}

static int unknown_level(const struct tug_fabric *f, const char *level, struct tug_err *err)
{
    if (!f->n_tiers)
        return tug_fail(err, -ENOENT,
                        "no fabric is configured here, so there is no level '%s'; leave it out",
                        level);
    const char **names = tug_xcalloc(f->n_tiers, sizeof *names);
    for (size_t i = 0; i < f->n_tiers; i++)
        names[i] = f->tiers[i].name;
    const char *near = tug_str_nearest(level, names, f->n_tiers);
    struct tug_buf all = {0};
    say_levels(f, &all);
    int rc = tug_fail(err, -ENOENT, "the fabric has no level '%s'%s%s%s there are: %s", level,
                      near ? "; did you mean '" : ";", near ? near : "", near ? "'?" : "",
                      tug_buf_str(&all));
    tug_buf_clear(&all);
    free(names);
    return rc;
}

/* Without a fabric sbatch's --switches means nothing, to Slurm neither. */
static void say_lowest_level(const struct tug_fabric *f, struct tug_job_req *r)
{
    if (*r->topology || !(r->topology_required || r->segment || r->spread))
        return;
    if (f->n_tiers)
        r->topology = f->tiers[0].name;
    else
        r->topology_required = r->spread = 0;
}

int tug_within_admit(const struct tug_core *c, struct tug_job_req *r, struct tug_err *err)
{
    const struct tug_fabric *f = &c->fabric;
    say_lowest_level(f, r);
    if (*r->topology && !tug_fabric_tier(f, r->topology))
        return unknown_level(f, r->topology, err);
    if (*r->exclusive_level && !tug_fabric_tier(f, r->exclusive_level))
        return unknown_level(f, r->exclusive_level, err);
    if (r->spread && (r->topology_required || r->segment))
        return tug_fail(err, -EINVAL,
                        "--spread wants many domains and %s wants few; say one of them",
                        r->segment                ? "--segment"
                        : r->topology_domains > 0 ? "--switches"
                                                  : "--topology with a !");
    if (!r->topology_required)
        r->topology_domains = r->topology_wait_s = 0;
    if (r->quality_milli > 1000)
        return tug_fail(err, -EINVAL,
                        "a quality of %u thousandths is more than the best that there is; ask for "
                        "1000 or less",
                        r->quality_milli);
    if (r->segment && !*r->topology)
        return tug_fail(err, -EINVAL,
                        "segments stay together in domains of the fabric, and no fabric is "
                        "configured here; leave --segment out");
    if (r->segment && r->nodes % r->segment)
        return tug_fail(err, -EINVAL,
                        "%u nodes do not make whole segments of %u; ask for %u nodes%s, or for "
                        "another --segment",
                        r->nodes, r->segment, (r->nodes / r->segment + 1) * r->segment,
                        r->nodes > r->segment ? " or for fewer" : "");
    if (r->segment && r->topology_domains > 1)
        return tug_fail(err, -EINVAL,
                        "segments of %u nodes and at most %u domains (--switches) contradict each "
                        "other; say one of them",
                        r->segment, r->topology_domains);
    return 0;
}

/* The domain of the level on which most slices fit. */
static size_t largest(const struct tug_core *c, const struct tug_tier *t, const uint64_t *full,
                      const char **name)
{
    size_t most = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct tug_domain *d = &c->fabric.at[t->domains[i]];
        size_t n = count_in(full, &d->all);
        if (i && n <= most)
            continue;
        most = n;
        *name = d->name;
    }
    return most;
}

/* The lowest level with a domain for all of it. */
static const char *level_that_holds(const struct tug_core *c, const struct tug_job_req *r,
                                    const uint64_t *full, const uint64_t *last)
{
    for (size_t i = 0; i < c->fabric.n_tiers; i++) {
        struct tug_within w = {.level = c->fabric.tiers[i].name, .domains = 1};
        if (tug_within_choose(c, &w, r->nodes, r->gpus_last != 0, full, last, NULL))
            return w.level;
    }
    return NULL;
}

static int holds_not(const struct tug_core *c, const struct tug_job_req *r, const uint64_t *full,
                     const uint64_t *last, struct tug_err *err)
{
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, r->topology);
    const char *name = "", *other = level_that_holds(c, r, full, last);
    size_t most = largest(c, t, full, &name);
    char domains[64], gpus[48] = "", out[96];
    snprintf(domains, sizeof domains, r->topology_domains > 1 ? "%u domains" : "one domain",
             r->topology_domains);
    if (r->gpus_per_node)
        snprintf(gpus, sizeof gpus, " with %u GPU%s", r->gpus_per_node,
                 r->gpus_per_node == 1 ? "" : "s");
    if (other)
        snprintf(out, sizeof out, "--topology=%s!", other);
    else
        snprintf(out, sizeof out, "--topology=%s (without the !)", r->topology);
    if (!most)
        return tug_fail(err, -EINVAL,
                        "no %s has a node%s that the job may use; use %s or leave it out",
                        t->name, gpus, other ? out : "another level");
    return tug_fail(err, -EINVAL,
                    "%u nodes%s are to be in %s of level '%s', and no such holds them: the largest "
                    "%s, %s, has %zu node%s%s; ask for --nodes %zu or less, or %s",
                    r->nodes, gpus, domains, t->name, t->name, name, most, most == 1 ? "" : "s",
                    gpus, r->topology_domains > 1 ? most * r->topology_domains : most, out);
}

static int segments_fit_not(const struct tug_core *c, const struct tug_job_req *r,
                            const uint64_t *full, struct tug_err *err)
{
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, r->topology);
    const char *name = "";
    size_t most = largest(c, t, full, &name), n = 0;
    for (size_t i = 0; i < t->n; i++)
        n += count_in(full, &c->fabric.at[t->domains[i]].all) / r->segment;
    if (most < r->segment)
        return tug_fail(err, -EINVAL,
                        "segments of %u nodes are to be in one %s each, and no %s holds one: the "
                        "largest, %s, has %zu nodes that would do; ask for --segment=%zu or less",
                        r->segment, t->name, t->name, name, most, most);
    return tug_fail(err, -EINVAL,
                    "%u segments of %u nodes are to be in one %s each, and there is room for %zu; "
                    "ask for --nodes %zu or less, or for smaller segments",
                    r->nodes / r->segment, r->segment, t->name, n, n * r->segment);
}

static size_t largest_alone(const struct tug_core *c, const struct tug_within *w,
                            const uint64_t *full)
{
    return count_in(full, &tug_fabric_tier(&c->fabric, w->alone)->nodes);
}

int tug_within_admit_size(const struct tug_core *c, const struct tug_job_req *r,
                          const uint64_t *full, const uint64_t *last, struct tug_err *err)
{
    struct tug_within w = {.level = *r->topology ? r->topology : NULL,
                           .alone = *r->exclusive_level ? r->exclusive_level : NULL,
                           .segment = r->segment};
    if (r->topology_required)
        w.domains = r->topology_domains ? r->topology_domains : 1;
    if (!tug_within_binds(&w) ||
        tug_within_choose(c, &w, r->nodes, r->gpus_last != 0, full, last, NULL))
        return 0;
    if (!w.domains && !w.segment)
        return tug_fail(err, -EINVAL,
                        "a gang of %u nodes that has its domains of level '%s' for itself does not "
                        "fit: %zu nodes that would do are in one",
                        r->nodes, w.alone, largest_alone(c, &w, full));
    return w.domains ? holds_not(c, r, full, last, err) : segments_fit_not(c, r, full, err);
}

/* ---- why it waits */

int tug_within_explain(const struct tug_core *c, const struct tug_entry *e, char *buf,
                       size_t size_bytes)
{
    const struct tug_shape *s = e->shape;
    const struct tug_within *asked = s ? &s->key.within : NULL;
    const char *level = asked && (asked->domains || asked->segment) ? asked->level
                        : asked                                     ? asked->alone
                                                                    : NULL;
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, level);
    size_t most = 0, all = 0, words = c->index.words;
    const char *name = "";
    if (!t || !tug_within_binds(&s->key.within))
        return 0;
    uint64_t *full = tug_xcalloc(words + 1, sizeof *full);
    const uint64_t *bits = candidates(c, s, s->key.gpus);
    for (size_t w = 0; w < words; w++)
        for (uint64_t m = bits[w] & s->key.where->nodes[w]; m; m &= m - 1)
            if (tug_place_fits(c, s, (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m))) {
                full[w] |= m & -m;
                all++;
            }
    most = largest(c, t, full, &name);
    free(full);
    if (all < s->key.nodes)
        return 0;
    int n = 0;
    if (asked->alone && !asked->domains && !asked->segment) {
        snprintf(buf, size_bytes,
                 "needs %u nodes in domains of level '%s' where no other job is; %zu are free that "
                 "would do, but others are in the same domains",
                 s->key.nodes, t->name, all);
        return 1;
    }
    if (s->key.within.domains == 1)
        n = snprintf(buf, size_bytes, "needs %u nodes in one %s; ", s->key.nodes, t->name);
    else if (s->key.within.domains)
        n = snprintf(buf, size_bytes, "needs %u nodes in %u domains of level '%s' at most; ",
                     s->key.nodes, s->key.within.domains, t->name);
    else
        n = snprintf(buf, size_bytes, "needs %u nodes in segments of %u, each in one %s; ",
                     s->key.nodes, s->key.within.segment, t->name);
    if (n < 0 || (size_t) n >= size_bytes)
        return 1;
    snprintf(buf + n, size_bytes - (size_t) n,
             "%zu are free that would do, at most %zu of them in one (%s)%s", all, most, name,
             asked->alone ? ", and it wants to be alone there" : "");
    return 1;
}
