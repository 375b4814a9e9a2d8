/* fabric.h - how nodes are wired together: a tree of domains of any depth
 *
 * A leaf switch, a spine, a hall: what they are called is the admin's business. A node is in one domain at most, and
 * with it in all above. Opaque for everybody but topology.c, which places by it. Layer: core.
 */
#ifndef TUG_CORE_FABRIC_H
#define TUG_CORE_FABRIC_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TUG_NO_DOMAIN UINT32_MAX

struct tug_core;
struct tug_core_conf;

/* A set of nodes: its bits, and the words [from, to) that have some. */
struct tug_region {
    uint64_t *nodes;
    size_t from, to;
};

/* How many of these bits are in it. */
static inline size_t tug_region_count(const uint64_t *bits, const struct tug_region *r)
{
    size_t n = 0;
    for (size_t w = r->from; w < r->to; w++)
        n += (size_t) __builtin_popcountll(bits[w] & r->nodes[w]);
    return n;
}

struct tug_level {
    const char *name;              /* interned */
    uint64_t bandwidth_bytes_s;    /* 0 = not known */
    double oversubscription;       /* >= 1 */
    uint8_t nvlink;
};

/* What a GPU of a node has to others on the way up to some domain (span.c). */
struct tug_way {
    double over;                   /* so many times less than its NICs send */
    double most_mbs;               /* and at most that */
    uint32_t leaving;              /* the domain whose oversubscription counts last */
    uint32_t narrow;               /* the domain whose level says most_mbs */
};

struct tug_domain {
    const char *name, *level;      /* interned */
    uint32_t level_row;            /* of tug_fabric.levels; TUG_NO_DOMAIN = nothing is known of it */
    uint32_t parent;               /* TUG_NO_DOMAIN = at the top */
    uint32_t height;               /* 0: nothing below; else one more than the highest below */
    uint32_t order, order_end;     /* in the tree, parents before what is below them: [order, order_end) is all of it */
    struct tug_region own, all;    /* nodes of its own; and those of the domains below it */
    uint64_t mark;                 /* scratch: seen among the nodes of a gang */
    double best_over, best_most_mbs;  /* of the ways from its nodes up to it: the least and the most of all */
    uint32_t depth;                /* domains above it */
    struct tug_way *ways;          /* of nodes of its own: to itself, to each above, and to all nodes */
};

/* The domains of one level. One that lies within another of the same level is a part of that one. */
struct tug_tier {
    const char *name;              /* of the level; interned by its domains */
    uint32_t height;               /* of the lowest of them */
    uint32_t *domains;             /* n of them, in the order of the tree */
    size_t n;
    uint32_t *domain_of;           /* by node; TUG_NO_DOMAIN = in none of them */
    struct tug_region nodes;       /* those that are in one */
};

struct tug_fabric {
    struct tug_domain *at;         /* n domains, and one more: 'own' of at[n] are the nodes in no domain */
    size_t n;
    struct tug_level *levels;
    size_t n_levels;
    int has_nvlink, has_bandwidth; /* one of them is, or has */
    uint32_t *by_height;           /* all n, lower ones first, then in the order of the tree */
    uint32_t *by_order;            /* domain at each place of the tree */
    struct tug_tier *tiers;        /* one for each level that has a name, lower ones first */
    size_t n_tiers;
};

/* Names are there once, parents exist, nobody is below himself, nodes are configured and in one domain each, and a level
 * is described once. -EINVAL names both that contradict each other. */
int tug_fabric_check(const struct tug_core_conf *conf, struct tug_err *err);
/* Of a checked configuration, once its nodes are taken. */
void tug_fabric_take(struct tug_core *c, const struct tug_core_conf *conf);
/* The newest node is in no domain. */
void tug_fabric_add_outside(struct tug_core *c, uint32_t node);
void tug_fabric_clear(struct tug_core *c);
/* NULL: no domain is of that level. */
const struct tug_tier *tug_fabric_tier(const struct tug_fabric *f, const char *level);
/* Is 'upper' the domain itself, or above it? */
int tug_fabric_contains(const struct tug_fabric *f, uint32_t upper, uint32_t domain);

#endif
