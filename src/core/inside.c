/* inside.c - which GPUs of a node a gang gets
 *
 * Every machine in the table has at least one holder. What is worked out about it is a function of it alone: it is kept, and
 * never stale. For each set of free GPUs and each size there is the best set for a gang on one node, and a front of sets for
 * gangs on several: of two figures, bandwidth inside and NICs, none of them is beaten in both by another. Layer: core.
 */
#include "core/inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/bandwidth.h"

#define NOT_YET   1u  /* no bandwidth of a set: they are 0 or thousands */
#define HOLES_MAX 10u /* GPUs of machines whose holes are looked at by bandwidth */

struct point {
    tug_gpuset gpus;
    uint32_t inside, out;
    unsigned numas;
};
struct front {
    struct point alone; /* best for a gang on one node */
    struct point *at;   /* best inside first */
    size_t n;
};

struct inside {
    struct tug_machine m; /* first: what holders point to */
    size_t holders;
    struct inside *next;
    tug_gpuset alike[TUG_GPUS_MAX]; /* behind switches: those that can be exchanged for it, itself included; else itself */
    /* By set; NULL: too many GPUs for tables */
    uint32_t *inside_mbs, *out_mbs;
    uint64_t *holes;       /* UINT64_MAX = not yet */
    struct front **fronts; /* by free GPUs: one for each size */
    size_t bytes;
};

struct tug_insides {
    struct inside *first; /* a handful: a cluster has few kinds of nodes */
};

static struct inside *of(const struct tug_machine *held)
{
    return (struct inside *) (uintptr_t) held;
}

/* ---- each kind once */

struct tug_insides *tug_insides_new(void)
{
    return tug_new(struct tug_insides);
}

static size_t n_sets(const struct inside *x)
{
    return (size_t) 1 << x->m.n_gpus;
}

static void inside_free(struct inside *x)
{
    for (size_t mask = 0; x->fronts && mask < n_sets(x); mask++) {
        for (uint32_t n = 0; x->fronts[mask] && n <= x->m.n_gpus; n++)
            free(x->fronts[mask][n].at);
        free(x->fronts[mask]);
    }
    free(x->fronts);
    free(x->inside_mbs);
    free(x->out_mbs);
    free(x->holes);
    free(x);
}

void tug_insides_free(struct tug_insides *all)
{
    if (!all)
        return;
    for (struct inside *next, *x = all->first; x; x = next) {
        next = x->next;
        inside_free(x);
    }
    free(all);
}

static int are_alike(const struct tug_machine *m, uint32_t a, uint32_t b)
{
    return m->gpu[a].numa == m->gpu[b].numa && m->gpu[a].port_mbs == m->gpu[b].port_mbs &&
           !memcmp(m->nic_class[a], m->nic_class[b], m->n_nics);
}

/* Behind switches all pairs are the same, unless somebody wrote down otherwise. */
static int is_flat(const struct tug_machine *m)
{
    for (uint32_t i = 0; i < m->n_gpus; i++)
        for (uint32_t k = 0; k < i; k++)
            if (m->link[i][k].mbs != m->link[1][0].mbs)
                return 0;
    return m->nvswitch;
}

static struct inside *inside_new(const struct tug_machine *m)
{
    struct inside *x = tug_new(struct inside);
    x->m = *m;
    int flat = is_flat(m);
    for (uint32_t i = 0; i < m->n_gpus; i++)
        for (uint32_t k = 0; k < m->n_gpus; k++)
            if (i == k || (flat && are_alike(m, i, k)))
                x->alike[i] |= 1ULL << k;
    x->bytes = sizeof *x;
    if (m->n_gpus > TUG_BANDWIDTH_EXACT_MAX)
        return x;
    x->inside_mbs = tug_xmalloc(n_sets(x) * sizeof *x->inside_mbs);
    x->out_mbs = tug_xmalloc(n_sets(x) * sizeof *x->out_mbs);
    x->holes = tug_xmalloc(n_sets(x) * sizeof *x->holes);
    x->fronts = tug_xcalloc(n_sets(x), sizeof *x->fronts);
    for (size_t i = 0; i < n_sets(x); i++)
        x->inside_mbs[i] = x->out_mbs[i] = NOT_YET;
    memset(x->holes, 0xff, n_sets(x) * sizeof *x->holes);
    x->bytes += n_sets(x) * (2 * sizeof *x->inside_mbs + sizeof *x->holes + sizeof *x->fronts);
    return x;
}

const struct tug_machine *tug_inside_hold(struct tug_insides *all, const struct tug_machine *m)
{
    if (!m)
        return NULL;
    struct inside *x = all->first;
    while (x && !tug_machine_equal(&x->m, m))
        x = x->next;
    if (!x) {
        x = inside_new(m);
        x->next = all->first;
        all->first = x;
    }
    x->holders++;
    return &x->m;
}

void tug_inside_drop(struct tug_insides *all, const struct tug_machine *held)
{
    if (!held)
        return;
    struct inside **at = &all->first;
    while (*at && &(*at)->m != held)
        at = &(*at)->next;
    tug_assert(*at && (*at)->holders > 0);
    if (--(*at)->holders)
        return;
    struct inside *gone = *at;
    *at = gone->next;
    inside_free(gone);
}

size_t tug_insides_count(const struct tug_insides *all)
{
    size_t n = 0;
    for (const struct inside *x = all->first; x; x = x->next)
        n++;
    return n;
}

size_t tug_insides_holders(const struct tug_insides *all)
{
    size_t n = 0;
    for (const struct inside *x = all->first; x; x = x->next)
        n += x->holders;
    return n;
}

size_t tug_insides_bytes(const struct tug_insides *all)
{
    size_t bytes = 0;
    for (const struct inside *x = all->first; x; x = x->next)
        bytes += x->bytes;
    return bytes;
}

/* ---- figures of a set */

static uint32_t inside_mbs(struct inside *x, tug_gpuset set)
{
    if (!x->inside_mbs)
        return tug_bandwidth_inside(&x->m, set);
    if (x->inside_mbs[set] == NOT_YET)
        x->inside_mbs[set] = tug_bandwidth_inside(&x->m, set);
    return x->inside_mbs[set];
}

static uint32_t out_mbs(struct inside *x, tug_gpuset set)
{
    if (!x->out_mbs)
        return tug_bandwidth_out(&x->m, set);
    if (x->out_mbs[set] == NOT_YET)
        x->out_mbs[set] = tug_bandwidth_out(&x->m, set);
    return x->out_mbs[set];
}

/* Of a gang: the NICs' part, where they are known. */
static uint32_t figure(uint32_t inside, uint32_t out, uint32_t n, struct tug_gang_size gang)
{
    if (gang.islands < 2 || !out)
        return n < 2 ? TUG_BANDWIDTH_NO_LIMIT : inside;
    uint64_t nics = (uint64_t) out * (gang.ranks - 1) / ((uint64_t) n * (gang.islands - 1));
    nics = nics * 1000 / gang.over_milli;
    nics = nics < TUG_BANDWIDTH_NO_LIMIT ? nics : TUG_BANDWIDTH_NO_LIMIT - 1;
    return nics < inside || !inside ? (uint32_t) nics : inside;
}

uint32_t tug_inside_mbs(const struct tug_machine *held, tug_gpuset set, struct tug_gang_size gang)
{
    if (!held || !set)
        return 0;
    return figure(inside_mbs(of(held), set), out_mbs(of(held), set), tug_gpuset_count(set), gang);
}

uint32_t tug_inside_out_mbs(const struct tug_machine *held, tug_gpuset set)
{
    return out_mbs(of(held), set);
}

/* ---- subsets */

/* The next larger set with as many GPUs, as Gosper's hack counts; numbered among the free ones. */
static uint64_t next_choice(uint64_t v)
{
    uint64_t low = v & -v, ripple = v + low;
    return ripple | ((v ^ ripple) >> 2) / low;
}

static tug_gpuset spread(uint64_t choice, const uint8_t *gpus)
{
    tug_gpuset set = 0;
    for (; choice; choice &= choice - 1)
        set |= 1ULL << gpus[__builtin_ctzll(choice)];
    return set;
}

static uint32_t list(tug_gpuset set, uint8_t *gpus)
{
    uint32_t n = 0;
    for (; set; set &= set - 1)
        gpus[n++] = (uint8_t) __builtin_ctzll(set);
    return n;
}

/* Of GPUs that can be exchanged, the lowest free ones. */
static int is_lowest(const struct inside *x, tug_gpuset set, tug_gpuset free)
{
    for (tug_gpuset s = set; s; s &= s - 1) {
        uint32_t gpu = (uint32_t) __builtin_ctzll(s);
        if (x->alike[gpu] & free & ~set & tug_gpuset_first_n(gpu))
            return 0;
    }
    return 1;
}

/* ---- holes */

static uint64_t hole_by_bandwidth(struct inside *x, tug_gpuset rest, uint32_t size)
{
    uint8_t gpus[TUG_GPUS_MAX];
    uint64_t sum = 0;
    for (uint32_t n = list(rest, gpus); n >= size; n = list(rest, gpus)) {
        tug_gpuset best = 0;
        uint32_t best_mbs = 0;
        for (uint64_t choice = tug_gpuset_first_n(size); choice < 1ULL << n; choice = next_choice(choice)) {
            tug_gpuset set = spread(choice, gpus);
            uint32_t mbs = inside_mbs(x, set);
            if (best && mbs <= best_mbs)
                continue;
            best = set;
            best_mbs = mbs;
        }
        sum += best_mbs;
        rest &= ~best;
    }
    return sum * size;
}

static uint64_t squares(uint64_t count)
{
    return count * count;
}

static uint64_t hole_by_place(const struct tug_machine *m, tug_gpuset rest)
{
    uint64_t numas = 0, nics = 0;
    uint8_t at_numa[TUG_MACHINE_NUMA_MAX] = {0};
    for (tug_gpuset g = rest; g; g &= g - 1) {
        uint32_t numa = m->gpu[__builtin_ctzll(g)].numa;
        if (numa < TUG_MACHINE_NUMA_MAX)
            at_numa[numa]++;
    }
    for (uint32_t i = 0; i < m->n_numa; i++)
        numas += squares(at_numa[i]);
    for (uint32_t k = 0; k < m->n_nics; k++) {
        uint64_t near = 0;
        for (tug_gpuset g = rest; g; g &= g - 1)
            near += m->nic_class[__builtin_ctzll(g)][k] && m->nic_class[__builtin_ctzll(g)][k] <= TUG_LINK_PHB;
        nics += squares(near);
    }
    return numas * TUG_MACHINE_NICS_MAX + nics;
}

static uint64_t hole(struct inside *x, tug_gpuset rest)
{
    if (!x->holes)
        return hole_by_place(&x->m, rest);
    if (x->holes[rest] != UINT64_MAX)
        return x->holes[rest];
    uint64_t sum = 0;
    if (x->m.nvswitch || x->m.n_gpus > HOLES_MAX)
        sum = hole_by_place(&x->m, rest);
    else
        for (uint32_t size = 2; size <= 8; size *= 2)
            sum += hole_by_bandwidth(x, rest, size);
    return x->holes[rest] = sum;
}

/* ---- the best of all subsets */

static int goes_first(struct inside *x, const struct point *a, const struct point *b, tug_gpuset free)
{
    if (a->numas != b->numas)
        return a->numas < b->numas;
    uint64_t left_a = hole(x, free & ~a->gpus), left_b = hole(x, free & ~b->gpus);
    return left_a != left_b ? left_a > left_b : a->gpus < b->gpus;
}

typedef struct tug_vec(struct point) points;

static void put_on_front(struct inside *x, points *front, const struct point *p, tug_gpuset free)
{
    for (size_t i = 0; i < front->len; i++) {
        const struct point *q = &front->at[i];
        if (q->inside == p->inside && q->out == p->out) {
            if (goes_first(x, p, q, free))
                front->at[i] = *p;
            return;
        }
        if (q->inside >= p->inside && q->out >= p->out)
            return;
    }
    for (size_t i = front->len; i-- > 0;)
        if (front->at[i].inside <= p->inside && front->at[i].out <= p->out)
            tug_vec_remove(front, i);
    tug_vec_push(front, *p);
}

static int better_inside(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return (x->inside < y->inside) - (x->inside > y->inside);
}

static void find_front(struct inside *x, tug_gpuset free, uint32_t n, struct front *f)
{
    uint8_t gpus[TUG_GPUS_MAX];
    uint32_t of_free = list(free, gpus);
    points front = {0};
    for (uint64_t choice = tug_gpuset_first_n(n); choice < 1ULL << of_free; choice = next_choice(choice)) {
        struct point p = {.gpus = spread(choice, gpus)};
        if (!is_lowest(x, p.gpus, free))
            continue;
        p.inside = inside_mbs(x, p.gpus);
        p.out = out_mbs(x, p.gpus);
        p.numas = tug_bandwidth_numas(&x->m, p.gpus);
        if (!f->alone.gpus || p.inside > f->alone.inside ||
            (p.inside == f->alone.inside && goes_first(x, &p, &f->alone, free)))
            f->alone = p;
        put_on_front(x, &front, &p, free);
    }
    qsort(front.at, front.len, sizeof *front.at, better_inside);
    f->at = front.at;
    f->n = front.len;
    x->bytes += front.cap * sizeof *front.at;
}

static const struct front *front_of(struct inside *x, tug_gpuset free, uint32_t n)
{
    if (!x->fronts[free]) {
        x->fronts[free] = tug_xcalloc(x->m.n_gpus + 1, sizeof **x->fronts);
        x->bytes += (x->m.n_gpus + 1) * sizeof **x->fronts;
    }
    struct front *f = &x->fronts[free][n];
    if (!f->at)
        find_front(x, free, n, f);
    return f;
}

/* ---- many GPUs */

static tug_gpuset grow(const struct tug_machine *m, tug_gpuset free, uint32_t n, tug_gpuset set)
{
    while (tug_gpuset_count(set) < n) {
        uint64_t best_sum = 0;
        tug_gpuset best = 0;
        for (tug_gpuset g = free & ~set; g; g &= g - 1) {
            uint64_t sum = 0;
            for (tug_gpuset s = set; s; s &= s - 1)
                sum += m->link[__builtin_ctzll(g)][__builtin_ctzll(s)].mbs;
            if (best && sum <= best_sum)
                continue;
            best = g & -g;
            best_sum = sum;
        }
        set |= best;
    }
    return set;
}

static tug_gpuset choose_of_many(struct inside *x, tug_gpuset free, uint32_t n, struct tug_gang_size gang, uint32_t *mbs)
{
    tug_gpuset best = 0;
    *mbs = 0;
    for (tug_gpuset seed = free; seed; seed &= seed - 1) {
        tug_gpuset set = grow(&x->m, free, n, seed & -seed);
        uint32_t has = tug_inside_mbs(&x->m, set, gang);
        if (best && has <= *mbs)
            continue;
        best = set;
        *mbs = has;
        if (x->m.nvswitch)
            break;
    }
    return best;
}

/* ---- choosing */

tug_gpuset tug_inside_choose(const struct tug_machine *held, tug_gpuset free, uint32_t n, struct tug_gang_size gang,
                             uint32_t *mbs)
{
    uint32_t unused;
    if (!mbs)
        mbs = &unused;
    *mbs = 0;
    if (!held || !n)
        return tug_gpuset_take_low(free, n);
    struct inside *x = of(held);
    if (!x->fronts)
        return choose_of_many(x, free, n, gang, mbs);
    const struct front *f = front_of(x, free, n);
    if (gang.islands < 2) {
        *mbs = figure(f->alone.inside, 0, n, gang);
        return f->alone.gpus;
    }
    const struct point *best = NULL;
    for (size_t i = 0; i < f->n; i++) {
        uint32_t has = figure(f->at[i].inside, f->at[i].out, n, gang);
        if (best && has <= *mbs)
            continue;
        best = &f->at[i];
        *mbs = has;
    }
    return best->gpus;
}

uint32_t tug_insides_most(const struct tug_insides *all, uint32_t n, struct tug_gang_size gang)
{
    uint32_t most = 0;
    for (const struct inside *x = all->first; x && n; x = x->next) {
        uint32_t mbs;
        if (x->m.n_gpus < n)
            continue;
        tug_inside_choose(&x->m, tug_gpuset_first_n(x->m.n_gpus), n, gang, &mbs);
        most = mbs > most ? mbs : most;
    }
    return most;
}
