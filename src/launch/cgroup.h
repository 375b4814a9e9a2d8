/* cgroup.h - one cgroup v2 directory a step: membership from birth, and one file that kills everything
 *
 * ROOT/tug-NODE/<job>.<attempt>/<job>.<attempt>.<step>. It needs no controller, so it works on hosts where v1 has them all.
 * Limits (limit.h) are of what steps of an attempt have together.
 * Layer: launch.
 */
#ifndef TUG_LAUNCH_CGROUP_H
#define TUG_LAUNCH_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Find or take ROOT, make ROOT/tug-NODE and end what an earlier launcher left there; what of that does not end in time
 * is still in tug_cgroup_next(). *fd is the directory.
 *   root NULL   the cgroup v2 that this process is in
 *   -ENOENT     there is no cgroup v2        -EACCES, -EROFS...  it cannot be used */
int tug_cgroup_open(const char *root, const char *node, int *fd, struct tug_err *err);
void tug_cgroup_close(int fd);              /* and remove the directory, when no step is left in it */
int tug_cgroup_make(int base_fd, const char *step, int *fd, struct tug_err *err);
bool tug_cgroup_kill(int fd);              /* false: not everything in it was sent SIGKILL */
/* The next directory in there, for a name of ours (job.attempt, in which there are job.attempt.step); false: no more. *list begins as NULL. */
bool tug_cgroup_next(int base_fd, void **list, char name[64]);
int tug_cgroup_reopen(int base_fd, const char *step);       /* -1 = it cannot be opened */
/* The first pids in it, at most max of 'all'. */
size_t tug_cgroup_pids(int fd, pid_t *out, size_t max, size_t *all);
bool tug_cgroup_empty(int fd);              /* an unreadable one is not */
bool tug_cgroup_remove(int base_fd, const char *step);
/* Up to size - 1 bytes of a file under 'dir', terminated; -1: it cannot be read. */
ssize_t tug_cgroup_read(int dir, const char *name, char *out, size_t size_bytes);
int tug_cgroup_write(int dir, const char *name, const char *text);   /* 0 or a negative errno */
int tug_cgroup_dir(int at, const char *name);   /* opened, no link followed; -1 and errno */

#endif
