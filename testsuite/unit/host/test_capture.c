/* test_capture.c - programs that are run for so long at most, and what is kept of their words
 *
 * Layer: tests.
 */
#include "host/capture.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static struct event_base *base;
static struct tug_capture *c;
static struct tug_err err;
static int ends;
static bool free_it;
static struct tug_capture_end end;
static struct tug_buf words;

static void on_end(void *arg, const struct tug_capture_end *e)
{
    (void) arg;
    ends++;
    end = *e;
    tug_buf_reset(&words);
    tug_buf_add(&words, tug_buf_str(e->output), e->output->len);
    if (free_it)
        tug_capture_free(c);
}

static void setup(void)
{
    base = event_base_new();
    ends = 0;
    free_it = false;
    ck_assert_int_eq(tug_capture_new(&c, base, on_end, NULL, &err), 0);
}

static void teardown(void)
{
    if (!free_it)
        tug_capture_free(c);
    event_base_free(base);
    tug_buf_clear(&words);
}

static int start(const char *script, uint64_t limit_ms, size_t keep_bytes, int hold)
{
    char *argv[] = {"sh", "-c", (char *) (uintptr_t) script, NULL}, *envp[] = {"PATH=/usr/bin:/bin", "A=b", NULL};
    const struct tug_capture_run run = {.path = "/bin/sh", .argv = argv, .envp = envp, .cwd = "/", .limit_ms = limit_ms,
                                        .keep_bytes = keep_bytes, .hold = hold};
    return tug_capture_start(c, &run, &err);
}

static void until_it_ends(void)
{
    int n = ends + 1;
    while (ends < n)
        ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
}

static void run(const char *script, size_t keep_bytes)
{
    ck_assert_msg(start(script, 60000, keep_bytes, 0) == 0, "%s", err.msg);
    until_it_ends();
}

/* Its number is nobody's any more, or a zombie's whose parent does not look. */
static bool is_gone(pid_t pid)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int) pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return true;
    if (!fgets(line, sizeof line, f))
        line[0] = 0;
    fclose(f);
    return !line[0] || strstr(line, ") Z ") != NULL;
}

START_TEST(what_it_writes_to_both_outputs_is_kept_with_how_it_ended)
{
    setup();
    run("echo out; echo err >&2; exit 3", 4096);
    ck_assert_str_eq(tug_buf_str(&words), "out\nerr\n");
    ck_assert_int_eq(WEXITSTATUS(end.status), 3);
    ck_assert(!end.late && !end.stuck);
    ck_assert(!tug_capture_is_busy(c));
    run("kill -9 $$", 4096); /* and it can be used again */
    ck_assert_int_eq(WTERMSIG(end.status), SIGKILL);
    ck_assert_uint_eq(words.len, 0);
    ck_assert_int_eq(ends, 2);
    teardown();
}
END_TEST

START_TEST(of_much_the_last_bytes_are_kept)
{
    setup();
    run("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done", 23);
    ck_assert_str_eq(tug_buf_str(&words), "\nline 19998\nline 19999\n");
    teardown();
}
END_TEST

START_TEST(it_has_the_environment_that_is_given_no_input_and_no_other_descriptor)
{
    setup();
    run("echo $A $PATH $HOME; pwd; wc -c; ls -l /proc/$$/fd | wc -l", 4096);
    ck_assert_str_eq(tug_buf_str(&words), "b /usr/bin:/bin\n/\n0\n4\n");
    teardown();
}
END_TEST

START_TEST(what_takes_too_long_is_killed_with_all_that_it_started)
{
    setup();
    ck_assert_int_eq(start("sleep 1000 & echo $!; echo waiting; wait", 1000, 4096, 0), 0);
    ck_assert(tug_capture_is_busy(c));
    ck_assert_int_gt(tug_capture_group(c), 0);
    ck_assert_int_eq(start("true", 1000, 10, 0), -EBUSY);
    until_it_ends();
    ck_assert(end.late && !end.stuck);
    ck_assert_ptr_nonnull(strstr(tug_buf_str(&words), "waiting"));
    while (!is_gone((pid_t) atoi(tug_buf_str(&words))))
        usleep(1000);
    ck_assert_int_eq(tug_capture_group(c), 0);
    teardown();
}
END_TEST

START_TEST(what_it_leaves_in_its_group_goes_with_it)
{
    setup();
    run("sleep 1000 & echo $!", 4096);
    ck_assert_int_eq(end.status, 0);
    while (!is_gone((pid_t) atoi(tug_buf_str(&words))))
        usleep(1000);
    teardown();
}
END_TEST

START_TEST(it_can_be_ended_and_be_freed_where_its_end_is_told)
{
    setup();
    free_it = true;
    ck_assert_int_eq(start("sleep 1000", 1000000, 4096, 0), 0);
    tug_capture_stop(c);
    ck_assert_int_eq(ends, 0);
    until_it_ends();
    ck_assert(!end.late);
    ck_assert_int_eq(WTERMSIG(end.status), SIGKILL);
    teardown();
}
END_TEST

START_TEST(a_lock_that_it_is_given_is_held_as_long_as_anything_of_it_is_there)
{
    char path[] = "/tmp/tug-capture.XXXXXX";
    int ours = mkstemp(path), theirs;
    setup();
    ck_assert_int_eq(flock(ours, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(start("sleep 1000 & wait", 1000000, 4096, ours), 0);
    close(ours);
    theirs = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(flock(theirs, LOCK_EX | LOCK_NB), -1);
    tug_capture_stop(c);
    until_it_ends();
    while (flock(theirs, LOCK_EX | LOCK_NB) < 0)
        usleep(1000);
    close(theirs);
    unlink(path);
    teardown();
}
END_TEST

START_TEST(a_program_that_others_could_replace_is_not_started_where_that_matters)
{
    char path[] = "/tmp/tug-capture.XXXXXX", *argv[] = {path, NULL};
    struct tug_capture_run it = {.path = path, .argv = argv, .limit_ms = 60000, .keep_bytes = 100, .trusted = true};
    int fd = mkstemp(path);
    setup();
    ck_assert_int_eq(write(fd, "#!/bin/sh\n", 10), 10);
    fchmod(fd, 0777);
    close(fd);
    ck_assert_int_eq(tug_capture_start(c, &it, &err), -EACCES);
    ck_assert(!tug_capture_is_busy(c));
    it.trusted = false;
    ck_assert_msg(tug_capture_start(c, &it, &err) == 0, "%s", err.msg);
    until_it_ends();
    ck_assert_int_eq(end.status, 0);
    unlink(path);
    it.path = "/nowhere";
    ck_assert_int_eq(tug_capture_start(c, &it, &err), -ENOENT);
    teardown();
}
END_TEST

static void lines_are(const char *text, size_t max, const char *wanted)
{
    struct tug_buf all = {0}, out = {0};
    tug_buf_adds(&all, text);
    tug_buf_adds(&out, "it: ");
    tug_capture_last_lines(&all, max, &out);
    ck_assert_str_eq(tug_buf_str(&out) + 4, wanted);
    tug_buf_clear(&all);
    tug_buf_clear(&out);
}

START_TEST(its_last_lines_are_told_in_one_without_what_a_terminal_obeys)
{
    lines_are("", 100, "");
    lines_are(" \n\n", 100, "");
    lines_are("looking\nGPU 3 is gone\n\n", 100, "looking; GPU 3 is gone");
    lines_are("looking\n\nGPU 3 is gone", 15, "GPU 3 is gone");
    lines_are("one long line without an end", 6, "an end");
    lines_are("a\033[2Jb\n", 100, "a\\x1b[2Jb");
}
END_TEST

UNIT_MAIN("host/capture", what_it_writes_to_both_outputs_is_kept_with_how_it_ended, of_much_the_last_bytes_are_kept,
           it_has_the_environment_that_is_given_no_input_and_no_other_descriptor,
           what_takes_too_long_is_killed_with_all_that_it_started, what_it_leaves_in_its_group_goes_with_it,
           it_can_be_ended_and_be_freed_where_its_end_is_told,
           a_lock_that_it_is_given_is_held_as_long_as_anything_of_it_is_there,
           a_program_that_others_could_replace_is_not_started_where_that_matters,
           its_last_lines_are_told_in_one_without_what_a_terminal_obeys)
