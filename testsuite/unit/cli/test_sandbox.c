/* test_sandbox.c - the processes of a sandbox are known again and ended, and no others. Layer:
 * tests. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/sandbox.h"

static char dir[64], log_path[96];
static struct tug_err err;

static void set_up(void)
{
    snprintf(dir, sizeof dir, "/tmp/tug-sandbox-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(log_path, sizeof log_path, "%s/log", dir);
}

static void tear_down(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static void spawn(struct tug_sandbox_procs *p, const char *name, const char *script)
{
    char *argv[] = {(char *) "/bin/sh", (char *) "-c", (char *) script, NULL};
    ck_assert_int_eq(tug_sandbox_spawn(p, name, argv, log_path, -1, &err), 0);
}

START_TEST(what_was_saved_is_known_again_and_ended)
{
    struct tug_sandbox_procs p = {0}, again = {0};
    set_up();
    spawn(&p, "tugd", "exec sleep 1000");
    spawn(&p, "n1", "exec sleep 1000");
    ck_assert_int_eq(tug_sandbox_save(dir, &p, &err), 0);
    ck_assert_int_eq(tug_sandbox_load(dir, &again, &err), 0);
    ck_assert_uint_eq(again.len, 2);
    ck_assert_str_eq(again.at[1].name, "n1");
    ck_assert_uint_eq(tug_sandbox_alive_n(&again), 2);
    ck_assert_int_eq(tug_sandbox_end(&again, &err), 0);
    ck_assert_uint_eq(tug_sandbox_alive_n(&p), 0);
    ck_assert_int_eq(kill(p.at[0].pid, 0), -1);
    tug_sandbox_procs_clear(&p);
    tug_sandbox_procs_clear(&again);
    tear_down();
}
END_TEST

START_TEST(a_later_process_of_the_same_pid_is_left_alone)
{
    struct tug_sandbox_procs p = {0};
    set_up();
    spawn(&p, "tugd", "exec sleep 1000");
    p.at[0].ticks--; /* as if the recorded one had started earlier */
    ck_assert(!tug_sandbox_alive(&p.at[0]));
    ck_assert_int_eq(tug_sandbox_end(&p, &err), 0);
    ck_assert_int_eq(kill(p.at[0].pid, 0), 0);
    ck_assert_int_eq(waitpid(p.at[0].pid, NULL, WNOHANG), 0);
    kill(p.at[0].pid, SIGKILL);
    tug_sandbox_procs_clear(&p);
    tear_down();
}
END_TEST

/* Waits until the file has a line, as a started process writes one. */
static long first_number(const char *path)
{
    long n = 0;
    for (;;) {
        FILE *f = fopen(path, "r");
        int got = f ? fscanf(f, "%ld\n", &n) : 0;
        if (f)
            fclose(f);
        if (got == 1)
            return n;
    }
}

START_TEST(what_a_killed_launcher_leaves_behind_is_ended_too)
{
    struct tug_sandbox_procs p = {0};
    set_up();
    spawn(&p, "n1", "sleep 1000 & echo $!; exit 0");
    pid_t orphan = (pid_t) first_number(log_path);
    ck_assert_int_eq(kill(orphan, 0), 0);
    ck_assert_int_eq(tug_sandbox_end(&p, &err), 0);
    char path[64], state = 'Z';
    snprintf(path, sizeof path, "/proc/%d/stat", (int) orphan);
    FILE *f = fopen(path, "r"); /* gone, or dead and not yet fetched by init */
    if (f) {
        ck_assert_int_eq(fscanf(f, "%*d %*s %c", &state), 1);
        fclose(f);
    }
    ck_assert_int_eq(state, 'Z');
    tug_sandbox_procs_clear(&p);
    tear_down();
}
END_TEST

START_TEST(no_sandbox_is_said_with_the_way_to_one)
{
    struct tug_sandbox_procs p = {0};
    set_up();
    unit_fails(tug_sandbox_load(dir, &p, &err), -ENOENT, err, "tug sandbox start");
    tear_down();
}
END_TEST

UNIT_MAIN("cli/sandbox", what_was_saved_is_known_again_and_ended,
          a_later_process_of_the_same_pid_is_left_alone,
          what_a_killed_launcher_leaves_behind_is_ended_too, no_sandbox_is_said_with_the_way_to_one)
