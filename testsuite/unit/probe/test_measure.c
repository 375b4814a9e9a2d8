/* test_measure.c - figures of a prober, on a transport that takes the time it is told to */
#include "unit.h"

#include "probe/probe.h"

/* ---- one rank of several; the others are in the model */

static struct {
    double setup_s, latency_s, bytes_s; /* of this rank: the first one, each one, and how fast */
    double others_s[4];                 /* what the other ranks say, as a factor of this one */
    int n_reduced, n_gathered, fails;
} model;

static int reduce(struct probe_comm *c, size_t bytes, int times, double *seconds, char *why)
{
    (void) c;
    if (model.fails)
        return probe_fail(why, "the cable is out");
    *seconds = times * (model.latency_s + (double) bytes / model.bytes_s) + (model.n_reduced ? 0 : model.setup_s);
    model.n_reduced += times;
    return 0;
}

static int gather(struct probe_comm *c, double mine, double *all, char *why)
{
    (void) why;
    model.n_gathered++;
    all[c->rank] = mine;
    for (int i = 0; i < c->n; i++)
        all[i] = i == c->rank ? mine : mine * model.others_s[i];
    return 0;
}

const struct probe_transport probe_transport = {.name = "model", .reduce = reduce, .gather = gather};

START_TEST(bus_bandwidth_is_what_a_link_carries_whatever_the_number_of_ranks)
{
    /* nccl-tests, doc/PERFORMANCE.md: algbw x 2(n-1)/n */
    ck_assert_double_eq_tol(probe_busbw(100, 2), 100, 1e-9);
    ck_assert_double_eq_tol(probe_busbw(100, 8), 175, 1e-9);
    ck_assert_double_eq_tol(probe_busbw(100, 1), 0, 1e-9);
}
END_TEST

START_TEST(the_first_reduction_does_not_count_and_the_slowest_rank_does)
{
    struct probe_comm c = {.rank = 0, .n = 4};
    struct probe_figure f;
    char why[TUG_WHY_MAX];
    model.setup_s = 5;
    model.latency_s = 0.001;
    model.bytes_s = 1e9;
    model.others_s[1] = 1;
    model.others_s[2] = 4;
    model.others_s[3] = 0.5;
    ck_assert_int_eq(probe_measure(&c, 1000000, &f, why), 0);
    ck_assert_double_eq_tol(f.seconds, 0.008, 1e-9);
    ck_assert_double_eq_tol(f.algbw, 125e6, 1);
    ck_assert_double_eq_tol(f.busbw, 187.5e6, 1);
    ck_assert_int_eq(f.times, 25); /* a fifth of a second, by the slowest */
}
END_TEST

START_TEST(a_very_slow_gang_is_measured_three_times_and_a_very_fast_one_a_thousand)
{
    struct probe_comm c = {.rank = 0, .n = 1};
    struct probe_figure f;
    char why[TUG_WHY_MAX];
    model.latency_s = 2;
    model.bytes_s = 1e12;
    ck_assert_int_eq(probe_measure(&c, 4, &f, why), 0);
    ck_assert_int_eq(f.times, 3);
    model.latency_s = 1e-6;
    ck_assert_int_eq(probe_measure(&c, 4, &f, why), 0);
    ck_assert_int_eq(f.times, 1000);
}
END_TEST

START_TEST(a_failed_reduction_is_the_figure_s_failure)
{
    struct probe_comm c = {.rank = 0, .n = 1};
    struct probe_figure f;
    char why[TUG_WHY_MAX];
    model.fails = 1;
    ck_assert_int_eq(probe_measure(&c, 4, &f, why), -1);
    ck_assert_str_eq(why, "the cable is out");
}
END_TEST

START_TEST(sizes_are_lists_and_ranges_of_whole_floats)
{
    size_t at[8];
    char why[TUG_WHY_MAX] = "";
    ck_assert_int_eq(probe_sizes("4K,1M,16M", at, 8, why), 3);
    ck_assert_uint_eq(at[0], 4096);
    ck_assert_uint_eq(at[1], 1 << 20);
    ck_assert_uint_eq(at[2], 16 << 20);
    ck_assert_int_eq(probe_sizes("4K..1M,4", at, 8, why), 6);
    ck_assert_uint_eq(at[4], 1 << 20);
    ck_assert_uint_eq(at[5], 4);
    ck_assert_int_eq(probe_sizes("1G", at, 8, why), 1);
    ck_assert_uint_eq(at[0], 1u << 30);
}
END_TEST

START_TEST(what_is_no_list_of_sizes_is_refused_with_one_that_is)
{
    static const char *const bad[] = {"",   "0",   "3",      "4K,",    ",4K",  "4X",     "-4",
                                      "4K..", "..4K", "1M..4K", "4K 1M", "0x10", "999999999999G", "4K..1M..4G"};
    size_t at[8];
    char why[TUG_WHY_MAX];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why[0] = '\0';
        ck_assert_msg(probe_sizes(bad[i], at, 8, why) == 0, "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(why, "write 4K,1M,16M"));
    }
    ck_assert_int_eq(probe_sizes("4..64M", at, 8, why), 0);
    ck_assert_str_eq(why, "'4..64M' are more than 8 sizes");
}
END_TEST

UNIT_MAIN("probe/measure", bus_bandwidth_is_what_a_link_carries_whatever_the_number_of_ranks,
          the_first_reduction_does_not_count_and_the_slowest_rank_does,
          a_very_slow_gang_is_measured_three_times_and_a_very_fast_one_a_thousand,
          a_failed_reduction_is_the_figure_s_failure, sizes_are_lists_and_ranges_of_whole_floats,
          what_is_no_list_of_sizes_is_refused_with_one_that_is)
