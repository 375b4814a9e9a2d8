/* pattern.h - output file names with %-fields
 *
 *   %j job id   %x job name   %u user   %a attempt   %t rank   %n node index in the gang   %N node name   %% a percent sign
 * A number between % and j, t, n or a pads with zeroes (%4t), at most 10. Other fields stay as they are written.
 * %A is the job id too, as sbatch has it for a job that is no array.
 * (sbatch(1), "filename pattern", gives the same names where it has them.)
 */
#ifndef TUG_BASE_PATTERN_H
#define TUG_BASE_PATTERN_H

#include <stdint.h>

#include "base/buf.h"

#define TUG_PATTERN_DEFAULT "tug-%j.out"

struct tug_pattern_values {
    uint64_t job;
    uint32_t attempt;
    const char *name, *user;
    int64_t rank;                 /* -1: not known here, %t stays */
    int64_t node_index;           /* -1: not known here, %n stays */
    const char *node;             /* NULL: not known here, %N stays */
};

/* Append the pattern with its fields filled in. '/' in a name or user becomes '_'. */
void tug_pattern_expand(struct tug_buf *out, const char *pattern, const struct tug_pattern_values *v);
/* The same, and made absolute: a relative pattern is under 'cwd'. */
void tug_pattern_path(struct tug_buf *out, const char *cwd, const char *pattern, const struct tug_pattern_values *v);
/* Does the pattern name one file per rank (%t) or per node (%n, %N)? */
int tug_pattern_is_split(const char *pattern);

#endif
