/* test_mig.c - names of slices, and what part of a GPU they are */
#include "base/mig.h"
#include "unit.h"

START_TEST(a_profile_is_told_from_a_model_by_how_it_is_spelled)
{
    static const char *const profiles[] = {"1g.5gb", "1g.10gb", "7g.80gb", "1g.10gb+me", "1c.2g.20gb", "2g.48gb+me.all", "1g.24gb-me"};
    static const char *const others[] = {"", "h100", "a100-40gb", "1g", "1g.", "1g.10g", "1g10gb", "0g.5gb", "1c2g.20gb", "1g.10gb x", "g.10gb",
                                         "10gb", "1G.10GB", "1g.10gb:"};
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
        ck_assert_msg(tug_mig_is_profile(profiles[i], strlen(profiles[i])), "%s", profiles[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!tug_mig_is_profile(others[i], strlen(others[i])), "%s", others[i]);
    ck_assert(tug_mig_is_profile("1g.10gb:2", 7));
    ck_assert(!tug_mig_is_profile("1g.10gb+meeeeeeeeeeeeeeeeeeeeeeeee", 34));
}
END_TEST

START_TEST(a_slice_is_the_part_of_a_GPU_that_its_compute_slices_are)
{
    ck_assert_uint_eq(tug_mig_compute("3g.40gb"), 3);
    ck_assert_uint_eq(tug_mig_compute("1c.2g.20gb"), 1);
    ck_assert_uint_eq(tug_mig_compute("h100"), 0);
    ck_assert_uint_eq(tug_mig_micro("1g.10gb", 0), 142857);
    ck_assert_uint_eq(tug_mig_micro("7g.80gb", 7), 1000000);
    ck_assert_uint_eq(tug_mig_micro("2g.12gb", 4), 500000);
    ck_assert_uint_eq(tug_mig_micro("7g.80gb", 4), 1000000);
    ck_assert_uint_eq(tug_mig_micro("1g.5gb", 4000000), 1);
}
END_TEST

START_TEST(GPUs_that_are_cut_are_those_of_the_slices)
{
    struct tug_mig m = {.n = 3, .at = {{1, "1g.10gb"}, {1, "3g.40gb"}, {5, "7g.80gb"}}};
    ck_assert_uint_eq(tug_mig_gpus(&m), 0x22);
    m.n = 0;
    ck_assert_uint_eq(tug_mig_gpus(&m), 0);
}
END_TEST

UNIT_MAIN("base/mig", a_profile_is_told_from_a_model_by_how_it_is_spelled, a_slice_is_the_part_of_a_GPU_that_its_compute_slices_are,
          GPUs_that_are_cut_are_those_of_the_slices)
