/* clearing.c - whose end makes one node large enough, at the least price
 *
 * Up to six who are on it are tried in all combinations; of more the cheapest go until it is enough. Layer: core.
 */
#include "core/victims.h"

/* So many on a node are tried in all combinations. */
#define TRY_ALL_MAX 6

/* Cheapest first; beyond 64, the dearest fall off. */
static void add_to_clear(const struct tug_victims *v, struct tug_clearing *out, struct tug_cand_part p)
{
    size_t at = out->n < 64 ? out->n++ : 64;
    double price = v->cands.at[p.cand].price;
    if (at == 64 && v->cands.at[out->at[--at]].price <= price)
        return;
    while (at > 0 && v->cands.at[out->at[at - 1]].price > price) {
        out->at[at] = out->at[at - 1];
        out->slice[at] = out->slice[at - 1];
        at--;
    }
    out->at[at] = p.cand;
    out->slice[at] = p.slice;
}

static int is_among(const struct tug_clearing *k, uint32_t cand)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->at[i] == cand)
            return 1;
    return 0;
}

/* Those that hold something there, and those that let nobody in. */
static void on_node(const struct tug_victims *v, uint32_t node, struct tug_clearing *out)
{
    out->n = 0;
    for (uint32_t i = v->first[node]; i < v->first[node + 1]; i++)
        if (!v->cands.at[v->parts[i].cand].chosen)
            add_to_clear(v, out, v->parts[i]);
    for (uint32_t i = 0; v->c->nodes.at[node].shut && i < v->cands.len; i++)
        if (!v->cands.at[i].chosen && tug_vacancy_shuts(v, i, node) && !is_among(out, i))
            add_to_clear(v, out, (struct tug_cand_part){i, TUG_NO_SLICE});
}

static int set_is_enough(const struct tug_victims *v, uint32_t node, const struct tug_clearing *k,
                         uint64_t set, double *price)
{
    struct tug_vacancy r = k->before;
    uint32_t shut = k->shut;
    *price = 0;
    for (uint64_t m = set; m; m &= m - 1) {
        size_t i = (size_t) __builtin_ctzll(m);
        struct tug_cand_part p = {k->at[i], k->slice[i]};
        tug_vacancy_add(v, &r, &p);
        shut -= (uint32_t) (shut && tug_vacancy_shuts(v, p.cand, node));
        *price += v->cands.at[p.cand].price;
    }
    return !shut && tug_vacancy_is_enough(v, node, &r, v->for_last);
}

static uint64_t try_all(const struct tug_victims *v, uint32_t node, const struct tug_clearing *k,
                        double *price)
{
    uint64_t best = 0;
    double p;
    for (uint64_t set = 1; set < 1ULL << k->n; set++)
        if (set_is_enough(v, node, k, set, &p) && (!best || p < *price)) {
            best = set;
            *price = p;
        }
    return best;
}

/* Cheapest first until it is enough, then without whoever turns out not to be needed; or the
 * cheapest one that is enough alone. */
static uint64_t try_some(const struct tug_victims *v, uint32_t node, const struct tug_clearing *k,
                         double *price)
{
    uint64_t set = 0;
    double p;
    for (size_t i = 0; i < k->n && !set_is_enough(v, node, k, set, price); i++)
        set |= 1ULL << i;
    if (!set_is_enough(v, node, k, set, price))
        return 0;
    for (size_t i = k->n; i > 0; i--)
        if (set >> (i - 1) & 1 && set_is_enough(v, node, k, set & ~(1ULL << (i - 1)), &p))
            set &= ~(1ULL << (i - 1));
    set_is_enough(v, node, k, set, price);
    for (size_t i = 0; i < k->n; i++)
        if (v->cands.at[k->at[i]].price < *price && set_is_enough(v, node, k, 1ULL << i, &p)) {
            *price = p;
            return 1ULL << i;
        }
    return set;
}

int tug_clearing_find(const struct tug_victims *v, uint32_t node, struct tug_clearing *k, uint64_t *set,
                      double *price)
{
    on_node(v, node, k);
    k->before = tug_vacancy_at(v, node);
    k->shut = tug_vacancy_shut_by(v, node);
    *set = 0;
    if (set_is_enough(v, node, k, 0, price))
        return 1;
    *set = k->n <= TRY_ALL_MAX ? try_all(v, node, k, price) : try_some(v, node, k, price);
    return *set != 0;
}
