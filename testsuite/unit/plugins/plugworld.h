/* plugworld.h - a small world for policy plugins: hand-made rows, a host that notes every call, and
 * a clock
 *
 * It is not the core: it does what <tugline/policy.h> promises in the most direct way, so that a
 * plugin can be tried without one. A waiting job's nodes are the first that fit; who is preempted
 * waits again when the pass is over; ends, arrivals and wakes are the only things that happen.
 * Layer: tests.
 */
#ifndef TUG_UNIT_PLUGWORLD_H
#define TUG_UNIT_PLUGWORLD_H

#include "base/buf.h"
#include "host/plugload.h"

#define PLUG_JOBS   4096
#define PLUG_NODES  128
#define PLUG_SLICES 64
#define PLUG_ROWS   64

enum plug_state { PLUG_TO_COME, PLUG_WAITS, PLUG_RUNS, PLUG_OVER };

struct plug_job {
    struct tug_policy_job row;
    enum plug_state state;
    int64_t runs_ms; /* how long it will run in all */
    int64_t end_ms;
    struct tug_policy_slice at[PLUG_SLICES];
};

struct plug_world {
    struct plug_job jobs[PLUG_JOBS];
    size_t n_jobs;
    struct tug_policy_node nodes[PLUG_NODES];
    size_t n_nodes;
    struct tug_policy_queue queues[PLUG_ROWS];
    size_t n_queues;
    struct tug_policy_share shares[PLUG_ROWS];
    size_t n_shares;
    int64_t now_ms, wake_ms;
    struct tug_buf said; /* "start 3, preempt 1 2, reserve 4, " of the last pass */
    int refused;         /* proposals that break a rule */
    int preemptions;
    int keep_running;   /* preempt() only notes */
    int quiet;          /* nobody reads explanations */
    size_t budget;      /* jobs that start() and place() look at in a pass; 0: all */
    uint64_t delays;    /* backfill() of this job would delay a reservation */
    uint64_t explained; /* the last job for which explain() was called, and with what */
    char text[256];
};
extern struct plug_world plug;

/* NULL ends the list of KEY, VALUE pairs. */
void plug_load(const char *name, ...);
/* The same, but creating it fails with a sentence that has these words. */
void plug_load_fails(const char *name, const char *key, const char *value, const char *words);
void plug_unload(void);
const struct tug_policy_ops *plug_ops(void);
void *plug_self(void);

void plug_cluster(uint32_t nodes, uint32_t gpus);
/* Waits from now on; one GPU means one CPU. To be changed by the test before the next pass. */
struct plug_job *plug_submit(const char *user, uint32_t nodes, uint32_t gpus_per_node,
                             int64_t runs_ms);
/* Comes at that time, when plug_run() gets there. */
struct plug_job *plug_plan(int64_t at_ms, uint32_t nodes, uint32_t gpus_per_node,
                           uint32_t gpus_last, int64_t runs_ms);
void plug_end(struct plug_job *j); /* now */
const struct tug_policy_view *plug_view(void);
/* rekey, key, order, pass (else: strictly in order); again while somebody was preempted. */
void plug_pass(void);
/* Until nothing happens any more. */
void plug_run(void);

#endif
