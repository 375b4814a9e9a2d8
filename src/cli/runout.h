/* runout.h - the output of many ranks on one terminal
 *
 * With one rank, or none labelled, bytes pass as they come. With more, whole lines only are let
 * through, so that lines of two ranks never mix; a last line without an end comes when the rank's
 * stream ends. Layer: cli.
 */
#ifndef TUG_CLI_RUNOUT_H
#define TUG_CLI_RUNOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/vec.h"

#define TUG_RUNOUT_LINE_MAX 65536 /* bytes; a longer line is let through in parts */

struct tug_runout {
    bool label; /* "RANK: " before each line */
    uint32_t ntasks;
    struct tug_vec(struct tug_buf) partial; /* [rank * 2 + stream - 1] */
    struct tug_buf ready[2]; /* what to write to stdout and stderr; the caller empties them */
};

void tug_runout_init(struct tug_runout *o, bool label, uint32_t ntasks);
void tug_runout_clear(struct tug_runout *o);
/* stream: 1 stdout, 2 stderr; others and ranks from 'ntasks' on are dropped. */
void tug_runout_data(struct tug_runout *o, uint32_t rank, uint32_t stream, const void *data,
                     size_t n);
/* Lines that have no end yet. */
void tug_runout_end(struct tug_runout *o);

#endif
