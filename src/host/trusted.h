/* trusted.h - programs that nobody but root and we can put others in the place of
 *
 * Layer: host.
 */
#ifndef TUG_HOST_TRUSTED_H
#define TUG_HOST_TRUSTED_H

#include "base/err.h"

/* May the program at that path be run by a daemon? It and every directory on the way to it, as written and behind
 * symbolic links, must be root's or ours, and nobody else may write there; a directory above its own may be one
 * like /tmp, where everybody can add files and only their owner can rename them.
 *   -EACCES  who could write what (names it, and the way out)      -EINVAL  not an absolute path, or not a file
 *   -errno   of looking at it (names what) */
int tug_trusted_program(const char *path, struct tug_err *err);

#endif
