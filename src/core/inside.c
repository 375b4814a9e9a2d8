/* inside.c - the machines of a cluster: each kind once, however many nodes are of it
 *
 * Every machine in the table has at least one holder. Layer: core.
 */
#include "core/inside.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

struct inside {
    struct tug_machine m; /* first: what holders point to */
    size_t holders;
    struct inside *next;
};

struct tug_insides {
    struct inside *first; /* a handful: a cluster has few kinds of nodes */
};

struct tug_insides *tug_insides_new(void)
{
    return tug_new(struct tug_insides);
}

void tug_insides_free(struct tug_insides *all)
{
    if (!all)
        return;
    for (struct inside *next, *x = all->first; x; x = next) {
        next = x->next;
        free(x);
    }
    free(all);
}

const struct tug_machine *tug_inside_hold(struct tug_insides *all, const struct tug_machine *m)
{
    if (!m)
        return NULL;
    struct inside *x = all->first;
    while (x && !tug_machine_equal(&x->m, m))
        x = x->next;
    if (!x) {
        x = tug_new(struct inside);
        x->m = *m;
        x->next = all->first;
        all->first = x;
    }
    x->holders++;
    return &x->m;
}

void tug_inside_drop(struct tug_insides *all, const struct tug_machine *held)
{
    if (!held)
        return;
    struct inside **at = &all->first;
    while (*at && &(*at)->m != held)
        at = &(*at)->next;
    tug_assert(*at && (*at)->holders > 0);
    if (--(*at)->holders)
        return;
    struct inside *gone = *at;
    *at = gone->next;
    free(gone);
}

size_t tug_insides_count(const struct tug_insides *all)
{
    size_t n = 0;
    for (const struct inside *x = all->first; x; x = x->next)
        n++;
    return n;
}

size_t tug_insides_bytes(const struct tug_insides *all)
{
    return tug_insides_count(all) * sizeof(struct inside);
}
