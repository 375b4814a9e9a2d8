/* proc.c - processes: start them with exactly the descriptors they should have, wait for them on
 * the loop, know them again
 *
 * Starting uses clone(CLONE_VM | CLONE_VFORK): the cost does not grow with our memory, and the
 * child tells which step failed by writing into it. Until exec it shares our memory, so it calls
 * nothing but system calls.
 * Layer: host.
 */
#include "host/proc.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

extern char **environ;

/* Not instrumented: sanitizers don't know the stack that these run on. */
#define IN_CHILD __attribute__((no_sanitize("address", "undefined", "thread")))

enum { STACK_BYTES = 64 * 1024, FD_TO_MAX = 255 };

struct tug_child {
    pid_t pid;
    int pidfd; /* -1: the kernel has none, we listen to SIGCHLD */
    bool ours, ended;
    struct event *ev;
    tug_child_cb *cb;
    void *arg;
};

/* ---- starting ---- */

struct start {
    const struct tug_spawn *s;
    pid_t parent;
    const char *step; /* what the child was doing; NULL: nothing failed */
    int error;
};

IN_CHILD static int failed(struct start *st, const char *step)
{
    st->error = errno;
    st->step = step;
    return 127;
}

IN_CHILD static void close_from(unsigned first)
{
    long max;

    if (syscall(SYS_close_range, first, ~0u, 0) == 0)
        return;
    max = sysconf(_SC_OPEN_MAX); /* before Linux 5.9 */
    for (long fd = first; fd < (max > 0 ? max : 1024); fd++)
        close((int) fd);
}

/* First out of the way of every target, then into place: maps may swap. What is in no map is
 * closed, above 2. */
IN_CHILD static int place_fds(struct start *st)
{
    const struct tug_spawn *s = st->s;
    int at[TUG_SPAWN_FDS_MAX], top = 2;

    for (size_t i = 0; i < s->n_fds; i++)
        if (s->fds[i].to > top)
            top = s->fds[i].to;
    for (size_t i = 0; i < s->n_fds; i++) {
        at[i] = fcntl(s->fds[i].from, F_DUPFD, top + 1);
        if (at[i] < 0)
            return failed(st, "mapping its descriptors");
    }
    for (int fd = 3; fd <= top; fd++)
        close(fd);
    for (size_t i = 0; i < s->n_fds; i++)
        if (dup2(at[i], s->fds[i].to) < 0)
            return failed(st, "mapping its descriptors");
    close_from((unsigned) top + 1);
    return 0;
}

/* A daemon is killed last for memory; what it runs is not. */
IN_CHILD static void be_as_others(void)
{
    char c = 0;
    int fd = (int) syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);

    if (fd >= 0 && syscall(SYS_read, fd, &c, 1) == 1 && c == '-')
        syscall(SYS_pwrite64, fd, "0", 1, 0);
    if (fd >= 0)
        syscall(SYS_close, fd);
}

/* In the child, in our memory, with all signals blocked. */
IN_CHILD static int child_main(void *arg)
{
    struct start *st = arg;
    const struct tug_spawn *s = st->s;
    unsigned long zero[8] = {0}; /* SIG_DFL, or an empty mask, in the kernel's words */
    int rc;

    /* A handler of ours would run in our memory; ignored signals would be inherited. Not through
     * libc, which (with a sanitizer) notes in our memory what it did. */
    for (int i = 1; i < NSIG; i++)
        syscall(SYS_rt_sigaction, i, zero, NULL, (NSIG - 1) / 8);
    if (s->die_with_us && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return failed(st, "tying it to us");
    if (s->die_with_us && getppid() != st->parent) /* too late for the signal */
        return 127;
    if (s->new_session && setsid() < 0)
        return failed(st, "making a session");
    if (s->cwd != NULL && chdir(s->cwd) < 0)
        return failed(st, "entering its directory");
    be_as_others();
    rc = place_fds(st);
    if (rc != 0)
        return rc;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, zero, NULL, (NSIG - 1) / 8);
    execve(s->path, s->argv, s->envp != NULL ? s->envp : environ);
    return failed(st, "executing it");
}

static int start_program(const struct tug_spawn *s, pid_t *pid, struct tug_err *err)
{
    struct start st = {s, getpid(), NULL, 0};
    sigset_t all, old;
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    int saved;

    tug_assert(s->n_fds <= TUG_SPAWN_FDS_MAX);
    for (size_t i = 0; i < s->n_fds; i++)
        tug_assert(s->fds[i].from >= 0 && s->fds[i].to >= 0 && s->fds[i].to <= FD_TO_MAX);
    if (stack == MAP_FAILED)
        return tug_fail(err, -ENOMEM, "cannot start %s: no memory for its stack", s->path);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    *pid = clone(child_main, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, &st);
    saved = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    munmap(stack, STACK_BYTES);
    if (*pid < 0)
        return tug_fail(err, -saved, "cannot start %s: %s", s->path, strerror(saved));
    if (st.step == NULL)
        return 0;
    waitpid(*pid, NULL, 0);
    return tug_fail(err, -st.error, "cannot start %s: %s%s%s failed: %s", s->path, st.step,
                    s->cwd != NULL ? " in " : "", s->cwd != NULL ? s->cwd : "", strerror(st.error));
}

/* ---- waiting ---- */

/* 'status' is known exactly once: the process stays a zombie until here, so the pid is still its
 * own. */
static bool reap(struct tug_child *c, int *status)
{
    pid_t got;

    *status = -1;
    if (!c->ours)
        return true; /* its pidfd is readable, so it has ended */
    do
        got = waitpid(c->pid, status, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        *status = -1; /* somebody else waited for it */
    return got != 0;
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
    struct tug_child *c = arg;
    int status;

    (void) fd, (void) what;
    if (c->ended || !reap(c, &status))
        return;
    c->ended = true;
    event_del(c->ev);
    c->cb(c->arg, c, status);
}

static int watch(struct tug_child *c, struct event_base *base, struct tug_err *err)
{
    int saved;

    c->pidfd = (int) syscall(SYS_pidfd_open, c->pid, 0);
    saved = errno;
    if (c->pidfd >= 0) { /* close-on-exec by birth */
        c->ev = event_new(base, c->pidfd, EV_READ | EV_PERSIST, on_end, c);
    } else if (c->ours) {
        c->ev = event_new(base, SIGCHLD, EV_SIGNAL | EV_PERSIST, on_end, c);
    } else {
        return tug_fail(err, -saved, "cannot watch process %d: %s", (int) c->pid, strerror(saved));
    }
    if (c->ev == NULL || event_add(c->ev, NULL) < 0)
        return tug_fail(err, -EIO, "cannot watch process %d on the event loop", (int) c->pid);
    if (c->pidfd < 0)
        event_active(c->ev, EV_SIGNAL, 1); /* it may have ended before we listened */
    return 0;
}

static struct tug_child *child_new(pid_t pid, bool ours, tug_child_cb *cb, void *arg)
{
    struct tug_child *c = tug_new(struct tug_child);

    c->pid = pid;
    c->pidfd = -1;
    c->ours = ours;
    c->cb = cb;
    c->arg = arg;
    return c;
}

int tug_child_spawn(struct tug_child **out, struct event_base *base, const struct tug_spawn *s,
                    tug_child_cb *cb, void *arg, struct tug_err *err)
{
    struct tug_child *c;
    pid_t pid;
    int rc = start_program(s, &pid, err);

    if (rc < 0)
        return rc;
    c = child_new(pid, true, cb, arg);
    rc = watch(c, base, err);
    if (rc < 0) { /* a program that nobody would wait for */
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        tug_child_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

int tug_child_adopt(struct tug_child **out, struct event_base *base, pid_t pid, tug_child_cb *cb,
                    void *arg, struct tug_err *err)
{
    siginfo_t info;
    bool ours = waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
    struct tug_child *c = child_new(pid, ours, cb, arg);
    int rc = watch(c, base, err);

    if (rc < 0)
        tug_child_free(c);
    else
        *out = c;
    return rc;
}

pid_t tug_child_pid(const struct tug_child *c)
{
    return c->pid;
}

int tug_child_kill(struct tug_child *c, int signo)
{
    int rc;

    if (c->ended)
        return -ESRCH;
    if (c->pidfd >= 0)
        rc = (int) syscall(SYS_pidfd_send_signal, c->pidfd, signo, NULL, 0);
    else
        rc = kill(c->pid, signo); /* ours and not waited for yet: the pid cannot be another's */
    return rc < 0 ? -errno : 0;
}

void tug_child_free(struct tug_child *c)
{
    if (c == NULL)
        return;
    if (c->ev != NULL)
        event_free(c->ev);
    if (c->pidfd >= 0)
        close(c->pidfd);
    free(c);
}

const char *tug_status_text(int status, char *out, size_t size_bytes)
{
    if (status >= 0 && WIFEXITED(status))
        snprintf(out, size_bytes, "exit code %d", WEXITSTATUS(status));
    else if (status >= 0 && WIFSIGNALED(status))
        snprintf(out, size_bytes, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(out, size_bytes, "an unknown status");
    return out;
}

/* ---- /proc ---- */

/* Files there have no size: read until nothing comes. */
static int read_proc(const char *path, struct tug_buf *out)
{
    ssize_t n;
    int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    do {
        n = read(fd, tug_buf_room(out, 4096), 4096);
        if (n > 0)
            out->len += (size_t) n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0)
        rc = -errno;
    close(fd);
    tug_buf_adds(out, ""); /* NUL at the end */
    return rc;
}

int tug_proc_boot_id(char out[TUG_BOOT_ID_LEN], struct tug_err *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    struct tug_buf b = {NULL, 0, 0};
    int rc = read_proc(path, &b);

    if (rc == 0 && strcspn(tug_buf_str(&b), "\n") != TUG_BOOT_ID_LEN - 1)
        rc = -EINVAL;
    if (rc == 0) {
        memcpy(out, b.data, TUG_BOOT_ID_LEN - 1);
        out[TUG_BOOT_ID_LEN - 1] = '\0';
    } else {
        tug_fail(err, rc, "cannot read the boot id from %s: %s; is /proc mounted?", path,
                 strerror(-rc));
    }
    tug_buf_clear(&b);
    return rc;
}

static int read_proc_of(pid_t pid, const char *name, struct tug_buf *out, struct tug_err *err)
{
    char path[64];
    int rc;

    snprintf(path, sizeof path, "/proc/%d/%s", (int) pid, name);
    rc = read_proc(path, out);
    if (rc == -ENOENT)
        rc = -ESRCH;
    return rc < 0 ? tug_fail(err, rc, "cannot read %s: %s", path, strerror(-rc)) : 0;
}

int tug_proc_cmdline(pid_t pid, struct tug_buf *out, struct tug_err *err)
{
    struct tug_buf b = {NULL, 0, 0};
    int rc = read_proc_of(pid, "cmdline", &b, err);

    while (b.len > 0 && b.data[b.len - 1] == '\0')
        b.len--;
    for (size_t i = 0; rc == 0 && i < b.len; i++)
        tug_buf_addc(out, b.data[i] != '\0' ? b.data[i] : ' ');
    tug_buf_clear(&b);
    return rc;
}

int tug_proc_start_ticks(pid_t pid, uint64_t *out, struct tug_err *err)
{
    struct tug_buf b = {NULL, 0, 0};
    const char *at = NULL;
    char *end;
    uint64_t ticks = 0;
    int rc = read_proc_of(pid, "stat", &b, err);

    if (rc == 0) {
        at = strrchr(tug_buf_str(&b),
                     ')'); /* the name before it may hold anything; field 22 is the 20th after it */
        for (int i = 0; at != NULL && i < 20; i++)
            at = strchr(at + 1, ' ');
        if (at != NULL)
            ticks = strtoull(at + 1, &end, 10);
        if (at == NULL || *end != ' ')
            rc = tug_fail(err, -EINVAL, "/proc/%d/stat has no start time", (int) pid);
        else
            *out = ticks;
    }
    tug_buf_clear(&b);
    return rc;
}
