/* soak.h - random worlds around a core: clusters, queues, jobs, faults, and what must hold of them
 *
 * A world is made from one seed and runs in virtual time: jobs come, nodes answer late or at once, things go wrong, then
 * nothing does any more and all that can run must end. soakmake.c makes worlds and jobs, soaknode.c is what the nodes do,
 * soakworld.c lets things happen, soakcheck.c says what must hold after each. Layer: tests.
 */
#ifndef TUG_UNIT_SOAK_H
#define TUG_UNIT_SOAK_H

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/rand.h"
#include "base/vec.h"
#include "core/core.h"
#include "host/plugset.h"

#define SOAK_NODES    12
#define SOAK_QUEUES   7
#define SOAK_ACCOUNTS 5

struct soak_piece { /* what a node holds of a step */
    tug_job_id job;
    uint32_t attempt, step;
    enum tug_held_phase phase;
    tug_gpuset gpus;
    uint32_t gpu_milli;
    uint8_t fails, requeueable, stopped, ending, stuck; /* stuck: killed, and there for a while still */
    int code;         /* it ends with */
    int signal;       /* ... was killed by */
    int64_t left_ms;  /* to run, as of since_ms */
    int64_t since_ms; /* runs; -1 = does not */
    uint64_t version; /* timers of an older one are void */
};

struct soak_node {
    int connected, told_down;
    uint64_t life; /* of the connection: orders sent over an older one are lost */
    int64_t busy_until_ms;
    struct tug_vec(struct soak_piece) held;
};

struct soak_job { /* at jobs.at[id] */
    int64_t work_ms;
    int exit_code;
    uint32_t preempted; /* so often its history says so */
    int64_t holds_since_ms; /* charged from then on; -1 = is not */
    double rate;            /* in GPUs */
    uint32_t share;         /* row of shares */
    int64_t promised_ms;    /* when conservative said it would start, once it was first in line; -1 = was not */
};

struct soak_share { /* usage as the test counts it */
    const char *account, *user;
    double settled_gpu_s;
    int64_t at_ms;
};

struct soak_usage { /* as it is recorded */
    const char *account, *user;
    uint32_t uid;
    double gpu_s;
    int64_t at_ms;
};

enum soak_timer_type { SOAK_ARRIVE, SOAK_ORDER, SOAK_PIECE, SOAK_FAULT, SOAK_NODE, SOAK_PASS };

struct soak_timer {
    int64_t at_ms;
    uint64_t seq;
    enum soak_timer_type type;
    uint32_t node, attempt, step;
    tug_job_id job;
    uint64_t version; /* of the piece, life of the node */
    int what;         /* what the node's connection does next; its order */
    int signal;
    uint32_t serial;
    uint32_t grace_s;
};

struct soak_stats {
    uint64_t worlds, events, passes, jobs, preemptions, requeues, suspends, restarts, switches, promises, faults;
};

struct soak {
    /* what it was made from */
    const char *policy; /* "multifactor+easy" */
    const char *dir;    /* of the plugins */
    const char *const *others; /* policies that may take its place */
    size_t n_others;
    uint64_t seed;
    int trace;      /* print what happens */
    int flip_quiet; /* explanations are kept where they would not be, and the other way round */

    struct tug_rand rand;
    struct tug_core *c;
    struct tug_plugset *set;
    int needs_order, needs_expected;
    struct tug_core_conf conf, first_conf; /* first_conf: as it was made */
    struct tug_core_queue queues[SOAK_QUEUES], first_queues[SOAK_QUEUES];
    struct tug_core_node_row rows[SOAK_NODES];
    struct tug_core_account accounts[SOAK_ACCOUNTS];
    struct tug_core_domain domains[3];
    struct tug_core_level levels[2];
    struct tug_machine *machines[3]; /* kinds of nodes; NULL: nobody knows */
    char names[SOAK_NODES][16], lists[4][32];
    uint32_t largest_preempt_max;

    /* of what kind it is */
    int late;     /* nodes take their time */
    int faulty;   /* things go wrong */
    int switches; /* the set of policies changes */
    int asks;     /* jobs ask something of the fabric */
    int programs; /* nodes have a prolog and an epilog */
    int exact;    /* nothing is as it was not expected to be */
    uint32_t jobs_to_come, burst_ms;

    int64_t now;
    struct soak_node nodes[SOAK_NODES];
    struct tug_vec(struct soak_job) jobs;
    struct tug_vec(struct soak_share) shares;
    struct tug_vec(struct soak_usage) records; /* of usage */
    struct tug_vec(struct tug_job) stored;     /* records of jobs, by id */
    struct tug_vec(struct soak_timer) timers;  /* a heap */
    uint64_t seq, versions;
    int pass_is_due, calm;
    uint32_t used[SOAK_QUEUES]; /* GPUs, after the last event */
    int64_t pass_ms;
    uint32_t passes_now; /* so many at pass_ms */
    uint64_t digest;     /* of all decisions */
    struct soak_stats n;
};

/* Prints what is wrong and the command that has it happen again, and ends the process. */
void soak_fail(const struct soak *s, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
#define soak_holds(s, cond, ...)            \
    do {                                    \
        if (!(cond))                        \
            soak_fail((s), __VA_ARGS__);    \
    } while (0)

static inline uint32_t soak_dice(struct soak *s, uint32_t n)
{
    return (uint32_t) tug_rand_below(&s->rand, n);
}

/* soakworld.c */
void soak_run(struct soak *s); /* from policy, dir, others, seed: all of a world's life; fills n and digest */
int soak_event(struct soak *s, struct tug_event ev);
void soak_at(struct soak *s, int64_t at_ms, struct soak_timer t);

/* soakmake.c */
void soak_make_world(struct soak *s);
struct tug_plugset *soak_open_set(struct soak *s, const char *policy); /* NULL: not in this world */
struct tug_job_req soak_make_req(struct soak *s);
int64_t soak_make_work(struct soak *s, struct tug_job_req *r); /* ms; sets its limit */
void soak_change_conf(struct soak *s);
/* Would it run if it were alone, in that configuration? */
int soak_could_run(const struct soak *s, const struct tug_core_conf *conf, const struct tug_job_req *r);

/* soaknode.c */
void soak_node_order(struct soak *s, const struct tug_action *a); /* is sent one */
void soak_node_takes(struct soak *s, const struct soak_timer *t); /* it arrives */
void soak_node_piece(struct soak *s, const struct soak_timer *t); /* its time has come */
void soak_node_fails(struct soak *s, uint32_t node);              /* and comes back, some time */
void soak_node_next(struct soak *s, const struct soak_timer *t);
void soak_node_come(struct soak *s, uint32_t node, int rebooted);
void soak_node_lose(struct soak *s, uint32_t node); /* its connection only */

/* soakcheck.c */
void soak_check_event(struct soak *s, const char *after); /* what holds always */
void soak_check_pass(struct soak *s, int rc, const struct tug_pass_stats *st, const struct tug_err *err);
void soak_check_usage(struct soak *s);
void soak_check_action(struct soak *s, const struct tug_action *a);
void soak_check_restart(struct soak *s, const struct tug_core *again);
void soak_check_end(struct soak *s, uint64_t passes, uint64_t jobs);
void soak_check_launch(struct soak *s, const struct soak_node *n, const struct soak_piece *p);
void soak_forget_used(struct soak *s); /* limits may have changed */
void soak_half_life_changes(struct soak *s, int64_t was_ms);

#endif
