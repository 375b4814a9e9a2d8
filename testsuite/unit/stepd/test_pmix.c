/* test_pmix.c - ranks that wire up through PMIx: Open MPI and plain PMIx clients */
#include "unit.h"

#include "stepd/stepdrive.h"

#define MPICC  "mpicc -O1 -o '%2$s' '%1$s' >&2"
#define PMIXCC "${CC:-cc} -O1 -o '%2$s' '%1$s' $(pkg-config --cflags --libs pmix) >&2"

static struct drive *with_pmix(unsigned nodes, unsigned tasks)
{
    struct drive *d = drive_new(nodes, tasks);

    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_AUTO;
    return d;
}

/* NULL after saying so when there is no mpicc here. */
static const char *mpi_program(struct drive *d)
{
    const char *program;

    if (system("command -v mpicc >/dev/null 2>&1") != 0) {
        printf("# mpicc is not here (Debian: libopenmpi-dev); not tested\n");
        return NULL;
    }
    program = drive_program(d, "mpisum", MPICC);
    ck_assert_ptr_nonnull(program);
    return program;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *s = strstr(text, what); s; s = strstr(s + 1, what))
        n++;
    return n;
}

static void print_time(const char *what, const struct drive *d)
{
    printf("# %s: %llu ms from first step daemon to last result\n", what,
           (unsigned long long) (d->ended_ms - d->began_ms));
}

START_TEST(mpi_on_two_nodes_has_the_right_size_and_sum)
{
    struct drive *d = with_pmix(2, 2);
    const char *program = mpi_program(d);
    if (program) {
        drive_argv(d, program, NULL);
        drive_run(d);
        ck_assert_msg(!drive_cause(d), "%s\n%s", drive_cause(d)->text, drive_output(d));
        ck_assert_uint_eq(count(drive_output(d), "size 4 sum 10 local 2\n"), 4);
        for (unsigned i = 0; i < 2; i++) {
            ck_assert(d->nodes[i].wired);
            ck_assert_int_gt(d->nodes[i].result->wired_ms, 0);
        }
        print_time("MPI 2x2", d);
    }
    drive_free(d);
}
END_TEST

START_TEST(mpi_on_one_node_needs_no_other)
{
    struct drive *d = with_pmix(1, 4);
    const char *program = mpi_program(d);
    if (program) {
        drive_argv(d, program, NULL);
        drive_run(d);
        ck_assert_msg(!drive_cause(d), "%s\n%s", drive_cause(d)->text, drive_output(d));
        ck_assert_uint_eq(count(drive_output(d), "size 4 sum 10 local 4\n"), 4);
        print_time("MPI 1x4", d);
    }
    drive_free(d);
}
END_TEST

START_TEST(mpi_runs_on_four_nodes_at_addresses_of_their_own)
{
    struct drive *d = with_pmix(4, 2);
    const char *program = mpi_program(d);
    char *addresses[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"};
    d->pay.addresses = addresses;
    if (program) {
        drive_argv(d, program, NULL);
        drive_run(d);
        ck_assert_msg(!drive_cause(d), "%s\n%s", drive_cause(d)->text, drive_output(d));
        ck_assert_uint_eq(count(drive_output(d), "size 8 sum 36 local 2\n"), 8);
        print_time("MPI 4x2", d);
    }
    drive_free(d);
}
END_TEST

START_TEST(a_rank_that_calls_mpi_abort_is_the_cause)
{
    struct drive *d = with_pmix(2, 2);
    const char *program = mpi_program(d);
    if (program) {
        drive_argv(d, program, "abort", "3", NULL);
        drive_run(d);
        ck_assert_ptr_nonnull(drive_cause(d));
        ck_assert_str_eq(drive_cause(d)->kind, "rank");
        ck_assert_uint_eq(drive_cause(d)->rank, 3);
        ck_assert_int_eq(drive_cause(d)->exit->exit_code, 9);
        ck_assert_int_le(d->ended_ms - d->failed_ms, 2000);
    }
    drive_free(d);
}
END_TEST

START_TEST(a_killed_mpi_rank_ends_the_gang_within_two_seconds)
{
    for (int round = 0; round < unit_rounds(3); round++) {
        struct drive *d = with_pmix(2, 2);
        const char *program = mpi_program(d);
        if (program) {
            drive_argv(d, program, "kill", "2", NULL);
            drive_run(d);
            ck_assert_ptr_nonnull(drive_cause(d));
            ck_assert_uint_eq(drive_cause(d)->rank, 2);
            ck_assert_int_eq(drive_cause(d)->exit->signal, 9);
            ck_assert_str_eq(drive_cause(d)->node, "n01");
            ck_assert_int_le(d->ended_ms - d->failed_ms, 2000);
        }
        drive_free(d);
    }
}
END_TEST

START_TEST(a_rank_that_never_wires_up_is_named_after_the_deadline)
{
    struct drive *d = with_pmix(2, 2);
    const char *program = mpi_program(d);
    d->pay.wireup_timeout_s = 1;
    if (program) {
        drive_argv(d, program, "late", "1", NULL);
        drive_run(d);
        ck_assert_ptr_nonnull(drive_cause(d));
        ck_assert_str_eq(drive_cause(d)->kind, "wireup");
        ck_assert_uint_eq(drive_cause(d)->rank, 1);
        ck_assert_ptr_nonnull(
            strstr(drive_cause(d)->text, "rank 1 on node n00 did not call MPI_Init"));
    }
    drive_free(d);
}
END_TEST

START_TEST(a_node_none_of_whose_ranks_wires_up_is_named_after_the_deadline)
{
    struct drive *d = with_pmix(2, 2);
    const char *program = mpi_program(d);
    d->pay.wireup_timeout_s = 2;
    if (program) {
        drive_argv(d, "sh", "-c", "test $NODE_RANK = 0 || exec sleep 1000; exec \"$0\"", program, NULL);
        drive_run(d);
        ck_assert_ptr_nonnull(drive_cause(d));
        ck_assert_str_eq(drive_cause(d)->kind, "wireup");
        ck_assert_uint_eq(drive_cause(d)->rank, 2);
        ck_assert_str_eq(drive_cause(d)->node, "n01");
        ck_assert_ptr_nonnull(strstr(drive_cause(d)->text, "ranks 2-3 on node n01: none of them called MPI_Init"));
    }
    drive_free(d);
}
END_TEST

START_TEST(pmix_clients_put_fence_get_publish_and_look_up_across_nodes)
{
    struct drive *d = with_pmix(3, 2);
    const char *program = drive_program(d, "pmixcli", PMIXCC);
    ck_assert_ptr_nonnull(program);
    drive_argv(d, program, NULL);
    drive_run(d);
    ck_assert_msg(!drive_cause(d), "%s\n%s", drive_cause(d)->text, drive_output(d));
    ck_assert_uint_eq(count(drive_output(d), " of 6 ok\n"), 6);
    print_time("PMIx 3x2", d);
    drive_free(d);
}
END_TEST

START_TEST(a_command_that_uses_no_pmix_is_fine_with_it)
{
    struct drive *d = with_pmix(1, 1);
    drive_argv(d, "true", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    print_time("1x1 true with PMIx", d);
    drive_free(d);
    d = with_pmix(8, 8);
    drive_argv(d, "true", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    ck_assert_int_eq(d->nodes[0].result->wired_ms, 0);
    print_time("8x8 true with PMIx", d);
    drive_free(d);
}
END_TEST

UNIT_MAIN("stepd/pmix", mpi_on_two_nodes_has_the_right_size_and_sum, mpi_on_one_node_needs_no_other,
          mpi_runs_on_four_nodes_at_addresses_of_their_own,
          a_rank_that_calls_mpi_abort_is_the_cause,
          a_killed_mpi_rank_ends_the_gang_within_two_seconds,
          a_rank_that_never_wires_up_is_named_after_the_deadline,
          a_node_none_of_whose_ranks_wires_up_is_named_after_the_deadline,
          pmix_clients_put_fence_get_publish_and_look_up_across_nodes,
          a_command_that_uses_no_pmix_is_fine_with_it)
