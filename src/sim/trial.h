/* trial.h - a policy on canned workloads, watched: what it decides, how long it takes, what it
 * keeps
 *
 * Runs in a process of its own (check.c): the policy may crash, hang or exit there. Layer: sim.
 */
#ifndef TUG_SIM_TRIAL_H
#define TUG_SIM_TRIAL_H

#include <stdint.h>
#include <stdio.h>

#include "base/vec.h"
#include "host/plugload.h"

enum tug_trial_mark { TUG_TRIAL_PASS, TUG_TRIAL_WARN, TUG_TRIAL_FAIL };

/* What the parent sees of a trial while it goes on, in memory that both have. */
struct tug_trial_view {
    volatile uint64_t moves;   /* counts up as long as anything happens */
    volatile uint64_t calls;   /* of the hook */
    const char *volatile hook; /* under way, "" = none; literals, the same in both processes */
    const char *volatile workload;
    volatile double hook_s; /* in all hooks so far */
    volatile uint64_t passes;
    volatile int done;
};

struct tug_trial_conf {
    const char *name;
    const char *const *dirs;
    size_t n_dirs;
    const struct tug_plugload_param *params;
    size_t n_params;
    double pass_limit_s;
    struct tug_trial_view *view;
    /* A finding: which check, and a sentence. */
    void (*say)(void *say_ctx, enum tug_trial_mark mark, const char *check, const char *text);
    void *say_ctx;
};

/* All of it; whatever is wrong is said. */
void tug_trial_run(const struct tug_trial_conf *conf);

#endif
