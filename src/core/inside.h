/* inside.h - the machines of a cluster: each kind once, however many nodes are of it
 *
 * Nodes of one kind share what is known of their links, and what was worked out from it. Layer: core.
 */
#ifndef TUG_CORE_INSIDE_H
#define TUG_CORE_INSIDE_H

#include <stddef.h>

#include "base/machine.h"

struct tug_insides; /* opaque: see inside.c */

struct tug_insides *tug_insides_new(void);
void tug_insides_free(struct tug_insides *all); /* frees every machine */
size_t tug_insides_count(const struct tug_insides *all);
size_t tug_insides_bytes(const struct tug_insides *all);

/* One more holder of the machine with that hardware, whatever its name is. NULL stays NULL: nothing is known. */
const struct tug_machine *tug_inside_hold(struct tug_insides *all, const struct tug_machine *m);
void tug_inside_drop(struct tug_insides *all, const struct tug_machine *held); /* one holder less; NULL is fine */

#endif
