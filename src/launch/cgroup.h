/* cgroup.h - one cgroup v2 directory a step: membership from birth, and one file that kills everything
 *
 * ROOT/tug-NODE/<job>.<attempt>.<step>. No controller is used: this works on hosts where v1 has them all.
 * Layer: launch.
 */
#ifndef TUG_LAUNCH_CGROUP_H
#define TUG_LAUNCH_CGROUP_H

#include <stdbool.h>

#include "base/err.h"

/* Find or take ROOT, make ROOT/tug-NODE and end what an earlier launcher left there. *fd is the directory.
 *   root NULL   the cgroup v2 that this process is in
 *   -ENOENT     there is no cgroup v2        -EACCES, -EROFS...  it cannot be used
 *   -EBUSY      what was left there does not end */
int tug_cgroup_open(const char *root, const char *node, int *fd, struct tug_err *err);
void tug_cgroup_close(int fd);              /* and remove the directory, when no step is left in it */
int tug_cgroup_make(int base_fd, const char *step, int *fd, struct tug_err *err);
void tug_cgroup_kill(int fd);
bool tug_cgroup_empty(int fd);              /* an unreadable one is not */
bool tug_cgroup_oom(int fd);                /* the OOM killer was at work (where v2 has the memory controller) */
bool tug_cgroup_remove(int base_fd, const char *step);

#endif
