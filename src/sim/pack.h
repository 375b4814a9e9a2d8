/* pack.h - how much of a cluster can be given away: pods come, stay, and are never taken back
 *
 * The experiment of Weng et al. (ATC 2023) on the openb trace: the pods of a list in a random order, and random ones of them
 * again until they want 1.3 times the GPUs there are. Each is tried once, with the core and the policies of every other
 * simulation, and left out when it does not fit. Layer: sim.
 */
#ifndef TUG_SIM_PACK_H
#define TUG_SIM_PACK_H

#include <stdio.h>

/* What follows "pack"; argv[0] names the program. The exit status. */
int tug_pack_main(int argc, char **argv);
extern const char tug_pack_usage[];

#endif
