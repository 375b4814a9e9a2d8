/* job.h - a job and its steps as the core keeps them
 *
 * Read-only outside the core. The life cycle is states.def and transitions.def; a step's is below. All times are ms of
 * the core's clock (see core.h), -1 = not yet. Layer: core.
 */
#ifndef TUG_CORE_JOB_H
#define TUG_CORE_JOB_H

#include <stdint.h>

#include "base/gpuset.h"

typedef uint64_t tug_job_id;

enum tug_job_state {
#define TUG_STATE(NAME, code, flags, text) TUG_JOB_##NAME,
#include "core/states.def"
#undef TUG_STATE
    TUG_JOB_STATES
};
const char *tug_job_state_name(enum tug_job_state s);          /* "PENDING" */
const char *tug_job_state_code(enum tug_job_state s);          /* "PD" */
int tug_job_state_parse(const char *name_or_code);             /* -1: neither */
int tug_job_state_is_over(enum tug_job_state s);
int tug_job_state_holds(enum tug_job_state s);                 /* holds resources, be it memory only */
int tug_job_state_waits(enum tug_job_state s);                 /* for a pass to start it, or to let it go on */

/* What was asked for, after admission: nothing is left unsaid. */
struct tug_job_req {
    uint32_t uid, gid;
    const char *user;              /* interned by the core */
    const char *queue;             /* a configured queue */
    const char *account;           /* "" = none */
    const char *name;
    uint8_t batch;                 /* 1: main step is one process on the first node; 0: all ranks */
    uint8_t requeue;               /* may be run again, after the loss of a node and whatever else is asked for */
    uint8_t exclusive;             /* whole nodes */
    uint8_t interactive;           /* a client holds on to it: never requeued */
    uint32_t nodes;                /* >= 1 */
    uint32_t ntasks;               /* >= nodes for a gang; which node gets how many: tug_job_req_tasks() */
    uint32_t cpus_per_node, gpus_per_node;
    uint32_t cpus_last, gpus_last; /* of the gang's last node, where it needs fewer; 0 = as the others */
    uint32_t gpu_milli;            /* 1..999: that part of one GPU on one node, in thousandths; 0 = whole GPUs */
    const char *mig_profile;       /* "1g.10gb": its GPUs are slices of that kind (base/mig.h); "" = whole GPUs */
    uint64_t mem_per_node_bytes;   /* 0 = not limited */
    const char *gpu_model;         /* "" = any */
    const char *nodelist;          /* hostlist, "" = any: only these */
    const char *exclude;           /* hostlist, "" = none */
    uint32_t time_limit_s;         /* 0 = none */
    int64_t expected_ms;           /* run time that policies are told; 0 = the time limit. Not kept in records */
    int64_t begin_ms;              /* 0 = now */
    int32_t nice;
    /* What it asks of the fabric (within.c). Levels by name, "" = none. */
    const char *topology;          /* the gang is to be within one domain of that level: this is tried first, ... */
    uint8_t topology_required;     /* ... or waited for */
    uint32_t topology_domains;     /* required: within so many of them; 0 = one */
    uint32_t topology_wait_s;      /* required so long, then only tried first; 0 = for ever */
    const char *exclusive_level;   /* no other job is in the domains of that level that it is in, while it runs */
    uint8_t spread;                /* over as many domains of 'topology' as there are, evenly */
    uint32_t quality_milli;        /* it waits for a placement with that quality (quality.h), in thousandths; 0 = takes any */
    uint32_t quality_wait_s;       /* so long, then takes any; UINT32_MAX = for ever */
    uint32_t segment;              /* so many slices that follow each other are in one domain of that level; 0 = any */
    const char *preflight;         /* what its nodes are tried out with before it starts; "" = nothing */
    uint64_t preflight_floor;      /* bytes/s; 0 = any */
    const char *requeue_on;        /* exits of the main step after which it is run again too (base/exitset.h); "" = none */
    uint32_t max_requeues;         /* so often after failures; 0 = as the cluster's configuration says; UINT32_MAX = not once */
    uint32_t requeue_delay_s;      /* before the next attempt, and twice as long each time; 0, UINT32_MAX: likewise */
    uint32_t preflight_s;          /* it must be over within this; 0 = there is none */
    uint8_t preflight_drains;      /* a node that is to blame is drained; else this job does without it */
};

/* What node i of the gang gets; ranks, slices and nodes count from 0. */
static inline uint32_t tug_job_req_gpus(const struct tug_job_req *r, uint32_t i)
{
    return i + 1 == r->nodes && r->gpus_last ? r->gpus_last : r->gpus_per_node;
}
static inline uint32_t tug_job_req_cpus(const struct tug_job_req *r, uint32_t i)
{
    return i + 1 == r->nodes && r->cpus_last ? r->cpus_last : r->cpus_per_node;
}
/* Ranks follow the GPUs: a last node with fewer of them gets its part of the ranks, rounded down, but one at least; the
 * others share the rest equally, the first ones one more where that does not come out even. */
uint32_t tug_job_req_tasks(const struct tug_job_req *r, uint32_t i);
uint32_t tug_job_req_all_gpus(const struct tug_job_req *r);
uint32_t tug_job_req_all_cpus(const struct tug_job_req *r);
/* Is it a request that admission could have made? 1 or 0. */
int tug_job_req_is_whole(const struct tug_job_req *r);

/* One node's part of a gang. Slices stand in rank order. */
struct tug_slice {
    uint32_t node;                 /* index, see core.h */
    uint32_t cpus;
    tug_gpuset gpus;               /* devices: GPUs, or slices of GPUs that are cut (core.h: tug_core_mig) */
    uint32_t gpu_milli;            /* of its one GPU; 0 = whole GPUs */
    uint32_t gpu_user;             /* of a part: the uid whose it is */
    uint8_t gpu_mixed;             /* of a part: 1 = parts of other users may be on the same GPU, if these say so too */
    uint64_t mem_bytes;
    uint32_t first_rank, ntasks;
};

struct tug_exit { int32_t code, signal; uint8_t core_dumped, oom; };

enum tug_cause_kind { TUG_CAUSE_NONE, TUG_CAUSE_RANK, TUG_CAUSE_NODE, TUG_CAUSE_STEPD, TUG_CAUSE_LAUNCH, TUG_CAUSE_WIREUP,
                      TUG_CAUSE_TIMELIMIT, TUG_CAUSE_CANCEL, TUG_CAUSE_OUTPUT, TUG_CAUSE_IO, TUG_CAUSE_PREEMPT, TUG_CAUSE_HANG,
                      TUG_CAUSE_PREFLIGHT, TUG_CAUSE_LINK };
const char *tug_cause_kind_name(enum tug_cause_kind k);        /* "rank"; "" for NONE */
enum tug_cause_kind tug_cause_kind_parse(const char *name);

struct tug_cause {
    enum tug_cause_kind kind;
    uint32_t rank;
    uint32_t node;                 /* index; TUG_NO_NODE = none */
    uint32_t peer;                 /* LINK: whom that node lost; not of other kinds */
    struct tug_exit exit;
    int64_t at_ms;
    char *text;                    /* owned; NULL = none */
};
#define TUG_NO_NODE UINT32_MAX

/* An attempt that was queued again: where it ran is not kept, what ended it is. The exit in its cause is that of the attempt, whatever
 * kind of cause it is. */
struct tug_attempt {
    uint32_t attempt;
    uint8_t counts;                /* towards max_requeues */
    int64_t alloc_ms, launched_ms, end_ms;
    struct tug_cause cause;
};
#define TUG_ATTEMPTS_MAX 8         /* the last ones */

/* Who holds it back: it waits, and nothing starts it (onhold.c). */
enum tug_onhold_by { TUG_ONHOLD_NOBODY, TUG_ONHOLD_OWNER, TUG_ONHOLD_ADMIN };
const char *tug_onhold_name(enum tug_onhold_by by);            /* "user", "admin"; "" for nobody */
enum tug_onhold_by tug_onhold_parse(const char *name);         /* of a name that is not known: an administrator */
struct tug_onhold {
    enum tug_onhold_by by;
    uint32_t uid;
    const char *user, *why;        /* interned; why "" = not said. NULL where it is nobody's */
    int64_t since_ms;
};

/* Who holds a gang up, as its own watch says. Shown; nothing is decided by it. */
struct tug_hang {
    char kind[16];                 /* "stopped", "stuck", ...; "" = nobody */
    uint32_t step, rank, ranks;    /* the first of so many ranks */
    uint32_t node;                 /* where that one runs; TUG_NO_NODE = not said */
    tug_gpuset gpus;               /* its GPUs there */
    int64_t since_ms;
    char *text;                    /* owned; NULL = none */
};

/* What its nodes and GPUs give to its all-reduce (core/quality.h), as predicted when this attempt was placed. */
struct tug_job_quality {
    uint32_t mbs, best_mbs;        /* predicted bus bandwidth, and the best that there was to have; 0 = not known */
    char *text;                    /* why, a sentence; owned, NULL = none */
};
/* In thousandths of the best; 0 = not known. */
static inline uint32_t tug_job_quality_milli(uint32_t mbs, uint32_t best_mbs)
{
    uint64_t milli = mbs && best_mbs ? ((uint64_t) mbs * 1000 + best_mbs / 2) / best_mbs : 0;
    return (uint32_t) (milli < 1000 ? milli : 1000);
}

/* Where one node's part of a step stands, as the controller knows. */
enum tug_part_phase {
    TUG_PART_WAITING,              /* launch action sent, nothing heard */
    TUG_PART_READY,                /* at the barrier */
    TUG_PART_STARTED,              /* start action sent */
    TUG_PART_KILLING,              /* kill action sent, not yet heard to be gone */
    TUG_PART_GONE                  /* the node said that nothing is left, or it certainly cannot be */
};
#define TUG_PART_PHASES 5
struct tug_part {
    uint32_t slice; enum tug_part_phase phase; uint32_t first_rank, ntasks;
    uint8_t lost;                  /* its node is down: it may still run there */
    uint8_t wired;                 /* its ranks have wired up */
    uint8_t stopped;               /* while the job is being stopped: its ranks are, by its node's word */
};

enum tug_step_state { TUG_STEP_STARTING, TUG_STEP_RUNNING, TUG_STEP_ENDING, TUG_STEP_COMPLETED, TUG_STEP_FAILED, TUG_STEP_CANCELLED };
const char *tug_step_state_name(enum tug_step_state s);
int tug_step_state_parse(const char *name);                    /* -1: no such */

#define TUG_VISIT_STEP UINT32_MAX  /* of prologs and epilogs; not among its steps */
#define TUG_PREFLIGHT_STEP 1       /* of a job that has one; its further steps begin behind it */
struct tug_step {
    uint32_t id;                   /* 0 = main */
    enum tug_step_state state;
    uint32_t ntasks;
    struct tug_part *parts;  size_t n_parts;
    struct tug_cause cause;        /* first failure */
    struct tug_exit exit;          /* highest exit code, or the cause's */
    int64_t start_ms, wired_ms, end_ms;
    int64_t deadline_ms;           /* of the barrier; of a preflight that runs: of its end */
    uint32_t wired_parts;
    uint32_t in_phase[TUG_PART_PHASES];   /* how many parts are in each phase; made anew by restoring */
};

struct tug_job {
    tug_job_id id;
    enum tug_job_state state;
    enum tug_job_state end_state;  /* while COMPLETING: what it becomes */
    struct tug_job_req req;
    uint32_t attempt;              /* 1 = first; bumped by requeue, */
    uint32_t next_attempt;         /* ... to this; 0 = by one */
    uint32_t requeues;
    uint32_t launch_failures;      /* in a row */
    uint32_t next_step;
    int64_t priority;
    /* eligible: since when it may start, as far as its time to begin and holds go; what it was held is not in between */
    int64_t submit_ms, eligible_ms, alloc_ms, launched_ms, wired_ms, end_ms;
    int64_t limit_ms;              /* when the time limit strikes */
    struct tug_slice *slices;  size_t n_slices;
    struct tug_step *steps;    size_t n_steps;    /* live ones and the main one */
    struct tug_step *visit;        /* prologs and epilogs of its nodes (visit.c); NULL = they have none */
    struct tug_cause cause;        /* why it ended, or why the attempt before did */
    const char *failed_on;         /* hostlist of nodes that failed it before, which are tried last; interned, "" = none */
    struct tug_hang hang;
    struct tug_job_quality quality;   /* kept when it is over */
    uint32_t hang_requeues;        /* so often it was queued again because it hung */
    /* being run again (requeue.c) */
    uint32_t failures;             /* so often after one; not because it gave way, could not be launched, or somebody asked for it */
    uint32_t backoffs;             /* of these, those in a row that ended soon */
    int64_t retry_ms;              /* the next attempt is not started before; -1 = as soon as it can be */
    struct tug_attempt *attempts;  size_t n_attempts;   /* the oldest first */
    struct tug_onhold onhold;      /* PENDING, or about to be */
    int64_t held_ms;               /* how long it was, in all, without the hold that it has */
    int64_t released_ms;           /* when the last hold ended; -1 = it had none */
    struct tug_exit exit;
    int reason;                    /* enum tug_policy_reason while PENDING */
    char *explain;                 /* sentence, NULL = the reason's own */
    /* giving way (preempt.c) and being suspended (suspend.c) */
    uint32_t preemptions;          /* so often it had to */
    int gives_way;                 /* enum tug_policy_preemptable: how it is about to; TUG_PREEMPT_NEVER = it is not */
    tug_job_id preemptor;          /* to whom it does, or is suspended for; 0 = nobody in particular */
    int64_t notice_ms;             /* when its notice is over; -1 = it has none */
    int64_t stopping_ms;           /* since when its nodes are being told to stop it, to be suspended; -1 = they are not */
    uint32_t stop_serial;          /* of the last order to stop it (odd) or to go on (even), in this attempt */
    int64_t suspended_ms;          /* since when it is stopped and holds memory only (also while it is being ended then); -1 = is not */
    int64_t resumed_ms;            /* when this attempt went on last; -1 = was never suspended */
    int64_t sliced_ms;             /* how long this attempt ran before that */
    int64_t wants_since_ms;        /* since when it waits, in this attempt, for what it asks of the fabric */
    int64_t ran_ms;                /* how long the attempts ran that gave way and were queued again */
};

/* As users see it: one that runs and is being stopped is SUSPENDING. */
const char *tug_job_shown_state(const struct tug_job *j);
const char *tug_job_shown_code(const struct tug_job *j);
/* All names of these, states.def's; 0 <= i < TUG_JOB_SHOWN. */
#define TUG_STATE(NAME, code, flags, text) TUG_JOB_SHOWN_##NAME,
#define TUG_SHOWN(NAME, code, OF, text) TUG_JOB_SHOWN_##NAME,
enum tug_job_shown {
#include "core/states.def"
    TUG_JOB_SHOWN
};
#undef TUG_STATE
const char *tug_job_shown_name(enum tug_job_shown s);
int tug_job_shown_parse(const char *name_or_code);             /* -1: nothing is ever shown so */
enum tug_job_shown tug_job_shown(const struct tug_job *j);

/* Since when it runs without a break; -1 = it does not. */
int64_t tug_job_run_start_ms(const struct tug_job *j);
/* Of one that is over: how long it ran in all, without what it was stopped. */
int64_t tug_job_ran_ms(const struct tug_job *j);

/* What it has, or had, on that node; NULL: nothing. */
const struct tug_slice *tug_job_slice_on(const struct tug_job *j, uint32_t node);

#endif
