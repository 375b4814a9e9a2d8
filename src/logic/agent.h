/* agent.h - what a node does with orders, leases and step daemons, as a value
 *
 * The logic of tugnoded without the world: messages and expired timers come in, everything goes out through struct
 * tug_env. What is promised to the controller was made durable first: a message that rests on a record leaves only
 * after tug_agent_persisted(). What always holds:
 *   - no order of an epoch below the highest ever seen is obeyed, also after a restart;
 *   - what ended here (tombstones, kept 24 h) is never started again;
 *   - a requeueable step is ended once the lease is over; leases run from when they were asked for;
 *   - nothing of an attempt is started before the node's prolog has succeeded for it, and its epilog is run behind all of it;
 *   - a step's result is kept, and sent again at every reconnect, until the controller acknowledges it.
 * The launcher (peer TUG_PEER_LAUNCHER) and what runs the health check (TUG_PEER_CHECKER), prologs and epilogs (TUG_PEER_PROGRAMS)
 * speak launch.proto, step daemons the first half of step.proto, the controller node.proto. A peer closed by the agent (send with m == NULL) is forgotten at once. Layer: logic.
 */
#ifndef TUG_LOGIC_AGENT_H
#define TUG_LOGIC_AGENT_H

#include <stdbool.h>

#include "base/log.h"
#include "logic/env.h"
#include "proto/node.pb-c.h"

#define TUG_TOMB_KEPT_MS (24 * 3600 * 1000LL)
#define TUG_TOMBS_MAX 65536            /* the oldest goes first */
#define TUG_AGENT_PROTOCOL 1

struct tug_agent;

/* A program that says whether the node is fit to run jobs. */
enum tug_check_when { TUG_CHECK_ALWAYS, TUG_CHECK_IDLE, TUG_CHECK_NEVER };
struct tug_agent_check {
    const char *program;               /* NULL = there is none */
    uint32_t period_s, timeout_s;
    enum tug_check_when when;          /* every period; IDLE: only while no step is here */
    bool before_job, after_job;        /* and then */
};

/* A program that is run around every attempt of a job that comes here. */
struct tug_agent_program {
    const char *program;               /* NULL = there is none */
    const char *const *args; size_t n_args;
    uint32_t timeout_s;
};

struct tug_agent_conf {                /* copied */
    const char *node;
    const char *boot_id;               /* 32 hex digits */
    const char *version;
    const char *address;               /* where the gang's peers reach this node */
    const Tugpb__Inventory *inventory;
    const struct tug_agent_check *check;   /* NULL = none */
    const struct tug_agent_program *prolog, *epilog;   /* NULL = none */
    /* Sentences for the log; may be NULL. */
    void (*log)(void *arg, enum tug_log_level level, const char *sentence);
    void *log_arg;
};

/* 'env' is copied; its ctx outlives the agent. */
struct tug_agent *tug_agent_new(const struct tug_env *env, const struct tug_agent_conf *conf);
void tug_agent_free(struct tug_agent *a);
/* Give back one record of the node's store, before tug_agent_start(); kinds that are not the agent's are passed over.
 * -EPROTO: it cannot be read (names kind and id). */
int tug_agent_restore(struct tug_agent *a, const char *kind, const char *id, const void *data, size_t len_bytes,
                      struct tug_err *err);
/* All records are in: ask the launcher what it holds. The controller hears nothing before it has answered. */
void tug_agent_start(struct tug_agent *a);

void tug_agent_controller_up(struct tug_agent *a, tug_peer_id peer);
void tug_agent_controller_down(struct tug_agent *a, tug_peer_id peer);
/* pid and uid are the kernel's word (SO_PEERCRED). */
void tug_agent_stepd_up(struct tug_agent *a, tug_peer_id peer, uint32_t pid, uint32_t uid);
void tug_agent_stepd_down(struct tug_agent *a, tug_peer_id peer);
/* A message of any peer; borrowed. */
void tug_agent_message(struct tug_agent *a, tug_peer_id peer, enum tug_msg number, uint32_t rid,
                       const ProtobufCMessage *m);
void tug_agent_timer(struct tug_agent *a, int64_t now_ms);
void tug_agent_persisted(struct tug_agent *a, uint64_t ticket);
/* The node's store has no room: the commits under way are made by themselves once it has ('why' says where and what to do;
 * copied). Until then, NULL, what rests on them waits: results of gangs, a new epoch. Leases are asked for, kills are passed on,
 * and the controller hears that the node is full and takes it out of use. */
void tug_agent_full(struct tug_agent *a, const char *why);
/* The launcher does not answer ('why'; copied), so nothing can be started here, nor ended: orders are refused, and the controller takes
 * the node out of use until it does again, NULL. What runs goes on. */
void tug_agent_mute(struct tug_agent *a, const char *why);
/* The node has looked again at what it has. The controller hears of it when that differs from what it was told last. Copied. */
void tug_agent_inventory(struct tug_agent *a, const Tugpb__Inventory *inv);
/* Going down on purpose: tell the controller, who then need not wait for silence. Steps stay as they are. */
void tug_agent_bye(struct tug_agent *a, const char *reason);

/* ---- reading */
/* The controller does not want this node and never will (NodeRefused.final): its sentence; NULL = not so. */
const char *tug_agent_refused(const struct tug_agent *a);
struct tug_agent_counts {
    uint64_t stale_orders;             /* of a lower epoch, ignored */
    uint64_t refused_launches;
    uint64_t strangers;                /* connections on the node's socket that belong to no step */
    uint64_t lease_kills;              /* steps ended because the lease was over */
};
void tug_agent_count(const struct tug_agent *a, struct tug_agent_counts *out);
uint64_t tug_agent_epoch(const struct tug_agent *a);
int64_t tug_agent_lease_until(const struct tug_agent *a);     /* 0 = none, INT64_MAX = for ever */
size_t tug_agent_steps(const struct tug_agent *a);
size_t tug_agent_visits(const struct tug_agent *a);           /* of attempts of jobs, before their prolog to behind their epilog */
struct tug_agent_step {
    uint64_t job;
    uint32_t attempt, step;
    Tugpb__StepPhase phase;
    uint32_t pid, uid;
    bool requeueable, connected, ending;
};
/* The i-th step that is held, results not yet acknowledged included. */
void tug_agent_step(const struct tug_agent *a, size_t i, struct tug_agent_step *out);
uint32_t tug_agent_tomb(const struct tug_agent *a, uint64_t job);   /* highest attempt that ended here; 0 = none */

#endif
