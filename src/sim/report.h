/* report.h - a simulation's figures, for people and for programs. Layer: sim. */
#ifndef TUG_SIM_REPORT_H
#define TUG_SIM_REPORT_H

#include <stdio.h>

#include "sim/sim.h"

struct tug_report { /* what was run, and what came of it; strings are borrowed */
    const char *trace, *policy, *placement, *estimates;
    const struct tug_sim_conf *conf;
    const struct tug_sim_result *result;
    int repeatable; /* leave out wall_s and rss_kib */
    double wall_s;
    long rss_kib;
};

/* 0, or -errno of writing. */
int tug_report_table(FILE *to, const struct tug_report *r);
int tug_report_json(FILE *to, const struct tug_report *r);

#endif
