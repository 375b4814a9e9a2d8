/* test_bench.c - tug bench: what it reads from a prober, and how it shows figures */
#include "unit.h"

#include "cli/bench.h"

START_TEST(the_best_row_counts_and_the_end_is_known)
{
    struct tug_bench_run r = {0};
    struct tug_bench_row row;
    ck_assert_int_eq(tug_bench_line(&r, "probe 71 nccl 16 2", &row), TUG_BENCH_HEAD);
    ck_assert_uint_eq(r.job, 71);
    ck_assert_str_eq(r.transport, "nccl");
    ck_assert_uint_eq(r.ranks, 16);
    ck_assert_uint_eq(r.nodes, 2);
    ck_assert_int_eq(tug_bench_line(&r, "row 4096 100 2e-05 2.048e+08 3.84e+08", &row), TUG_BENCH_ROW);
    ck_assert_uint_eq(row.bytes, 4096);
    ck_assert_uint_eq(row.times, 100);
    ck_assert_double_eq_tol(row.busbw, 3.84e8, 1);
    tug_bench_line(&r, "row 1048576 10 1e-3 1.05e+09 1.97e+09", &row);
    tug_bench_line(&r, "row 4194304 10 1e-2 4.19e+08 7.86e+08", &row);
    ck_assert_double_eq_tol(r.best, 1.97e9, 1);
    ck_assert(!r.done);
    ck_assert_int_eq(tug_bench_line(&r, "done", &row), TUG_BENCH_DONE);
    ck_assert(r.done);
    ck_assert_uint_eq(r.rows, 3);
}
END_TEST

START_TEST(what_libraries_print_in_between_is_nothing_of_the_prober)
{
    static const char *const others[] = {"",
                                         "NCCL version 2.28.9+cuda13.0",
                                         "row 4096 100 2e-05 2.048e+08 3.84e+08", /* before its head */
                                         "probe 71 nccl 16",
                                         "probe 71 nccl 16 2 x",
                                         "probe 71 averylongname 16 2",
                                         "done"};
    struct tug_bench_run r = {0};
    struct tug_bench_row row;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(tug_bench_line(&r, others[i], &row) == TUG_BENCH_OTHER, "%s", others[i]);
    ck_assert_uint_eq(r.ranks, 0);
}
END_TEST

UNIT_MAIN("cli/bench", the_best_row_counts_and_the_end_is_known,
          what_libraries_print_in_between_is_nothing_of_the_prober)
