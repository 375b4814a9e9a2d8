/* estimate.h - a job's run time as somebody might predict it
 *
 * The model of HeliosArtifact's philly_estimate: of all predictions 10 % are within 10 % of the
 * truth, 50 % within 50 %, 70 % within 100 %, 90 % within a factor of 10 and all within a factor of
 * 100. Here: a factor is drawn evenly from 1..1.1 for the first tenth, from 1.1..1.5 for those up
 * to a half, then 1.5..2, 2..10 and 10..100; the truth is multiplied or divided by it, either as
 * likely. Layer: sim.
 */
#ifndef TUG_SIM_ESTIMATE_H
#define TUG_SIM_ESTIMATE_H

#include <stdint.h>

/* What is predicted depends on seed and id alone, not on the jobs before. At least 1. */
int64_t tug_estimate_noisy(int64_t truth, const char *id, uint64_t seed);

#endif
