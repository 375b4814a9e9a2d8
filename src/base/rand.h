/* rand.h - repeatable random numbers
 *
 * xoshiro256** 1.0 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021),
 * seeded through splitmix64 as its authors advise. A value: copy it to fork a stream. The same seed
 * gives the same numbers on every machine. Not for keys or tokens.
 */
#ifndef TUG_BASE_RAND_H
#define TUG_BASE_RAND_H

#include <stdint.h>

struct tug_rand {
    uint64_t s[4];
};

struct tug_rand tug_rand_seed(uint64_t seed);
uint64_t tug_rand_u64(struct tug_rand *r);
uint64_t tug_rand_below(struct tug_rand *r, uint64_t n); /* 0..n-1, every one as likely; n > 0 */
double tug_rand_double(struct tug_rand *r);              /* [0, 1), a multiple of 2^-53 */

#endif
