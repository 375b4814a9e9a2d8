/* hashset.c - things found by the hash of their keys, hundreds of thousands of them
 *
 * Linear probing: from the slot that its hash says up to its own, none is free. At most five eighths of the slots are taken.
 */
#include "base/hashset.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { LEAST = 16 };

uint32_t tug_hash(const void *p, size_t len)
{
    const uint64_t odd = 0x9e3779b97f4a7c15ULL; /* 2^64 over the golden ratio */
    const char *at = p;
    uint64_t h = len, word;

    for (; len >= sizeof word; len -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        h = (h ^ word) * odd;
        h ^= h >> 29;
    }
    word = 0;
    if (len)
        memcpy(&word, at, len);
    h = (h ^ word) * odd;
    h = (h ^ h >> 32) * odd;
    return (uint32_t) (h >> 32);
}

static size_t next_slot(const struct tug_hashset *s, size_t i)
{
    return (i + 1) & (s->cap - 1);
}

void *tug_hashset_find(const struct tug_hashset *s, uint32_t hash, tug_hashset_is *is,
                       const void *key)
{
    if (!s->n)
        return NULL;
    for (size_t i = hash & (s->cap - 1); s->slots[i].item; i = next_slot(s, i))
        if (s->slots[i].hash == hash && is(s->slots[i].item, key))
            return s->slots[i].item;
    return NULL;
}

static void put(struct tug_hashset *s, struct tug_hashslot slot)
{
    size_t i = slot.hash & (s->cap - 1);

    while (s->slots[i].item)
        i = next_slot(s, i);
    s->slots[i] = slot;
}

static void grow(struct tug_hashset *s)
{
    struct tug_hashset old = *s;

    s->cap = old.cap ? 2 * old.cap : LEAST;
    s->slots = tug_xmalloc(s->cap * sizeof *s->slots);
    memset(s->slots, 0, s->cap * sizeof *s->slots); /* fresh pages that are read first are faulted in twice */
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].item)
            put(s, old.slots[i]);
    free(old.slots);
}

void tug_hashset_add(struct tug_hashset *s, uint32_t hash, void *item)
{
    tug_assert(item);
    if (s->n >= s->cap / 8 * 5)
        grow(s);
    put(s, (struct tug_hashslot){item, hash});
    s->n++;
}

void tug_hashset_remove(struct tug_hashset *s, uint32_t hash, const void *item)
{
    size_t hole = hash & (s->cap - 1);

    tug_assert(s->n);
    for (; s->slots[hole].item != item; hole = next_slot(s, hole))
        tug_assert(s->slots[hole].item);
    /* Those behind move up, unless that is before where their hash says. */
    for (size_t i = next_slot(s, hole); s->slots[i].item; i = next_slot(s, i)) {
        size_t from_home = (i - s->slots[i].hash) & (s->cap - 1), from_hole = (i - hole) & (s->cap - 1);

        if (from_home < from_hole)
            continue;
        s->slots[hole] = s->slots[i];
        hole = i;
    }
    s->slots[hole].item = NULL;
    s->n--;
}

void *tug_hashset_next(const struct tug_hashset *s, size_t *pos)
{
    while (*pos < s->cap)
        if (s->slots[(*pos)++].item)
            return s->slots[*pos - 1].item;
    return NULL;
}

size_t tug_hashset_bytes(const struct tug_hashset *s)
{
    return s->cap * sizeof *s->slots;
}

void tug_hashset_clear(struct tug_hashset *s)
{
    free(s->slots);
    *s = (struct tug_hashset){0};
}
