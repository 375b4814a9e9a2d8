/* vacancy.c - what would be free if those who were chosen to give way were gone
 *
 * Layer: core.
 */
#include <stdlib.h>

#include "core/victims.h"

struct tug_vacancy tug_vacancy_room(const struct tug_victims *v, uint32_t node)
{
    const struct tug_ledger_node *l = tug_ledger_node(v->c->ledger, node);
    struct tug_vacancy r = {.gpus = tug_ledger_devices_free(l),
                     .cpus = tug_ledger_cpus_free(l),
                     .mem_bytes = tug_ledger_mem_free(l),
                     .others = l->gangs + (uint32_t) v->c->nodes.at[node].holds.len};
    tug_hold_owed(v->c, node, &r.gpus_owed, &r.cpus_owed, &r.mem_owed_bytes);
    return r;
}

void tug_vacancy_add(const struct tug_victims *v, struct tug_vacancy *r, const struct tug_cand_part *p)
{
    const struct tug_cand *k = &v->cands.at[p->cand];
    if (p->slice == TUG_NO_SLICE)
        return; /* it only lets others in */
    const struct tug_slice *s = &k->e->j.slices[p->slice];
    const struct tug_ledger_node *l = tug_ledger_node(v->c->ledger, s->node);
    if (!s->gpu_milli) /* a GPU in parts is whole again only once all of them are gone */
        r->gpus |= s->gpus & (l->gpus | l->slices);
    r->cpus += s->cpus;
    r->mem_bytes += k->keeps_memory ? 0 : s->mem_bytes;
    r->others--;
}

struct tug_vacancy tug_vacancy_at(const struct tug_victims *v, uint32_t node)
{
    struct tug_vacancy r = v->room[node];
    for (uint32_t i = v->first[node]; i < v->first[node + 1]; i++)
        if (v->cands.at[v->parts[i].cand].chosen)
            tug_vacancy_add(v, &r, &v->parts[i]);
    return r;
}

int tug_vacancy_shuts(const struct tug_victims *v, uint32_t cand, uint32_t node)
{
    const struct tug_entry *e = v->cands.at[cand].e;
    for (size_t i = 0; i < e->n_shuts; i++)
        if (tug_bit(v->c->fabric.at[e->shuts[i]].all.nodes, node))
            return 1;
    return 0;
}

uint32_t tug_vacancy_shut_by(const struct tug_victims *v, uint32_t node)
{
    uint32_t shut = v->c->nodes.at[node].shut;
    for (uint32_t i = 0; shut && i < v->cands.len; i++)
        shut -= (uint32_t) (v->cands.at[i].chosen && tug_vacancy_shuts(v, i, node));
    return shut;
}

int tug_vacancy_may_use(const struct tug_victims *v, uint32_t node)
{
    if (!tug_bit(v->c->index.usable, node) || (v->in && !tug_bit(v->in->nodes, node)) ||
        (v->without && tug_bit(v->without, node)))
        return 0;
    return v->e->j.state == TUG_JOB_SUSPENDED ? v->fixed[node] != 0
                                              : tug_bit(v->e->shape->key.where->nodes, node);
}

int tug_vacancy_is_enough(const struct tug_victims *v, uint32_t node, const struct tug_vacancy *r, int last)
{
    uint32_t n_gpus = last ? v->e->shape->key.gpus_last : v->e->shape->key.gpus;
    uint32_t n_cpus = last ? v->e->shape->key.cpus_last : v->e->shape->key.cpus;
    const struct tug_shape_key *key = &v->e->shape->key;
    tug_gpuset gpus = r->gpus & ~r->gpus_owed;
    if (key->exclusive && r->others)
        return 0;
    if (v->e->j.state == TUG_JOB_SUSPENDED) {
        const struct tug_slice *s = &v->e->j.slices[v->fixed[node] - 1];
        return !(s->gpus & ~gpus) && s->cpus + r->cpus_owed <= r->cpus;
    }
    return tug_gpuset_count(gpus & tug_cut_devices(v->c, node, key->cut)) >= n_gpus && r->cpus >= n_cpus + r->cpus_owed &&
           r->mem_bytes >= key->mem_bytes + r->mem_owed_bytes;
}

uint8_t tug_vacancy_fits(const struct tug_victims *v, uint32_t node)
{
    struct tug_vacancy r = tug_vacancy_at(v, node);
    if (!tug_vacancy_may_use(v, node) || tug_vacancy_shut_by(v, node) || !tug_vacancy_is_enough(v, node, &r, 1))
        return TUG_FITS_NOT;
    return tug_vacancy_is_enough(v, node, &r, 0) ? TUG_FITS_ANY : TUG_FITS_LAST;
}

static void set_bit(uint64_t *bits, uint32_t i, int on)
{
    bits[i / 64] = on ? bits[i / 64] | 1ULL << (i % 64) : bits[i / 64] & ~(1ULL << (i % 64));
}

void tug_vacancy_set(struct tug_victims *v, uint32_t node, uint8_t fits)
{
    v->n_any += (fits != TUG_FITS_NOT) - (v->fits[node] != TUG_FITS_NOT);
    v->n_full += (fits == TUG_FITS_ANY) - (v->fits[node] == TUG_FITS_ANY);
    v->fits[node] = fits;
    set_bit(v->any, node, fits != TUG_FITS_NOT);
    set_bit(v->full, node, fits == TUG_FITS_ANY);
}

void tug_vacancy_refit(struct tug_victims *v, const struct tug_cand *k)
{
    for (size_t i = 0; i < k->e->j.n_slices; i++)
        tug_vacancy_set(v, k->e->j.slices[i].node, tug_vacancy_fits(v, k->e->j.slices[i].node));
    for (size_t i = 0; i < k->e->n_shuts; i++) { /* what it leaves opens its domains */
        const struct tug_region *r = &v->c->fabric.at[k->e->shuts[i]].all;
        for (size_t w = r->from; w < r->to; w++)
            for (uint64_t m = r->nodes[w]; m; m &= m - 1) {
                uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
                tug_vacancy_set(v, node, tug_vacancy_fits(v, node));
            }
    }
}

int tug_vacancy_has_all_but_last(const struct tug_victims *v)
{
    return v->n_full + 1 >= v->e->j.req.nodes;
}

/* Nobody else would be on the nodes of that domain. */
static int is_own(const struct tug_victims *v, const struct tug_region *r)
{
    for (size_t w = r->from; w < r->to; w++)
        for (uint64_t m = r->nodes[w]; m; m &= m - 1) {
            uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
            if (tug_vacancy_shut_by(v, node) || tug_vacancy_at(v, node).others)
                return 0;
        }
    return 1;
}

/* For a gang that is to have its domains for itself: of what fits only what is in such. 1, or 0 as tug_vacancy_is_as_asked(). */
static int fits_alone(const struct tug_victims *v, uint32_t *out)
{
    const struct tug_core *c = v->c;
    const struct tug_shape *s = v->e->shape;
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, s->key.within.alone);
    uint64_t *full = tug_xcalloc(c->index.words + 1, sizeof *full);
    uint64_t *any = tug_xcalloc(c->index.words + 1, sizeof *any);
    for (size_t i = 0; t && i < t->n; i++) {
        const struct tug_region *r = &c->fabric.at[t->domains[i]].all;
        int own = is_own(v, r);
        for (size_t w = r->from; w < r->to && own; w++) {
            full[w] |= v->full[w] & r->nodes[w];
            any[w] |= v->any[w] & r->nodes[w];
        }
    }
    int fits = tug_split_choose(c, &s->key.within, s->key.nodes, tug_shape_is_uneven(s), full, any,
                                 out);
    free(full);
    free(any);
    return fits;
}

/* One that is stopped is where it is. */
static int goes_on_alone(const struct tug_victims *v)
{
    const struct tug_core *c = v->c;
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, v->e->shape->key.within.alone);
    for (size_t i = 0; t && i < v->e->j.n_slices; i++) {
        uint32_t d = t->domain_of[v->e->j.slices[i].node];
        if (d != TUG_NO_DOMAIN && !is_own(v, &c->fabric.at[d].all))
            return 0;
    }
    return 1;
}

int tug_vacancy_is_as_asked(const struct tug_victims *v, uint32_t *out)
{
    const struct tug_shape *s = v->e->shape;
    if (s->key.within.alone && v->e->j.state == TUG_JOB_SUSPENDED)
        return goes_on_alone(v);
    if (s->key.within.alone)
        return fits_alone(v, out);
    return v->e->j.state == TUG_JOB_SUSPENDED || v->in || !tug_within_binds(&s->key.within) ||
           tug_split_choose(v->c, &s->key.within, s->key.nodes, tug_shape_is_uneven(s), v->full,
                             v->any, out);
}

int tug_vacancy_has_all(const struct tug_victims *v)
{
    return tug_vacancy_has_all_but_last(v) && v->n_any >= v->e->j.req.nodes && tug_vacancy_is_as_asked(v, NULL);
}
