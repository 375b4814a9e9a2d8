/* profile.h - what is free on which node when
 *
 * Time is cut into slots; in each of them what a node has free stays the same. A slot begins at an edge: now, the end of
 * something that runs or is booked. Up to a few hundred edges times are exact. With more of them a grid is laid over time,
 * fine near now and coarser later, and an end counts from the next edge on: rounding only ever makes something later.
 * The last slot stands for the time after everything that nobody knows the end of, or that lies beyond the horizon.
 *
 * What is free only shrinks from begin() to begin(), but for the ends told by ends(). No call allocates once the profile has seen a
 * cluster and a load of that size. Layer: core.
 */
#ifndef TUG_CORE_PROFILE_H
#define TUG_CORE_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#define TUG_NEVER INT64_MAX            /* a time that nobody knows */
#define TUG_NOWHEN (INT64_MAX - 1)     /* begin of the last slot */

struct tug_need {                      /* what a gang needs of a node */
    uint64_t mem_bytes;
    uint32_t gpus, cpus;
    uint32_t exclusive;                /* nobody else is there, and it takes all GPUs and CPUs */
    uint32_t cut;                      /* 'gpus' are slices of that kind (cut.c); 0 = GPUs */
};
struct tug_want {                      /* a gang */
    struct tug_need each, last;        /* last: of one of its nodes; as 'each' when they are alike */
    uint32_t nodes;
    int64_t run_ms;                    /* TUG_NEVER = nobody knows */
    const uint64_t *allowed;           /* bit i: it may use node i */
};
#define TUG_PROFILE_CUTS 8             /* kinds of slices on one node */
struct tug_stock {                     /* of a node: what there is, or what is free */
    int64_t mem_bytes;
    int32_t cpus, gpus;
    uint32_t gangs;                    /* that hold something there */
    int8_t slices[TUG_PROFILE_CUTS];   /* of the kinds that tug_profile_cuts() told */
};

struct tug_profile;                    /* opaque: see profile.c */

struct tug_profile *tug_profile_new(void);
void tug_profile_free(struct tug_profile *p);
size_t tug_profile_bytes(const struct tug_profile *p);

/* Anew, with nothing free on n nodes. 'ends' are the times that ends() will be told of, in any order. Nothing starts later than
 * horizon_ms (a time, not a span). step_ms: how far apart the edges of the grid are near now, where one is needed. */
void tug_profile_begin(struct tug_profile *p, int64_t now_ms, int64_t horizon_ms, int64_t step_ms,
                       size_t n_nodes, const int64_t *ends, size_t n_ends);
/* What the node has in all, and free now. Then, of each gang that holds something there: when that comes free. */
void tug_profile_node(struct tug_profile *p, uint32_t node, const struct tug_stock *has,
                      const struct tug_stock *free_now);
/* Which kinds of slices its stock counts; 0 = none. Between node() and ends(); without it: of no kind. */
void tug_profile_cuts(struct tug_profile *p, uint32_t node, const uint32_t kinds[TUG_PROFILE_CUTS]);
void tug_profile_ends(struct tug_profile *p, uint32_t node, int64_t end_ms,
                      const struct tug_stock *held);

/* When the gang could start at the earliest, not before from_ms: a time, TUG_NOWHEN, or TUG_NEVER = not even then. */
int64_t tug_profile_earliest(struct tug_profile *p, const struct tug_want *w, int64_t from_ms);
/* Nodes for it at 'start_ms', which earliest() returned just before: those that come free last, so that what is free
 * sooner stays so for others. nodes[w->nodes - 1] is the one for 'last'. */
void tug_profile_choose(struct tug_profile *p, const struct tug_want *w, int64_t start_ms,
                        uint32_t *nodes);
/* Something may start at that time, too, or at the next edge where there are too many. */
void tug_profile_edge_at(struct tug_profile *p, int64_t t);
/* The next edge, TUG_NOWHEN included; TUG_NEVER = there is none. */
int64_t tug_profile_edge_after(const struct tug_profile *p, int64_t at_ms);
/* Of the nodes in 'allowed' those that serve the need for that long from the slot on that begins at at_ms, an edge, as
 * bits: how many. */
uint32_t tug_profile_serving(struct tug_profile *p, const struct tug_need *need, const uint64_t *allowed,
                             int64_t at_ms, int64_t run_ms, uint64_t *bits);
/* Nodes that could take a slice ('each') of it from now to its end, as bits; the caller's until the next call. */
uint64_t *tug_profile_open_now(struct tug_profile *p, const struct tug_want *w);
/* Would it fit there from now to its end? nodes as choose() gives them. */
int tug_profile_fits_now(const struct tug_profile *p, const struct tug_want *w,
                         const uint32_t *nodes);
/* It holds these nodes from start_ms, an edge, until its end. */
void tug_profile_book(struct tug_profile *p, const struct tug_want *w, const uint32_t *nodes,
                      int64_t start_ms);

int tug_profile_is_exact(const struct tug_profile *p); /* no time has been rounded */
/* What is free at that time; for tests. */
void tug_profile_at(const struct tug_profile *p, uint32_t node, int64_t at_ms,
                    struct tug_stock *out);
/* Do the bits say what the nodes say? 0, or -EINVAL. For tests and tug_core_check(). */
int tug_profile_check(const struct tug_profile *p);

#endif
