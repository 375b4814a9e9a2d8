/* replay.h - does the same core decide again what a daemon has decided?
 *
 * The recording is the output of tug history --trace: of every job when it came, what it asked for,
 * when it got which GPUs, and when they were free again. The replay brings the same events at the
 * same times before a core of its own, asks for a pass whenever the recording has a start, and
 * compares: the same jobs must start then, on the same nodes and GPUs.
 *
 * Of one millisecond the recording does not say the order: ends and submissions come before the
 * pass. Every node is up from the first to the last moment. A job that ran more than once, or gave
 * way, cannot be followed. The recording is held in memory as a whole. Layer: sim.
 */
#ifndef TUG_SIM_REPLAY_H
#define TUG_SIM_REPLAY_H

#include "base/err.h"
#include "sim/cluster.h"
#include "sim/trace.h"

struct tug_replay_conf {
    struct tug_sim_cluster *cluster; /* borrowed; without a configuration every queue is its only one */
    struct tug_policy_set policy;
    uint64_t check_every; /* as in struct tug_sim_conf */
};

struct tug_replay_result {
    uint64_t jobs;     /* in the recording */
    uint64_t starts;   /* of them */
    uint64_t same;     /* starts that were decided again, up to the first difference */
    char different[1024]; /* what that is; "" = there is none */
};

/* 0 when it could be followed to its end or to the first difference.
 *   -EINVAL   not a recording, or a job of it cannot be: the line and what was expected
 *   -ENOTSUP  a job ran more than once
 *   -EPROTO   the policy could not decide */
int tug_replay(struct tug_trace *trace, const struct tug_replay_conf *conf,
               struct tug_replay_result *out, struct tug_err *err);

#endif
