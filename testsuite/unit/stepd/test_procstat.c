/* test_procstat.c - what /proc says of real processes in known states */
#include "unit.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stepd/procstat.h"

static pid_t start(const char *command)
{
    pid_t pid = fork();

    if (pid == 0) {
        setsid();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/bin/sh", "sh", "-c", command, (char *) NULL);
        _exit(127);
    }
    return pid;
}

static void finish(pid_t pid)
{
    kill(-pid, SIGKILL); /* all that it has started */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Until a process does that, or the test's own time is up. */
static struct tug_look until(pid_t pid, enum tug_doing doing, pid_t *worker)
{
    struct tug_look l;

    do
        tug_procstat_look(pid, &l, worker);
    while (l.doing != doing);
    return l;
}

START_TEST(a_process_that_sleeps_is_seen_to_sleep)
{
    pid_t worker, pid = start("exec sleep 100");
    struct tug_look l = until(pid, TUG_DOING_SLEEPS, &worker);

    ck_assert_int_eq(worker, pid);
    ck_assert_msg(strstr(l.where, "nanosleep") != NULL, "it sleeps in '%s'", l.where);
    finish(pid);
}
END_TEST

START_TEST(a_shell_that_waits_for_its_child_does_what_the_child_does)
{
    pid_t worker, pid = start("sleep 100; true");

    do
        until(pid, TUG_DOING_SLEEPS, &worker);
    while (worker == pid);
    kill(worker, SIGKILL);
    finish(pid);
}
END_TEST

START_TEST(who_reads_an_empty_pipe_waits)
{
    int fds[2];
    pid_t pid;

    ck_assert_int_eq(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        char c;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(read(fds[0], &c, 1) != 0);
    }
    until(pid, TUG_DOING_WAITS, NULL);
    finish(pid);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(a_stopped_child_makes_its_rank_a_stopped_one_and_is_named)
{
    pid_t worker, pid = start("sleep 100 & wait");
    struct tug_look l;
    char words[32];

    do
        until(pid, TUG_DOING_SLEEPS, &worker);
    while (worker == pid);
    kill(worker, SIGSTOP);
    l = until(pid, TUG_DOING_STOPPED, &worker);
    snprintf(words, sizeof words, "sleep, pid %d", (int) worker);
    ck_assert_str_eq(l.where, words);
    kill(worker, SIGKILL);
    finish(pid);
}
END_TEST

START_TEST(cpu_time_is_that_of_all_processes_also_of_those_that_have_gone)
{
    pid_t pid = start("(i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done); sleep 100");
    struct tug_look l;

    do
        tug_procstat_look(pid, &l, NULL);
    while (l.doing != TUG_DOING_SLEEPS || l.cpu_ms == 0);
    finish(pid);
}
END_TEST

START_TEST(of_a_process_that_has_gone_nothing_is_known)
{
    pid_t worker = 1, pid = start("exit 0");
    struct tug_look l;

    waitpid(pid, NULL, 0);
    tug_procstat_look(pid, &l, &worker);
    ck_assert_int_eq(l.doing, TUG_DOING_UNKNOWN);
    ck_assert_int_eq(worker, 0);
}
END_TEST

START_TEST(a_look_costs_little)
{
    pid_t pid = start("sleep 100; true");
    struct timespec from, to;
    struct tug_look l;
    int rounds = unit_rounds(200);

    until(pid, TUG_DOING_SLEEPS, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (int i = 0; i < rounds; i++)
        tug_procstat_look(pid, &l, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    double us = ((double) (to.tv_sec - from.tv_sec) * 1e9 + (double) (to.tv_nsec - from.tv_nsec)) / 1e3 / rounds;
    printf("# a look at a rank of two processes: %.1f us of CPU\n", us);
    ck_assert_double_lt(us, 5000);
    finish(pid);
}
END_TEST

START_TEST(functions_are_known_by_their_names)
{
    ck_assert(tug_procstat_is_wait("futex_do_wait"));
    ck_assert(tug_procstat_is_wait("futex_wait_queue"));
    ck_assert(tug_procstat_is_wait("ep_poll"));
    ck_assert(tug_procstat_is_wait("poll_schedule_timeout"));
    ck_assert(tug_procstat_is_wait("wait_woken"));
    ck_assert(!tug_procstat_is_wait("hrtimer_nanosleep"));
    ck_assert(!tug_procstat_is_wait("do_wait"));
    ck_assert(!tug_procstat_is_wait("folio_wait_bit_common"));
    ck_assert(!tug_procstat_is_wait("rpc_wait_bit_killable"));
    ck_assert(!tug_procstat_is_wait(""));
}
END_TEST

UNIT_MAIN("stepd/procstat",
          a_process_that_sleeps_is_seen_to_sleep,
          a_shell_that_waits_for_its_child_does_what_the_child_does,
          who_reads_an_empty_pipe_waits,
          a_stopped_child_makes_its_rank_a_stopped_one_and_is_named,
          cpu_time_is_that_of_all_processes_also_of_those_that_have_gone,
          of_a_process_that_has_gone_nothing_is_known,
          a_look_costs_little,
          functions_are_known_by_their_names)
