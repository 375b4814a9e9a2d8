/* dst.h - whole clusters in one process, under a virtual clock, with faults
 *
 * The controllers and the node daemons are the real ones (src/logic, src/core), each behind its own struct tug_env;
 * what stands around them is played: the machines' clocks, the network, the disks, launchers, step daemons with their
 * ranks, and clients. A world is made from a seed alone: the same seed gives the same run, event for event.
 *
 *   world.c   time, what will happen, the machines' clocks       net.c    connections, and what becomes of messages
 *   disk.c    what survives                                      ctl.c    controllers (hosts of logic/control.h)
 *   node.c    machines: launcher, node daemon                    part.c   step daemons and their ranks
 *   visit.c   prologs and epilogs
 *   client.c  users: jobs, cancels, drains, retries              fault.c  what goes wrong, and when
 *   devices.c GPUs, what they are cut into, and who uses which
 *   again.c   how often jobs are run again, and when
 *   admin.c   configuration that changes, and old backups that are put back
 *   truth.c   what really happened, and the promises             main.c   options, many worlds, one line to repeat it
 * Layer: tests.
 */
#ifndef TUG_DST_H
#define TUG_DST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/batch.h"
#include "base/heap.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/vec.h"
#include "logic/agent.h"
#include "logic/control.h"
#include "logic/lease.h"
#include "proto/client.pb-c.h"
#include "proto/launch.pb-c.h"
#include "proto/msg.h"
#include "proto/node.pb-c.h"
#include "proto/record.pb-c.h"
#include "proto/step.pb-c.h"

#define DST_NODES_MAX 8
#define DST_GPUS      8
#define DST_CUTTABLE  3      /* of these, those that may be cut into slices */
#define DST_CTLS      2      /* machines that a controller may run on */
#define DST_CLUSTER   "virtual"
#define DST_LEADER_TTL_MS 5000   /* the store lets nobody else lead before */
#define DST_UID       1000   /* the only user, and the operator */

struct dst;
struct dst_disk;

/* ---- the clock of a machine or of a process on it: ms, from where it began, at its own rate */
struct dst_clock {
    int64_t base_ms, t0_ms;
    int32_t ppm;
};
int64_t dst_clock_at(const struct dst_clock *c, int64_t true_ms);
int64_t dst_clock_when(const struct dst_clock *c, int64_t local_ms);   /* the first true ms at which it shows that */

/* ---- what will happen */
enum dst_what {
    DST_ARRIVES,       /* a message or the end of a connection */
    DST_TIMER,         /* of a controller or a node daemon */
    DST_COMMITTED,     /* a commit is durable, and its process hears of it */
    DST_CTL_START, DST_AGENT_START, DST_NODE_BOOT, DST_NODE_LOOKS,
    DST_DIAL, DST_LINK_UP, DST_TCP_TIMEOUT,
    DST_TO_LAUNCHER, DST_FROM_LAUNCHER, DST_FROM_CHECKER, DST_FROM_PROGRAM, DST_LEASE_DUE,
    DST_STEPD_DIAL, DST_STEPD_READY, DST_TO_STEPD, DST_FROM_STEPD,
    DST_RANKS_EXIT, DST_RANKS_DIE, DST_RANKS_STOP, DST_PART_DEAD, DST_PART_STAYS, DST_PAIR,
    DST_CLIENT, DST_CLIENT_GIVES_UP, DST_ARRIVES_CLIENT,
    DST_SUBMIT, DST_FAULT, DST_FAULT_OVER, DST_GAP, DST_LEAD, DST_CONFIGURE, DST_BACKUP, DST_PUT_BACK,
};

struct dst_event {
    int64_t at_ms;
    uint64_t seq;
    enum dst_what what;
    unsigned who;              /* a node or a controller, by what it is */
    unsigned life;             /* of the process that it is meant for; another one never sees it */
    uint64_t id;               /* of the link, part, client's errand, ... */
    unsigned dir;              /* DST_TO_CTL, DST_TO_NODE */
    uint16_t number;           /* message; 0 = the connection ends */
    uint32_t rid;
    uint8_t *body;
    size_t len;
    struct tug_batch *batch;
    uint64_t arg;
    struct tug_heap_node heap;
};
struct dst_event *dst_later(struct dst *w, int64_t in_ms, enum dst_what what, unsigned who);
/* Without a delay in it: it is put into the heap by the caller with dst_push(). */
struct dst_event *dst_event_new(struct dst *w, enum dst_what what, unsigned who);
void dst_push(struct dst *w, struct dst_event *e);
void dst_event_free(struct dst_event *e);
void dst_event_body(struct dst_event *e, uint16_t number, uint32_t rid, const ProtobufCMessage *m);

/* ---- the network: one connection per node at a time, of two directions that keep their order */
enum { DST_TO_CTL, DST_TO_NODE };
struct dst_link {
    uint64_t id;               /* both sides' name of the peer */
    unsigned node, ctl;
    unsigned life[2];          /* of the process that a direction leads to */
    bool open[2];              /* ... and whether that one has it open */
    bool was_up[2];            /* ... and was told of it */
    int64_t last_ms[2];        /* when the last message arrives that keeps its order */
    struct tug_vec(struct dst_event *) stalled[2];     /* wait for a cut to end */
};

/* ---- a disk: records, and commits under way */
struct dst_pending {
    struct tug_batch *batch;
    uint64_t ticket;
};
struct dst_store {
    struct dst_disk *disk;
    struct tug_vec(struct dst_pending) pending;        /* oldest first */
    int64_t last_ms;           /* when the last commit under way is durable */
    int64_t fails_until_ms, full_until_ms;
    int64_t slow_until_ms;
};

/* ---- a controller */
struct dst_ctl {
    struct dst *w;
    unsigned index, life;
    struct tug_control *control;       /* NULL = does not run */
    struct dst_clock machine, clock;   /* clock: of this process */
    struct dst_clock boot;             /* of the machine, which nobody puts */
    int64_t timer_ms;                  /* what it asked for; INT64_MAX = nothing */
    uint64_t timer_seq;
    int64_t paused_until_ms;
    bool dying;                        /* inside an event: nothing leaves any more */
    bool fenced;                       /* the store takes nothing from it any more */
    uint64_t epoch;
    int64_t led_ms;                    /* when it last heard that it leads */
    int64_t lead_until_ms;             /* by its clock; INT64_MAX = nobody else can */
    bool unsure;                       /* was paused, and has not heard since that it leads */
};

/* ---- a machine */
enum dst_phase { DST_STARTING, DST_READY, DST_RUNNING, DST_ENDED, DST_STUCK, DST_DEAD };
struct dst_uses {                      /* of a machine */
    uint64_t gpus;                     /* those of slices, too */
    uint32_t milli;                    /* part of its one GPU, in thousandths; 0 = all of each */
    uint32_t slices[16];               /* by their serial numbers */
    size_t n_slices;
    bool gone;                         /* not all of it is there any more */
};
struct dst_part {
    uint64_t id;                       /* also the step daemon's pid */
    unsigned node;
    uint64_t job;
    uint32_t attempt, step;
    uint64_t epoch;                    /* of the order that started it */
    struct dst_uses uses;
    bool requeueable;
    enum dst_phase phase;
    bool head;                         /* of its gang, */
    size_t gang;                       /* which has so many parts */
    bool gathering;                    /* its ranks are gone, and it waits for those of the others */
    bool stopped, ran, told_to_end;
    uint32_t stop_serial;              /* of the order to stop that stands; 0 = none does */
    bool killing;                      /* everything in it is about to be dead */
    bool sticks;                       /* ... but for a process that waits in the kernel, and ends when that lets it */
    bool vanished;                     /* with its launcher or machine */
    bool overdue;                      /* killing: by the launcher, as the lease was over */
    bool told;                         /* the launcher has said that it is gone */
    int64_t run_ms;
    int code, signal;                  /* how its rank ended */
    Tugpb__Cause *cause;               /* first failure that its daemon knows of; owned */
    tug_peer_id peer;                  /* at the node daemon; 0 = not connected */
    int64_t last_ms[2];
    int wait_status;
};

struct dst_seen { uint64_t job; uint32_t attempt, step; };

/* What became of an attempt's programs on a node. */
struct dst_visit {
    uint64_t job;
    uint32_t attempt;
    unsigned node;
    uint64_t gpus;
    bool prolog_ok, began, epilog_began, over;   /* over: its node has said so */
    bool lent;                         /* it was stopped once: others may have had its GPUs since */
    uint64_t run;                      /* of the program that runs, its event's id; 0 = none does */
    bool epilog;                       /* which that is */
    int64_t dead_ms;                   /* nothing is left of the one before, whose daemon died, from then on */
};

/* How an attempt ended that is run again, as is durable. */
struct dst_past {
    uint64_t job;
    uint32_t attempt;
    int code, signal;
};

struct dst_node {
    struct dst *w;
    unsigned index;
    char name[16], boot_id[33];
    struct dst_clock machine;          /* wall clock */
    struct dst_clock boot;             /* since it was switched on */
    bool up;
    unsigned boots, machine_life;
    /* launcher */
    bool listed;
    struct tug_lease lease;            /* in ms of 'boot' */
    uint64_t lease_seq;
    struct tug_vec(struct dst_seen) seen;
    uint64_t max_epoch_started, max_epoch_obeyed;
    int64_t to_launcher_ms, from_launcher_ms;
    /* node daemon */
    struct tug_agent *agent;           /* NULL = does not run */
    unsigned life, fails;
    struct dst_clock clock;            /* of this process */
    int64_t started_ms, timer_ms;
    uint64_t timer_seq;
    int64_t paused_until_ms;
    bool dying;
    uint8_t mig[DST_CUTTABLE];         /* devices.c: what these are cut into; 0 = nothing */
    uint32_t slice[DST_CUTTABLE][7];   /* their serial numbers */
    uint64_t known_cut, known[2];      /* durable at the controller: GPUs that are cut; devices that are slices of each profile */
    bool sick;                         /* as its health check finds */
    bool drained_sick;                 /* durable at the controller: drained for that */
    struct dst_store store;
    uint64_t link;                     /* 0 = none */
    int64_t redial_ms;
    bool dialling;
    /* network */
    unsigned cut[2];                   /* so many cuts of that direction are in force */
    int64_t slow_until_ms;
};

/* ---- users */
enum dst_errand_kind { DST_ERRAND_SUBMIT, DST_ERRAND_CANCEL, DST_ERRAND_STEP, DST_ERRAND_DRAIN, DST_ERRAND_WAIT,
                       DST_ERRAND_RESUME, DST_ERRAND_REQUEUE, DST_ERRAND_HOLD };
struct dst_errand {
    uint64_t id;
    enum dst_errand_kind kind;
    uint64_t job;                      /* index + 1 of the truth's job */
    unsigned node;
    bool resume;                       /* DRAIN, HOLD: take it back */
    bool by_requeue;                   /* HOLD: also what runs */
    bool done;
    unsigned tries;
    tug_peer_id peer;                  /* of the connection it waits on; 0 = none */
    unsigned ctl, ctl_life;
    unsigned heard_life;               /* RESUME: of the controller that said that all nodes have reported; 0 = none */
};

/* ---- what really happened */
struct dst_again {                     /* being run again */
    const char *on;                    /* asked for: after these exits, */
    uint32_t max, delay_s;             /* so often, and after such a back-off; as JobSpec's */
    bool runs;                         /* this attempt has begun to, as is durable */
    uint32_t began;                    /* the last attempt that really has */
    uint32_t failures, backoffs;       /* so often it was after failures; and those in a row */
    int64_t waits_since_ms, waits_ms;  /* true time; the last back-off */
    unsigned ctl;                      /* by whose clock; another machine has another one, */
    uint64_t takeovers;                /* ... also when it has led in between */
    int64_t hand_ms;                   /* when somebody asked for it last, true time */
};
struct dst_job {
    char token[40];
    uint64_t id;                       /* 0 = nobody was told yet */
    bool acked, cancelled, stop;       /* stop: cancelled because it would never end */
    bool forgotten;                    /* by a state that was put back: nobody answers for its end any more */
    bool requeue, batch, forever;
    bool held;                         /* somebody was told so, and nobody has asked to release it since */
    uint32_t nodes, gpus, time_limit_s;
    const char *queue;
    const char *profile;               /* its GPUs are slices of that kind; "" = GPUs */
    uint32_t milli;                    /* part of one GPU */
    struct dst_again again;
    uint32_t attempt;                  /* the highest that is durable */
    uint32_t timed;                    /* the attempt that has started at started_ms; 0 = none that can be told */
    int64_t started_ms;                /* true time */
    unsigned ends;                     /* rows of the history */
    uint32_t placed;                   /* the last attempt of which it is durable that it has nodes; UINT32_MAX = not known */
    char end_state[24];
    uint32_t end_attempt;
    bool end_told;                     /* to somebody who waited */
};
struct dst_run {                       /* of one node's part of one attempt */
    uint64_t job;
    uint32_t attempt, step;
    unsigned node;
    uint64_t epoch;                    /* of the order that set it up; 0 = it was not */
    bool ready, started, ended, lost;  /* lost: its step daemon went without a word */
    bool by_node;                      /* ... as the launcher ended it past its lease, or went with it, or the machine did */
    bool over;                         /* its node has said that nothing is left */
    bool told_to_end;
    int code, signal;
};

struct dst_figures {
    uint64_t events, messages, commits, jobs, attempts, ended;
    uint64_t resets, cuts, one_way, halves, flaps, duplicated, reordered, dropped, delayed;
    uint64_t ctl_crashes, ctl_await, ctl_pauses, takeovers, fenced;
    uint64_t agent_crashes, agent_await, agent_pauses, launcher_crashes, reboots, stepd_crashes;
    uint64_t store_failed, store_full, store_waits, store_slow, unsynced_lost, unsynced_kept;
    uint64_t stuck;   /* parts that outlived SIGKILL */
    uint64_t stopped; /* parts whose ranks were, by order */
    uint64_t timed; /* jobs of which a controller that came back knew how long they had run */
    uint64_t wall_jumps, client_drops, client_retries, preempted, lease_ends;
    uint64_t checks, sick;
    uint64_t recuts, on_slices, on_shares, gone_devices; /* GPUs cut otherwise; parts that ran so; whose devices had gone */
    uint64_t again, backoffs; /* jobs run again after failures; back-offs looked at */
    uint64_t prologs, epilogs, programs_failed, programs_again;
    uint64_t holds; /* that clients were told of */
    uint64_t pair_cuts, pair_losses, pairs_bad;
    uint64_t configured, backups, put_back, by_hand, forgotten;
    int64_t true_ms;
};

struct dst_conf {                      /* drawn from the seed */
    unsigned nodes;
    uint32_t node_timeout_s, lease_s, launch_timeout_s;    /* lease_s: the longer one, where it changes */
    uint32_t leases_s[2];
    bool lease_changes;                /* from one start of a controller to the next */
    bool chaos;                        /* messages are doubled and change places inside a connection */
    bool zombies;                      /* a second controller may take over from one that is paused */
    bool preempts;
    uint32_t prolog_s, epilog_s;       /* nodes have these, with that time; 0 = they have none */
    uint32_t check_s;                  /* nodes have a health check with that period; 0 = they have none */
    bool check_before, check_idle;
    bool slices, shares;               /* GPUs are cut; jobs ask for parts of GPUs */
    unsigned third_cut;
    bool requeues;                     /* jobs say when they are run again */
    uint32_t requeue_delay_s;
    bool holds;                        /* users hold their jobs, and release them */
    bool flaps;                        /* nodes that come and go are drained */
    bool reconfigures;                 /* the configuration changes while all this goes on */
    bool pairs;                        /* nodes lose each other, and nobody else */
    bool old_backups;                  /* the state is replaced by an old one of its own */
    int drift_ppm_max;
    int64_t faults_until_ms, mean_fault_ms, mean_job_ms;
    double crash_send, crash_persist;  /* at each of them */
    bool with[32];                     /* which kinds of faults there are */
};

struct dst_opts {
    uint64_t seed;
    int64_t length_ms;                 /* of the part with faults */
    int64_t before_ms;                 /* in the worlds before this one */
    bool log;
    const char *argv0;
};

/* What the administrator wants of a controller: at its start, and live. */
struct dst_wanted {
    bool without[DST_NODES_MAX];       /* that node is not in the configuration */
    bool keeps[2];                     /* jobs of that queue do not give way: main, low */
    uint32_t kill_grace_s, launch_timeout_s, notice_s;
};

struct dst_epoch { uint64_t epoch; unsigned ctl, life; };   /* who has spoken with it */

struct dst {
    struct dst_opts opts;
    struct dst_conf conf;
    struct tug_heap heap;
    int64_t now_ms;
    uint64_t seq, hash;
    struct tug_rand of_health, of_stuck, of_more, of_visits, of_holds, of_pairs, of_gaps;
    uint32_t slices;                   /* that there have been */
    struct dst_pair { int64_t cut_until_ms, bad_until_ms; } pairs[DST_NODES_MAX][DST_NODES_MAX];   /* [lower][higher] */
    struct tug_rand of_faults, of_users, of_net, of_env, of_ranks, of_admin;
    struct dst_ctl ctls[DST_CTLS];
    unsigned leader;                   /* whom the store obeys */
    unsigned starts;                   /* of controllers */
    int at_once;                       /* events of this very ms */
    struct dst_store store;
    struct dst_wanted wanted;
    struct dst_disk *backup;           /* NULL = there is none */
    int64_t put_back_ms;               /* the last time, */
    bool unnoticed;                    /* by hand, and no node has spoken since: nobody submits, as ids could be given again, nor says that it is the cluster's */
    uint64_t put_back_epoch;           /* and the last epoch of the lives before */
    struct dst_node nodes[DST_NODES_MAX];
    struct tug_vec(struct dst_link *) links;
    struct tug_vec(struct dst_part *) parts;
    struct tug_vec(struct dst_errand) errands;
    struct tug_vec(struct dst_job) jobs;
    struct tug_vec(struct dst_run) runs;
    struct tug_vec(struct dst_visit) visits;
    struct tug_vec(struct dst_past) pasts;             /* of those that ended by their ranks */
    struct tug_vec(struct dst_epoch) epochs;
    struct tug_vec(uint64_t) gone_ids;                 /* of jobs that were forgotten, and asked for again */
    uint64_t next_id;
    unsigned active_jobs;
    bool calm;                         /* faults are over */
    struct dst_figures n;
};

/* world.c */
struct dst *dst_new(const struct dst_opts *opts);
void dst_free(struct dst *w);
bool dst_step(struct dst *w);                              /* false: nothing is due */
void dst_run(struct dst *w);                               /* with faults, then until all is over */
void dst_log(struct dst *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dst_fail(struct dst *w, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
void dst_mix(struct dst *w, uint64_t x);                   /* into the hash of the run */
int64_t dst_between(struct tug_rand *r, int64_t low, int64_t high);    /* both included */
int64_t dst_about(struct tug_rand *r, int64_t mean);       /* exponential, at least 1 */
bool dst_chance(struct tug_rand *r, double p);

/* disk.c */
struct dst_disk *dst_disk_new(void);
void dst_disk_free(struct dst_disk *d);
struct dst_disk *dst_disk_copy(const struct dst_disk *d);
void dst_disk_apply(struct dst_disk *d, const struct tug_batch *b);
const void *dst_disk_get(const struct dst_disk *d, const char *kind, const char *id, size_t *len);
void dst_disk_each(struct dst_disk *d, void (*f)(void *arg, const char *kind, const char *id, const void *data,
                                                 size_t len), void *arg);
/* A commit is under way: it is durable, and its process hears of it, at DST_COMMITTED. */
void dst_store_commit(struct dst *w, struct dst_store *s, struct tug_batch *b, uint64_t ticket, unsigned dir,
                      unsigned who, unsigned life);
/* ... which has come: did the disk take it? If not, nothing of it is there. Without room it is tried
 * again: then there will be another DST_COMMITTED of it. */
enum dst_taken { DST_TAKEN, DST_NO_ROOM, DST_NOT_TAKEN };
enum dst_taken dst_store_committed(struct dst *w, struct dst_store *s, const struct dst_event *e);
/* The process is gone: of what is under way, a part from the front is there. */
void dst_store_crash(struct dst *w, struct dst_store *s, unsigned dir);
void dst_store_clear(struct dst_store *s);

/* net.c */
struct dst_link *dst_link(struct dst *w, uint64_t id);
void dst_net_send(struct dst *w, struct dst_link *l, unsigned dir, uint16_t number, uint32_t rid,
                  const ProtobufCMessage *m);
void dst_net_close(struct dst *w, struct dst_link *l, unsigned side, bool silently);   /* side: who closes, as the direction to it */
void dst_net_reset(struct dst *w, struct dst_link *l);     /* both sides, what is under way is lost */
void dst_net_cut(struct dst *w, unsigned node, unsigned dir);
void dst_net_mend(struct dst *w, unsigned node, unsigned dir);
void dst_net_arrives(struct dst *w, struct dst_event *e);
void dst_net_timeout(struct dst *w, const struct dst_event *e);
void dst_net_dial(struct dst *w, unsigned node);
void dst_net_up(struct dst *w, const struct dst_event *e);

/* ctl.c */
void dst_ctl_start(struct dst *w, unsigned ctl);
void dst_ctl_crash(struct dst *w, unsigned ctl, const char *why);
void dst_ctl_peer_up(struct dst *w, unsigned ctl, tug_peer_id peer, unsigned node);
void dst_ctl_peer_down(struct dst *w, unsigned ctl, tug_peer_id peer);
void dst_ctl_message(struct dst *w, unsigned ctl, tug_peer_id peer, const struct dst_event *e);
void dst_ctl_timer(struct dst *w, const struct dst_event *e);
void dst_ctl_committed(struct dst *w, const struct dst_event *e);
void dst_ctl_configure(struct dst *w);                     /* the leader takes what is wanted by now */
void dst_ctl_take_over(struct dst *w, unsigned ctl);       /* the other one leads from now on */

/* node.c */
void dst_node_boot(struct dst *w, unsigned node);
void dst_node_power_off(struct dst *w, unsigned node, int64_t for_ms);
void dst_launcher_crash(struct dst *w, unsigned node);
void dst_launcher_message(struct dst *w, const struct dst_event *e);
void dst_launcher_gone(struct dst *w, struct dst_part *p); /* nothing is left of it: tell the node daemon */
void dst_launcher_stuck(struct dst *w, struct dst_part *p);    /* it stays: tell the node daemon */
void dst_lease_due(struct dst *w, const struct dst_event *e);
void dst_agent_start(struct dst *w, unsigned node);
void dst_agent_looks(struct dst *w, unsigned node);        /* ... again at what the machine has */
void dst_agent_crash(struct dst *w, unsigned node, const char *why);
void dst_agent_message(struct dst *w, unsigned node, tug_peer_id peer, const struct dst_event *e);
void dst_agent_up(struct dst *w, unsigned node, tug_peer_id peer);
void dst_agent_down(struct dst *w, unsigned node, tug_peer_id peer, bool was_up);
void dst_agent_timer(struct dst *w, const struct dst_event *e);
void dst_agent_committed(struct dst *w, const struct dst_event *e);
void dst_agent_stepd(struct dst *w, struct dst_part *p, bool up);

/* pairs.c: nodes that lose each other */
void dst_pairs_start(struct dst *w);
void dst_pairs_started(struct dst *w, const struct dst_part *p);   /* its ranks run */
void dst_pairs_event(struct dst *w, const struct dst_event *e);
void dst_pairs_record(struct dst *w, const Tugpb__NodeRecord *r);  /* is durable */
void dst_pairs_placed(struct dst *w, const Tugpb__JobRecord *r);   /* likewise: it has just been given nodes */
void dst_pairs_forget(struct dst *w);                              /* another controller may see the time otherwise */

/* part.c */
struct dst_part *dst_part(struct dst *w, uint64_t id);
struct dst_part *dst_part_find(struct dst *w, unsigned node, const Tugpb__StepKey *key);
struct dst_part *dst_part_start(struct dst *w, unsigned node, const struct dst_seen *key, bool requeueable,
                                const struct dst_uses *uses, uint64_t epoch, bool head, size_t gang);
void dst_part_kill(struct dst *w, struct dst_part *p);     /* everything in it, as SIGKILL to its cgroup does */
void dst_part_vanish(struct dst *w, struct dst_part *p, bool machine);   /* at once, with its machine, or with its launcher */
void dst_part_stepd_dies(struct dst *w, struct dst_part *p);
void dst_part_event(struct dst *w, const struct dst_event *e);
void dst_part_loses(struct dst *w, struct dst_part *p, unsigned peer); /* the machine of that node has answered nothing for long */
void dst_part_cut_off(struct dst *w, struct dst_part *p);  /* the node daemon's end is gone */
void dst_part_free(struct dst_part *p);
void dst_part_send(struct dst *w, struct dst_part *p, uint16_t number, const ProtobufCMessage *m);   /* to its daemon */

/* devices.c */
struct dst_inventory {
    Tugpb__Inventory inv;
    Tugpb__MigSlice mig[7 * DST_CUTTABLE], *ptr[7 * DST_CUTTABLE];
    char uuid[7 * DST_CUTTABLE][16];
};
void dst_devices_usual(struct dst *w, unsigned node);      /* what is not in use is cut as at first, */
void dst_devices_cut(struct dst *w, unsigned node);        /* ... or otherwise */
void dst_devices_list(const struct dst_node *n, struct dst_inventory *out);
void dst_devices_known(struct dst_node *n, const Tugpb__Inventory *inv);   /* durable: what the controller knows of it */
void dst_devices_given(struct dst *w, const struct dst_node *n, const Tugpb__JobRecord *r, const Tugpb__Slice *s);
void dst_devices_use(struct dst *w, const struct dst_node *n, const Tugpb__StepPayload *load, struct dst_uses *out);
bool dst_devices_meet(const struct dst_uses *a, const struct dst_uses *b);

/* again.c */
void dst_again_draw(struct dst *w, struct dst_again *a);
bool dst_again_wants(const struct dst_job *j, const Tugpb__Cause *cause);   /* it is to be run again after that */
bool dst_again_is_spent(const struct dst_job *j);
void dst_again_began(struct dst_job *j);
void dst_again_row(struct dst *w, struct dst_job *j, const struct tug_history_row *row, const Tugpb__JobView *v,
                   const Tugpb__JobRecord *r, int64_t ran_ms);
void dst_again_put_back(struct dst_job *j, const Tugpb__JobRecord *r);
void dst_again_asked(struct dst *w, struct dst_job *j);
void dst_again_runs(struct dst *w, struct dst_job *j, uint32_t attempt);

/* visit.c: the programs, and what must hold of them */
void dst_visits_draw(struct dst *w);
void dst_visit_run(struct dst *w, struct dst_node *n, const Tugpb__VsRun *m);
void dst_visit_event(struct dst *w, const struct dst_event *e);
void dst_visits_daemon_died(struct dst *w, const struct dst_node *n);
void dst_visit_check_start(struct dst *w, const struct dst_part *p, const char *what);
void dst_visit_over(struct dst *w, const struct dst_node *n, const Tugpb__StepKey *key);
void dst_visits_requeued(struct dst *w, uint64_t job, uint32_t attempt, const Tugpb__Cause *cause);
void dst_visits_put_back(struct dst *w);
void dst_visits_stopped(struct dst *w, const struct dst_part *p);
void dst_visits_end(struct dst *w);                        /* of the world */

/* admin.c */
void dst_admin_start(struct dst *w);
void dst_admin_event(struct dst *w, const struct dst_event *e);
void dst_admin_calm(struct dst *w);                        /* everything as it was */

/* client.c */
void dst_clients_start(struct dst *w);
void dst_client_event(struct dst *w, struct dst_event *e);
void dst_client_send(struct dst *w, unsigned ctl, tug_peer_id peer, uint16_t number, uint32_t rid,
                     const ProtobufCMessage *m);           /* what a controller says to a client; NULL closes */
void dst_client_resume(struct dst *w);                     /* somebody looks after a controller in safe mode */
void dst_client_bring_back(struct dst *w, unsigned node, int64_t in_ms);   /* resume it */
void dst_client_stop_forever(struct dst *w);               /* cancel what would never end by itself */

/* fault.c */
void dst_faults_start(struct dst *w);
void dst_fault(struct dst *w, struct dst_event *e);
int64_t dst_fault_at_hello(struct dst *w, unsigned node);
void dst_fault_at_welcome(struct dst *w, unsigned node);
void dst_fault_during_commit(struct dst *w, unsigned ctl);

/* truth.c: the promises. Every one of these may call dst_fail(). */
struct dst_run *dst_truth_run(struct dst *w, uint64_t job, uint32_t attempt, uint32_t step, unsigned node);
void dst_truth_launched(struct dst *w, struct dst_part *p);
void dst_truth_started(struct dst *w, struct dst_part *p);
void dst_truth_durable(struct dst *w, const struct tug_batch *b);          /* on the controller's disk */
void dst_truth_ctl_says(struct dst *w, const struct dst_ctl *c, tug_peer_id peer, uint16_t number,
                        const ProtobufCMessage *m);
void dst_truth_agent_says(struct dst *w, struct dst_node *n, tug_peer_id peer, uint16_t number,
                          const ProtobufCMessage *m);
void dst_truth_acked(struct dst *w, struct dst_job *j, uint64_t id);
void dst_truth_put_back(struct dst *w);                    /* the controller's disk is an older one by now */
void dst_truth_restored(struct dst *w, const struct dst_ctl *c);
void dst_truth_end(struct dst *w);                         /* of the world: nothing is left over */
struct dst_job *dst_truth_job(struct dst *w, uint64_t id);

#endif
