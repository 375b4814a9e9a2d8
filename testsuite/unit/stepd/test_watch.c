/* test_watch.c - who holds a gang up: looks and a virtual clock in, a verdict out */
#include "unit.h"

#include "base/rand.h"
#include "stepd/watch.h"

#define PERIOD  5000u
#define HANG    600000u
#define MINUTES 60000u

/* What a rank does from one look to the next. */
struct habit {
    enum tug_doing doing;
    unsigned cpu_ms, io_bytes; /* more at each look */
    const char *where;
};

static const struct habit waits = {TUG_DOING_WAITS, 2, 200, "futex_do_wait"};
static const struct habit polls = {TUG_DOING_WAITS, 0, 0, "ep_poll"};
static const struct habit sleeps = {TUG_DOING_SLEEPS, 1, 0, "hrtimer_nanosleep"};
static const struct habit blocked = {TUG_DOING_BLOCKS, 0, 0, "rpc_wait_bit_killable"};
static const struct habit writes = {TUG_DOING_BLOCKS, 20, 8 << 20, "folio_wait_bit_common"};
static const struct habit computes = {TUG_DOING_RUNS, 4900, 0, ""};
static const struct habit spins = {TUG_DOING_RUNS, 5000, 0, ""};
static const struct habit stopped = {TUG_DOING_STOPPED, 0, 0, "python3, pid 4711"};
static const struct habit traced = {TUG_DOING_TRACED, 0, 0, "python3, pid 4711"};
static const struct habit ended = {TUG_DOING_ENDED, 0, 0, ""};
static const struct habit unknown = {TUG_DOING_UNKNOWN, 0, 0, ""};

struct world {
    struct tug_watch *w;
    unsigned n;
    uint64_t now_ms, cpu_ms[8], io[8];
    struct tug_verdict v;
};

static struct world *world_new(unsigned n)
{
    struct world *x = calloc(1, sizeof *x);

    x->n = n;
    x->now_ms = 1000;
    x->w = tug_watch_new(n, HANG, PERIOD);
    return x;
}

static void world_free(struct world *x)
{
    tug_watch_free(x->w);
    free(x);
}

static void look(struct world *x, unsigned rank, const struct habit *h)
{
    struct tug_look l = {.doing = h->doing};

    x->cpu_ms[rank] += h->cpu_ms;
    x->io[rank] += h->io_bytes;
    l.cpu_ms = x->cpu_ms[rank];
    l.io_bytes = x->io[rank];
    snprintf(l.where, sizeof l.where, "%s", h->where);
    tug_watch_look(x->w, rank, x->now_ms, &l);
}

/* All ranks do as 'habits' say for so long; the verdict at the end. */
static enum tug_verdict_kind live(struct world *x, uint64_t span_ms, const struct habit *const *habits)
{
    for (uint64_t until = x->now_ms + span_ms; x->now_ms < until;) {
        x->now_ms += PERIOD;
        for (unsigned i = 0; i < x->n; i++)
            look(x, i, habits[i]);
        tug_watch_judge(x->w, x->now_ms, &x->v);
    }
    return x->v.kind;
}

#define LIVE(x, span, ...) live(x, span, (const struct habit *const[]){__VA_ARGS__})

START_TEST(a_stopped_rank_is_named_within_30_seconds)
{
    struct world *x = world_new(4);

    ck_assert_int_eq(LIVE(x, MINUTES, &computes, &computes, &computes, &computes), TUG_VERDICT_NONE);
    ck_assert_int_eq(LIVE(x, 20000, &computes, &computes, &stopped, &waits), TUG_VERDICT_STOPPED);
    ck_assert_uint_eq(x->v.all, 1);
    ck_assert_uint_eq(x->v.ranks[0], 2);
    ck_assert(!x->v.ripe);
    ck_assert_str_eq(x->v.text, "is stopped by a signal (python3, pid 4711)");
    /* nobody acts before the time-out */
    ck_assert_int_eq(LIVE(x, 9 * MINUTES, &computes, &waits, &stopped, &waits), TUG_VERDICT_STOPPED);
    ck_assert(!x->v.ripe);
    LIVE(x, MINUTES, &waits, &waits, &stopped, &waits);
    ck_assert(x->v.ripe);
    world_free(x);
}
END_TEST

START_TEST(a_stopped_rank_that_goes_on_is_let_off)
{
    struct world *x = world_new(2);

    ck_assert_int_eq(LIVE(x, 20000, &waits, &stopped), TUG_VERDICT_STOPPED);
    ck_assert_int_eq(LIVE(x, 5000, &waits, &computes), TUG_VERDICT_NONE);
    ck_assert_int_eq(LIVE(x, 5000, &waits, &stopped), TUG_VERDICT_NONE);
    world_free(x);
}
END_TEST

START_TEST(a_rank_in_a_debugger_is_named_but_never_acted_on)
{
    struct world *x = world_new(2);

    ck_assert_int_eq(LIVE(x, 30 * MINUTES, &waits, &traced), TUG_VERDICT_STOPPED);
    ck_assert(!x->v.ripe);
    ck_assert_str_eq(x->v.text, "is stopped by a debugger (python3, pid 4711)");
    world_free(x);
}
END_TEST

START_TEST(the_one_that_sleeps_elsewhere_while_the_others_wait_is_named)
{
    struct world *x = world_new(4);

    LIVE(x, MINUTES, &computes, &computes, &computes, &computes);
    ck_assert_int_eq(LIVE(x, HANG - PERIOD, &waits, &polls, &waits, &sleeps), TUG_VERDICT_NONE);
    ck_assert_int_eq(LIVE(x, 2 * PERIOD, &waits, &polls, &waits, &sleeps), TUG_VERDICT_STUCK);
    ck_assert_uint_eq(x->v.all, 1);
    ck_assert_uint_eq(x->v.ranks[0], 3);
    ck_assert(x->v.ripe);
    ck_assert_str_eq(x->v.text, "sleeps in hrtimer_nanosleep, using no CPU, while all 3 others wait for it "
                                "(futex_do_wait, ep_poll)");
    world_free(x);
}
END_TEST

START_TEST(of_two_the_one_that_waits_is_not_the_one)
{
    struct world *x = world_new(2);

    ck_assert_int_eq(LIVE(x, 11 * MINUTES, &blocked, &waits), TUG_VERDICT_STUCK);
    ck_assert_uint_eq(x->v.ranks[0], 0);
    ck_assert_str_eq(x->v.text, "is blocked in rpc_wait_bit_killable, using no CPU, while the 1 other waits for it "
                                "(futex_do_wait)");
    world_free(x);
}
END_TEST

START_TEST(a_rank_that_has_ended_while_the_others_wait_is_named)
{
    struct world *x = world_new(3);

    LIVE(x, MINUTES, &computes, &computes, &computes);
    ck_assert_int_eq(LIVE(x, HANG + PERIOD, &waits, &ended, &waits), TUG_VERDICT_LEFT);
    ck_assert_uint_eq(x->v.ranks[0], 1);
    ck_assert_str_eq(x->v.text, "has ended with code 0, while all 2 others wait for it (futex_do_wait)");
    world_free(x);
}
END_TEST

START_TEST(a_waiting_rank_that_wakes_for_a_moment_still_waits)
{
    struct world *x = world_new(3);
    const struct habit blip = {TUG_DOING_RUNS, 1, 100, ""};

    for (int i = 0; i < 40; i++) {
        LIVE(x, 3 * PERIOD, &waits, &waits, &sleeps);
        LIVE(x, PERIOD, &blip, &waits, &blip);
    }
    ck_assert_int_eq(x->v.kind, TUG_VERDICT_STUCK);
    ck_assert_uint_eq(x->v.ranks[0], 2);
    world_free(x);
}
END_TEST

/* ---- slow, but healthy ---- */

START_TEST(a_long_computation_is_left_alone)
{
    struct world *x = world_new(4);

    ck_assert_int_eq(LIVE(x, 600 * MINUTES, &computes, &spins, &computes, &spins), TUG_VERDICT_NONE);
    world_free(x);
}
END_TEST

START_TEST(one_that_computes_while_the_others_wait_is_left_alone)
{
    struct world *x = world_new(4);

    ck_assert_int_eq(LIVE(x, 600 * MINUTES, &waits, &waits, &computes, &waits), TUG_VERDICT_NONE);
    ck_assert_int_eq(LIVE(x, 600 * MINUTES, &waits, &waits, &spins, &waits), TUG_VERDICT_NONE);
    world_free(x);
}
END_TEST

START_TEST(a_checkpoint_of_rank_0_is_left_alone_however_long_it_takes)
{
    struct world *x = world_new(4);

    ck_assert_int_eq(LIVE(x, 60 * MINUTES, &writes, &waits, &waits, &waits), TUG_VERDICT_NONE);
    world_free(x);
}
END_TEST

START_TEST(a_sleep_of_minutes_is_left_alone)
{
    struct world *x = world_new(4);

    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(LIVE(x, 9 * MINUTES, &sleeps, &waits, &waits, &waits), TUG_VERDICT_NONE);
        ck_assert_int_eq(LIVE(x, 2 * PERIOD, &computes, &computes, &computes, &computes), TUG_VERDICT_NONE);
    }
    world_free(x);
}
END_TEST

START_TEST(all_that_idle_alike_are_left_alone)
{
    struct world *x = world_new(4);

    ck_assert_int_eq(LIVE(x, 60 * MINUTES, &waits, &waits, &waits, &waits), TUG_VERDICT_NONE);
    ck_assert_int_eq(LIVE(x, 60 * MINUTES, &sleeps, &sleeps, &sleeps, &sleeps), TUG_VERDICT_NONE);
    ck_assert_int_eq(LIVE(x, 60 * MINUTES, &sleeps, &sleeps, &sleeps, &waits), TUG_VERDICT_NONE);
    world_free(x);
}
END_TEST

START_TEST(when_one_cannot_be_seen_nobody_is_accused)
{
    struct world *x = world_new(4);

    ck_assert_int_eq(LIVE(x, 60 * MINUTES, &waits, &waits, &unknown, &sleeps), TUG_VERDICT_NONE);
    world_free(x);
}
END_TEST

START_TEST(a_node_that_no_longer_reports_makes_no_verdict)
{
    struct world *x = world_new(3);

    LIVE(x, HANG - MINUTES, &waits, &sleeps, &waits);
    for (int i = 0; i < 100; i++) { /* rank 2 is not heard of any more */
        x->now_ms += PERIOD;
        look(x, 0, &waits);
        look(x, 1, &sleeps);
    }
    tug_watch_judge(x->w, x->now_ms, &x->v);
    ck_assert_int_eq(x->v.kind, TUG_VERDICT_NONE);
    /* nor does one look after a gap count for all of it */
    ck_assert_int_eq(LIVE(x, PERIOD, &waits, &sleeps, &waits), TUG_VERDICT_NONE);
    ck_assert_int_eq(LIVE(x, HANG, &waits, &sleeps, &waits), TUG_VERDICT_STUCK);
    world_free(x);
}
END_TEST

START_TEST(what_was_seen_before_a_suspension_does_not_count)
{
    struct world *x = world_new(2);

    LIVE(x, HANG - PERIOD, &waits, &sleeps);
    tug_watch_forget(x->w);
    ck_assert_int_eq(LIVE(x, HANG - PERIOD, &waits, &sleeps), TUG_VERDICT_NONE);
    ck_assert_int_eq(LIVE(x, 2 * PERIOD, &waits, &sleeps), TUG_VERDICT_STUCK);
    world_free(x);
}
END_TEST

START_TEST(ranks_that_end_one_after_the_other_are_left_alone)
{
    struct world *x = world_new(4);

    ck_assert_int_eq(LIVE(x, 60 * MINUTES, &computes, &ended, &ended, &waits), TUG_VERDICT_NONE);
    ck_assert_int_eq(LIVE(x, 60 * MINUTES, &waits, &ended, &ended, &ended), TUG_VERDICT_NONE);
    world_free(x);
}
END_TEST

/* Whatever ranks do, somebody who gets on is never accused, and with everybody busy nobody is. */
START_TEST(in_random_lives_nobody_who_gets_on_is_accused)
{
    static const struct habit *const all[] = {&waits,    &polls, &sleeps,  &blocked, &writes,
                                              &computes, &spins, &stopped, &unknown};
    struct tug_rand r = tug_rand_seed(unit_seed());
    int rounds = unit_rounds(200);

    for (int round = 0; round < rounds; round++) {
        struct world *x = world_new(5);
        const struct habit *h[5];

        for (int turn = 0; turn < 8; turn++) {
            for (unsigned i = 0; i < 5; i++)
                h[i] = all[tug_rand_below(&r, sizeof all / sizeof *all)];
            live(x, (1 + tug_rand_below(&r, 200)) * PERIOD, h);
            for (unsigned i = 0; i < x->v.n_ranks; i++)
                ck_assert_msg(h[x->v.ranks[i]] != &computes && h[x->v.ranks[i]] != &spins &&
                                  h[x->v.ranks[i]] != &writes && h[x->v.ranks[i]] != &unknown &&
                                  h[x->v.ranks[i]] != &waits && h[x->v.ranks[i]] != &polls,
                              "round %d: rank %u is accused: %s", round, x->v.ranks[i], x->v.text);
        }
        world_free(x);
    }
}
END_TEST

UNIT_MAIN("stepd/watch",
          a_stopped_rank_is_named_within_30_seconds,
          a_stopped_rank_that_goes_on_is_let_off,
          a_rank_in_a_debugger_is_named_but_never_acted_on,
          the_one_that_sleeps_elsewhere_while_the_others_wait_is_named,
          of_two_the_one_that_waits_is_not_the_one,
          a_rank_that_has_ended_while_the_others_wait_is_named,
          a_waiting_rank_that_wakes_for_a_moment_still_waits,
          a_long_computation_is_left_alone,
          one_that_computes_while_the_others_wait_is_left_alone,
          a_checkpoint_of_rank_0_is_left_alone_however_long_it_takes,
          a_sleep_of_minutes_is_left_alone,
          all_that_idle_alike_are_left_alone,
          when_one_cannot_be_seen_nobody_is_accused,
          a_node_that_no_longer_reports_makes_no_verdict,
          what_was_seen_before_a_suspension_does_not_count,
          ranks_that_end_one_after_the_other_are_left_alone,
          in_random_lives_nobody_who_gets_on_is_accused)
