/* agent_world.h - a node's agent under a virtual clock, with a store that survives it
 *
 * What the agent sends is queued and taken out one by one with world_next(); world_quiet() says that nothing is left.
 * Layer: tests.
 */
#ifndef TUG_UNIT_AGENT_WORLD_H
#define TUG_UNIT_AGENT_WORLD_H

#include "base/mem.h"
#include "base/vec.h"
#include "logic/agent.h"
#include "proto/launch.pb-c.h"
#include "proto/step.pb-c.h"

#define CONTROLLER 7u            /* the peer that world_join() connects */

struct world_sent {
    tug_peer_id peer;
    enum tug_msg number;         /* 0 = the connection was closed */
    ProtobufCMessage *m;
};
struct world_record {
    char *kind, *id;
    void *data;
    size_t len;
};
struct world {
    struct tug_agent *agent;
    int64_t now_ms, timer_ms;
    uint64_t random;
    struct tug_vec(struct world_sent) sent;
    struct tug_vec(struct world_record) store;
    bool slow_disk;              /* persisted only by world_sync() */
    struct tug_vec(struct tug_batch *) pending;
    uint64_t pending_ticket;
    ProtobufCMessage *last;      /* of world_next() */
    char log[1024];              /* the last sentence */
    const char *boot_id;
    const struct tug_agent_check *check;   /* NULL = none */
    const struct tug_agent_program *prolog, *epilog;   /* NULL = none */
    bool takes_health;           /* the controller does: world_welcome() says so */
};

void world_start(struct world *w);                        /* a fresh store; the launcher holds nothing */
void world_boot(struct world *w);                         /* a new agent over the store, its LnList not answered */
void world_crash(struct world *w);                        /* the agent is gone; what was not synced is lost */
void world_end(struct world *w);
void world_sync(struct world *w);
void world_to(struct world *w, int64_t now_ms);           /* let time pass, every timer at its own time */
/* The next thing sent: must be 'number' to 'peer'. Valid until the next call. */
const void *world_next(struct world *w, tug_peer_id peer, enum tug_msg number);
void world_quiet(struct world *w);                        /* nothing (more) was sent */
size_t world_skip(struct world *w, enum tug_msg number);  /* take out all of 'number', say how many */
size_t world_records(const struct world *w, const char *kind);

void world_held(struct world *w, const Tugpb__LnHeld *held);  /* NULL = nothing */
void world_join(struct world *w, uint64_t epoch);         /* hello, welcome, one lease request that stays unanswered */
void world_welcome(struct world *w, uint64_t epoch);
void world_grant(struct world *w, const Tugpb__LeaseRequest *asked, uint32_t lease_s, uint64_t epoch);
void world_launch(struct world *w, uint64_t epoch, uint64_t job, uint32_t attempt, bool requeueable);
void world_kill(struct world *w, uint64_t epoch, uint64_t job, uint32_t attempt, uint32_t grace_s);
void world_ack(struct world *w, uint64_t epoch, uint64_t job, uint32_t attempt);
void world_open(struct world *w, uint64_t epoch, uint64_t job, uint32_t attempt);
void world_started(struct world *w, uint64_t job, uint32_t attempt, uint32_t pid, uint32_t uid);
void world_gone(struct world *w, uint64_t job, uint32_t attempt, int32_t wait_status);
void world_stepd(struct world *w, tug_peer_id peer, uint64_t job, uint32_t attempt, uint32_t pid, uint32_t uid,
                 Tugpb__StepPhase phase);
void world_ready(struct world *w, tug_peer_id peer);
void world_result(struct world *w, tug_peer_id peer, int exit_code);
/* A running step of job 'job', attempt 1, its step daemon being peer and pid 'peer', uid 1000; nothing left to take. */
void world_running(struct world *w, uint64_t job, tug_peer_id peer, bool requeueable);
void world_lease(struct world *w, uint32_t lease_s);      /* ask and grant one now */

#endif
