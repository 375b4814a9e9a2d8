/* test_observe.c - what policies are told: everything, in order, to those who want to know */
#include <errno.h>

#include "world.h"

static struct world w;
static struct tug_buf heard;

static const char *const names[] = {"?",       "SUBMIT",  "START",   "END",       "REQUEUE",
                                    "PREEMPT", "SUSPEND", "NODE_UP", "NODE_DOWN", "CONFIG"};

static int listen(void *self, const struct tug_policy_view *v, const struct tug_policy_event *evs,
                  size_t n, size_t stride)
{
    (void) self;
    ck_assert_uint_ge(v->size, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        const struct tug_policy_event *ev = (const void *) ((const char *) evs + i * stride);
        tug_buf_addf(&heard, "%s", names[ev->type]);
        if (ev->job.id)
            tug_buf_addf(&heard, " %llu %s", (unsigned long long) ev->job.id, ev->job.user);
        if (ev->node != TUG_NO_NODE)
            tug_buf_addf(&heard, " n%u", ev->node);
        if (ev->type == TUG_POLICY_EV_END)
            tug_buf_addf(&heard, " ok=%u ran %lld", ev->ok, (long long) ev->job.ran_ms);
        tug_buf_addf(&heard, " at %lld\n", (long long) ev->at_ms - 1000000);
    }
    return 0;
}

static const struct tug_policy_ops listener = {
    .size = sizeof listener, .abi = TUG_POLICY_ABI, .name = "listener", .observe = listen};
static const struct tug_policy_ops deaf = {
    .size = sizeof deaf, .abi = TUG_POLICY_ABI, .name = "deaf"};

static void hears(const char *words)
{
    tug_buf_reset(&heard);
    ck_assert_msg(w_pass_with(&w, &listener, NULL) >= 0, "%s", w.err.msg);
    ck_assert_msg(!strcmp(tug_buf_str(&heard), words), "heard:\n%s--- not:\n%s",
                  tug_buf_str(&heard), words);
}

static void setup(void)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    tug_buf_reset(&heard);
}

static void teardown(void)
{
    w_clear(&w);
    tug_buf_clear(&heard);
}

START_TEST(every_turn_in_a_jobs_life_is_told_once_and_in_order)
{
    setup();
    hears("");
    w_submit(&w, 1, w_req(2, 8));
    w_submit(&w, 2, w_req(1, 1));
    hears("SUBMIT 1 ann at 0\nSUBMIT 2 ann at 0\n");
    for (uint32_t node = 0; node < 2; node++)
        w_ready(&w, 1, 1, 0, node);
    w.now += 500;
    ck_assert_int_eq(
        w_event(&w, (struct tug_event){.type = TUG_EV_JOB_REQUEUE, .job = 1, .text = "again"}), 0);
    w_gone(&w, 1, 1, 0, 0);
    w.now += 100;
    w_gone(&w, 1, 1, 0, 1);
    hears("START 1 ann at 0\nREQUEUE 1 ann at 600\n");
    for (uint32_t node = 0; node < 2; node++)
        w_ready(&w, 1, 2, 0, node);
    w.now += 900;
    w_done(&w, 1, 2, 0, 0, 0);
    w_done(&w, 1, 2, 0, 1, 0);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 2}), 0);
    hears("START 1 ann at 600\nEND 1 ann ok=1 ran 900 at 1500\nEND 2 ann ok=0 ran 0 at 1500\n");
    hears("");
    teardown();
}
END_TEST

START_TEST(nodes_that_become_usable_or_not_and_a_new_configuration_are_told)
{
    setup();
    hears("");
    w_down(&w, 1);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_DRAIN, .node = 0}), 0);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_RESUME, .node = 0}), 0);
    w_up(&w, 1, NULL, 0);
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    hears("NODE_DOWN n1 at 0\nNODE_DOWN n0 at 0\nNODE_UP n0 at 0\nNODE_UP n1 at 0\nCONFIG at 0\n");
    teardown();
}
END_TEST

START_TEST(a_job_that_is_forgotten_before_the_next_pass_is_still_told_with_its_texts)
{
    setup();
    hears("");
    struct tug_job_req r = w_req(1, 1);
    char user[] = "zoe";
    r.user = user;
    w_submit(&w, 1, r);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1}), 0);
    memset(user, 'x', 3);
    w_tick(&w, w.now + 3600 * 1000);
    ck_assert_ptr_null(tug_core_job(w.c, 1));
    hears("SUBMIT 1 zoe at 0\nEND 1 zoe ok=0 ran 0 at 0\n");
    teardown();
}
END_TEST

START_TEST(who_comes_later_is_told_the_past_that_the_host_knows_and_all_that_lives)
{
    setup();
    const struct tug_policy_job old = {
        .id = 3, .user = "eve", .name = "", .queue = "gone", .account = "", .ran_ms = 70};
    w_submit(&w, 10, w_req(1, 8));
    w_submit(&w, 11, w_req(2, 8));
    w_submit(&w, 12, w_req(1, 8));
    w_run(&w, 10);
    ck_assert_int_eq(w_pass_with(&w, &deaf, NULL), 0); /* nothing is kept for it */
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 12}), 0);
    tug_core_recall(w.c, &old, 1000000 - 900, 1);
    w.now += 50;
    hears("END 3 eve ok=1 ran 70 at -900\nEND 12 ann ok=0 ran 0 at 0\nSTART 10 ann at 0\n"
          "SUBMIT 11 ann at 0\n");
    hears("");
    tug_core_forget_policies(w.c); /* the same table, but another policy */
    hears("END 12 ann ok=0 ran 0 at 0\nSTART 10 ann at 0\nSUBMIT 11 ann at 0\n");
    teardown();
}
END_TEST

START_TEST(a_job_that_the_host_and_the_core_both_know_to_be_over_is_told_once)
{
    setup();
    w_submit(&w, 5, w_req(1, 1));
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 5}), 0);
    tug_core_recall(w.c, &(struct tug_policy_job){.id = 5, .user = "ann"}, w.now, 0);
    hears("END 5 ann ok=0 ran 0 at 0\n");
    teardown();
}
END_TEST

START_TEST(who_wants_some_kinds_only_is_not_told_the_others)
{
    static const struct tug_policy_ops ends = {.size = sizeof ends,
                                               .abi = TUG_POLICY_ABI,
                                               .name = "ends",
                                               .observe = listen,
                                               .observes = 1u << TUG_POLICY_EV_END};
    setup();
    w_submit(&w, 1, w_req(1, 1));
    w_submit(&w, 2, w_req(1, 1));
    w_submit(&w, 3, w_req(9, 8)); /* more than there is: stays */
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1}), 0);
    ck_assert_int_ge(w_pass_with(&w, &ends, NULL), 0); /* its first one: of all that lives, too */
    ck_assert_str_eq(tug_buf_str(&heard), "END 1 ann ok=0 ran 0 at 0\n");
    tug_buf_reset(&heard);
    w_down(&w, 1);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 3}), 0);
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    ck_assert_int_ge(w_pass_with(&w, &ends, NULL), 0);
    ck_assert_str_eq(tug_buf_str(&heard), "END 3 ann ok=0 ran 0 at 0\n");
    teardown();
}
END_TEST

START_TEST(nobody_who_listens_costs_nothing)
{
    setup();
    ck_assert_int_eq(w_pass_with(&w, &deaf, NULL), 0);
    w_submit(&w, 1, w_req(4, 8)); /* more than there is: stays */
    size_t bytes = tug_core_memory_bytes(w.c);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(
            w_event(&w, (struct tug_event){.type = i % 2 ? TUG_EV_NODE_RESUME : TUG_EV_NODE_DRAIN,
                                           .node = 0}),
            0);
    ck_assert_uint_lt(tug_core_memory_bytes(w.c), bytes + 10000);
    teardown();
}
END_TEST

/* Rows in events are of the view beside them, or none; texts are there. */
static int looks_up(void *self, const struct tug_policy_view *v, const struct tug_policy_event *evs,
                    size_t n, size_t stride)
{
    int *ended = self;
    for (size_t i = 0; i < n; i++) {
        const struct tug_policy_event *ev = (const void *) ((const char *) evs + i * stride);
        if (!ev->job.id)
            continue;
        ck_assert_str_eq(ev->job.gpu_model, ev->job.id == 1 ? "a100|h100" : "");
        if (ev->job.queue_row != UINT32_MAX) {
            ck_assert_uint_lt(ev->job.queue_row, v->n_queues);
            ck_assert_str_eq(TUG_POLICY_QUEUE(v, ev->job.queue_row)->name, ev->job.queue);
        }
        if (ev->job.share_row != UINT32_MAX) {
            ck_assert_uint_lt(ev->job.share_row, v->n_shares);
            ck_assert_str_eq(TUG_POLICY_SHARE(v, ev->job.share_row)->name, ev->job.user);
        }
        *ended += ev->type == TUG_POLICY_EV_END;
    }
    return 0;
}

START_TEST(rows_of_what_is_told_late_are_those_of_the_new_configuration)
{
    static const struct tug_policy_ops ops = {.size = sizeof ops,
                                              .abi = TUG_POLICY_ABI,
                                              .name = "looks_up",
                                              .needs = TUG_POLICY_NEEDS_SHARES,
                                              .observe = looks_up};
    int ended = 0;
    char model[] = "a100|h100";
    setup();
    w_pass_with(&w, &ops, &ended);
    struct tug_job_req r = w_req(1, 1);
    r.user = "zoe";
    w_submit(&w, 2, r);
    r.user = "bob";
    r.queue = "low";
    r.gpu_model = model;
    w_submit(&w, 1, r);
    for (tug_job_id id = 1; id <= 2; id++)
        ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = id}), 0);
    r = w_req(1, 1);
    r.user = "kim";
    w_submit(&w, 3, r);
    memset(model, 'x', sizeof model - 1);
    w_tick(&w, w.now + 3600 * 1000); /* 1 and 2 are forgotten */
    ck_assert_ptr_null(tug_core_job(w.c, 1));
    struct tug_core_queue all = w.queues[0];
    w.queues[0] = w.queues[1];
    w.queues[1] = all;
    w.conf.n_queues = 2;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    w_pass_with(&w, &ops, &ended);
    ck_assert_int_eq(ended, 2);
    teardown();
}
END_TEST

UNIT_MAIN("core/observe", rows_of_what_is_told_late_are_those_of_the_new_configuration,
          every_turn_in_a_jobs_life_is_told_once_and_in_order,
          nodes_that_become_usable_or_not_and_a_new_configuration_are_told,
          a_job_that_is_forgotten_before_the_next_pass_is_still_told_with_its_texts,
          who_comes_later_is_told_the_past_that_the_host_knows_and_all_that_lives,
          a_job_that_the_host_and_the_core_both_know_to_be_over_is_told_once,
          who_wants_some_kinds_only_is_not_told_the_others, nobody_who_listens_costs_nothing)
