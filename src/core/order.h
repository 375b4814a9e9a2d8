/* order.h - the waiting jobs that may start, in the order in which they do
 *
 * Tier (higher first); then the policy's key (smaller first) where one gives keys, else priority
 * (larger first); then submit time, then id. Rows are what policies see, dense and ready: changes
 * are collected and merged by settle(), which costs nothing when jobs come at the end and go at the
 * front.
 */
#ifndef TUG_CORE_ORDER_H
#define TUG_CORE_ORDER_H

#include <stddef.h>

#include "base/vec.h"
#include "tugline/policy.h"

struct tug_entry;

/* What it takes to see that a job need not be looked at: a hundred thousand of them fit into a cache. */
struct tug_brief {
    uint32_t family; /* of its shape; see core.families. 0: what others find says nothing of it */
    uint32_t run_s;  /* of its expected run, rounded down; UINT32_MAX = nobody knows */
    uint32_t nodes;  /* TUG_BRIEF_LEFT = it has left the order */
};
#define TUG_BRIEF_LEFT UINT32_MAX

struct tug_order_row {
    struct tug_policy_job job; /* first: the view's stride is sizeof(struct tug_order_row) */
    struct tug_entry *entry;   /* NULL: has left the order, the row goes at the next settle */
    struct tug_brief brief;    /* as in 'briefs' */
};

struct tug_order {              /* zero-initialised is empty */
    struct tug_order_row *rows; /* the memory; row i of the order is rows[head + i] */
    struct tug_brief *briefs;   /* of the same rows */
    size_t head, len, cap;
    size_t left;                                /* rows without entry */
    struct tug_vec(struct tug_order_row) added; /* not merged yet, any order */
    size_t n_jobs, n_apart; /* apart: of family 0 */
    int keyed; /* a policy says the order: keys count, priorities don't */
};

void tug_order_clear(struct tug_order *o);
void tug_order_add(struct tug_order *o, const struct tug_policy_job *job, uint32_t family,
                   struct tug_entry *e);
/* The key is that of add(). Rows stay where they are until settle(). */
void tug_order_remove(struct tug_order *o, const struct tug_policy_job *key, struct tug_entry *e);
void tug_order_settle(struct tug_order *o);
/* The first half of settle(): those that have left go, those that came stay in 'added'. */
void tug_order_compact(struct tug_order *o);
/* Keys of settled rows, or 'keyed', have changed: sort again. Cheap when little has moved. */
void tug_order_sort(struct tug_order *o);
/* After settle(): the row, i < len. */
static inline struct tug_order_row *tug_order_row(const struct tug_order *o, size_t i)
{
    return &o->rows[o->head + i];
}
static inline const struct tug_brief *tug_order_brief(const struct tug_order *o, size_t i)
{
    return &o->briefs[o->head + i];
}
/* Which of those that have not left it is, 1 = goes first; 0 = it has not been merged yet. The key is that of add(). */
size_t tug_order_place(const struct tug_order *o, const struct tug_policy_job *key,
                       const struct tug_entry *e);
/* struct tug_brief.run_s */
uint32_t tug_order_run_s(const struct tug_policy_job *job);
/* Does a go before b? */
int tug_order_before(const struct tug_order *o, const struct tug_policy_job *a,
                     const struct tug_policy_job *b);

#endif
