/* world.h - a small cluster around a core, for tests that speak in events
 *
 * Every event is followed by tug_core_check(): a test that breaks an invariant fails where it
 * happens. Actions are kept as text ("LAUNCH 1.1.0 n0", attempt after the job) until w_said() has
 * been asked for them. Layer: tests.
 */
#ifndef TUG_UNIT_WORLD_H
#define TUG_UNIT_WORLD_H

#include "unit.h"

#include "base/buf.h"
#include "core/core.h"

#define W_NODES_MAX 16

struct world {
    struct tug_core *c;
    struct tug_core_conf conf;
    struct tug_core_queue queues[4];
    struct tug_core_node_row rows[W_NODES_MAX];
    char names[W_NODES_MAX][16];
    const struct tug_machine *machines[W_NODES_MAX]; /* NULL: nothing is known */
    const struct tug_core_mig *mig[W_NODES_MAX];     /* slices; NULL: nothing is cut */
    size_t n_mig[W_NODES_MAX];
    uint32_t prolog_s[W_NODES_MAX], epilog_s[W_NODES_MAX]; /* 0: it has none */
    int64_t now;
    struct tug_buf said;
    struct tug_err err;
    struct tug_pass_stats stats;
    int slow_stops; /* nodes don't say that ranks are stopped as soon as they are told to: w_stopped() does */
};

/* n nodes "n0".. with that many GPUs, 16 CPUs and 64 GiB; queues "all" (default), "short" (60 s),
 * "low" (priority -10), "left" (n0 and n1 only). Launch timeout 30 s, grace 5 s, 3 retries, kept 1
 * h. */
void w_init(struct world *w, uint32_t n, uint32_t gpus);
void w_open(struct world *w); /* (again) from w->conf */
void w_up_all(struct world *w);
void w_clear(struct world *w);

struct tug_job_req
w_req(uint32_t nodes, uint32_t gpus_per_node); /* one task a node, one CPU, queue "all", requeue */
int w_event(struct world *w, struct tug_event ev); /* at w->now; checks and collects actions */
void w_submit(struct world *w, tug_job_id id, struct tug_job_req r); /* must work */
int w_pass(struct world *w);                                         /* built-in order */
int w_pass_with(struct world *w, const struct tug_policy_ops *ops, void *self);
void w_up(struct world *w, uint32_t node, const struct tug_held_step *held, size_t n_held);
void w_down(struct world *w, uint32_t node);
void w_lease_over(struct world *w, uint32_t node);
void w_ready(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node);
void w_failed(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node,
              enum tug_cause_kind kind, const char *text);
void w_done(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node,
            int code); /* all its ranks */
void w_gone(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step,
            uint32_t node); /* killed: no exits */
/* What is left there outlived SIGKILL; no exits, for the reason of a killed step daemon unless the part was being killed. */
void w_stuck(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node, const char *text);
void w_stopped(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node, uint32_t serial);
void w_tick(struct world *w, int64_t at_ms);
void w_run(struct world *w,
           tug_job_id job); /* submit was done: pass, all nodes ready; must be RUNNING */
void w_check(struct world *w);

const struct tug_job *w_job(struct world *w, tug_job_id id); /* must exist */
/* What was said since the last time, one action a line; valid until the next call. */
const char *w_said(struct world *w);
void w_forget(struct world *w);

#define w_is(w, id, STATE)                                                                         \
    ck_assert_msg(w_job(w, id)->state == TUG_JOB_##STATE, "job %d is %s, not " #STATE, (int) (id), \
                  tug_job_state_name(w_job(w, id)->state))
#define w_saw(w, words)                                                                            \
    do {                                                                                           \
        const char *said_ = w_said(w);                                                             \
        ck_assert_msg(strstr(said_, words) != NULL, "\"%s\" was not said, but:\n%s", words,        \
                      said_);                                                                      \
    } while (0)
#define w_said_is(w, words)                                                                        \
    do {                                                                                           \
        const char *said_ = w_said(w);                                                             \
        ck_assert_msg(!strcmp(said_, words), "said:\n%s--- not:\n%s", said_, words);               \
    } while (0)

#endif
