/* rand.c - repeatable random numbers
 *
 * The state is never all zero: splitmix64 is a bijection and its counter differs in each word.
 * Layer: base.
 */
#include "base/rand.h"

#include "base/err.h"

static uint64_t splitmix64(uint64_t *x)
{
    uint64_t z = (*x += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

struct tug_rand tug_rand_seed(uint64_t seed)
{
    struct tug_rand r;
    for (int i = 0; i < 4; i++)
        r.s[i] = splitmix64(&seed);
    return r;
}

uint64_t tug_rand_u64(struct tug_rand *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t tug_rand_below(struct tug_rand *r, uint64_t n)
{
    tug_assert(n > 0);
    uint64_t skip = -n % n; /* 2^64 mod n: drawing again below it leaves a multiple of n values */
    uint64_t x;
    do
        x = tug_rand_u64(r);
    while (x < skip);
    return x % n;
}

double tug_rand_double(struct tug_rand *r)
{
    return (double) (tug_rand_u64(r) >> 11) * 0x1.0p-53;
}
