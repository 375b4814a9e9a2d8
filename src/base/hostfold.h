/* hostfold.h - names back into brackets; only hostlist.c needs this */
#ifndef TUG_BASE_HOSTFOLD_H
#define TUG_BASE_HOSTFOLD_H

#include <stddef.h>

#include "base/buf.h"

/* Append names[0..n) (sorted, unique host names) to 'out' as r[1-2]n[01-10],... */
void tug_hostfold(const char *const *names, size_t n, struct tug_buf *out);

#endif
