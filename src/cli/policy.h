/* policy.h - what the parts of tug policy share. Layer: cli. */
#ifndef TUG_CLI_POLICY_H
#define TUG_CLI_POLICY_H

#include "base/err.h"

/* Writes a policy that works, called 'name', into 'dir' (made if it is not there), and says what to
 * do next. -EINVAL  no policy can have that name (says why)      -EEXIST  a file is there already;
 * nothing was written else     -errno of the file that could not be written */
int tug_policy_new(const char *name, const char *dir, struct tug_err *err);

#endif
