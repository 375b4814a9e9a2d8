/* compare.h - several policies on one trace, side by side
 *
 * Each policy runs in a process of its own, with the options of `tug-sim run`. Layer: sim.
 */
#ifndef TUG_SIM_COMPARE_H
#define TUG_SIM_COMPARE_H

#include <stdio.h>

#include "base/err.h"

/* What `tug-sim run ARGS` does, with the figures into 'dump' and nothing to stdout; the exit
 * status. Called in a child process. */
typedef int tug_compare_run(int argc, char **argv, FILE *dump);

extern const char tug_compare_usage[];

/* argv[0] is "compare". The exit status: 0, 1, 2. What went wrong is on stderr. */
int tug_compare_main(int argc, char **argv, tug_compare_run *run);

#endif
