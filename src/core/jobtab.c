/* jobtab.c - jobs by id
 *
 * Pages are sorted by number and never empty. Layer: core.
 */
#include "core/jobtab.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Index of the first page whose number is not below 'number'. */
static size_t page_at(const struct tug_jobtab *t, uint64_t number)
{
    size_t low = 0, high = t->n_pages;
    if (high && t->pages[high - 1]->number < number) /* new ids are the highest */
        return high;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->pages[mid]->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void tug_jobtab_clear(struct tug_jobtab *t)
{
    for (size_t i = 0; i < t->n_pages; i++)
        free(t->pages[i]);
    free(t->pages);
    *t = (struct tug_jobtab){0};
}

static struct tug_jobpage *insert_page(struct tug_jobtab *t, size_t i, uint64_t number)
{
    if (t->n_pages == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 16;
        t->pages = tug_xrealloc(t->pages, t->cap * sizeof *t->pages);
    }
    memmove(&t->pages[i + 1], &t->pages[i], (t->n_pages - i) * sizeof *t->pages);
    t->n_pages++;
    t->pages[i] = tug_new(struct tug_jobpage);
    t->pages[i]->number = number;
    return t->pages[i];
}

void tug_jobtab_add(struct tug_jobtab *t, tug_job_id id, struct tug_entry *e)
{
    size_t i = page_at(t, id / 64);
    struct tug_jobpage *p =
        i < t->n_pages && t->pages[i]->number == id / 64 ? t->pages[i] : insert_page(t, i, id / 64);
    tug_assert(!(p->used >> (id % 64) & 1));
    p->used |= 1ULL << (id % 64);
    p->at[id % 64] = e;
    t->n_jobs++;
}

void tug_jobtab_remove(struct tug_jobtab *t, tug_job_id id)
{
    if (!tug_jobtab_find(t, id))
        return;
    size_t i = page_at(t, id / 64);
    struct tug_jobpage *p = t->pages[i];
    p->used &= ~(1ULL << (id % 64));
    p->at[id % 64] = NULL;
    t->n_jobs--;
    if (p->used)
        return;
    free(p);
    memmove(&t->pages[i], &t->pages[i + 1], (t->n_pages - i - 1) * sizeof *t->pages);
    t->n_pages--;
}

struct tug_entry *tug_jobtab_find(const struct tug_jobtab *t, tug_job_id id)
{
    size_t i = page_at(t, id / 64);
    if (i == t->n_pages || t->pages[i]->number != id / 64)
        return NULL;
    return t->pages[i]->at[id % 64];
}

struct tug_entry *tug_jobtab_after(const struct tug_jobtab *t, tug_job_id id)
{
    if (id == UINT64_MAX)
        return NULL;
    id++;
    for (size_t i = page_at(t, id / 64); i < t->n_pages; i++) {
        const struct tug_jobpage *p = t->pages[i];
        uint64_t rest = p->number == id / 64 ? p->used & (~0ULL << (id % 64)) : p->used;
        if (rest)
            return p->at[__builtin_ctzll(rest)];
    }
    return NULL;
}
