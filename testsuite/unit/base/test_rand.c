/* test_rand.c - the numbers are xoshiro256**'s, repeatable and evenly spread */
#include "unit.h"

#include "base/rand.h"

/* The expected values come from an independent implementation in Python of the algorithms as the
 * authors publish them (prng.di.unimi.it); splitmix64 seeds, xoshiro256** 1.0 runs. */
START_TEST(a_seed_gives_the_published_sequence)
{
    struct tug_rand r = { { 1, 2, 3, 4 } };
    ck_assert_uint_eq(tug_rand_u64(&r), 11520u);
    ck_assert_uint_eq(tug_rand_u64(&r), 0u);
    ck_assert_uint_eq(tug_rand_u64(&r), 1509978240u);
    ck_assert_uint_eq(tug_rand_u64(&r), 1215971899390074240u);
    r = tug_rand_seed(0);
    ck_assert_uint_eq(r.s[0], 0xE220A8397B1DCDAFu);
    ck_assert_uint_eq(r.s[1], 0x6E789E6AA1B965F4u);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_numbers_and_a_copy_forks)
{
    struct tug_rand a = tug_rand_seed(42), b = tug_rand_seed(42), c = tug_rand_seed(43);
    int differ = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t x = tug_rand_u64(&a);
        ck_assert_uint_eq(x, tug_rand_u64(&b));
        differ += x != tug_rand_u64(&c);
    }
    ck_assert_int_gt(differ, 90);
    struct tug_rand fork = a;
    ck_assert_uint_eq(tug_rand_u64(&a), tug_rand_u64(&fork));
}
END_TEST

/* Chi-square with 9 degrees of freedom: over 45 has a probability below 1e-6. */
START_TEST(below_is_even_and_stays_below)
{
    enum { N = 10, DRAWS = 100000 };
    struct tug_rand r = tug_rand_seed(unit_seed());
    double seen[N] = { 0 }, chi = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t x = tug_rand_below(&r, N);
        ck_assert_uint_lt(x, N);
        seen[x]++;
    }
    for (int i = 0; i < N; i++)
        chi += (seen[i] - DRAWS / N) * (seen[i] - DRAWS / N) / (DRAWS / N);
    ck_assert_double_lt(chi, 45);
    ck_assert_uint_eq(tug_rand_below(&r, 1), 0);
}
END_TEST

/* With n = 3 * 2^62 a plain "x % n" would hit the lowest quarter twice as often as the others. */
START_TEST(below_has_no_modulo_bias)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    int low = 0;
    for (int i = 0; i < 30000; i++)
        low += tug_rand_below(&r, 3ull << 62) < 1ull << 62;
    ck_assert_int_gt(low, 9500); /* 10000 expected, sigma 82; with the bias 15000 */
    ck_assert_int_lt(low, 10500);
}
END_TEST

START_TEST(doubles_fill_zero_to_one)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        double x = tug_rand_double(&r);
        ck_assert(x >= 0 && x < 1);
        sum += x;
    }
    ck_assert_double_gt(sum, 49400); /* 50000 expected, sigma 91 */
    ck_assert_double_lt(sum, 50600);
}
END_TEST

UNIT_MAIN("base/rand",
          a_seed_gives_the_published_sequence,
          the_same_seed_gives_the_same_numbers_and_a_copy_forks,
          below_is_even_and_stays_below,
          below_has_no_modulo_bias,
          doubles_fill_zero_to_one)
