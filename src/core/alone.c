/* alone.c - domains that a gang has for itself
 *
 * Who has domains for itself shuts them: to the index, to policies and to every search nothing is free on their nodes, as long
 * as it runs or others give way to it. Layer: core.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

const uint64_t *tug_alone_empty(struct tug_core *c, const struct tug_within *w,
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

/* Most nodes that are not idle are in use: only of the others more is asked. */
const uint64_t *tug_alone_empty_now(struct tug_core *c, const struct tug_within *w)
{
    tug_vec_reserve(&c->within.full, c->index.words + 1);
    uint64_t *bits = c->within.full.at;
    for (size_t i = 0; i < c->index.words; i++) {
        bits[i] = c->index.idle[i];
        for (uint64_t m = ~c->index.usable[i]; m; m &= m - 1) {
            uint32_t node = (uint32_t) (i * 64) + (uint32_t) __builtin_ctzll(m);
            if (node < c->nodes.len && is_nobodys(c, node, NULL))
                bits[i] |= m & -m;
        }
    }
    return tug_alone_empty(c, w, bits);
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

void tug_alone_shut(struct tug_core *c, struct tug_entry *e, const struct tug_slice *at, size_t n)
{
    tug_assert(!e->n_shuts);
    if (!e->shape || !e->shape->key.within.alone)
        return;
    free(e->shuts);
    e->shuts = domains_of(c, e->shape->key.within.alone, at, n, &e->n_shuts);
    shut_all(c, e, 1);
}

void tug_alone_open(struct tug_core *c, struct tug_entry *e)
{
    shut_all(c, e, -1);
    e->n_shuts = 0;
}

void tug_alone_reshut(struct tug_core *c)
{
    for (size_t i = 0; i < c->running.len; i++) {
        struct tug_entry *e = c->running.at[i].entry;
        tug_alone_shut(c, e, e->j.slices, e->j.n_slices);
    }
}

int tug_alone_is_crowded(const struct tug_core *c, const struct tug_entry *e,
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

uint32_t tug_alone_rest(const struct tug_core *c, const struct tug_within *w,
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

/* ---- is it so? */

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

int tug_alone_check(const struct tug_core *c, struct tug_err *err)
{
    int rc = check_shut(c, err);
    for (size_t i = 0; i < c->running.len && !rc; i++)
        if (c->running.at[i].entry->placed_in == c->fabrics)
            rc = check_alone(c, c->running.at[i].entry, err);
    return rc;
}
