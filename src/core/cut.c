/* cut.c - GPUs that are cut into slices (MIG)
 *
 * To the core a slice is one more device of its node, numbered behind the node's GPUs, so that a set of devices, be it
 * GPUs or slices, is a tug_gpuset in the ledger, in holds and in records. Devices are of kinds: 0 = GPUs, and one for each
 * profile that anybody spoke of. A request is of one kind; what is free of the others is nothing to it. A GPU that is cut
 * is no device that can be had.
 *
 * Always: kinds stay what they are, and a slice is of one of them; slices of a node are those of GPUs that are cut, which
 * are not among its GPUs; the index says of each kind what is free. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

/* ---- kinds */

uint32_t tug_cut_find(const struct tug_core *c, const char *profile)
{
    for (uint32_t i = 0; i < c->cuts.len; i++)
        if (!strcmp(c->cuts.at[i].profile, profile))
            return i + 1;
    return *profile ? UINT32_MAX : 0;
}

uint32_t tug_cut_kind(struct tug_core *c, const char *profile, uint32_t micro)
{
    uint32_t kind = tug_cut_find(c, profile);
    if (kind != UINT32_MAX)
        return kind;
    struct tug_cut cut = {tug_intern(c->texts, profile), micro ? micro : tug_mig_micro(profile, TUG_MIG_OF)};
    struct tug_cut_index bits;
    for (size_t g = 0; g <= TUG_GPUS_MAX; g++)
        bits.free_ge[g] = tug_xcalloc(c->index.words + 1, sizeof(uint64_t));
    if (c->index.words) /* none of them is where there are none */
        memcpy(bits.free_ge[0], c->index.free_ge[0], c->index.words * sizeof(uint64_t));
    tug_vec_push(&c->cuts, cut);
    tug_vec_push(&c->index.cuts, bits);
    return (uint32_t) c->cuts.len;
}

void tug_cuts_clear(struct tug_core *c)
{
    for (size_t i = 0; i < c->cuts.len; i++)
        tug_intern_drop(c->texts, c->cuts.at[i].profile);
    tug_vec_clear(&c->cuts);
}

/* ---- what a node has */

/* The node's row of that kind; NULL: there is none, and no room for one. */
static tug_gpuset *slices_of(struct tug_cut_node *n, uint32_t kind)
{
    uint32_t i = 0;
    while (i < n->n && n->at[i].kind != kind)
        i++;
    if (i == TUG_CORE_CUTS_MAX)
        return NULL;
    if (i == n->n)
        n->at[n->n++].kind = kind;
    return &n->at[i].slices;
}

tug_gpuset tug_core_devices_had(const struct tug_core *c, uint32_t node)
{
    const struct tug_node *n = &c->nodes.at[node];
    tug_gpuset had = 0;
    for (size_t i = 0; i < n->gangs.len; i++)
        for (size_t k = 0; k < n->gangs.at[i]->j.n_slices; k++)
            had |= n->gangs.at[i]->j.slices[k].node == node ? n->gangs.at[i]->j.slices[k].gpus : 0;
    for (size_t i = 0; i < n->remnants.len; i++)
        had |= n->remnants.at[i].slice.gpus;
    return had;
}

/* Somebody has what was a slice of another kind under that number. */
static int is_had_as_another(const struct tug_cut_node *n, tug_gpuset had, tug_gpuset one, uint32_t kind)
{
    if (!(had & one))
        return 0;
    for (uint32_t i = 0; n && i < n->n; i++)
        if (n->at[i].slices & one)
            return n->at[i].kind != kind;
    return 1; /* it has gone meanwhile */
}

int tug_cut_take(struct tug_core *c, uint32_t node, const struct tug_core_mig *mig, size_t n)
{
    struct tug_node *of = &c->nodes.at[node];
    struct tug_cut_node *now = n ? tug_new(struct tug_cut_node) : NULL, *was = of->cut;
    tug_gpuset seen = 0, had = n ? tug_core_devices_had(c, node) : 0;
    for (size_t i = 0; i < n; i++) {
        tug_gpuset one = mig[i].device < TUG_GPUS_MAX ? 1ULL << mig[i].device : 0;
        if (mig[i].gpu >= of->inv.gpus || mig[i].gpu >= TUG_GPUS_MAX)
            continue;
        now->gpus |= 1ULL << mig[i].gpu;
        if (mig[i].device < of->inv.gpus || !one || seen & one || !tug_mig_is_profile(mig[i].profile, strlen(mig[i].profile)))
            continue;
        uint32_t kind = tug_cut_kind(c, mig[i].profile, mig[i].micro);
        tug_gpuset *slices = is_had_as_another(was, had, one, kind) ? NULL : slices_of(now, kind);
        if (!slices)
            continue;
        *slices |= one;
        now->gpu_of[mig[i].device] = mig[i].gpu;
        seen |= one;
    }
    of->cut = now;
    int differs = !now != !was || (now && memcmp(now, was, sizeof *now) != 0);
    tug_ledger_set_slices(c->ledger, node, 0, 0, NULL); /* it has the old one's gpu_of */
    free(was);
    return differs;
}

tug_gpuset tug_cut_slices(const struct tug_core *c, uint32_t node, uint32_t kind)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    const struct tug_cut_node *n = c->nodes.at[node].cut;
    for (uint32_t i = 0; n && i < n->n; i++)
        if (n->at[i].kind == kind)
            return n->at[i].slices & l->all_slices;
    return 0;
}

void tug_cut_count(const struct tug_core *c, uint32_t node, tug_gpuset set, int8_t out[TUG_CORE_CUTS_MAX])
{
    const struct tug_cut_node *n = c->nodes.at[node].cut;
    memset(out, 0, TUG_CORE_CUTS_MAX);
    for (uint32_t i = 0; n && i < n->n; i++)
        out[i] = (int8_t) tug_gpuset_count(set & n->at[i].slices);
}

static void set_bit(uint64_t *bits, uint32_t i, int on)
{
    bits[i / 64] = on ? bits[i / 64] | 1ULL << (i % 64) : bits[i / 64] & ~(1ULL << (i % 64));
}

void tug_cut_index(struct tug_core *c, uint32_t node, int usable, int cpu_free)
{
    for (uint32_t k = 1; k <= c->cuts.len; k++) {
        unsigned n = tug_gpuset_count(tug_cut_free(c, node, k));
        for (unsigned g = 0; g <= TUG_GPUS_MAX; g++)
            set_bit(c->index.cuts.at[k - 1].free_ge[g], node, usable && cpu_free && g <= n);
    }
}

/* ---- which slices */

/* Of all slices of that GPU. */
static tug_gpuset cut_from(const struct tug_ledger_node *l, unsigned gpu)
{
    tug_gpuset all = 0;
    for (tug_gpuset s = l->all_slices; s; s &= s - 1)
        if (l->gpu_of[__builtin_ctzll(s)] == gpu)
            all |= s & -s;
    return all;
}

tug_gpuset tug_cut_choose(const struct tug_core *c, uint32_t node, tug_gpuset set, uint32_t n)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    tug_gpuset chosen = 0, gpus = l->cut;
    while (n && gpus) {
        unsigned best = TUG_GPUS_MAX, best_rank = UINT32_MAX;
        for (tug_gpuset g = gpus; g; g &= g - 1) {
            unsigned gpu = (unsigned) __builtin_ctzll(g);
            tug_gpuset all = cut_from(l, gpu), mine = all & set;
            unsigned fresh = (all & l->gpus_used) == 0 ? TUG_GPUS_MAX : 0, rank = fresh + tug_gpuset_count(mine);
            if (!mine)
                gpus &= ~(g & -g);
            else if (rank < best_rank) {
                best = gpu;
                best_rank = rank;
            }
        }
        if (best == TUG_GPUS_MAX)
            break;
        tug_gpuset mine = cut_from(l, best) & set, take = mine;
        if (tug_gpuset_count(mine) > n)
            take = tug_gpuset_take_low(mine, n);
        chosen |= take;
        n -= tug_gpuset_count(take);
        gpus &= ~(1ULL << best);
    }
    return chosen;
}

/* ---- against what it was */

static uint32_t count_of(const struct tug_cut_node *n, uint32_t kind, unsigned gpu)
{
    uint32_t count = 0;
    for (uint32_t i = 0; n && i < n->n; i++)
        for (tug_gpuset s = n->at[i].kind == kind ? n->at[i].slices : 0; s; s &= s - 1)
            count += n->gpu_of[__builtin_ctzll(s)] == gpu;
    return count;
}

/* "7 x 1g.10gb and 1 x 3g.40gb"; "whole" */
static void say_cut(const struct tug_core *c, const struct tug_cut_node *n, unsigned gpu, char *out, size_t size_bytes)
{
    size_t len = 0;
    snprintf(out, size_bytes, "whole");
    for (uint32_t k = 1; k <= c->cuts.len && len < size_bytes; k++) {
        uint32_t count = count_of(n, k, gpu);
        if (count)
            len += (size_t) snprintf(out + len, size_bytes - len, "%s%u x %s", len ? " and " : "", count, c->cuts.at[k - 1].profile);
    }
}

enum { CUT_AS_BEFORE, CUT_LESS, CUT_OTHERWISE };

static int compare_gpu(const struct tug_core *c, const struct tug_cut_node *was, const struct tug_cut_node *now, unsigned gpu)
{
    int less = 0, more = 0;
    for (uint32_t k = 1; k <= c->cuts.len; k++) {
        uint32_t before = count_of(was, k, gpu), after = count_of(now, k, gpu);
        less |= after < before;
        more |= after > before;
    }
    return more ? CUT_OTHERWISE : less ? CUT_LESS : CUT_AS_BEFORE;
}

void tug_cut_compare(const struct tug_core *c, const struct tug_cut_node *was, const struct tug_cut_node *now, tug_gpuset lost,
                     char *loss, char *change, size_t size_bytes)
{
    tug_gpuset gpus = ((was ? was->gpus : 0) | (now ? now->gpus : 0)) & ~lost;
    *loss = *change = 0;
    for (; gpus; gpus &= gpus - 1) {
        unsigned gpu = (unsigned) __builtin_ctzll(gpus);
        int is = compare_gpu(c, was, now, gpu);
        char before[64], after[64], *to = is == CUT_LESS ? loss : change;
        if (is == CUT_AS_BEFORE || *to)
            continue;
        say_cut(c, was, gpu, before, sizeof before);
        say_cut(c, now, gpu, after, sizeof after);
        snprintf(to, size_bytes, "GPU %u was %s%s and is %s%s", gpu, strcmp(before, "whole") ? "cut into " : "", before,
                 strcmp(after, "whole") ? "cut into " : "", after);
    }
}

/* ---- reading */

size_t tug_core_node_cuts(const struct tug_core *c, uint32_t node, struct tug_core_cut *out)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    const struct tug_cut_node *n = c->nodes.at[node].cut;
    size_t k = 0;
    for (uint32_t i = 0; n && i < n->n; i++) {
        tug_gpuset slices = n->at[i].slices & l->all_slices;
        if (slices)
            out[k++] = (struct tug_core_cut){c->cuts.at[n->at[i].kind - 1].profile, slices, slices & l->gpus_used,
                                             tug_core_gpus_of(c, node, slices)};
    }
    return k;
}

tug_gpuset tug_core_gpus_of(const struct tug_core *c, uint32_t node, tug_gpuset devices)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    tug_gpuset gpus = devices & ~l->all_slices;
    for (tug_gpuset s = devices & l->all_slices; s; s &= s - 1)
        gpus |= 1ULL << l->gpu_of[__builtin_ctzll(s)];
    return gpus;
}

/* ---- invariants */

static int check_slices(const struct tug_core *c, uint32_t node, struct tug_err *err)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    const struct tug_cut_node *n = c->nodes.at[node].cut;
    tug_gpuset seen = 0;
    for (uint32_t i = 0; n && i < n->n; i++) {
        if (n->at[i].slices & seen || !n->at[i].kind || n->at[i].kind > c->cuts.len)
            return tug_fail(err, -EINVAL, "node %s: a slice is of two kinds, or of none", c->nodes.at[node].name);
        seen |= n->at[i].slices;
    }
    if (l->all_slices & ~seen || l->slices & ~l->all_slices || l->all_slices & l->gpus)
        return tug_fail(err, -EINVAL, "node %s: has a slice that nothing is cut into", c->nodes.at[node].name);
    if (n && l->gpus & n->gpus)
        return tug_fail(err, -EINVAL, "node %s: gives out a GPU as a whole that is cut", c->nodes.at[node].name);
    for (tug_gpuset s = l->all_slices; s; s &= s - 1) {
        unsigned gpu = l->gpu_of[__builtin_ctzll(s)];
        int whole = l->gpus_used >> gpu & 1;
        if (!(n->gpus >> gpu & 1) || (l->slices & s & -s ? whole : !whole))
            return tug_fail(err, -EINVAL, "node %s: a slice of GPU %u may be had while all of it is, or may not be", c->nodes.at[node].name,
                            gpu);
    }
    return 0;
}

/* Who waits or runs with slices has such as it asked for, as long as the node has them. */
static int check_gangs(const struct tug_core *c, uint32_t node, struct tug_err *err)
{
    const struct tug_node *n = &c->nodes.at[node];
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    for (size_t i = 0; i < n->gangs.len; i++) {
        const struct tug_job *j = &n->gangs.at[i]->j;
        uint32_t kind = tug_cut_find(c, j->req.mig_profile);
        tug_gpuset own = 0;
        for (uint32_t k = 0; n->cut && k < n->cut->n; k++)
            own |= n->cut->at[k].kind == kind ? n->cut->at[k].slices : 0;
        for (size_t k = 0; k < j->n_slices; k++)
            if (j->slices[k].node == node && j->slices[k].gpus & l->all_slices & ~own)
                return tug_fail(err, -EINVAL, "job %llu: holds slices on node %s that are not '%s'", (unsigned long long) j->id, n->name,
                                j->req.mig_profile);
    }
    return 0;
}

int tug_cut_check(const struct tug_core *c, uint32_t node, struct tug_err *err)
{
    const struct tug_node *n = &c->nodes.at[node];
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    int on = tug_node_is_usable(c, node) && !n->shut && tug_ledger_cpus_free(l), rc = check_slices(c, node, err);
    if (!rc)
        rc = check_gangs(c, node, err);
    for (uint32_t k = 1; k <= c->cuts.len && !rc; k++) {
        unsigned free = tug_gpuset_count(tug_cut_free(c, node, k));
        for (unsigned g = 0; g <= TUG_GPUS_MAX && !rc; g++)
            if (tug_bit(tug_index_free(c, k, g), node) != (on && g <= free))
                rc = tug_fail(err, -EINVAL, "node %s: the index does not say what is free of '%s'", n->name, c->cuts.at[k - 1].profile);
    }
    return rc;
}
