/* demands.h - what jobs of a trace ask of the fabric, of a part of a GPU, and of slices
 *
 * Columns of the CSV schema, called as in the JSON of a job; tug history --trace writes them. One that is not there, or empty,
 * asks for nothing. Layer: sim.
 */
#ifndef TUG_SIM_DEMANDS_H
#define TUG_SIM_DEMANDS_H

#include "core/core.h"
#include "sim/trace.h"

/* Of the last job that was read, into the request; its texts are the trace's until the next one. -EINVAL: file, line and column. */
int tug_sim_demands_read(const struct tug_trace *t, struct tug_job_req *r, struct tug_err *err);
/* Does it ask for anything but a part of a GPU or slices? */
int tug_sim_demands_any(const struct tug_job_req *r);
/* For a cluster that has no fabric: what it asks of one. */
void tug_sim_demands_forget(struct tug_job_req *r);

#endif
