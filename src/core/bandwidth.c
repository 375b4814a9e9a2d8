/* bandwidth.c - how fast GPUs of one machine can talk, as far as its links tell
 *
 * Rings are found by threshold: whether there is a Hamiltonian cycle over links of at least so much is answered by a table over
 * subsets (Held and Karp), whose entries are sets of where a path that starts at the first GPU may end. Layer: core.
 */
#include "core/bandwidth.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NVLINK_MBS 25000 /* of one whose rate nobody says: NVLink 2, 3 and 4 in one direction */
#define PCIE_GEN 4       /* of a path whose rate nobody says */

/* A set's GPUs, numbered from 0, and what is between them. */
struct net {
    uint32_t n;
    uint8_t gpu[TUG_GPUS_MAX];
    uint32_t wide[TUG_GPUS_MAX][TUG_GPUS_MAX];
};

static uint32_t link_mbs(const struct tug_machine_link *l)
{
    if (l->mbs)
        return l->mbs;
    return l->nvlinks ? l->nvlinks * NVLINK_MBS : tug_link_class_mbs((enum tug_link_class) l->class, PCIE_GEN);
}

/* 1: NVLinks only. Else any path, and what NVLinks lose is taken off. 0: a path is not known. */
static int net_of(const struct tug_machine *m, tug_gpuset set, int nvlinks_only, struct net *net)
{
    net->n = 0;
    for (; set; set &= set - 1)
        net->gpu[net->n++] = (uint8_t) __builtin_ctzll(set);
    for (uint32_t i = 0; i < net->n; i++)
        for (uint32_t k = 0; k < net->n; k++) {
            const struct tug_machine_link *l = &m->link[net->gpu[i]][net->gpu[k]];
            uint32_t mbs = i == k ? 0 : link_mbs(l);
            if (i != k && !mbs)
                return 0;
            if (nvlinks_only)
                net->wide[i][k] = l->nvlinks ? mbs : 0;
            else
                net->wide[i][k] = l->nvlinks ? tug_bandwidth_efficient(mbs) : mbs;
        }
    return 1;
}

/* ---- rings, exactly: up to 16 GPUs */

/* ends[s]: where a path from GPU 0 through the GPUs of s, numbered from 1, may end. */
static void fill_ends(const struct net *net, uint32_t least, uint16_t *ends)
{
    uint32_t all = 1u << (net->n - 1);
    uint16_t near[TUG_BANDWIDTH_EXACT_MAX] = {0}; /* of GPU i + 1: which others it is linked to */
    memset(ends, 0, all * sizeof *ends);
    for (uint32_t i = 1; i < net->n; i++) {
        for (uint32_t k = 1; k < net->n; k++)
            near[i - 1] |= (uint16_t) (net->wide[i][k] >= least) << (k - 1);
        if (net->wide[0][i] >= least)
            ends[1u << (i - 1)] = (uint16_t) (1u << (i - 1));
    }
    for (uint32_t s = 1; s < all; s++)
        for (uint32_t rest = ~s & (all - 1); ends[s] && rest; rest &= rest - 1) {
            uint32_t next = (uint32_t) __builtin_ctz(rest);
            if (ends[s] & near[next])
                ends[s | 1u << next] |= (uint16_t) (1u << next);
        }
}

static int has_ring(const struct net *net, uint32_t least, uint16_t *ends)
{
    if (net->n == 2)
        return net->wide[0][1] >= least;
    fill_ends(net, least, ends);
    for (uint32_t i = 1; i < net->n; i++)
        if (ends[(1u << (net->n - 1)) - 1] >> (i - 1) & 1 && net->wide[i][0] >= least)
            return 1;
    return 0;
}

static int by_width(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

/* Widths there are, the widest first, each once. */
static size_t widths(const struct net *net, uint32_t *out)
{
    size_t n = 0, kept = 0;
    for (uint32_t i = 0; i < net->n; i++)
        for (uint32_t k = 0; k < i; k++)
            if (net->wide[i][k])
                out[n++] = net->wide[i][k];
    qsort(out, n, sizeof *out, by_width);
    for (size_t i = 0; i < n; i++)
        if (!kept || out[kept - 1] != out[i])
            out[kept++] = out[i];
    return kept;
}

/* Walks from the end that the table allows: paths can be turned round, so what leads from GPU 0 to a GPU also leads home from
 * it. The smallest number that still leads home, each time. */
static void walk_ring(const struct net *net, uint32_t least, const uint16_t *ends, uint8_t *ring)
{
    uint32_t left = (1u << (net->n - 1)) - 1;
    ring[0] = 0;
    for (uint32_t at = 1; at < net->n; at++)
        for (uint32_t i = 1; i < net->n; i++)
            if (left >> (i - 1) & 1 && net->wide[ring[at - 1]][i] >= least && ends[left] >> (i - 1) & 1) {
                ring[at] = (uint8_t) i;
                left &= ~(1u << (i - 1));
                break;
            }
}

/* The widest ring there is: how wide, 0 = there is none. */
static uint32_t exact_ring(const struct net *net, uint16_t *ends, uint8_t *ring)
{
    uint32_t wide[TUG_BANDWIDTH_EXACT_MAX * TUG_BANDWIDTH_EXACT_MAX / 2];
    size_t low = 0, high = widths(net, wide), n = high;
    while (low < high) { /* the first that has one */
        size_t mid = (low + high) / 2;
        if (has_ring(net, wide[mid], ends))
            high = mid;
        else
            low = mid + 1;
    }
    if (low == n)
        return 0;
    if (net->n == 2) {
        ring[0] = 0;
        ring[1] = 1;
        return wide[low];
    }
    fill_ends(net, wide[low], ends);
    walk_ring(net, wide[low], ends, ring);
    return wide[low];
}

/* ---- rings of more GPUs: from each to the one over the widest link that was not visited */

static uint32_t greedy_ring(const struct net *net, uint8_t *ring)
{
    uint64_t left = tug_gpuset_first_n(net->n) & ~1ULL;
    uint32_t least = UINT32_MAX;
    ring[0] = 0;
    for (uint32_t at = 1; at < net->n; at++) {
        uint32_t best = 0, from = ring[at - 1];
        for (uint32_t i = 1; i < net->n; i++)
            if (left >> i & 1 && (!best || net->wide[from][i] > net->wide[from][best]))
                best = i;
        ring[at] = (uint8_t) best;
        left &= ~(1ULL << best);
        least = net->wide[from][best] < least ? net->wide[from][best] : least;
    }
    uint32_t home = net->wide[ring[net->n - 1]][0];
    return home < least ? home : least;
}

static uint32_t find_ring(const struct net *net, uint16_t *ends, uint8_t *ring)
{
    return net->n <= TUG_BANDWIDTH_EXACT_MAX ? exact_ring(net, ends, ring) : greedy_ring(net, ring);
}

static uint16_t *table_for(uint32_t n)
{
    return n <= TUG_BANDWIDTH_EXACT_MAX ? tug_xmalloc((1u << (n - 1)) * sizeof(uint16_t)) : NULL;
}

/* ---- bandwidth */

static void take_ring(struct net *net, const uint8_t *ring, uint32_t wide)
{
    for (uint32_t i = 0; i < net->n; i++) {
        uint32_t a = ring[i], b = ring[(i + 1) % net->n];
        net->wide[a][b] -= wide;
        if (net->n > 2)
            net->wide[b][a] -= wide;
    }
}

static uint32_t narrowest_port(const struct tug_machine *m, tug_gpuset set)
{
    uint32_t least = TUG_BANDWIDTH_NO_LIMIT;
    for (; set; set &= set - 1) {
        uint32_t port = m->gpu[__builtin_ctzll(set)].port_mbs;
        if (port && port < least)
            least = port;
    }
    return least;
}

/* All rings over NVLinks, laid one after the other. */
static uint32_t nvlink_mbs(const struct tug_machine *m, tug_gpuset set, struct net *net, uint16_t *ends)
{
    uint8_t ring[TUG_GPUS_MAX];
    uint64_t sum = 0;
    uint32_t wide, port = narrowest_port(m, set);
    net_of(m, set, 1, net);
    while ((wide = find_ring(net, ends, ring)) != 0) {
        sum += net->n == 2 ? wide : 2ULL * wide;
        take_ring(net, ring, wide);
    }
    return tug_bandwidth_efficient((uint32_t) (sum < port ? sum : port));
}

static uint32_t switched_mbs(const struct tug_machine *m, tug_gpuset set)
{
    uint32_t least = narrowest_port(m, set);
    for (tug_gpuset a = set; a; a &= a - 1)
        for (tug_gpuset b = a & (a - 1); b; b &= b - 1) {
            uint32_t mbs = m->link[__builtin_ctzll(a)][__builtin_ctzll(b)].mbs;
            if (mbs && mbs < least)
                least = mbs;
        }
    return least == TUG_BANDWIDTH_NO_LIMIT ? 0 : tug_bandwidth_efficient(least);
}

static uint32_t linked_mbs(const struct tug_machine *m, tug_gpuset set)
{
    struct net net;
    uint8_t ring[TUG_GPUS_MAX];
    if (!net_of(m, set, 0, &net))
        return 0;
    uint16_t *ends = table_for(net.n);
    uint32_t any = find_ring(&net, ends, ring), port = narrowest_port(m, set);
    if (any > port)
        any = port;
    uint32_t nvlinks = nvlink_mbs(m, set, &net, ends);
    free(ends);
    return nvlinks > any ? nvlinks : any;
}

uint32_t tug_bandwidth_inside(const struct tug_machine *m, tug_gpuset set)
{
    unsigned n = tug_gpuset_count(set);
    if (n < 2)
        return TUG_BANDWIDTH_NO_LIMIT;
    if (m->allreduce_mbs[n] && (m->nvswitch || n == m->n_gpus))
        return m->allreduce_mbs[n];
    return m->nvswitch ? switched_mbs(m, set) : linked_mbs(m, set);
}

/* The NICs that a GPU uses, as bits. */
static uint64_t nics_of(const struct tug_machine *m, uint32_t gpu)
{
    uint64_t near = 0;
    uint32_t best = 0;
    const uint8_t *class = m->nic_class[gpu];
    for (uint32_t i = 0; i < m->n_nics; i++) {
        if (class[i] && class[i] <= TUG_LINK_PHB)
            near |= 1ULL << i;
        if (class[i] && (!class[best] || class[i] < class[best] ||
                         (class[i] == class[best] && m->nic[i].mbs > m->nic[best].mbs)))
            best = i;
    }
    return near ? near : m->n_nics ? 1ULL << best : 0;
}

uint32_t tug_bandwidth_out(const struct tug_machine *m, tug_gpuset set)
{
    uint64_t nics = 0, sum = 0;
    for (; set; set &= set - 1)
        nics |= nics_of(m, (uint32_t) __builtin_ctzll(set));
    for (; nics; nics &= nics - 1) {
        uint32_t mbs = m->nic[__builtin_ctzll(nics)].mbs;
        if (!mbs)
            return 0;
        sum += mbs;
    }
    return tug_bandwidth_efficient((uint32_t) (sum < UINT32_MAX ? sum : UINT32_MAX));
}

size_t tug_bandwidth_ring(const struct tug_machine *m, tug_gpuset set, uint32_t *out)
{
    struct net net;
    uint8_t ring[TUG_GPUS_MAX];
    size_t n = 0;
    if (m && !m->nvswitch && tug_gpuset_count(set) > 3 && net_of(m, set, 0, &net)) {
        uint16_t *ends = table_for(net.n);
        n = find_ring(&net, ends, ring) ? net.n : 0;
        free(ends);
    }
    for (size_t i = 0; i < n; i++)
        out[i] = net.gpu[ring[i]];
    for (tug_gpuset g = n ? 0 : set; g; g &= g - 1)
        out[n++] = (uint32_t) __builtin_ctzll(g);
    return n;
}

unsigned tug_bandwidth_numas(const struct tug_machine *m, tug_gpuset set)
{
    uint64_t numas = 0;
    for (; set; set &= set - 1) {
        uint32_t numa = m->gpu[__builtin_ctzll(set)].numa;
        if (numa < TUG_MACHINE_NUMA_MAX)
            numas |= 1ULL << numa;
    }
    return (unsigned) __builtin_popcountll(numas);
}
