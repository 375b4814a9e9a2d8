/* pairs.c - which pairs of a gang's nodes are tried, and from which end. Layer: stepd. */
#include "stepd/pairs.h"

#define NEAR 128u

size_t tug_pairs_of(unsigned n, unsigned me, unsigned out[TUG_PAIRS_MAX])
{
    size_t found = 0;

    for (unsigned far = 1; far <= n / 2 && found < TUG_PAIRS_MAX; far = far < NEAR ? far + 1 : far * 2) {
        unsigned peer = (me + far) % n;
        int is_others = 2 * far == n && me > peer; /* as far both ways: tried from one end */
        if (peer != 0 && me != 0 && !is_others)
            out[found++] = peer;
    }
    return found;
}
