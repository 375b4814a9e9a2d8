/* test_usage.c - usage with a half-life: the closed form against small steps, and what moving t0
 * leaves as it is */
#include <math.h>

#include "unit.h"

#include "base/rand.h"
#include "core/usage.h"

#define HOUR 3600000LL
#define DAY  (24 * HOUR)

static const struct tug_usage_clock week = {0, 7 * DAY};

static double off_by(double a, double b)
{
    return fabs(a - b) / (fabs(b) + 1e-9);
}

/* What a run counts at now_ms, added up in steps of a second (each in its middle). */
static double in_steps(const struct tug_usage_clock *k, double gpus, int64_t from_ms, int64_t to_ms,
                       int64_t now_ms)
{
    double sum = 0;
    for (int64_t t = from_ms; t < to_ms; t += 1000)
        sum += gpus * exp2(-(double) (now_ms - t - 500) / (double) k->half_life_ms);
    return sum;
}

START_TEST(a_GPU_second_counts_half_after_a_half_life_and_a_quarter_after_two)
{
    struct tug_usage u = {0};
    tug_usage_add(&u, &week, 1000, 0);
    ck_assert_double_eq_tol(tug_usage_now(&u, &week, 0), 1000, 1e-9);
    ck_assert_double_eq_tol(tug_usage_now(&u, &week, 7 * DAY), 500, 1e-9);
    ck_assert_double_eq_tol(tug_usage_now(&u, &week, 14 * DAY), 250, 1e-9);
}
END_TEST

START_TEST(a_run_counts_what_adding_up_its_seconds_gives_while_it_runs_and_afterwards)
{
    struct tug_usage u = {0};
    const int64_t from = 3 * DAY, to = from + 5 * DAY;
    tug_usage_start(&u, &week, 8 * TUG_USAGE_GPU, from);
    for (int64_t now = from + HOUR; now < to; now += DAY)
        ck_assert_double_lt(
            off_by(tug_usage_now(&u, &week, now), in_steps(&week, 8, from, now, now)), 1e-9);
    double before = tug_usage_now(&u, &week, to);
    tug_usage_stop(&u, &week, 8 * TUG_USAGE_GPU, from, to);
    ck_assert_double_lt(off_by(tug_usage_now(&u, &week, to), before), 1e-12);
    ck_assert_double_lt(
        off_by(tug_usage_now(&u, &week, to + 9 * DAY), in_steps(&week, 8, from, to, to + 9 * DAY)),
        1e-9);
}
END_TEST

START_TEST(a_short_run_counts_as_many_GPU_seconds_as_it_took)
{
    struct tug_usage u = {0};
    tug_usage_start(&u, &week, TUG_USAGE_GPU / 10, 40 * DAY);
    tug_usage_stop(&u, &week, TUG_USAGE_GPU / 10, 40 * DAY, 40 * DAY + 10000);
    ck_assert_double_eq_tol(tug_usage_now(&u, &week, 40 * DAY + 10000), 1, 1e-4);
}
END_TEST

START_TEST(a_run_that_is_said_to_end_before_it_began_counts_nothing)
{
    struct tug_usage u = {0};
    tug_usage_start(&u, &week, TUG_USAGE_GPU, DAY);
    tug_usage_stop(&u, &week, TUG_USAGE_GPU, DAY, DAY - 5000);
    ck_assert_double_eq(tug_usage_now(&u, &week, 2 * DAY), 0);
}
END_TEST

/* Many runs at once, t0 moved on the way: the sum stays that of each run by itself. */
START_TEST(many_runs_over_a_hundred_half_lives_are_the_sum_of_each_by_itself)
{
    enum { RUNS = 400 };
    uint64_t seed = unit_seed();
    struct tug_rand rand = tug_rand_seed(seed);
    struct tug_usage_clock k = {0, HOUR};
    struct tug_usage u = {0};
    struct {
        int64_t from_ms, to_ms, rate;
    } runs[RUNS];
    int64_t now = 0;
    size_t moved = 0;
    for (size_t i = 0; i < RUNS; i++) {
        runs[i].from_ms = (int64_t) tug_rand_below(&rand, 100 * (uint64_t) HOUR);
        runs[i].to_ms = runs[i].from_ms + (int64_t) tug_rand_below(&rand, 3 * (uint64_t) HOUR);
        runs[i].rate = (int64_t) (1 + tug_rand_below(&rand, 64)) * TUG_USAGE_GPU;
    }
    for (; now < 104 * HOUR; now += 60000) {
        int64_t far = tug_usage_far(&k, now);
        tug_usage_shift(&u, far);
        k.t0_ms += far * k.half_life_ms;
        moved += far != 0;
        for (size_t i = 0; i < RUNS; i++) { /* told up to a minute late, with the right times */
            if (runs[i].from_ms <= now && runs[i].from_ms > now - 60000)
                tug_usage_start(&u, &k, runs[i].rate, runs[i].from_ms);
            if (runs[i].to_ms <= now && runs[i].to_ms > now - 60000)
                tug_usage_stop(&u, &k, runs[i].rate, runs[i].from_ms, runs[i].to_ms);
        }
    }
    now -= 60000;
    double sum = 0;
    for (size_t i = 0; i < RUNS; i++)
        sum += (double) runs[i].rate / TUG_USAGE_GPU * 3600 / log(2) *
               (exp2(-(double) (now - runs[i].to_ms) / HOUR) -
                exp2(-(double) (now - runs[i].from_ms) / HOUR));
    ck_assert_uint_ge(moved, 2);
    ck_assert_int_eq(u.rate, 0);
    ck_assert_msg(off_by(tug_usage_now(&u, &k, now), sum) < 1e-9, "seed %llu: %.12g, not %.12g",
                  (unsigned long long) seed, tug_usage_now(&u, &k, now), sum);
}
END_TEST

START_TEST(moving_t0_changes_no_figure_by_a_bit)
{
    struct tug_usage_clock k = {0, HOUR};
    struct tug_usage u = {0};
    tug_usage_add(&u, &k, 12345.678, 30 * HOUR);
    double before = tug_usage_now(&u, &k, 40 * HOUR);
    ck_assert_int_eq(tug_usage_far(&k, 32 * HOUR), 0);
    ck_assert_int_eq(tug_usage_far(&k, 40 * HOUR), 40);
    tug_usage_shift(&u, 40);
    k.t0_ms = 40 * HOUR;
    ck_assert_double_eq(tug_usage_now(&u, &k, 40 * HOUR), before);
    tug_usage_shift(&u, INT64_MAX);
    ck_assert_double_eq(tug_usage_now(&u, &k, 40 * HOUR), 0);
}
END_TEST

UNIT_MAIN("core/usage", a_GPU_second_counts_half_after_a_half_life_and_a_quarter_after_two,
          a_run_counts_what_adding_up_its_seconds_gives_while_it_runs_and_afterwards,
          a_short_run_counts_as_many_GPU_seconds_as_it_took,
          a_run_that_is_said_to_end_before_it_began_counts_nothing,
          many_runs_over_a_hundred_half_lives_are_the_sum_of_each_by_itself,
          moving_t0_changes_no_figure_by_a_bit)
