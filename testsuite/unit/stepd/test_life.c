/* test_life.c - whole steps: real step daemons, real ranks, played node daemons */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "stepd/stepdrive.h"

static void print_time(const char *what, const struct drive *d)
{
    printf("# %s: %llu ms from first step daemon to last result\n", what,
           (unsigned long long) (d->ended_ms - d->began_ms));
}

static void all_exits_zero(const struct drive *d)
{
    for (unsigned i = 0; i < d->n_nodes; i++)
        for (size_t k = 0; k < d->nodes[i].result->n_exits; k++) {
            ck_assert_int_eq(d->nodes[i].result->exits[k]->exit_code, 0);
            ck_assert_int_eq(d->nodes[i].result->exits[k]->signal, 0);
        }
}

/* ---- what tests wait for ---- */

static bool head_has_result(struct drive *x)
{
    return x->nodes[0].result != NULL;
}

static bool rank_2_is_up(struct drive *x)
{
    return strstr(drive_output(x), "2: up") != NULL;
}

static bool two_have_results(struct drive *x)
{
    return x->nodes[0].result && x->nodes[1].result;
}

static bool ranks_0_and_1_are_up(struct drive *x)
{
    const char *o = drive_output(x);
    return (strstr(o, "0: up") && strstr(o, "1: up"));
}

static bool rank_1_is_up(struct drive *x)
{
    return strstr(drive_output(x), "1: up") != NULL;
}

static bool node_1_called_again(struct drive *x)
{
    return x->nodes[1].n_hellos == 2 && x->nodes[1].ready;
}

static bool two_results_came(struct drive *x)
{
    return x->nodes[0].n_results >= 2;
}

static bool terminal_shows_out_0(struct drive *x)
{
    return x->run_conn && strstr(tug_buf_str(&x->run_out[1]), "out 0");
}

static bool terminal_heard_the_end(struct drive *x)
{
    return x->run_done != NULL;
}

static bool terminal_shows_both_up(struct drive *x)
{
    return strstr(tug_buf_str(&x->run_out[1]), "<0>up") && strstr(x->run_out[1].data, "<1>up");
}

static bool terminal_shows_1_up(struct drive *x)
{
    return strstr(tug_buf_str(&x->run_out[1]), "<1>up") != NULL;
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

/* ---- failures ---- */

static void gone_within_two_seconds(const struct drive *d)
{
    ck_assert_msg(d->ended_ms - d->failed_ms <= 2000,
                  "the gang was gone %llu ms after the first failure",
                  (unsigned long long) (d->ended_ms - d->failed_ms));
}

START_TEST(a_rank_that_exits_with_7_ends_the_gang_and_is_named)
{
    struct drive *d = drive_new(2, 2);
    const Tugpb__Cause *c;
    drive_argv(d, "sh", "-c", "test $RANK = 3 && exit 7; exec sleep 1000", NULL);
    drive_run(d);
    c = drive_cause(d);
    ck_assert_ptr_nonnull(c);
    ck_assert_str_eq(c->text, "rank 3 on node n01 exited with code 7");
    ck_assert_str_eq(c->kind, "rank");
    ck_assert_uint_eq(c->rank, 3);
    ck_assert_str_eq(c->node, "n01");
    ck_assert_int_eq(c->exit->exit_code, 7);
    ck_assert_ptr_nonnull(d->nodes[0].failure); /* the early word comes from the head */
    ck_assert_int_eq(d->nodes[1].result->exits[1]->exit_code, 7);
    ck_assert_int_eq(d->nodes[0].result->exits[0]->signal, SIGTERM);
    gone_within_two_seconds(d);
    drive_free(d);
}
END_TEST

START_TEST(ranks_that_ignore_sigterm_are_gone_within_two_seconds_too)
{
    struct drive *d = drive_new(2, 2);
    d->pay.kill_grace_s = 30;
    drive_argv(d, "sh", "-c",
               "test $RANK = 0 && { sleep 0.1; exit 1; }; trap '' TERM; while :; do sleep 1; done",
               NULL);
    drive_run(d);
    ck_assert_str_eq(drive_cause(d)->text, "rank 0 on node n00 exited with code 1");
    ck_assert_int_eq(d->nodes[1].result->exits[0]->signal, SIGKILL);
    gone_within_two_seconds(d);
    drive_free(d);
}
END_TEST

START_TEST(a_rank_that_crashes_is_named_with_its_signal)
{
    struct drive *d = drive_new(2, 1);
    drive_argv(d, "sh", "-c", "test $RANK = 1 && kill -SEGV $$; exec sleep 1000", NULL);
    drive_run(d);
    ck_assert_int_eq(drive_cause(d)->exit->signal, SIGSEGV);
    ck_assert_ptr_nonnull(strstr(
        drive_cause(d)->text, "rank 1 on node n01 was killed by signal 11 (Segmentation fault)"));
    gone_within_two_seconds(d);
    drive_free(d);
}
END_TEST

START_TEST(a_command_that_does_not_exist_fails_as_in_a_shell)
{
    struct drive *d = drive_new(2, 2);
    drive_argv(d, "/bin/nonexistent", NULL);
    drive_run(d);
    ck_assert_int_eq(drive_cause(d)->exit->exit_code, 127);
    ck_assert_ptr_nonnull(
        strstr(drive_cause(d)->text, "command '/bin/nonexistent' does not exist on node n0"));
    drive_free(d);

    d = drive_new(1, 1);
    drive_argv(d, "no-such-program", NULL);
    drive_run(d);
    ck_assert_int_eq(drive_cause(d)->exit->exit_code, 127);
    ck_assert_str_eq(drive_cause(d)->text,
                     "command 'no-such-program' not found in PATH on node n00");
    drive_free(d);

    d = drive_new(1, 1);
    drive_argv(d, "/etc/passwd", NULL);
    drive_run(d);
    ck_assert_int_eq(drive_cause(d)->exit->exit_code, 126);
    ck_assert_ptr_nonnull(strstr(drive_cause(d)->text, "command '/etc/passwd' is not executable"));
    drive_free(d);
}
END_TEST

START_TEST(an_output_file_that_cannot_be_made_fails_before_the_start)
{
    struct drive *d = drive_new(2, 1);
    drive_argv(d, "true", NULL);
    d->spec.stdout_path = "no/such/dir/out";
    drive_start(d);
    drive_until(d, head_has_result, "a result of the head");
    ck_assert_str_eq(d->nodes[0].result->cause->kind, "output");
    ck_assert_ptr_nonnull(
        strstr(d->nodes[0].result->cause->text,
               "no/such/dir' does not exist; create it or choose another --output"));
    ck_assert_uint_eq(d->nodes[0].result->n_exits, 0);
    ck_assert_ptr_nonnull(d->nodes[0].failure);
    ck_assert_ptr_null(d->nodes[0].ready);
    drive_free(d);
}
END_TEST

START_TEST(a_working_directory_that_is_missing_fails_before_the_start)
{
    struct drive *d = drive_new(1, 1);
    drive_argv(d, "true", NULL);
    d->spec.cwd = "/no/such/dir";
    drive_run(d);
    ck_assert_str_eq(drive_cause(d)->kind, "launch");
    ck_assert_ptr_nonnull(
        strstr(drive_cause(d)->text,
               "cannot enter working directory '/no/such/dir' on node n00: No such file"));
    drive_free(d);
}
END_TEST

START_TEST(a_lost_node_ends_the_gang_and_is_named)
{
    struct drive *d = drive_new(3, 1);
    drive_argv(d, "sh", "-c", "echo up; exec sleep 1000", NULL);
    drive_start(d);
    drive_until(d, rank_2_is_up, "rank 2 runs");
    kill(d->nodes[2].pid, SIGKILL);
    drive_until(d, two_have_results, "results of the others");
    for (int i = 0; i < 2; i++) {
        ck_assert_str_eq(d->nodes[i].result->cause->kind, "node");
        ck_assert_str_eq(d->nodes[i].result->cause->node, "n02");
    }
    drive_free(d);
}
END_TEST

static bool rank_3_is_up(struct drive *x)
{
    return strstr(drive_output(x), "3: up") != NULL;
}

START_TEST(two_nodes_that_do_not_reach_each_other_are_named_when_a_rank_fails)
{
    struct drive *d = drive_new(4, 1);
    d->blind = 2;
    d->unseen = 3;
    drive_argv(d, "sh", "-c", "echo up; while ! test -e go; do sleep 0.01; done; test $RANK != 1 || exit 7; exec sleep 1000", NULL);
    drive_start(d);
    drive_until(d, rank_3_is_up, "rank 3 runs"); /* and its step daemon has joined the head */
    drive_until(d, rank_2_is_up, "rank 2 runs");
    drive_until(d, rank_1_is_up, "rank 1 runs");
    drive_touch(d, "go");
    drive_until(d, drive_all_results, "results");
    ck_assert_str_eq(drive_cause(d)->kind, "link");
    ck_assert_str_eq(drive_cause(d)->node, "n02");
    ck_assert_str_eq(drive_cause(d)->peer, "n03");
    ck_assert_int_eq(d->nodes[1].result->exits[0]->exit_code, 7);
    drive_free(d);
}
END_TEST

/* ---- the node daemon ---- */

START_TEST(a_kill_from_the_node_daemon_is_obeyed_with_its_grace)
{
    struct drive *d = drive_new(2, 1);
    Tugpb__SdKill m = TUGPB__SD_KILL__INIT;
    drive_argv(d, "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done",
               NULL);
    drive_start(d);
    drive_until(d, ranks_0_and_1_are_up, "both run");
    m.grace_s = 10;
    m.why = "cancelled by tester";
    drive_send(d, 1, TUG_MSG_SD_KILL, &m.base); /* one node is enough */
    drive_until(d, drive_all_results, "results");
    ck_assert_str_eq(drive_cause(d)->kind, "cancel");
    ck_assert_str_eq(drive_cause(d)->text, "cancelled by tester");
    ck_assert_ptr_nonnull(strstr(drive_output(d), "0: bye\n"));
    ck_assert_ptr_nonnull(strstr(drive_output(d), "1: bye\n"));
    drive_free(d);
}
END_TEST

START_TEST(a_kill_at_the_barrier_ends_a_step_that_never_ran)
{
    struct drive *d = drive_new(2, 1);
    Tugpb__SdKill m = TUGPB__SD_KILL__INIT;
    d->no_start = true;
    drive_argv(d, "true", NULL);
    drive_start(d);
    drive_until(d, drive_all_ready, "all are ready");
    m.why = "not all nodes were ready";
    for (int i = 0; i < 2; i++)
        drive_send(d, i, TUG_MSG_SD_KILL, &m.base);
    drive_until(d, drive_all_results, "results");
    ck_assert_uint_eq(d->nodes[0].result->n_exits, 0);
    drive_until(d, drive_all_gone, "step daemons end");
    drive_free(d);
}
END_TEST

START_TEST(a_node_daemon_that_comes_back_finds_its_step_and_hears_all_of_it)
{
    struct drive *d = drive_new(2, 1);
    drive_argv(d, "sh", "-c", "echo up; while ! test -e go; do sleep 0.01; done; echo done", NULL);
    drive_start(d);
    drive_until(d, rank_1_is_up, "rank 1 runs");
    drive_deaf(d, 1);
    drive_forget_ready(d, 1);
    drive_listen(d, 1);
    drive_until(d, node_1_called_again, "it calls again");
    ck_assert_int_eq(d->nodes[1].phase, TUGPB__STEP_PHASE__STEP_RUNNING);
    drive_deaf(d, 1); /* and hears of the end only later */
    drive_touch(d, "go");
    drive_until(d, head_has_result, "result of the head");
    drive_listen(d, 1);
    drive_until(d, drive_all_results, "the result comes after all");
    ck_assert_ptr_null(drive_cause(d));
    /* What it said when it called: its ranks were over; whether the output was, is a race. */
    ck_assert_int_ge(d->nodes[1].phase, TUGPB__STEP_PHASE__STEP_ENDING);
    drive_until(d, drive_all_gone, "step daemons end");
    drive_free(d);
}
END_TEST

START_TEST(a_result_is_repeated_until_it_is_acknowledged)
{
    struct drive *d = drive_new(1, 1);
    d->no_ack = true;
    drive_argv(d, "true", NULL);
    drive_start(d);
    drive_until(d, two_results_came, "a second result");
    ck_assert(!drive_all_gone(d));
    d->no_ack = false;
    drive_until(d, drive_all_gone, "it ends once acknowledged");
    drive_free(d);
}
END_TEST

START_TEST(nothing_survives_the_step)
{
    struct drive *d = drive_new(1, 1);
    pid_t left;
    drive_argv(d, "sh", "-c", "setsid sh -c 'echo $$ > pid; exec sleep 1000' & sleep 0.2", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    left = (pid_t) atoi(drive_file(d, "pid"));
    ck_assert_int_gt(left, 1);
    ck_assert_msg(kill(left, 0) != 0, "process %d is still there", (int) left);
    drive_free(d);
}
END_TEST

/* ---- batch scripts and `tug run` ---- */

START_TEST(a_batch_script_runs_once_on_the_first_node_of_its_nodes)
{
    struct drive *d = drive_new(2, 2);
    drive_script(d, "#!/bin/bash -e\necho \"$BASH_VERSION\" | cut -c1 | tr 0-9 x\necho args $# $1 "
                    "rank ${RANK-none} tasks $SLURM_NTASKS on $TUG_NODELIST\n");
    drive_argv(d, "one", "two", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    ck_assert_str_eq(drive_output(d), "x\nargs 2 one rank none tasks 4 on n[00-01]\n");
    ck_assert_uint_eq(d->nodes[0].result->n_exits, 1);
    drive_free(d);

    d = drive_new(1, 1);
    drive_script(d, "#!/bin/sh\nexit 3\n");
    drive_run(d);
    ck_assert_str_eq(drive_cause(d)->text, "the batch script on node n00 exited with code 3");
    drive_free(d);

    d = drive_new(1, 1);
    drive_script(d, "#!/no/interpreter\n");
    drive_run(d);
    ck_assert_int_eq(drive_cause(d)->exit->exit_code, 127);
    ck_assert_str_eq(drive_cause(d)->text,
                     "the script's interpreter '/no/interpreter' does not exist on node n00");
    drive_free(d);
}
END_TEST

START_TEST(an_interactive_step_talks_to_its_terminal)
{
    struct drive *d = drive_new(2, 1);
    Tugpb__RunInput in = TUGPB__RUN_INPUT__INIT;
    drive_interactive(d);
    drive_argv(d, "sh", "-c",
               "echo out $RANK; echo err $RANK >&2; if test $RANK = 0; then read line; echo \"got "
               "$line\"; cat; touch go; fi; while ! test -e go; do sleep 0.01; done; exit $RANK",
               NULL);
    drive_start(d);
    drive_until(d, terminal_shows_out_0, "output");
    in.data.data = (uint8_t *) "hello\nmore\n";
    in.data.len = 11;
    in.eof = true;
    tug_conn_send(d->run_conn, TUG_MSG_RUN_INPUT, 0, &in.base);
    drive_until(d, terminal_heard_the_end, "the end");
    drive_until(d, drive_all_results, "results");
    drive_until(d, drive_all_gone, "step daemons end");
    ck_assert_ptr_nonnull(strstr(d->run_out[1].data, "<0>got hello\n"));
    ck_assert_ptr_nonnull(strstr(d->run_out[1].data, "more\n"));
    ck_assert_ptr_nonnull(strstr(d->run_out[1].data, "<1>out 1\n"));
    ck_assert_ptr_nonnull(strstr(d->run_out[2].data, "<0>err 0\n"));
    ck_assert_ptr_nonnull(strstr(d->run_out[2].data, "<1>err 1\n"));
    ck_assert_uint_eq(d->run_done->n_exits, 2);
    ck_assert_int_eq(d->run_done->exits[1]->exit_code, 1);
    ck_assert_str_eq(d->run_done->cause->text, "rank 1 on node n01 exited with code 1");
    drive_free(d);
}
END_TEST

START_TEST(a_signal_from_the_terminal_reaches_ranks_on_all_nodes)
{
    struct drive *d = drive_new(2, 1);
    Tugpb__RunSignal m = TUGPB__RUN_SIGNAL__INIT;
    drive_interactive(d);
    drive_argv(d, "sh", "-c", "trap 'echo usr; exit 0' USR1; echo up; while :; do sleep 0.01; done",
               NULL);
    drive_start(d);
    drive_until(d, terminal_shows_both_up, "both run");
    m.signal = SIGUSR1;
    tug_conn_send(d->run_conn, TUG_MSG_RUN_SIGNAL, 0, &m.base);
    drive_until(d, terminal_heard_the_end, "the end");
    ck_assert_ptr_nonnull(strstr(d->run_out[1].data, "<0>usr"));
    ck_assert_ptr_nonnull(strstr(d->run_out[1].data, "<1>usr"));
    ck_assert_ptr_null(d->run_done->cause);
    drive_free(d);
}
END_TEST

START_TEST(an_interactive_step_ends_when_its_terminal_goes)
{
    struct drive *d = drive_new(2, 1);
    drive_interactive(d);
    drive_argv(d, "sh", "-c", "echo up; exec sleep 1000", NULL);
    drive_start(d);
    drive_until(d, terminal_shows_1_up, "rank 1 runs");
    tug_conn_drop(d->run_conn);
    d->run_conn = NULL;
    drive_until(d, drive_all_results, "results");
    ck_assert_str_eq(drive_cause(d)->kind, "io");
    drive_free(d);
}
END_TEST

UNIT_MAIN("stepd/life", ranks_of_true_on_one_node_end_well, ranks_of_true_on_eight_nodes_end_well,
          a_rank_that_exits_with_7_ends_the_gang_and_is_named,
          ranks_that_ignore_sigterm_are_gone_within_two_seconds_too,
          a_rank_that_crashes_is_named_with_its_signal,
          a_command_that_does_not_exist_fails_as_in_a_shell,
          an_output_file_that_cannot_be_made_fails_before_the_start,
          a_working_directory_that_is_missing_fails_before_the_start,
          a_lost_node_ends_the_gang_and_is_named, two_nodes_that_do_not_reach_each_other_are_named_when_a_rank_fails,
          a_kill_from_the_node_daemon_is_obeyed_with_its_grace,
          a_kill_at_the_barrier_ends_a_step_that_never_ran,
          a_node_daemon_that_comes_back_finds_its_step_and_hears_all_of_it,
          a_result_is_repeated_until_it_is_acknowledged, nothing_survives_the_step,
          a_batch_script_runs_once_on_the_first_node_of_its_nodes,
          an_interactive_step_talks_to_its_terminal,
          a_signal_from_the_terminal_reaches_ranks_on_all_nodes,
          an_interactive_step_ends_when_its_terminal_goes)
