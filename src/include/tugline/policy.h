/* tugline/policy.h - the interface between the scheduler core and a policy plugin
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A policy is one shared object that exports one function, tug_policy(). It proposes; the core checks every proposal:
 * a gang gets all its GPUs in one step or none, nothing is double-booked, limits hold. A wrong policy can waste time,
 * it cannot break an invariant. A policy includes this header and libc, and nothing else.
 *
 * Rules for authors
 *   deterministic: same view, same proposals. No clock, no file, no thread; random numbers come from the host.
 *   allocate in create(), free in destroy(); pass() should not allocate.
 *   call explain() for each job that pass() looked at and did not start: users read it as "why not now".
 *
 * Compatibility: structs grow at the end only. Every table starts with its size; use TUG_POLICY_HAS() before touching a
 * member that is newer than ABI version 1. Rows of the view are read with their stride, never as plain arrays.
 *
 * Units: times are ms since the epoch of the host's clock (simulated or real), memory is bytes.
 */
#ifndef TUGLINE_POLICY_H
#define TUGLINE_POLICY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TUG_POLICY_ABI 1u

#define TUG_POLICY_HAS(table, member) \
    ((table)->size >= offsetof(__typeof__(*(table)), member) + sizeof((table)->member))

/* A job that waits or runs. Read-only; strings are valid until pass() returns. */
struct tug_policy_job {
    uint64_t id;
    uint32_t uid;
    uint32_t nodes;               /* nodes of the gang */
    uint32_t ntasks;
    uint32_t gpus_per_node;
    uint32_t cpus_per_node;
    uint32_t attempt;             /* 1 = first */
    uint64_t mem_per_node_bytes;
    int64_t submit_ms;
    int64_t eligible_ms;          /* may not start before */
    int64_t time_limit_ms;        /* -1 = none */
    int64_t start_ms;             /* running jobs: when they were allocated; else -1 */
    int64_t priority;             /* queue's priority and nice, larger first */
    const char *queue;
    const char *account;
    int64_t expected_ms;          /* run time that is expected: the time limit, a simulator's estimate; -1 = unknown */
    uint32_t exclusive;           /* 1: takes whole nodes that nobody else is on */
    uint64_t shape;               /* waiting jobs with the same number ask for the same, in the same places; 0 = none */
};

struct tug_policy_node {
    const char *name;
    uint32_t index;               /* what tug_policy_slice.node means */
    uint32_t cpus, cpus_free;
    uint32_t gpus;                /* count */
    uint32_t usable;              /* 0: down or draining, take nothing */
    uint64_t gpus_free;           /* bit i = GPU i */
    uint64_t mem_bytes, mem_free_bytes;
};

/* What the cluster looks like now. Waiting jobs are those that may start (begin time come, queue up); they come in the
 * core's order: priority (larger first), then submit time, then id. Row i is TUG_POLICY_WAITING(view, i). During the pass
 * rows stay where they are; node rows follow what was started. */
struct tug_policy_view {
    size_t size;
    int64_t now_ms;
    const void *waiting;  size_t n_waiting, waiting_stride;  
    const void *running;  size_t n_running, running_stride;
    const void *nodes;    size_t n_nodes, nodes_stride;
    uint32_t gpus, gpus_free;                                  /* usable ones, whole cluster */
};
#define TUG_POLICY_WAITING(v, i) ((const struct tug_policy_job *) ((const char *) (v)->waiting + (i) * (v)->waiting_stride))
#define TUG_POLICY_RUNNING(v, i) ((const struct tug_policy_job *) ((const char *) (v)->running + (i) * (v)->running_stride))
#define TUG_POLICY_NODE(v, i) ((const struct tug_policy_node *) ((const char *) (v)->nodes + (i) * (v)->nodes_stride))

/* One node's part of a gang that a policy wants to place by itself. */
struct tug_policy_slice {
    uint32_t node;                /* tug_policy_node.index */
    uint64_t gpus;                /* bit set; exactly gpus_per_node bits */
};

/* Why a job waits; the numbers are stable, the names are what users see (Slurm's where it has one). */
enum tug_policy_reason {
    TUG_REASON_NONE = 0,
    TUG_REASON_RESOURCES = 1,     /* "Resources": not enough is free */
    TUG_REASON_PRIORITY = 2,      /* "Priority": others go first */
    TUG_REASON_BEGIN_TIME = 3,    /* "BeginTime" */
    TUG_REASON_NODES_DOWN = 4,    /* "NodesDown": enough nodes exist, but not enough are usable */
    TUG_REASON_QUEUE_DOWN = 5,    /* "QueueDown" */
    TUG_REASON_CLEANING = 6,      /* "Cleaning": the attempt before is still being ended */
    TUG_REASON_LIMIT = 7,         /* "Limit" */
    TUG_REASON_POLICY = 8         /* "Policy": see the text */
};

struct tug_policy_pass;           /* the pass under way; opaque */

/* What a policy may call during pass(). Return values: 0, or a negative errno. */
struct tug_policy_host {
    size_t size;
    /* Start the gang now, the core chooses nodes (as scheduler.placement says) and GPUs (the lowest).
     *   -EAGAIN  it does not fit now (nothing changed)      -ENOENT  no such waiting job
     *   -EPERM   it may not start (not eligible, queue down, too few usable nodes even if all were free)
     *   -E2BIG   the pass's budget of work is used up: return */
    int (*start)(struct tug_policy_pass *pass, uint64_t job);
    /* Start it exactly there: n must be the gang's node count, no node twice.
     *   -EINVAL  wrong count, node or GPU   -EBUSY  something there is not free   else as start() */
    int (*start_on)(struct tug_policy_pass *pass, uint64_t job, const struct tug_policy_slice *at, size_t n);
    /* Why the job waits: a reason and a sentence for its user (<= 240 bytes, NULL = the reason's own). */
    int (*explain)(struct tug_policy_pass *pass, uint64_t job, enum tug_policy_reason reason, const char *text);
    /* Would it fit now? 0, or -EAGAIN; changes nothing. */
    int (*fits)(struct tug_policy_pass *pass, uint64_t job);
    /* Deterministic random number, seeded by the host. */
    uint64_t (*random)(struct tug_policy_pass *pass);
    /* A sentence for the admin's log, at most once a pass. */
    void (*log)(struct tug_policy_pass *pass, const char *text);
    /* Where start() would put the job now: at[0..nodes) is filled, n must be the gang's node count. Changes nothing.
     *   -EAGAIN  it does not fit now   -EINVAL  wrong count   else as start() */
    int (*place)(struct tug_policy_pass *pass, uint64_t job, struct tug_policy_slice *at, size_t n);
    /* What a gang holds, one that this pass started included: fills at most n, returns how many it has. -ENOENT  none */
    int (*held)(struct tug_policy_pass *pass, uint64_t job, struct tug_policy_slice *at, size_t n);
    /* May this waiting job use that node, now or once it is empty? 1 or 0: usable, of its queue, model and node list, large
     * enough. */
    int (*may_use)(struct tug_policy_pass *pass, uint64_t job, uint32_t node);
    /* 0: nobody reads explanations (a simulation), explain() need not be called. What is started must not depend on it. */
    uint32_t explains;
};

/* A typed parameter, filled from the configuration before create(). */
enum tug_policy_type { TUG_POLICY_BOOL, TUG_POLICY_INT, TUG_POLICY_REAL, TUG_POLICY_DURATION_S, TUG_POLICY_STRING };
struct tug_policy_param {
    const char *name;             /* NULL ends the table */
    enum tug_policy_type type;
    const char *fallback;         /* default, as written in the configuration */
    double min, max;              /* of INT, REAL, DURATION_S; min > max = no range */
    const char *text;             /* for `tug policy show` and the manual */
};
struct tug_policy_value { int64_t i; double d; const char *s; };

struct tug_policy_ops {
    size_t size;                  /* sizeof(struct tug_policy_ops) */
    uint32_t abi;                 /* TUG_POLICY_ABI */
    const char *name;             /* [a-z0-9_-]{1,31} */
    const char *summary;          /* one line */
    const struct tug_policy_param *params;   /* or NULL */
    /* values[i] belongs to params[i]; strings are valid for the policy's life. 0, or -errno with a sentence in why[0..why_size). */
    int (*create)(void **self, const struct tug_policy_value *values, char *why, size_t why_size);
    void (*destroy)(void *self);
    /* One scheduling pass. 0, or -errno (the policy could not decide: the built-in order takes over for this pass). */
    int (*pass)(void *self, const struct tug_policy_view *view, const struct tug_policy_host *host,
                struct tug_policy_pass *pass);
};

/* The one symbol that a plugin exports. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const struct tug_policy_ops *tug_policy(void);

#ifdef __cplusplus
}
#endif
#endif
