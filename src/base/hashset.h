/* hashset.h - things found by the hash of their keys, hundreds of thousands of them
 *
 * For what there is one of for every job. uthash lets ten things share a chain, each of them in another line of memory: with
 * 200,000 names and tokens that was a fifth of a start. Here a look-up reads neighbouring slots of 16 bytes, and a thing only if
 * its hash is the one that is wanted; growing reads no thing at all. Does not own the things.
 */
#ifndef TUG_BASE_HASHSET_H
#define TUG_BASE_HASHSET_H

#include <stddef.h>
#include <stdint.h>

struct tug_hashslot {
    void *item; /* NULL: free */
    uint32_t hash;
};
struct tug_hashset { /* zero-initialised is empty */
    struct tug_hashslot *slots;
    size_t n, cap; /* cap: a power of two, or 0 */
};

/* The same everywhere and always; not for those who choose keys to make them collide. */
uint32_t tug_hash(const void *p, size_t len);

/* Is it the one with that key? Asked of items with the right hash only. */
typedef int tug_hashset_is(const void *item, const void *key);
void *tug_hashset_find(const struct tug_hashset *s, uint32_t hash, tug_hashset_is *is,
                       const void *key);                                     /* NULL: none is */
void tug_hashset_add(struct tug_hashset *s, uint32_t hash, void *item);      /* none may be there with that key */
void tug_hashset_remove(struct tug_hashset *s, uint32_t hash, const void *item); /* it must be there */
/* Each once, in an order that means nothing: start with *pos = 0; NULL at the end. Nothing may be added or removed meanwhile. */
void *tug_hashset_next(const struct tug_hashset *s, size_t *pos);
size_t tug_hashset_bytes(const struct tug_hashset *s);
void tug_hashset_clear(struct tug_hashset *s);

#endif
