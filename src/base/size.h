/* size.h - amounts of memory as people write them
 *
 * K M G T P are powers of 1024, with or without B or iB and in any letter case: "16G", "16GB" and
 * "16GiB" are the same, as in Slurm's --mem. "512B" is bytes. No fractions: 1536M, not 1.5G.
 */
#ifndef TUG_BASE_SIZE_H
#define TUG_BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TUG_SIZE_TEXT_MAX 24 /* bytes that hold any formatted size */

/* Read 'text' into bytes. A bare number is in units of 'bare_unit_bytes' (1048576 for Slurm's
 * megabytes); 0 refuses it. 'err' names the column, the text and what would be right.
 *   -EINVAL  not of that form
 *   -ERANGE  does not fit into 64 bits of bytes
 * '*out_bytes' is untouched on failure. */
int tug_size_parse(const char *text, uint64_t bare_unit_bytes, uint64_t *out_bytes,
                   struct tug_err *err);

/* For eyes: "16G", "1.5G" (rounded to a tenth), "512B". Returns out, cut to size. */
char *tug_size_format(uint64_t bytes, char *out, size_t size_bytes);

/* Exactly, in the largest unit that divides it: "1536M". tug_size_parse() gives the same number. */
char *tug_size_format_exact(uint64_t bytes, char *out, size_t size_bytes);

#endif
