/* heap.h - a binary min-heap of nodes that live inside their owners
 *
 *     struct timer { int64_t at_ms; struct tug_heap_node node; };
 *     static bool sooner(const struct tug_heap_node *a, const struct tug_heap_node *b)
 *     {
 *         return tug_heap_entry(a, struct timer, node)->at_ms < tug_heap_entry(b, ...)->at_ms;
 *     }
 *     struct tug_heap timers = { .less = sooner };
 *     tug_heap_push(&timers, &t->node);
 *
 * A node knows its place, so any node can be removed or moved in O(log n). A zeroed node is in no
 * heap. The order of nodes that are equal under 'less' depends on the history: put a sequence
 * number into 'less' where the order must be the same in every run.
 */
#ifndef TUG_BASE_HEAP_H
#define TUG_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct tug_heap_node {
    size_t place; /* 1-based index in the heap; 0: in none */
};

struct tug_heap {
    bool (*less)(const struct tug_heap_node *a, const struct tug_heap_node *b);
    struct tug_heap_node **at;
    size_t len;
    size_t cap;
};

#define tug_heap_entry(n, type, member) \
    ((type *) (void *) ((char *) (void *) (size_t) (n) - offsetof(type, member)))

void tug_heap_clear(struct tug_heap *h); /* every node is out; keeps 'less' */
void tug_heap_push(struct tug_heap *h, struct tug_heap_node *n);   /* n must be in no heap */
struct tug_heap_node *tug_heap_first(const struct tug_heap *h);    /* NULL when empty */
struct tug_heap_node *tug_heap_pop(struct tug_heap *h);            /* NULL when empty */
void tug_heap_remove(struct tug_heap *h, struct tug_heap_node *n); /* n may be in no heap */
void tug_heap_moved(struct tug_heap *h, struct tug_heap_node *n);  /* after n's key has changed */

static inline bool tug_heap_holds(const struct tug_heap_node *n) { return n->place != 0; }

#endif
