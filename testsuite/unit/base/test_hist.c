/* test_hist.c - quantiles against a sorted list of the same values */
#include <stdlib.h>

#include "base/hist.h"
#include "base/rand.h"
#include "unit.h"

static int by_size(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *) x, b = *(const uint32_t *) y;
    return (a > b) - (a < b);
}

START_TEST(an_empty_one_says_nothing)
{
    struct tug_hist h = {0};
    ck_assert_uint_eq(tug_hist_quantile(&h, 990), 0);
    ck_assert_uint_eq(tug_hist_quantile(&h, 0), 0);
}
END_TEST

START_TEST(small_values_and_the_largest_are_exact)
{
    struct tug_hist h = {0};
    for (uint32_t i = 0; i < 8; i++)
        tug_hist_add(&h, i);
    ck_assert_uint_eq(tug_hist_quantile(&h, 500), 3);
    ck_assert_uint_eq(tug_hist_quantile(&h, 1000), 7);
    tug_hist_add(&h, UINT32_MAX);
    ck_assert_uint_eq(tug_hist_quantile(&h, 1000), UINT32_MAX);
    ck_assert_uint_eq(h.n, 9);
}
END_TEST

START_TEST(a_quantile_is_never_too_small_and_at_most_an_eighth_too_large)
{
    static const unsigned asked[] = {1, 10, 500, 900, 990, 999, 1000};
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (unsigned round = 0; round < (unsigned) unit_rounds(200); round++) {
        uint32_t v[400];
        size_t n = 1 + tug_rand_below(&r, 400);
        struct tug_hist h = {0}, half[2] = {{0}, {0}};
        for (size_t i = 0; i < n; i++) {
            v[i] = (uint32_t) (tug_rand_below(&r, 1ULL << 32) >> tug_rand_below(&r, 32));
            tug_hist_add(&half[i % 2], v[i]);
        }
        tug_hist_merge(&h, &half[0]);
        tug_hist_merge(&h, &half[1]);
        qsort(v, n, sizeof *v, by_size);
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
            uint32_t is = v[(n * asked[i] + 999) / 1000 - 1], said = tug_hist_quantile(&h, asked[i]);
            ck_assert_uint_ge(said, is);
            ck_assert_uint_le(said, (uint64_t) is + is / 8);
        }
        ck_assert_uint_eq(h.max, v[n - 1]);
    }
}
END_TEST

UNIT_MAIN("base/hist", an_empty_one_says_nothing, small_values_and_the_largest_are_exact,
          a_quantile_is_never_too_small_and_at_most_an_eighth_too_large)
