/* tugline/policy.h - the interface between the scheduler core and a policy plugin
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A policy is one shared object that exports one function, tug_policy(). It proposes; the core checks every proposal:
 * a gang gets all its GPUs in one step or none, nothing is double-booked, limits hold, preemption cannot loop. A wrong
 * policy can waste time, it cannot break an invariant. A policy includes this header and libc, and nothing else.
 *
 * Four things are decided, each by its own hook; a configuration combines plugins that fill different ones
 * (scheduler.policy: multifactor+easy+preempt), and the core fills what nobody does:
 *   key       in which order jobs wait          else: queue's priority and nice, submit time, id
 *   pass      which of them start, which get a reservation    else: strictly in order, the first that does not fit holds up the rest
 *   place     on which nodes and GPUs           else: as scheduler.placement says
 *   preempt   who gives way                     else: nobody
 *
 * Rules for authors
 *   deterministic: same view, same proposals. No clock, no file, no thread; random numbers come from the host.
 *   allocate in create() and observe(), free in destroy(); the other hooks should not allocate.
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

/* What happens to a job that has to give way (its queue says). */
enum tug_policy_preemptable {
    TUG_PREEMPT_NEVER = 0,
    TUG_PREEMPT_REQUEUE = 1,      /* ended, and waits again */
    TUG_PREEMPT_CANCEL = 2,       /* ended for good */
    TUG_PREEMPT_SUSPEND = 3       /* stopped where it is; goes on there when its GPUs and CPUs are free again */
};

/* A job that waits or runs. Read-only; strings are valid until the hook returns. */
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
    int64_t eligible_ms;          /* may not start before; the time that it was held is added, so now - eligible_ms is its age */
    int64_t time_limit_ms;        /* -1 = none */
    int64_t start_ms;             /* running jobs: when this run of it began; else -1 */
    int64_t priority;             /* queue's priority and nice, larger first */
    const char *queue;
    const char *account;
    int64_t expected_ms;          /* run time that is expected in all: the time limit, a simulator's estimate; -1 = unknown */
    uint32_t exclusive;           /* 1: takes whole nodes that nobody else is on */
    uint64_t shape;               /* waiting jobs with the same number ask for the same, in the same places; 0 = none */
    const char *name;
    const char *user;
    uint32_t gpus_last;           /* GPUs and CPUs on the gang's last node, where it needs fewer; else as on the others */
    uint32_t cpus_last;
    uint32_t gpus;                /* of the whole gang */
    int32_t nice;
    uint32_t tier;                /* its queue's: jobs of a higher tier go first */
    uint32_t queue_row;           /* row in view->queues */
    uint32_t share_row;           /* its user's row in view->shares; UINT32_MAX = none */
    uint32_t preemptable;         /* enum tug_policy_preemptable */
    uint32_t preemptions;         /* so often it had to give way */
    uint32_t suspended;           /* 1: waits stopped; start() lets it go on where it is */
    uint32_t leaving;             /* running: 1 = is being ended or preempted, what it holds comes free soon */
    int64_t safe_until_ms;        /* running: may not be preempted before (minimum run time); INT64_MAX = never */
    int64_t ran_ms;               /* how long it ran before this run and does not have to run again (suspended, or an
                                     attempt that was preempted and goes on from its checkpoint) */
    double key;                   /* as key() gave it */
    uint32_t gpu_milli;           /* of each of its GPUs, in thousandths: 1000 = all of it; less: of one GPU on one node */
    uint32_t within;              /* 1: it asks something of the fabric: the core places it and asks no place(), unless that
                                     policy says TUG_POLICY_NEEDS_DEMANDS; start_on() elsewhere is -EINVAL. start(), fits() and
                                     the plan heed it */
    const char *gpu_model;        /* that it asked for; "" = any. "A|B": either */
    const char *mig_profile;      /* "1g.10gb": it wants slices of GPUs that are cut, and no whole ones; "" = none. All counts of
                                     GPUs in its row are 0 then, 'within' is 1: the core places it, start_on() takes only what
                                     it would choose from */
    uint32_t slices;              /* so many, of the whole gang */
    uint32_t slice_milli;         /* what part of a GPU each is, in thousandths */
};

struct tug_policy_node {
    const char *name;
    uint32_t index;               /* what tug_policy_slice.node means */
    uint32_t cpus, cpus_free;
    uint32_t gpus;                /* count */
    uint32_t usable;              /* 0: down or draining, take nothing */
    uint64_t gpus_free;           /* bit i = GPU i */
    uint64_t mem_bytes, mem_free_bytes;
    const char *gpu_model;        /* "" = not known */
    uint32_t domain;              /* lowest domain of the fabric that it is in; equal = same leaf. UINT32_MAX = none */
    uint32_t held;                /* 1: its free GPUs are held for a job that others gave way to */
    const uint16_t *gpu_milli_free;   /* of each of its GPUs, in thousandths; gpus_free are those where nobody has any.
                                         In place() for a part of a GPU: 0 where others have parts beside whom it may not
                                         be; start_on() such a place is -EBUSY */
};

/* A queue of the tree. Its figures contain those of the queues below it. */
struct tug_policy_queue {
    const char *name;
    uint32_t parent;              /* row; UINT32_MAX = at the top */
    uint32_t tier;
    int32_t priority;
    uint32_t is_leaf;             /* takes jobs */
    double weight;                /* its part of what its siblings share, >= 0 */
    uint32_t guarantee_gpus;      /* GPUs that are its own; 0 = none */
    uint32_t cap_gpus;            /* the core starts nothing beyond; UINT32_MAX = none */
    uint32_t may_borrow;          /* 0: the core starts nothing beyond its guarantee */
    uint32_t lends;               /* 0: the core keeps what it does not use of its guarantee free for it */
    uint32_t gpus_used, gpus_wanted;   /* by running jobs, by those that wait and may start */
    uint32_t n_running, n_waiting;
};

/* An account or a user below one: the tree that usage is charged to. Parents stand before those below them. */
struct tug_policy_share {
    const char *name;
    uint32_t parent;              /* row; UINT32_MAX = the root, which is row 0 */
    uint32_t is_user;
    uint32_t uid;                 /* of users */
    double weight;                /* shares */
    double share;                 /* weight / sum of the weights of all its siblings, itself included */
    double usage_gpu_s;           /* GPU-seconds, decayed with the half-life, running jobs up to now; CPU-only jobs count
                                     as the configuration weighs them */
    double usage;                 /* usage_gpu_s / that of its parent; 0 when nobody there used anything */
    double level_fs;              /* share / usage; INFINITY when unused. Slurm's fair tree */
    double factor;                /* fair tree: users: rank / number of users, 1 = goes first; accounts: of their best user */
    uint32_t gpus_used, cpus_used;     /* by running jobs now */
    uint64_t mem_used_bytes;
};

/* What happened since the last pass, in order. For policies that keep state. */
enum tug_policy_event_type {
    TUG_POLICY_EV_SUBMIT = 1,     /* job: waits now (also after a restart of the host: every job that waits) */
    TUG_POLICY_EV_START = 2,      /* job: runs now (likewise) */
    TUG_POLICY_EV_END = 3,        /* job: is over; ran_ms of its row is how long it ran in all, ok = ended well. Hosts that
                                     know older jobs tell them first of all, once */
    TUG_POLICY_EV_REQUEUE = 4,    /* job: waits again */
    TUG_POLICY_EV_PREEMPT = 5,    /* job: had to give way (EV_REQUEUE or EV_END follows where it does not stay) */
    TUG_POLICY_EV_SUSPEND = 6,
    TUG_POLICY_EV_NODE_UP = 7,    /* node: is usable now */
    TUG_POLICY_EV_NODE_DOWN = 8,  /* node: is no longer usable: down, or draining */
    TUG_POLICY_EV_CONFIG = 9      /* queues, shares, nodes: rows have changed */
};
struct tug_policy_event {
    int64_t at_ms;
    enum tug_policy_event_type type;
    uint32_t node;
    uint32_t ok;
    struct tug_policy_job job;    /* as it was then, its rows those of the view; strings are valid until observe() returns */
};

/* What the cluster looks like now. Waiting jobs are those that may start (begin time come, queue up); they come in the
 * order: tier (higher first), key (smaller first) or else priority (larger first), submit time, id.
 * Row i is TUG_POLICY_WAITING(view, i). During the pass rows stay where they are; node and queue rows follow what was started. */
struct tug_policy_view {
    size_t size;
    int64_t now_ms;
    const void *waiting;  size_t n_waiting, waiting_stride;
    const void *running;  size_t n_running, running_stride;
    const void *nodes;    size_t n_nodes, nodes_stride;
    uint32_t gpus, gpus_free;                                  /* usable ones, whole cluster, as the pass began */
    const void *queues;   size_t n_queues, queues_stride;
    const void *shares;   size_t n_shares, shares_stride;
    uint32_t cpus;                                             /* of usable nodes */
    uint64_t mem_bytes;
    uint64_t pass;                                             /* number of the pass, never used twice: for what is kept within one */
    uint32_t n_suspended;         /* of those that wait: they hold memory that a job in front of them may wait for */
};
#define TUG_POLICY_WAITING(v, i) ((const struct tug_policy_job *) ((const char *) (v)->waiting + (i) * (v)->waiting_stride))
#define TUG_POLICY_RUNNING(v, i) ((const struct tug_policy_job *) ((const char *) (v)->running + (i) * (v)->running_stride))
#define TUG_POLICY_NODE(v, i) ((const struct tug_policy_node *) ((const char *) (v)->nodes + (i) * (v)->nodes_stride))
#define TUG_POLICY_QUEUE(v, i) ((const struct tug_policy_queue *) ((const char *) (v)->queues + (i) * (v)->queues_stride))
#define TUG_POLICY_SHARE(v, i) ((const struct tug_policy_share *) ((const char *) (v)->shares + (i) * (v)->shares_stride))

/* One node's part of a gang that a policy wants to place by itself. */
struct tug_policy_slice {
    uint32_t node;                /* tug_policy_node.index */
    uint64_t gpus;                /* bit set; exactly gpus_per_node bits (gpus_last in the last slice); for a part
                                     of a GPU the one that it is of */
};

/* What a job asks of the fabric, as it counts now: what it asks for only so long is not here any more after that. */
struct tug_policy_demands {
    size_t size;                  /* by the caller: sizeof(struct tug_policy_demands) */
    const char *level;            /* "" = none */
    uint32_t domains;             /* it must be within so many domains of it; 0 = it would like to be in one */
    uint32_t segment;             /* so many slices that follow each other must be in one domain of it; 0 = no matter */
    uint32_t spread;              /* 1: it would like to be over all of them, evenly */
    uint32_t quality_milli;       /* bandwidth() must be at least so many thousandths of best_mbs, where both are known */
    const char *alone;            /* level whose domains it must have for itself; "" = none */
    uint32_t best_mbs;            /* the most that the cluster could give it if it were empty; 0 = not known */
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
    TUG_REASON_POLICY = 8,        /* "Policy": see the text */
    TUG_REASON_QUEUE_CAP = 9,     /* "QueueCap": its queue, or one above it, has all GPUs that it may have */
    TUG_REASON_PREEMPTING = 10,   /* "Preempting": others are giving way to it */
    TUG_REASON_SUSPENDED = 11,    /* "Suspended": stopped; goes on when its GPUs are free again */
    TUG_REASON_TOPOLOGY = 12,     /* "Topology": enough is free, but not where it asked to be in the fabric */
    TUG_REASON_QUALITY = 13,      /* "Quality": enough is free, but with less bandwidth than it asked for */
    TUG_REASON_BACKOFF = 14,      /* "BackOff": the attempt before failed, and the next one is not tried at once */
    TUG_REASON_HELD_USER = 15,    /* "JobHeldUser": its owner holds it back, and policies do not see it */
    TUG_REASON_HELD_ADMIN = 16,   /* "JobHeldAdmin": an administrator does */
    TUG_REASON_LINKS = 17         /* "Links": enough is free, but not without two nodes whose link failed */
};

struct tug_policy_pass;           /* the pass under way; opaque */

/* What a policy may call in its hooks; key() gets no host. Return values: 0, or a negative errno. */
struct tug_policy_host {
    size_t size;
    /* Start the gang now; place(), or the core as scheduler.placement says, chooses where. A suspended job goes on.
     *   -EAGAIN  it does not fit now (nothing changed)      -ENOENT  no such waiting job
     *   -EPERM   it may not start (not eligible, queue down, too few usable nodes even if all were free)
     *   -EDQUOT  its queue may not have more GPUs now (explained by the core)
     *   -E2BIG   the pass's budget of work is used up: return */
    int (*start)(struct tug_policy_pass *pass, uint64_t job);
    /* Start it exactly there: n must be the gang's node count, no node twice.
     *   -EINVAL  wrong count, node or GPU   -EBUSY  something there is not free   -EHOSTUNREACH  two of the nodes are not
     *   used together (see apart_from())   else as start() */
    int (*start_on)(struct tug_policy_pass *pass, uint64_t job, const struct tug_policy_slice *at, size_t n);
    /* Why the job waits: a reason and a sentence for its user (<= 240 bytes, NULL = the reason's own). */
    int (*explain)(struct tug_policy_pass *pass, uint64_t job, enum tug_policy_reason reason, const char *text);
    /* Would it fit now? 0, or as start(); changes nothing. */
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
     * enough for one of its slices. */
    int (*may_use)(struct tug_policy_pass *pass, uint64_t job, uint32_t node);
    /* 0: nobody reads explanations (a simulation), explain() need not be called. What is started must not depend on it. */
    uint32_t explains;

    /* ---- the plan: what is free when, by the expected ends of what runs and by this pass's reservations. A job whose end
     * nobody expects counts as one that never ends; one that should have ended already, as ending in a second. */
    /* When a running job is expected to end; INT64_MAX = nobody knows. -1: it does not run. */
    int64_t (*expected_end)(struct tug_policy_pass *pass, uint64_t job);
    /* When the waiting job could start at the earliest, *start_ms; books nothing. -ENOSPC: not within the horizon, or never. */
    int (*earliest)(struct tug_policy_pass *pass, uint64_t job, int64_t *start_ms);
    /* The same, and book nodes and GPUs for it then, for as long as it is expected to run. */
    int (*reserve)(struct tug_policy_pass *pass, uint64_t job, int64_t *start_ms);
    /* Start it now if that delays no reservation. -EAGAIN  it does not fit now   -EBUSY  it would delay one   else as start() */
    int (*backfill)(struct tug_policy_pass *pass, uint64_t job);
    /* How far the plan looks and how fine; to be called before the first reservation of a pass. 0 = the host's choice.
     * Reservations never begin too early nor delay what is booked; times are rounded up to step_ms where the plan is long. */
    int (*horizon)(struct tug_policy_pass *pass, int64_t horizon_ms, int64_t step_ms);

    /* ---- preemption, as far as scheduler.preemption allows: only jobs whose queue lets them be preempted, that ran
     * their minimum time and were not preempted too often. */
    /* The running jobs that would have to give way so that the waiting job fits: of those that it may preempt the ones with
     * the least lost work (GPU-seconds since their start), the fewest. Fills at most n, returns how many; changes nothing.
     *   -EAGAIN  no set is enough   -EPERM  it may preempt nobody, or others give way to it already */
    int (*victims)(struct tug_policy_pass *pass, uint64_t job, uint64_t *victims, size_t n);
    /* Let them give way: notice, grace, then what their queue says. What comes free is held for 'job'; when all of it
     * is there the core starts it, before it asks pass() again.
     * job 0: for nobody (scheduler.preemption: order only).
     *   -EPERM  one of them may not be preempted by this job   -EAGAIN  it would not fit even then   -ENOENT  does not run */
    int (*preempt)(struct tug_policy_pass *pass, uint64_t job, const uint64_t *victims, size_t n);

    /* Ask for a pass at that time, even if nothing happens until then. The earliest of several counts; a time that has passed
     * is as soon as can be after this pass. */
    int (*wake)(struct tug_policy_pass *pass, int64_t at_ms);

    /* The first row of the waiting, at 'from' or behind it, whose job might start now; n_waiting = none. Left out are those
     * that have started and those of which this pass knows that they do not fit, or that backfill() would say -EBUSY: as
     * many nodes or more, each with the same, for as long or longer. The core explains them to their users. */
    size_t (*next)(struct tug_policy_pass *pass, size_t from);

    /* Would preempt() let this job have that one give way? 1 or 0. */
    int (*may_preempt)(struct tug_policy_pass *pass, uint64_t job, uint64_t victim);

    /* ---- links */
    /* What the waiting job asks of the fabric. -ENOENT  no such waiting job */
    int (*demands)(struct tug_policy_pass *pass, uint64_t job, struct tug_policy_demands *out);
    /* The number of the domain of that level that the node is in; UINT32_MAX = none. */
    uint32_t (*domain_of)(struct tug_policy_pass *pass, const char *level, uint32_t node);
    /* The all-reduce bus bandwidth that is predicted for the waiting job there, MB/s, be it free or not; 0 = not known.
     *   -ENOENT  no such waiting job   -EINVAL  wrong count, node or GPU */
    int64_t (*bandwidth)(struct tug_policy_pass *pass, uint64_t job, const struct tug_policy_slice *at, size_t n);

    /* ---- what failed lately */
    /* So many failures of that node are remembered. Of nodes that are as good, the core takes those without any first. */
    uint32_t (*failures)(struct tug_policy_pass *pass, uint32_t node);
    /* Nodes that a gang on this one should not be on as well, as the link between them failed: fills at most n, returns how many
     * there are. must 1: only those that it must not be on: there start_on() says -EHOSTUNREACH, and what place() says is
     * passed over. */
    uint32_t (*apart_from)(struct tug_policy_pass *pass, uint32_t node, uint32_t must, uint32_t *out, uint32_t n);
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

/* What a policy cannot work without; a host that does not have it says so when it loads. */
#define TUG_POLICY_NEEDS_ORDER_PREEMPTION 1u   /* scheduler.preemption: order */
#define TUG_POLICY_NEEDS_SHARES 4u             /* view->shares; it is empty for those that do not say so, as it costs time */
#define TUG_POLICY_NEEDS_EXPECTED 2u           /* every job's expected run time */
#define TUG_POLICY_NEEDS_DEMANDS 8u            /* place() is asked about jobs that ask something of the fabric, too; what it
                                                  says is held to that */

struct tug_policy_ops {
    size_t size;                  /* sizeof(struct tug_policy_ops) */
    uint32_t abi;                 /* TUG_POLICY_ABI */
    const char *name;             /* [a-z0-9_-]{1,31} */
    const char *summary;          /* one line */
    const struct tug_policy_param *params;   /* or NULL */
    /* values[i] belongs to params[i]; strings are valid for the policy's life. 0, or -errno with a sentence in why[0..why_size). */
    int (*create)(void **self, const struct tug_policy_value *values, char *why, size_t why_size);
    void (*destroy)(void *self);
    /* One scheduling pass: start, reserve, explain. 0, or -errno (the policy could not decide: the built-in order takes over in
     * this pass, and tugd goes on without the policy until it reads its configuration again; the same holds for the hooks
     * below). NULL: not decided here. */
    int (*pass)(void *self, const struct tug_policy_view *view, const struct tug_policy_host *host,
                struct tug_policy_pass *pass);
    uint32_t needs;               /* TUG_POLICY_NEEDS_... */
    /* The order: smaller goes first, within a tier; equal ones by submit time and id. Asked when a job begins to wait, as the
     * next pass begins, and for all when rekey() says so. Until then its row is not among view->waiting, also in observe() and
     * rekey(). When the policy is loaded it is asked for those that run, too; they keep the last one that they had. Never NAN.
     * NULL: not decided here. */
    double (*key)(void *self, const struct tug_policy_view *view, const struct tug_policy_job *job);
    /* As a pass begins, after observe(): 1 = ask key() again for every waiting job. NULL: never. */
    int (*rekey)(void *self, const struct tug_policy_view *view);
    /* Nodes and GPUs for the gang, at[0..n), out of what is free now: 0, or -EAGAIN. NULL: not decided here. */
    int (*place)(void *self, const struct tug_policy_view *view, const struct tug_policy_host *host,
                 struct tug_policy_pass *pass, const struct tug_policy_job *job, struct tug_policy_slice *at, size_t n);
    /* After pass(): who gives way to whom. NULL: not decided here. */
    int (*preempt)(void *self, const struct tug_policy_view *view, const struct tug_policy_host *host,
                   struct tug_policy_pass *pass);
    /* As a pass begins: what happened since the last one. NULL: does not care. Event i is at events + i * stride. */
    int (*observe)(void *self, const struct tug_policy_view *view, const struct tug_policy_event *events, size_t n,
                   size_t stride);
    /* Somebody asks why a waiting job stands where it stands: the terms of its key, or of an order that pass() has of its own,
     * in one sentence (<= 240 bytes), as in "priority 1234: age 100 + fair share 812 (rank 3 of 17) + queue 322". 0, or -errno:
     * nothing to say. Asked between passes, of jobs that a pass has seen waiting; changes nothing: what is decided must not
     * depend on it. Users see the place in the core's order beside it, unless pass() is filled by a plugin that has why() and no
     * key(): that one has an order of its own. NULL: nothing to say. */
    int (*why)(void *self, const struct tug_policy_view *view, const struct tug_policy_job *job, char *text, size_t size);
    /* What observe() wants to be told: 1u << TUG_POLICY_EV_..., together; 0 = everything. The others cost nothing, and may come
     * all the same when another policy wants them. */
    uint32_t observes;
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
