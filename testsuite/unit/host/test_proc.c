/* test_proc.c - programs get exactly what they were given, and their end is heard
 *
 * pidfd_open(2) can be taken away here, to show that SIGCHLD serves where the kernel has none.
 * Layer: tests.
 */
#include "host/proc.h"

#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static bool no_pidfd;
static long (*real_syscall)(long, ...);

__attribute__((constructor)) static void find_syscall(void)
{
    real_syscall = (long (*)(long, ...)) dlsym(RTLD_NEXT, "syscall");
}

/* Found before libc's. */
long syscall(long number, ...)
{
    long a[6];
    va_list ap;

    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number == SYS_pidfd_open && no_pidfd) {
        errno = ENOSYS;
        return -1;
    }
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static struct event_base *base;

struct end {
    int n, status;
    bool free_it;
};

static void on_end(void *arg, struct tug_child *c, int status)
{
    struct end *e = arg;

    e->n++;
    e->status = status;
    if (e->free_it)
        tug_child_free(c);
}

static void wait_for(const struct end *e, int n)
{
    while (e->n < n)
        ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
}

/* Run 'script' with 'fds' and give what it wrote to its descriptor 1, and how it ended. */
static int run(const char *script, struct tug_spawn s, char *out, size_t size)
{
    struct end e = {0, -1, true};
    struct tug_child *c;
    struct tug_err err = {0, ""};
    struct tug_spawn_fd map[4];
    char *argv[] = {"sh", "-c", (char *) script, NULL};
    int fds[2];
    size_t len = 0;
    ssize_t n;

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    for (size_t i = 0; i < s.n_fds; i++)
        map[i] = s.fds[i];
    map[s.n_fds] = (struct tug_spawn_fd){fds[1], 1};
    s.path = "/bin/sh";
    s.argv = argv;
    s.fds = map;
    s.n_fds++;
    ck_assert_msg(tug_child_spawn(&c, base, &s, on_end, &e, &err) == 0, "%s", err.msg);
    ck_assert_int_gt(tug_child_pid(c), 0);
    close(fds[1]);
    while ((n = read(fds[0], out + len, size - 1 - len)) > 0)
        len += (size_t) n;
    out[len] = '\0';
    close(fds[0]);
    wait_for(&e, 1);
    return e.status;
}

START_TEST(a_program_runs_and_its_status_is_heard)
{
    char out[256], text[64];
    int status;

    base = event_base_new();
    status = run("echo hello; exit 3", (struct tug_spawn){0}, out, sizeof out);
    ck_assert_str_eq(out, "hello\n");
    ck_assert_str_eq(tug_status_text(status, text, sizeof text), "exit code 3");
    status = run("kill -TERM $$", (struct tug_spawn){0}, out, sizeof out);
    ck_assert_str_eq(tug_status_text(status, text, sizeof text), "signal 15 (Terminated)");
    ck_assert_str_eq(tug_status_text(-1, text, sizeof text), "an unknown status");
    event_base_free(base);
}
END_TEST

START_TEST(without_pidfds_the_end_is_heard_by_sigchld)
{
    struct end e[8];
    struct tug_child *c[8];
    char *argv[] = {"sh", "-c", "exit 5", NULL};
    struct tug_spawn s = {.path = "/bin/sh", .argv = argv};
    struct tug_err err;

    base = event_base_new();
    no_pidfd = true;
    for (int i = 0; i < 8; i++) { /* ends that share a signal, or come before we listen */
        e[i] = (struct end){0, -1, false};
        ck_assert_int_eq(tug_child_spawn(&c[i], base, &s, on_end, &e[i], NULL), 0);
    }
    for (int i = 0; i < 8; i++) {
        wait_for(&e[i], 1);
        ck_assert_int_eq(WEXITSTATUS(e[i].status), 5);
        ck_assert_int_eq(tug_child_kill(c[i], SIGTERM), -ESRCH);
        tug_child_free(c[i]);
    }
    unit_fails(tug_child_adopt(&c[0], base, 1, on_end, e, &err), -ENOSYS, err, "process 1");
    event_base_free(base);
}
END_TEST

START_TEST(a_program_has_the_descriptors_of_its_map_and_no_other)
{
    char out[256];
    int status, keep = open("/dev/null", O_RDONLY), high = fcntl(keep, F_DUPFD, 200);

    base = event_base_new();
    ck_assert_int_ge(high, 200);
    /* the shell has closed the directory again when it looks at each name */
    status = run("cd /proc/$$/fd && for f in *; do [ -L $f ] && echo $f; done; true",
                 (struct tug_spawn){0}, out, sizeof out);
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(out, "0\n1\n2\n");
    status = run("cd /proc/$$/fd && for f in *; do [ -L $f ] && echo $f; done; true",
                 (struct tug_spawn){.fds = (struct tug_spawn_fd[]){{keep, 7}}, .n_fds = 1}, out,
                 sizeof out);
    ck_assert_str_eq(out, "0\n1\n2\n7\n");
    close(keep);
    close(high);
    event_base_free(base);
}
END_TEST

START_TEST(descriptors_may_be_swapped)
{
    int a[2], b[2];
    char script[96], out[256];
    struct tug_spawn_fd map[2];

    base = event_base_new();
    ck_assert_int_eq(pipe(a), 0);
    ck_assert_int_eq(pipe(b), 0);
    ck_assert_int_eq(write(a[1], "from a\n", 7), 7);
    ck_assert_int_eq(write(b[1], "from b\n", 7), 7);
    map[0] = (struct tug_spawn_fd){a[0], b[0]};
    map[1] = (struct tug_spawn_fd){b[0], a[0]};
    /* A shell takes only one digit after <& */
    snprintf(script, sizeof script, "read x </dev/fd/%d; read y </dev/fd/%d; echo $x, $y", a[0], b[0]);
    ck_assert_int_eq(run(script, (struct tug_spawn){.fds = map, .n_fds = 2}, out, sizeof out), 0);
    ck_assert_str_eq(out, "from b, from a\n");
    event_base_free(base);
}
END_TEST

static void handler(int signo)
{
    (void) signo;
}

START_TEST(a_program_starts_with_default_signals)
{
    sigset_t block;
    char out[512];

    base = event_base_new();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, handler);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR2);
    sigprocmask(SIG_BLOCK, &block, NULL);
    ck_assert_int_eq(run("sed -nE '/^Sig(Blk|Ign|Cgt)/p' /proc/self/status | tr -d '\\n\\t'",
                         (struct tug_spawn){0}, out, sizeof out),
                     0);
    ck_assert_str_eq(out, "SigBlk:0000000000000000SigIgn:0000000000000000SigCgt:0000000000000000");
    event_base_free(base);
}
END_TEST

START_TEST(directory_environment_and_session_are_as_asked)
{
    char out[256], want[256];
    char *env[] = {"A=b c", NULL};

    base = event_base_new();
    ck_assert_int_eq(
        run("pwd; echo \"$A\"; read pid comm state ppid pgrp session rest </proc/$$/stat;"
            " echo $((session == $$))",
            (struct tug_spawn){.cwd = "/usr", .envp = env, .new_session = 1}, out, sizeof out),
        0);
    ck_assert_str_eq(out, "/usr\nb c\n1\n");
    ck_assert_int_eq(run("read pid comm state ppid pgrp session rest </proc/$$/stat; echo $session",
                         (struct tug_spawn){0}, out, sizeof out),
                     0);
    snprintf(want, sizeof want, "%d\n", (int) getsid(0));
    ck_assert_str_eq(out, want);
    event_base_free(base);
}
END_TEST

START_TEST(a_program_that_cannot_start_is_told_with_the_step)
{
    struct tug_err err;
    struct tug_child *c;
    char *argv[] = {"x", NULL};

    base = event_base_new();
    unit_fails(tug_child_spawn(&c, base, &(struct tug_spawn){.path = "/no/such", .argv = argv},
                               on_end, NULL, &err),
               -ENOENT, err, "/no/such: executing it");
    unit_fails(
        tug_child_spawn(&c, base,
                        &(struct tug_spawn){.path = "/bin/sh", .argv = argv, .cwd = "/nowhere"},
                        on_end, NULL, &err),
        -ENOENT, err, "/nowhere");
    unit_fails(tug_child_spawn(&c, base,
                               &(struct tug_spawn){.path = "/bin/sh",
                                                   .argv = argv,
                                                   .fds = (struct tug_spawn_fd[]){{250, 3}},
                                                   .n_fds = 1},
                               on_end, NULL, &err),
               -EBADF, err, "descriptors");
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left behind */
    ck_assert_int_eq(errno, ECHILD);
    event_base_free(base);
}
END_TEST

START_TEST(a_signal_reaches_the_child_and_not_its_successor)
{
    struct end e = {0, -1, false};
    struct tug_child *c;
    char *argv[] = {"sleep", "1000", NULL};

    base = event_base_new();
    ck_assert_int_eq(tug_child_spawn(&c, base,
                                     &(struct tug_spawn){.path = "/bin/sleep", .argv = argv},
                                     on_end, &e, NULL),
                     0);
    ck_assert_int_eq(tug_child_kill(c, SIGKILL), 0);
    wait_for(&e, 1);
    ck_assert_int_eq(WTERMSIG(e.status), SIGKILL);
    ck_assert_int_eq(tug_child_kill(c, SIGKILL), -ESRCH);
    tug_child_free(c);
    tug_child_free(NULL);
    event_base_free(base);
}
END_TEST

/* A grandchild: pids[0] says its pid; it ends when pids[1] is closed. */
START_TEST(the_end_of_a_process_that_is_not_ours_is_heard)
{
    struct end e = {0, 0, true};
    struct tug_child *c;
    int says[2], holds[2];
    pid_t middle, pid;
    char byte;

    base = event_base_new();
    ck_assert_int_eq(pipe(says), 0);
    ck_assert_int_eq(pipe(holds), 0);
    middle = fork();
    if (middle == 0) {
        pid = fork();
        if (pid != 0)
            _exit(write(says[1], &pid, sizeof pid) == sizeof pid ? 0 : 1);
        close(holds[1]);
        _exit(read(holds[0], &byte, 1) == 0 ? 0 : 1);
    }
    waitpid(middle, NULL, 0);
    ck_assert_int_eq(read(says[0], &pid, sizeof pid), sizeof pid);
    ck_assert_int_eq(tug_child_adopt(&c, base, pid, on_end, &e, NULL), 0);
    ck_assert_int_eq(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    ck_assert_int_eq(e.n, 0);
    close(holds[1]);
    wait_for(&e, 1);
    ck_assert_int_eq(e.status, -1);
    ck_assert_int_lt(tug_child_adopt(&c, base, 0x3ffffff, on_end, &e, NULL), 0);
    event_base_free(base);
}
END_TEST

START_TEST(a_program_that_is_tied_to_us_dies_with_us)
{
    struct end e = {0, 0, true};
    struct tug_child *c;
    int says[2];
    pid_t middle, pid;

    base = event_base_new();
    ck_assert_int_eq(pipe2(says, O_CLOEXEC), 0);
    middle = fork();
    if (middle == 0) {
        char *argv[] = {"sleep", "1000", NULL};
        struct tug_spawn s = {.path = "/bin/sleep", .argv = argv, .die_with_us = 1};

        if (tug_child_spawn(&c, base, &s, on_end, &e, NULL) < 0)
            _exit(1);
        pid = tug_child_pid(c);
        if (write(says[1], &pid, sizeof pid) != sizeof pid)
            _exit(1);
        pause();
    }
    ck_assert_int_eq(read(says[0], &pid, sizeof pid), sizeof pid);
    ck_assert_int_eq(event_reinit(base), 0);
    ck_assert_int_eq(tug_child_adopt(&c, base, pid, on_end, &e, NULL), 0);
    kill(middle, SIGKILL);
    wait_for(&e, 1);
    waitpid(middle, NULL, 0);
    event_base_free(base);
}
END_TEST

START_TEST(proc_says_who_a_process_is)
{
    char id[TUG_BOOT_ID_LEN], again[TUG_BOOT_ID_LEN];
    struct tug_buf b = {0};
    struct tug_err err;
    uint64_t mine = 0, parent = 0;

    ck_assert_int_eq(tug_proc_boot_id(id, NULL), 0);
    ck_assert_int_eq(tug_proc_boot_id(again, NULL), 0);
    ck_assert_uint_eq(strlen(id), 36);
    ck_assert_str_eq(id, again);
    ck_assert_int_eq(tug_proc_cmdline(getpid(), &b, NULL), 0);
    ck_assert_ptr_nonnull(strstr(b.data, "test_proc"));
    ck_assert_int_eq(tug_proc_start_ticks(getpid(), &mine, NULL), 0);
    ck_assert_int_eq(tug_proc_start_ticks(getppid(), &parent, NULL), 0);
    ck_assert_uint_ge(mine, parent);
    ck_assert_uint_gt(parent, 0);
    unit_fails(tug_proc_cmdline(0x3ffffff, &b, &err), -ESRCH, err, "67108863");
    unit_fails(tug_proc_start_ticks(0x3ffffff, &mine, &err), -ESRCH, err, "67108863");
    tug_buf_clear(&b);
}
END_TEST

UNIT_MAIN("host/proc", a_program_runs_and_its_status_is_heard,
          without_pidfds_the_end_is_heard_by_sigchld,
          a_program_has_the_descriptors_of_its_map_and_no_other, descriptors_may_be_swapped,
          a_program_starts_with_default_signals, directory_environment_and_session_are_as_asked,
          a_program_that_cannot_start_is_told_with_the_step,
          a_signal_reaches_the_child_and_not_its_successor,
          the_end_of_a_process_that_is_not_ours_is_heard, a_program_that_is_tied_to_us_dies_with_us,
          proc_says_who_a_process_is)
