/* idtab.h - things by number, for numbers that are given out one after the other
 *
 * A page of 64 neighbouring ids is nearly always full: 8 bytes a thing, ids come out in order without a sort, and where nothing
 * is missing in between a look-up goes to the page at once. Does not own the things.
 */
#ifndef TUG_BASE_IDTAB_H
#define TUG_BASE_IDTAB_H

#include <stddef.h>
#include <stdint.h>

struct tug_idpage {
    uint64_t number; /* ids number * 64 .. + 63 */
    uint64_t used;   /* bit i: at[i] is there; never 0 */
    void *at[64];
};
struct tug_idtab {             /* zero-initialised is empty */
    struct tug_idpage **pages; /* by number */
    size_t n_pages, cap;
    size_t n;
};

void tug_idtab_clear(struct tug_idtab *t);
void tug_idtab_add(struct tug_idtab *t, uint64_t id, void *thing); /* the id must be new, the thing not NULL */
void tug_idtab_remove(struct tug_idtab *t, uint64_t id);           /* nothing if it is not there */
void *tug_idtab_find(const struct tug_idtab *t, uint64_t id);      /* NULL: no such */
void *tug_idtab_after(const struct tug_idtab *t, uint64_t id);     /* that of the next higher id; NULL: none */
size_t tug_idtab_bytes(const struct tug_idtab *t);

#endif
