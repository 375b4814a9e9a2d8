/* check.h - is this policy fit for a cluster? `tug-sim check`, `tug policy check`
 *
 * The policy runs in a child process; that it crashes, hangs or exits there is a finding like
 * others. Layer: sim.
 */
#ifndef TUG_SIM_CHECK_H
#define TUG_SIM_CHECK_H

extern const char tug_check_usage[];

/* argv[0] names the program. 0: nothing failed, 1: something did, 2: wrong usage. */
int tug_check_main(int argc, char **argv);

#endif
