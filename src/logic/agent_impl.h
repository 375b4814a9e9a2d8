/* agent_impl.h - what agent.c, agent_step.c, agent_stepd.c and agent_keep.c share
 *
 * Nobody else includes this. Layer: logic.
 */
#ifndef TUG_LOGIC_AGENT_IMPL_H
#define TUG_LOGIC_AGENT_IMPL_H

#include "base/err.h"
#include <uthash.h>

#include "base/mem.h"
#include "base/vec.h"
#include "logic/agent.h"
#include "proto/launch.pb-c.h"
#include "proto/record.pb-c.h"
#include "proto/step.pb-c.h"

#define AGENT_KILL_SLACK_MS 5000  /* over the grace, until the launcher is told to kill; and between repeats */
#define AGENT_HELLO_BY_MS 10000   /* a step daemon's connection must belong to a step by then */
#define AGENT_LEAVE_MS 5000       /* a step daemon whose result is kept has gone by then, or is killed */
#define AGENT_GONE_WAIT_MS 1000   /* for what a dead step daemon had written */
#define AGENT_SILENCE_MS 20000    /* a controller that says nothing for so long is taken to be gone */
#define AGENT_PEERS_MAX 4096
#define AGENT_QUEUE_MAX 16        /* messages of a step daemon that is not yet known to be one */

struct agent_key {
    uint64_t job;
    uint32_t attempt, step;
};

struct agent_step {
    struct agent_key key;
    Tugpb__StepPhase phase;
    bool requeueable;
    bool waits_lease;              /* not given to the launcher yet */
    bool waits_check;              /* ... and not before the health check has been run */
    bool forget;                   /* the controller does not know it: no result is wanted */
    bool unsaid;                   /* something changed that the controller was not told */
    bool seen;                     /* its step daemon was connected once */
    uint32_t pid, uid;             /* of the step daemon; 0 = not started yet */
    tug_peer_id peer;              /* its connection, 0 = none */
    int64_t started_ms, wired_ms;
    Tugpb__LnStart *order;         /* while waits_lease */
    Tugpb__StepReady *ready;
    Tugpb__SdStart *start;         /* the barrier is open, the step daemon was not told yet */
    Tugpb__Cause *cause;           /* first failure */
    Tugpb__Hang *hang;             /* who holds it up, as its head said last; NULL = it never did */
    Tugpb__StepResult *result;     /* as the step daemon gave it; complete once DONE */
    uint32_t stop_serial;          /* of the last such order that suspends or ends that; 0 = there was none */
    int stop_or_go;                /* SIGSTOP or SIGCONT, whichever it was told last; 0 = neither */
    bool ending;
    uint32_t grace_s;
    char *why;
    int64_t hard_ms;               /* when the launcher is told to kill (again); INT64_MAX = never */
    bool hard;                     /* it was */
    Tugpb__LnStuck *stuck;         /* what is left has outlived SIGKILL, as the launcher said last; NULL = it never did */
    bool here;                     /* the launcher has it */
    Tugpb__LnGone *gone;           /* nothing is left, but what its daemon wrote may still come */
    int64_t finish_ms;             /* do not wait longer for that; INT64_MAX = not waiting */
};

enum { AGENT_PROLOG, AGENT_EPILOG, AGENT_PROGRAMS };

struct agent_visit {               /* of an attempt; key.step is TUG_VISIT_STEP */
    struct agent_key key;
    Tugpb__StepPhase phase;        /* STARTING, READY, ENDING, DONE */
    Tugpb__StepVisit *told;        /* when it was to begin, and when it was to end, what became of the job */
    Tugpb__VisitFailure *failed[AGENT_PROGRAMS];
    bool waits_check;
    bool began;                    /* its prolog was run, or would have been if there were one */
    bool running;                  /* one of its programs is */
    bool prolog_ok, forget;
};

struct agent_queued {
    enum tug_msg number;
    ProtobufCMessage *m;
};

struct agent_peer {                /* a connection on the node's socket */
    tug_peer_id id;
    uint32_t pid, uid;
    bool hello;
    struct agent_key key;
    Tugpb__StepPhase phase;
    int64_t hello_by_ms;           /* INT64_MAX once it belongs to a step */
    struct agent_queued queue[AGENT_QUEUE_MAX];
    size_t n_queue;
};

struct agent_tomb {
    uint64_t job;
    uint32_t attempt;
    bool whole;
    uint32_t floor;
    struct tug_vec(uint32_t) steps;
    int64_t expires_ms;
    UT_hash_handle hh;             /* in order of age: what changes moves to the end */
};

struct agent_out {
    uint64_t ticket;               /* leaves when this is durable */
    tug_peer_id peer;
    enum tug_msg number;
    uint32_t rid;
    ProtobufCMessage *m;           /* NULL closes */
};

struct tug_agent {
    struct tug_env env;
    char *node, *boot_id, *version, *address;
    Tugpb__Inventory *inventory;
    void (*log)(void *arg, enum tug_log_level level, const char *sentence);
    void *log_arg;
    int64_t now_ms;                /* of the event that is being handled */
    int64_t timer_ms;              /* what the timer is set to */

    tug_peer_id controller;        /* 0 = none */
    bool hello_sent, welcomed;
    int64_t heard_ms, beat_ms;
    uint32_t heartbeat_ms;
    struct { uint64_t nonce; int64_t sent_ms; } asked[8];   /* lease requests under way; nonce 0 = free */
    unsigned next_asked;
    int64_t lease_until_ms;
    int64_t taken_ms;              /* when the question was asked whose answer it follows */
    uint64_t taken;                /* and its nonce; 0 = none of this life */
    uint64_t max_epoch;
    uint64_t commit;               /* of that epoch, the last one heard of */
    int64_t commit_kept_ms;        /* written down then */
    char *refused;

    struct {
        struct tug_agent_check is;     /* program NULL = none */
        bool running;
        bool job_ended;                /* it is to be run after that */
        int64_t next_ms;               /* of its period; INT64_MAX = never */
        Tugpb__NodeHealth *found;      /* by the last run; NULL = there was none */
    } check;
    bool takes_health;                 /* the controller does */

    bool listed;                   /* the launcher has said what it holds */
    char *old_boot_id;             /* of the restored steps; NULL = nothing was restored */
    struct tug_agent_program programs[AGENT_PROGRAMS];
    struct tug_vec(struct agent_visit *) visits;
    struct tug_vec(struct agent_step *) steps;
    struct tug_vec(struct agent_peer *) peers;
    struct agent_tomb *tombs;

    struct tug_vec(struct agent_out) out;
    struct tug_batch *batch;       /* of this event; NULL = empty */
    bool must;                     /* what this event sends rests on the batch */
    bool keeps_epoch;              /* the batch has a new one */
    uint64_t ticket, must_ticket, epoch_ticket, durable_ticket;
    char *full;                    /* the store has no room, and why; NULL = it has */
    int64_t full_ms;               /* since then */
    char *mute;                    /* the launcher does not answer, and since when; NULL = it does */
    int64_t mute_ms;
    struct tug_agent_counts counts;
};

/* agent.c */
void tug_agent_log(struct tug_agent *a, enum tug_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void tug_agent_close_peer(struct tug_agent *a, struct agent_peer *p);

/* agent_keep.c: what leaves, and what is kept */
bool tug_agent_same(const ProtobufCMessage *a, const ProtobufCMessage *b);
void tug_agent_send(struct tug_agent *a, tug_peer_id peer, enum tug_msg number, const void *m);
void tug_agent_commit(struct tug_agent *a);                                  /* at the end of every event */
void tug_agent_keep_self(struct tug_agent *a);                               /* nothing leaves before */
void tug_agent_keep_commit(struct tug_agent *a);                             /* nobody waits for it */
void tug_agent_keep_health(struct tug_agent *a, const Tugpb__NodeHealth *h);
void tug_agent_keep_step(struct tug_agent *a, const struct agent_step *s, bool must);
void tug_agent_unkeep_step(struct tug_agent *a, const struct agent_step *s);
void tug_agent_keep_visit(struct tug_agent *a, const struct agent_visit *v, bool must);
void tug_agent_unkeep_visit(struct tug_agent *a, const struct agent_visit *v);
void tug_agent_bury(struct tug_agent *a, struct agent_key key);              /* it ended here: add to its job's tombstone */
bool tug_agent_is_buried(const struct tug_agent *a, struct agent_key key);
void tug_agent_purge_tombs(struct tug_agent *a);
void tug_agent_clear_tombs(struct tug_agent *a);

/* agent_step.c: the life of one step */
bool tug_agent_key_of(const Tugpb__StepKey *from, struct agent_key *out);
struct agent_step *tug_agent_find(struct tug_agent *a, struct agent_key key);
struct agent_step *tug_agent_add(struct tug_agent *a, struct agent_key key);
void tug_agent_remove(struct tug_agent *a, struct agent_step *s);
void tug_agent_step_free(struct agent_step *s);
bool tug_agent_other_attempt(const struct tug_agent *a, struct agent_key key, uint32_t *attempt); /* of its job is here */
/* Nothing of it is here, and nothing was: said without keeping anything. 'text' NULL: there is nothing to say. */
void tug_agent_answer_nothing(struct tug_agent *a, struct agent_key key, const char *kind, char *text);
void tug_agent_launch(struct tug_agent *a, const Tugpb__StepLaunch *m);
void tug_agent_give(struct tug_agent *a, struct agent_step *s, const Tugpb__LnStart *order);
void tug_agent_open(struct tug_agent *a, struct agent_key key, const Tugpb__StepStart *m);
void tug_agent_deliver(struct tug_agent *a, struct agent_step *s);           /* tell its daemon what it was not told */
void tug_agent_kill(struct tug_agent *a, struct agent_key key, uint32_t grace_s, const char *why);
void tug_agent_kill_hard(struct tug_agent *a, struct agent_step *s);
void tug_agent_lease_over(struct tug_agent *a, struct agent_step *s);
void tug_agent_forget(struct tug_agent *a, struct agent_step *s);
void tug_agent_report(struct tug_agent *a, struct agent_step *s);            /* everything the controller should know */
void tug_agent_fail(struct tug_agent *a, struct agent_step *s, const Tugpb__Cause *cause);
void tug_agent_stopped(struct tug_agent *a, struct agent_step *s, uint32_t serial); /* by its daemon's word */
void tug_agent_watch(struct tug_agent *a, struct agent_step *s, const Tugpb__Hang *hang);
void tug_agent_fail_text(struct tug_agent *a, struct agent_step *s, const char *kind, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void tug_agent_say(struct tug_agent *a, struct agent_step *s, enum tug_msg number, const void *m);
void tug_agent_finish(struct tug_agent *a, struct agent_step *s);            /* nothing is left: make the result */
void tug_agent_from_launcher(struct tug_agent *a, enum tug_msg number, const ProtobufCMessage *m);

/* agent_health.c */
void tug_agent_check_init(struct tug_agent *a, const struct tug_agent_check *check);
void tug_agent_check_clear(struct tug_agent *a);
int64_t tug_agent_check_next(const struct tug_agent *a);                     /* when it is due */
void tug_agent_check_due(struct tug_agent *a);
bool tug_agent_check_before(struct tug_agent *a, struct agent_key key); /* must what is first of its attempt wait for a run? */
void tug_agent_check_after(struct tug_agent *a, struct agent_key key);  /* nothing of it is left */
void tug_agent_check_welcomed(struct tug_agent *a);
void tug_agent_check_tell(struct tug_agent *a);                              /* whether the node is fit, to the controller */
void tug_agent_check_done(struct tug_agent *a, const Tugpb__HcDone *m);

/* agent_visit.c: prologs and epilogs */
void tug_agent_visits_init(struct tug_agent *a, const struct tug_agent_program *prolog, const struct tug_agent_program *epilog);
void tug_agent_visits_clear(struct tug_agent *a);
void tug_agent_visits_declare(const struct tug_agent *a, Tugpb__Inventory *inv);
struct agent_visit *tug_agent_visit_of(const struct tug_agent *a, struct agent_key key);     /* of that attempt */
bool tug_agent_visit_refuses(const struct tug_agent *a, struct agent_key key, char *text, size_t size_bytes); /* to start that */
void tug_agent_visit_state(const struct agent_visit *v, Tugpb__StepState *out);              /* borrows from v */
void tug_agent_visits_welcomed(struct tug_agent *a);
void tug_agent_visits_listed(struct tug_agent *a);                                           /* of what was restored */
void tug_agent_visits_checked(struct tug_agent *a, const char *sick);                        /* NULL: it is fit */
void tug_agent_visit(struct tug_agent *a, const Tugpb__StepVisit *m);
void tug_agent_visit_after(struct tug_agent *a, struct agent_key key);                       /* that is over */
void tug_agent_visit_forget(struct tug_agent *a, struct agent_key key);
void tug_agent_visit_acked(struct tug_agent *a, struct agent_key key);
void tug_agent_visit_done(struct tug_agent *a, const Tugpb__VsDone *m);
int tug_agent_visit_restore(struct tug_agent *a, const Tugpb__VisitRecord *r);

/* agent_stepd.c: what step daemons say */
void tug_agent_from_stepd(struct tug_agent *a, struct agent_peer *p, enum tug_msg number, const ProtobufCMessage *m);
void tug_agent_bind(struct tug_agent *a, struct agent_peer *p);              /* to its step, if that can be told yet */

#endif
