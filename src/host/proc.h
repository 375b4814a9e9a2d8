/* proc.h - processes: start them with exactly the descriptors they should have, wait for them on
 * the loop, know them again
 *
 * A started program has the descriptors in its map, 0-2 of ours where the map says nothing, and no
 * other; default signal handlers, no blocked signals.
 * Layer: host.
 */
#ifndef TUG_HOST_PROC_H
#define TUG_HOST_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct event_base;
struct tug_child;

struct tug_spawn_fd {
    int from, to;
}; /* 'from' of ours becomes 'to' of the program; maps may swap */

struct tug_spawn {
    const char *path; /* the program; not searched in PATH */
    char *const *argv;
    char *const *envp; /* NULL: ours */
    const char *cwd;   /* NULL: ours */
    const struct tug_spawn_fd *fds;
    size_t n_fds;    /* at most TUG_SPAWN_FDS_MAX, 'to' below 256 */
    int new_session; /* setsid(): signals to our terminal don't reach it */
    int die_with_us; /* SIGKILL when the thread that started it ends (PR_SET_PDEATHSIG) */
};
enum { TUG_SPAWN_FDS_MAX = 16 };

/* The program has been executed, or nothing was started and the sentence says which step failed.
 * 'status' is that of waitpid(2); the callback runs on the loop once. */
typedef void tug_child_cb(void *arg, struct tug_child *c, int status);
int tug_child_spawn(struct tug_child **out, struct event_base *base, const struct tug_spawn *s,
                    tug_child_cb *cb, void *arg, struct tug_err *err);
/* Hear of the end of a process that need not be our child (status is -1 when it is not).
 *   -ESRCH    there is none           -ENOSYS  the kernel has no pidfds (before 5.3) */
int tug_child_adopt(struct tug_child **out, struct event_base *base, pid_t pid, tug_child_cb *cb,
                    void *arg, struct tug_err *err);
pid_t tug_child_pid(const struct tug_child *c);
/* Never hits another process that got the same pid. 0, -ESRCH when it has ended, -EPERM. */
int tug_child_kill(struct tug_child *c, int signo);
/* Stops listening and forgets it; the process goes on. Also from inside the callback. */
void tug_child_free(struct tug_child *c);

/* "exit code 3" or "signal 9 (Killed)" into 'out'; returns out. */
const char *tug_status_text(int status, char *out, size_t size_bytes);

/* ---- what /proc says ---- */

#define TUG_BOOT_ID_LEN 37 /* with NUL */
int tug_proc_boot_id(char out[TUG_BOOT_ID_LEN], struct tug_err *err);
/* The arguments with blanks between them, as they are now (a process may change its own). -ESRCH.
 */
int tug_proc_cmdline(pid_t pid, struct tug_buf *out, struct tug_err *err);
/* Start time in clock ticks since boot: with the pid and the boot id it names a process for ever.
 * -ESRCH. */
int tug_proc_start_ticks(pid_t pid, uint64_t *out, struct tug_err *err);

#endif
