/* daemon.h - going into the background, and the directory and pid file of a daemon
 *
 * Layer: host.
 */
#ifndef TUG_HOST_DAEMON_H
#define TUG_HOST_DAEMON_H

#include <sys/types.h>

#include "base/err.h"

/* Go into the background; call before there are threads and loops. Returns 0 in the daemon (own
 * session, stdin from /dev/null, stdout and stderr to 'log_path', appended, NULL for /dev/null)
 * with *ready to be given to tug_daemon_ready(). In the process that was called it returns only
 * when the daemon is ready (1: exit 0), or when it said why not or died (negative errno and the
 * sentence: exit 1). */
int tug_daemon_background(const char *log_path, int *ready, struct tug_err *err);
/* Tell the process that waits: 'failure' NULL when ready. *ready < 0 (not in the background) does
 * nothing. Once. */
void tug_daemon_ready(int *ready, const char *failure);

/* mkdir -p with mode 0700. The directory must be ours and closed to others, and nobody else may be
 * able to replace any directory that leads to it (each owned by root or us; writable by others only
 * when sticky). -EACCES  -ENOTDIR  -ELOOP (the last part is a link) */
int tug_rundir_make(const char *path, struct tug_err *err);

/* Our pid into 'path', replaced in one step, mode 0644. It is for people: what keeps a second
 * daemon out is a lock. */
int tug_pidfile_write(const char *path, struct tug_err *err);
/* -ENOENT: none. -EINVAL: no pid in it. */
int tug_pidfile_read(const char *path, pid_t *out, struct tug_err *err);

/* Raises how many files this process may have open to 'wanted', or as far as its hard limit allows. Returns how many it is. */
unsigned tug_daemon_files(unsigned wanted);

#endif
