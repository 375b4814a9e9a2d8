/* fabric.c - how nodes are wired together: a tree of domains of any depth
 *
 * Made anew by every configuration. Always: a domain's 'all' is its 'own' and the 'all' of those
 * below it; every node is in the 'own' of one domain, or of the one behind the last. Layer: core.
 */
#include "core/fabric.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"
#include "base/str.h"
#include "core/state.h"

/* ---- checks */

struct names { /* name -> row, of domains or of nodes */
    const char *name;
    size_t row;
    UT_hash_handle hh;
};

static int names_add(struct names **all, struct names *n, const char *name, size_t row)
{
    struct names *there;
    HASH_FIND_STR(*all, name, there);
    if (there)
        return -EEXIST;
    n->name = name;
    n->row = row;
    HASH_ADD_KEYPTR(hh, *all, n->name, strlen(n->name), n);
    return 0;
}

static const struct names *names_find(const struct names *all, const char *name)
{
    struct names *n;
    HASH_FIND_STR((struct names *) (uintptr_t) all, name, n);
    return n;
}

static int check_names(const struct tug_core_conf *conf, struct names **all, struct names *rows,
                       struct tug_err *err)
{
    for (size_t i = 0; i < conf->n_domains; i++) {
        const struct tug_core_domain *d = &conf->domains[i];
        if (!d->name || !*d->name)
            return tug_fail(err, -EINVAL, "domain %zu of the fabric has no name", i + 1);
        if (names_add(all, &rows[i], d->name, i))
            return tug_fail(err, -EINVAL, "domain '%s' is configured twice", d->name);
    }
    return 0;
}

static int unknown_parent(const struct tug_core_conf *conf, const struct tug_core_domain *d,
                          struct tug_err *err)
{
    const char **names = tug_xcalloc(conf->n_domains, sizeof *names);
    for (size_t i = 0; i < conf->n_domains; i++)
        names[i] = conf->domains[i].name;
    const char *near = tug_str_nearest(d->parent, names, conf->n_domains);
    int rc = near ? tug_fail(err, -EINVAL,
                             "domain '%s': its parent '%s' is not configured; did you mean '%s'?",
                             d->name, d->parent, near)
                  : tug_fail(err, -EINVAL, "domain '%s': its parent '%s' is not configured",
                             d->name, d->parent);
    free(names);
    return rc;
}

static int has_parent(const struct tug_core_domain *d)
{
    return d->parent && *d->parent;
}

/* parents[i]: row of the parent. From every domain the way up ends: those that were walked before
 * are known to. */
static int check_parents(const struct tug_core_conf *conf, const struct names *all,
                         uint32_t *parents, struct tug_err *err)
{
    for (size_t i = 0; i < conf->n_domains; i++) {
        const struct tug_core_domain *d = &conf->domains[i];
        const struct names *up = has_parent(d) ? names_find(all, d->parent) : NULL;
        if (has_parent(d) && !up)
            return unknown_parent(conf, d, err);
        parents[i] = up ? (uint32_t) up->row : TUG_NO_DOMAIN;
    }
    size_t *walk = tug_xcalloc(conf->n_domains + 1, sizeof *walk);
    int rc = 0;
    for (size_t i = 0; i < conf->n_domains && !rc; i++)
        for (uint32_t d = (uint32_t) i; d != TUG_NO_DOMAIN && !rc; d = parents[d]) {
            if (walk[d] == i + 1)
                rc =
                    tug_fail(err, -EINVAL,
                             "domain '%s' has the parent '%s', which is itself below '%s'; a "
                             "fabric is a tree",
                             conf->domains[d].name, conf->domains[d].parent, conf->domains[d].name);
            if (walk[d])
                break;
            walk[d] = i + 1;
        }
    free(walk);
    return rc;
}

static int check_domain_nodes(const struct tug_core_conf *conf, size_t domain,
                              const struct names *nodes, size_t *domain_of, struct tug_err *err)
{
    const struct tug_core_domain *d = &conf->domains[domain];
    struct tug_hostlist *hl = NULL;
    int rc = tug_hostlist_parse(d->nodes ? d->nodes : "", &hl, err);
    if (rc)
        return tug_fail_ctx(err, rc, "domain '%s'", d->name);
    for (size_t i = 0; i < tug_hostlist_count(hl) && !rc; i++) {
        const char *name = tug_hostlist_nth(hl, i);
        const struct names *n = names_find(nodes, name);
        if (!n)
            rc = tug_fail(err, -EINVAL, "domain '%s': node '%s' is not configured", d->name, name);
        else if (domain_of[n->row])
            rc = tug_fail(err, -EINVAL,
                          "node '%s' is in domain '%s' and in domain '%s'; keep it in one", name,
                          conf->domains[domain_of[n->row] - 1].name, d->name);
        else
            domain_of[n->row] = domain + 1;
    }
    tug_hostlist_free(hl);
    return rc;
}

static int check_nodes(const struct tug_core_conf *conf, struct tug_err *err)
{
    struct names *all = NULL, *rows = tug_xcalloc(conf->n_nodes + 1, sizeof *rows);
    size_t *domain_of = tug_xcalloc(conf->n_nodes + 1, sizeof *domain_of);
    int rc = 0;
    for (size_t i = 0; i < conf->n_nodes; i++)
        names_add(&all, &rows[i], conf->nodes[i].name, i);
    for (size_t i = 0; i < conf->n_domains && !rc; i++)
        rc = check_domain_nodes(conf, i, all, domain_of, err);
    HASH_CLEAR(hh, all);
    free(rows);
    free(domain_of);
    return rc;
}

static int check_levels(const struct tug_core_conf *conf, struct tug_err *err)
{
    for (size_t i = 0; i < conf->n_levels; i++) {
        const struct tug_core_level *l = &conf->levels[i];
        if (!l->name || !*l->name)
            return tug_fail(err, -EINVAL, "level %zu of the fabric has no name", i + 1);
        if (l->oversubscription != 0 && !(l->oversubscription >= 1))
            return tug_fail(err, -EINVAL, "level '%s': an oversubscription of %g is under 1",
                            l->name, l->oversubscription);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(conf->levels[k].name, l->name))
                return tug_fail(err, -EINVAL, "level '%s' is described twice", l->name);
    }
    return 0;
}

int tug_fabric_check(const struct tug_core_conf *conf, struct tug_err *err)
{
    int bad = check_levels(conf, err);
    if (bad)
        return bad;
    if (!conf->n_domains)
        return 0;
    struct names *all = NULL, *rows = tug_xcalloc(conf->n_domains, sizeof *rows);
    uint32_t *parents = tug_xcalloc(conf->n_domains, sizeof *parents);
    int rc = check_names(conf, &all, rows, err);
    if (!rc)
        rc = check_parents(conf, all, parents, err);
    if (!rc)
        rc = check_nodes(conf, err);
    HASH_CLEAR(hh, all);
    free(rows);
    free(parents);
    return rc;
}

/* ---- taking it */

void tug_fabric_clear(struct tug_core *c)
{
    struct tug_fabric *f = &c->fabric;
    for (size_t i = 0; f->at && i <= f->n; i++) {
        tug_intern_drop(c->texts, f->at[i].name);
        tug_intern_drop(c->texts, f->at[i].level);
        free(f->at[i].own.nodes);
        free(f->at[i].ways);
        free(f->at[i].all.nodes);
    }
    for (size_t i = 0; i < f->n_levels; i++)
        tug_intern_drop(c->texts, f->levels[i].name);
    for (size_t i = 0; i < f->n_tiers; i++) {
        free(f->tiers[i].domains);
        free(f->tiers[i].domain_of);
        free(f->tiers[i].nodes.nodes);
    }
    free(f->tiers);
    free(f->levels);
    free(f->at);
    free(f->by_height);
    free(f->by_order);
    *f = (struct tug_fabric){0};
}

static void find_parents(struct tug_fabric *f, const struct tug_core_conf *conf)
{
    struct names *all = NULL, *rows = tug_xcalloc(f->n + 1, sizeof *rows);
    for (size_t i = 0; i < f->n; i++)
        names_add(&all, &rows[i], conf->domains[i].name, i);
    for (size_t i = 0; i < f->n; i++) {
        const struct names *up =
            has_parent(&conf->domains[i]) ? names_find(all, conf->domains[i].parent) : NULL;
        f->at[i].parent = up ? (uint32_t) up->row : TUG_NO_DOMAIN;
    }
    HASH_CLEAR(hh, all);
    free(rows);
}

/* Heights, and the order of the tree: siblings stand as they are configured. */
static void set_order(struct tug_fabric *f)
{
    uint32_t *below = tug_xcalloc(f->n + 1, sizeof *below); /* domains below, itself included */
    uint32_t *open = tug_xcalloc(f->n + 1, sizeof *open);   /* children not yet counted */
    uint32_t *next = tug_xcalloc(f->n + 1, sizeof *next);   /* where its next child goes */
    uint32_t *ready = tug_xcalloc(f->n + 1, sizeof *ready);
    size_t n_ready = 0;
    for (size_t i = 0; i < f->n; i++)
        if (f->at[i].parent != TUG_NO_DOMAIN)
            open[f->at[i].parent]++;
    for (uint32_t i = 0; i < f->n; i++) {
        below[i] = 1;
        if (!open[i])
            ready[n_ready++] = i;
    }
    for (size_t k = 0; k < n_ready; k++) { /* from the leaves up */
        struct tug_domain *d = &f->at[ready[k]];
        if (d->parent == TUG_NO_DOMAIN)
            continue;
        struct tug_domain *up = &f->at[d->parent];
        up->height = d->height + 1 > up->height ? d->height + 1 : up->height;
        below[d->parent] += below[ready[k]];
        if (--open[d->parent] == 0)
            ready[n_ready++] = d->parent;
    }
    tug_assert(n_ready == f->n);
    for (size_t i = 0; i < f->n; i++) /* places of siblings, relative to their parent */
        if (f->at[i].parent != TUG_NO_DOMAIN) {
            f->at[i].order = 1 + next[f->at[i].parent];
            next[f->at[i].parent] += below[i];
        } else {
            f->at[i].order = next[f->n];
            next[f->n] += below[i];
        }
    for (size_t k = n_ready; k > 0; k--) { /* from the top down */
        struct tug_domain *d = &f->at[ready[k - 1]];
        if (d->parent != TUG_NO_DOMAIN)
            d->order += f->at[d->parent].order;
        d->order_end = d->order + below[ready[k - 1]];
        f->by_order[d->order] = ready[k - 1];
    }
    free(below);
    free(open);
    free(next);
    free(ready);
}

static void sort_by_height(struct tug_fabric *f)
{
    size_t *from = tug_xcalloc(f->n + 2, sizeof *from); /* heights are below n */
    for (size_t i = 0; i < f->n; i++)
        from[f->at[i].height + 1]++;
    for (size_t h = 1; h <= f->n; h++)
        from[h] += from[h - 1];
    for (size_t i = 0; i < f->n; i++)
        f->by_height[from[f->at[f->by_order[i]].height]++] = f->by_order[i];
    free(from);
}

static void region_add(struct tug_region *r, uint32_t node)
{
    size_t w = node / 64;
    r->nodes[w] |= 1ULL << (node % 64);
    r->from = r->to == r->from || w < r->from ? w : r->from;
    r->to = w + 1 > r->to ? w + 1 : r->to;
}

static void take_nodes(struct tug_core *c, const struct tug_core_conf *conf)
{
    struct tug_fabric *f = &c->fabric;
    size_t words = c->index.words ? c->index.words : 1;
    for (size_t i = 0; i <= f->n; i++) {
        f->at[i].own.nodes = tug_xcalloc(words, sizeof(uint64_t));
        f->at[i].all.nodes = tug_xcalloc(words, sizeof(uint64_t));
    }
    for (uint32_t i = 0; i < c->nodes.len; i++)
        c->nodes.at[i].domain = TUG_NO_DOMAIN;
    for (uint32_t i = 0; i < f->n; i++) {
        struct tug_hostlist *hl = NULL;
        if (tug_hostlist_parse(conf->domains[i].nodes ? conf->domains[i].nodes : "", &hl, NULL))
            continue;
        for (size_t k = 0; k < tug_hostlist_count(hl); k++) {
            uint32_t node = tug_core_node_find(c, tug_hostlist_nth(hl, k));
            c->nodes.at[node].domain = i;
            region_add(&f->at[i].own, node);
            for (uint32_t up = i; up != TUG_NO_DOMAIN; up = f->at[up].parent)
                region_add(&f->at[up].all, node);
        }
        tug_hostlist_free(hl);
    }
    for (uint32_t i = 0; i < c->nodes.len; i++) {
        if (c->nodes.at[i].domain == TUG_NO_DOMAIN) {
            region_add(&f->at[f->n].own, i);
            region_add(&f->at[f->n].all, i);
        }
        c->node_rows.at[i].domain = c->index.room[i].domain = c->nodes.at[i].domain;
    }
}

static void take_levels(struct tug_core *c, const struct tug_core_conf *conf)
{
    struct tug_fabric *f = &c->fabric;
    f->n_levels = conf->n_levels;
    f->levels = tug_xcalloc(f->n_levels + 1, sizeof *f->levels);
    for (size_t i = 0; i < f->n_levels; i++) {
        const struct tug_core_level *l = &conf->levels[i];
        f->levels[i] =
            (struct tug_level){.name = tug_intern(c->texts, l->name),
                               .bandwidth_bytes_s = l->bandwidth_bytes_s,
                               .oversubscription = l->oversubscription ? l->oversubscription : 1,
                               .nvlink = l->nvlink != 0};
        f->has_nvlink |= l->nvlink != 0;
        f->has_bandwidth |= l->bandwidth_bytes_s != 0;
    }
    for (size_t i = 0; i <= f->n; i++) {
        f->at[i].level_row = TUG_NO_DOMAIN;
        for (size_t k = 0; k < f->n_levels; k++) /* interned: the same text is the same pointer */
            if (f->at[i].level == f->levels[k].name)
                f->at[i].level_row = (uint32_t) k;
    }
}

/* ---- tiers */

const struct tug_tier *tug_fabric_tier(const struct tug_fabric *f, const char *level)
{
    for (size_t i = 0; level && *level && i < f->n_tiers; i++)
        if (f->tiers[i].name == level || !strcmp(f->tiers[i].name, level))
            return &f->tiers[i];
    return NULL;
}

static int is_within_its_level(const struct tug_fabric *f, uint32_t domain)
{
    for (uint32_t up = f->at[domain].parent; up != TUG_NO_DOMAIN; up = f->at[up].parent)
        if (f->at[up].level == f->at[domain].level)
            return 1;
    return 0;
}

static void tier_add(const struct tug_core *c, struct tug_tier *t, uint32_t domain)
{
    const struct tug_domain *d = &c->fabric.at[domain];
    t->domains[t->n++] = domain;
    t->height = d->height < t->height ? d->height : t->height;
    for (size_t w = d->all.from; w < d->all.to; w++)
        for (uint64_t m = d->all.nodes[w]; m; m &= m - 1) {
            uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
            t->domain_of[node] = domain;
            region_add(&t->nodes, node);
        }
}

static struct tug_tier *tier_new(struct tug_core *c, const char *level)
{
    struct tug_fabric *f = &c->fabric;
    struct tug_tier *t = &f->tiers[f->n_tiers++];
    *t = (struct tug_tier){.name = level, .height = UINT32_MAX};
    t->domains = tug_xcalloc(f->n, sizeof *t->domains);
    t->domain_of = tug_xcalloc(c->nodes.len + 1, sizeof *t->domain_of);
    for (size_t i = 0; i < c->nodes.len; i++)
        t->domain_of[i] = TUG_NO_DOMAIN;
    t->nodes.nodes = tug_xcalloc(c->index.words + 1, sizeof *t->nodes.nodes);
    return t;
}

static int lower_first(const void *a, const void *b)
{
    const struct tug_tier *x = a, *y = b;
    return (x->height > y->height) - (x->height < y->height);
}

/* Interned: the same text is the same pointer. */
static void take_tiers(struct tug_core *c)
{
    struct tug_fabric *f = &c->fabric;
    f->tiers = tug_xcalloc(f->n + 1, sizeof *f->tiers);
    for (size_t i = 0; i < f->n; i++) {
        const struct tug_domain *d = &f->at[f->by_order[i]];
        size_t k = 0;
        while (k < f->n_tiers && f->tiers[k].name != d->level)
            k++;
        if (!*d->level || is_within_its_level(f, f->by_order[i]))
            continue;
        tier_add(c, k < f->n_tiers ? &f->tiers[k] : tier_new(c, d->level), f->by_order[i]);
    }
    if (f->n_tiers)
        qsort(f->tiers, f->n_tiers, sizeof *f->tiers, lower_first);
}

void tug_fabric_take(struct tug_core *c, const struct tug_core_conf *conf)
{
    struct tug_fabric *f = &c->fabric;
    tug_fabric_clear(c);
    f->n = conf->n_domains;
    f->at = tug_xcalloc(f->n + 1, sizeof *f->at);
    f->by_height = tug_xcalloc(f->n + 1, sizeof *f->by_height);
    f->by_order = tug_xcalloc(f->n + 1, sizeof *f->by_order);
    for (size_t i = 0; i < f->n; i++) {
        f->at[i].name = tug_intern(c->texts, conf->domains[i].name);
        f->at[i].level = tug_intern(c->texts, conf->domains[i].level);
    }
    f->at[f->n] = (struct tug_domain){.name = tug_intern(c->texts, ""),
                                      .level = tug_intern(c->texts, ""),
                                      .parent = TUG_NO_DOMAIN,
                                      .order = (uint32_t) f->n,
                                      .order_end = (uint32_t) f->n + 1};
    find_parents(f, conf);
    set_order(f);
    f->by_order[f->n] = (uint32_t) f->n;
    sort_by_height(f);
    take_levels(c, conf);
    take_nodes(c, conf);
    tug_span_weigh(f);
    take_tiers(c);
    c->fabrics++;
}

static void region_grow(struct tug_region *r, size_t from, size_t to)
{
    r->nodes = tug_xrealloc(r->nodes, to * sizeof *r->nodes);
    memset(r->nodes + from, 0, (to - from) * sizeof *r->nodes);
}

void tug_fabric_add_outside(struct tug_core *c, uint32_t node)
{
    struct tug_fabric *f = &c->fabric;
    size_t was = node ? (node + 63) / 64 : 1, words = c->index.words;
    tug_assert(node + 1 == c->nodes.len);
    for (size_t i = 0; words > was && i <= f->n; i++) {
        region_grow(&f->at[i].own, was, words);
        region_grow(&f->at[i].all, was, words);
    }
    for (size_t i = 0; i < f->n_tiers; i++) {
        struct tug_tier *t = &f->tiers[i];
        t->domain_of = tug_xrealloc(t->domain_of, (c->nodes.len + 1) * sizeof *t->domain_of);
        t->domain_of[node] = TUG_NO_DOMAIN;
        if (words > was)
            region_grow(&t->nodes, was, words + 1);
    }
    region_add(&f->at[f->n].own, node);
    region_add(&f->at[f->n].all, node);
}

size_t tug_core_domains(const struct tug_core *c)
{
    return c->fabric.n;
}

void tug_core_domain(const struct tug_core *c, uint32_t index, struct tug_core_domain_view *out)
{
    tug_assert(index < c->fabric.n);
    const struct tug_domain *d = &c->fabric.at[index];
    const struct tug_level *l =
        d->level_row == TUG_NO_DOMAIN ? NULL : &c->fabric.levels[d->level_row];
    *out = (struct tug_core_domain_view){.name = d->name,
                                         .level = d->level,
                                         .parent = d->parent,
                                         .order = d->order,
                                         .bandwidth_bytes_s = l ? l->bandwidth_bytes_s : 0,
                                         .oversubscription = l ? l->oversubscription : 1};
}

static uint32_t count_in(const struct tug_region *r, const uint64_t *bits)
{
    uint32_t n = 0;
    for (size_t w = r->from; w < r->to; w++)
        n += (uint32_t) __builtin_popcountll(r->nodes[w] & bits[w]);
    return n;
}

void tug_core_domain_room(const struct tug_core *c, uint32_t index, struct tug_core_room *out)
{
    tug_assert(index < c->fabric.n);
    const struct tug_region *r = &c->fabric.at[index].all;
    uint32_t n = 1;
    *out = (struct tug_core_room){0};
    for (uint32_t g = 1; g <= TUG_GPUS_MAX && n; g++) {
        n = count_in(r, c->index.free_ge[g]);
        if (n * g < out->nodes * out->gpus_per_node || !n)
            continue;
        out->nodes = n;
        out->gpus_per_node = g;
    }
    for (uint32_t i = 0; i < c->nodes.len; i++)
        out->shut += tug_bit(r->nodes, i) && c->nodes.at[i].shut;
}

int tug_fabric_contains(const struct tug_fabric *f, uint32_t upper, uint32_t domain)
{
    const struct tug_domain *u = &f->at[upper], *d = &f->at[domain];
    return d->order >= u->order && d->order < u->order_end;
}
