/* trace.h - jobs out of a trace file, one after the other
 *
 * Our CSV schema: a header with the columns' names, then a job a line. Needed are job_id, submit_s,
 * duration_s and gpus; user, vc_or_queue and limit_s (the user's own estimate) are used when they
 * are there; other columns are passed over. Fields may stand in double quotes. A file that is
 * compressed with gzip is decompressed on the way. Lines must be sorted by submit_s: a trace is read as it is
 * used and never held as a whole. Of every job only 8 bytes stay, to find an id that comes twice.
 * Layer: sim.
 */
#ifndef TUG_SIM_TRACE_H
#define TUG_SIM_TRACE_H

#include <stdint.h>

#include "base/err.h"

/* Seconds above this are refused: sums of ms stay far from overflowing. 317 years. */
#define TUG_TRACE_MAX_S 10000000000LL

struct tug_trace; /* opaque: see trace.c */

struct tug_trace_job { /* strings are valid until the next call */
    const char *id, *user, *queue;
    int64_t submit_ms, duration_ms;
    int64_t limit_ms; /* -1 = not said */
    uint32_t gpus;
    uint64_t line;
};

/* Opens the file and reads the header. 0; -errno when it cannot be read; -EINVAL: not a header. */
int tug_trace_open(const char *path, struct tug_trace **out, struct tug_err *err);
void tug_trace_close(struct tug_trace *t);
/* 1 = got one, 0 = no more. -EINVAL: file, line and column are named, and what was expected there;
 * -EIO: the file ends early or cannot be read. */
int tug_trace_next(struct tug_trace *t, struct tug_trace_job *out, struct tug_err *err);
const char *tug_trace_path(const struct tug_trace *t);
int tug_trace_has_limits(const struct tug_trace *t);

#endif
