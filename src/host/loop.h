/* loop.h - the event loop of every daemon: signals, timers, wake-ups, one hook before sleeping
 *
 * A thin shell over libevent; parts that need more take the event_base. One thread runs the loop
 * and all callbacks; only tug_wake_up() may be called from elsewhere.
 *
 * Two clocks, never mixed: tug_now_ms() is for anything that must happen (it goes on during suspend
 * and never jumps); tug_wall_ms() is for what people read.
 *
 * Layer: host.
 */
#ifndef TUG_HOST_LOOP_H
#define TUG_HOST_LOOP_H

#include <stdint.h>

#include "base/err.h"

struct event_base;
struct tug_loop;
struct tug_timer;
struct tug_wake;

uint64_t tug_now_ms(void); /* CLOCK_BOOTTIME */
uint64_t tug_now_us(void);
int64_t tug_wall_ms(void); /* CLOCK_REALTIME */

/* Also makes the process ignore SIGPIPE. Fails only when the kernel gives no descriptors
 * (-EMFILE...). */
int tug_loop_new(struct tug_loop **out, struct tug_err *err);
void tug_loop_free(struct tug_loop *l); /* free timers and wakes first */
struct event_base *tug_loop_base(struct tug_loop *l);

/* Run until tug_loop_stop() or until no event is left (returns 0), or until libevent fails (-EIO).
 */
int tug_loop_run(struct tug_loop *l);
/* Finish the callbacks that are already active, run the hook once more, then return from
 * tug_loop_run(). */
void tug_loop_stop(struct tug_loop *l);

/* 'cb' runs once per iteration, after all callbacks of it and before the loop may sleep: the place
 * to flush what the iteration gathered. It may do anything a callback may. NULL takes it away. */
typedef void tug_loop_cb(void *arg);
void tug_loop_before_sleep(struct tug_loop *l, tug_loop_cb *cb, void *arg);

/* A turn of the loop is from the first callback after the loop slept until it may sleep again, the
 * hook included. When it has taken TUG_LOOP_TURN_MS, it ends after the callback that is running: the
 * hook runs, what else was active keeps its place, and what came meanwhile has its turn. So a
 * thousand peers who all say something at once neither hold up what they wait for nor others.
 * Whatever hands a descriptor's news to its owner calls this first. Costs one reading of the clock, and one of the thread's CPU time a turn. */
#define TUG_LOOP_TURN_MS 5
void tug_loop_callback(void);

/* The turns of the last one to two minutes (fewer right after the start): how long they took, and how much of that this thread
 * computed. The rest it waited, for a CPU that others had, or where a callback waits. */
struct tug_loop_stats {
    uint64_t turns;
    uint32_t p50_us, p99_us, max_us;
    uint32_t cpu_p50_us, cpu_p99_us, cpu_max_us;
};
void tug_loop_stats(struct tug_loop *l, struct tug_loop_stats *out);

/* Signals become callbacks on the loop. One callback a signal; a second call replaces it. */
typedef void tug_signal_cb(void *arg, int signo);
int tug_loop_on_signal(struct tug_loop *l, int signo, tug_signal_cb *cb, void *arg,
                       struct tug_err *err);

/* A one-shot timer on tug_now_ms(). tug_timer_set() replaces what was set; a time that has passed
 * fires at once. */
int tug_timer_new(struct tug_timer **out, struct event_base *base, tug_loop_cb *cb, void *arg,
                  struct tug_err *err);
void tug_timer_set(struct tug_timer *t, uint64_t at_ms);
void tug_timer_stop(struct tug_timer *t);
void tug_timer_free(struct tug_timer *t);

/* 'cb' runs on the loop soon after tug_wake_up(), which any thread may call; calls in between are
 * one callback. */
int tug_wake_new(struct tug_wake **out, struct event_base *base, tug_loop_cb *cb, void *arg,
                 struct tug_err *err);
void tug_wake_up(struct tug_wake *w);
void tug_wake_free(struct tug_wake *w); /* no thread may call tug_wake_up() any more */

#endif
