/* test_preempt.c - who gives way to whom, what is kept for it, and how it goes on
 *
 * Queue "low" has tier 0 and gives way, "all" has tier 1 and does not, "short" has tier 1 and gives
 * way. The policy here starts in order whoever fits and has others give way for the rest.
 */
#include <errno.h>
#include <signal.h>

#include "same.h"
#include "world.h"

#include "base/rand.h"

static struct world w;
static struct tug_policy_job seen[64]; /* rows as the last pass saw them, by job id */
static int rc_victims, rc_preempt, may;
static uint64_t victims[16];
static tug_job_id only; /* propose just that for ... */
static uint64_t who[16];
static size_t n_who; /* ... these; 0 = whom the core says */
static int proposes;

static int push_pass(void *self, const struct tug_policy_view *v,
                     const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    (void) self;
    for (size_t i = 0; i < v->n_waiting; i++)
        seen[TUG_POLICY_WAITING(v, i)->id % 64] = *TUG_POLICY_WAITING(v, i);
    for (size_t i = 0; i < v->n_running; i++)
        seen[TUG_POLICY_RUNNING(v, i)->id % 64] = *TUG_POLICY_RUNNING(v, i);
    if (n_who) {
        may = host->may_preempt(p, only, who[0]);
        rc_preempt = host->preempt(p, only, who, n_who);
        n_who = 0;
        return 0;
    }
    for (size_t i = 0; i < v->n_waiting; i++) {
        uint64_t id = TUG_POLICY_WAITING(v, i)->id;
        if (host->start(p, id) == 0 || !proposes)
            continue;
        rc_victims = host->victims(p, id, victims, 16);
        if (rc_victims >= 0)
            rc_preempt = host->preempt(p, id, victims, (size_t) rc_victims);
    }
    return 0;
}

static const struct tug_policy_ops push = {
    .size = sizeof push, .abi = TUG_POLICY_ABI, .name = "push", .pass = push_pass};

static void pass(void)
{
    rc_victims = rc_preempt = -ENODATA;
    w_pass_with(&w, &push, NULL);
}

static void setup(uint32_t nodes, uint32_t gpus, enum tug_policy_preemptable how, uint32_t notice_s)
{
    w_init(&w, nodes, gpus);
    w.conf.preemption = TUG_PREEMPTION_TIER;
    for (int i = 0; i < 2; i++)
        w.queues[i].tier = 1;
    for (int i = 1; i < 3; i++) {
        w.queues[i].preemptable = how;
        w.queues[i].preempt_notice_s = notice_s;
        w.queues[i].preempt_signal = notice_s ? SIGUSR1 : 0;
    }
    w_open(&w);
    w_up_all(&w);
    proposes = 1;
}

static struct tug_job_req req(const char *queue, uint32_t nodes, uint32_t gpus)
{
    struct tug_job_req r = w_req(nodes, gpus);
    r.queue = queue;
    r.cpus_per_node = 1;
    return r;
}

static void all_ready(tug_job_id id)
{
    const struct tug_job *j = w_job(&w, id);
    for (size_t i = 0; i < j->n_slices; i++)
        w_ready(&w, id, j->attempt, 0, j->slices[i].node);
    w_is(&w, id, RUNNING);
}

static void run(tug_job_id id, struct tug_job_req r)
{
    w_submit(&w, id, r);
    pass();
    all_ready(id);
    w_forget(&w);
}

static void cancel(tug_job_id id)
{
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = id}), 0);
}

static void explains(tug_job_id id, const char *reason, const char *words)
{
    char text[512];
    int r;
    tug_core_explain(w.c, w_job(&w, id), &r, text, sizeof text);
    ck_assert_str_eq(tug_core_reason_name(r), reason);
    ck_assert_msg(strstr(text, words) != NULL, "'%s' does not say '%s'", text, words);
}

START_TEST(a_higher_tier_has_a_lower_one_give_way_with_notice_and_then_runs_in_its_place)
{
    setup(1, 4, TUG_PREEMPT_REQUEUE, 20);
    run(1, req("low", 1, 4));
    w.now += 5000;
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    ck_assert_int_eq(rc_victims, 1);
    ck_assert_int_eq(rc_preempt, 0);
    w_said_is(&w,
              "CHANGED 2\nHISTORY 2 submit\nCHANGED 1\nHISTORY 1 preempt\nSIGNAL 1.1.0 n0 10\n");
    w_is(&w, 1, RUNNING);
    explains(2, "Preempting",
             "job 1 of queue 'low' is giving way to it; it will be gone in 25 s at the latest");
    explains(1, "None",
             "has to give way to job 2 of queue 'all': in 20 s it is ended and queued again");
    w_tick(&w, w.now + 19999);
    w_said_is(&w, "");
    w_tick(&w, w.now + 1);
    w_saw(&w, "KILL 1.1.0 n0 grace 5: gave way to job 2 of queue 'all'");
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, PENDING);
    ck_assert_uint_eq(w_job(&w, 1)->attempt, 2);
    ck_assert_uint_eq(w_job(&w, 1)->preemptions, 1);
    ck_assert_int_eq(w_job(&w, 1)->ran_ms, 25000);
    ck_assert_int_eq(w_pass(&w), 1); /* by whatever policy */
    w_is(&w, 2, CONFIGURING);
    explains(1, "Resources", "attempt 1 ended early: gave way to job 2 of queue 'all'");
    w_clear(&w);
}
END_TEST

START_TEST(what_comes_free_is_kept_for_whom_it_was_and_for_nobody_else)
{
    setup(2, 4, TUG_PREEMPT_REQUEUE, 20);
    run(1, req("low", 1, 4));
    run(2, req("low", 1, 2));
    w_submit(&w, 3, req("all", 2, 4)); /* gets the free half of n1 at once, the rest as it comes */
    pass();
    ck_assert_int_eq(rc_victims, 2);
    w_submit(&w, 4, req("all", 1, 1));
    proposes = 0;
    pass();
    w_is(&w, 4, PENDING);
    cancel(2);
    w_gone(&w, 2, 1, 0, 1);
    pass();
    w_is(&w, 4, PENDING);
    ck_assert_uint_eq(seen[4].id, 4);
    w_tick(&w, w.now + 20000);
    w_gone(&w, 1, 1, 0, 0);
    explains(3, "Preempting", "it starts next");
    pass();
    w_is(&w, 3, CONFIGURING);
    w_is(&w, 4, PENDING);
    w_clear(&w);
}
END_TEST

START_TEST(who_may_not_wait_again_is_ended_as_PREEMPTED_and_told_for_whom)
{
    setup(1, 4, TUG_PREEMPT_REQUEUE, 0);
    struct tug_job_req r = req("low", 1, 4);
    r.requeue = 0;
    run(1, r);
    w_submit(&w, 2, req("all", 1, 1));
    pass();
    w_is(&w, 1, COMPLETING);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, PREEMPTED);
    ck_assert_str_eq(w_job(&w, 1)->cause.text, "gave way to job 2 of queue 'all'");
    ck_assert_int_eq(w_job(&w, 1)->cause.kind, TUG_CAUSE_PREEMPT);
    ck_assert_str_eq(tug_job_state_code(TUG_JOB_PREEMPTED), "PR");
    w_clear(&w);
}
END_TEST

START_TEST(without_notice_the_end_is_ordered_by_the_pass_itself)
{
    setup(1, 4, TUG_PREEMPT_CANCEL, 0);
    w.conf.kill_grace_s = 0;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    run(1, req("low", 1, 4));
    w_submit(&w, 2, req("all", 1, 1));
    w_forget(&w);
    pass();
    w_saw(&w, "KILL 1.1.0 n0 grace 0: gave way to job 2 of queue 'all'");
    w_clear(&w);
}
END_TEST

START_TEST(who_ends_well_during_its_notice_is_COMPLETED_and_who_does_not_has_given_way)
{
    setup(2, 4, TUG_PREEMPT_REQUEUE, 20);
    run(1, req("low", 1, 4));
    run(2, req("low", 1, 4));
    w_submit(&w, 3, req("all", 2, 4));
    pass();
    w_done(&w, 1, 1, 0, 0, 0);
    w_is(&w, 1, COMPLETED);
    w_done(&w, 2, 1, 0, 1, 3);
    w_is(&w, 2, PENDING);
    ck_assert_uint_eq(w_job(&w, 2)->attempt, 2);
    pass();
    w_is(&w, 3, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(suspended_means_stopped_with_its_memory_and_going_on_in_the_same_place)
{
    setup(2, 4, TUG_PREEMPT_SUSPEND, 0);
    struct tug_job_req r = req("low", 2, 4);
    r.time_limit_s = 100;
    r.mem_per_node_bytes = 40ULL << 30;
    run(1, r);
    w.now += 30000;
    w_submit(&w, 2, req("all", 1, 4));
    w_forget(&w);
    pass();
    w_is(&w, 1, SUSPENDED);
    w_saw(&w, "SIGNAL 1.1.0 n0 19\nSIGNAL 1.1.0 n1 19\n");
    explains(1, "Suspended", "stopped, as it gave way to job 2 of queue 'all'");
    pass();
    w_is(&w, 2, CONFIGURING);
    ck_assert_uint_eq(seen[1].suspended, 1);
    ck_assert_int_eq(seen[1].ran_ms, 30000);
    ck_assert_int_eq(seen[1].start_ms, -1);
    all_ready(2);
    explains(1, "Suspended", "GPU 0 of node n0 has job 2");
    struct tug_core_node n;
    tug_core_node(w.c, 1, &n);
    ck_assert_uint_eq(n.mem_used_bytes, 40ULL << 30);
    ck_assert_uint_eq(n.gpus_used, 0);
    struct tug_job_req big = req("all", 1, 1);
    big.mem_per_node_bytes = 30ULL << 30;
    w_submit(&w, 3, big); /* for n1 there is no memory */
    w_tick(&w, w.now + 200000);
    pass();
    w_is(&w, 3, PENDING);
    w_is(&w, 1, SUSPENDED); /* its limit has not come nearer */
    cancel(3);
    w_done(&w, 2, 1, 0, 0, 0);
    w_forget(&w);
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 1, RUNNING);
    w_saw(&w, "SIGNAL 1.1.0 n0 18\n");
    w_tick(&w, w.now + 69999);
    w_is(&w, 1, RUNNING);
    w_tick(&w, w.now + 1);
    w_is(&w, 1, COMPLETING);
    ck_assert_int_eq(w_job(&w, 1)->end_state, TUG_JOB_TIMEOUT);
    w_clear(&w);
}
END_TEST

START_TEST(a_suspended_job_says_what_is_in_its_way_also_where_others_have_parts)
{
    setup(1, 2, TUG_PREEMPT_SUSPEND, 0);
    struct tug_job_req part = req("all", 1, 1);
    part.gpu_milli = 400;
    run(1, req("low", 1, 2));
    w_submit(&w, 2, req("all", 1, 2));
    pass();
    pass();
    all_ready(2);
    w_submit(&w, 3, part);
    w_done(&w, 2, 1, 0, 0, 0);
    proposes = 0;
    pass();
    w_is(&w, 3, CONFIGURING);
    explains(1, "Suspended", "others have parts of GPU 0 of node n0");
    all_ready(3);
    w_done(&w, 3, 1, 0, 0, 0);
    struct tug_held_step stray = {
        .job = 77, .attempt = 1, .phase = TUG_HELD_RUNNING, .cause.node = TUG_NO_NODE};
    const struct tug_held_step held[] = {
        {.job = 1, .attempt = 1, .phase = TUG_HELD_RUNNING, .cause.node = TUG_NO_NODE}, stray};
    w_up(&w, 0, held, 2);
    explains(1, "Suspended", "when what should not run on node n0 has been ended");
    w_clear(&w);
}
END_TEST

static int skipping_pass(void *self, const struct tug_policy_view *v,
                         const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    (void) self;
    for (size_t i = host->next(p, 0); i < v->n_waiting; i = host->next(p, i + 1))
        host->start(p, TUG_POLICY_WAITING(v, i)->id);
    return 0;
}

static const struct tug_policy_ops skipping = {
    .size = sizeof skipping, .abi = TUG_POLICY_ABI, .name = "skipping", .pass = skipping_pass};

START_TEST(a_suspended_job_is_not_skipped_when_another_that_asks_for_the_same_does_not_fit)
{
    setup(2, 4, TUG_PREEMPT_SUSPEND, 0);
    struct tug_job_req r = req("low", 2, 4);
    r.mem_per_node_bytes = 40ULL << 30;
    run(1, r);
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    w_is(&w, 1, SUSPENDED);
    pass();
    all_ready(2);
    r.nice = -10;
    w_submit(&w, 3, r); /* goes first, and there is no memory for it: 1 has it */
    w_done(&w, 2, 1, 0, 0, 0);
    ck_assert_int_eq(w_pass_with(&w, &skipping, NULL), 1);
    w_is(&w, 1, RUNNING);
    w_is(&w, 3, PENDING);
    w_clear(&w);
}
END_TEST

static void low_is_down(uint8_t down)
{
    w.queues[2].is_down = down;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
}

START_TEST(a_suspended_job_gets_its_own_GPUs_back_from_who_may_give_way)
{
    setup(2, 4, TUG_PREEMPT_SUSPEND, 0);
    w.queues[0].tier = 2;
    w.queues[2].tier = 1;
    w.queues[3].preemptable = TUG_PREEMPT_REQUEUE;
    low_is_down(0);
    run(1, req("low", 1, 4));
    run(2, req("all", 1, 4));
    w_submit(&w, 3, req("all", 1, 4));
    pass();
    pass();
    all_ready(3);
    w_is(&w, 1, SUSPENDED);
    low_is_down(1);
    explains(1, "QueueDown", "queue 'low' is down");
    w_done(&w, 3, 1, 0, 0, 0);
    run(4, req("left", 1, 4));
    ck_assert_uint_eq(w_job(&w, 4)->slices[0].node, 0);
    low_is_down(0);
    w_done(&w, 2, 1, 0, 1, 0); /* what is free elsewhere is of no use to it */
    pass();
    ck_assert_int_eq(rc_victims, 1);
    ck_assert_uint_eq(victims[0], 4);
    explains(1, "Preempting", "job 4 of queue 'left' is giving way to it");
    w_gone(&w, 4, 1, 0, 0);
    pass();
    w_is(&w, 1, RUNNING);
    ck_assert_uint_eq(w_job(&w, 1)->slices[0].node, 0);
    w_clear(&w);
}
END_TEST

/* Job 1 is stopped and has 40G of the 64G; job 3, of a higher tier, waits for as much; nobody runs. */
static void first_waits_for_memory_of_who_is_stopped(void)
{
    setup(1, 4, TUG_PREEMPT_SUSPEND, 0);
    struct tug_job_req r = req("low", 1, 4);
    r.mem_per_node_bytes = 40ULL << 30;
    run(1, r);
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    pass();
    all_ready(2);
    w_is(&w, 1, SUSPENDED);
    r = req("all", 1, 1);
    r.mem_per_node_bytes = 40ULL << 30;
    w_submit(&w, 3, r);
    w_submit(&w, 4, req("low", 1, 1));
    w_done(&w, 2, 1, 0, 0, 0);
}

START_TEST(strictly_in_order_who_is_stopped_goes_on_behind_one_that_waits_for_its_memory)
{
    first_waits_for_memory_of_who_is_stopped();
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 1, RUNNING);
    w_is(&w, 3, PENDING);
    w_is(&w, 4, PENDING);
    w_clear(&w);
}
END_TEST

static int idle_pass(void *self, const struct tug_policy_view *v,
                     const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    (void) self;
    (void) host;
    (void) p;
    ck_assert_uint_eq(v->n_suspended, v->n_waiting == 3);
    return 0;
}

START_TEST(where_nobody_runs_one_that_is_stopped_goes_on_though_the_policy_starts_nobody)
{
    static const struct tug_policy_ops idle = {
        .size = sizeof idle, .abi = TUG_POLICY_ABI, .name = "idle", .pass = idle_pass};
    first_waits_for_memory_of_who_is_stopped();
    ck_assert_int_eq(w_pass_with(&w, &idle, NULL), 1);
    w_is(&w, 1, RUNNING);
    ck_assert_int_eq(w_pass_with(&w, &idle, NULL), 0);
    w_clear(&w);
}
END_TEST

START_TEST(what_is_stopped_does_not_wake_up_to_be_ended)
{
    setup(1, 4, TUG_PREEMPT_SUSPEND, 0);
    run(1, req("low", 1, 4));
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    pass();
    all_ready(2);
    struct tug_event ev = {.type = TUG_EV_JOB_SIGNAL, .job = 1, .signal = SIGCONT};
    ck_assert_int_eq(w_event(&w, ev), -EPERM);
    w_forget(&w);
    cancel(1);
    w_saw(&w, "KILL 1.1.0 n0 grace 0: cancelled");
    w_is(&w, 1, COMPLETING);
    w_gone(&w, 1, 1, 0, 0);
    w_is(&w, 1, CANCELLED);
    w_is(&w, 2, RUNNING);
    w_clear(&w);
}
END_TEST

START_TEST(a_suspended_job_whose_node_is_lost_waits_again_elsewhere)
{
    setup(3, 4, TUG_PREEMPT_SUSPEND, 0);
    run(1, req("low", 2, 4));
    run(2, req("all", 1, 4));
    w_submit(&w, 3, req("all", 1, 4));
    pass();
    w_is(&w, 1, SUSPENDED);
    w_down(&w, 1);
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 0);
    w_lease_over(&w, 1);
    w_is(&w, 1, PENDING);
    ck_assert_int_eq(w_job(&w, 1)->ran_ms, 0); /* what it did is lost */
    w_clear(&w);
}
END_TEST

START_TEST(a_node_that_comes_back_is_told_again_who_is_stopped)
{
    setup(1, 4, TUG_PREEMPT_SUSPEND, 0);
    run(1, req("low", 1, 4));
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    w_forget(&w);
    struct tug_held_step held = {.job = 1, .attempt = 1, .phase = TUG_HELD_RUNNING};
    w_up(&w, 0, &held, 1);
    w_saw(&w, "SIGNAL 1.1.0 n0 19");
    cancel(2);
    pass();
    w_is(&w, 1, RUNNING);
    w_forget(&w);
    w_up(&w, 0, &held, 1);
    w_saw(&w, "SIGNAL 1.1.0 n0 18");
    w_clear(&w);
}
END_TEST

START_TEST(nobody_gives_way_too_soon_too_often_or_to_its_own_tier)
{
    setup(1, 4, TUG_PREEMPT_REQUEUE, 0);
    w.queues[2].preempt_min_run_s = 10;
    w.conf.preempt_max = 1;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    run(1, req("low", 1, 4));
    w_submit(&w, 2, req("all", 1, 4));
    w.now += 9999;
    pass();
    ck_assert_int_eq(rc_victims, -EPERM);
    ck_assert_int_eq(seen[1].safe_until_ms, w.now + 1);
    w.now++;
    pass();
    ck_assert_int_eq(rc_victims, 1);
    w_gone(&w, 1, 1, 0, 0);
    cancel(2);
    pass();
    all_ready(1);
    w.now += 60000;
    w_submit(&w, 3, req("all", 1, 4));
    pass();
    ck_assert_int_eq(rc_victims, -EPERM);
    ck_assert_int_eq(seen[1].safe_until_ms, INT64_MAX);
    ck_assert_uint_eq(seen[1].preemptions, 1);
    cancel(1);
    w_gone(&w, 1, 2, 0, 0);
    cancel(3);
    run(4, req("short", 1, 4)); /* would give way, but not to its own tier */
    w_submit(&w, 5, req("all", 1, 4));
    pass();
    ck_assert_int_eq(rc_victims, -EPERM);
    only = 5;
    who[0] = 4;
    n_who = 1;
    pass();
    ck_assert_int_eq(rc_preempt, -EPERM);
    ck_assert_msg(strstr(w.err.msg, "its tier is not lower"), "%s", w.err.msg);
    ck_assert_uint_eq(w.stats.refused, 1);
    ck_assert_int_eq(may, 0); /* to ask is not to propose */
    w_clear(&w);
}
END_TEST

START_TEST(a_queue_below_its_guarantee_takes_it_back_from_those_above_theirs_and_no_more)
{
    setup(2, 4, TUG_PREEMPT_REQUEUE, 20);
    w.queues[3].preemptable = TUG_PREEMPT_REQUEUE;
    w.queues[3].preempt_notice_s = 20;
    w.queues[3].tier = w.queues[2].tier = 1;
    w.queues[2].guarantee_gpus = 4;
    w.queues[3].guarantee_gpus = 2;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    run(1, req("left", 1, 4));
    run(2, req("left", 1, 2));
    run(3, req("left", 1, 2));
    w_submit(&w, 4, req("low", 1, 2)); /* below its guarantee: same tier, and yet */
    pass();
    ck_assert_int_eq(rc_victims, 1);
    ck_assert_int_eq(rc_preempt, 0);
    w_submit(&w, 5, req("low", 1, 4)); /* with that, it would be above */
    pass();
    ck_assert_int_lt(rc_victims, 0);
    cancel(5);
    w_submit(&w, 6, req("all", 1, 2)); /* has no guarantee */
    pass();
    ck_assert_int_lt(rc_victims, 0);
    w_clear(&w);
}
END_TEST

/* Queue "left" does not lend its 4 GPUs, so that node 1 stays empty; job 1 runs on the other. */
static void setup_unlent(uint32_t notice_s)
{
    setup(2, 4, TUG_PREEMPT_REQUEUE, notice_s);
    w.queues[3].guarantee_gpus = 4;
    w.queues[3].no_lend = 1;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    run(1, req("low", 1, 4));
}

START_TEST(others_give_way_to_a_job_that_would_fit_were_it_not_for_what_a_queue_does_not_lend)
{
    setup_unlent(0);
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    ck_assert_int_eq(rc_victims, 1);
    ck_assert_int_eq(rc_preempt, 0);
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 0);
    pass();
    w_is(&w, 2, CONFIGURING);
    explains(1, "QueueCap", "of the 4 free ones 4 are kept for other queues");
    w_submit(&w, 3, req("left", 1, 4));
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 3, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(nobody_gives_way_to_a_job_that_would_leave_too_little_for_a_queue_that_does_not_lend)
{
    setup_unlent(0);
    w_submit(&w, 2, req("all", 2, 4));
    pass();
    ck_assert_int_lt(rc_victims, 0);
    only = 2;
    who[0] = 1;
    n_who = 1;
    pass();
    ck_assert_int_eq(rc_preempt, -EAGAIN);
    w_is(&w, 1, RUNNING);
    w_clear(&w);
}
END_TEST

START_TEST(who_has_all_that_is_kept_for_it_starts_even_if_queues_that_do_not_lend_have_too_little_by_then)
{
    setup_unlent(20);
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    ck_assert_int_eq(rc_preempt, 0);
    w_down(&w, 1);
    w_tick(&w, w.now + 20000);
    w_gone(&w, 1, 1, 0, 0);
    proposes = 0;
    pass();
    w_is(&w, 2, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(with_what_is_kept_for_it_a_job_starts_where_others_that_ask_for_the_same_cannot)
{
    setup(3, 4, TUG_PREEMPT_REQUEUE, 20);
    run(1, req("low", 1, 4));
    run(2, req("all", 1, 4));
    w_submit(&w, 3, req("all", 2, 4));
    pass();
    explains(3, "Preempting", "job 1 of queue 'low' is giving way to it"); /* n2 is kept for it */
    struct tug_job_req r = req("all", 2, 4);
    r.nice = -10;
    w_submit(&w, 4, r); /* goes first; for it there is n1 alone */
    w_done(&w, 2, 1, 0, 1, 0);
    proposes = 0;
    pass();
    w_is(&w, 4, PENDING);
    w_is(&w, 3, CONFIGURING);
    ck_assert_uint_eq(w_job(&w, 3)->slices[0].node, 1);
    w_clear(&w);
}
END_TEST

START_TEST(who_is_promised_what_others_leave_counts_against_the_guarantee_at_once)
{
    setup(2, 4, TUG_PREEMPT_REQUEUE, 20);
    w.queues[3].preemptable = TUG_PREEMPT_REQUEUE;
    w.queues[3].preempt_notice_s = 20;
    w.queues[3].tier = w.queues[2].tier = 1;
    w.queues[2].guarantee_gpus = 4;
    w.queues[3].guarantee_gpus = 2;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    run(1, req("left", 1, 4));
    run(2, req("left", 1, 2));
    run(3, req("left", 1, 2));
    w_submit(&w, 4, req("low", 1, 2));
    pass();
    ck_assert_int_eq(rc_victims, 1);
    cancel(4); /* who leaves, leaves */
    w_submit(&w, 5, req("low", 1, 2));
    w_submit(&w, 6, req("low", 1, 4));
    pass(); /* 5 gets that place, and with it 6 would be above the guarantee */
    explains(5, "Preempting", "waits for others that are being ended");
    ck_assert_int_lt(rc_victims, 0);
    w_clear(&w);
}
END_TEST

static int later_preempt(void *self, const struct tug_policy_view *v,
                       const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    return push_pass(self, v, host, p);
}
static const struct tug_policy_ops push_in_preempt = {
    .size = sizeof push, .abi = TUG_POLICY_ABI, .name = "later", .preempt = later_preempt};

START_TEST(a_pass_is_due_when_somebody_may_give_way_who_could_not_before)
{
    setup(1, 4, TUG_PREEMPT_REQUEUE, 0);
    w.queues[2].preempt_min_run_s = 60;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    w_submit(&w, 1, req("low", 1, 4));
    w_pass_with(&w, &push_in_preempt, NULL);
    w_submit(&w, 2, req("all", 1, 4));
    w_pass_with(&w, &push_in_preempt, NULL);
    ck_assert_int_lt(rc_victims, 0); /* job 1 is only being launched */
    ck_assert_int_eq(tug_core_wants_pass(w.c), 0);
    all_ready(1);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    w_pass_with(&w, &push_in_preempt, NULL);
    ck_assert_int_lt(rc_victims, 0); /* it has not run for 60 s */
    ck_assert_int_eq(tug_core_next_wake(w.c), w.now + 60000);
    w_tick(&w, w.now + 60000);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    w_pass_with(&w, &push_in_preempt, NULL);
    ck_assert_int_eq(rc_victims, 1);
    w_is(&w, 1, REQUEUED);
    w_clear(&w);
}
END_TEST

START_TEST(who_is_suspended_waits_for_whoever_has_its_GPUs_also_when_a_queue_keeps_the_free_ones)
{
    setup(2, 4, TUG_PREEMPT_SUSPEND, 0);
    w.queues[3].guarantee_gpus = 4;
    w.queues[3].no_lend = 1;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    run(1, req("low", 1, 4));
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    pass();
    w_is(&w, 2, CONFIGURING);
    explains(1, "Suspended", "GPU 0 of node n0 has job 2");
    w_clear(&w);
}
END_TEST

START_TEST(nobody_gives_way_to_a_job_whose_queue_would_have_no_room_for_it_next_to_those_to_come)
{
    setup(3, 4, TUG_PREEMPT_REQUEUE, 20);
    w.queues[0].cap_gpus = 6;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    for (tug_job_id id = 1; id <= 3; id++)
        run(id, req("low", 1, 4));
    w_submit(&w, 4, req("all", 1, 4));
    pass();
    ck_assert_int_eq(rc_preempt, 0);
    w_submit(&w, 5, req("all", 1, 3)); /* 4 are on their way */
    pass();
    ck_assert_int_eq(rc_victims, -EDQUOT);
    cancel(5);
    struct tug_job_req r = req("all", 1, 1);
    r.exclusive = 1;
    w_submit(&w, 6, r); /* asks for 1, and gets a node of 4 */
    pass();
    ck_assert_int_eq(rc_preempt, -EDQUOT);
    cancel(4);
    pass();
    ck_assert_int_eq(rc_preempt, 0);
    w_clear(&w);
}
END_TEST

START_TEST(under_order_the_policy_may_stop_anybody_for_nobody)
{
    setup(1, 4, TUG_PREEMPT_REQUEUE, 0);
    w.conf.preemption = TUG_PREEMPTION_ORDER;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    run(1, req("short", 1, 2));
    run(2, req("short", 1, 2));
    only = 0;
    who[0] = 1;
    who[1] = 2;
    n_who = 2;
    pass();
    ck_assert_int_eq(rc_preempt, 0);
    ck_assert_int_eq(may, 1);
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 0);
    w_gone(&w, 2, 1, 0, 0);
    ck_assert_msg(strstr(w_job(&w, 2)->cause.text, "gave way to the policy"), "%s",
                  w_job(&w, 2)->cause.text);
    w_submit(&w, 3, req("short", 1, 4)); /* no hold: whoever comes first */
    pass();
    w_is(&w, 1, CONFIGURING);
    w_is(&w, 3, PENDING);
    w_clear(&w);
}
END_TEST

static int64_t asked_ms[3];

static int asks_when(void *self, const struct tug_policy_view *v,
                     const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    (void) self;
    for (uint64_t id = 3; id < 6; id++) {
        host->earliest(p, id, &asked_ms[id - 3]);
        asked_ms[id - 3] -= v->now_ms;
    }
    return 0;
}

static const struct tug_policy_ops when = {
    .size = sizeof when, .abi = TUG_POLICY_ABI, .name = "when", .pass = asks_when};

START_TEST(what_others_leave_to_a_job_is_free_for_the_next_only_when_that_has_run)
{
    setup(1, 4, TUG_PREEMPT_REQUEUE, 20);
    struct tug_job_req r = req("low", 1, 2);
    r.time_limit_s = 1000;
    run(1, r);
    r = req("all", 1, 4);
    r.time_limit_s = 100;
    w_submit(&w, 2, r); /* two GPUs are kept for it, two come with the end of job 1 */
    pass();
    ck_assert_int_eq(rc_preempt, 0);
    w_submit(&w, 3, req("all", 1, 4));
    w_submit(&w, 4, req("all", 1, 1));
    r = req("all", 1, 0);
    r.exclusive = 1;
    w_submit(&w, 5, r);
    w_pass_with(&w, &when, NULL);
    for (int i = 0; i < 3; i++) /* 20 s of notice and 5 s to die, then 100 s of job 2 */
        ck_assert_int_eq(asked_ms[i], 125000);
    w_clear(&w);
}
END_TEST

START_TEST(who_others_give_way_to_counts_to_the_cap_of_its_queue_before_it_starts)
{
    setup(2, 4, TUG_PREEMPT_REQUEUE, 20);
    w.queues[0].cap_gpus = 4;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    run(1, req("low", 1, 2));
    run(2, req("low", 1, 3));
    w_submit(&w, 3, req("all", 1, 4));
    pass();
    ck_assert_uint_eq(victims[0], 1); /* on n0: on n1 a GPU is free */
    w_submit(&w, 4, req("all", 1, 1)); /* with that job 3 could not start any more */
    pass();
    w_is(&w, 4, PENDING);
    ck_assert_int_eq(w_pass(&w), 0);
    explains(4, "QueueCap",
             "queue 'all' uses 0, and 4 that others give way for, of the 4 that it may have");
    w_tick(&w, w.now + 20000);
    w_gone(&w, 1, 1, 0, 0);
    pass();
    w_is(&w, 3, CONFIGURING);
    cancel(3);
    w_gone(&w, 3, 1, 0, 0);
    pass();
    w_is(&w, 4, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(a_hold_ends_with_its_job_and_with_its_time)
{
    setup(1, 4, TUG_PREEMPT_REQUEUE, 20);
    run(1, req("low", 1, 4));
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    cancel(2);
    w_is(&w, 1, RUNNING); /* it was told to go, and goes */
    w_tick(&w, w.now + 20000);
    w_is(&w, 1, REQUEUED);
    w_gone(&w, 1, 1, 0, 0);
    proposes = 0;
    pass();
    all_ready(1);
    proposes = 1;
    w_submit(&w, 3, req("all", 1, 4));
    pass();
    w_tick(&w, w.now + 20000);
    w_tick(&w, w.now + 65000); /* job 1 does not go */
    explains(3, "Resources", "needs 1 node");
    pass(); /* nor is it hoped for again */
    ck_assert_int_eq(rc_victims, -EPERM);
    w_clear(&w);
}
END_TEST

START_TEST(after_a_restart_those_who_are_leaving_are_waited_for_and_nobody_else_has_to_go)
{
    setup(2, 4, TUG_PREEMPT_REQUEUE, 20);
    run(1, req("low", 1, 4));
    w.now += 1000;
    run(2, req("low", 1, 4));
    w_submit(&w, 3, req("all", 1, 4));
    pass();
    ck_assert_uint_eq(victims[0], 2); /* the one that ran for less */
    struct tug_core *again = same_restart(w.c, &w.conf, w.now, &w.err);
    ck_assert_msg(again != NULL, "%s", w.err.msg);
    ck_assert_ptr_null(same_job(w_job(&w, 2), tug_core_job(again, 2)));
    tug_core_free(w.c);
    w.c = again;
    for (uint32_t i = 0; i < 2; i++) {
        struct tug_held_step held = {.job = i + 1, .attempt = 1, .phase = TUG_HELD_RUNNING};
        w_up(&w, i, &held, 1);
    }
    pass();
    ck_assert_int_eq(rc_victims, 0);
    ck_assert_int_eq(rc_preempt, 0);
    explains(3, "Preempting", "waits for others that are being ended");
    w_tick(&w, w.now + 20000);
    w_is(&w, 2, REQUEUED);
    w_is(&w, 1, RUNNING);
    w_gone(&w, 2, 1, 0, 1);
    pass();
    w_is(&w, 3, CONFIGURING);
    w_clear(&w);
}
END_TEST

/* A restart with the clock an hour back; node 0 still has what it had. */
static void restart_in_the_past(const struct tug_held_step *held, size_t n)
{
    w.now -= 3600 * 1000;
    struct tug_core *again = same_restart(w.c, &w.conf, w.now, &w.err);
    ck_assert_msg(again != NULL, "%s", w.err.msg);
    tug_core_free(w.c);
    w.c = again;
    w_up(&w, 0, held, n);
}

START_TEST(a_clock_that_was_set_back_over_a_restart_takes_no_time_away)
{
    struct tug_held_step held[] = {
        {.job = 1, .attempt = 1, .phase = TUG_HELD_RUNNING, .cause.node = TUG_NO_NODE},
        {.job = 2, .attempt = 1, .phase = TUG_HELD_RUNNING, .cause.node = TUG_NO_NODE}};
    setup(1, 4, TUG_PREEMPT_SUSPEND, 0);
    struct tug_job_req r = req("low", 1, 4);
    r.time_limit_s = 7200;
    run(1, r);
    w.now += 1000;
    int64_t limit_ms = w_job(&w, 1)->limit_ms;
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    w_is(&w, 1, SUSPENDED);
    pass();
    all_ready(2);
    restart_in_the_past(held, 2);
    w_done(&w, 2, 1, 0, 0, 0);
    w_is(&w, 2, COMPLETED);
    pass();
    w_is(&w, 1, RUNNING);
    ck_assert_int_eq(w_job(&w, 1)->limit_ms, limit_ms);
    w_clear(&w);
    setup(1, 4, TUG_PREEMPT_REQUEUE, 20);
    run(1, req("low", 1, 4));
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    restart_in_the_past(held, 1);
    w_done(&w, 1, 1, 0, 0, 3); /* it leaves as it was asked to */
    w_is(&w, 1, PENDING);
    ck_assert_int_eq(w_job(&w, 1)->ran_ms, 0);
    pass();
    w_is(&w, 2, CONFIGURING); /* though it was submitted an hour from now */
    w_clear(&w);
}
END_TEST

START_TEST(a_step_at_its_barrier_stays_there_while_its_job_is_suspended)
{
    setup(1, 4, TUG_PREEMPT_SUSPEND, 0);
    run(1, req("low", 1, 4));
    uint32_t step;
    struct tug_event ev = {.type = TUG_EV_STEP_SUBMIT, .job = 1, .step_out = &step};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    w_forget(&w);
    w_ready(&w, 1, 1, step, 0);
    w_tick(&w, w.now + 60000); /* past the barrier's deadline */
    w_said_is(&w, "CHANGED 1\n");
    cancel(2);
    pass();
    w_saw(&w, "START 1.1.1 n0");
    w_clear(&w);
}
END_TEST

START_TEST(a_step_whose_job_was_suspended_over_a_restart_has_the_time_to_start_that_others_have)
{
    setup(1, 4, TUG_PREEMPT_SUSPEND, 0);
    run(1, req("low", 1, 4));
    uint32_t step;
    struct tug_event ev = {.type = TUG_EV_STEP_SUBMIT, .job = 1, .step_out = &step};
    ck_assert_int_eq(w_event(&w, ev), 0);
    w_submit(&w, 2, req("all", 1, 4));
    pass();
    w_is(&w, 1, SUSPENDED);
    w.now += 3600 * 1000;
    struct tug_core *again = same_restart(w.c, &w.conf, w.now, &w.err);
    ck_assert_msg(again != NULL, "%s", w.err.msg);
    tug_core_free(w.c);
    w.c = again;
    struct tug_held_step held[] = {
        {.job = 1, .attempt = 1, .phase = TUG_HELD_RUNNING, .cause.node = TUG_NO_NODE},
        {.job = 1, .attempt = 1, .step = 1, .phase = TUG_HELD_STARTING, .cause.node = TUG_NO_NODE}};
    w_up(&w, 0, held, 2);
    cancel(2);
    pass();
    w_is(&w, 1, RUNNING);
    w_forget(&w);
    w_tick(&w, w.now + 30000);
    w_saw(&w, "KILL 1.1.1 n0");
    w_clear(&w);
}
END_TEST

/* ---- whom it chooses, against every subset there is */

#define N_MAX 4
#define J_MAX 9

static double cost_of(const struct tug_job *j)
{
    double gpus = 0;
    for (size_t i = 0; i < j->n_slices; i++)
        gpus += tug_gpuset_count(j->slices[i].gpus) + j->slices[i].cpus / 1000.0;
    return 1 + gpus * (double) (w.now - j->launched_ms);
}

static int fits_without(uint32_t set, uint32_t n_jobs, const struct tug_job_req *r)
{
    uint32_t fits = 0;
    for (uint32_t i = 0; i < w.conf.n_nodes; i++) {
        uint32_t gpus = w.rows[i].gpus, cpus = w.rows[i].cpus, others = 0;
        for (tug_job_id id = 1; id <= n_jobs; id++) {
            const struct tug_job *j = w_job(&w, id);
            for (size_t k = 0; k < j->n_slices && !(set >> (id - 1) & 1); k++)
                if (j->slices[k].node == i) {
                    gpus -= tug_gpuset_count(j->slices[k].gpus);
                    cpus -= j->slices[k].cpus;
                    others++;
                }
        }
        fits += gpus >= r->gpus_per_node && cpus >= r->cpus_per_node && !(r->exclusive && others);
    }
    return fits >= r->nodes;
}

static double worst, sum_ratio;
static int n_ratio;

static void choose_and_compare(struct tug_rand *rand)
{
    setup(2 + (uint32_t) tug_rand_below(rand, N_MAX - 1), 4, TUG_PREEMPT_CANCEL, 0);
    uint32_t n = 0;
    proposes = 0;
    while (n < J_MAX) {
        struct tug_job_req r = req("low", 1 + (uint32_t) tug_rand_below(rand, w.conf.n_nodes),
                                   (uint32_t) tug_rand_below(rand, 4));
        r.cpus_per_node = 1 + (uint32_t) tug_rand_below(rand, 8);
        w_submit(&w, n + 1, r);
        pass();
        if (w_job(&w, n + 1)->state == TUG_JOB_PENDING) {
            cancel(n + 1);
            break;
        }
        all_ready(++n);
        w.now += 1 + (int64_t) tug_rand_below(rand, 100000);
    }
    struct tug_job_req r = req("all", 1 + (uint32_t) tug_rand_below(rand, w.conf.n_nodes),
                               (uint32_t) tug_rand_below(rand, 5));
    r.cpus_per_node = 1 + (uint32_t) tug_rand_below(rand, 12);
    r.exclusive = tug_rand_below(rand, 6) == 0;
    double best = -1;
    for (uint32_t set = 0; set < 1u << n; set++) {
        double cost = 0;
        for (uint32_t i = 0; i < n; i++)
            cost += set >> i & 1 ? cost_of(w_job(&w, i + 1)) : 0;
        if ((best < 0 || cost < best) && fits_without(set, n, &r))
            best = cost;
    }
    w_submit(&w, 20, r);
    proposes = 1;
    uint32_t chosen = 0;
    double cost = 0;
    pass();
    if (w_job(&w, 20)->state == TUG_JOB_PENDING && best >= 0) {
        ck_assert_msg(rc_victims >= 0, "there are victims, and it finds none (%d)", rc_victims);
        ck_assert_int_eq(rc_preempt, 0);
        for (int i = 0; i < rc_victims; i++) {
            chosen |= 1u << (victims[i] - 1);
            cost += cost_of(w_job(&w, victims[i]));
        }
        ck_assert_msg(fits_without(chosen, n, &r), "the victims are not enough");
        for (int i = 0; i < rc_victims; i++)
            ck_assert_msg(!fits_without(chosen & ~(1u << (victims[i] - 1)), n, &r),
                          "job %d need not have gone", (int) victims[i]);
        double ratio = best > 0 ? cost / best : 1;
        worst = ratio > worst ? ratio : worst;
        sum_ratio += ratio;
        n_ratio++;
    } else if (w_job(&w, 20)->state == TUG_JOB_PENDING) {
        ck_assert_int_lt(rc_victims, 0);
    }
    w_clear(&w);
}

START_TEST(its_victims_are_enough_all_needed_and_not_much_dearer_than_the_cheapest_there_are)
{
    uint64_t seed = unit_seed();
    struct tug_rand rand = tug_rand_seed(seed);
    int rounds = unit_rounds(1500);
    worst = sum_ratio = n_ratio = 0;
    for (int i = 0; i < rounds; i++)
        choose_and_compare(&rand);
    printf("# %d choices: %.4f times the cheapest on average, %.2f at worst\n", n_ratio,
           sum_ratio / n_ratio, worst);
    ck_assert(sum_ratio / n_ratio < 1.03);
    ck_assert(worst < 4);
}
END_TEST

START_TEST(one_that_gave_way_and_does_not_end_is_not_waited_for)
{
    setup(2, 4, TUG_PREEMPT_REQUEUE, 0);
    run(1, req("low", 1, 4));
    run(2, req("low", 1, 4));
    w_submit(&w, 3, req("all", 1, 4));
    pass();
    tug_job_id first = w_job(&w, 1)->state == TUG_JOB_REQUEUED ? 1 : 2;
    w_is(&w, first, REQUEUED);
    uint32_t node = w_job(&w, first)->slices[0].node;
    w_stuck(&w, first, 1, 0, node, "pid 7 in D");
    pass();
    w_is(&w, 3 - first, REQUEUED);
    w_gone(&w, 3 - first, 1, 0, 1 - node);
    pass();
    w_is(&w, 3, CONFIGURING);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/preempt",
          a_higher_tier_has_a_lower_one_give_way_with_notice_and_then_runs_in_its_place,
          one_that_gave_way_and_does_not_end_is_not_waited_for,
          what_comes_free_is_kept_for_whom_it_was_and_for_nobody_else,
          who_may_not_wait_again_is_ended_as_PREEMPTED_and_told_for_whom,
          without_notice_the_end_is_ordered_by_the_pass_itself,
          who_ends_well_during_its_notice_is_COMPLETED_and_who_does_not_has_given_way,
          a_suspended_job_says_what_is_in_its_way_also_where_others_have_parts,
          a_suspended_job_is_not_skipped_when_another_that_asks_for_the_same_does_not_fit,
          suspended_means_stopped_with_its_memory_and_going_on_in_the_same_place,
          a_suspended_job_gets_its_own_GPUs_back_from_who_may_give_way,
          strictly_in_order_who_is_stopped_goes_on_behind_one_that_waits_for_its_memory,
          where_nobody_runs_one_that_is_stopped_goes_on_though_the_policy_starts_nobody,
          what_is_stopped_does_not_wake_up_to_be_ended,
          a_suspended_job_whose_node_is_lost_waits_again_elsewhere,
          a_node_that_comes_back_is_told_again_who_is_stopped,
          nobody_gives_way_too_soon_too_often_or_to_its_own_tier,
          a_queue_below_its_guarantee_takes_it_back_from_those_above_theirs_and_no_more,
          others_give_way_to_a_job_that_would_fit_were_it_not_for_what_a_queue_does_not_lend,
          nobody_gives_way_to_a_job_that_would_leave_too_little_for_a_queue_that_does_not_lend,
          who_has_all_that_is_kept_for_it_starts_even_if_queues_that_do_not_lend_have_too_little_by_then,
          with_what_is_kept_for_it_a_job_starts_where_others_that_ask_for_the_same_cannot,
          who_is_promised_what_others_leave_counts_against_the_guarantee_at_once,
          a_pass_is_due_when_somebody_may_give_way_who_could_not_before,
          who_is_suspended_waits_for_whoever_has_its_GPUs_also_when_a_queue_keeps_the_free_ones,
          nobody_gives_way_to_a_job_whose_queue_would_have_no_room_for_it_next_to_those_to_come,
          under_order_the_policy_may_stop_anybody_for_nobody,
          a_hold_ends_with_its_job_and_with_its_time,
          who_others_give_way_to_counts_to_the_cap_of_its_queue_before_it_starts,
          what_others_leave_to_a_job_is_free_for_the_next_only_when_that_has_run,
          after_a_restart_those_who_are_leaving_are_waited_for_and_nobody_else_has_to_go,
          a_clock_that_was_set_back_over_a_restart_takes_no_time_away,
          a_step_at_its_barrier_stays_there_while_its_job_is_suspended,
          a_step_whose_job_was_suspended_over_a_restart_has_the_time_to_start_that_others_have,
          its_victims_are_enough_all_needed_and_not_much_dearer_than_the_cheapest_there_are)
