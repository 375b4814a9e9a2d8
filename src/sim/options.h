/* options.h - what tug-sim's command line says about a simulation. Layer: sim. */
#ifndef TUG_SIM_OPTIONS_H
#define TUG_SIM_OPTIONS_H

#include <stdio.h>

#include "host/plugload.h"
#include "sim/catalog.h"
#include "sim/outputs.h"
#include "sim/sim.h"

struct tug_simopts { /* strings are the command line's */
    const char *trace, *policy;
    const char *config;                /* a file, or NULL */
    const char *machine;               /* a name or a file, or NULL */
    struct tug_sheet *sheet;           /* what it is, once it was looked for; owned */
    const char *placement, *estimates; /* as said, or what holds instead */
    struct tug_sim_conf conf;
    int cluster_of_trace;              /* --cluster trace: conf.nodes is still to be filled in */
    struct tug_vec(const char *) dirs; /* where policies are looked for, in this order */
    struct tug_dirs installed;         /* the last of them, owned */
    struct tug_vec(struct tug_plugload_param) params;
    struct tug_vec(struct tug_sim_queue_map) queue_map;
    struct tug_vec(const char *) node_names; /* of a configured cluster, borrowed from it */
    int json;
    struct tug_outputs outputs;
    int repeatable; /* leave out what differs from run to run */
    int progress;   /* 1 = yes, -1 = when somebody looks */
    int help;       /* asked for, and nothing else was looked at */
};

/* argv[0] is passed over. Cuts texts of argv in pieces. 0, or -EINVAL with the option and what it
 * takes. 'out' is to be cleared in any case. */
int tug_simopts_parse(int argc, char **argv, struct tug_simopts *out, struct tug_err *err);
void tug_simopts_clear(struct tug_simopts *o);
/* "consolidate" */
const char *tug_simopts_placement(enum tug_placement p);
/* How it is used, a line for each option. */
void tug_simopts_help(FILE *to);

#endif
