/* input.h - standard input of the ranks
 *
 * /dev/null, or the job's input file for every rank, or what is typed into `tug run` for rank 0.
 * Layer: stepd.
 */
#ifndef TUG_STEPD_INPUT_H
#define TUG_STEPD_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "stepd/payload.h"

struct event_base;
struct tug_input;

/* 'on_room' when what was put has been read by the rank, after tug_input_full() was true. */
struct tug_input *tug_input_new(struct event_base *base, const struct tug_payload *p,
                                void (*on_room)(void *arg), void *arg);
/* Descriptor 0 for the local-th rank; the caller closes it once the rank runs.
 *   -errno  the input file cannot be read */
int tug_input_rank_fd(struct tug_input *in, unsigned local, struct tug_err *err);
/* For rank 0; nothing happens when it does not read any more. */
void tug_input_put(struct tug_input *in, const void *data, size_t len, bool eof);
bool tug_input_full(const struct tug_input *in);

#endif
