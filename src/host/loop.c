/* loop.c - the event loop of every daemon: signals, timers, wake-ups, one hook before sleeping
 *
 * libevent 2.1 has no "prepare" watchers, so the loop is run one iteration at a time: EVLOOP_ONCE
 * returns when nothing is active any more, which is exactly the moment before sleeping. Timers are
 * timerfds because libevent's clock stops during suspend and leases must not.
 * Layer: host.
 */
#include "host/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/hist.h"
#include "base/mem.h"

#define WINDOW_US 60000000 /* two of them are what is told about */

struct on_signal {
    tug_signal_cb *cb;
    void *arg;
    struct event *ev;
};

struct tug_loop {
    struct event_base *base;
    tug_loop_cb *before_sleep;
    void *before_sleep_arg;
    bool stopping;
    int64_t began_us;         /* of this turn; 0 = no callback has run in it */
    int64_t cpu_us;           /* of this thread, as it began */
    int64_t window_us;        /* when the first of the two windows began */
    struct window {
        struct tug_hist wall, cpu;
    } turns[2]; /* of this window and the one before */
    struct on_signal sig[NSIG];
};

/* The one that this thread runs: a callback knows its event only. */
static _Thread_local struct tug_loop *running;

/* Timers and wakes are the same thing with another descriptor: one that becomes readable with 8
 * bytes to read. */
struct tick {
    int fd;
    struct event *ev;
    tug_loop_cb *cb;
    void *arg;
};
struct tug_timer {
    struct tick t;
};
struct tug_wake {
    struct tick t;
};

static int64_t clock_us(clockid_t clock)
{
    struct timespec ts;

    tug_assert(clock_gettime(clock, &ts) == 0);
    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t clock_ms(clockid_t clock)
{
    struct timespec ts;

    tug_assert(clock_gettime(clock, &ts) == 0);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

uint64_t tug_now_ms(void)
{
    return (uint64_t) clock_ms(CLOCK_BOOTTIME);
}

uint64_t tug_now_us(void)
{
    return (uint64_t) clock_us(CLOCK_BOOTTIME);
}

int64_t tug_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int tug_loop_new(struct tug_loop **out, struct tug_err *err)
{
    struct tug_loop *l = tug_new(struct tug_loop);

    l->base = event_base_new();
    if (l->base == NULL) {
        free(l);
        return tug_fail(err, -EMFILE,
                        "cannot create an event loop; raise the limit of open files (ulimit -n)");
    }
    signal(SIGPIPE, SIG_IGN);
    *out = l;
    return 0;
}

void tug_loop_free(struct tug_loop *l)
{
    if (l == NULL)
        return;
    for (int i = 0; i < NSIG; i++)
        if (l->sig[i].ev != NULL)
            event_free(l->sig[i].ev);
    event_base_free(l->base);
    free(l);
}

struct event_base *tug_loop_base(struct tug_loop *l)
{
    return l->base;
}

/* ---- turns */

void tug_loop_callback(void)
{
    struct tug_loop *l = running;
    int64_t now;

    if (l == NULL)
        return;
    now = clock_us(CLOCK_MONOTONIC);
    if (l->began_us == 0) {
        l->began_us = now;
        l->cpu_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
    } else if (now - l->began_us >= TUG_LOOP_TURN_MS * 1000 && !l->stopping)
        event_base_loopbreak(l->base);
}

static void next_window(struct tug_loop *l, int64_t now)
{
    if (now - l->window_us < WINDOW_US)
        return;
    if (now - l->window_us < 2 * WINDOW_US)
        l->turns[1] = l->turns[0];
    else
        memset(&l->turns[1], 0, sizeof l->turns[1]);
    memset(&l->turns[0], 0, sizeof l->turns[0]);
    l->window_us = now;
}

static uint32_t since(int64_t from_us, int64_t now_us)
{
    return now_us - from_us > UINT32_MAX ? UINT32_MAX : (uint32_t) (now_us - from_us);
}

static void end_turn(struct tug_loop *l)
{
    int64_t now, began_us;

    if (l->before_sleep != NULL)
        l->before_sleep(l->before_sleep_arg);
    if (l->began_us == 0)
        return;
    now = clock_us(CLOCK_MONOTONIC);
    began_us = l->began_us;
    l->began_us = 0;
    next_window(l, now);
    tug_hist_add(&l->turns[0].wall, since(began_us, now));
    tug_hist_add(&l->turns[0].cpu, since(l->cpu_us, clock_us(CLOCK_THREAD_CPUTIME_ID)));
}

void tug_loop_stats(struct tug_loop *l, struct tug_loop_stats *out)
{
    struct window w;

    next_window(l, clock_us(CLOCK_MONOTONIC));
    w = l->turns[0];
    tug_hist_merge(&w.wall, &l->turns[1].wall);
    tug_hist_merge(&w.cpu, &l->turns[1].cpu);
    *out = (struct tug_loop_stats){.turns = w.wall.n,
                                   .p50_us = tug_hist_quantile(&w.wall, 500),
                                   .p99_us = tug_hist_quantile(&w.wall, 990),
                                   .max_us = w.wall.max,
                                   .cpu_p50_us = tug_hist_quantile(&w.cpu, 500),
                                   .cpu_p99_us = tug_hist_quantile(&w.cpu, 990),
                                   .cpu_max_us = w.cpu.max};
}

static int run(struct tug_loop *l)
{
    int rc;

    while (!l->stopping) {
        end_turn(l);
        if (l->stopping)
            break;
        rc = event_base_loop(l->base, EVLOOP_ONCE);
        if (rc < 0)
            return -EIO;
        if (rc > 0) /* nothing is left that could ever happen */
            break;
    }
    end_turn(l);
    l->stopping = false;
    return 0;
}

int tug_loop_run(struct tug_loop *l)
{
    struct tug_loop *outer = running;
    int rc;

    running = l;
    l->began_us = 0;
    rc = run(l);
    running = outer;
    return rc;
}

void tug_loop_stop(struct tug_loop *l)
{
    l->stopping = true;
}

void tug_loop_before_sleep(struct tug_loop *l, tug_loop_cb *cb, void *arg)
{
    l->before_sleep = cb;
    l->before_sleep_arg = arg;
}

static void on_signal_event(evutil_socket_t signo, short what, void *arg)
{
    struct tug_loop *l = arg;

    (void) what;
    tug_loop_callback();
    l->sig[signo].cb(l->sig[signo].arg, (int) signo);
}

int tug_loop_on_signal(struct tug_loop *l, int signo, tug_signal_cb *cb, void *arg,
                       struct tug_err *err)
{
    struct on_signal *s;

    tug_assert(signo > 0 && signo < NSIG);
    s = &l->sig[signo];
    s->cb = cb;
    s->arg = arg;
    if (s->ev != NULL)
        return 0;
    s->ev = evsignal_new(l->base, signo, on_signal_event, l);
    if (s->ev != NULL && event_add(s->ev, NULL) == 0)
        return 0;
    if (s->ev != NULL)
        event_free(s->ev);
    s->ev = NULL;
    return tug_fail(err, -EIO, "cannot handle signal %d (%s) on the event loop", signo,
                    strsignal(signo));
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct tick *t = arg;
    uint64_t n;

    (void) what;
    tug_loop_callback();
    if (read((int) fd, &n, sizeof n) ==
        (ssize_t) sizeof n) /* EAGAIN: it was stopped after it became readable */
        t->cb(t->arg);
}

/* Takes 'fd'. */
static int tick_init(struct tick *t, int fd, struct event_base *base, tug_loop_cb *cb, void *arg,
                     struct tug_err *err)
{
    int saved = errno;

    *t = (struct tick){.fd = fd, .cb = cb, .arg = arg};
    if (fd >= 0) {
        t->ev = event_new(base, fd, EV_READ | EV_PERSIST, on_tick, t);
        if (t->ev != NULL && event_add(t->ev, NULL) == 0)
            return 0;
        saved = EIO;
        if (t->ev != NULL)
            event_free(t->ev);
        close(fd);
    }
    return tug_fail(err, -saved, "cannot add a timer or wake-up to the event loop: %s",
                    strerror(saved));
}

static void tick_clear(struct tick *t)
{
    event_free(t->ev);
    close(t->fd);
}

int tug_timer_new(struct tug_timer **out, struct event_base *base, tug_loop_cb *cb, void *arg,
                  struct tug_err *err)
{
    struct tug_timer *t = tug_new(struct tug_timer);
    int rc = tick_init(&t->t, timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK), base, cb,
                       arg, err);

    if (rc < 0)
        free(t);
    else
        *out = t;
    return rc;
}

void tug_timer_set(struct tug_timer *t, uint64_t at_ms)
{
    struct itimerspec it = {.it_value = {.tv_sec = (time_t) (at_ms / 1000),
                                         .tv_nsec = (long) (at_ms % 1000) * 1000000}};

    if (at_ms == 0)
        it.it_value.tv_nsec = 1; /* all zero would stop it */
    tug_assert(timerfd_settime(t->t.fd, TFD_TIMER_ABSTIME, &it, NULL) == 0);
}

void tug_timer_stop(struct tug_timer *t)
{
    tug_assert(timerfd_settime(t->t.fd, 0, &(struct itimerspec){{0, 0}, {0, 0}}, NULL) == 0);
}

void tug_timer_free(struct tug_timer *t)
{
    if (t == NULL)
        return;
    tick_clear(&t->t);
    free(t);
}

int tug_wake_new(struct tug_wake **out, struct event_base *base, tug_loop_cb *cb, void *arg,
                 struct tug_err *err)
{
    struct tug_wake *w = tug_new(struct tug_wake);
    int rc = tick_init(&w->t, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), base, cb, arg, err);

    if (rc < 0)
        free(w);
    else
        *out = w;
    return rc;
}

void tug_wake_up(struct tug_wake *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->t.fd, &one, sizeof one);

    tug_assert(n == (ssize_t) sizeof one ||
               errno == EAGAIN); /* EAGAIN: 2^64 - 2 wake-ups are waiting */
}

void tug_wake_free(struct tug_wake *w)
{
    if (w == NULL)
        return;
    tick_clear(&w->t);
    free(w);
}
