/* test_life.c - whole steps: real step daemons, real ranks, played node daemons */
#include "unit.h"

#include <signal.h>
#include <unistd.h>

#include "stepd/stepdrive.h"

static void print_time(const char *what, const struct drive *d)
{
    printf("# %s: %llu ms from first step daemon to last result\n", what, (unsigned long long) (d->ended_ms - d->began_ms));
}

static void all_exits_zero(const struct drive *d)
{
    for (unsigned i = 0; i < d->n_nodes; i++)
        for (size_t k = 0; k < d->nodes[i].result->n_exits; k++) {
            ck_assert_int_eq(d->nodes[i].result->exits[k]->exit_code, 0);
            ck_assert_int_eq(d->nodes[i].result->exits[k]->signal, 0);
        }
}

START_TEST(ranks_of_true_on_one_node_end_well)
{
    struct drive *d = drive_new(1, 1);
    drive_argv(d, "true", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    ck_assert_uint_eq(d->nodes[0].result->n_exits, 1);
    all_exits_zero(d);
    ck_assert_str_eq(drive_output(d), "");
    print_time("1x1 true", d);
    drive_free(d);
}
END_TEST

START_TEST(ranks_of_true_on_eight_nodes_end_well)
{
    struct drive *d = drive_new(8, 8);
    drive_argv(d, "true", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    all_exits_zero(d);
    print_time("8x8 true", d);
    drive_free(d);
}
END_TEST

UNIT_MAIN("stepd/life", ranks_of_true_on_one_node_end_well, ranks_of_true_on_eight_nodes_end_well)
