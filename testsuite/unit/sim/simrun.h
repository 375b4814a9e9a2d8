/* simrun.h - traces and simulations for tests. Layer: tests. */
#ifndef TUG_UNIT_SIMRUN_H
#define TUG_UNIT_SIMRUN_H

#include "host/plugload.h"
#include "sim/sim.h"

/* A new file that the test leaves to simrun_forget(); its path is valid until then. */
const char *simrun_file(const void *text, size_t len_bytes);
void simrun_forget(void);

/* Jobs as a workload has them: bursts of arrivals, many short jobs and a few long ones, gangs up to
 * the whole cluster of nodes with 8 GPUs. The same seed gives the same text. To be freed. */
char *simrun_generate(uint64_t seed, int jobs, unsigned nodes);

struct tug_plugload *simrun_policy(const char *name, const char *key, const char *value);

#endif
