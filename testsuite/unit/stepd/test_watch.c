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
    for (unsigned i = 0; i < 8; i++)
        x->cpu_ms[i] = 2000; /* that starting took */
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

START_TEST(who_has_never_been_at_work_is_left_alone)
{
    struct world *x = world_new(2);

    x->cpu_ms[1] = 0;
    ck_assert_int_eq(LIVE(x, 20 * MINUTES, &waits, &sleeps), TUG_VERDICT_NONE);
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

/* ---- what NCCL says ---- */

#define POLL 30000u

/* One communicator of all ranks, at these counts. */
static void counts(struct world *x, const uint64_t *count)
{
    struct tug_coll all[8];

    for (unsigned i = 0; i < x->n; i++)
        all[i] = (struct tug_coll){.comm = 1, .comm_size = x->n, .rank = i, .count = count[i]};
    tug_watch_colls(x->w, x->now_ms, POLL, all, x->n);
}

/* All spin for so long, as the host threads of NCCL do, and NCCL reports these counts. */
static enum tug_verdict_kind spin(struct world *x, uint64_t span_ms, const uint64_t *count)
{
    static const struct habit *const all[] = {&spins, &spins, &spins, &spins, &spins, &spins, &spins, &spins};

    for (uint64_t until = x->now_ms + span_ms; x->now_ms < until;) {
        live(x, POLL, all);
        counts(x, count);
        tug_watch_judge(x->w, x->now_ms, &x->v);
    }
    return x->v.kind;
}

#define SPIN(x, span, ...) spin(x, span, (const uint64_t[]){__VA_ARGS__})

START_TEST(who_is_behind_while_nothing_moves_is_named)
{
    struct world *x = world_new(4);

    SPIN(x, MINUTES, 99, 99, 99, 99);
    ck_assert_int_eq(SPIN(x, HANG, 120, 119, 120, 120), TUG_VERDICT_NONE);
    ck_assert_int_eq(SPIN(x, POLL, 120, 119, 120, 120), TUG_VERDICT_BEHIND);
    ck_assert_uint_eq(x->v.all, 1);
    ck_assert_uint_eq(x->v.ranks[0], 1);
    ck_assert(x->v.ripe);
    ck_assert_str_eq(x->v.text, "has launched 119 collectives where others of the 4 in that NCCL communicator have "
                                "launched 120, and nothing moves");
    ck_assert_int_eq(SPIN(x, POLL, 121, 121, 121, 121), TUG_VERDICT_NONE);
    world_free(x);
}
END_TEST

START_TEST(all_at_the_same_count_are_left_alone_however_long_it_takes)
{
    struct world *x = world_new(4);

    ck_assert_int_eq(SPIN(x, 600 * MINUTES, 120, 120, 120, 120), TUG_VERDICT_NONE);
    ck_assert_int_eq(SPIN(x, 600 * MINUTES, 121, 120, 120, 120), TUG_VERDICT_NONE); /* who ran ahead? */
    world_free(x);
}
END_TEST

START_TEST(who_writes_files_while_the_others_wait_is_not_behind)
{
    struct world *x = world_new(2);
    const struct habit writer = {TUG_DOING_RUNS, 5000, 8 << 20, ""};

    for (int i = 0; i < 100; i++) {
        LIVE(x, POLL, &writer, &spins);
        counts(x, (const uint64_t[]){119, 120});
        tug_watch_judge(x->w, x->now_ms, &x->v);
        ck_assert_int_eq(x->v.kind, TUG_VERDICT_NONE);
    }
    ck_assert_int_eq(SPIN(x, HANG + POLL, 119, 120), TUG_VERDICT_BEHIND);
    world_free(x);
}
END_TEST

/* Ranks 0-1 and 2-3 are pairs of one communicator each, 0-2 and 1-3 of another: 3 hangs, 2 waits for it in their pair, so
 * neither has come to the other collective. */
START_TEST(who_waits_in_one_communicator_is_not_blamed_for_being_behind_in_another)
{
    struct world *x = world_new(4);
    static const struct tug_coll all[] = {
        {.comm = 1, .comm_size = 2, .rank = 0, .count = 10}, {.comm = 1, .comm_size = 2, .rank = 1, .count = 10},
        {.comm = 2, .comm_size = 2, .rank = 2, .count = 10}, {.comm = 2, .comm_size = 2, .rank = 3, .count = 9},
        {.comm = 3, .comm_size = 2, .rank = 0, .count = 5},  {.comm = 3, .comm_size = 2, .rank = 2, .count = 4},
        {.comm = 4, .comm_size = 2, .rank = 1, .count = 5},  {.comm = 4, .comm_size = 2, .rank = 3, .count = 4},
    };

    for (int i = 0; i < 25; i++) {
        LIVE(x, POLL, &spins, &spins, &spins, &spins);
        tug_watch_colls(x->w, x->now_ms, POLL, all, 8);
    }
    tug_watch_judge(x->w, x->now_ms, &x->v);
    ck_assert_int_eq(x->v.kind, TUG_VERDICT_BEHIND);
    ck_assert_uint_eq(x->v.all, 1);
    ck_assert_uint_eq(x->v.ranks[0], 3);
    world_free(x);
}
END_TEST

START_TEST(a_communicator_that_is_not_seen_whole_blames_nobody)
{
    struct world *x = world_new(3);
    static const struct tug_coll two[] = {{.comm = 1, .comm_size = 3, .rank = 0, .count = 10},
                                          {.comm = 1, .comm_size = 3, .rank = 1, .count = 9}};

    for (int i = 0; i < 50; i++) {
        LIVE(x, POLL, &spins, &spins, &spins);
        tug_watch_colls(x->w, x->now_ms, POLL, two, 2);
        tug_watch_judge(x->w, x->now_ms, &x->v);
        ck_assert_int_eq(x->v.kind, TUG_VERDICT_NONE);
    }
    world_free(x);
}
END_TEST

START_TEST(a_peer_that_nccl_has_given_up_is_named_at_once)
{
    struct world *x = world_new(2);
    struct tug_coll all[] = {{.comm = 1, .comm_size = 2, .rank = 0, .count = 10},
                             {.comm = 1, .comm_size = 2, .rank = 1, .missing = true}};

    LIVE(x, POLL, &spins, &spins);
    tug_watch_colls(x->w, x->now_ms, POLL, all, 2);
    tug_watch_judge(x->w, x->now_ms, &x->v);
    ck_assert_int_eq(x->v.kind, TUG_VERDICT_NONE); /* silent for now */
    all[1].dead = true;
    tug_watch_colls(x->w, x->now_ms, POLL, all, 2);
    tug_watch_judge(x->w, x->now_ms, &x->v);
    ck_assert_int_eq(x->v.kind, TUG_VERDICT_DEAD);
    ck_assert_uint_eq(x->v.ranks[0], 1);
    ck_assert(!x->v.ripe);
    ck_assert_str_eq(x->v.text, "does not answer; NCCL on the other ranks has given it up");
    world_free(x);
}
END_TEST

START_TEST(of_errors_that_of_the_rank_itself_counts_and_not_what_others_heard_of_it)
{
    struct world *x = world_new(3);
    static const struct tug_coll all[] = {{.comm = 1, .comm_size = 3, .rank = 0, .count = 10, .error = 6},
                                          {.comm = 1, .comm_size = 3, .rank = 1, .count = 10, .error = 1},
                                          {.comm = 1, .comm_size = 3, .rank = 2, .count = 10, .error = 6}};

    for (int i = 0; i < 2; i++) {
        LIVE(x, POLL, &spins, &spins, &spins);
        tug_watch_judge(x->w, x->now_ms, &x->v);
        ck_assert_int_eq(x->v.kind, TUG_VERDICT_NONE);
        tug_watch_colls(x->w, x->now_ms, POLL, all, 3);
    }
    tug_watch_judge(x->w, x->now_ms, &x->v);
    ck_assert_int_eq(x->v.kind, TUG_VERDICT_FAILED);
    ck_assert_uint_eq(x->v.all, 1);
    ck_assert_uint_eq(x->v.ranks[0], 1);
    ck_assert_str_eq(x->v.text, "has an NCCL communicator that has failed: unhandled CUDA error");
    world_free(x);
}
END_TEST

START_TEST(who_is_always_the_last_is_called_slow_and_nobody_acts_on_it)
{
    struct world *x = world_new(4);

    for (uint64_t i = 1; i <= 22; i++)
        SPIN(x, POLL, 10 * i, 10 * i, 10 * i - 1, 10 * i);
    ck_assert_int_eq(x->v.kind, TUG_VERDICT_SLOW);
    ck_assert_uint_eq(x->v.ranks[0], 2);
    ck_assert(!x->v.ripe);
    ck_assert_str_eq(x->v.text, "was the last to launch a collective in 20 of 20 looks; the others wait for it");
    for (uint64_t i = 30; i <= 42; i++)
        SPIN(x, POLL, 10 * i, 10 * i, 10 * i, 10 * i);
    ck_assert_int_eq(x->v.kind, TUG_VERDICT_NONE);
    world_free(x);
}
END_TEST

START_TEST(who_is_last_now_and_then_is_not_slow)
{
    struct world *x = world_new(4);
    struct tug_rand r = tug_rand_seed(unit_seed());

    for (uint64_t i = 1; i <= 500; i++) {
        uint64_t count[4] = {10 * i, 10 * i, 10 * i, 10 * i};
        count[tug_rand_below(&r, 4)]--;
        ck_assert_int_eq(spin(x, POLL, count), TUG_VERDICT_NONE);
    }
    world_free(x);
}
END_TEST

START_TEST(what_nccl_said_long_ago_is_forgotten)
{
    struct world *x = world_new(2);

    ck_assert_int_eq(SPIN(x, HANG + POLL, 119, 120), TUG_VERDICT_BEHIND);
    ck_assert_int_eq(LIVE(x, 5 * MINUTES, &spins, &spins), TUG_VERDICT_NONE);
    ck_assert_int_eq(SPIN(x, HANG - POLL, 119, 120), TUG_VERDICT_NONE);
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
          who_has_never_been_at_work_is_left_alone,
          when_one_cannot_be_seen_nobody_is_accused,
          a_node_that_no_longer_reports_makes_no_verdict,
          what_was_seen_before_a_suspension_does_not_count,
          ranks_that_end_one_after_the_other_are_left_alone,
          who_is_behind_while_nothing_moves_is_named,
          all_at_the_same_count_are_left_alone_however_long_it_takes,
          who_writes_files_while_the_others_wait_is_not_behind,
          who_waits_in_one_communicator_is_not_blamed_for_being_behind_in_another,
          a_communicator_that_is_not_seen_whole_blames_nobody,
          a_peer_that_nccl_has_given_up_is_named_at_once,
          of_errors_that_of_the_rank_itself_counts_and_not_what_others_heard_of_it,
          who_is_always_the_last_is_called_slow_and_nobody_acts_on_it,
          who_is_last_now_and_then_is_not_slow,
          what_nccl_said_long_ago_is_forgotten,
          in_random_lives_nobody_who_gets_on_is_accused)
