/* idtab.c - things by number, for numbers that are given out one after the other
 *
 * Pages are sorted by number and never empty.
 */
#include "base/idtab.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Index of the first page whose number is not below 'number'. Numbers rise by one a page at least, which says where it can be:
 * in one place, when no page is missing. */
static size_t page_at(const struct tug_idtab *t, uint64_t number)
{
    size_t n = t->n_pages, low = 0, high = n;
    if (!n || t->pages[n - 1]->number < number) /* new ids are the highest */
        return n;
    if (number <= t->pages[0]->number)
        return 0;
    uint64_t above = number - t->pages[0]->number, below = t->pages[n - 1]->number - number;
    if (above < high)
        high = (size_t) above;
    if (below < n - 1)
        low = n - 1 - (size_t) below;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->pages[mid]->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void tug_idtab_clear(struct tug_idtab *t)
{
    for (size_t i = 0; i < t->n_pages; i++)
        free(t->pages[i]);
    free(t->pages);
    *t = (struct tug_idtab){0};
}

static struct tug_idpage *insert_page(struct tug_idtab *t, size_t i, uint64_t number)
{
    if (t->n_pages == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 16;
        t->pages = tug_xrealloc(t->pages, t->cap * sizeof *t->pages);
    }
    memmove(&t->pages[i + 1], &t->pages[i], (t->n_pages - i) * sizeof *t->pages);
    t->n_pages++;
    t->pages[i] = tug_new(struct tug_idpage);
    t->pages[i]->number = number;
    return t->pages[i];
}

void tug_idtab_add(struct tug_idtab *t, uint64_t id, void *thing)
{
    size_t i = page_at(t, id / 64);
    struct tug_idpage *p =
        i < t->n_pages && t->pages[i]->number == id / 64 ? t->pages[i] : insert_page(t, i, id / 64);
    tug_assert(thing && !(p->used >> (id % 64) & 1));
    p->used |= 1ULL << (id % 64);
    p->at[id % 64] = thing;
    t->n++;
}

void tug_idtab_remove(struct tug_idtab *t, uint64_t id)
{
    if (!tug_idtab_find(t, id))
        return;
    size_t i = page_at(t, id / 64);
    struct tug_idpage *p = t->pages[i];
    p->used &= ~(1ULL << (id % 64));
    p->at[id % 64] = NULL;
    t->n--;
    if (p->used)
        return;
    free(p);
    memmove(&t->pages[i], &t->pages[i + 1], (t->n_pages - i - 1) * sizeof *t->pages);
    t->n_pages--;
}

void *tug_idtab_find(const struct tug_idtab *t, uint64_t id)
{
    size_t i = page_at(t, id / 64);
    if (i == t->n_pages || t->pages[i]->number != id / 64)
        return NULL;
    return t->pages[i]->at[id % 64];
}

void *tug_idtab_after(const struct tug_idtab *t, uint64_t id)
{
    if (id == UINT64_MAX)
        return NULL;
    id++;
    for (size_t i = page_at(t, id / 64); i < t->n_pages; i++) {
        const struct tug_idpage *p = t->pages[i];
        uint64_t rest = p->number == id / 64 ? p->used & (~0ULL << (id % 64)) : p->used;
        if (rest)
            return p->at[__builtin_ctzll(rest)];
    }
    return NULL;
}

size_t tug_idtab_bytes(const struct tug_idtab *t)
{
    return t->n_pages * (sizeof **t->pages + sizeof *t->pages);
}
