/* loglines.h - the lines of a gang's output file, by rank
 *
 * The file of a gang with more than one rank has "RANK: " before each line. Lines without it are
 * notes of the step daemon and belong to nobody. Layer: cli.
 */
#ifndef TUG_CLI_LOGLINES_H
#define TUG_CLI_LOGLINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/vec.h"

#define TUG_LOGLINES_ALL (-1)

struct tug_loglines {
    bool labelled;
    int64_t rank; /* only this one's, label taken off; TUG_LOGLINES_ALL: as they are */
    size_t last;  /* keep only so many; 0 = hand on at once */
    bool json;    /* each line as {"rank":R,"text":"..."} */
    struct tug_buf partial;
    struct tug_buf out;          /* what to show; the caller empties it */
    struct tug_vec(char *) ring; /* the last ones, when 'last' */
    size_t n_lines;              /* that were let through */
};

void tug_loglines_clear(struct tug_loglines *l);
void tug_loglines_data(struct tug_loglines *l, const char *data, size_t n);
/* Hand on what was kept, and from now on everything at once. */
void tug_loglines_release(struct tug_loglines *l);
/* A last line without an end, and what was kept. */
void tug_loglines_end(struct tug_loglines *l);

#endif
