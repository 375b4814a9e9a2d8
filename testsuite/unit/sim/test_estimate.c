/* test_estimate.c - how wrong a prediction is, and how often */
#include "unit.h"

#include "sim/estimate.h"

START_TEST(predictions_are_as_wrong_as_the_model_says)
{
    static const struct {
        double within, part;
    } bands[] = {{1.1, 0.1}, {1.5, 0.5}, {2, 0.7}, {10, 0.9}, {100, 1}};
    int n = 20000, inside[5] = {0}, over = 0;
    for (int i = 0; i < n; i++) {
        char id[16];
        snprintf(id, sizeof id, "j%d", i);
        double factor = (double) tug_estimate_noisy(1000000, id, 1) / 1000000;
        over += factor > 1;
        for (int b = 0; b < 5; b++)
            inside[b] += (factor > 1 ? factor : 1 / factor) <= bands[b].within * 1.00001;
    }
    for (int b = 0; b < 5; b++)
        ck_assert_double_eq_tol(inside[b] / (double) n, bands[b].part, 0.015);
    ck_assert_double_eq_tol(over / (double) n, 0.5, 0.015);
}
END_TEST

START_TEST(a_prediction_depends_on_seed_and_name_alone)
{
    int64_t a = tug_estimate_noisy(5000, "a", 1);
    ck_assert_int_ne(tug_estimate_noisy(5000, "b", 1), a);
    ck_assert_int_ne(tug_estimate_noisy(5000, "a", 2), a);
    ck_assert_int_eq(tug_estimate_noisy(5000, "a", 1), a);
    ck_assert_int_eq(tug_estimate_noisy(0, "a", 1), 1);
    for (uint64_t seed = 0; seed < 100; seed++)
        ck_assert_int_le(tug_estimate_noisy(INT64_MAX, "a", seed), INT64_C(4000000000000000000));
}
END_TEST

UNIT_MAIN("sim/estimate", predictions_are_as_wrong_as_the_model_says,
          a_prediction_depends_on_seed_and_name_alone)
