/* rate.h - bandwidths as people write them
 *
 * "50GB/s" is bytes, "400Gb/s" (or "400Gbit/s") is bits: the case of the b tells, as on data sheets.
 * K M G T are powers of 1000. Up to three decimals: "12.5GB/s".
 */
#ifndef TUG_BASE_RATE_H
#define TUG_BASE_RATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TUG_RATE_TEXT_MAX 32 /* bytes that hold any formatted rate */

/* Read 'text' into bytes a second.
 *   -EINVAL  not of that form        -ERANGE  does not fit into 63 bits
 * '*out_bytes_s' is untouched on failure. */
int tug_rate_parse(const char *text, int64_t *out_bytes_s, struct tug_err *err);

/* Exactly, in the largest unit that needs no more than three decimals: "12.5GB/s". Returns out. */
char *tug_rate_format(int64_t bytes_s, char *out, size_t size_bytes);

/* What was measured, in three figures: "12.3 GB/s". Returns out, cut to size. */
char *tug_rate_short(double bytes_s, char *out, size_t size_bytes);

/* "2", "1.25": a number of up to three decimals in thousandths, the whole of text[0..len).
 *   -EINVAL, -ERANGE (over 'max', in thousandths)      '*out' is untouched on failure. */
int tug_milli_parse(const char *text, size_t len, int64_t max, int64_t *out);
/* "1.25". Returns out. */
char *tug_milli_format(int64_t milli, char *out, size_t size_bytes);

#endif
