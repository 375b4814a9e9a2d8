/* usage.c - how much was used, where what is long ago counts for less
 *
 * See usage.h for the sums. Layer: core.
 */
#include "core/usage.h"

#include <math.h>

#define LN2             0.69314718055994530942
#define FAR_HALF_LIVES  32
#define NOTHING_IS_LEFT 2000 /* half-lives after which a double is 0 */

static double half_lives(const struct tug_usage_clock *k, int64_t from_ms, int64_t to_ms)
{
    return (double) (to_ms - from_ms) / (double) k->half_life_ms;
}

static double gpus(int64_t rate)
{
    return (double) rate / TUG_USAGE_GPU;
}

static double tau_s(const struct tug_usage_clock *k)
{
    return (double) k->half_life_ms / 1000 / LN2;
}

void tug_usage_start(struct tug_usage *u, const struct tug_usage_clock *k, int64_t rate,
                     int64_t at_ms)
{
    u->rate += rate;
    u->paid += gpus(rate) * exp2(half_lives(k, k->t0_ms, at_ms));
}

void tug_usage_stop(struct tug_usage *u, const struct tug_usage_clock *k, int64_t rate,
                    int64_t at_ms, int64_t end_ms)
{
    double start = exp2(half_lives(k, k->t0_ms, at_ms));
    u->rate -= rate;
    u->paid -= gpus(rate) * start;
    if (u->rate == 0)
        u->paid = 0; /* what is left of it is rounding */
    if (end_ms > at_ms)
        u->settled += gpus(rate) * tau_s(k) * (exp2(half_lives(k, k->t0_ms, end_ms)) - start);
}

void tug_usage_add(struct tug_usage *u, const struct tug_usage_clock *k, double gpu_s,
                   int64_t at_ms)
{
    u->settled += gpu_s * exp2(half_lives(k, k->t0_ms, at_ms));
}

static double at_least_0(double v)
{
    return v > 0 ? v : 0;
}

double tug_usage_now(const struct tug_usage *u, const struct tug_usage_clock *k, int64_t now_ms)
{
    double left = exp2(-half_lives(k, k->t0_ms, now_ms));
    return at_least_0(left * (u->settled - tau_s(k) * u->paid) + tau_s(k) * gpus(u->rate));
}

double tug_usage_settled(const struct tug_usage *u, const struct tug_usage_clock *k, int64_t now_ms)
{
    return at_least_0(exp2(-half_lives(k, k->t0_ms, now_ms)) * u->settled);
}

int64_t tug_usage_far(const struct tug_usage_clock *k, int64_t at_ms)
{
    int64_t n = (at_ms - k->t0_ms) / k->half_life_ms;
    return n > FAR_HALF_LIVES ? n : 0;
}

void tug_usage_shift(struct tug_usage *u, int64_t n)
{
    int by = n > NOTHING_IS_LEFT ? NOTHING_IS_LEFT : (int) n;
    u->settled = ldexp(u->settled, -by);
    u->paid = ldexp(u->paid, -by);
}
