/* readfile.h - a whole regular file into memory, and the configuration's way to real files
 */
#ifndef TUG_HOST_READFILE_H
#define TUG_HOST_READFILE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/source.h"

/* Append the whole of 'path' to 'out'. Never blocks on what is not a regular file. 'err' names the
 * path and what is in the way; 'out' is as it was on failure.
 *   -EFBIG   over 'max_bytes'
 *   -EISDIR  a directory      -EINVAL  a device, pipe or socket
 *   another negative errno of open(2) or read(2) */
int tug_readfile(const char *path, size_t max_bytes, struct tug_buf *out, struct tug_err *err);

/* Real files, for tug_config_load(). Static. */
const struct tug_source_reader *tug_readfile_reader(void);

#endif
