/* core.h - the scheduler as a value: events in, actions out, time as a parameter
 *
 * No clock, no I/O, no thread, no global. The daemon, the simulator and the fault simulation are hosts of this one library.
 * Times: ms of one clock that the host gives with every event and that never goes back (the daemon's starts at the
 * wall clock and then runs with CLOCK_BOOTTIME, so a step of the wall clock moves no deadline).
 * After every event or pass the host drains the actions, makes the changed records durable, and only then carries the
 * actions out. Nothing in here asks a policy except tug_core_pass(). Layer: core.
 */
#ifndef TUG_CORE_CORE_H
#define TUG_CORE_CORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/machine.h"
#include "core/job.h"
#include "tugline/policy.h"

struct tug_core;

/* Parts of one GPU: of one user only, of all users of queues that say so, or none at all. */
enum tug_gpu_sharing { TUG_GPU_SHARING_USER, TUG_GPU_SHARING_ALL, TUG_GPU_SHARING_NONE };

struct tug_core_queue {            /* strings are copied */
    const char *name;
    int32_t priority;
    uint32_t max_time_s;           /* 0 = none */
    uint32_t default_time_s;       /* 0 = max_time_s */
    const char *nodes;             /* hostlist, "" = all */
    uint8_t is_default, is_down;
    const char *allow_users;       /* names with commas in between, "" or NULL = everyone */
    /* its place in the tree; what they mean: struct tug_policy_queue */
    const char *parent;            /* "" or NULL = at the top. Only leaves take jobs */
    uint32_t tier;
    double weight;                 /* 0 = 1 */
    uint32_t guarantee_gpus;
    uint32_t cap_gpus;             /* 0 = none */
    uint8_t no_borrow, no_lend;
    enum tug_gpu_sharing share_gpus;
    /* what happens to its jobs when they have to give way */
    enum tug_policy_preemptable preemptable;
    uint32_t preempt_min_run_s;    /* not before they ran so long */
    int preempt_signal;            /* notice to all ranks; 0 = none */
    uint32_t preempt_notice_s;     /* between the notice and the end */
    /* of jobs that ask for none, as in struct tug_job_req */
    const char *preflight;         /* "" or NULL = none */
    uint64_t preflight_floor;
    uint32_t preflight_s;
    uint8_t preflight_drains;
};

struct tug_core_account {          /* who usage is charged to: a tree, users below its leaves or anywhere */
    const char *name;
    const char *parent;            /* "" or NULL = below the root */
    double weight;                 /* 0 = 1 */
    const char *users;             /* "ann=2,bob": who may charge it, with weights; "" or NULL = everyone, with weight 1 */
};

struct tug_core_domain {           /* of the fabric between nodes: a tree of any depth, leaves first or not */
    const char *name;
    const char *level;             /* "leaf", "spine", ...: what admins call it */
    const char *parent;            /* "" or NULL = at the top */
    const char *nodes;             /* hostlist, "" = none of its own. A node is in one domain at most */
};

struct tug_core_level {            /* what is known of the links of domains of that level */
    const char *name;
    uint64_t bandwidth_bytes_s;    /* of each GPU to GPUs on other nodes of a domain; 0 = not known */
    double oversubscription;       /* links into a domain / links out of it; 0 = 1 */
    uint8_t nvlink;                /* 1: its domains are joined by NVLink across nodes, as an NVL72 is: no NIC is needed there */
};

struct tug_core_node_row {         /* a node that may join, and what is expected of it (0 / "" = whatever it says) */
    const char *name;
    uint32_t cpus, gpus;
    uint64_t mem_bytes;
    const char *gpu_model;
    const struct tug_machine *machine; /* how its GPUs are linked, where it does not say itself; copied. NULL = nobody knows */
};

struct tug_core_mig {              /* a slice that one of a node's GPUs is cut into (cut.c) */
    const char *profile;           /* "1g.10gb" */
    uint32_t micro;                /* what part of its GPU it is, in millionths; 0 = as its name says, of 7 */
    uint8_t gpu;                   /* that it is cut from */
    uint8_t device;                /* its number among the devices of the node: behind those of the GPUs, and kept while it lives */
};
#define TUG_CORE_CUTS_MAX 8        /* profiles on one node; slices of further ones are given to nobody */

enum tug_placement {               /* which nodes a gang gets when the policy does not choose */
    TUG_PLACEMENT_FIRST_FIT,       /* the first in node order; a smaller last slice: likewise, of the other nodes */
    TUG_PLACEMENT_CONSOLIDATE,     /* those with the fewest free GPUs that still suffice, then the first in node order; a
                                      smaller last slice: that with the most free GPUs of the others, as the simulators do
                                      whose published figures we reproduce */
    TUG_PLACEMENT_TOPOLOGY         /* in the lowest domain of the fabric that holds the gang, of these in the tightest (fewest
                                      free GPUs); there on the fewest leaves, and on them on the fullest nodes, the last slice
                                      likewise. A node is the lowest domain of all. Without a fabric the cluster is one domain. Where
                                      links are known: of domains and nodes those that give the gang the most bandwidth, less 2 % */
};

enum tug_preemption {              /* whom a job may make give way, if their queue lets it */
    TUG_PREEMPTION_OFF,
    TUG_PREEMPTION_TIER,           /* jobs of queues with a lower tier, and, for a queue below its guarantee, jobs of queues
                                      above theirs */
    TUG_PREEMPTION_ORDER           /* these, and whoever the policy says */
};

/* Why a node is out of use: at most one reason of each of these (drains.def says who takes them back). */
enum tug_drain {
#define TUG_DRAIN(NAME, name, taken_back_by) TUG_DRAIN_##NAME,
#include "core/drains.def"
#undef TUG_DRAIN
    TUG_DRAINS
};
const char *tug_drain_name(enum tug_drain by);                 /* "admin" */
int tug_drain_parse(const char *name);                         /* -1: no such */
int tug_drain_is_admins(enum tug_drain by);                    /* his to take back, also without force: 1 or 0 */
struct tug_core_drain {
    enum tug_drain by;
    const char *reason;
    uint32_t uid; const char *user;   /* an admin's; 0 and "" = nobody's */
    int64_t at_ms;
};

/* What is remembered of a node that failed (failures.def). */
enum tug_failure_kind {
#define TUG_FAILURE(NAME, name, text) TUG_FAILURE_##NAME,
#include "core/failures.def"
#undef TUG_FAILURE
    TUG_FAILURE_KINDS
};
const char *tug_failure_name(enum tug_failure_kind k);         /* "lost" */
const char *tug_failure_text(enum tug_failure_kind k);         /* "was not heard of any more" */
int tug_failure_parse(const char *name);                       /* -1: no such */
#define TUG_FAILURES_MAX 16                                    /* the last ones of each node */
struct tug_core_failure {
    enum tug_failure_kind what;
    uint8_t forgiven;              /* it does not count for the node's flapping */
    int64_t at_ms;
    tug_job_id job;                /* that it struck; 0 = none */
};

/* Two nodes that lost each other although both were there (links.c). */
#define TUG_LINK_HITS_MAX 8                                    /* the last ones of each pair */
struct tug_core_link_hit {
    int64_t at_ms;
    tug_job_id job;
};
struct tug_core_link_past { const char *peer; struct tug_core_link_hit hit; };   /* in the record of one of them */
/* Processes of a step that SIGKILL does not end, on one node (remnant.c). */
enum tug_remnant_holds { TUG_REMNANT_OF_GANG, TUG_REMNANT_ALL, TUG_REMNANT_MEMORY, TUG_REMNANT_NOTHING };
struct tug_core_remnant {
    tug_job_id job; uint32_t attempt, step;
    uint8_t holds;                 /* enum tug_remnant_holds */
    uint8_t late;                  /* the node was drained for it */
    int64_t since_ms;
    const char *text;              /* who they are and where they wait */
    struct tug_slice slice;        /* of ALL and MEMORY; its node is where the remnant is */
};

struct tug_core_conf {
    uint32_t launch_timeout_s;     /* barrier deadline */
    uint32_t cleaning_timeout_s;   /* a node is drained on which processes outlived SIGKILL for so long; 0 = never */
    uint32_t kill_grace_s;
    uint32_t launch_retries;       /* BOOT_FAIL after so many failed launches in a row */
    uint32_t pass_budget;          /* jobs looked at in one pass; 0 = no bound */
    uint32_t node_bad_launches;    /* a node is drained after so many launch failures in a row; 0 = never */
    uint32_t flap_losses;          /* a node is drained that went and came back so often ... */
    uint32_t flap_period_s;        /* ... within so long; flap_losses at most TUG_FAILURES_MAX, 0 = never */
    int64_t failures_kept_ms;      /* failures of nodes are remembered so long; 0 = not at all, neither of
                                      nodes nor by the jobs that they failed */
    uint32_t link_failures;        /* two nodes whose link failed so often within link_period_s get no gang together; at most
                                      TUG_LINK_HITS_MAX, 0 = never */
    uint32_t link_period_s;        /* that is remembered so long; 0 = not at all */
    uint32_t link_peers;           /* a node that lost so many others in that time is drained; 0 = never */
    int64_t kept_ms;               /* ended jobs stay listed so long */
    const struct tug_core_queue *queues;  size_t n_queues;
    const struct tug_core_node_row *nodes; size_t n_nodes;    /* node index = position; unknown nodes are refused */
    uint64_t seed;                 /* of the policy's random numbers */
    enum tug_placement placement;
    enum tug_preemption preemption;
    uint32_t preempt_max;          /* so often a job gives way at most; 0 = 3 */
    uint32_t max_requeues;         /* so often a job is run again after failures, if it does not say; 0 = 10 */
    uint32_t requeue_delay_s;      /* first back-off of a job that does not say; 0 = none */
    const struct tug_core_account *accounts;  size_t n_accounts;   /* none: every account name is one, with weight 1 */
    const struct tug_core_domain *domains;    size_t n_domains;
    const struct tug_core_level *levels;      size_t n_levels;     /* those of domains that are not here: nothing is known */
    int64_t usage_half_life_ms;    /* of charged usage; 0 = 7 days */
    double usage_cpu_weight;       /* a CPU of a job without GPUs is charged as so many GPUs; 0 = 0.1, < 0 = not at all */
    uint8_t quiet;                 /* explanations of policies are not kept: nobody will ask */
};

struct tug_core *tug_core_new(const struct tug_core_conf *conf, struct tug_err *err);
void tug_core_free(struct tug_core *c);
/* Live edit: new rows are added, changed rows take effect, a missing queue with jobs or node with a gang is refused
 * (-EBUSY). Nodes keep their index: from the first change on, find it by name. */
int tug_core_configure(struct tug_core *c, int64_t now_ms, const struct tug_core_conf *conf, struct tug_err *err);

/* ---- admission: no change, only the sentence. Fills in what the request left unsaid (0 / "" / NULL). */
struct tug_core_ask {              /* as the user wrote it: 0 or "" = not said */
    uint32_t nodes, ntasks, tasks_per_node, cpus_per_task, gpus, gpus_per_node, gpus_per_task;
    uint64_t mem_per_node_bytes, mem_per_cpu_bytes;
    uint32_t gpu_milli;            /* part of one GPU, in thousandths; not together with whole ones */
};
/*  -EINVAL  contradictory or impossible (says the largest that exists, the queue's limit, ...)
 *  -ENOENT  no such queue or node (with a did-you-mean)       -EPERM  the queue does not take this user */
int tug_core_admit(const struct tug_core *c, const struct tug_core_ask *ask, struct tug_job_req *req, struct tug_err *err);

/* ---- events. Each returns 0 or a negative errno with a sentence and then has changed nothing.
 * An event about an (attempt, step, node) that the core does not expect is answered with the action that puts the
 * node right (KILL of what should not be there, ACK of what was reported before), never with an error.
 * Of a node the core expects: every KILL is answered with STEP_DONE once nothing is left, also by a node that holds
 * nothing of that step; LAUNCH and START may come twice; DONE of a step that ran names the exit of every local rank.
 * A node that holds something unexpected gets no new gang until that is DONE. */
enum tug_event_type {
    TUG_EV_JOB_SUBMIT,     /* job, req (strings copied): PENDING. The id must be new */
    TUG_EV_JOB_CANCEL,     /* job, text = why: -ENOENT, -EALREADY when over */
    TUG_EV_JOB_SIGNAL,     /* job, step, signal: to all ranks of a running step */
    TUG_EV_JOB_REQUEUE,    /* job, text: end the attempt and wait again, or end its back-off; -EPERM when it may not */
    TUG_EV_JOB_HOLD,       /* job, uid, user, text = why (NULL: not said), force: an administrator's: it waits and is not started; -EBUSY
                              when it has its nodes; held so already, or by an administrator: no change */
    TUG_EV_JOB_RELEASE,    /* job, uid, user, force: by an administrator; -EPERM when he must; not held: no change */
    TUG_EV_STEP_SUBMIT,    /* job, ntasks (0 = the job's): a further step over the allocation, or over the slices in on[]; *step_out set */
    TUG_EV_STEP_CANCEL,    /* job, step, text */
    TUG_EV_NODE_UP,        /* node, inventory, boot changed or not, steps that it holds: reconcile */
    TUG_EV_NODE_CHANGED,   /* node, inventory: it is up, has looked again and has something else; -ENOENT when it is not up */
    TUG_EV_NODE_DOWN,      /* node, text: not heard of for node_timeout; its gangs end elsewhere, its own parts count as held */
    TUG_EV_NODE_LEASE_OVER,/* node: nothing requeueable can still run there */
    TUG_EV_NODE_DRAIN,     /* node, text, uid, user: an admin's reason, in place of the one that he gave before */
    TUG_EV_NODE_RESUME,    /* node, uid, user: all reasons that are an admin's to take back; force: and all others */
    TUG_EV_NODE_HEALTH,    /* node, text: what its health check found; "" = nothing, which takes its reason back */
    TUG_EV_LINK_BROKEN,    /* node, peer: both were heard of after a gang's word that they had lost each other (tug_core_link()) */
    TUG_EV_LINK_CLEAR,     /* node, peer, uid, user: an admin's word that it is mended; -ENOENT when nothing is remembered */
    TUG_EV_NODE_VISIT_FAILED, /* node, is_epilog, text: its prolog or epilog failed, which drains it */
    TUG_EV_STEP_READY,     /* job, attempt, step, node */
    TUG_EV_STEP_WIRED,     /* job, attempt, step, node */
    TUG_EV_STEP_FAILED,    /* job, attempt, step, node, cause: refused, failed before ready, or early word of a failure */
    TUG_EV_STEP_STOPPED,   /* job, attempt, step, node, serial: all ranks there are stopped, as that order asked for */
    TUG_EV_STEP_WATCH,     /* job, attempt, step, node, hang: who holds it up, or that nobody does any more; its head's word counts */
    TUG_EV_STEP_DONE,      /* job, attempt, step, node, exits, cause: nothing is left there */
    TUG_EV_STEP_STUCK,     /* job, attempt, step, node, exits, cause, text: what is left there has outlived SIGKILL, and runs no more;
                              text: who and where. As DONE for the gang; the node keeps what it had there until DONE comes */
    TUG_EV_TICK            /* time limits, barrier deadlines, begin times, purging: everything due by now */
};

struct tug_core_inventory {
    uint32_t cpus, gpus;
    uint64_t mem_bytes;
    const char *gpu_model;
    /* How its GPUs are linked; copied. NULL, or one with fewer GPUs: nobody knows, all are alike. */
    const struct tug_machine *machine;
    tug_gpuset gpus_lost;          /* among 'gpus', by the node's own index: it lists them and they cannot be used */
    /* Slices; a GPU that has one here is given to nobody as a whole. Copied. */
    const struct tug_core_mig *mig; size_t n_mig;
    uint32_t prolog_s, epilog_s;   /* how long they may take; 0 = it has none */
};
enum tug_held_phase { TUG_HELD_STARTING, TUG_HELD_READY, TUG_HELD_RUNNING, TUG_HELD_ENDING, TUG_HELD_DONE };
struct tug_held_step {             /* what a node says it holds when it comes (back) */
    tug_job_id job; uint32_t attempt, step; enum tug_held_phase phase;
    const struct tug_exit *exits; size_t n_exits; struct tug_cause cause;   /* DONE */
};

struct tug_event {
    enum tug_event_type type;
    tug_job_id job; uint32_t attempt, step;
    uint32_t node;
    uint32_t peer;
    const struct tug_job_req *req;
    uint32_t ntasks;
    const uint32_t *on; size_t n_on;   /* STEP_SUBMIT: indices of the job's slices, rising; none = as many as it needs */
    int signal;
    uint32_t serial;
    uint32_t uid; const char *user;
    const char *text;
    uint8_t boot_changed, force, is_epilog;
    struct tug_core_inventory inventory;
    const struct tug_held_step *held; size_t n_held;
    const struct tug_exit *exits; size_t n_exits;
    struct tug_cause cause;        /* text borrowed */
    const struct tug_hang *hang;   /* likewise */
    uint32_t *step_out;
};
int tug_core_apply(struct tug_core *c, int64_t now_ms, const struct tug_event *ev, struct tug_err *err);

/* ---- the scheduler pass */
int tug_core_wants_pass(const struct tug_core *c);    /* something changed since the last one */
/* The plugins in force, asked in this order; no hook but observe() stands in two of them. */
#define TUG_POLICIES_MAX 4
struct tug_policy_set {
    struct { const struct tug_policy_ops *ops; void *self; } at[TUG_POLICIES_MAX];
    size_t n;
};
/* One pass with the policies in force: observe() of each, rekey() and key(), pass(), preempt(). What no plugin fills, and a set
 * of none, is decided in the built-in order (fifo, strict). Another set than the last one is told all that lives first, and is
 * asked for all keys.
 * NULL: the built-in order this time, nobody is asked, and the set of the last pass stays in force.
 * Returns the number of gangs started, or -errno when a plugin failed and the built-in order took over (err names the plugin,
 * the hook and what it returned). Refused proposals are counted, and 'err' says the first of them; the caller switches a policy
 * off after too many. */
struct tug_pass_stats {
    uint32_t started, looked_at, refused;
    uint32_t refused_of[TUG_POLICIES_MAX];   /* the plugin that proposed it */
    uint32_t failed;                         /* with -errno: the plugin */
};
int tug_core_pass(struct tug_core *c, int64_t now_ms, const struct tug_policy_set *set,
                  struct tug_pass_stats *stats, struct tug_err *err);
/* The plugins of the last pass are gone: whatever comes next is told everything anew, even if it looks the same; a
 * pass is wanted. */
void tug_core_forget_policies(struct tug_core *c);
/* A job of the past that ended at that time, for the next set of plugins: they are told before anything else, in the order of
 * these calls, once. ran_ms of the row says how long it ran. Strings are copied. */
void tug_core_recall(struct tug_core *c, const struct tug_policy_job *row, int64_t end_ms, int ok);
/* Who is told that a hook of plugin 'at' is asked, and that it is over (they nest: place() within pass()). The keys of many jobs
 * count as one. NULL = nobody. Copied. */
struct tug_hook_watch {
    void (*begin)(void *ctx, size_t at, const struct tug_policy_ops *ops, const char *hook);
    void (*end)(void *ctx, size_t at);
    void *ctx;
};
void tug_core_watch_hooks(struct tug_core *c, const struct tug_hook_watch *w);

/* ---- actions, in order. Strings and pointers are valid until the next event. */
enum tug_action_type {
    TUG_ACT_LAUNCH,        /* job attempt step node: set up that node's part and wait at the barrier */
    TUG_ACT_START,         /* job attempt step node: the barrier is open */
    TUG_ACT_KILL,          /* job attempt step node grace_s text (may name a job that is not known any more) */
    TUG_ACT_SIGNAL,        /* job attempt step node signal; with a serial it suspends (SIGSTOP, to be answered with STEP_STOPPED)
                              or ends that, and what has a lower one is void */
    TUG_ACT_ACK,           /* job attempt step node: its result is taken; the node may forget it */
    TUG_ACT_JOB_CHANGED,   /* job: record to be written; waiters to be told */
    TUG_ACT_JOB_HISTORY,   /* job, text = "submit" "start" "end" "requeue" "hang" "hang-over" "hold" "release"; of the last two: what = whose
                              hold (tug_onhold_name()), uid, user: who did it */
    TUG_ACT_JOB_FORGOTTEN, /* job: purged from memory; delete its record */
    TUG_ACT_STEP_ENDED,    /* job, step > 0: the step as it ended; it is no longer in its job. (Step 0 stays in the job's record.) */
    TUG_ACT_NODE_CHANGED,  /* node: record to be written */
    TUG_ACT_NODE_HISTORY,  /* node, what = "drain" "resume" "down" "up"; of a reason for draining: by, uid, user; text: the reason */
    TUG_ACT_NODE_LOG,      /* node (TUG_NO_NODE = a policy's word), text: a sentence for the admin's log */
    TUG_ACT_USAGE_CHANGED  /* share: what that user has used is to be written, see tug_core_usage() */
};
struct tug_action {
    enum tug_action_type type;
    tug_job_id job; uint32_t attempt, step, node;
    uint32_t grace_s; int signal;
    uint32_t serial;
    uint32_t share;
    char text[256];
    const char *what;              /* NODE_HISTORY, JOB_HISTORY */
    enum tug_drain by;             /* likewise; TUG_DRAINS = no reason for draining */
    uint32_t uid; char user[64];
    const struct tug_step *ended_step;
};
int tug_core_next_action(struct tug_core *c, struct tug_action *out);   /* 1 = got one, 0 = none left */
/* When tug_core_apply(TICK) is next needed, which then may want a pass; INT64_MAX = never. */
int64_t tug_core_next_wake(const struct tug_core *c);

/* ---- restoring from records, before the first event; never asks a policy, emits no action. */
struct tug_core_node_past {        /* of a node, as its record has it; strings are copied */
    const struct tug_core_inventory *inv;   /* NULL = it never said what it has */
    const struct tug_core_drain *drains;  size_t n_drains;
    const struct tug_core_failure *failures;  size_t n_failures;   /* the oldest first */
    const struct tug_core_link_past *links;   size_t n_links;      /* likewise */
    const struct tug_core_remnant *remnants;  size_t n_remnants;
    uint32_t bad_launches;
};
int tug_core_restore_node(struct tug_core *c, const char *name, const struct tug_core_node_past *past, struct tug_err *err);
/* A node that a job holds and that is not configured any more: the job goes on there, nothing else is started. Its index. */
uint32_t tug_core_restore_ghost(struct tug_core *c, const char *name);
/* What runs of that user had used under that account when they ended, as it counted at at_ms. */
void tug_core_restore_usage(struct tug_core *c, const char *account, const char *user, uint32_t uid, double gpu_s,
                            int64_t at_ms);
/* The job as it was, allocation included: claims its GPUs. -EBUSY (names both) when the records contradict each other. */
int tug_core_restore_job(struct tug_core *c, const struct tug_job *job, struct tug_err *err);
/* The records are older than the cluster: the next attempt of every job has a number that no node has seen. */
void tug_core_skip_attempts(struct tug_core *c, uint32_t n);
/* All records are in: rebuild the order of the waiting, arm deadlines. Nodes are down until they come. */
void tug_core_restored(struct tug_core *c, int64_t now_ms);
/* Orders leave only now, and no tick has come since they were given: launches under way have all their time from now on. */
void tug_core_launches_anew(struct tug_core *c, int64_t now_ms);

/* ---- reading. Pointers are valid until the next event. */
const struct tug_job *tug_core_job(const struct tug_core *c, tug_job_id id);
const struct tug_step *tug_core_step(const struct tug_core *c, tug_job_id id, uint32_t step);
/* Jobs in id order; start with after = 0; NULL = no more. */
const struct tug_job *tug_core_job_after(const struct tug_core *c, tug_job_id after);
/* reason and sentence of a waiting job, also for jobs that no pass got to. */
const char *tug_core_explain(const struct tug_core *c, const struct tug_job *job, int *reason_out, char *buf, size_t size_bytes);
/* When the last pass expects a waiting job to start; -1 = it reserved nothing for it, or nobody knows. */
int64_t tug_core_expected_start(const struct tug_core *c, const struct tug_job *job);
const char *tug_core_reason_name(int reason);
/* The events that a policy wants to be told, 1u << TUG_POLICY_EV_...; 0 = it has no observe(). */
uint32_t tug_core_observes(const struct tug_policy_ops *ops);
/* So often it is run again after failures, and how long its first back-off is. */
uint32_t tug_core_max_requeues(const struct tug_core *c, const struct tug_job *job);
uint32_t tug_core_requeue_delay_s(const struct tug_core *c, const struct tug_job *job);
/* When a waiting job is content with less than it asks of the fabric now; INT64_MAX = never. */
int64_t tug_core_relaxes(const struct tug_core *c, const struct tug_job *job);
/* Where a waiting job stands among those that may start: place 1 goes first. 0 = in no order that the core knows: it may not
 * start, no pass has seen it yet, or the policy has an order of its own. The policies' terms, if they say any, go into 'terms',
 * else "". Asks hooks of the policies of the last pass (they are watched); decides and changes nothing. */
struct tug_core_standing { uint64_t place, of; };
void tug_core_standing(struct tug_core *c, int64_t now_ms, const struct tug_job *job, struct tug_core_standing *out,
                       char *terms, size_t size_bytes);

struct tug_core_node {
    const char *name;
    uint8_t up, drained, known;    /* known: has said its inventory */
    const char *reason;            /* of being down or drained; "" */
    const struct tug_core_drain *drains; size_t n_drains;
    int64_t since_ms;
    uint32_t bad_launches;         /* in a row */
    const struct tug_core_failure *failures; size_t n_failures;    /* the oldest first */
    const struct tug_core_remnant *remnants; size_t n_remnants;    /* likewise */
    uint32_t cpus, cpus_used, gpus;
    tug_gpuset gpus_used;          /* without slices */
    uint64_t mem_bytes, mem_used_bytes;
    const char *gpu_model;
    uint32_t n_jobs;
    uint32_t domain;               /* of the fabric; UINT32_MAX = in none */
    const struct tug_machine *machine;   /* NULL = not known */
    tug_gpuset gpus_lost;          /* not among gpus, which counts what can be used */
    tug_gpuset gpus_cut;           /* not among gpus either: they are cut into slices */
    uint32_t slices, slices_used;  /* of these */
    uint32_t prolog_s, epilog_s;   /* as in tug_core_inventory */
};
/* Slices of one profile on a node: those that there are and those that somebody has, by device; and the GPUs that they are of. */
struct tug_core_cut { const char *profile; tug_gpuset slices, used, gpus; };
/* out[] has room for TUG_CORE_CUTS_MAX; returns how many. In the order of the node's slices. */
size_t tug_core_node_cuts(const struct tug_core *c, uint32_t node, struct tug_core_cut *out);
/* Devices that gangs there have, also those that are stopped: other slices must not get their numbers. */
tug_gpuset tug_core_devices_had(const struct tug_core *c, uint32_t node);
/* The GPUs that the slices among these devices are cut from; of other devices themselves. */
tug_gpuset tug_core_gpus_of(const struct tug_core *c, uint32_t node, tug_gpuset devices);
size_t tug_core_nodes(const struct tug_core *c);
/* Pairs of nodes of which something is remembered, or was said that nobody has judged yet. */
struct tug_core_link {
    uint32_t a, b;                 /* a's name is the lower one: its record has the pair */
    uint8_t bad;                   /* they get no gang together */
    int64_t said_ms;               /* a gang said so then, and it may still be one of the nodes; -1 = nothing is open */
    int64_t until_ms;              /* bad: until then, if nothing more happens; -1 = it is not, or nobody has judged yet */
    const struct tug_core_link_hit *hits; size_t n_hits;           /* the oldest first */
};
size_t tug_core_links(const struct tug_core *c);
void tug_core_link(const struct tug_core *c, size_t i, struct tug_core_link *out);
struct tug_core_domain_view {
    const char *name, *level;
    uint32_t parent;               /* index; UINT32_MAX = at the top */
    uint32_t order;                /* its place in the tree, parents before what is below them */
    uint64_t bandwidth_bytes_s; double oversubscription;           /* of its level */
};
/* The most GPUs that one gang could have there now, alike on each of its nodes; shut: nodes that one job has for itself. */
struct tug_core_room { uint32_t nodes, gpus_per_node, shut; };
void tug_core_domain_room(const struct tug_core *c, uint32_t index, struct tug_core_room *out);
size_t tug_core_domains(const struct tug_core *c);
void tug_core_domain(const struct tug_core *c, uint32_t index, struct tug_core_domain_view *out);
void tug_core_node(const struct tug_core *c, uint32_t index, struct tug_core_node *out);
/* GPUs of a node in the order of their best ring (bandwidth.h): a function of the node's links and the set, so that a gang that
 * is queued again has the same. Rising where nothing is known. out[] has room for the set; returns how many. */
size_t tug_core_gpu_ring(const struct tug_core *c, uint32_t node, tug_gpuset gpus, uint32_t *out);
const char *tug_core_node_state(const struct tug_core_node *n);        /* "IDLE" "MIXED" "ALLOCATED" "CLEANING" "DRAINING" "DRAINED" "DOWN" "UNKNOWN" */
uint32_t tug_core_node_find(const struct tug_core *c, const char *name);  /* TUG_NO_NODE */
const char *tug_core_default_queue(const struct tug_core *c);
/* The queues as configured; strings are valid until the next tug_core_configure(). */
size_t tug_core_queues(const struct tug_core *c);
void tug_core_queue_row(const struct tug_core *c, size_t i, struct tug_core_queue *out);
/* The rows of a policy's view, worked out as of now_ms; valid until the next event. */
const struct tug_policy_queue *tug_core_queue_tree(const struct tug_core *c, size_t *n);
const struct tug_policy_share *tug_core_share_tree(struct tug_core *c, int64_t now_ms, size_t *n);
struct tug_core_usage { const char *account, *user; uint32_t uid; double gpu_s; int64_t at_ms; };
/* What is to be written of row 'share' of the tree, a user's. */
void tug_core_usage(const struct tug_core *c, uint32_t share, struct tug_core_usage *out);
int64_t tug_core_usage_half_life_ms(const struct tug_core *c);
struct tug_core_counts { uint64_t pending, running, ended; uint32_t nodes_up; uint32_t gpus, gpus_used; };
void tug_core_count(const struct tug_core *c, struct tug_core_counts *out);
size_t tug_core_memory_bytes(const struct tug_core *c);

/* Every invariant there is, over everything (slow): 0, or -EINVAL with the first one that is broken. */
int tug_core_check(const struct tug_core *c, struct tug_err *err);

#endif
