/* failures.c - when simulated nodes fail and come back
 *
 * Always: every node is in the heap, with the time of its next change. Layer: sim.
 */
#include "sim/failures.h"

#include <math.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/mem.h"
#include "base/rand.h"

struct node {
    struct tug_heap_node next;
    int64_t at;
    struct tug_rand rand;
    uint32_t index;
    int is_away;
};

struct tug_failures {
    struct node *nodes;
    uint32_t n, away;
    int64_t mean, repair;
    struct tug_heap heap;
};

static bool changes_sooner(const struct tug_heap_node *a, const struct tug_heap_node *b)
{
    const struct node *x = tug_heap_entry(a, struct node, next),
                      *y = tug_heap_entry(b, struct node, next);
    return x->at != y->at ? x->at < y->at : x->index < y->index;
}

static int64_t later(int64_t at, double by)
{
    return by >= (double) (INT64_MAX - 1024 - at) ? INT64_MAX : at + (int64_t) ceil(by);
}

/* By inversion: -mean log(1 - u), u in [0, 1). */
static int64_t next_failure(struct tug_failures *f, struct node *n, int64_t now)
{
    return later(now, -(double) f->mean * log1p(-tug_rand_double(&n->rand)));
}

struct tug_failures *tug_failures_new(uint32_t nodes, int64_t begin, int64_t mean, int64_t repair,
                                      uint64_t seed)
{
    struct tug_failures *f = tug_new(struct tug_failures);
    struct tug_rand seeds = tug_rand_seed(seed);
    f->nodes = tug_xcalloc(nodes, sizeof *f->nodes);
    f->n = nodes;
    f->mean = mean;
    f->repair = repair;
    f->heap.less = changes_sooner;
    for (uint32_t i = 0; i < nodes; i++) {
        struct node *n = &f->nodes[i];
        n->index = i;
        n->rand = tug_rand_seed(tug_rand_u64(&seeds));
        n->at = next_failure(f, n, begin);
        tug_heap_push(&f->heap, &n->next);
    }
    return f;
}

void tug_failures_free(struct tug_failures *f)
{
    if (!f)
        return;
    tug_heap_clear(&f->heap);
    free(f->nodes);
    free(f);
}

static struct node *first(const struct tug_failures *f)
{
    const struct tug_heap_node *n = tug_heap_first(&f->heap);
    return n ? (struct node *) tug_heap_entry(n, struct node, next) : NULL;
}

int64_t tug_failures_next(const struct tug_failures *f)
{
    const struct node *n = first(f);
    return n ? n->at : INT64_MAX;
}

uint32_t tug_failures_take(struct tug_failures *f, int *fails)
{
    struct node *n = first(f);
    n->is_away = !n->is_away;
    *fails = n->is_away;
    n->at = n->is_away ? later(n->at, (double) f->repair) : next_failure(f, n, n->at);
    f->away += n->is_away ? 1 : -1U;
    tug_heap_moved(&f->heap, &n->next);
    return n->index;
}

uint32_t tug_failures_away(const struct tug_failures *f)
{
    return f->away;
}
