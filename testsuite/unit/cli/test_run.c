/* test_run.c - what tug run makes of output, signals and ends; and what tug logs makes of files.
 * Layer: tests. */
#include "unit.h"

#include <errno.h>
#include <signal.h>

#include "base/signame.h"
#include "cli/jobview.h"
#include "cli/loglines.h"
#include "cli/runout.h"
#include "cli/runsig.h"

static void say(struct tug_runout *o, uint32_t rank, const char *text)
{
    tug_runout_data(o, rank, 1, text, strlen(text));
}

START_TEST(one_rank_passes_as_it_comes)
{
    struct tug_runout o;
    tug_runout_init(&o, false, 1);
    say(&o, 0, "50%\r");
    ck_assert_str_eq(tug_buf_str(&o.ready[0]), "50%\r");
    say(&o, 0, "no newline");
    ck_assert_str_eq(tug_buf_str(&o.ready[0]), "50%\rno newline");
    tug_runout_clear(&o);
}
END_TEST

START_TEST(lines_of_several_ranks_never_mix)
{
    struct tug_runout o;
    tug_runout_init(&o, true, 3);
    say(&o, 0, "one ");
    say(&o, 2, "two\nthr");
    ck_assert_str_eq(tug_buf_str(&o.ready[0]), "2: two\n");
    say(&o, 0, "line\n");
    say(&o, 2, "ee");
    say(&o, 3, "there is no such rank\n");
    tug_runout_end(&o);
    ck_assert_str_eq(tug_buf_str(&o.ready[0]), "2: two\n0: one line\n2: three\n");
    ck_assert_str_eq(tug_buf_str(&o.ready[1]), "");
    tug_runout_clear(&o);
}
END_TEST

START_TEST(a_line_without_end_is_let_through_in_parts)
{
    struct tug_runout o;
    char *big = malloc(TUG_RUNOUT_LINE_MAX + 1);
    memset(big, 'x', TUG_RUNOUT_LINE_MAX + 1);
    tug_runout_init(&o, false, 2);
    tug_runout_data(&o, 1, 2, big, TUG_RUNOUT_LINE_MAX);
    ck_assert_uint_eq(o.ready[1].len, 0);
    tug_runout_data(&o, 1, 2, big, 1);
    ck_assert_uint_eq(o.ready[1].len, TUG_RUNOUT_LINE_MAX + 1);
    free(big);
    tug_runout_clear(&o);
}
END_TEST

START_TEST(signals_cancel_while_it_waits_and_are_passed_on_while_it_runs)
{
    struct tug_runsig s = {0};
    ck_assert_int_eq(tug_runsig_on(&s, SIGUSR1, 0, false), TUG_RUNSIG_IGNORE);
    ck_assert_int_eq(tug_runsig_on(&s, SIGTERM, 0, false), TUG_RUNSIG_CANCEL);
    ck_assert_int_eq(s.first, SIGTERM);
    ck_assert_int_eq(tug_runsig_on(&s, SIGTERM, 5000, false), TUG_RUNSIG_LEAVE);
    s = (struct tug_runsig){0};
    ck_assert_int_eq(tug_runsig_on(&s, SIGTERM, 0, true), TUG_RUNSIG_FORWARD);
    ck_assert_int_eq(tug_runsig_on(&s, SIGTERM, 1, true), TUG_RUNSIG_FORWARD);
    ck_assert_int_eq(tug_runsig_on(&s, SIGUSR2, 1, true), TUG_RUNSIG_FORWARD);
    ck_assert_int_eq(s.first, 0); /* the ranks' own end is the exit status */
}
END_TEST

START_TEST(two_interrupts_within_a_second_kill_and_a_third_leaves)
{
    struct tug_runsig s = {0};
    ck_assert_int_eq(tug_runsig_on(&s, SIGINT, 0, true), TUG_RUNSIG_FORWARD);
    ck_assert_int_eq(tug_runsig_on(&s, SIGINT, 1001, true), TUG_RUNSIG_FORWARD);
    ck_assert_int_eq(tug_runsig_on(&s, SIGINT, 2001, true), TUG_RUNSIG_KILL);
    ck_assert_int_eq(tug_runsig_on(&s, SIGUSR1, 2002, true), TUG_RUNSIG_FORWARD);
    ck_assert_int_eq(tug_runsig_on(&s, SIGINT, 9000, true), TUG_RUNSIG_LEAVE);
}
END_TEST

START_TEST(the_exit_status_is_the_code_or_128_and_the_signal)
{
    Tugpb__ExitInfo e = TUGPB__EXIT_INFO__INIT;
    Tugpb__JobView j = TUGPB__JOB_VIEW__INIT;
    j.exit = &e;
    j.state = (char *) "COMPLETED";
    ck_assert_int_eq(tug_jobview_status(&j), 0);
    e.exit_code = 3;
    ck_assert_int_eq(tug_jobview_status(&j), 3);
    e.signal = 9;
    ck_assert_int_eq(tug_jobview_status(&j), 137);
    j.exit = NULL;
    j.state = (char *) "CANCELLED"; /* ended badly, and no rank ever ran */
    ck_assert_int_eq(tug_jobview_status(&j), 1);
}
END_TEST

START_TEST(signals_have_names_both_ways)
{
    struct tug_err err = {0};
    int s = 0;
    ck_assert_int_eq(tug_signame_parse("usr1", &s, &err), 0);
    ck_assert_int_eq(s, SIGUSR1);
    ck_assert_int_eq(tug_signame_parse("SIGTERM", &s, &err), 0);
    ck_assert_int_eq(s, SIGTERM);
    ck_assert_int_eq(tug_signame_parse("9", &s, &err), 0);
    ck_assert_int_eq(s, 9);
    unit_fails(tug_signame_parse("0", &s, &err), -EINVAL, err, "'0' is not a signal");
    unit_fails(tug_signame_parse("65", &s, &err), -EINVAL, err, "'65'");
    ck_assert_str_eq(tug_signal_name(15), "SIGTERM");
    ck_assert_str_eq(tug_signal_name(40), "signal 40");
}
END_TEST

/* ---- files ---- */

static const char *lines(struct tug_loglines *l, const char *text, size_t piece)
{
    for (size_t n = strlen(text), at = 0; at < n; at += piece)
        tug_loglines_data(l, text + at, n - at < piece ? n - at : piece);
    tug_loglines_end(l);
    return tug_buf_str(&l->out);
}

START_TEST(a_ranks_lines_are_found_however_the_file_is_cut_into_reads)
{
    const char *text = "1: a\n11: b\n1: \n1:c\n1x: d\n1: last";
    for (size_t piece = 1; piece < 40; piece++) {
        struct tug_loglines l = {.labelled = true, .rank = 1};
        ck_assert_str_eq(lines(&l, text, piece), "a\n\nlast");
        tug_loglines_clear(&l);
    }
}
END_TEST

START_TEST(the_last_lines_are_kept_in_order)
{
    struct tug_loglines l = {.labelled = true, .rank = TUG_LOGLINES_ALL, .last = 3};
    ck_assert_str_eq(lines(&l, "1\n2\n3\n4\n5\n6\n7\n", 3), "5\n6\n7\n");
    tug_loglines_clear(&l);
    l = (struct tug_loglines){.rank = TUG_LOGLINES_ALL, .last = 9};
    ck_assert_str_eq(lines(&l, "1\n2", 1), "1\n2");
    tug_loglines_clear(&l);
}
END_TEST

START_TEST(a_file_without_labels_is_nobodys)
{
    struct tug_loglines l = {.rank = TUG_LOGLINES_ALL, .json = true};
    ck_assert_str_eq(lines(&l, "1: x\n", 9), "{\"rank\":null,\"text\":\"1: x\"}\n");
    tug_loglines_clear(&l);
}
END_TEST

UNIT_MAIN("cli/run", one_rank_passes_as_it_comes, lines_of_several_ranks_never_mix,
          a_line_without_end_is_let_through_in_parts,
          signals_cancel_while_it_waits_and_are_passed_on_while_it_runs,
          two_interrupts_within_a_second_kill_and_a_third_leaves,
          the_exit_status_is_the_code_or_128_and_the_signal, signals_have_names_both_ways,
          a_ranks_lines_are_found_however_the_file_is_cut_into_reads,
          the_last_lines_are_kept_in_order, a_file_without_labels_is_nobodys)
