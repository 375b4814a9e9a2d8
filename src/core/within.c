/* within.c - what a gang asks of the fabric: to be within so many domains, in segments
 *
 * What is asked for is a part of the shape, so that a gang that finds no domain says nothing about
 * those that need none. Two questions are answered here. Where does it go now: core.placement
 * chooses as ever, but of the nodes of one domain; only a gang that spans domains by rule is put
 * together here. And would it fit on these nodes, given as bits: that is asked for what is free at
 * some time to come, for what victims would leave, and for empty nodes; the answer is exact (split.c).
 *
 * A floor under the quality is asked of what has been chosen, by the fabric whatever the placement is
 * otherwise. Nobody knows when better comes, so a gang that waits for it has a reservation only from when it takes any.
 *
 * Running gangs keep their place when the fabric changes around them: what they asked for was true
 * of the fabric in which they were placed. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "core/state.h"

static int64_t level_relaxes_ms(const struct tug_entry *e)
{
    uint32_t wait_s = e->j.req.topology_wait_s;
    return wait_s ? e->j.wants_since_ms + wait_s * 1000LL : INT64_MAX;
}

int64_t tug_within_takes_any_ms(const struct tug_entry *e)
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
    if (r->quality_milli && tug_within_takes_any_ms(e) > c->now_ms)
        w.quality_milli = r->quality_milli;
    return w;
}

/* Of what counts now the first that will not. */
int64_t tug_within_relaxes_ms(const struct tug_entry *e)
{
    if (e->j.state != TUG_JOB_PENDING || !e->shape || e->j.onhold.by) /* while it is held no time passes */
        return INT64_MAX;
    const struct tug_within *w = &e->shape->key.within;
    int64_t level_ms = w->domains ? level_relaxes_ms(e) : INT64_MAX,
            quality_ms = w->quality_milli ? tug_within_takes_any_ms(e) : INT64_MAX;
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
    return tug_split_choose(c, &s->key.within, s->key.nodes, tug_shape_is_uneven(s), full, last,
                             NULL);
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
    const uint64_t *bits = tug_place_candidates(c, s, gpus);
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
    const uint64_t *full = fitting(c, s, tug_place_candidates(c, s, s->key.gpus), 0, tug_place_fits),
                   *last = full;
    if (uneven)
        last = fitting(c, s, tug_place_candidates(c, s, s->key.gpus_last), 1, tug_place_fits_last);
    c->picked.len = 0;
    for (uint32_t i = 0; i < s->key.nodes; i++)
        tug_vec_push(&c->picked, 0);
    return tug_split_choose(c, &s->key.within, s->key.nodes, uneven, full, last, c->picked.at);
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
    const uint64_t *empty = tug_alone_empty_now(c, &s->key.within);
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
    int64_t until_ms = tug_within_takes_any_ms(e), left_s = (until_ms - c->now_ms + 999) / 1000;
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

int tug_within_check(const struct tug_core *c, struct tug_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < c->running.len && !rc; i++)
        if (c->running.at[i].entry->placed_in == c->fabrics)
            rc = check_gang(c, c->running.at[i].entry, err);
    return rc;
}
