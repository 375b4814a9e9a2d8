/* test_verbs.c - the command as users meet it, against a controller that answers from a script.
 * Layer: tests. */
#include "unit.h"

#include <unistd.h>

#include "cli/fake.h"

#define says(text, words)                                                                          \
    ck_assert_msg(strstr((text), (words)) != NULL, "\"%s\" does not say \"%s\"", (text), (words))
#define says_not(text, words)                                                                      \
    ck_assert_msg(strstr((text), (words)) == NULL, "\"%s\" says \"%s\"", (text), (words))

static void write_file(const char *name, const char *text, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fake_dir(), name);
    FILE *f = fopen(path, "w");
    ck_assert(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
}

/* ---- where the controller is ---- */

START_TEST(no_controller_is_exit_3_and_the_socket_is_named)
{
    fake_start();
    setenv("TUG_SOCKET", "/nonexistent/tugd.sock", 1);
    const char *verbs[] = {"queue",  "show 1", "submit -- true", "run true", "cancel 1",
                           "wait 1", "nodes",  "logs 1",         "history"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        struct ran r = tug("%s", verbs[i]);
        ck_assert_msg(r.status == 3, "tug %s: %d, %s", verbs[i], r.status, r.err);
        says(r.err, "/nonexistent/tugd.sock");
        says(r.err, "tug sandbox start");
    }
    struct ran r = tug("queue --json");
    ck_assert_int_eq(r.status, 3);
    says(json_at(&r, "error.text"), "/nonexistent/tugd.sock");
    r = tug("version --json");
    ck_assert_int_eq(r.status, 0);
    ck_assert_str_eq(json_at(&r, "controller"), "null");
    fake_stop();
}
END_TEST

START_TEST(an_unknown_verb_or_option_is_exit_2_with_the_near_one)
{
    fake_start();
    struct ran r = tug("quue");
    ck_assert_int_eq(r.status, 2);
    says(r.err, "tug queue");
    r = tug("queue --colums=id");
    ck_assert_int_eq(r.status, 2);
    says(r.err, "--columns");
    r = tug("queue -o id,nam --json");
    ck_assert_int_eq(r.status, 2);
    says(json_at(&r, "error.text"), "did you mean name?");
    fake_stop();
}
END_TEST

/* ---- submit ---- */

START_TEST(submit_prints_the_id_and_nothing_else_with_parsable)
{
    fake_start();
    struct ran r = tug("submit -J x -- true");
    ck_assert_int_eq(r.status, 0);
    ck_assert_str_eq(r.out, "Submitted job 81\n");
    r = tug("submit --parsable -J x -- true");
    ck_assert_str_eq(r.out, "81\n");
    r = tug("submit --json -J warn -- true");
    ck_assert_str_eq(json_at(&r, "job"), "81");
    ck_assert_str_eq(json_at(&r, "warnings.0"), "the controller warns");
    fake_stop();
}
END_TEST

START_TEST(a_refusal_is_the_controllers_sentence_and_exit_1)
{
    fake_start();
    struct ran r = tug("submit -J refuse -- true");
    ck_assert_int_eq(r.status, 1);
    ck_assert_str_eq(r.out, "");
    says(r.err, "wider than queue 'main'");
    r = tug("run --json -J refuse true");
    ck_assert_int_eq(r.status, 1);
    ck_assert_str_eq(json_at(&r, "error.code"), "22");
    fake_stop();
}
END_TEST

START_TEST(a_broken_connection_is_tried_again_with_the_same_token)
{
    fake_start();
    struct ran r = tug("submit --parsable -J break -- true");
    ck_assert_msg(r.status == 0, "%s", r.err);
    ck_assert_str_eq(r.out, "81\n");
    says(r.err, "one job, not two");
    fake_stop();
}
END_TEST

START_TEST(a_script_goes_with_its_lines_and_arguments)
{
    const char script[] = "#!/bin/sh\n#SBATCH -N 3 --gres=gpu:h100:4\n#SBATCH -t 10 -q high\n#TUG "
                          "--queue=q2 -t 20\ntrue\n";
    fake_start();
    write_file("s.sh", script, strlen(script));
    struct ran r = tug("submit -J tell -t 30 %s/s.sh a b", fake_dir());
    says(r.err, "kind 0 nodes 3 gpus 4 limit 1800 queue q2 argv 2 script 90");
    says(r.err, "s.sh:3: #SBATCH --qos is not used");
    r = tug("submit -J tell - < %s/s.sh", fake_dir());
    says(r.err, "kind 0 nodes 3 gpus 4 limit 1200 queue q2 argv 0");
    r = tug("submit -J tell -N 2 -- prog a b c");
    says(r.err, "kind 1 nodes 2 gpus 0 limit 0 queue  argv 4 script 0");
    r = tug("submit -J tell --wrap 'echo hi'");
    says(r.err, "kind 0");
    fake_stop();
}
END_TEST

START_TEST(a_script_that_cannot_run_is_refused_before_it_is_sent)
{
    fake_start();
    setenv("TUG_SOCKET", "/nonexistent/x", 1);
    struct ran r = tug("submit %s", fake_dir());
    ck_assert_int_eq(r.status, 1);
    says(r.err, "is a directory");
    r = tug("submit %s/none.sh", fake_dir());
    ck_assert_int_eq(r.status, 1);
    says(r.err, "none.sh: No such file");
    write_file("tug.sh", "#!/bin/sh\n#TUG --bogus\n", 23);
    r = tug("submit %s/tug.sh", fake_dir());
    ck_assert_int_eq(r.status, 2);
    says(r.err, "tug.sh:2: #TUG unknown option --bogus");
    fake_stop();
}
END_TEST

/* ---- listing ---- */

START_TEST(queue_lists_all_pages_and_escapes_what_would_move_the_cursor)
{
    fake_start();
    struct ran r = tug("queue");
    ck_assert_int_eq(r.status, 0);
    says(r.out, "JOB  NAME");
    says(r.out, "n[1-2]");
    says(r.out, "(Resources: needs 2 nodes with 8 free GPUs, 1 has them)");
    says(r.out, "evil\\x1b[31m\\nname");
    says_not(r.out, "\033");
    says(r.out, "1:05"); /* has run for 65 s */
    r = tug("queue --json");
    ck_assert_str_eq(json_at(&r, "jobs.1.id"), "72");
    ck_assert_str_eq(json_at(&r, "jobs.1.name"), "evil\033[31m\nname");
    r = tug("queue -H -o id,state -S -id");
    ck_assert_str_eq(r.out, "72  PD\n71  R\n");
    r = tug("queue -u nobody -H");
    ck_assert_str_eq(r.out, "");
    fake_stop();
}
END_TEST

START_TEST(show_says_why_a_job_waits_and_where_one_sits)
{
    fake_start();
    struct ran r = tug("show 72");
    says(r.out, "Resources: needs 2 nodes");
    r = tug("show 71");
    says(r.out, "n1: GPUs 0-7");
    says(r.out, "ranks 0-1");
    says(r.out, "waiting 30.0 s, launch 5.000 s, run 1:05 so far");
    r = tug("show 76");
    says(r.out, "run 5.000 s so far, suspended 1:00");
    r = tug("show --json 71");
    ck_assert_str_eq(json_at(&r, "job.state"), "RUNNING");
    r = tug("show --json 71 72");
    ck_assert_str_eq(json_at(&r, "1.job.id"), "72");
    r = tug("show --json 71 99");
    ck_assert_int_eq(r.status, 1);
    ck_assert_str_eq(json_at(&r, "error.code"), "2");
    fake_stop();
}
END_TEST

START_TEST(nodes_show_which_gpus_are_in_use)
{
    fake_start();
    struct ran r = tug("nodes");
    says(r.out, "####....");
    says(r.out, "4/8");
    r = tug("nodes n[1-");
    ck_assert_int_eq(r.status, 2);
    fake_stop();
}
END_TEST

/* ---- ends ---- */

START_TEST(wait_hands_on_the_jobs_own_exit_status)
{
    fake_start();
    struct ran r = tug("wait 73");
    ck_assert_int_eq(r.status, 7);
    says(r.err, "rank 2 on n2 exited with code 7");
    r = tug("wait 74 73 --quiet");
    ck_assert_int_eq(r.status, 7);
    ck_assert_str_eq(r.err, "");
    r = tug("wait 71 --timeout 1s --json");
    ck_assert_int_eq(r.status, 1);
    says(json_at(&r, "error.text"), "it is RUNNING");
    fake_stop();
}
END_TEST

START_TEST(cancel_says_what_was_done_and_what_was_refused)
{
    fake_start();
    struct ran r = tug("cancel 71 73");
    ck_assert_int_eq(r.status, 1);
    ck_assert_str_eq(r.out, "Cancelled job 71\n");
    says(r.err, "job 73 is bob's");
    r = tug("cancel --me -s USR1");
    ck_assert_int_eq(r.status, 0);
    ck_assert_str_eq(r.out, "Sent SIGUSR1 to job 71\n");
    r = tug("cancel");
    ck_assert_int_eq(r.status, 2);
    r = tug("cancel 71 --me");
    ck_assert_int_eq(r.status, 2);
    fake_stop();
}
END_TEST

START_TEST(verbs_that_do_something_to_jobs_take_ids_or_options_that_choose_them)
{
    fake_start();
    struct ran r = tug("requeue 71 72");
    ck_assert_int_eq(r.status, 0);
    ck_assert_str_eq(r.out, "Requeued job 71\nRequeued job 72\n");
    r = tug("requeue -t R,SUSPENDING -u bob");
    ck_assert_str_eq(r.out, "Requeued job 71\nRequeued job 72\n");
    r = tug("requeue --me");
    ck_assert_int_eq(r.status, 0);
    ck_assert_str_eq(r.out, "");
    says(r.err, "no job is like that");
    r = tug("requeue 71 --me");
    ck_assert_int_eq(r.status, 2);
    says(r.err, "not both");
    r = tug("requeue");
    ck_assert_int_eq(r.status, 2);
    says(r.err, "nothing says which jobs; tug requeue JOB...");
    r = tug("requeue 71.2"); /* only cancel knows steps */
    ck_assert_int_eq(r.status, 2);
    r = tug("cancel 71.0");
    says(r.err, "steps are numbers from 1");
    r = tug("cancel 71.2 72");
    says(r.err, "must be the only word");
    fake_stop();
}
END_TEST

START_TEST(hold_and_release_say_what_is_so_now_and_what_was_before)
{
    fake_start();
    struct ran r = tug("hold 71 72");
    ck_assert_int_eq(r.status, 0);
    ck_assert_str_eq(r.out, "Held job 71\n");
    says(r.err, "job 72 is held already");
    r = tug("hold 72");
    ck_assert_int_eq(r.status, 0);
    ck_assert_ptr_null(strstr(r.err, "no job is like that"));
    r = tug("release 72 73");
    ck_assert_int_eq(r.status, 1);
    ck_assert_str_eq(r.out, "Released job 72\n");
    says(r.err, "job 73 is over already (FAILED)");
    r = tug("hold --me -t PENDING");
    ck_assert_int_eq(r.status, 0);
    says(r.err, "no job is like that; nothing was done");
    r = tug("release --why now 72"); /* of a hold only */
    ck_assert_int_eq(r.status, 2);
    r = tug("hold 71 --json");
    ck_assert_str_eq(json_at(&r, "changed.0"), "71");
    r = tug("requeue --hold 71");
    ck_assert_str_eq(r.out, "Requeued job 71, held\n");
    fake_stop();
}
END_TEST

START_TEST(logs_choose_ranks_and_the_first_failure)
{
    const char out[] = "0: zero\n2: two a\n10: ten\n2: two b\nnote\n";
    fake_start();
    write_file("out", out, strlen(out));
    struct ran r = tug("logs 73");
    ck_assert_str_eq(r.out, out);
    r = tug("logs --rank 2 73");
    ck_assert_str_eq(r.out, "two a\ntwo b\n");
    r = tug("logs --first-failure -n 1 73");
    ck_assert_str_eq(r.out, "two b\n");
    says(r.err, "rank 2 on n2 exited with code 7");
    r = tug("logs -f -n 2 73");
    ck_assert_str_eq(r.out, "2: two b\nnote\n");
    r = tug("logs --json 73");
    ck_assert_str_eq(json_at(&r, "lines.1.rank"), "2");
    ck_assert_str_eq(json_at(&r, "lines.1.text"), "two a");
    ck_assert_str_eq(json_at(&r, "lines.4.rank"), "null");
    r = tug("logs 72");
    ck_assert_int_eq(r.status, 1);
    says(r.err, "has not started (PENDING, Resources: needs 2 nodes");
    r = tug("logs 74");
    ck_assert_int_eq(r.status, 1);
    says(r.err, "went to the terminal");
    r = tug("logs --rank 4 73");
    ck_assert_int_eq(r.status, 1);
    says(r.err, "its ranks are 0 to 3");
    fake_stop();
}
END_TEST

/* ---- run ---- */

START_TEST(run_shows_whole_lines_of_all_ranks_and_exits_with_the_highest_code)
{
    fake_start();
    struct ran r = tug("run -J two -l prog");
    ck_assert_msg(r.status == 3, "%d %s", r.status, r.err);
    ck_assert_str_eq(r.out, "1: other\n0: first half\n0: no end\n");
    says(r.err, "job 81");
    r = tug("run -J two -Q prog");
    ck_assert_str_eq(r.out, "other\nfirst half\nno end");
    ck_assert_str_eq(r.err, "");
    fake_stop();
}
END_TEST

START_TEST(run_sends_its_input_and_its_end)
{
    fake_start();
    write_file("in", "hello\n", 6);
    struct ran r = tug("run -J cat prog < %s/in", fake_dir());
    ck_assert_int_eq(r.status, 0);
    ck_assert_str_eq(r.out, "hello\n");
    r = tug("run -J cat prog < /dev/null");
    ck_assert_str_eq(r.out, "");
    fake_stop();
}
END_TEST

START_TEST(run_passes_signals_on)
{
    fake_start();
    struct ran r = tug("run -J signal prog");
    ck_assert_int_eq(r.status, 0);
    ck_assert_str_eq(r.out, "got 10\n");
    fake_stop();
}
END_TEST

START_TEST(run_leaves_its_socket_nowhere)
{
    fake_start();
    tug("run -J two -Q prog");
    char path[128];
    snprintf(path, sizeof path, "ls %s/tugline/*.sock 2>/dev/null | wc -l | grep -q '^0$'",
             fake_dir());
    ck_assert_int_eq(system(path), 0);
    fake_stop();
}
END_TEST

START_TEST(every_verb_explains_itself)
{
    fake_start();
    const char *verbs[] = {"submit", "run",    "queue",   "show",    "logs", "cancel",  "wait",
                           "nodes",  "queues", "share", "history", "sandbox", "ping", "version", "help"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        struct ran r = tug("%s --help", verbs[i]);
        ck_assert_int_eq(r.status, 0);
        says(r.out, "usage: tug ");
        says(r.out, "--json");
        r = tug("help --man %s", verbs[i]);
        ck_assert_int_eq(r.status, 0);
    }
    struct ran r = tug("help --json");
    ck_assert_str_eq(json_at(&r, "verbs.0.name"), "submit");
    fake_stop();
}
END_TEST

UNIT_MAIN("cli/verbs", no_controller_is_exit_3_and_the_socket_is_named,
          an_unknown_verb_or_option_is_exit_2_with_the_near_one,
          submit_prints_the_id_and_nothing_else_with_parsable,
          a_refusal_is_the_controllers_sentence_and_exit_1,
          a_broken_connection_is_tried_again_with_the_same_token,
          a_script_goes_with_its_lines_and_arguments,
          a_script_that_cannot_run_is_refused_before_it_is_sent,
          queue_lists_all_pages_and_escapes_what_would_move_the_cursor,
          show_says_why_a_job_waits_and_where_one_sits, nodes_show_which_gpus_are_in_use,
          wait_hands_on_the_jobs_own_exit_status, cancel_says_what_was_done_and_what_was_refused,
          hold_and_release_say_what_is_so_now_and_what_was_before,
          verbs_that_do_something_to_jobs_take_ids_or_options_that_choose_them,
          logs_choose_ranks_and_the_first_failure,
          run_shows_whole_lines_of_all_ranks_and_exits_with_the_highest_code,
          run_sends_its_input_and_its_end, run_passes_signals_on, run_leaves_its_socket_nowhere,
          every_verb_explains_itself)
