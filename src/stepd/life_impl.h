/* life_impl.h - what the files of life share; nobody else includes it
 *
 *   life.c   the phases and what begins with each of them
 *   gang.c   failures and endings: what is said to the other nodes, the node daemon and the
 *            terminal, and heard from them
 *   guard.c  looks at the ranks now and then, and says who holds the gang up
 * Layer: stepd.
 */
#ifndef TUG_STEPD_LIFE_IMPL_H
#define TUG_STEPD_LIFE_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "host/loop.h"
#include "proto/step.pb-c.h"
#include "stepd/cause.h"
#include "stepd/client.h"
#include "stepd/env.h"
#include "stepd/exchange.h"
#include "stepd/input.h"
#include "stepd/life.h"
#include "stepd/link.h"
#include "stepd/mesh.h"
#include "stepd/output.h"
#include "stepd/port.h"
#include "stepd/ranks.h"
#include "stepd/star.h"

enum phase { PREPARE, BARRIER, LAUNCH, RUN, SWEEP, DRAIN, GATHER, REPORT, LEAVE, PHASES };

struct node_end { /* head: how a node's part ended */
    bool done;
    bool begun; /* its first rank has connected: its own deadline for the others runs */
    bool wired;
};

struct tug_life {
    const struct tug_payload *p;
    struct tug_loop *loop;
    const char *run_dir;
    enum phase phase;
    uint64_t phase_since_ms;
    struct tug_timer
        *tick; /* only wakes the loop: deadlines and polls are looked at before each sleep */
    /* parts */
    struct tug_link *link;
    struct tug_star *star;
    struct tug_mesh *mesh; /* of a gang of three nodes and more */
    struct tug_output *output;
    struct tug_input *input;
    struct tug_client *client; /* head of an interactive step */
    struct tug_ranks *ranks;
    struct tug_rank_env *env;
    struct tug_port *port;         /* head, and nodes with GPUs */
    struct tug_exchange *exchange; /* with PMIx */
    struct tug_guard *guard;       /* from when the ranks run; NULL: nobody looks */
    /* what is known */
    bool started; /* the barrier opened */
    bool pmix_up;
    bool ended;          /* ranks were told to end; how they end from now on is no cause */
    uint64_t kill_at_ms; /* then SIGKILL; 0: not set, or done */
    uint64_t killed_ms;  /* when SIGKILL was sent */
    struct tug_cause cause;
    uint64_t cause_us;    /* when that was, by this node's clock (tug_now_us) */
    uint64_t word_by_ms;  /* then the node daemon is told of it, whoever is named; 0: it has been, or there is nothing to tell */
    bool word_said;
    uint64_t told_us;     /* when ranks were told to end */
    bool released;        /* the head said that all is over, or it is gone */
    bool acked;
    Tugpb__ExitInfo *exits;        /* per rank of the gang (head) ... */
    Tugpb__ExitInfo **local_exits; /* ... pointers to those of this node */
    struct node_end *nodes;        /* head */
    bool *connected;               /* per local rank: its PMIx client came */
    unsigned n_connected, n_nodes_wired;
    uint64_t wire_by_ms; /* deadline of the wire-up; 0: no rank has connected, or all have */
    uint64_t gang_wire_by_ms; /* head: deadline for all nodes to begin with that; 0: none has, or all have */
    bool stopped;          /* by order: the job is suspended */
    uint32_t stop_serial;  /* of that order, until it is answered; 0: nothing is to be said */
    uint64_t wire_left_ms, gang_wire_left_ms; /* then: what was left until these */
    uint64_t join_by_ms; /* head: deadline for the other nodes to join the star; 0: none */
    int64_t started_wall_ms, ended_wall_ms, wired_wall_ms;
    uint64_t flush_since_ms, result_sent_ms;
    int kill_grace_s; /* of a cancellation; -1: nobody said */
    bool ready_said;
};

/* ---- gang.c ---- */
extern const struct tug_star_ops tug_life_star_ops;
extern const struct tug_link_ops tug_life_link_ops;
extern const struct tug_client_ops tug_life_client_ops;
extern const struct tug_exchange_ops tug_life_exchange_ops;

/* A failure on this node ends the gang. Fill l->... with tug_cause_set first; 'c' is copied. */
void tug_life_fail(struct tug_life *l, struct tug_cause *c);
/* SIGTERM now, SIGKILL after 'grace_ms' to the ranks of this node. */
void tug_life_end_ranks(struct tug_life *l, uint64_t grace_ms);
/* Who has not joined a gang that ends may never: its step daemon is perhaps what died. */
void tug_life_hurry(struct tug_life *l);
void tug_life_rank_ended(struct tug_life *l, const struct tug_rank_end *end, const char *sentence);
void tug_life_check_deadlines(struct tug_life *l, uint64_t now_ms);
void tug_life_send_ready(struct tug_life *l);
/* Head: two others do not reach each other. */
void tug_life_pair_lost(void *life, unsigned a, unsigned b);
/* They are all stopped by now? Then say so, if it was asked for. */
void tug_life_check_stopped(struct tug_life *l);
void tug_life_send_result(struct tug_life *l);
/* The early word of who failed, if it is not out yet. */
void tug_life_send_word(struct tug_life *l);

/* ---- guard.c ---- */
/* The ranks run. Does nothing when the job has switched it off. */
void tug_guard_start(struct tug_life *l);
/* The ranks were stopped by order for a while. */
void tug_guard_resumed(struct tug_life *l);
/* Head: what node 'from' saw of its ranks. */
void tug_guard_hears(struct tug_life *l, unsigned from, const Tugpb__StarWatch *m);
void tug_guard_dump(struct tug_life *l, const Tugpb__StarDump *m);
/* Head: node 'from' has written down what it was asked for. */
void tug_guard_dumped(struct tug_life *l, unsigned from, const Tugpb__StarDumped *m);
/* The node daemon is there again: tell it what stands. */
void tug_guard_say_again(struct tug_life *l);

#endif
