/* trace.h - jobs out of a trace file, one after the other
 *
 * Two formats, told apart by the first line (or the name .swf), both also compressed with gzip:
 *   CSV   a header with the columns' names, then a job a line. Needed are job_id, submit_s,
 *         duration_s and gpus; user, account, vc_or_queue and limit_s (the user's estimate) are used
 *         when they are there; other columns are passed over. Fields may stand in double quotes;
 *         nothing in a field means that it was not recorded.
 *   SWF   the Standard Workload Format 2.2 (Feitelson's Parallel Workloads Archive): lines that
 *         begin with ';' are comments, of which MaxNodes and MaxProcs are read; every other line
 *         has 18 numbers with blanks in between, -1 = not recorded. Used are 1 job number, 2 submit
 *         time, 4 run time (s), 8 processors that were asked for (or else 5, those it had) as GPUs,
 *         9 run time that was asked for as the limit, 12 user, 15 queue.
 * Lines must be sorted by the submit time: a trace is read as it is used and never held as a whole.
 * Of every job only 11 to 21 bytes stay, to find an id that comes twice. Layer: sim.
 */
#ifndef TUG_SIM_TRACE_H
#define TUG_SIM_TRACE_H

#include <stdint.h>

#include "base/err.h"

/* Seconds above this are refused: sums of ms stay far from overflowing. 317 years. */
#define TUG_TRACE_MAX_S 10000000000LL
/* Of a cluster that is simulated. */
#define TUG_TRACE_NODES_MAX 100000

struct tug_trace; /* opaque: see trace.c */

struct tug_trace_job { /* strings are valid until the next call */
    const char *id, *user, *queue, *account;
    /* ms, or ticks of tug_trace_use_clock(); -1 = not recorded */
    int64_t submit_ms, duration_ms, limit_ms;
    uint32_t gpus;
    uint64_t line;
};

/* Opens the file and reads the header. 0; -errno when it cannot be read; -EINVAL: not a header. */
int tug_trace_open(const char *path, struct tug_trace **out, struct tug_err *err);
void tug_trace_close(struct tug_trace *t);
/* 1 = got one, 0 = no more. -EINVAL: file, line and column are named, and what was expected there;
 * -EIO: the file ends early or cannot be read. */
int tug_trace_next(struct tug_trace *t, struct tug_trace_job *out, struct tug_err *err);
/* From now on times are told in so many ticks a second; 1000 or 1000000. */
void tug_trace_use_clock(struct tug_trace *t, int64_t ticks_per_s);
/* What the line of the last job has in another column of the CSV schema: a text, "" when that is
 * empty or there is no such column. */
const char *tug_trace_text(const struct tug_trace *t, const char *column);
/* The same as a time in ticks (-1 = empty), or as a whole number up to 'max' (0 = empty). */
int tug_trace_time(const struct tug_trace *t, const char *column, int64_t *out,
                   struct tug_err *err);
int tug_trace_number(const struct tug_trace *t, const char *column, uint64_t max, uint64_t *out,
                     struct tug_err *err);
/* -EINVAL: the last job's line has something else in that column than what was expected there, a sentence. */
int tug_trace_wrong(const struct tug_trace *t, const char *column, struct tug_err *err, const char *expected);
const char *tug_trace_path(const struct tug_trace *t);
int tug_trace_has_limits(const struct tug_trace *t);
/* The cluster that the header speaks of; nodes with more GPUs than a node can have become nodes with
 * one. -ENOENT when it does not, -EINVAL when nodes are not alike or too many. */
int tug_trace_cluster(const struct tug_trace *t, uint32_t *nodes, uint32_t *per_node,
                      struct tug_err *err);
/* How much of the file is read, 0..1; 0 when nobody knows. */
double tug_trace_part_read(const struct tug_trace *t);

#endif
