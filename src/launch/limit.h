/* limit.h - how many processes, and how much memory, a job has here: all its steps together
 *
 * A directory JOB.ATTEMPT for each attempt, in the hierarchy that has the controller: v2 where it is delegated to us, else
 * v1. Layer: launch.
 */
#ifndef TUG_LAUNCH_LIMIT_H
#define TUG_LAUNCH_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum tug_limit { TUG_LIMIT_PIDS, TUG_LIMIT_MEMORY, TUG_LIMITS };

struct tug_limits {
    struct {
        int dir;                       /* ROOT/tug-NODE there; -1 = not enforced */
        bool v1;
    } at[TUG_LIMITS];
    uint32_t pids_max;                 /* of a job whose order names none */
};

struct tug_limit_use {                 /* of an attempt, since it has been here; 0 = none, or not known */
    uint64_t pids_max, pids_hits, mem_max, mem_peak, oom_kills;
};

/* 'steps': ROOT/tug-NODE of cgroup v2, -1 = there is none. What cannot be enforced is said, and is not. */
void tug_limits_open(struct tug_limits *l, const char *node, int steps);
void tug_limits_close(struct tug_limits *l);
/* All jobs of this node together; 0 = no cap. */
int tug_limits_cap(struct tug_limits *l, uint64_t mem_max, struct tug_err *err);
/* Before the first process of a step, after its cgroup was made. Who writes "0" to join[i] (-1 = need not) is in; the caller closes them.
 *   pids, mem   0 = the default, no limit of its own */
int tug_limits_make(struct tug_limits *l, const char *part, uint32_t pids, uint64_t mem, int join[TUG_LIMITS], struct tug_err *err);
void tug_limits_read(const struct tug_limits *l, const char *part, struct tug_limit_use *out);
void tug_limits_remove(struct tug_limits *l, const char *part);      /* when no step of it is left */

#endif
