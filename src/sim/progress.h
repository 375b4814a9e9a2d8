/* progress.h - how far a simulation is, on a terminal, and a way to end it early. Layer: sim. */
#ifndef TUG_SIM_PROGRESS_H
#define TUG_SIM_PROGRESS_H

#include <stdint.h>

#include "sim/sim.h"

struct tug_progress {
    int shown; /* draw anything at all */
    int drawn; /* a line stands there */
    double began_s, last_s;
    int64_t first_ms; /* simulated, when it began; -1 = not yet */
};

/* From now on SIGINT ends the simulation at its next look, and a second one the process. */
void tug_progress_begin(struct tug_progress *p, int shown);
/* struct tug_sim_conf.go_on, with the struct as context: 1 after SIGINT. */
int tug_progress_look(void *progress, const struct tug_sim_progress *at);
void tug_progress_end(struct tug_progress *p); /* leaves the line empty */

#endif
