/* heap.c - a binary min-heap of nodes that live inside their owners
 *
 * at[i]->place == i + 1 always; at[i] is not less than its parent at[(i - 1) / 2].
 * Layer: base.
 */
#include "base/heap.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

static void put(struct tug_heap *h, size_t i, struct tug_heap_node *n)
{
    h->at[i] = n;
    n->place = i + 1;
}

static void sift_up(struct tug_heap *h, size_t i)
{
    struct tug_heap_node *n = h->at[i];
    while (i > 0 && h->less(n, h->at[(i - 1) / 2])) {
        put(h, i, h->at[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, n);
}

static void sift_down(struct tug_heap *h, size_t i)
{
    struct tug_heap_node *n = h->at[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->len)
            break;
        if (child + 1 < h->len && h->less(h->at[child + 1], h->at[child]))
            child++;
        if (!h->less(h->at[child], n))
            break;
        put(h, i, h->at[child]);
        i = child;
    }
    put(h, i, n);
}

void tug_heap_clear(struct tug_heap *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->len; i++)
        h->at[i]->place = 0;
    free(h->at);
    *h = (struct tug_heap){ .less = h->less };
}

void tug_heap_push(struct tug_heap *h, struct tug_heap_node *n)
{
    tug_assert(n->place == 0);
    if (h->len == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
        h->at = tug_xrealloc(h->at, h->cap * sizeof *h->at);
    }
    h->at[h->len++] = n;
    sift_up(h, h->len - 1);
}

struct tug_heap_node *tug_heap_first(const struct tug_heap *h)
{
    return h->len ? h->at[0] : NULL;
}

struct tug_heap_node *tug_heap_pop(struct tug_heap *h)
{
    struct tug_heap_node *n = tug_heap_first(h);
    if (n)
        tug_heap_remove(h, n);
    return n;
}

void tug_heap_remove(struct tug_heap *h, struct tug_heap_node *n)
{
    if (n->place == 0)
        return;
    size_t i = n->place - 1;
    tug_assert(i < h->len && h->at[i] == n);
    struct tug_heap_node *last = h->at[--h->len];
    n->place = 0;
    if (last != n) {
        put(h, i, last);
        tug_heap_moved(h, last);
    }
}

void tug_heap_moved(struct tug_heap *h, struct tug_heap_node *n)
{
    tug_assert(n->place != 0 && n->place <= h->len && h->at[n->place - 1] == n);
    sift_up(h, n->place - 1);
    sift_down(h, n->place - 1);
}
