/* sim.h - a trace on a cluster under a virtual clock, scheduled by the same core as the daemon's
 *
 * Nodes answer at once, so a job runs from the pass that starts it until its work is done. At equal
 * times jobs that end come first, then nodes that fail or come back, then jobs that arrive, and
 * passes follow them all until nobody wants one. The same trace and configuration give the same
 * result.
 *
 * A job that has to stop keeps the work that is done: it goes on later with what is left. When a
 * node fails, the work since the job's last checkpoint is lost. Layer: sim.
 */
#ifndef TUG_SIM_SIM_H
#define TUG_SIM_SIM_H

#include "base/err.h"
#include "base/vec.h"
#include "core/core.h"
#include "sim/cluster.h"
#include "sim/trace.h"

/* what the policy is told of a job's run time */
enum tug_sim_estimates {
    TUG_SIM_EXACT, /* what it will be */
    TUG_SIM_USER,  /* the trace's limit */
    TUG_SIM_NOISE  /* a guess: estimate.h */
};

/* What happens to the trace's jobs, told as it happens. */
enum tug_sim_point {
    TUG_SIM_SUBMIT,
    TUG_SIM_START, /* also after it was stopped */
    TUG_SIM_STOP,  /* preempted, suspended, or a node of it failed: it waits again */
    TUG_SIM_END
};
struct tug_sim_note {
    enum tug_sim_point point;
    int64_t at_ms;                 /* times are ms whatever the clock */
    const char *id, *user, *queue; /* as in the trace; valid during the call */
    uint32_t gpus;
    int64_t submit_ms, first_start_ms; /* -1 = not yet */
    int64_t duration_ms;               /* its work, as a run without stops and costs would take */
    const struct tug_slice *slices;    /* START: where it is; node = index, GPUs as bits */
    size_t n_slices;
    const char *why; /* STOP: "preempted", "suspended", "node n3 failed" */
};

struct tug_sim_progress {
    int64_t now_ms;
    uint64_t submitted, finished;
    double read; /* part of the trace, 0..1 */
};

struct tug_sim_conf {
    struct tug_sim_cluster *cluster; /* borrowed; NULL: nodes that are all alike, as follows */
    uint32_t nodes, gpus_per_node;
    /* of nodes that are all alike: nodes in a leaf, leaves in a spine, ...; none: no fabric */
    uint32_t fabric[TUG_SIM_LEVELS_MAX];
    size_t n_fabric;
    const struct tug_machine *machine; /* all these nodes are one; NULL: nobody knows how their GPUs are linked */
    const struct tug_mig *mig;         /* what the GPUs of all these nodes are cut into; NULL = nothing */
    enum tug_placement placement;
    uint8_t placement_said; /* 1: it holds instead of the cluster's own */
    uint8_t count;          /* 1: GPUs are only counted, a gang takes any that are free */
    enum tug_sim_estimates estimates;
    uint64_t noise_seed;
    uint64_t seed;     /* of the policy's random numbers */
    const char *queue; /* only jobs of it; NULL = all */
    /* With a configured cluster: jobs of queue 'from' of the trace go to 'to'. */
    const struct tug_sim_queue_map {
        const char *from, *to;
    } * queue_map;
    size_t n_queue_map;
    uint8_t any_queue; /* and those of queues that are not configured to the default one */
    struct tug_policy_set policy;
    uint8_t explains; /* 1: policies are asked for explanations, as tugd does; nobody reads them */
    int64_t ticks_per_s;     /* what the core and policies take for ms; 0 = 1000 */
    double start_cost_s;     /* every start takes so long before work is done */
    double preempt_cost_s;   /* and one after a stop so much longer */
    double checkpoint_s;     /* a failure loses at most so much work; 0 = all since the start */
    double mtbf_s, repair_s; /* of a node; mtbf 0 = none fails */
    uint64_t failure_seed;
    uint8_t kill_at_limit; /* a job that has worked for the trace's limit is over */
    uint64_t check_every;  /* run tug_core_check() after so many events; 0 = never */
    void (*note)(void *note_ctx, const struct tug_sim_note *n); /* NULL = nobody listens */
    void *note_ctx;
    /* Called now and then, if not NULL; other than 0 ends the simulation there. */
    int (*go_on)(void *go_on_ctx, const struct tug_sim_progress *p);
    void *go_on_ctx;
};

/* why a job of the trace was not run */
enum tug_sim_left_out {
    TUG_SIM_TOO_LARGE, /* more GPUs than the cluster has */
    TUG_SIM_NO_GPU,    /* the simulated cluster has nothing but GPUs */
    TUG_SIM_UNKNOWN,   /* the trace does not say how long it ran or how large it was */
    TUG_SIM_REFUSED,   /* the configuration does not admit it */
    TUG_SIM_LEFT_OUTS
};

#define TUG_SIM_NAMED_MAX 1000 /* of the jobs left out, so many are named for each reason */

struct tug_sim_names {
    struct tug_vec(char *) names;
    uint64_t n; /* all of them */
};

#define TUG_SIM_CLASSES 6 /* by GPUs: 1, up to 4, 8, 16, 64, more */

struct tug_sim_class {
    uint32_t gpus_min, gpus_max; /* UINT32_MAX = no bound */
    uint64_t jobs;               /* that ended */
    double avg_wait_s, p99_wait_s, avg_jct_s;
};

#define TUG_SIM_LEAVES 9 /* 1, 2, ... 8 domains, more */

/* Over how many domains gangs on several nodes were spread, at every start: spread.h. */
struct tug_sim_spread {
    uint8_t is_known; /* there is a fabric */
    uint64_t gangs;
    uint64_t by_leaves[TUG_SIM_LEAVES];
    double leaves_avg, leaves_least_avg;
    double ratio_avg; /* of a gang's domains to the fewest that could hold it */
};

/* What gangs had of the links between their GPUs: links.h. */
struct tug_sim_links {
    uint64_t gangs;                      /* starts of gangs whose bandwidth is predicted */
    double gbs_avg, quality_avg;         /* of these: GB/s, and of the best that there was to have */
    uint64_t wide;                       /* of these: on several nodes */
    double wide_gbs_avg, wide_quality_avg;
    double fragmented_avg;               /* share of the free GPUs that typical gangs cannot use */
};

struct tug_sim_result {
    uint64_t jobs; /* read, of that queue */
    uint64_t finished;
    uint64_t unfinished; /* accepted, and not at their end */
    uint64_t killed;     /* of the finished: by the limit, or because they had to give way */
    uint8_t interrupted; /* go_on() ended it */
    struct tug_sim_names left_out[TUG_SIM_LEFT_OUTS];
    double avg_jct_s, p99_jct_s;   /* submit to end */
    double avg_wait_s, p99_wait_s; /* submit to first start */
    double avg_stopped_s;          /* between a stop and the next start, all of a job's */
    double makespan_s;             /* the last end, on the trace's clock */
    double gpu_use; /* GPU time held / GPU time there, from the first submit to the last end */
    double overhead_gpu_h; /* held while starting and restoring */
    double lost_gpu_h;     /* work done twice, because a node failed */
    uint64_t preemptions;  /* stops that a policy or the core wanted */
    uint64_t failures;     /* of nodes */
    uint64_t failed_runs;  /* stops that these made */
    uint64_t users;        /* of jobs that ended */
    double
        fairness; /* Jain's index of users' mean slowdown: end - submit / duration, 10 s at least */
    struct tug_sim_class classes[TUG_SIM_CLASSES];
    struct tug_sim_spread spread;
    struct tug_sim_links links;
    uint64_t passes, events;
    uint64_t refused; /* proposals of the policy that the core did not take */
    char first_refused[256];
    char first_refused_job[256]; /* the first that was not admitted, and why; "" = none */
};

/* 0, or what reading the trace gave; -EOVERFLOW: times add up to too much; -EPROTO: the policy
 * could not decide, or the core asked for what no simulated node does; -ELOOP: the policy stops and
 * starts jobs without end while no time passes. 'out' is to be cleared in any case. */
int tug_sim_run(struct tug_trace *trace, const struct tug_sim_conf *conf,
                struct tug_sim_result *out, struct tug_err *err);
void tug_sim_result_clear(struct tug_sim_result *r);

#endif
