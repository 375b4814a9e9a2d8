/* usage.h - how much was used, where what is long ago counts for less
 *
 * A GPU-second that was used t ago counts 2^(-t/H), H being the half-life. So a run of rate r (GPUs) from a to b counts,
 * at time now >= b,
 *     tau * r * (2^(-(now-b)/H) - 2^(-(now-a)/H)),   tau = H / ln 2
 * which is the integral over the run and needs no steps. Of many runs three sums say it all, in units of a fixed time t0:
 *     settled  sum over runs that have ended of tau * r * (2^((b-t0)/H) - 2^((a-t0)/H))
 *     rate     sum of r, and
 *     paid     sum of r * 2^((a-t0)/H), over runs that go on
 *     used(now) = 2^(-(now-t0)/H) * (settled - tau * paid) + tau * rate
 * Starting and ending a run cost two additions, reading one multiplication; nothing has to be touched while time passes.
 * Rates are whole millionths of a GPU, so that nothing is left of them when the last run has ended. Layer: core.
 */
#ifndef TUG_CORE_USAGE_H
#define TUG_CORE_USAGE_H

#include <stdint.h>

#define TUG_USAGE_GPU 1000000 /* rate of one GPU */

struct tug_usage_clock {
    int64_t t0_ms, half_life_ms;
};

struct tug_usage { /* zeroes: nothing was used */
    double settled, paid;
    int64_t rate; /* millionths of a GPU */
};

/* A run of that rate goes on since at_ms. */
void tug_usage_start(struct tug_usage *u, const struct tug_usage_clock *k, int64_t rate,
                     int64_t at_ms);
/* It ended at end_ms; 'at_ms' as it was started. */
void tug_usage_stop(struct tug_usage *u, const struct tug_usage_clock *k, int64_t rate,
                    int64_t at_ms, int64_t end_ms);
/* Count what a record says: so many GPU-seconds of runs that had ended, as they counted at at_ms. */
void tug_usage_add(struct tug_usage *u, const struct tug_usage_clock *k, double gpu_s,
                   int64_t at_ms);
/* GPU-seconds, as they count now: of everything, and of runs that have ended only. Never negative. */
double tug_usage_now(const struct tug_usage *u, const struct tug_usage_clock *k, int64_t now_ms);
double tug_usage_settled(const struct tug_usage *u, const struct tug_usage_clock *k,
                         int64_t now_ms);

/* Powers of two run out of range far from t0. How many whole half-lives to move it so that it is near at_ms; 0 = it is near
 * enough. Every usage of the clock has to be shifted by as many, which loses nothing. */
int64_t tug_usage_far(const struct tug_usage_clock *k, int64_t at_ms);
void tug_usage_shift(struct tug_usage *u, int64_t half_lives);

#endif
