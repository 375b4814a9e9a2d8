/* test_las.c - least attained service, held against a model that knows no plugin */
#include <errno.h>

#include "unit.h"

#include "base/rand.h"
#include "plugins/plugworld.h"

#define TOTAL  16
#define LEVELS 3

static const int64_t limits[LEVELS - 1] = {20, 90}; /* GPU-seconds */

/* ---- the model: free GPUs are only counted */

struct model {
    int64_t submit, runs_ms, had, end;
    uint32_t gpus;
    int runs, level;
};

struct line {
    size_t at[PLUG_JOBS], n;
};

static struct model m[200];
static struct line lines[LEVELS];

static int64_t due(const struct model *x)
{
    return (limits[x->level] + x->gpus - 1) / x->gpus * 1000;
}

static int64_t next_event(size_t n, size_t n_came, int64_t now)
{
    int64_t next = n_came < n ? m[n_came].submit : INT64_MAX;
    for (int k = 0; k < LEVELS; k++)
        for (size_t i = 0; i < lines[k].n; i++) {
            const struct model *x = &m[lines[k].at[i]];
            if (!x->runs)
                continue;
            if (now + x->runs_ms - x->had < next)
                next = now + x->runs_ms - x->had;
            if (k < LEVELS - 1 && now + due(x) - x->had < next)
                next = now + due(x) - x->had;
        }
    return next;
}

/* Ends first, then who crosses a threshold. */
static void pass_time(int64_t now, int64_t next)
{
    for (int k = 0; k < LEVELS; k++) {
        size_t n = 0;
        for (size_t i = 0; i < lines[k].n; i++) {
            struct model *x = &m[lines[k].at[i]];
            x->had += x->runs ? next - now : 0;
            if (x->had == x->runs_ms)
                x->end = next;
            else
                lines[k].at[n++] = lines[k].at[i];
        }
        lines[k].n = n;
    }
    for (int k = 0; k < LEVELS - 1; k++) {
        size_t n = 0;
        for (size_t i = 0; i < lines[k].n; i++) {
            struct model *x = &m[lines[k].at[i]];
            if (x->had < due(x)) {
                lines[k].at[n++] = lines[k].at[i];
                continue;
            }
            x->level++;
            lines[k + 1].at[lines[k + 1].n++] = lines[k].at[i];
        }
        lines[k].n = n;
    }
}

static void admit(void)
{
    uint32_t free = TOTAL;
    for (int k = 0; k < LEVELS; k++) {
        struct line first = {.n = 0}, rest = {.n = 0};
        for (size_t i = 0; i < lines[k].n; i++) {
            struct model *x = &m[lines[k].at[i]];
            struct line *to = &rest;
            x->runs = x->gpus <= free;
            if (x->runs) {
                free -= x->gpus;
                to = &first;
            }
            to->at[to->n++] = lines[k].at[i];
        }
        memcpy(first.at + first.n, rest.at, rest.n * sizeof *rest.at);
        first.n += rest.n;
        lines[k] = first;
    }
}

static void run_model(size_t n)
{
    size_t n_came = 0;
    for (int64_t now = 0, next; (next = next_event(n, n_came, now)) != INT64_MAX; now = next) {
        pass_time(now, next);
        for (; n_came < n && m[n_came].submit == next; n_came++)
            lines[0].at[lines[0].n++] = n_came;
        admit();
    }
}

START_TEST(every_job_ends_when_the_model_says)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int round = 0; round < unit_rounds(40); round++) {
        size_t n = 20 + tug_rand_below(&r, 150);
        int64_t at = 0;
        plug_load("las", "thresholds", "20,90", NULL);
        plug_cluster(TOTAL, 1); /* nodes with one GPU each: what is free is only counted */
        memset(lines, 0, sizeof lines);
        for (size_t i = 0; i < n; i++) {
            uint32_t gpus = 1u << tug_rand_below(&r, 5);
            at += tug_rand_below(&r, 3) ? (int64_t) tug_rand_below(&r, 9000) : 0;
            m[i] = (struct model){.submit = at,
                                  .runs_ms = 1 + (int64_t) tug_rand_below(&r, 30000),
                                  .end = -1,
                                  .gpus = gpus};
            plug_plan(at, gpus, 1, 1, m[i].runs_ms);
        }
        plug_run();
        run_model(n);
        for (size_t i = 0; i < n; i++)
            ck_assert_msg(plug.jobs[i].end_ms == m[i].end, "job %zu ends at %lld, not %lld", i + 1,
                          (long long) plug.jobs[i].end_ms, (long long) m[i].end);
        ck_assert_int_eq(plug.refused, 0);
        plug_unload();
    }
}
END_TEST

START_TEST(who_crosses_a_threshold_gives_way_to_who_has_not)
{
    plug_load("las", "thresholds", "80", NULL);
    plug_cluster(1, 8);
    plug_submit("ann", 1, 8, 100000);
    plug_submit("ann", 1, 8, 100000);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 1, ");
    ck_assert_int_eq(plug.wake_ms, 10000); /* 80 GPU-seconds on 8 GPUs */
    ck_assert_str_eq(plug.text,
                     "has had 0 GPU-seconds (queue 1 of 2); jobs that had less go first");
    plug.now_ms = 9999;
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "");
    plug.now_ms = 10000;
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "preempt 1, start 2, ");
    plug.now_ms = 20000; /* both have had as much now: who runs goes on */
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "preempt 2, start 1, ");
    plug_end(&plug.jobs[0]);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 2, ");
    plug_unload();
}
END_TEST

START_TEST(nobody_is_moved_who_need_not_be)
{
    plug_load("las", NULL);
    plug_cluster(2, 8);
    plug_submit("ann", 1, 8, 1000);
    plug_submit("ann", 1, 4, 100000);
    plug_pass();
    plug.now_ms = 1000;
    plug_end(&plug.jobs[0]);
    plug_submit("ann", 1, 4, 1000);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 3, ");
    ck_assert_int_eq(plug.preemptions, 0);
    plug_unload();
}
END_TEST

START_TEST(a_job_that_is_out_of_sight_for_a_while_keeps_what_it_has_had)
{
    plug_load("las", "thresholds", "80", NULL);
    plug_cluster(1, 8);
    struct plug_job *old = plug_submit("ann", 1, 8, 100000);
    plug_pass();
    plug.now_ms = 15000;
    plug_pass();
    plug.keep_running = 1;
    plug_submit("ann", 1, 8, 100000);
    plug_pass();
    old->state = PLUG_TO_COME; /* is being cleaned up */
    plug.nodes[0].gpus_free = 0xff;
    plug.nodes[0].cpus_free = 8;
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 2, ");
    old->state = PLUG_WAITS;
    old->row.leaving = 0;
    old->row.start_ms = -1;
    plug.now_ms = 16000;
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "");
    plug_unload();
}
END_TEST

START_TEST(a_job_that_waited_long_enough_begins_anew)
{
    plug_load("las", "thresholds", "80", "promote", "2", NULL);
    plug_cluster(1, 8);
    plug_submit("ann", 1, 8, 100000);
    plug_submit("ann", 1, 8, 100000)->row.tier = 0;
    plug_pass();
    plug.now_ms = 10000;
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "preempt 1, start 2, ");
    plug_submit("ann", 1, 8, 100000);
    plug.now_ms = 20000;
    plug_pass(); /* 3 is the only one that has had nothing */
    ck_assert_str_eq(tug_buf_str(&plug.said), "preempt 2, start 3, ");
    plug.now_ms = 30000; /* 1 ran for 10 s and waited for 20 */
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "preempt 3, start 1, ");
    plug_unload();
}
END_TEST

START_TEST(thresholds_have_to_ascend_and_to_be_numbers)
{
    plug_load_fails("las", "thresholds", "10,5", "is not up to 7 ascending GPU-seconds");
    plug_load_fails("las", "thresholds", "10,", "is not up to 7 ascending");
    plug_load_fails("las", "thresholds", "ten", "is not up to 7 ascending");
    plug_load_fails("las", "thresholds", "1,2,3,4,5,6,7,8", "is not up to 7 ascending");
    plug_load_fails("las", "thresholds", "0", "is not up to 7 ascending");
}
END_TEST

START_TEST(whoever_asks_reads_the_place_in_which_queue)
{
    char text[241];
    plug_load("las", "thresholds", "20,90", NULL);
    plug_cluster(1, 8);
    struct plug_job *first = plug_submit("u", 1, 8, 1000000), *other;
    plug_pass();
    other = plug_submit("u", 1, 8, 1000);
    ck_assert_int_eq(plug_ops()->why(plug_self(), plug_view(), &other->row, text, sizeof text),
                     -ENOENT); /* no pass has seen it */
    plug_pass();
    ck_assert_int_eq(first->state, PLUG_RUNS);
    ck_assert_int_eq(plug_ops()->why(plug_self(), plug_view(), &other->row, text, sizeof text), 0);
    ck_assert_str_eq(text, "has had 0 GPU-seconds: place 2 of 2, with those that run, in queue 1 "
                           "of 3");
    plug.now_ms += 3000; /* 24 GPU-seconds: it has to go */
    plug_pass();
    ck_assert_int_eq(first->state, PLUG_WAITS);
    ck_assert_int_eq(plug_ops()->why(plug_self(), plug_view(), &first->row, text, sizeof text), 0);
    ck_assert_str_eq(text, "has had 24 GPU-seconds: place 1 of 1, with those that run, in queue 2 "
                           "of 3");
    plug_unload();
}
END_TEST

/* The core places those that ask something of the fabric, and each question is a look at a job. */
START_TEST(a_pass_whose_budget_is_spent_starts_those_that_it_asked_about)
{
    plug_load("las", NULL);
    plug_cluster(4, 8);
    struct plug_job *first = plug_submit("a", 1, 2, 1000), *second = plug_submit("a", 1, 2, 1000),
                    *third = plug_submit("a", 1, 2, 1000);
    second->row.within = third->row.within = 1;
    plug.budget = 1;
    plug_pass();
    ck_assert_int_eq(second->state, PLUG_RUNS);
    plug_pass();
    ck_assert_int_eq(third->state, PLUG_RUNS);
    plug_pass();
    ck_assert_int_eq(first->state, PLUG_RUNS);
    ck_assert_int_eq(plug.refused, 0);
    plug_unload();
}
END_TEST

UNIT_MAIN("plugins/las", whoever_asks_reads_the_place_in_which_queue,
          every_job_ends_when_the_model_says, who_crosses_a_threshold_gives_way_to_who_has_not,
          nobody_is_moved_who_need_not_be,
          a_job_that_is_out_of_sight_for_a_while_keeps_what_it_has_had,
          a_job_that_waited_long_enough_begins_anew,
          a_pass_whose_budget_is_spent_starts_those_that_it_asked_about, thresholds_have_to_ascend_and_to_be_numbers)
