/* state.h - what the core is made of; for src/core and its tests only
 *
 * Each file of the core owns a part of it: job.c the life cycle, step.c steps and their parts,
 * node.c nodes, place.c where gangs fit, pass.c passes, actions.c what goes out. Layer: core.
 */
#ifndef TUG_CORE_STATE_H
#define TUG_CORE_STATE_H

#include <sys/queue.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/mig.h"
#include "base/rand.h"
#include "base/vec.h"
#include "core/core.h"
#include "core/fabric.h"
#include "core/inside.h"
#include "core/intern.h"
#include "core/jobtab.h"
#include "core/ledger.h"
#include "core/order.h"
#include "core/quality.h"
#include "core/share.h"
#include "core/span.h"

#include <uthash.h>

/* ---- where a gang may go, and of what kind it is (place.c). Interned: jobs that ask for the same
 * share one. */

struct tug_where_key {
    const char *queue_nodes, *nodelist, *exclude, *gpu_model;
}; /* interned */
struct tug_where {
    struct tug_where_key key;
    UT_hash_handle hh;
    size_t refs;
    uint64_t *nodes; /* bit i: node i is allowed */
    size_t n_nodes;  /* bits set */
};

/* What is asked of the fabric as it counts now (within.c); all 0 = nothing. */
struct tug_within {
    const char *level;   /* interned, held by the jobs; NULL = none */
    const char *alone;   /* level whose domains it has for itself; NULL = none */
    uint32_t domains;    /* within so many domains of 'level'; 0 = one is tried first */
    uint32_t segment;    /* so many slices that follow each other are in one of them; 0 = any */
    uint32_t spread;     /* over all of them, evenly */
    uint32_t quality_milli; /* of the placement at least */
};

struct tug_shape_key {
    const struct tug_where *where;
    const struct tug_where *first; /* of these, what is tried before the rest; NULL = all alike */
    const char *queue; /* interned; held by the jobs. A policy may treat queues differently */
    struct tug_within within;
    uint64_t mem_bytes;
    uint32_t nodes, cpus, gpus, cpus_last, gpus_last, milli, exclusive;
    uint32_t cut; /* its GPUs are slices of that kind (cut.c); 0 = GPUs */
    uint32_t user, mixed; /* of parts of a GPU: whose, and whether others' may be beside it */
};
/* Shapes that differ only in how many nodes they want. What one of them cannot have, a wider one
 * cannot either, nor for longer. */
#define TUG_FAMILY_WIDTHS 64
struct tug_family {
    struct tug_shape_key key; /* nodes = 0 */
    UT_hash_handle hh;
    size_t refs;
    uint32_t number;    /* in core.families, > 0 */
    uint64_t delays_in; /* pass in which, by width, runs of so long or longer would delay a reservation */
    uint32_t delays_s[TUG_FAMILY_WIDTHS];
};

struct tug_shape {
    struct tug_shape_key key;
    UT_hash_handle hh;
    struct tug_family *family;
    size_t refs;
    uint32_t micro;      /* its GPUs are slices that count as so many millionths of a GPU; 0 = GPUs */
    uint64_t number;     /* never used twice */
    uint64_t failed_at;  /* value of 'freed' when it last did not fit; 0 = fits or not tried */
    uint64_t weighed_at; /* value of 'reshaped' when 'possible' was worked out; 0 = never */
    int possible;        /* the usable nodes could hold the gang if they were empty */
    uint64_t best_at;    /* value of 'reshaped' when best_mbs was worked out; 0 = never (quality.c) */
    uint32_t best_mbs;
    uint64_t poor_at;     /* value of 'freed' when the best placement was not good enough (within.c); 0 = never */
    uint32_t poor_milli;  /* it was that good */
    TAILQ_HEAD(tug_parked, tug_entry)
    parked; /* waiting jobs that no pass can start until more nodes are usable */
    LIST_ENTRY(tug_shape) in_parked; /* in core.parked while 'parked' is not empty */
    /* plan.c, of the pass with that number: a run of so long or longer would delay a reservation, and
     * finds no room before that time. */
    uint64_t delays_in, found_in;
    int64_t delays_ms, found_run_ms, found_ms;
};

/* Nodes by what is free there: bit i of free_ge[g] = node i is usable, has a CPU and g GPUs or more
 * free. */
struct tug_index {
    size_t words;
    uint64_t *free_ge[TUG_GPUS_MAX + 1];
    uint64_t *usable, *idle;
    uint64_t *shared; /* a CPU free, and some of a GPU that others have parts of */
    struct tug_index_room { /* by node, what searches look at; side by side, as they look at thousands */
        uint64_t mem_bytes;
        tug_gpuset gpus; /* these three are free, whether it is usable or not */
        const struct tug_machine *machine;
        uint32_t cpus, domain;
    } * room;
    uint64_t *shaky;  /* has failed lately: taken after others that are as good (failures.c) */
    size_t n_shaky;
    struct tug_vec(struct tug_cut_index {
        uint64_t *free_ge[TUG_GPUS_MAX + 1]; /* the same, of free slices of one kind */
    }) cuts;                                 /* by kind, from 1 on */
};

/* ---- GPUs that are cut into slices (cut.c) */

struct tug_cut { /* a kind of slices, for good */
    const char *profile; /* interned */
    uint32_t micro;      /* of a GPU, in millionths */
};
struct tug_cut_node { /* what of a node is cut */
    uint32_t n;
    struct {
        uint32_t kind;
        tug_gpuset slices;
    } at[TUG_CORE_CUTS_MAX];
    tug_gpuset gpus;               /* that are cut */
    uint8_t gpu_of[TUG_GPUS_MAX];  /* by device */
};

/* ---- what is kept free for a job that others give way to (hold.c) */

struct tug_hold {
    struct tug_slice *want; /* where it will start, in rank order */
    struct tug_slice *have; /* of that, what came free and is kept in the ledger */
    size_t n, complete;     /* slices; those of which nothing is missing */
    tug_job_id *givers;     /* who gives way */
    size_t n_givers;
    int crowded;      /* others are still in domains that it will have for itself, or have one of those for themselves */
    int was_crowded;  /* as it was made */
    int64_t until_ms; /* then it is given up */
    size_t *place;    /* while it is lifted: where it stood among the node's holds */
    int lifted;       /* for a moment: nothing of it is in the ledger */
};

/* ---- jobs */

enum tug_bench {                  /* where a job that waits is kept */
                 TUG_BENCH_NONE,  /* does not wait */
                 TUG_BENCH_ORDER, /* may start: core.order */
                 TUG_BENCH_BEGIN, /* not before eligible_ms or retry_ms: core.wakes */
                 TUG_BENCH_HELD,  /* somebody holds it back */
                 TUG_BENCH_QUEUE, /* its queue is down */
                 TUG_BENCH_PARKED /* too few usable nodes: shape.parked */
};

struct tug_entry {    /* a job and what the core keeps beside it */
    struct tug_job j; /* first: see tug_entry_of() */
    struct tug_shape *shape;
    enum tug_bench bench;
    uint8_t explained; /* reason and text come from a policy */
    TAILQ_ENTRY(tug_entry) in_parked;
    struct tug_heap_node wake;
    int64_t wake_ms;
    uint64_t changed_at; /* number of its last JOB_CHANGED */
    uint64_t looked_at;  /* pass in which a policy last looked at it */
    uint64_t planned_in; /* pass that last reserved a start for it */
    int64_t planned_ms;  /* that start; INT64_MAX = nobody knows when */
    size_t running_at;   /* 1-based row in core.running; 0 = none */
    double key;          /* as a policy gave it last, and as its row in core.order has it; 0 = none did */
    uint32_t queue_row, share_row; /* while it is not over */
    int64_t charged_ms;            /* what it holds is charged since then; -1 = it holds nothing */
    struct tug_share_load load;    /* what it is charged for */
    uint64_t recalled;   /* value of core.tellings when it was told as one of the past */
    struct tug_hold *hold;   /* what others give way for, while it waits; NULL = nothing */
    int64_t ending_ms;       /* COMPLETING and REQUEUED: since when */
    uint64_t placed_nth;     /* among all gangs that were started; 0 = it was restored */
    uint64_t placed_in;      /* the fabric of that number, by placed_within; 0 = not known, as of one restored */
    struct tug_within placed_within;
    uint32_t *shuts;         /* domains that it has, or will have, for itself */
    size_t n_shuts;
    uint64_t named_at;       /* scratch of preempt.c: a job twice in one proposal */
};

struct tug_running_row {
    struct tug_policy_job job;
    struct tug_entry *entry;
};

/* ---- nodes */

struct tug_stray {
    tug_job_id job;
    uint32_t attempt, step;
}; /* something that should not be there and is being killed */

struct tug_node {
    const char *name;              /* interned, as all texts here */
    struct tug_core_inventory row; /* what the configuration expects */
    struct tug_core_inventory inv; /* what it said last; its machine is 'told' or that of the row */
    const struct tug_machine *told; /* what it said of its links itself. All three are held in core.insides */
    struct tug_cut_node *cut; /* what it said; NULL = nothing is cut */
    uint8_t in_conf, up, drained, known;
    const char *down_reason, *drain_reason; /* the latter: all of 'drains' in one */
    struct tug_vec(struct tug_core_drain) drains; /* in the order of drains.def; drain.c */
    int64_t since_ms;
    uint32_t bad_launches; /* in a row */
    struct tug_vec(struct tug_core_failure) failures; /* the oldest first */
    uint8_t lost;          /* it was here, went, and is not back yet */
    struct tug_vec(struct tug_stray) strays;
    struct tug_vec(struct tug_core_remnant) remnants; /* the oldest first; remnant.c */
    /* Those that hold something here, in the order in which they came. */
    struct tug_vec(struct tug_entry *) gangs;
    /* Those that wait with a hold here, in the order in which they got it. */
    struct tug_vec(struct tug_entry *) holds;
    uint64_t changed_at;
    uint32_t shut;   /* so many have a domain for themselves that it is in: nobody else may come */
    uint32_t domain; /* of the fabric; TUG_NO_DOMAIN = none */
    uint64_t mark;   /* scratch: a node twice in one proposal, or taken by another slice */
};

struct tug_queue {
    const char *name, *nodes, *allow_users; /* interned */
    int32_t priority;
    uint32_t max_time_s, default_time_s;
    uint8_t is_default, is_down;
    uint8_t is_ghost; /* no longer configured, but jobs of it were restored: they end, none starts */
    size_t n_jobs; /* that are not over */
    size_t n_waiting;
    uint32_t tier;
    /* how its jobs give way; as in struct tug_core_queue */
    enum tug_policy_preemptable preemptable;
    uint32_t preempt_min_run_s, preempt_notice_s;
    int preempt_signal;
    const char *preflight; /* interned; as in struct tug_core_queue */
    uint64_t preflight_floor;
    uint32_t preflight_s;
    uint8_t preflight_drains;
    const char *parent; /* interned; "" = at the top */
    uint32_t guarantee_gpus, cap_gpus;
    double weight;
    uint8_t no_borrow, no_lend;
    enum tug_gpu_sharing share_gpus;
    uint32_t kept, kept_below; /* see queue.c */
    uint64_t micro_used;       /* of gpus_used, what is held in slices, in millionths; rounded up there */
    uint32_t gpus_held;        /* of the plans of holds of its jobs and of those below it */
    uint64_t held_at;          /* pass in which the built-in order found it full */
    tug_job_id held_by;        /* the first job that waited for it then */
};

struct tug_place_memo { /* of one search: machines and the fabric may be others in the next */
    struct tug_place_memo_key {
        const struct tug_machine *machine;
        tug_gpuset free;
        struct tug_span span;
        uint32_t domain, gpus;
    } key;
    uint32_t mbs;
};

/* Free parts of a node's GPUs, as the job may use them that a plugin is asked to place (place.c). */
struct tug_veil {
    uint32_t node;
    uint16_t milli_free[TUG_GPUS_MAX];
};

/* ---- actions (actions.c) */

struct tug_queued_action {
    enum tug_action_type type;
    tug_job_id job;
    uint32_t attempt, step, node, grace_s, share, serial;
    int signal;
    size_t text, user; /* offset in texts + 1; 0 = "" */
    const char *what;
    enum tug_drain by;
    uint32_t uid;
    const struct tug_step *ended;
};
struct tug_actions {
    struct tug_vec(struct tug_queued_action) queue;
    size_t taken;    /* of the queue */
    uint64_t before; /* actions ever queued before queue.at[0]; starts at 1 */
    struct tug_buf texts;
    struct tug_vec(struct tug_step *) ended; /* steps that STEP_ENDED points to */
};

/* ---- policies (pass.c, observe.c) */

struct tug_hooks { /* the plugin of core.policies that fills it; TUG_POLICIES_MAX = none */
    size_t key, pass, place, preempt;
    uint32_t observe; /* what somebody wants to know of what happens: 1u << TUG_POLICY_EV_... */
    int shares;  /* somebody reads view->shares */
};
/* Its texts are held by whoever has the event. */
typedef struct tug_vec(struct tug_policy_event) tug_events;

/* ---- pairs of nodes that lost each other (links.c) */

struct tug_link {
    uint32_t a, b; /* a's name is the lower one */
    struct tug_vec(struct tug_core_link_hit) hits; /* the oldest first */
    tug_job_id job; uint32_t attempt; /* which said so last */
    int64_t said_ms;   /* it may still have been one of the nodes; INT64_MIN = nothing is open */
    int bad;           /* never together */
    uint64_t bad_from; /* what is placed later than that many gangs */
};

/* ---- the whole */

struct tug_core {
    uint32_t launch_timeout_s, kill_grace_s, launch_retries, pass_budget, node_bad_launches;
    uint32_t flap_losses, flap_period_s;
    int64_t failures_kept_ms, failures_next_ms; /* next: some node's first failure is forgotten then */
    uint32_t cleaning_timeout_s;
    int64_t cleaning_next_ms; /* some node may have to be drained for a remnant then */
    size_t visits_left;       /* so many remnants are visits */
    uint32_t n_lost;  /* nodes with their 'lost' */
    int64_t mass_ms;  /* when more nodes were away than here; INT64_MIN = never */
    uint32_t link_failures, link_period_s, link_peers;
    struct {
        struct tug_vec(struct tug_link) at;
        size_t n_bad;
        int64_t next_ms; /* some pair's first hit is forgotten then */
        uint64_t placed; /* gangs that were ever started */
        struct tug_vec(uint64_t) open;  /* scratch of searches: nodes, as bits */
        struct tug_vec(uint32_t) nodes; /* scratch */
    } links;
    int64_t kept_ms;
    enum tug_placement placement;
    enum tug_preemption preemption;
    uint32_t preempt_max, most_preemptions; /* the largest preempt_max there was */
    uint32_t max_requeues, requeue_delay_s;
    uint8_t quiet;
    struct tug_rand rand;
    int64_t now_ms;
    struct tug_interns *texts;
    struct tug_insides *insides;
    struct tug_vec(struct tug_queue) queues;
    struct tug_vec(struct tug_policy_queue) queue_rows;
    uint32_t gpus_kept; /* free GPUs that queues which do not lend have a right to */
    struct tug_shares *shares;
    int64_t usage_cpu_rate; /* of a CPU of a job without GPUs, as usage.h's rates */
    struct tug_vec(struct tug_node) nodes;
    struct tug_name {
        const char *name;
        uint32_t node;
        UT_hash_handle hh;
    } * names;
    struct tug_vec(struct tug_policy_node) node_rows;
    struct tug_ledger *ledger;
    struct tug_index index;
    struct tug_vec(struct tug_cut) cuts; /* kind k is cuts.at[k - 1] */
    struct tug_fabric fabric;
    struct tug_where *wheres;
    struct tug_shape *shapes;
    struct tug_family *families_by_key;
    struct tug_vec(struct tug_family *) families; /* by number; NULL = free */
    /* Of the same: so many nodes or more did not fit when 'freed' was family_limits_at. [0] = none. */
    struct tug_vec(uint32_t) family_limits;
    uint64_t family_limits_at;
    uint64_t shapes_made;
    LIST_HEAD(tug_parked_shapes, tug_shape) parked; /* shapes with parked jobs */
    uint64_t freed;       /* grows when something becomes free: what did not fit may fit now */
    uint64_t reshaped;    /* grows when the usable nodes or their sizes change */
    uint64_t unparked_at; /* 'reshaped' when the parked were last looked at */
    /* While topology.c looks for nodes: those that give less to the gang do not hold a slice of it. mbs = 0: all do */
    struct {
        struct tug_span span;
        uint32_t mbs;
        uint32_t keep; /* for the last slice; TUG_NO_NODE = none in particular */
    } bar;
    struct tug_place_memo *memos; /* what tug_place_mbs() said last, of a slice and of the last one: many nodes are alike */
    int as_if_empty; /* while it looks for the best there is: what is held does not count */
    struct tug_vec(uint64_t) first; /* scratch of placing: nodes that have not failed that gang, as bits */
    struct tug_vec(uint32_t) picked;                /* scratch of placing */
    struct tug_vec(struct tug_policy_slice) chosen; /* what tug_place_choose() found */
    struct tug_vec(struct tug_policy_slice) proposed; /* scratch: what a plugin answers */
    struct tug_vec(struct tug_veil) veils; /* what it is shown in place of nodes' rows meanwhile */
    struct tug_idtab jobs;
    struct tug_order order;
    struct tug_vec(struct tug_running_row) running;
    struct tug_heap wakes;
    struct tug_actions actions;
    uint64_t n_pending, n_running, n_ended;
    uint32_t n_suspended; /* of the pending */
    uint32_t gpus, gpus_free, nodes_up; /* gpus: of usable nodes */
    uint64_t pass;                      /* number of the last one */
    uint64_t marks;
    int wants_pass;
    struct tug_policy_set policies;     /* of the last pass that had one */
    struct tug_hooks hooks;
    int policies_known; /* 0: whatever set comes next is a new one */
    int keys_stale;     /* rows of the order have keys that nobody gave */
    tug_events events;   /* for observe(), not delivered yet; empty when nobody observes */
    tug_events recalled; /* ends of the past, for the next set */
    uint64_t tellings;
    int64_t policy_wake_ms; /* a policy wants a pass then; INT64_MAX = none does */
    struct tug_hook_watch watch;

    struct tug_plan *plan; /* plan.c */
    struct { /* scratch of preempt.c: GPUs by queue row, made once a pass */
        uint64_t pass;
        struct tug_vec(uint32_t) coming; /* wanted by jobs that others give way to */
        struct tug_vec(uint32_t) going;  /* held by jobs that are leaving */
    } reclaim;
    struct tug_vec(tug_job_id) ripe; /* whose hold has become complete since the last pass */
    struct { /* scratch of within.c: words of the index */
        struct tug_vec(uint64_t) open, full, last, empty;
        uint32_t holds; /* that were crowded as they were made */
    } within;
    uint64_t fabrics; /* so many there were */
    tug_job_id blocker; /* the job at which the built-in order stopped; 0 = none */
};

static inline struct tug_entry *tug_entry_of(const struct tug_job *j)
{
    return (struct tug_entry *) (uintptr_t) j;
}
/* How long ago. Over a restart the clock may have been set back: then 0, and nothing ends before it
 * began. */
static inline int64_t tug_since(const struct tug_core *c, int64_t ms)
{
    return c->now_ms > ms ? c->now_ms - ms : 0;
}
static inline int64_t tug_not_before(const struct tug_core *c, int64_t ms)
{
    return c->now_ms > ms ? c->now_ms : ms;
}
static inline int tug_bit(const uint64_t *bits, uint32_t i)
{
    return (int) (bits[i / 64] >> (i % 64) & 1);
}

/* actions.c */
#define TUG_ACTION_TEXT 256
void tug_actions_clear(struct tug_actions *a);
/* An event begins: what an earlier one pointed to may go if the host has taken every action. */
void tug_actions_begin(struct tug_actions *a);
void tug_act_job(struct tug_core *c, enum tug_action_type type, const struct tug_entry *e,
                 const char *text);
/* A row of the history: somebody holds it, or takes back a hold that was whose. */
void tug_act_onhold(struct tug_core *c, const struct tug_entry *e, const char *what, enum tug_onhold_by whose, uint32_t uid,
                    const char *user);
void tug_act_changed(struct tug_core *c,
                     struct tug_entry *e); /* once, however often it changes before it is taken */
void tug_act_node_changed(struct tug_core *c, uint32_t node);
/* A row of the history: of a reason for draining, or with that text. */
void tug_act_node_history(struct tug_core *c, uint32_t node, const char *what,
                          const struct tug_core_drain *d, const char *text);
void tug_act_node_log(struct tug_core *c, uint32_t node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void tug_act_part(struct tug_core *c, enum tug_action_type type, tug_job_id job, uint32_t attempt,
                  uint32_t step, uint32_t node, uint32_t grace_s, int signal, const char *text);
void tug_act_stop(struct tug_core *c, const struct tug_entry *e, uint32_t step, uint32_t node, int signal);
void tug_act_forgotten(struct tug_core *c, tug_job_id id);
void tug_act_usage_changed(struct tug_core *c, uint32_t share_row);
/* Takes the step. */
void tug_act_step_ended(struct tug_core *c, const struct tug_entry *e, struct tug_step *s);

/* job.c */
struct tug_entry *tug_entry_new(struct tug_core *c, tug_job_id id, const struct tug_job_req *req,
                                enum tug_job_state state);
void tug_entry_free(struct tug_core *c, struct tug_entry *e);
void tug_job_move(struct tug_core *c, struct tug_entry *e, enum tug_job_state to);
int tug_job_may_move(enum tug_job_state from, enum tug_job_state to);
void tug_job_arm(struct tug_core *c, struct tug_entry *e);  /* its next deadline */
void tug_job_launch(struct tug_core *c, struct tug_entry *e); /* its main step */
void tug_job_go(struct tug_core *c, struct tug_entry *e);     /* its preflight, if it has one, or that */
/* It never gets that node again. */
void tug_job_avoid(struct tug_core *c, struct tug_entry *e, uint32_t node);
/* That node failed it: its next attempt goes elsewhere if it can. */
void tug_job_shun(struct tug_core *c, struct tug_entry *e, uint32_t node);
void tug_job_start(struct tug_core *c, struct tug_entry *e,
                   struct tug_slice *slices); /* takes the slices */
void tug_job_end(struct tug_core *c, struct tug_entry *e, enum tug_job_state end,
                 const struct tug_cause *cause);
void tug_job_requeue(struct tug_core *c, struct tug_entry *e, const struct tug_cause *cause);
void tug_job_settle(struct tug_core *c, struct tug_entry *e); /* all gone? then free and move on */
void tug_job_due(struct tug_core *c, struct tug_entry *e);    /* a deadline has come */
void tug_job_set_explain(struct tug_entry *e, int reason, const char *text);
struct tug_step *tug_job_step(const struct tug_entry *e, uint32_t step);
int64_t tug_job_wake(const struct tug_core *c, const struct tug_entry *e);
/* It is being ended as failed, for its step daemon on that node was lost. */
int tug_job_failed_with(const struct tug_job *j, uint32_t node);
void tug_job_node_lost(struct tug_core *c, struct tug_entry *e, uint32_t node, const char *why);
void tug_job_link_lost(struct tug_core *c, struct tug_entry *e, struct tug_cause *cause);
/* Its gang hung, and it wanted to be run again then: as tug_requeue_failed(). */
int tug_job_hung(struct tug_core *c, struct tug_entry *e, struct tug_cause *cause, char *buf, size_t size_bytes);
void tug_job_launch_failed(struct tug_core *c, struct tug_entry *e, const struct tug_cause *cause);

/* -ENOENT: there is no such job. */
int tug_job_find(const struct tug_core *c, tug_job_id id, struct tug_entry **out, struct tug_err *err);
/* One that is over, or being ended: -EALREADY, and as what. */
int tug_job_find_alive(const struct tug_core *c, tug_job_id id, struct tug_entry **out, struct tug_err *err);
void tug_job_makes_way(struct tug_core *c, const struct tug_entry *e); /* it waits for its turn no more */
int tug_ev_job_submit(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_job_cancel(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_job_signal(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_job_requeue(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_tick(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);

/* bench.c */
void tug_job_bench(struct tug_core *c,
                   struct tug_entry *e); /* put a waiting job where it belongs */
/* The same after a restart: what no pass could start, as nodes are yet to come, is parked without one having looked at it. */
void tug_job_bench_restored(struct tug_core *c, struct tug_entry *e);
void tug_job_unbench(struct tug_core *c, struct tug_entry *e);
void tug_job_park(struct tug_core *c, struct tug_entry *e); /* from the order to its shape */
void tug_job_row(const struct tug_core *c, const struct tug_entry *e, struct tug_policy_job *out);
void tug_job_refresh_row(struct tug_core *c,
                         struct tug_entry *e); /* among the running, if it has one */
/* When this run of it began, as policies see it: with its allocation. */
static inline int64_t tug_job_held_since_ms(const struct tug_job *j)
{
    return j->suspended_ms >= 0 ? -1 : j->resumed_ms >= 0 ? j->resumed_ms : j->alloc_ms;
}

/* onhold.c */
int tug_onhold_may_be(enum tug_job_state s); /* may have a hold: also while an attempt is being ended */
void tug_onhold_keep(struct tug_core *c, struct tug_onhold *h); /* from a record: interns its texts */
void tug_onhold_drop(struct tug_core *c, struct tug_onhold *h); /* nobody's, and nothing is counted */
/* It is nobody's from now on, and the time that it was is left out of the job's age; where the job waits stays as it is. */
void tug_onhold_end(struct tug_core *c, struct tug_job *j);
int tug_ev_job_hold(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_job_release(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);

/* requeue.c: is a job run again, when, and what became of its attempts */
/* May it be, by whatever ends it? */
int tug_requeue_may(const struct tug_entry *e);
/* Its attempt failed in a way that this may follow on: 1, it is queued again. 0: it may not be, or was so too often, which
 * the cause then says (in buf); nothing has changed. */
int tug_requeue_failed(struct tug_core *c, struct tug_entry *e, struct tug_cause *cause, char *buf, size_t size_bytes);
/* Does it ask to be run again after such an end of its main step? */
int tug_requeue_wants(const struct tug_entry *e, const struct tug_cause *cause);
void tug_requeue_keep(struct tug_core *c, struct tug_job *j); /* the attempt is over: notes it */
void tug_requeue_forget(struct tug_job *j);                   /* what is noted */
void tug_requeue_copy(struct tug_job *to, const struct tug_job *from);
/* After a restart, over which the clock may have been set back: it waits no longer than it would have. */
void tug_requeue_restored(const struct tug_core *c, struct tug_job *j);

/* cause: text copied on the way in, freed with clear */
void tug_cause_set(struct tug_cause *to, const struct tug_cause *from);
void tug_cause_clear(struct tug_cause *c);
void tug_hang_set(struct tug_hang *to, const struct tug_hang *from); /* copies the text */
void tug_hang_clear(struct tug_hang *h);

/* step.c */
/* Over those slices, or the first n_parts. As many ranks as the job has there stand as the job's; else
 * they are shared equally. */
struct tug_step *tug_step_new(struct tug_core *c, struct tug_entry *e, uint32_t ntasks,
                              const uint32_t *on, size_t n_parts);
void tug_step_clear(struct tug_step *s);
void tug_step_launch(struct tug_core *c, struct tug_entry *e, struct tug_step *s);
void tug_step_kill(struct tug_core *c, struct tug_entry *e, struct tug_step *s,
                   const struct tug_cause *cause);
/* How long it may take to be ready. */
uint32_t tug_step_allowed_s(const struct tug_core *c, const struct tug_entry *e, const struct tug_step *s);
void tug_step_late(struct tug_core *c, struct tug_entry *e,
                   struct tug_step *s); /* its barrier's deadline has come */
void tug_step_part_set(struct tug_step *s, struct tug_part *p, enum tug_part_phase phase);
struct tug_part *tug_step_part_at(const struct tug_entry *e, const struct tug_step *s,
                                  uint32_t node);
/* Nothing of the part is left, without a word from the node about its ranks. */
void tug_step_part_vanished(struct tug_core *c, struct tug_entry *e, struct tug_step *s,
                            struct tug_part *p);
/* The barrier, if every part is ready and the job is not suspended. */
void tug_step_open(struct tug_core *c, struct tug_entry *e, struct tug_step *s);
void tug_step_settle(struct tug_core *c, struct tug_entry *e, struct tug_step *s);
int tug_ev_step_submit(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_step_cancel(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_step_ready(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_step_wired(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_step_watch(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_step_failed(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_step_done(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_step_stuck(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);

/* node.c */
uint32_t tug_node_add(struct tug_core *c, const char *name);
void tug_node_clear(struct tug_core *c, struct tug_node *n);
/* After nodes were added: the ledger, which the rows point into, has moved. */
void tug_node_rows_follow(struct tug_core *c);
void tug_node_configure(struct tug_core *c, uint32_t node, const struct tug_core_node_row *row);
/* What it says that it has, copied; its size is not worked out again. Returns what differs from before: 1 its model, 2 its
 * links. */
enum { TUG_NODE_NEW_MODEL = 1, TUG_NODE_NEW_LINKS = 2 };
int tug_node_take_inventory(struct tug_core *c, uint32_t node, const struct tug_core_inventory *inv);
int tug_node_is_usable(const struct tug_core *c, uint32_t node);
/* What the node has: as it said, within what is configured; before it came, as configured. 0:
 * nothing is known yet. */
int tug_node_size(const struct tug_core *c, uint32_t node, struct tug_core_inventory *out);
void tug_node_refresh(struct tug_core *c,
                      uint32_t node); /* rows, index and totals after any change */
void tug_node_bad_launch(struct tug_core *c, uint32_t node, const char *why);
void tug_node_good_launch(struct tug_core *c, uint32_t node);
void tug_node_stray(struct tug_core *c, uint32_t node, tug_job_id job, uint32_t attempt,
                    uint32_t step, const char *why);
void tug_node_stray_gone(struct tug_core *c, uint32_t node, tug_job_id job, uint32_t attempt,
                         uint32_t step);
/* The ledger and what hangs on it. */
int tug_gang_claim(struct tug_core *c, struct tug_entry *e, enum tug_ledger_rule rule,
                   struct tug_err *err);
void tug_gang_release(struct tug_core *c, struct tug_entry *e);
void tug_gang_runs_no_more(struct tug_core *c, struct tug_entry *e); /* its row */
int tug_ev_node_up(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_node_changed(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_node_down(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_node_lease_over(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);

/* remnant.c */
/* What that event says is there; as one of its gang, or as one of NOTHING. */
void tug_remnant_put(struct tug_core *c, const struct tug_event *ev, enum tug_remnant_holds holds);
int tug_remnant_gone(struct tug_core *c, uint32_t node, tug_job_id job, uint32_t attempt, uint32_t step); /* 0: it is none */
int tug_remnant_is_known(const struct tug_core *c, uint32_t node, const struct tug_held_step *h); /* and is no stray */
void tug_remnants_inherit(struct tug_core *c, const struct tug_entry *e); /* its gang has just released its slices */
/* Something of that attempt stays on the node: then its visit is a remnant as well, until its epilog is over. 1 or 0. */
int tug_remnant_visits(struct tug_core *c, const struct tug_entry *e, uint32_t node);
/* Where an attempt of it before has yet to be left by its visit: the next one is not placed there. Names are added, "," between. */
size_t tug_remnants_keep_out(const struct tug_core *c, const struct tug_job *j, struct tug_buf *names);
/* 0: there are certainly no such, as of nearly all jobs. */
static inline int tug_remnants_may_keep_out(const struct tug_core *c, const struct tug_job *j)
{
    return c->visits_left && j->attempt > 1;
}
void tug_remnants_back(struct tug_core *c, const struct tug_event *ev);   /* NODE_UP */
void tug_remnants_due(struct tug_core *c);
void tug_remnants_rearm(struct tug_core *c);                              /* the timeout is another */
size_t tug_remnants_hold(const struct tug_node *n);                        /* so many hold something there */
int tug_remnants_are_of(const struct tug_core *c, const struct tug_entry *e); /* the gang has some: 1 or 0 */
int tug_remnant_restore(struct tug_core *c, uint32_t node, const struct tug_core_remnant *r, struct tug_err *err);
void tug_remnants_clear(struct tug_core *c, struct tug_node *n);
int tug_remnants_claim(const struct tug_core *c, struct tug_ledger *l, struct tug_err *err); /* of tug_core_check() */

/* failures.c */
void tug_failure_note(struct tug_core *c, uint32_t node, enum tug_failure_kind what, tug_job_id job);
void tug_failure_put(struct tug_core *c, uint32_t node, const struct tug_core_failure *f); /* from a record */
void tug_failure_lost(struct tug_core *c, uint32_t node); /* it was here and is gone; its gangs are still there */
/* It is here, and was lost at that time, or is of another boot than a moment ago. */
void tug_failure_back(struct tug_core *c, uint32_t node, int64_t lost_ms, int is_other_boot);
void tug_failures_forgive(struct tug_core *c, uint32_t node); /* an admin knows of them */
void tug_failures_due(struct tug_core *c);                    /* some may be forgotten */
void tug_failures_removed(struct tug_core *c, uint32_t node); /* from the configuration */

/* links.c */
/* Finds nodes for the shape, into core.picked: 1, or 0. */
typedef int tug_place_search(struct tug_core *c, const struct tug_shape *s);
/* The same, without two that are not to be together. */
int tug_links_search(struct tug_core *c, const struct tug_shape *s, tug_place_search *search);
/* Are two of these not to be together? Then which, the one first that is in more such pairs. */
int tug_links_forbid(struct tug_core *c, const uint32_t *nodes, size_t n, uint32_t pair[2]);
int tug_links_forbid_slices(struct tug_core *c, const struct tug_policy_slice *at, size_t n, uint32_t pair[2]);
/* The first such pair among the nodes with a bit: how often it failed, and since when. 0 = there is none. */
int tug_links_between(const struct tug_core *c, const uint64_t *nodes, uint32_t pair[2], size_t *times, int64_t *since_ms);
/* Nodes that it is in such a pair with, or (not bad_only) in one that is only avoided: at most n; how many there are. */
uint32_t tug_links_of(const struct tug_core *c, uint32_t node, int bad_only, uint32_t *out, uint32_t n);
void tug_link_said(struct tug_core *c, const struct tug_entry *e, const struct tug_cause *cause); /* a cause of kind LINK */
void tug_link_put(struct tug_core *c, uint32_t node, const struct tug_core_link_past *past);      /* from a record */
void tug_links_node_down(struct tug_core *c, uint32_t node); /* what was said of it was true of the node */
void tug_links_resumed(struct tug_core *c, const struct tug_event *ev); /* a node that was drained for them */
void tug_links_due(struct tug_core *c); /* some may be forgotten, or count otherwise */
void tug_links_clear(struct tug_core *c);
int tug_ev_link_broken(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_link_clear(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_links_check(const struct tug_core *c, struct tug_err *err); /* of tug_core_check() */

/* drain.c */
/* The reason that he gave; NULL = none. */
const struct tug_core_drain *tug_node_drained_by(const struct tug_node *n, enum tug_drain by);
void tug_node_drain(struct tug_core *c, uint32_t node, enum tug_drain by, const char *why); /* and says so */
void tug_node_drain_as(struct tug_core *c, uint32_t node, const struct tug_core_drain *d);
void tug_node_undrain(struct tug_core *c, uint32_t node, enum tug_drain by,
                      const char *why); /* he takes his reason back, if he gave one */
/* Without a word to anybody: from a record, and at the end. */
void tug_drain_put(struct tug_core *c, struct tug_node *n, const struct tug_core_drain *d);
void tug_drain_clear(struct tug_core *c, struct tug_node *n);
int tug_ev_node_drain(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_node_resume(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_ev_node_health(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);

/* cut.c */
/* The kind of that profile, made where there is none; "" = 0. micro: of a new one; 0 = as its name says. */
uint32_t tug_cut_kind(struct tug_core *c, const char *profile, uint32_t micro);
/* UINT32_MAX: nobody has spoken of such yet. */
uint32_t tug_cut_find(const struct tug_core *c, const char *profile);
void tug_cuts_clear(struct tug_core *c);
/* What a node says that its GPUs are cut into. Did it say something else before? */
int tug_cut_take(struct tug_core *c, uint32_t node, const struct tug_core_mig *mig, size_t n);
/* What became of cut GPUs since, in words; either may be NULL. 'loss': slices have gone and nothing came in their place, as
 * when a boot lost them; 'change': cut otherwise. "" = nothing of that. A GPU of 'lost' is no matter of this. */
void tug_cut_compare(const struct tug_core *c, const struct tug_cut_node *was, const struct tug_cut_node *now, tug_gpuset lost,
                     char *loss, char *change, size_t size_bytes);
/* GPUs (0) or slices of that kind that the node has; slices of a GPU that somebody still holds as a whole are not free. */
tug_gpuset tug_cut_slices(const struct tug_core *c, uint32_t node, uint32_t kind);
static inline tug_gpuset tug_cut_devices(const struct tug_core *c, uint32_t node, uint32_t kind)
{
    return kind ? tug_cut_slices(c, node, kind) : tug_ledger_node(c->ledger, node)->gpus;
}
static inline tug_gpuset tug_cut_free(const struct tug_core *c, uint32_t node, uint32_t kind)
{
    const struct tug_ledger_node *l = tug_ledger_node(c->ledger, node);
    return kind ? tug_cut_devices(c, node, kind) & l->slices & ~l->gpus_used : tug_ledger_gpus_free(l);
}
/* Its bits in the index: of each kind. */
void tug_cut_index(struct tug_core *c, uint32_t node, int usable, int cpu_free);
/* Nodes with g GPUs (0) or slices of that kind free, or more. */
static inline const uint64_t *tug_index_free(const struct tug_core *c, uint32_t kind, uint32_t g)
{
    return kind ? c->index.cuts.at[kind - 1].free_ge[g] : c->index.free_ge[g];
}
/* How many of each of the node's kinds are in the set, in the order of tug_node.cut. */
void tug_cut_count(const struct tug_core *c, uint32_t node, tug_gpuset set, int8_t out[TUG_CORE_CUTS_MAX]);
/* n slices of the set: of GPUs that somebody has slices of already before others, of the fullest before others. */
tug_gpuset tug_cut_choose(const struct tug_core *c, uint32_t node, tug_gpuset set, uint32_t n);
int tug_cut_check(const struct tug_core *c, uint32_t node, struct tug_err *err); /* of tug_core_check() */
static inline uint32_t tug_cut_round(uint64_t micro) /* in GPUs */
{
    return (uint32_t) ((micro + TUG_MIG_MICRO - 1) / TUG_MIG_MICRO);
}
/* As how many GPUs so many devices of the job count; it is not over. */
static inline uint32_t tug_entry_gpus(const struct tug_entry *e, uint32_t devices)
{
    return e->shape->micro ? tug_cut_round((uint64_t) devices * e->shape->micro) : devices;
}

/* place.c */
void tug_index_clear(struct tug_index *x);
void tug_index_grow(struct tug_index *x, size_t n_nodes);
void tug_index_set(struct tug_index *x, uint32_t node, int usable, unsigned gpus_free, int cpu_free,
                   int idle);
void tug_index_set_shared(struct tug_index *x, uint32_t node, int shared);
void tug_index_set_shaky(struct tug_index *x, uint32_t node, int shaky);
int tug_node_is_shared(const struct tug_core *c, uint32_t node);
struct tug_where *tug_where_get(struct tug_core *c, const char *queue_nodes, const char *nodelist,
                                const char *exclude, const char *gpu_model); /* one more holder */
void tug_where_drop(struct tug_core *c, struct tug_where *w);
void tug_wheres_renew(struct tug_core *c); /* nodes came, went or changed their GPU model */
int tug_gpu_model_matches(const char *model, const char *asked);
/* A node that has not said its model may be of any. */
int tug_place_model_fits(const struct tug_core *c, uint32_t node, const char *asked);
void tug_shape_hold(struct tug_core *c, struct tug_entry *e);
void tug_shape_drop(struct tug_core *c, struct tug_entry *e);
void tug_shape_renew(struct tug_core *c, struct tug_entry *e); /* it asks for something else now; it is on no bench */
int tug_shape_is_possible(struct tug_core *c, struct tug_shape *s);
/* core.family_limits as they are now */
const uint32_t *tug_family_limits(struct tug_core *c);
/* One of them did not fit now, or would delay a reservation if it ran that long. */
void tug_family_failed(struct tug_core *c, struct tug_family *f, uint32_t nodes);
void tug_family_delays(struct tug_core *c, struct tug_family *f, uint32_t nodes, int64_t run_ms);
/* Is it known already that such a job cannot start now? TUG_REASON_NONE = no. */
int tug_family_waits_for(const struct tug_core *c, const struct tug_family *f, uint32_t nodes,
                         uint32_t run_s);
int tug_family_is_delaying(const struct tug_core *c, const struct tug_family *f, uint32_t nodes,
                           uint32_t run_s);
/* Are the GPUs or CPUs of the last node fewer? Every node that a slice fits on, the last one does too. */
static inline int tug_shape_is_uneven(const struct tug_shape *s)
{
    return s->key.gpus_last != s->key.gpus || s->key.cpus_last != s->key.cpus;
}
/* Could the node hold a slice, or the last one, if it were empty? */
int tug_shape_could_hold(const struct tug_core *c, const struct tug_shape *s, uint32_t node);
int tug_shape_could_hold_last(const struct tug_core *c, const struct tug_shape *s, uint32_t node);
/* Nodes on which a slice with so many GPUs might fit, by what is free of GPUs alone. */
static inline const uint64_t *tug_place_candidates(const struct tug_core *c, const struct tug_shape *s, uint32_t gpus)
{
    return c->as_if_empty ? c->index.usable : s->key.exclusive ? c->index.idle : tug_index_free(c, s->key.cut, gpus);
}
/* Does a slice, or the last one, fit there now? */
int tug_place_fits(const struct tug_core *c, const struct tug_shape *s, uint32_t node);
int tug_place_fits_last(const struct tug_core *c, const struct tug_shape *s, uint32_t node);
/* Of a shape that wants a part of a GPU: is there room for it on that one? */
int tug_place_part_fits(const struct tug_core *c, const struct tug_shape *s, uint32_t node,
                        tug_gpuset gpu);
/* What the node gives to a gang of that span with a slice, or the last one, on its best free GPUs. 0: not known. */
uint32_t tug_place_mbs(const struct tug_core *c, const struct tug_shape *s, const struct tug_span *span, uint32_t node,
                       int last);
/* Adds to core.picked up to n nodes of the region that hold a slice, the fullest first: how many. */
size_t tug_place_fullest(struct tug_core *c, const struct tug_shape *s, const struct tug_region *r,
                         size_t n);
/* The fullest node of the region that holds the last slice and has no mark; TUG_NO_NODE = none. */
uint32_t tug_place_fullest_last(const struct tug_core *c, const struct tug_shape *s,
                                const struct tug_region *r, uint32_t *gpus_free);
/* topology.c: 1, or 0 */
int tug_topology_find(struct tug_core *c, const struct tug_shape *s);
/* What it would give to the gang at best if all usable nodes were empty, MB/s; 0: not known. */
uint32_t tug_topology_most(struct tug_core *c, const struct tug_shape *s);
/* As core.placement says, into core.picked: 0, or -EAGAIN. Who starts a job asks tug_place_choose(). */
int tug_place_find(struct tug_core *c, struct tug_shape *s);
/* Of the GPUs in each slice, those that the gang gets: as many as it asks for, and the best of them for it. */
void tug_place_gpus(struct tug_core *c, const struct tug_job_req *r, struct tug_policy_slice *at);
/* From core.picked to core.chosen, which has room: the best free GPUs there. */
void tug_place_as_picked(struct tug_core *c, const struct tug_entry *e);
/* Slices there, in that order. The caller frees. */
struct tug_slice *tug_place_slices(const struct tug_core *c, const struct tug_entry *e,
                                   const struct tug_policy_slice *at);
void tug_place_unpark(struct tug_core *c);

/* Without what is asked of the fabric, into core.picked: 1, or 0. */
int tug_place_anywhere(struct tug_core *c, const struct tug_shape *s);

/* within.c: what is asked of the fabric */
struct tug_within tug_within_of(const struct tug_core *c, const struct tug_entry *e);
/* When that will be less; INT64_MAX = never. */
int64_t tug_within_relaxes_ms(const struct tug_entry *e);
/* When it no longer waits for the quality that it asks for; INT64_MAX = never. */
int64_t tug_within_takes_any_ms(const struct tug_entry *e);
static inline int tug_within_asks(const struct tug_within *w)
{
    return w->level || w->alone || w->segment || w->quality_milli;
}
/* Is there anything that it cannot do without? */
static inline int tug_within_binds(const struct tug_within *w)
{
    return w->domains || w->segment || w->alone;
}
/* tug_place_find() of a shape that asks: 1, or 0. */
int tug_within_find(struct tug_core *c, const struct tug_shape *s);
/* Could the usable nodes hold it as it asks, if they were empty? */
int tug_within_is_possible(struct tug_core *c, const struct tug_shape *s);
/* Would these nodes do, in that order? NULL, or what is wrong with them. */
const char *tug_within_wrong(const struct tug_core *c, const struct tug_within *w, const uint32_t *nodes, size_t n);
/* Has what was chosen the quality that is asked for? */
int tug_within_suffices(struct tug_core *c, struct tug_shape *s, const struct tug_policy_slice *at, size_t n);
/* The same of the best that there is: if it has not, it is noted that the shape does not fit now. */
int tug_within_is_good(struct tug_core *c, struct tug_shape *s, const struct tug_policy_slice *at, size_t n);
/* The sentence about that; 0: it is not what it waits for. */
int tug_within_explain_quality(const struct tug_core *c, const struct tug_entry *e, char *buf, size_t size_bytes);
int tug_within_check(const struct tug_core *c, struct tug_err *err); /* of tug_core_check() */
void tug_within_clear(struct tug_core *c);

/* split.c: over which domains a gang is split. Nodes for a gang of that many, where slices fit on 'full' and the last one, if it
 * is smaller ('uneven'), on 'last' too. They come in rank order; out may be NULL. 1, or 0: it does not fit so. */
int tug_split_choose(const struct tug_core *c, const struct tug_within *w, uint32_t nodes, int uneven,
                     const uint64_t *full, const uint64_t *last, uint32_t *out);

/* alone.c: domains that a gang has for itself */
/* Other jobs may not come into them, from now on; or may again. */
void tug_alone_shut(struct tug_core *c, struct tug_entry *e, const struct tug_slice *at, size_t n);
void tug_alone_open(struct tug_core *c, struct tug_entry *e);
void tug_alone_reshut(struct tug_core *c); /* all of them: the fabric is another one */
/* Is anybody else in the domains that it would have for itself there, or has one for himself that it would be in? */
int tug_alone_is_crowded(const struct tug_core *c, const struct tug_entry *e, const struct tug_slice *at, size_t n);
/* Nodes in domains of w->alone all of whose nodes have a bit in 'empty', as bits; the core's until it is asked again. */
const uint64_t *tug_alone_empty(struct tug_core *c, const struct tug_within *w, const uint64_t *empty);
/* The same of the domains that are empty now. */
const uint64_t *tug_alone_empty_now(struct tug_core *c, const struct tug_within *w);
/* The other nodes of the domains of w->alone that these are in, or all of them: how many; out has room for all nodes. */
uint32_t tug_alone_rest(const struct tug_core *c, const struct tug_within *w, const uint32_t *nodes, size_t n,
                        int with_own, uint32_t *out);
int tug_alone_check(const struct tug_core *c, struct tug_err *err); /* of tug_core_check() */

/* demand.c: what a gang asks of the fabric, in words */
/* Levels that are not there, what contradicts itself; the lowest level where one is needed and none was said. */
int tug_demand_admit(const struct tug_core *c, struct tug_job_req *r, struct tug_err *err);
/* Could it ever be as it asks, with slices where the bits say? -EINVAL with what could. */
int tug_demand_admit_size(const struct tug_core *c, const struct tug_job_req *r, const uint64_t *full,
                          const uint64_t *last, struct tug_err *err);
/* Enough fits now, but not so: the sentence. 0: that is not what it waits for. */
int tug_demand_explain(const struct tug_core *c, const struct tug_entry *e, char *buf, size_t size_bytes);

/* preempt.c: who gives way, and how it goes */
/* What would happen to it if it had to give way: as its queue says, but what may not wait again is
 * ended for good. */
enum tug_policy_preemptable tug_preempt_how(const struct tug_core *c, const struct tug_entry *e);
int64_t tug_preempt_safe_until(const struct tug_core *c, const struct tug_entry *e);
/* It runs from now on; while it was launched nobody could have it give way, and may have wanted to. */
void tug_preempt_can_now(struct tug_core *c, const struct tug_entry *e);
int tug_preempt_is_leaving(const struct tug_entry *e);
/* 0, or -EPERM with the rule in 'why': may 'e' (NULL = nobody in particular) have 'v' give way? */
int tug_preempt_may(struct tug_core *c, const struct tug_entry *e, const struct tug_entry *v,
                    char *why, size_t why_size);
/* By tier, to have what is guaranteed, or as the policy says. */
int tug_preempt_rule(struct tug_core *c, const struct tug_entry *e,
                     const struct tug_entry *v);
void tug_preempt_now(struct tug_core *c, struct tug_entry *e); /* its notice is over */
/* It ended by itself, not well, during its notice, or could not be stopped, which 'why' then says (else NULL). */
void tug_preempt_left(struct tug_core *c, struct tug_entry *e, const char *why);
/* In words: "job 12 of queue 'high'". */
const char *tug_preempt_name(const struct tug_core *c, tug_job_id job, char *buf, size_t size);

/* victims.c: whose end makes room for a job */
struct tug_victims;
/* Looks at 'only' (n_only of them, which may be 0), or when that is NULL at everybody whom 'e' may
 * have give way; the caller frees. */
struct tug_victims *tug_victims_new(struct tug_core *c, struct tug_entry *e,
                                    struct tug_entry *const *only, size_t n_only);
void tug_victims_free(struct tug_victims *v);
/* Choose: 0, -EAGAIN when not even all of them suffice, -EPERM when there is nobody. */
int tug_victims_choose(struct tug_victims *v);
size_t tug_victims_get(const struct tug_victims *v, uint64_t *out, size_t n);
/* Where the job starts once they, or those that were given as 'only', are gone; the caller frees.
 * NULL: it would not fit even then. */
struct tug_slice *tug_victims_place(struct tug_victims *v);

/* hold.c: what is kept for a job that others give way to */
/* Takes 'want'. */
void tug_hold_new(struct tug_core *c, struct tug_entry *e, struct tug_slice *want,
                  const tug_job_id *givers, size_t n_givers, int64_t until_ms);
void tug_hold_drop(struct tug_core *c, struct tug_entry *e); /* if it has one */
/* The same in two steps, for its own job to start in between: out of the ledger; then the rest is
 * for others. Frees it. */
struct tug_hold *tug_hold_detach(struct tug_core *c, struct tug_entry *e);
void tug_hold_scatter(struct tug_core *c, struct tug_hold *h);
/* Is all of it free already? */
int tug_hold_is_idle(const struct tug_core *c, const struct tug_slice *want, size_t n);
int64_t tug_hold_until(const struct tug_entry *e);           /* INT64_MAX = has none */
/* When it will be complete, if all goes well. */
int64_t tug_hold_ready_ms(const struct tug_core *c, const struct tug_entry *e);
/* What is kept for it on that node by now. */
struct tug_slice tug_hold_kept(const struct tug_entry *e, uint32_t node);
/* And what is not: those who are leaving that node have it. */
struct tug_slice tug_hold_lacks(const struct tug_entry *e, uint32_t node);
uint32_t tug_hold_gpus(const struct tug_entry *e); /* of its plan, kept or not; 0 = it has no hold */
int tug_hold_is_complete(const struct tug_entry *e);
void tug_hold_left(struct tug_core *c); /* somebody has gone: domains may be empty now that holds wait for */
void tug_hold_fill(struct tug_core *c, uint32_t node); /* something came free there */
/* What the holds there still wait for. */
void tug_hold_owed(const struct tug_core *c, uint32_t node, tug_gpuset *gpus, uint32_t *cpus,
                   uint64_t *mem_bytes);
void tug_hold_node_lost(struct tug_core *c, uint32_t node);
/* As if it were not there, to look where its own job fits; and back. Nothing may change in between. */
void tug_hold_lift(struct tug_core *c, struct tug_entry *e);
void tug_hold_lower(struct tug_core *c, struct tug_entry *e);

/* visit.c */
int tug_visit_is(const struct tug_step *s);
int tug_visit_start(struct tug_core *c, struct tug_entry *e);       /* 0: none of its nodes has a prolog or an epilog */
void tug_visit_clear(struct tug_job *j);
uint32_t tug_visit_prolog_s(const struct tug_core *c, const struct tug_entry *e); /* the longest that one may take */
void tug_visit_entered(struct tug_core *c, struct tug_entry *e);    /* all prologs have succeeded */
void tug_visit_leave(struct tug_core *c, struct tug_entry *e);      /* epilogs where nothing else is left, once it is being ended */
int tug_visit_is_over(const struct tug_job *j);
int tug_visit_say(const struct tug_core *c, const struct tug_job *j, char *buf, size_t size_bytes); /* "prolog on n3", or 0 */
int tug_ev_node_visit_failed(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);

/* preflight.c */
int tug_preflight_is(const struct tug_entry *e, const struct tug_step *s);
void tug_preflight_start(struct tug_core *c, struct tug_entry *e);
void tug_preflight_opened(struct tug_core *c, struct tug_entry *e, struct tug_step *s); /* its barrier */
int64_t tug_preflight_deadline(const struct tug_entry *e, const struct tug_step *s); /* INT64_MAX: none now */
void tug_preflight_failed(struct tug_core *c, struct tug_entry *e, const struct tug_cause *cause);
void tug_preflight_late(struct tug_core *c, struct tug_entry *e, struct tug_step *s);

/* suspend.c */
/* Its nodes are told to stop it; it is suspended, and what it holds is free, when all of them have. */
void tug_suspend(struct tug_core *c, struct tug_entry *e);
void tug_suspend_settle(struct tug_core *c, struct tug_entry *e); /* are they by now? */
int64_t tug_suspend_late_ms(const struct tug_core *c, const struct tug_entry *e); /* then they never will; INT64_MAX = nobody is asked */
void tug_suspend_late(struct tug_core *c, struct tug_entry *e);
int tug_ev_step_stopped(struct tug_core *c, const struct tug_event *ev, struct tug_err *err);
int tug_suspend_may_resume(const struct tug_core *c, const struct tug_entry *e);
void tug_resume(struct tug_core *c, struct tug_entry *e);
/* To a node that came back with a part that runs, or is told to start it again: stopped or not, as it should be. */
void tug_suspend_say_again(struct tug_core *c, const struct tug_entry *e, const struct tug_step *s,
                           uint32_t node);

/* config.c */
void tug_queue_clear(struct tug_core *c, struct tug_queue *q);
void tug_queue_add_ghost(struct tug_core *c, const char *name);
int tug_config_apply(struct tug_core *c, const struct tug_core_conf *conf, struct tug_err *err);
struct tug_queue *tug_queue_find(const struct tug_core *c, const char *name);

/* observe.c: what policies are told happened. Nothing is kept while nobody wants to know. */
void tug_observe_job(struct tug_core *c, enum tug_policy_event_type type,
                     const struct tug_entry *e);
void tug_observe_node(struct tug_core *c, uint32_t node, int usable);
void tug_observe_config(struct tug_core *c);
void tug_observe_all(struct tug_core *c); /* for a new set: the past, then whatever lives */
void tug_observe_clear(struct tug_core *c, tug_events *events);

/* plan.c */
void tug_plan_clear(struct tug_core *c);
/* How many jobs the last pass reserved a start for, and the first of them. */
size_t tug_plan_reserved(const struct tug_core *c, tug_job_id *job, int64_t *start_ms);
size_t tug_plan_bytes(const struct tug_core *c);
int tug_plan_check(const struct tug_core *c, struct tug_err *err);
/* queue.c */
int tug_queue_check_tree(const struct tug_core_conf *conf, struct tug_err *err);
void tug_queue_rows_renew(struct tug_core *c); /* nothing waits or runs in them afterwards */
void tug_queue_row_add(struct tug_core *c);    /* of the last queue */
const struct tug_policy_queue *tug_queue_rows(const struct tug_core *c, size_t *n);
/* A job came into core.order (1) or left it (-1); a gang with its e->load holds it from now on (1), or no longer. */
void tug_queue_waits(struct tug_core *c, const struct tug_entry *e, int sign);
void tug_queue_runs(struct tug_core *c, const struct tug_entry *e, int sign);
/* Others give way to it (1): what it will have counts for its queues' caps from now on; or that is over (-1). */
void tug_queue_holds(struct tug_core *c, const struct tug_entry *e, int sign);
/* May the job's queue, and each above, have so many GPUs more now? 0, or -EDQUOT with the sentence in why (NULL: none). */
int tug_queue_takes(const struct tug_core *c, const struct tug_entry *e, uint32_t gpus, char *why,
                    size_t size_bytes);
/* How many more it would need to start, or to go on. */
/* The same without what other queues keep: its queue, or one above it, has no room for it. */
int tug_queue_is_full(const struct tug_core *c, const struct tug_entry *e);
/* With so many GPUs for it and, by row, what others are to get. */
int tug_queue_will_be_full(const struct tug_core *c, const struct tug_entry *e, uint32_t gpus,
                           const uint32_t *coming);
/* If so many GPUs were free and it took what it needs of them: others could still have what they do
 * not lend. */
int tug_queue_leaves_enough(const struct tug_core *c, const struct tug_entry *e, uint32_t free);
uint32_t tug_queue_needs(const struct tug_entry *e);
/* The built-in order, in one pass: the job waits as its queue, or one above, may not have more GPUs; does this one stand
 * behind such a job, in the same queue? */
void tug_queue_hold(struct tug_core *c, const struct tug_entry *e);
tug_job_id tug_queue_held_by(const struct tug_core *c, const struct tug_entry *e); /* 0: behind none */
/* The most GPUs that it may ever have; *whose limit that is, UINT32_MAX = nobody's. */
uint32_t tug_queue_most(const struct tug_core *c, uint32_t row, uint32_t *whose);
/* Its list of users, and those of the queues above. */
int tug_queue_takes_user(const struct tug_core *c, const struct tug_queue *q, const char *user);

int tug_queue_check(const struct tug_core *c, struct tug_err *err); /* of tug_core_check() */

/* share.c: what a job is charged for, to its user and accounts and to its queue */
void tug_share_hold(struct tug_core *c, struct tug_entry *e); /* finds its rows */
/* Its slices are claimed, or it goes on: charged from since_ms on. */
void tug_share_run(struct tug_core *c, struct tug_entry *e, int64_t since_ms);
/* They are released, or it stops: charged until now, and written down. */
void tug_share_halt(struct tug_core *c, struct tug_entry *e);
void tug_share_write_all(struct tug_core *c); /* from now on it decays otherwise */
int tug_share_check(const struct tug_core *c, struct tug_err *err); /* of tug_core_check() */
const struct tug_policy_share *tug_share_rows(struct tug_core *c, int64_t now_ms, size_t *n);

/* pass.c */
void tug_pass_started(struct tug_core *c,
                      struct tug_entry *e); /* a row among the running, for later passes */

#endif
