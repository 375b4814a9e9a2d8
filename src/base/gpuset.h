/* gpuset.h - a set of GPUs of one node
 *
 * GPU i of a node is bit i, in the node's own index order (PCI bus order). At most 64 GPUs a node.
 */
#ifndef TUG_BASE_GPUSET_H
#define TUG_BASE_GPUSET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TUG_GPUS_MAX 64
#define TUG_GPU_MILLI 1000 /* a whole GPU, where it is shared in thousandths */

typedef uint64_t tug_gpuset;

/* In place: without -mpopcnt the compiler's own is a call. */
static inline unsigned tug_gpuset_count(tug_gpuset s)
{
    s -= s >> 1 & 0x5555555555555555ULL;
    s = (s & 0x3333333333333333ULL) + (s >> 2 & 0x3333333333333333ULL);
    s = (s + (s >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
    return (unsigned) (s * 0x0101010101010101ULL >> 56);
}
static inline tug_gpuset tug_gpuset_first_n(unsigned n) { return n >= 64 ? ~0ULL : (1ULL << n) - 1; }

/* The n lowest GPUs of 's'; 0 when it has fewer. */
tug_gpuset tug_gpuset_take_low(tug_gpuset s, unsigned n);
/* "0-3,7" into 'out' (cut to size); returns out. Empty set gives "". */
char *tug_gpuset_format(tug_gpuset s, char *out, size_t size_bytes);
/* -EINVAL: not of the form "0-3,7"; -ERANGE: an index over 63. 'out' untouched on failure. */
int tug_gpuset_parse(const char *text, tug_gpuset *out, struct tug_err *err);

#endif
