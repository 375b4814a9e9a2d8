/* test_loop.c - the loop's clocks, timers, wake-ups, signals and its hook. Layer: tests. */
#include "host/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "unit.h"

static struct tug_loop *loop;
static char order[64];

static void note(char c)
{
    size_t n = strlen(order);

    ck_assert_uint_lt(n, sizeof order - 1);
    order[n] = c;
    order[n + 1] = '\0';
}

static void on_a(void *arg)
{
    (void) arg;
    note('a');
}

static void on_b_stop(void *arg)
{
    (void) arg;
    note('b');
    tug_loop_stop(loop);
}

static void on_flush(void *arg)
{
    (void) arg;
    note('.');
}

START_TEST(timers_fire_in_the_order_of_their_times_and_not_before)
{
    struct tug_timer *a, *b;
    uint64_t start = tug_now_ms();

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    ck_assert_int_eq(tug_timer_new(&a, tug_loop_base(loop), on_a, NULL, NULL), 0);
    ck_assert_int_eq(tug_timer_new(&b, tug_loop_base(loop), on_b_stop, NULL, NULL), 0);
    tug_timer_set(b, start + 30);
    tug_timer_set(a, start + 10);
    ck_assert_int_eq(tug_loop_run(loop), 0);
    ck_assert_str_eq(order, "ab");
    ck_assert_uint_ge(tug_now_ms(), start + 30);
    tug_timer_free(a);
    tug_timer_free(b);
    tug_timer_free(NULL);
    tug_loop_free(loop);
}
END_TEST

START_TEST(a_stopped_timer_does_not_fire_and_a_past_one_fires_at_once)
{
    struct tug_timer *a, *b;

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    ck_assert_int_eq(tug_timer_new(&a, tug_loop_base(loop), on_a, NULL, NULL), 0);
    ck_assert_int_eq(tug_timer_new(&b, tug_loop_base(loop), on_b_stop, NULL, NULL), 0);
    tug_timer_set(a, 0); /* has fired in the kernel by now, but was not heard yet */
    tug_timer_stop(a);
    tug_timer_set(b, 1);
    ck_assert_int_eq(tug_loop_run(loop), 0);
    ck_assert_str_eq(order, "b");
    tug_timer_set(a, 0);
    tug_timer_set(b, tug_now_ms() + 5);
    ck_assert_int_eq(tug_loop_run(loop), 0); /* a stopped loop can be run again; 0 is a time too */
    ck_assert_str_eq(order, "bab");
    tug_timer_free(a);
    tug_timer_free(b);
    tug_loop_free(loop);
}
END_TEST

START_TEST(the_hook_runs_after_the_callbacks_of_an_iteration_and_once_more_at_the_end)
{
    struct tug_timer *a, *b;
    uint64_t now = tug_now_ms();

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    tug_loop_before_sleep(loop, on_flush, NULL);
    ck_assert_int_eq(tug_timer_new(&a, tug_loop_base(loop), on_a, NULL, NULL), 0);
    ck_assert_int_eq(tug_timer_new(&b, tug_loop_base(loop), on_b_stop, NULL, NULL), 0);
    tug_timer_set(a, now + 5);
    tug_timer_set(b, now + 25);
    ck_assert_int_eq(tug_loop_run(loop), 0);
    ck_assert_str_eq(order, ".a.b.");
    tug_timer_free(a);
    tug_timer_free(b);
    tug_loop_free(loop);
}
END_TEST

struct waker {
    struct tug_wake *wake;
    int said, heard;
    pthread_mutex_t lock;
};

enum { WAKES = 10000 };

static void *wake_often(void *arg)
{
    struct waker *w = arg;

    for (int i = 0; i < WAKES; i++) {
        pthread_mutex_lock(&w->lock);
        w->said++;
        pthread_mutex_unlock(&w->lock);
        tug_wake_up(w->wake);
    }
    return NULL;
}

static void on_wake(void *arg)
{
    struct waker *w = arg;

    pthread_mutex_lock(&w->lock);
    w->heard = w->said;
    pthread_mutex_unlock(&w->lock);
    if (w->heard == 2 * WAKES)
        tug_loop_stop(loop);
}

START_TEST(no_wake_up_from_another_thread_is_lost)
{
    struct waker w = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t t[2];

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    ck_assert_int_eq(tug_wake_new(&w.wake, tug_loop_base(loop), on_wake, &w, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, wake_often, &w);
    ck_assert_int_eq(tug_loop_run(loop), 0);
    ck_assert_int_eq(w.heard, 2 * WAKES);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    tug_wake_free(w.wake);
    tug_wake_free(NULL);
    tug_loop_free(loop);
}
END_TEST

static void on_signal(void *arg, int signo)
{
    *(int *) arg = signo;
    tug_loop_stop(loop);
}

START_TEST(signals_become_callbacks)
{
    int got = 0;

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    ck_assert_int_eq(tug_loop_on_signal(loop, SIGTERM, on_signal, &got, NULL), 0);
    ck_assert_int_eq(tug_loop_on_signal(loop, SIGHUP, on_signal, &got, NULL), 0);
    kill(getpid(), SIGHUP);
    ck_assert_int_eq(tug_loop_run(loop), 0);
    ck_assert_int_eq(got, SIGHUP);
    kill(getpid(), SIGTERM);
    ck_assert_int_eq(tug_loop_run(loop), 0);
    ck_assert_int_eq(got, SIGTERM);
    tug_loop_free(loop);
}
END_TEST

/* As long as a slow disk or a large request would. */
static void busy_ms(int64_t ms)
{
    struct timespec a, b;

    clock_gettime(CLOCK_MONOTONIC, &a);
    do
        clock_gettime(CLOCK_MONOTONIC, &b);
    while ((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000 < ms * 1000);
}

static void on_slow(void *arg)
{
    note(*(const char *) arg);
    if (*(const char *) arg == 'z')
        tug_loop_stop(loop);
    busy_ms(TUG_LOOP_TURN_MS);
}

START_TEST(a_turn_that_takes_too_long_ends_and_what_was_active_goes_on_in_its_order)
{
    static const char name[] = "xyz";
    struct tug_timer *t[3];
    struct tug_loop_stats s;

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    tug_loop_before_sleep(loop, on_flush, NULL);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(
            tug_timer_new(&t[i], tug_loop_base(loop), on_slow, (void *) (uintptr_t) &name[i], NULL),
            0);
        tug_timer_set(t[i], 0);
    }
    ck_assert_int_eq(tug_loop_run(loop), 0);
    /* The second callback is the first that sees that the time is up; the one that stops is last. */
    ck_assert_str_eq(order, ".xy.z.");
    tug_loop_stats(loop, &s);
    ck_assert_uint_eq(s.turns, 2);
    ck_assert_uint_ge(s.max_us, 2 * TUG_LOOP_TURN_MS * 1000);
    ck_assert_uint_ge(s.p50_us, TUG_LOOP_TURN_MS * 1000);
    for (int i = 0; i < 3; i++)
        tug_timer_free(t[i]);
    tug_loop_free(loop);
}
END_TEST

START_TEST(sleep_is_no_part_of_a_turn)
{
    struct tug_timer *a, *b;
    struct tug_loop_stats s;

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    ck_assert_int_eq(tug_timer_new(&a, tug_loop_base(loop), on_a, NULL, NULL), 0);
    ck_assert_int_eq(tug_timer_new(&b, tug_loop_base(loop), on_b_stop, NULL, NULL), 0);
    tug_timer_set(a, tug_now_ms() + 200);
    tug_timer_set(b, tug_now_ms() + 400);
    ck_assert_int_eq(tug_loop_run(loop), 0);
    tug_loop_stats(loop, &s);
    ck_assert_uint_eq(s.turns, 2);
    ck_assert_uint_lt(s.p50_us, 190000);
    tug_timer_free(a);
    tug_timer_free(b);
    tug_loop_free(loop);
}
END_TEST

static int64_t cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* 'w' waits, anything else computes. */
static void on_work(void *arg)
{
    int64_t until_us = cpu_us() + 3000;

    if (*(const char *) arg == 'w')
        nanosleep(&(struct timespec){0, 60000000}, NULL);
    else
        while (cpu_us() < until_us)
            continue;
    tug_loop_stop(loop);
}

static struct tug_loop_stats turn_of(const char *what)
{
    struct tug_loop_stats s;
    struct tug_timer *t;

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    ck_assert_int_eq(tug_timer_new(&t, tug_loop_base(loop), on_work, (void *) (uintptr_t) what, NULL), 0);
    tug_timer_set(t, 0);
    ck_assert_int_eq(tug_loop_run(loop), 0);
    tug_loop_stats(loop, &s);
    ck_assert_uint_eq(s.turns, 1);
    tug_timer_free(t);
    tug_loop_free(loop);
    return s;
}

START_TEST(what_a_turn_waits_is_told_from_what_it_computes)
{
    struct tug_loop_stats s = turn_of("waits");

    ck_assert_uint_ge(s.max_us, 60000);
    ck_assert_uint_lt(s.cpu_max_us, 60000);
    s = turn_of("computes");
    ck_assert_uint_ge(s.cpu_p50_us, 3000);
    ck_assert_uint_le(s.cpu_p50_us, s.cpu_p99_us);
    ck_assert_uint_le(s.cpu_p99_us, s.cpu_max_us);
}
END_TEST

START_TEST(a_loop_without_events_ends)
{
    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    tug_loop_before_sleep(loop, on_flush, NULL);
    ck_assert_int_eq(tug_loop_run(loop), 0);
    ck_assert_str_eq(order, "..");
    tug_loop_free(loop);
    tug_loop_free(NULL);
}
END_TEST

START_TEST(the_clocks_are_what_they_say)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    ck_assert_uint_le(tug_now_ms() - ((uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000),
                      5000);
    clock_gettime(CLOCK_REALTIME, &t);
    ck_assert_int_le(tug_wall_ms() - (t.tv_sec * 1000 + t.tv_nsec / 1000000), 5000);
}
END_TEST

UNIT_MAIN("host/loop", timers_fire_in_the_order_of_their_times_and_not_before,
          a_stopped_timer_does_not_fire_and_a_past_one_fires_at_once,
          the_hook_runs_after_the_callbacks_of_an_iteration_and_once_more_at_the_end,
          no_wake_up_from_another_thread_is_lost, signals_become_callbacks,
          a_turn_that_takes_too_long_ends_and_what_was_active_goes_on_in_its_order,
          sleep_is_no_part_of_a_turn, what_a_turn_waits_is_told_from_what_it_computes,
          a_loop_without_events_ends, the_clocks_are_what_they_say)
