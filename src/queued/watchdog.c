/* watchdog.c - a policy that hangs or crashes takes no cluster down
 *
 * A hook of a policy runs inside tugd, and nothing can bring it back from a loop or a wrong
 * pointer. So tugd starts anew: the handler of the signal writes down which policy did what (the
 * marker) and executes tugd again in the same process. What was acknowledged is in the store,
 * running gangs don't notice, and the new tugd sees the marker and does without the policy.
 *
 * Everything that the handler needs is made before a hook is asked; in the handler itself nothing
 * but system calls that are safe there. A signal outside a hook, or on another thread, does what it
 * always did. Layer: programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/readfile.h"
#include "queued/daemon.h"

#ifndef sigev_notify_thread_id /* older glibc has the member, but no name for it */
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define MARKER_MAX  (1 << 20)
#define HOOKS_DEEP  3 /* place() within pass() */
#define STACK_BYTES 65536

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define CRASHES (sizeof crashes / sizeof *crashes)

static struct {
    char *path, *fresh, *dir; /* the marker, what it is before it is complete, where it is */
    char *argv[6];            /* of the tugd that comes */
    char lead[80];            /* one more of them, when this one leads */
    int n_args;
    long thread; /* the one that asks hooks */
    timer_t timer;
    sigset_t mask; /* as tugd runs */
    uint32_t timeout_s;
    const char *block; /* policies and their files, as they are now */
    size_t block_len;
    struct {
        const char *policy, *hook;
    } asked[HOOKS_DEEP];
    volatile sig_atomic_t depth; /* hooks that are being asked */
} dog;

/* ---- in the handler */

struct text {
    char at[512];
    size_t len;
};

static void add(struct text *t, const char *s)
{
    while (*s && t->len < sizeof t->at)
        t->at[t->len++] = *s++;
}

static void add_number(struct text *t, uint64_t n)
{
    char digits[24];
    size_t i = sizeof digits - 1;
    digits[i] = '\0';
    do
        digits[--i] = (char) ('0' + n % 10);
    while (n /= 10);
    add(t, digits + i);
}

static const char *crash_name(int signo)
{
    switch (signo) {
    case SIGSEGV:
        return "SIGSEGV, a wrong memory access";
    case SIGBUS:
        return "SIGBUS, a wrong memory access";
    case SIGFPE:
        return "SIGFPE, a wrong calculation";
    case SIGILL:
        return "SIGILL, a wrong instruction";
    default:
        return "SIGABRT, it gave up itself";
    }
}

static void add_sentence(struct text *t, int signo)
{
    int top = dog.depth - 1;
    add(t, "policy '");
    add(t, dog.asked[top].policy);
    add(t, "': its ");
    add(t, dog.asked[top].hook);
    add(t, signo == SIGALRM ? "() did not return within " : "() crashed (");
    if (signo == SIGALRM) {
        add_number(t, dog.timeout_s);
        add(t, " s");
    } else {
        add(t, crash_name(signo));
        add(t, ")");
    }
}

static int write_all(int fd, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno != EINTR)
            return -1;
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t) n : 0;
    }
    return 0;
}

static int write_marker(int signo)
{
    struct text t = {.len = 0};
    struct timespec now = {0};
    int fd = open(dog.fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), dir, rc;
    if (fd < 0)
        return -1;
    clock_gettime(CLOCK_REALTIME, &now);
    add_sentence(&t, signo);
    add(&t, "\nat ");
    add_number(&t, (uint64_t) now.tv_sec);
    add(&t, "\n");
    rc = write_all(fd, t.at, t.len) || write_all(fd, dog.block, dog.block_len) || fsync(fd);
    close(fd);
    if (rc || rename(dog.fresh, dog.path) != 0)
        return -1;
    dir = open(dog.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = dir < 0 || fsync(dir);
    if (dir >= 0)
        close(dir);
    return rc;
}

static void again(int signo)
{
    static const char word[] = "tugd: a policy broke; tugd starts anew without it\n";
    int n = dog.n_args;
    write_all(2, word, sizeof word - 1); /* if somebody reads the log */
    if (write_marker(signo))
        dog.argv[n++] = (char *) (uintptr_t) "--without-policy";
    if (dog.lead[0])
        dog.argv[n] = dog.lead;
    signal(SIGALRM, SIG_IGN); /* one that is on its way must not meet the new tugd unprepared */
    sigprocmask(SIG_SETMASK, &dog.mask, NULL);
    execve("/proc/self/exe", dog.argv, environ);
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void) info;
    (void) context;
    int saved = errno;
    if (dog.depth > 0 && syscall(SYS_gettid) == dog.thread)
        again(signo);
    if (signo != SIGALRM) { /* as if nobody had handled it */
        signal(signo, SIG_DFL);
        raise(signo);
    }
    errno = saved;
}

/* ---- hooks */

void watchdog_begin(const char *policy, const char *hook)
{
    if (!dog.path || dog.depth == HOOKS_DEEP)
        return;
    dog.asked[dog.depth].policy = policy;
    dog.asked[dog.depth].hook = hook;
    if (dog.depth++ == 0) {
        const struct itimerspec in = {.it_value.tv_sec = dog.timeout_s};
        timer_settime(dog.timer, 0, &in, NULL);
    }
}

void watchdog_end(void)
{
    if (!dog.path || dog.depth == 0)
        return;
    if (--dog.depth == 0) { /* one that strikes now is for nobody */
        const struct itimerspec never = {0};
        timer_settime(dog.timer, 0, &never, NULL);
    }
}

static void hook_begins(void *ctx, size_t at, const struct tug_policy_ops *ops, const char *hook)
{
    (void) ctx;
    (void) at;
    watchdog_begin(ops->name, hook);
}

static void hook_ends(void *ctx, size_t at)
{
    (void) ctx;
    (void) at;
    watchdog_end();
}

void watchdog_patience(const struct tugd *d)
{
    dog.timeout_s = (uint32_t) d->cfg.scheduler.policy_timeout_s;
}

void watchdog_of(struct tugd *d, const char *block)
{
    free((char *) (uintptr_t) dog.block);
    dog.block = tug_xstrdup(block);
    dog.block_len = strlen(block);
    watchdog_patience(d);
    tug_control_watch_hooks(d->control, &(struct tug_hook_watch){hook_begins, hook_ends, NULL});
}

/* ---- the marker */

/* 'at' is its second line: "at 1700000000". */
static void say_when(const char *at, char *out, size_t size_bytes)
{
    time_t when = (time_t) strtoll(strncmp(at, "at ", 3) == 0 ? at + 3 : "0", NULL, 10);
    struct tm tm;
    if (!localtime_r(&when, &tm) || !strftime(out, size_bytes, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(out, size_bytes, "some time");
}

int watchdog_forbids(const struct tugd *d, const char *block, char *why, size_t size_bytes)
{
    struct tug_buf text = {0};
    char when[64];
    int is_same = 0;

    if (d->without_policy) {
        snprintf(why, size_bytes, "tugd was started without a policy (--without-policy)");
        return 1;
    }
    if (!dog.path || tug_readfile(dog.path, MARKER_MAX, &text, NULL) != 0)
        return 0;
    const char *said = tug_buf_str(&text), *at = strchr(said, '\n'), *rest;
    rest = at ? strchr(at + 1, '\n') : NULL;
    is_same = rest && !strcmp(rest + 1, block);
    if (is_same) {
        say_when(at + 1, when, sizeof when);
        snprintf(why, size_bytes,
                 "%.*s at %s, and tugd started anew; it is tried again when its file or its "
                 "configuration has changed, or %s is removed",
                 (int) (at - said), said, when, dog.path);
    } else {
        tug_info("%s: policy or configuration have changed since; it is tried again", dog.path);
        unlink(dog.path);
    }
    tug_buf_clear(&text);
    return is_same;
}

/* ---- life */

static int take_signals(struct tug_err *err)
{
    static char stack[STACK_BYTES]; /* a hook may have used up the usual one */
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction act = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    int rc = sigaltstack(&other, NULL);

    act.sa_sigaction = on_signal;
    sigfillset(&act.sa_mask);
    for (size_t i = 0; i < CRASHES && !rc; i++)
        rc = sigaction(crashes[i], &act, NULL);
    act.sa_flags |= SA_RESTART;
    rc = rc ? rc : sigaction(SIGALRM, &act, NULL);
    return rc ? tug_fail(err, -errno, "cannot watch over policies: %s", strerror(errno)) : 0;
}

int watchdog_open(struct tugd *d, const char *program, struct tug_err *err)
{
    struct sigevent how = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};

    prctl(PR_SET_NAME, "tugd"); /* "exe" after the start by the handler */
    dog.thread = syscall(SYS_gettid);
    how.sigev_notify_thread_id = (pid_t) dog.thread;
    sigprocmask(SIG_SETMASK, NULL, &dog.mask);
    if (timer_create(CLOCK_MONOTONIC, &how, &dog.timer) != 0)
        return tug_fail(err, -errno, "cannot make a timer to watch over policies: %s",
                        strerror(errno));
    int rc = take_signals(err);
    if (rc)
        return rc;
    dog.argv[dog.n_args++] = tug_xstrdup(program);
    dog.argv[dog.n_args++] = tug_xstrdup("--config");
    dog.argv[dog.n_args++] = tug_xstrdup(d->config_path);
    dog.dir = tug_xstrdup(d->state_dir);
    dog.fresh = tug_xasprintf("%s/policy-off.new", d->state_dir);
    dog.path = tug_xasprintf("%s/policy-off", d->state_dir);
    return 0;
}

void watchdog_leads(const char *token)
{
    if (token[0])
        snprintf(dog.lead, sizeof dog.lead, "--led=%s", token);
}

void watchdog_again(void)
{
    execve("/proc/self/exe", dog.argv, environ);
    tug_error("cannot execute this program anew: %s", strerror(errno));
}

void watchdog_close(void)
{
    if (!dog.path)
        return;
    timer_delete(dog.timer);
    for (size_t i = 0; i < CRASHES; i++)
        signal(crashes[i], SIG_DFL);
    signal(SIGALRM, SIG_IGN);
    for (int i = 0; i < dog.n_args; i++)
        free(dog.argv[i]);
    free(dog.dir);
    free(dog.fresh);
    free(dog.path);
    free((char *) (uintptr_t) dog.block);
    memset(&dog, 0, sizeof dog);
}
