/* leash.h - a lock that a program and all that it starts carry, by which they are found when they have left its process group
 *
 * Each run takes a place of its own in one file and has that open as descriptor TUG_LEASH_FD. The lock belongs to the open file, so it
 * is held as long as any process has that: who ignores it and goes elsewhere with setsid() has it still, who closes it is free.
 * Layer: host.
 */
#ifndef TUG_HOST_LEASH_H
#define TUG_HOST_LEASH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define TUG_LEASH_FD 3

/* Opens the file, which is made where there is none, and takes the first free place in it. Closing the descriptor lets go of it,
 * once nobody has inherited it. -errno, and the sentence names the file. */
int tug_leash_take(const char *path, int *fd, uint64_t *place, struct tug_err *err);
/* Somebody has that place in the file. */
bool tug_leash_is_held(const char *path, uint64_t place);
/* SIGKILL to everybody who has it as descriptor TUG_LEASH_FD, as far as we may. How many these were. */
unsigned tug_leash_kill(const char *path, uint64_t place);

#endif
