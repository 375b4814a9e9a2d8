/* output.h - what ranks print: read from their pipes, and brought to where the user wants it
 *
 * Where: one file of the job, written by the head, lines labelled "RANK: " when there are several
 * ranks; or a file for each node or rank, written where they run; or the terminal of `tug run`,
 * through the head. Lines stay whole; a line without an end leaves after 100 ms. At most 1 MiB a
 * rank waits here. When a target is slow, ranks wait for it as they would for any pipe; when it
 * stands still for a second, their output is dropped until it moves again, and a line says how
 * much. Layer: stepd.
 */
#ifndef TUG_STEPD_OUTPUT_H
#define TUG_STEPD_OUTPUT_H

#include <stdbool.h>

#include "base/err.h"
#include "stepd/payload.h"

struct event_base;
struct tug_output;

/* Ways for output that leaves this process other than to a file. */
enum tug_route { TUG_ROUTE_FILES, TUG_ROUTE_HEAD, TUG_ROUTE_CLIENT, TUG_ROUTES };

struct tug_output_ops {
    void (*send)(void *arg, enum tug_route route, unsigned rank, unsigned stream, const void *data,
                 size_t len);
    size_t (*backlog)(void *arg, enum tug_route route);
    void (*pause_nodes)(void *arg, bool paused); /* head: the files are slow */
};

/* Opens the files of this node, as the user that we are.
 *   -errno  one cannot be opened; 'err' says which, why, and what to do */
int tug_output_open(struct tug_output **out, struct event_base *base, const struct tug_payload *p,
                    const struct tug_output_ops *ops, void *arg, struct tug_err *err);

/* Descriptors 1 and 2 for the local-th rank; close them once it runs (they may be the same one). */
int tug_output_rank_pipe(struct tug_output *o, unsigned local, int fds[2], struct tug_err *err);
/* Head: output of another node's rank. */
void tug_output_take(struct tug_output *o, unsigned rank, unsigned stream, const void *data,
                     size_t len);

/* A line of our own about 'rank' into the job's file, else into a file of this node; nowhere when there is none here. */
void tug_output_note(struct tug_output *o, unsigned rank, const char *line);

/* All pipes of the local ranks are at their end, and what they held was handed on. */
bool tug_output_drained(const struct tug_output *o);
/* Stop reading: somebody keeps a pipe open for too long. */
void tug_output_cut(struct tug_output *o);
/* All that was handed on is in the files of this node. */
bool tug_output_flushed(struct tug_output *o);
/* The first file that could not be written to (a full disk), as a sentence, else "". */
const char *tug_output_trouble(const struct tug_output *o);

#endif
