/* sim.h - a trace on a cluster under a virtual clock, scheduled by the same core as the daemon's
 *
 * Nodes answer at once, so a job runs from the pass that starts it for as long as the trace says.
 * At equal times jobs that end come before jobs that arrive, and one pass follows them all. The
 * same trace and configuration give the same result. Layer: sim.
 */
#ifndef TUG_SIM_SIM_H
#define TUG_SIM_SIM_H

#include "base/err.h"
#include "base/vec.h"
#include "core/core.h"
#include "sim/trace.h"

enum tug_sim_estimates { /* what the policy is told of a job's run time */
    TUG_SIM_EXACT,       /* what it will be */
    TUG_SIM_USER         /* column limit_s; a job is not ended when it runs longer */
};

/* What happens to the trace's jobs, told as it happens. */
enum tug_sim_point {
    TUG_SIM_SUBMIT,
    TUG_SIM_START,   /* also after it was stopped */
    TUG_SIM_STOP,    /* preempted, suspended, or a node of it failed: it waits again */
    TUG_SIM_END
};
struct tug_sim_note {
    enum tug_sim_point point;
    int64_t at_ms;
    const char *id, *user, *queue;      /* as in the trace; valid during the call */
    uint32_t gpus;
    int64_t submit_ms, first_start_ms;  /* -1 = not yet */
    const struct tug_slice *slices;     /* START: where it is; node = index, GPUs as bits */
    size_t n_slices;
    const char *why;                    /* STOP: "preempted", "suspended", "node n3 failed" */
};

struct tug_sim_conf {
    uint32_t nodes, gpus_per_node;
    enum tug_placement placement;
    enum tug_sim_estimates estimates;
    const char *queue; /* only jobs of it; NULL = all */
    struct tug_policy_set policy;
    uint64_t check_every; /* run tug_core_check() after so many events; 0 = never */
    void (*note)(void *note_ctx, const struct tug_sim_note *n); /* NULL = nobody listens */
    void *note_ctx;
};

enum tug_sim_left_out {  /* why a job of the trace was not run */
    TUG_SIM_TOO_LARGE,   /* more GPUs than the cluster has */
    TUG_SIM_NO_GPU,      /* the simulated cluster has nothing but GPUs */
    TUG_SIM_LEFT_OUTS
};

#define TUG_SIM_NAMED_MAX 1000 /* of the jobs left out, so many are named for each reason */

struct tug_sim_names {
    struct tug_vec(char *) names;
    uint64_t n; /* all of them */
};

struct tug_sim_result {
    uint64_t jobs; /* read, of that queue */
    uint64_t finished;
    uint64_t unfinished; /* accepted and never started */
    struct tug_sim_names left_out[TUG_SIM_LEFT_OUTS];
    double avg_jct_s, p99_jct_s; /* submit to end */
    double avg_wait_s, p99_wait_s; /* submit to start */
    double makespan_s; /* the last end, on the trace's clock */
    double gpu_use;    /* GPU time used / GPU time there, from the first submit to the last end */
    uint64_t preemptions, passes, events;
    uint64_t refused; /* proposals of the policy that the core did not take */
    char first_refused[256];
};

/* 0, or what reading the trace gave; -EOVERFLOW: times add up to too much; -EPROTO: the policy
 * could not decide, or the core asked for what no simulated node does. 'out' is to be cleared in
 * any case. */
int tug_sim_run(struct tug_trace *trace, const struct tug_sim_conf *conf,
                struct tug_sim_result *out, struct tug_err *err);
void tug_sim_result_clear(struct tug_sim_result *r);

#endif
