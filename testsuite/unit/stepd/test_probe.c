/* test_probe.c - a preflight in real step daemons: what its ranks write decides who is named */
#include "unit.h"

#include "stepd/stepdrive.h"

/* Rank 0 of two nodes runs 'script', rank 1 waits. */
static struct drive *fly(const char *script)
{
    struct drive *d = drive_new(2, 1);
    char line[512];

    snprintf(line, sizeof line, "[ $TUG_RANK = 0 ] || exec sleep 600; %s", script);
    d->pay.preflight = 1;
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_PLAIN;
    drive_argv(d, "/bin/sh", "-c", line, NULL);
    drive_run(d);
    ck_assert_ptr_nonnull(drive_cause(d));
    return d;
}

START_TEST(a_node_of_the_gang_that_the_prober_names_is_the_cause_with_its_sentence)
{
    struct drive *d = fly("printf 'n01\\nall-reduce 3 GB/s, floor 8 GB/s\\n' >$TUG_VERDICT; exit 3");
    ck_assert_str_eq(drive_cause(d)->kind, "preflight");
    ck_assert_str_eq(drive_cause(d)->node, "n01");
    ck_assert_str_eq(drive_cause(d)->text, "all-reduce 3 GB/s, floor 8 GB/s");
    ck_assert_int_eq(drive_cause(d)->exit->exit_code, 3);
    drive_free(d);
}
END_TEST

START_TEST(nobody_or_a_stranger_is_no_node_but_the_sentence_stays)
{
    static const char *const names[] = {"-", "elsewhere", ""};
    for (size_t i = 0; i < 3; i++) {
        char script[128];
        snprintf(script, sizeof script, "{ echo '%s'; echo 'all are slow'; } >$TUG_VERDICT; exit 3", names[i]);
        struct drive *d = fly(script);
        ck_assert_str_eq(drive_cause(d)->kind, "rank");
        ck_assert_str_eq(drive_cause(d)->text, "all are slow");
        drive_free(d);
    }
}
END_TEST

START_TEST(a_prober_that_says_nothing_usable_has_failed_like_any_rank)
{
    static const char *const scripts[] = {"exit 5", "printf 'n01' >$TUG_VERDICT; exit 5", "printf 'n01\\n' >$TUG_VERDICT; exit 5",
                                          "mkdir $TUG_VERDICT; exit 5", "ln -s /etc/passwd $TUG_VERDICT; exit 5",
                                          "mkfifo $TUG_VERDICT; exit 5"};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        struct drive *d = fly(scripts[i]);
        ck_assert_str_eq(drive_cause(d)->kind, "rank");
        ck_assert_str_eq(drive_cause(d)->text, "rank 0 on node n00 exited with code 5");
        drive_free(d);
    }
}
END_TEST

START_TEST(a_verdict_of_one_that_ends_well_is_nothing)
{
    struct drive *d = drive_new(1, 1);
    d->pay.preflight = 1;
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_PLAIN;
    drive_argv(d, "/bin/sh", "-c", "printf 'n00\\nslow\\n' >$TUG_VERDICT", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    drive_free(d);
}
END_TEST

START_TEST(ranks_of_a_job_have_no_place_for_a_verdict)
{
    struct drive *d = drive_new(1, 1);
    drive_argv(d, "/bin/sh", "-c", "echo ${TUG_VERDICT-none}", NULL);
    drive_run(d);
    ck_assert_str_eq(drive_output(d), "none\n");
    drive_free(d);
}
END_TEST

UNIT_MAIN("stepd/probe", a_node_of_the_gang_that_the_prober_names_is_the_cause_with_its_sentence,
          nobody_or_a_stranger_is_no_node_but_the_sentence_stays,
          a_prober_that_says_nothing_usable_has_failed_like_any_rank, a_verdict_of_one_that_ends_well_is_nothing,
          ranks_of_a_job_have_no_place_for_a_verdict)
