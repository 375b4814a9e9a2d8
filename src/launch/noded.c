/* noded.c - tugnoded: started without privileges, heard over one socketpair, started again when it dies
 *
 * It is not trusted: what it says is a fixed-size record, and only a signed order starts anything. Layer: launch.
 */
#include "launch/noded.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define ARGS_MAX 128
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000 /* the steps' leases run out while it is away */
#define BACKOFF_REFUSED_MS 30000
#define RETRY_MS 10000 /* after no process could be made */
#define HEALTHY_MS 10000

int64_t tug_boot_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void become_noded(const struct tug_noded *n, int fd, char *const *argv, pid_t parent)
{
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (n->drop && tug_drop(n->uid, n->gid, NULL, 0) < 0)
        _exit(126);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
        _exit(126);
    if (fd == TUG_WIRE_FD ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, TUG_WIRE_FD) < 0)
        _exit(126);
    if (syscall(SYS_close_range, TUG_WIRE_FD + 1, ~0U, 0) < 0)
        _exit(126);
    execv(argv[0], argv);
    _exit(127);
}

int tug_noded_start(struct tug_noded *n, struct tug_steps *s, struct tug_err *err)
{
    char boot_id[64], *argv[ARGS_MAX + 3];
    int pair[2], i = 0;
    n->started_ms = tug_boot_ms();
    n->next_start_ms = n->started_ms + RETRY_MS;
    n->listed = false;
    n->unsent.type = 0;
    snprintf(boot_id, sizeof boot_id, "--boot-id=%s", n->boot_id);
    argv[i++] = n->argv[0];
    argv[i++] = boot_id;
    for (char *const *a = n->argv + 1; *a && i < ARGS_MAX; a++)
        argv[i++] = *a;
    argv[i] = NULL;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return tug_fail(err, -errno, "no socketpair for tugnoded: %s", strerror(errno));
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become_noded(n, pair[1], argv, parent);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return tug_fail(err, -errno, "tugnoded cannot be forked: %s", strerror(errno));
    }
    s->noded = pid;
    n->fd = pair[0];
    return 0;
}

void tug_noded_ended(struct tug_noded *n, int status)
{
    int64_t now_ms = tug_boot_ms(), wait_ms = BACKOFF_MIN_MS;
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
    n->listed = false;
    if (now_ms - n->started_ms >= HEALTHY_MS)
        n->fails = 0;
    for (unsigned i = 0; i < n->fails && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    n->fails++;
    if (wait_ms > BACKOFF_MAX_MS)
        wait_ms = BACKOFF_MAX_MS;
    if (WIFEXITED(status) && WEXITSTATUS(status) == TUG_WIRE_EXIT_REFUSED)
        wait_ms = BACKOFF_REFUSED_MS;
    n->next_start_ms = now_ms + wait_ms;
    if (WIFSIGNALED(status))
        tug_warn("tugnoded ended by signal %d; steps stay, it is started again in %lld ms", WTERMSIG(status),
                 (long long) wait_ms);
    else
        tug_warn("tugnoded ended with exit code %d%s; steps stay, it is started again in %lld ms", WEXITSTATUS(status),
                 WEXITSTATUS(status) == 127 ? " (it cannot be executed)" : "", (long long) wait_ms);
}

/* ---- records */

static struct tug_wire record(enum tug_wire_type type, uint64_t job, uint32_t attempt, uint32_t step)
{
    struct tug_wire w;
    memset(&w, 0, sizeof w);
    w.version = TUG_WIRE_VERSION;
    w.type = type;
    w.job = job;
    w.attempt = attempt;
    w.step = step;
    return w;
}

static bool put(struct tug_noded *n, const struct tug_wire *w)
{
    return n->fd >= 0 && send(n->fd, w, sizeof *w, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t) sizeof *w;
}

/* An answer; when the socket is full it waits, and nothing more is read until it is out. */
static void answer(struct tug_noded *n, const struct tug_wire *w)
{
    if (n->fd >= 0 && !put(n, w) && (errno == EAGAIN || errno == ENOBUFS))
        n->unsent = *w;
}

static struct tug_wire held(enum tug_wire_type type, const struct tug_step *st)
{
    struct tug_wire w = record(type, st->job, st->attempt, st->step);
    w.held.pid = (uint32_t) st->pid;
    w.held.uid = st->uid;
    w.held.requeueable = st->requeueable;
    w.held.left = st->phase == TUG_STEP_ENDING;
    return w;
}

static void on_start(struct tug_noded *n, struct tug_steps *s, const struct tug_wire *w, int payload_fd)
{
    struct tug_err err = {0};
    struct tug_step *st = NULL;
    struct tug_order claimed;
    int rc = payload_fd < 0 ? tug_fail(&err, -EPROTO, "no payload came with the order") : 0;
    if (!rc && !tug_order_unpack(w->start.order, &claimed, NULL)) {
        if (claimed.job != w->job || claimed.attempt != w->attempt || claimed.step != w->step)
            rc = tug_fail(&err, -EPROTO, "the order is for another step than its record");
        else if (!tug_lease_allows(&n->lease, claimed.flags & TUG_ORDER_REQUEUEABLE, tug_boot_ms()))
            rc = tug_fail(&err, -EPERM, "the node has no lease, and the step could be running elsewhere");
    }
    if (!rc)
        rc = tug_steps_start(s, w->start.order, w->start.signature, payload_fd, &st, &err);
    if (rc) {
        struct tug_wire no = record(TUG_WIRE_REFUSED, w->job, w->attempt, w->step);
        memcpy(no.refused.text, err.msg, sizeof no.refused.text - 1);
        tug_warn("order for job %llu attempt %u step %u refused: %s", (unsigned long long) w->job, w->attempt, w->step,
                 err.msg);
        answer(n, &no);
        return;
    }
    struct tug_wire yes = held(TUG_WIRE_STARTED, st);
    answer(n, &yes);
}

static bool tell_gone(struct tug_noded *n, struct tug_steps *s, struct tug_step *st)
{
    struct tug_wire w = record(TUG_WIRE_GONE, st->job, st->attempt, st->step);
    w.gone.wait_status = st->wait_status;
    w.gone.oom = st->use.oom_kills > 0;
    w.gone.use = (struct tug_wire_use){st->use.pids_max, st->use.pids_hits, st->use.mem_max, st->use.mem_peak, st->use.oom_kills};
    w.gone.lease = st->overdue;
    w.gone.cpu_us = (uint64_t) (st->usage.ru_utime.tv_sec + st->usage.ru_stime.tv_sec) * 1000000 +
                    (uint64_t) (st->usage.ru_utime.tv_usec + st->usage.ru_stime.tv_usec);
    w.gone.max_rss_bytes = (uint64_t) st->usage.ru_maxrss * 1024;
    if (!put(n, &w))
        return false;
    tug_steps_told(s, st);
    return true;
}

/* What the kernel says of a process, as it is: nothing in it is a user's. */
static void kernel_text(pid_t pid, const char *what, char *out, size_t size_bytes)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, what);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, out, size_bytes - 1) : 0;
    out[len > 0 ? len : 0] = 0;
    if (fd >= 0)
        close(fd);
}

/* All records of it, or it is tried again at the next sweep. */
static void tell_stuck(struct tug_noded *n, struct tug_steps *s, struct tug_step *st)
{
    pid_t pids[TUG_WIRE_STUCK_MAX];
    size_t all, of = tug_steps_left(s, st, pids, &all);
    for (size_t i = 0; i < of; i++) {
        struct tug_wire w = record(TUG_WIRE_STUCK, st->job, st->attempt, st->step);
        w.stuck.wait_status = st->wait_status;
        w.stuck.lease = st->overdue;
        w.stuck.pid = (uint32_t) pids[i];
        w.stuck.nth = (uint32_t) i;
        w.stuck.of = (uint32_t) of;
        w.stuck.all = (uint32_t) all;
        kernel_text(pids[i], "wchan", w.stuck.wchan, sizeof w.stuck.wchan);
        kernel_text(pids[i], "stack", w.stuck.stack, sizeof w.stuck.stack);
        if (!put(n, &w))
            return;
    }
    st->tell_ms = tug_boot_ms() + TUG_STUCK_AGAIN_MS;
}

void tug_noded_tell(struct tug_noded *n, struct tug_steps *s)
{
    if (n->fd < 0)
        return;
    if (n->unsent.type && put(n, &n->unsent))
        n->unsent.type = 0;
    if (n->unsent.type || !n->listed)
        return;
    for (size_t i = 0; i < s->n; i++)
        if (s->at[i].phase == TUG_STEP_GONE && !s->at[i].told && !tell_gone(n, s, &s->at[i]))
            return;
        else if (s->at[i].phase == TUG_STEP_ENDING && s->at[i].killed && s->at[i].tell_ms <= tug_boot_ms())
            tell_stuck(n, s, &s->at[i]);
}

bool tug_noded_wants_write(const struct tug_noded *n, const struct tug_steps *s)
{
    if (n->unsent.type)
        return true;
    for (size_t i = 0; n->listed && i < s->n; i++)
        if (s->at[i].phase == TUG_STEP_GONE && !s->at[i].told)
            return true;
    return false;
}

/* A new tugnoded asks once, and its socket is empty then: all of it fits, or it is broken and hangs up. */
static void on_list(struct tug_noded *n, struct tug_steps *s)
{
    int flags = fcntl(n->fd, F_GETFL);
    fcntl(n->fd, F_SETFL, flags & ~O_NONBLOCK);
    setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = 5}, sizeof(struct timeval));
    bool ok = true;
    for (size_t i = 0; ok && i < s->n; i++) {
        struct tug_step *st = &s->at[i];
        struct tug_wire w = held(TUG_WIRE_HELD, st);
        if (st->phase == TUG_STEP_RUNNING || st->phase == TUG_STEP_ENDING)
            ok = send(n->fd, &w, sizeof w, MSG_NOSIGNAL) == (ssize_t) sizeof w;
        if (st->phase == TUG_STEP_ENDING && st->tell_ms > st->ending_ms + TUG_STUCK_MS)
            st->tell_ms = 0;            /* that one has not heard of it */
        else if (st->phase == TUG_STEP_GONE && !st->told)
            ok = tell_gone(n, s, st);
    }
    struct tug_wire end = record(TUG_WIRE_LISTED, 0, 0, 0);
    end.lease.until_boot_ms = n->lease.until_ms;
    end.lease.limits_pids = s->limits.at[TUG_LIMIT_PIDS].dir >= 0;
    end.lease.pongs = 1;
    end.lease.limits_memory = s->limits.at[TUG_LIMIT_MEMORY].dir >= 0;
    if (ok)
        ok = send(n->fd, &end, sizeof end, MSG_NOSIGNAL) == (ssize_t) sizeof end;
    fcntl(n->fd, F_SETFL, flags);
    n->listed = ok;
    if (!ok)
        tug_warn("tugnoded does not read what it asked for");
}

/* Of its configuration. It can end what runs here, so it may as well starve it. */
static void on_limits(struct tug_steps *s, const struct tug_wire *w)
{
    struct tug_err err = {0};
    s->limits.pids_max = w->limits.pids_max;
    if (tug_limits_cap(&s->limits, w->limits.mem_max, &err))
        tug_warn("%s", err.msg);
}

static void obey(struct tug_noded *n, struct tug_steps *s, const struct tug_wire *w, int fd)
{
    struct tug_step *st;
    switch (w->type) {
    case TUG_WIRE_START:
        on_start(n, s, w, fd);
        break;
    case TUG_WIRE_KILL:
        if ((st = tug_steps_find(s, w->job, w->attempt, w->step)) != NULL)
            tug_steps_kill(s, st);
        break;
    case TUG_WIRE_LIST:
        on_list(n, s);
        break;
    case TUG_WIRE_LEASE:
        tug_lease_set(&n->lease, w->lease.until_boot_ms);
        break;
    case TUG_WIRE_PING:
        answer(n, &(struct tug_wire){.version = TUG_WIRE_VERSION, .type = TUG_WIRE_PONG});
        break;
    case TUG_WIRE_LIMITS:
        on_limits(s, w);
        break;
    default:
        tug_warn("tugnoded sent a record of unknown type %u", w->type);
    }
}

/* 1 = got one, 0 = there is none, -1 = hung up or broken. */
static int receive(int sock, struct tug_wire *w, int *fd)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = w, .iov_len = sizeof *w};
    /* CMSG_LEN, not the room with its padding: a second descriptor would fit into that, and stay open. */
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int))};
    *fd = -1;
    ssize_t n = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(fd, CMSG_DATA(c), sizeof *fd);
    if (n != (ssize_t) sizeof *w || w->version != TUG_WIRE_VERSION || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return -1;
    return 1;
}

int tug_noded_read(struct tug_noded *n, struct tug_steps *s)
{
    for (int i = 0; i < 64 && n->fd >= 0 && !n->unsent.type; i++) {
        struct tug_wire w;
        int fd, got = receive(n->fd, &w, &fd);
        if (got == 1)
            obey(n, s, &w, fd);
        if (fd >= 0)
            close(fd);
        if (got <= 0)
            return got;
    }
    return 0;
}
