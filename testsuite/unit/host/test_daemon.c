/* test_daemon.c - the caller hears whether the daemon is ready; directories are refused when others
 * could meddle
 * Layer: tests.
 */
#include "host/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char dir[64], path[128], other[128];

static void setup_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/tug-daemon-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(other, sizeof other, "%s/other", dir);
}

static void clean_dir(void)
{
    char cmd[128];

    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(cmd), 0);
}

static size_t slurp(const char *name, char *out, size_t size)
{
    int fd = open(name, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : 0;

    out[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return strlen(out);
}

START_TEST(the_caller_returns_when_the_daemon_is_ready)
{
    char log[128], said[128];
    struct tug_err err;
    int ready = -1, done[2], rc;

    setup_dir();
    snprintf(log, sizeof log, "%s/log", dir);
    ck_assert_int_eq(pipe(done), 0);
    rc = tug_daemon_background(log, &ready, &err);
    if (rc == 0) { /* the daemon */
        int ok =
            getsid(0) == getpid() && getpgrp() == getpid() && fcntl(ready, F_GETFD) == FD_CLOEXEC;

        dprintf(2, "started %d\n", ok); /* in the log before anybody is told */
        tug_daemon_ready(&ready, NULL);
        tug_daemon_ready(&ready, NULL);
        _exit(0);
    }
    ck_assert_int_eq(rc, 1);
    ck_assert_uint_gt(slurp(log, said, sizeof said), 0);
    ck_assert_str_eq(said, "started 1\n");
    clean_dir();
}
END_TEST

START_TEST(the_caller_gets_the_sentence_of_a_daemon_that_fails)
{
    struct tug_err err;
    int ready = -1, rc = tug_daemon_background(NULL, &ready, &err);

    if (rc == 0) {
        tug_daemon_ready(&ready, "state file x is in use by process 5");
        _exit(1);
    }
    ck_assert_int_lt(rc, 0);
    ck_assert_str_eq(err.msg, "state file x is in use by process 5");
}
END_TEST

START_TEST(the_caller_hears_how_a_daemon_died)
{
    struct tug_err err;
    int ready = -1, rc;

    setup_dir();
    rc = tug_daemon_background(path, &ready, &err);
    if (rc == 0)
        raise(SIGKILL);
    ck_assert_int_lt(rc, 0);
    ck_assert_ptr_nonnull(strstr(err.msg, "signal 9"));
    ck_assert_ptr_nonnull(strstr(err.msg, path)); /* where its log is */
    rc = tug_daemon_background(NULL, &ready, &err);
    if (rc == 0)
        _exit(4);
    ck_assert_int_lt(rc, 0);
    ck_assert_ptr_nonnull(strstr(err.msg, "exit code 4"));
    unit_fails(tug_daemon_background("/no/such/log", &ready, &err), -ENOENT, err, "/no/such/log");
    clean_dir();
}
END_TEST

START_TEST(a_run_directory_is_made_with_everything_above_it)
{
    char deep[128];
    struct stat st;

    setup_dir();
    umask(0);
    snprintf(deep, sizeof deep, "%s/a/b/c//", dir);
    ck_assert_int_eq(tug_rundir_make(deep, NULL), 0);
    ck_assert_int_eq(tug_rundir_make(deep, NULL), 0);
    snprintf(deep, sizeof deep, "%s/a/b", dir);
    ck_assert_int_eq(stat(deep, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0700);
    clean_dir();
}
END_TEST

START_TEST(a_run_directory_that_others_could_meddle_with_is_refused)
{
    struct tug_err err;

    setup_dir();
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(chmod(path, 0711), 0);
    unit_fails(tug_rundir_make(path, &err), -EACCES, err, "chmod 0700");
    ck_assert_int_eq(chmod(path, 0700), 0);
    ck_assert_int_eq(symlink(path, other), 0);
    unit_fails(tug_rundir_make(other, &err), -ELOOP, err, other);
    ck_assert_int_eq(chmod(dir, 0777), 0);
    unit_fails(tug_rundir_make(path, &err), -EACCES, err, "replace what is below");
    ck_assert_int_eq(chmod(dir, 01777), 0);
    ck_assert_int_eq(tug_rundir_make(path, &err), 0);
    ck_assert_int_eq(chmod(dir, 0700), 0);
    ck_assert_int_eq(unlink(other), 0);
    close(open(other, O_CREAT | O_WRONLY, 0600));
    unit_fails(tug_rundir_make(other, &err), -ENOTDIR, err, other);
    strcat(other, "/below");
    unit_fails(tug_rundir_make(other, &err), -ENOTDIR, err, "not a directory");
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 12345, 12345), 0);
        unit_fails(tug_rundir_make(path, &err), -EACCES, err, "uid 12345");
        strcat(path, "/below");
        unit_fails(tug_rundir_make(path, &err), -EACCES, err, "uid 12345");
    }
    clean_dir();
}
END_TEST

START_TEST(a_pid_file_is_replaced_and_read_back)
{
    struct tug_err err;
    pid_t pid = 0;

    setup_dir();
    unit_fails(tug_pidfile_read(path, &pid, &err), -ENOENT, err, path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    unit_fails(tug_pidfile_read(path, &pid, &err), -EINVAL, err, "no pid");
    ck_assert_int_eq(tug_pidfile_write(path, &err), 0);
    ck_assert_int_eq(tug_pidfile_read(path, &pid, &err), 0);
    ck_assert_int_eq(pid, getpid());
    unit_fails(tug_pidfile_write("/no/such/pid", &err), -ENOENT, err, "/no/such/pid");
    clean_dir();
}
END_TEST

UNIT_MAIN("host/daemon", the_caller_returns_when_the_daemon_is_ready,
          the_caller_gets_the_sentence_of_a_daemon_that_fails, the_caller_hears_how_a_daemon_died,
          a_run_directory_is_made_with_everything_above_it,
          a_run_directory_that_others_could_meddle_with_is_refused,
          a_pid_file_is_replaced_and_read_back)
