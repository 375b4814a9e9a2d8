/* signame.h - signals by name
 *
 * Layer: base.
 */
#ifndef TUG_BASE_SIGNAME_H
#define TUG_BASE_SIGNAME_H

#include "base/err.h"

#define TUG_SIGNAL_MAX 64

/* "SIGTERM"; NULL for those without a name. */
const char *tug_signame(int signo);
/* "TERM", "sigterm", "15". -EINVAL: none of these. */
int tug_signame_parse(const char *text, int *out, struct tug_err *err);

#endif
