/* test_leash.c - programs that have left their process group are found by the lock that they carry */
#include "host/leash.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static char dir[] = "/tmp/tug-leash.XXXXXX", path[64];
static struct tug_err err;

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/lock", dir);
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
}

/* A process in a session of its own that carries it, and sleeps. */
static pid_t carrier(int fd)
{
    int ready[2];
    char c;
    ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int carried = fcntl(fd, F_DUPFD, 100), say = fcntl(ready[1], F_DUPFD, 100);
        setsid();
        for (int i = TUG_LEASH_FD; i < 100; i++)
            close(i);
        dup2(carried, TUG_LEASH_FD);
        close(carried);
        if (write(say, "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

START_TEST(every_run_has_a_place_of_its_own_until_the_last_process_that_carries_it_is_gone)
{
    int one, two;
    uint64_t at_one, at_two, again;
    setup();
    ck_assert_int_eq(tug_leash_take(path, &one, &at_one, &err), 0);
    ck_assert_int_eq(tug_leash_take(path, &two, &at_two, &err), 0);
    ck_assert_uint_ne(at_one, at_two);
    pid_t pid = carrier(one);
    close(one);
    close(two);
    ck_assert(tug_leash_is_held(path, at_one));
    ck_assert(!tug_leash_is_held(path, at_two));
    ck_assert_int_eq(tug_leash_take(path, &two, &again, &err), 0); /* what is held is passed over */
    ck_assert_uint_ne(again, at_one);
    close(two);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert(!tug_leash_is_held(path, at_one));
    teardown();
}
END_TEST

START_TEST(those_who_carry_it_are_killed_wherever_they_went_and_nobody_else)
{
    int one, two, status;
    uint64_t at_one, at_two;
    setup();
    ck_assert_int_eq(tug_leash_take(path, &one, &at_one, &err), 0);
    ck_assert_int_eq(tug_leash_take(path, &two, &at_two, &err), 0);
    pid_t mine = carrier(one), mine_too = carrier(one), other = carrier(two);
    close(one);
    close(two);
    ck_assert_uint_eq(tug_leash_kill(path, at_one), 2);
    ck_assert_int_eq(waitpid(mine, &status, 0), mine);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_int_eq(waitpid(mine_too, &status, 0), mine_too);
    ck_assert(!tug_leash_is_held(path, at_one));
    ck_assert(tug_leash_is_held(path, at_two));
    ck_assert_int_eq(waitpid(other, &status, WNOHANG), 0);
    ck_assert_uint_eq(tug_leash_kill(path, at_one), 0);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    teardown();
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_is_named)
{
    int fd;
    uint64_t place;
    ck_assert_int_eq(tug_leash_take("/nowhere/lock", &fd, &place, &err), -ENOENT);
    ck_assert_str_eq(err.msg, "/nowhere/lock: No such file or directory");
    ck_assert(!tug_leash_is_held("/nowhere/lock", 0));
    ck_assert_uint_eq(tug_leash_kill("/nowhere/lock", 0), 0);
}
END_TEST

UNIT_MAIN("host/leash", every_run_has_a_place_of_its_own_until_the_last_process_that_carries_it_is_gone,
          those_who_carry_it_are_killed_wherever_they_went_and_nobody_else, a_file_that_cannot_be_opened_is_named)
