/* estimate.c - a job's run time as somebody might predict it. Layer: sim. */
#include "sim/estimate.h"

#include <stddef.h>

#include "base/rand.h"

static const struct {
    double up_to; /* of all predictions */
    double from, to;
} bands[] = {{0.1, 1, 1.1}, {0.5, 1.1, 1.5}, {0.7, 1.5, 2}, {0.9, 2, 10}, {1, 10, 100}};

int64_t tug_estimate_noisy(int64_t truth, const char *id, uint64_t seed)
{
    uint64_t h = 14695981039346656037ULL; /* FNV-1a */
    for (; *id; id++)
        h = (h ^ (unsigned char) *id) * 1099511628211ULL;
    struct tug_rand r = tug_rand_seed(h ^ (seed * 0x9e3779b97f4a7c15ULL));
    double which = tug_rand_double(&r), where = tug_rand_double(&r);
    size_t b = 0;
    while (which >= bands[b].up_to)
        b++;
    double factor = bands[b].from + where * (bands[b].to - bands[b].from);
    double out = tug_rand_u64(&r) >> 63 ? (double) truth * factor : (double) truth / factor;
    if (out >= 4e18)
        return INT64_C(4000000000000000000);
    return out < 1 ? 1 : (int64_t) (out + 0.5);
}
