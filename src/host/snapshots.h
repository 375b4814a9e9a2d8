/* snapshots.h - copies of the state that are made every few hours: where they are, and how they are called
 *
 * "state-20261130T064512Z.db": a file of that name is whole, it was read back before it got it. Layer: host.
 */
#ifndef TUG_HOST_SNAPSHOTS_H
#define TUG_HOST_SNAPSHOTS_H

#include <stdint.h>

#include "base/vec.h"
#include "conf/config.h"

struct tug_snapshot {
    char *path;
    int64_t at_ms;                 /* wall clock, by its name */
    int64_t bytes;
};
struct tug_snapshots tug_vec(struct tug_snapshot);

/* As snapshots.directory says, or in that state directory; the caller frees. */
char *tug_snapshots_dir(const struct tug_config *cfg, const char *state_dir);
/* The path of one that is made now; the caller frees. */
char *tug_snapshots_name(const char *dir, int64_t at_ms);
/* What is there, the newest first; a directory that cannot be read has none. */
void tug_snapshots_list(const char *dir, struct tug_snapshots *out);
void tug_snapshots_clear(struct tug_snapshots *s);

#endif
