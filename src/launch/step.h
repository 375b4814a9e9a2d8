/* step.h - the steps that this launcher started, until nothing is left of them
 *
 * RUNNING: its step daemon lives. ENDING: the daemon is gone or was killed, everything is being killed, for as long as it takes: a
 * process that waits inside the kernel ends when that lets it. GONE: nothing is left; kept until tugnoded was told. Layer: launch.
 */
#ifndef TUG_LAUNCH_STEP_H
#define TUG_LAUNCH_STEP_H

#include <stdbool.h>
#include <sys/resource.h>

#include "launch/check.h"
#include "launch/limit.h"
#include "proto/wire.h"

#define TUG_STEPS_MAX 1024
#define TUG_ORDERS_MAX 65536           /* orders that were obeyed and have not expired: none is obeyed twice */

#define TUG_ORPHANS_MAX 1024           /* that are known one by one */
#define TUG_STUCK_MS 5000              /* what is left of a step after that is told to tugnoded, */
#define TUG_STUCK_AGAIN_MS 10000       /* and so often again */

enum tug_step_phase { TUG_STEP_FREE, TUG_STEP_RUNNING, TUG_STEP_ENDING, TUG_STEP_GONE };

struct tug_step {
    enum tug_step_phase phase;
    uint64_t job;
    uint32_t attempt, step;
    uid_t uid;
    gid_t gid;
    bool requeueable;
    bool told;                         /* GONE was written to tugnoded */
    pid_t pid;                         /* of the step daemon, ours to wait for */
    bool reaped;                       /* ENDING: it was; else it was killed, and may be what does not end */
    pid_t cleaner;                     /* removes what it left in its directory, as the user; 0 = none */
    int cgroup;                        /* -1 = none */
    int wait_status;
    struct tug_limit_use use;          /* GONE: of its attempt here while it was; until then, as it came */
    bool overdue;                      /* ended by us: the lease was over */
    int64_t ending_ms;                 /* ENDING: since when, */
    uint64_t ending_round;             /* ... and after which listing of orphans */
    bool killed;                       /* everything in it was sent SIGKILL when it was swept last */
    int64_t tell_ms;                   /* ... and when tugnoded is told next that it does not end */
    struct rusage usage;
};

struct tug_steps {
    struct tug_rules rules;
    const char *run_dir, *stepd;       /* absolute */
    int dir;                           /* RUN_DIR/steps */
    int cgroup;                        /* -1 = none: adopted orphans only */
    struct tug_limits limits;
    bool log;                          /* step daemons write to our stderr */
    pid_t noded;                       /* not a step's */
    struct { pid_t pid; uint64_t round; } orphans[TUG_ORPHANS_MAX];     /* killed, and ours to wait for */
    size_t n_orphans;
    uint64_t round;                    /* of listing them */
    uint64_t below, n_below;           /* what was found below orphans that stay, in the last round: a sum, and how many */
    size_t n;                          /* no step stands at or after this */
    struct tug_step at[TUG_STEPS_MAX];
    struct { uint64_t job; uint32_t attempt, step; int64_t expires_ms; } seen[TUG_ORDERS_MAX];
    unsigned first_seen, n_seen;
};

/* Also empties RUN_DIR/steps. */
int tug_steps_open(struct tug_steps *s, struct tug_err *err);
/* Check the order and start the step daemon with the payload as its descriptor 3. Nothing is left behind on failure. */
int tug_steps_start(struct tug_steps *s, const uint8_t order[TUG_ORDER_LEN], const uint8_t *signature, int payload_fd,
                    struct tug_step **out, struct tug_err *err);
struct tug_step *tug_steps_find(struct tug_steps *s, uint64_t job, uint32_t attempt, uint32_t step);
void tug_steps_kill(struct tug_steps *s, struct tug_step *step);
/* Wait for every process that has ended. Returns tugnoded's status in *noded_status and true when it was among them. */
bool tug_steps_reap(struct tug_steps *s, int *noded_status);
/* Go on ending. When to do so again, in ms: soon after a step began to end, later and later then; -1 = none is ENDING. */
int tug_steps_sweep(struct tug_steps *s, int64_t now_ms);
/* What is left of an ENDING step: the first pids of 'all' processes. */
size_t tug_steps_left(const struct tug_steps *s, const struct tug_step *step, pid_t out[TUG_WIRE_STUCK_MAX], size_t *all);
size_t tug_steps_live(const struct tug_steps *s);           /* RUNNING or ENDING */
void tug_steps_told(struct tug_steps *s, struct tug_step *step);

/* For good: groups, gid, uid, and no way back. Only async-signal-safe calls. -1: it failed (errno). */
int tug_drop(uid_t uid, gid_t gid, const gid_t *gids, size_t n_gids);

#endif
