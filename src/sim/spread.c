/* spread.c - over how many domains of the fabric gangs were spread. Layer: sim. */
#include "sim/spread.h"

#include <stdlib.h>

#include "base/mem.h"
#include "sim/sim.h"

struct tug_spread {
    uint32_t *domain_of;   /* of each node */
    uint32_t *least;       /* [k]: domains that k nodes need on an empty cluster */
    uint64_t *seen, stamp; /* of each domain: the last gang that was there */
    struct tug_sim_spread sum;
    double leaves, leaves_least, ratio; /* sums */
};

static int larger_first(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return (x < y) - (x > y);
}

struct tug_spread *tug_spread_new(const struct tug_core *c)
{
    size_t n_nodes = tug_core_nodes(c), n = tug_core_domains(c);
    if (!n)
        return NULL;
    struct tug_spread *s = tug_new(struct tug_spread);
    uint32_t *sizes = tug_xcalloc(n + 1, sizeof *sizes);
    s->domain_of = tug_xcalloc(n_nodes + 1, sizeof *s->domain_of);
    s->least = tug_xcalloc(n_nodes + 1, sizeof *s->least);
    s->seen = tug_xcalloc(n + 1, sizeof *s->seen);
    for (uint32_t i = 0; i < n_nodes; i++) {
        struct tug_core_node k;
        tug_core_node(c, i, &k);
        s->domain_of[i] = k.domain < n ? k.domain : (uint32_t) n;
        sizes[s->domain_of[i]]++;
    }
    qsort(sizes, n + 1, sizeof *sizes, larger_first);
    for (size_t k = 1, leaves = 1, room = sizes[0]; k <= n_nodes; k++) {
        if (k > room)
            room += sizes[leaves++];
        s->least[k] = (uint32_t) leaves;
    }
    free(sizes);
    return s;
}

void tug_spread_free(struct tug_spread *s)
{
    if (!s)
        return;
    free(s->domain_of);
    free(s->least);
    free(s->seen);
    free(s);
}

void tug_spread_add(struct tug_spread *s, const struct tug_slice *slices, size_t n)
{
    uint32_t leaves = 0;
    if (!s || n < 2)
        return;
    s->stamp++;
    for (size_t i = 0; i < n; i++) {
        uint32_t d = s->domain_of[slices[i].node];
        leaves += s->seen[d] != s->stamp;
        s->seen[d] = s->stamp;
    }
    s->sum.gangs++;
    s->sum.by_leaves[leaves < TUG_SIM_LEAVES ? leaves - 1 : TUG_SIM_LEAVES - 1]++;
    s->leaves += leaves;
    s->leaves_least += s->least[n];
    s->ratio += (double) leaves / s->least[n];
}

void tug_spread_finish(const struct tug_spread *s, struct tug_sim_result *r)
{
    if (!s)
        return;
    double n = s->sum.gangs ? (double) s->sum.gangs : 1;
    r->spread = s->sum;
    r->spread.is_known = 1;
    r->spread.leaves_avg = s->leaves / n;
    r->spread.leaves_least_avg = s->leaves_least / n;
    r->spread.ratio_avg = s->ratio / n;
}
