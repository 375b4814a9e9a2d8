/* duration.h - lengths of time as people write them
 *
 * Two families, never mixed in one text:
 *   Slurm   minutes  MM:SS  HH:MM:SS  D-HH  D-HH:MM  D-HH:MM:SS     (sbatch(1), --time)
 *   units   90s  5m  2h  3d  1w  1h30m                              (w d h m s, largest first)
 * A bare number means minutes in Slurm's time limits and seconds almost everywhere else, so it is
 * refused unless the caller says TUG_DURATION_BARE_MINUTES. Time limits pass both flags;
 * configuration passes none or TUG_DURATION_ALLOW_INFINITE.
 * In the Slurm forms minutes and seconds after a colon go to 59; the first number, and the hours
 * after "D-", may be larger ("90:00", "0-48").
 */
#ifndef TUG_BASE_DURATION_H
#define TUG_BASE_DURATION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TUG_DURATION_INFINITE INT64_MAX
#define TUG_DURATION_TEXT_MAX 32 /* bytes that hold any formatted duration */

enum tug_duration_flag {
    TUG_DURATION_BARE_MINUTES = 1,   /* "30" is 30 minutes */
    TUG_DURATION_ALLOW_INFINITE = 2, /* "infinite" and "unlimited", in any letter case */
};

/* Read 'text' into seconds, 0 and up. 'err' names the column, the text and what would be right.
 *   -EINVAL  not one of the forms
 *   -ERANGE  does not fit into 63 bits of seconds
 * '*out_s' is untouched on failure. */
int tug_duration_parse(const char *text, unsigned flags, int64_t *out_s, struct tug_err *err);

/* [D-]HH:MM:SS, or "infinite"; a negative length gets a '-' in front. Returns out, cut to size. */
char *tug_duration_format(int64_t s, char *out, size_t size_bytes);

#endif
