/* probe.h - the preflight of a job: a prober of ours, and what it says of the gang's nodes. Layer: stepd. */
#ifndef TUG_STEPD_PROBE_H
#define TUG_STEPD_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#include "stepd/payload.h"

struct tug_cause;

/* Where a rank writes its verdict; "" when the step is no preflight. The caller frees. */
char *tug_probe_path(const struct tug_payload *p, unsigned rank);
/* The program beside this one, for a prober that is no path. The caller frees. */
char *tug_probe_program(const char *name);
/* A rank of a preflight has failed: the cause is what it wrote, if it wrote something. It names a node of the
 * gang, then the kind is "preflight", or none. False: it said nothing that can be used. Removes the file. */
bool tug_probe_verdict(const struct tug_payload *p, unsigned rank, const Tugpb__ExitInfo *exit, struct tug_cause *out);

#endif
