/* test_srtf.c - shortest remaining time (and service) first, held against a model that knows no
 * plugin */
#include "unit.h"

#include "base/rand.h"
#include "plugins/plugworld.h"

#define NODES 4
#define GPUS  8

/* ---- the model: at each event everybody is placed anew */

struct model {
    int64_t submit, left, end;
    uint32_t gpus;
    int there, runs;
};

static int place_in_model(uint32_t free[NODES], uint32_t gpus)
{
    uint32_t whole = gpus > GPUS ? gpus / GPUS : 0, rest = gpus > GPUS ? gpus % GPUS : gpus;
    uint32_t now[NODES], n = 0;
    memcpy(now, free, sizeof now);
    for (int i = 0; i < NODES && n < whole; i++)
        if (now[i] == GPUS) {
            now[i] = 0;
            n++;
        }
    if (n < whole)
        return 0;
    int i = 0;
    while (rest && i < NODES && now[i] < rest)
        i++;
    if (rest && i == NODES)
        return 0;
    if (rest)
        now[i] -= rest;
    memcpy(free, now, sizeof now);
    return 1;
}

static void place_all(struct model *m, size_t n, int by_service)
{
    uint32_t free[NODES] = {GPUS, GPUS, GPUS, GPUS};
    char tried[PLUG_JOBS] = {0};
    for (;;) {
        size_t best = n;
        for (size_t i = 0; i < n; i++) {
            int64_t x = m[i].left * (by_service ? m[i].gpus : 1);
            if (m[i].there && !tried[i] &&
                (best == n || x < m[best].left * (by_service ? m[best].gpus : 1)))
                best = i;
        }
        if (best == n)
            return;
        tried[best] = 1;
        m[best].runs = place_in_model(free, m[best].gpus);
    }
}

static void run_model(struct model *m, size_t n, int by_service)
{
    for (int64_t now = 0;;) {
        int64_t next = INT64_MAX;
        for (size_t i = 0; i < n; i++) {
            if (m[i].there && m[i].runs && now + m[i].left < next)
                next = now + m[i].left;
            if (!m[i].there && m[i].end < 0 && m[i].submit < next)
                next = m[i].submit;
        }
        if (next == INT64_MAX)
            return;
        for (size_t i = 0; i < n; i++) {
            if (m[i].there && m[i].runs && (m[i].left -= next - now) == 0) {
                m[i].there = m[i].runs = 0;
                m[i].end = next;
            }
            if (m[i].end < 0 && m[i].submit == next)
                m[i].there = 1;
        }
        now = next;
        place_all(m, n, by_service);
    }
}

static void plan(const struct model *m)
{
    if (m->gpus <= GPUS)
        plug_plan(m->submit, 1, m->gpus, m->gpus, m->left);
    else if (m->gpus % GPUS)
        plug_plan(m->submit, m->gpus / GPUS + 1, GPUS, m->gpus % GPUS, m->left);
    else
        plug_plan(m->submit, m->gpus / GPUS, GPUS, GPUS, m->left);
}

static void same_as_model(const char *name, int by_service)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int round = 0; round < unit_rounds(40); round++) {
        static struct model m[120];
        size_t n = 20 + tug_rand_below(&r, 100);
        int64_t at = 0;
        plug_load(name, NULL);
        plug_cluster(NODES, GPUS);
        for (size_t i = 0; i < n; i++) {
            at += tug_rand_below(&r, 3) ? (int64_t) tug_rand_below(&r, 400) : 0;
            m[i] = (struct model){.submit = at,
                                  .left = 1 + (int64_t) tug_rand_below(&r, 3000),
                                  .end = -1,
                                  .gpus = 1 + (uint32_t) tug_rand_below(&r, NODES * GPUS)};
            if (tug_rand_below(&r, 3))
                m[i].gpus = 1u << tug_rand_below(&r, 4);
            plan(&m[i]);
        }
        plug_run();
        run_model(m, n, by_service);
        for (size_t i = 0; i < n; i++)
            ck_assert_msg(plug.jobs[i].end_ms == m[i].end, "job %zu ends at %lld, not %lld", i + 1,
                          (long long) plug.jobs[i].end_ms, (long long) m[i].end);
        ck_assert_int_eq(plug.refused, 0);
        plug_unload();
    }
}

START_TEST(srtf_ends_every_job_when_the_model_does)
{
    same_as_model("srtf", 0);
}
END_TEST

START_TEST(srsf_ends_every_job_when_the_model_does)
{
    same_as_model("srsf", 1);
}
END_TEST

START_TEST(who_needs_less_takes_the_place_of_who_needs_more)
{
    plug_load("srtf", NULL);
    plug_cluster(1, 8);
    plug_submit("ann", 1, 8, 1000);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 1, ");
    plug.now_ms = 100;
    plug_submit("ann", 1, 8, 901);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "");
    ck_assert_uint_eq(plug.explained, 2);
    plug_submit("ann", 1, 8, 899);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "preempt 1, start 3, ");
    ck_assert_int_eq(plug.jobs[0].row.ran_ms, 100);
    plug_unload();
}
END_TEST

START_TEST(a_job_of_a_higher_tier_goes_first_however_long_it_is)
{
    plug_load("srtf", NULL);
    plug_cluster(1, 8);
    plug_submit("ann", 1, 8, 10);
    plug_submit("ann", 1, 8, 1000)->row.tier = 1;
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 2, ");
    plug_unload();
}
END_TEST

START_TEST(nobody_is_stopped_for_a_job_that_its_queue_s_cap_holds_back)
{
    plug_load("srtf", NULL);
    plug_cluster(2, 8);
    plug.queues[0] = (struct tug_policy_queue){
        .name = "wide", .parent = UINT32_MAX, .cap_gpus = UINT32_MAX, .may_borrow = 1};
    plug.queues[1] = (struct tug_policy_queue){
        .name = "lab", .parent = UINT32_MAX, .cap_gpus = 8, .may_borrow = 1};
    plug.queues[2] = (struct tug_policy_queue){
        .name = "capped", .parent = 1, .cap_gpus = UINT32_MAX, .may_borrow = 1};
    plug.n_queues = 3;
    plug_submit("ann", 1, 8, 1000);
    plug_submit("ann", 1, 8, 1000);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 1, start 2, ");
    plug.now_ms = 100;
    plug_submit("ann", 1, 8, 10)->row.queue_row = 2;
    plug_submit("ann", 1, 8, 11)->row.queue_row = 2;
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "preempt 1, preempt 2, start 3, start 1, ");
    plug_unload();
}
END_TEST

START_TEST(what_a_queue_does_not_lend_is_planned_for_its_jobs_alone)
{
    plug_load("srtf", NULL);
    plug_cluster(2, 8);
    plug.queues[0] = (struct tug_policy_queue){
        .name = "wide", .parent = UINT32_MAX, .cap_gpus = UINT32_MAX, .may_borrow = 1, .lends = 1};
    plug.queues[1] = (struct tug_policy_queue){.name = "lab",
                                               .parent = UINT32_MAX,
                                               .cap_gpus = UINT32_MAX,
                                               .may_borrow = 1,
                                               .guarantee_gpus = 8};
    plug.n_queues = 2;
    plug_submit("ann", 1, 8, 10);
    plug_submit("ann", 1, 8, 10);
    plug_submit("bob", 1, 8, 1000)->row.queue_row = 1;
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 1, start 3, ");
    plug_unload();
}
END_TEST

START_TEST(what_may_not_be_stopped_keeps_its_place)
{
    plug_load("srtf", NULL);
    plug_cluster(2, 8);
    plug_submit("ann", 1, 8, 1000)->row.preemptable = TUG_PREEMPT_NEVER;
    plug_submit("ann", 1, 8, 1000)->row.safe_until_ms = 500;
    plug_pass();
    plug.now_ms = 100;
    plug_submit("ann", 1, 8, 10);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "");
    ck_assert_int_eq(plug.wake_ms, 500);
    plug.now_ms = 500;
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "preempt 2, start 3, ");
    ck_assert_int_eq(plug.refused, 0);
    plug_unload();
}
END_TEST

START_TEST(nothing_starts_where_those_that_were_stopped_still_are)
{
    plug_load("srtf", NULL);
    plug_cluster(1, 8);
    plug_submit("ann", 1, 8, 1000);
    plug_pass();
    plug.keep_running = 1; /* they take their time */
    plug_submit("ann", 1, 8, 10);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "preempt 1, ");
    ck_assert_uint_eq(plug.explained, 2);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "");
    ck_assert_int_eq(plug.refused, 0);
    plug_unload();
}
END_TEST

START_TEST(a_job_that_nobody_knows_the_length_of_goes_last)
{
    plug_load("srtf", NULL);
    plug_cluster(1, 8);
    plug_submit("ann", 1, 8, 5)->row.expected_ms = -1;
    plug_submit("ann", 1, 8, 100000);
    plug_pass();
    ck_assert_str_eq(tug_buf_str(&plug.said), "start 2, ");
    plug_unload();
}
END_TEST

START_TEST(a_job_without_GPUs_starts_where_all_GPUs_are_taken_also_when_nobody_asks_why_jobs_wait)
{
    for (int quiet = 0; quiet < 2; quiet++) {
        plug_load("srtf", NULL);
        plug_cluster(1, 8);
        plug.quiet = quiet;
        plug.nodes[0].cpus = plug.nodes[0].cpus_free = 16;
        plug_submit("ann", 1, 8, 5);
        struct plug_job *j = plug_submit("ann", 1, 0, 100000);
        j->row.cpus_per_node = j->row.cpus_last = 1;
        plug_pass();
        ck_assert_str_eq(tug_buf_str(&plug.said), "start 1, start 2, ");
        plug_unload();
    }
}
END_TEST

UNIT_MAIN("plugins/srtf", srtf_ends_every_job_when_the_model_does,
          srsf_ends_every_job_when_the_model_does, who_needs_less_takes_the_place_of_who_needs_more,
          a_job_of_a_higher_tier_goes_first_however_long_it_is,
          nobody_is_stopped_for_a_job_that_its_queue_s_cap_holds_back,
          what_a_queue_does_not_lend_is_planned_for_its_jobs_alone,
          what_may_not_be_stopped_keeps_its_place,
          nothing_starts_where_those_that_were_stopped_still_are,
          a_job_that_nobody_knows_the_length_of_goes_last,
          a_job_without_GPUs_starts_where_all_GPUs_are_taken_also_when_nobody_asks_why_jobs_wait)
