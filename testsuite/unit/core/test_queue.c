/* test_queue.c - queues as a tree: what they may use, who may use it, and what a full one does to
 * others */
#include <errno.h>

#include "world.h"

static struct world w;

/* lab (cap 12) has train and eval; own keeps its 4 for itself; "all" is world.c's, with no limit.
 */
static struct tug_core_queue tree[] = {
    {.name = "all", .is_default = 1},
    {.name = "train", .parent = "lab", .cap_gpus = 8},
    {.name = "lab", .cap_gpus = 12},
    {.name = "eval", .parent = "lab"},
    {.name = "own", .guarantee_gpus = 4, .no_lend = 1, .no_borrow = 1},
};

static void setup(uint32_t nodes)
{
    w_init(&w, nodes, 8);
    w.conf.queues = tree;
    w.conf.n_queues = sizeof tree / sizeof *tree;
    w_open(&w);
    w_up_all(&w);
}

static void submit(tug_job_id id, const char *queue, uint32_t gpus)
{
    struct tug_job_req r = w_req(1, gpus);
    r.queue = queue;
    w_submit(&w, id, r);
}

static void waits_because(tug_job_id id, const char *reason, const char *words)
{
    char text[512];
    int is;
    tug_core_explain(w.c, w_job(&w, id), &is, text, sizeof text);
    ck_assert_str_eq(tug_core_reason_name(is), reason);
    ck_assert_msg(strstr(text, words) != NULL, "job %d: %s", (int) id, text);
}

static const struct tug_policy_queue *row(const char *name)
{
    size_t n;
    const struct tug_policy_queue *q = tug_core_queue_tree(w.c, &n);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(q[i].name, name))
            return &q[i];
    ck_abort_msg("there is no queue '%s'", name);
}

static void ends(tug_job_id id, uint32_t node)
{
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = id}), 0);
    w_gone(&w, id, 1, 0, node);
}

START_TEST(a_cap_holds_back_the_jobs_of_its_queue_in_their_order_and_nobody_else_s)
{
    setup(3);
    submit(1, "train", 6);
    submit(2, "train", 4);
    submit(3, "train", 1); /* would fit under the cap, but stands behind 2 */
    submit(4, "all", 4);   /* the same shape as 2 */
    ck_assert_int_eq(w_pass(&w), 2);
    w_is(&w, 1, CONFIGURING);
    w_is(&w, 4, CONFIGURING);
    waits_because(2, "QueueCap", "needs 4 GPUs; queue 'train' uses 6 of the 8 that it may have");
    waits_because(3, "Priority", "job 2 goes first and waits itself");
    ck_assert_int_eq(tug_core_wants_pass(w.c), 0);
    ends(1, 0);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    ck_assert_int_eq(w_pass(&w), 2);
    w_is(&w, 2, CONFIGURING);
    w_is(&w, 3, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(the_cap_of_a_queue_above_counts_all_below_it)
{
    setup(3);
    submit(1, "train", 8);
    submit(2, "eval", 4);
    submit(3, "eval", 1);
    ck_assert_int_eq(w_pass(&w), 2);
    waits_because(3, "QueueCap",
                  "needs 1 GPU; queue 'lab', which its own is part of, uses 12 of the 12 that it "
                  "may have");
    ck_assert_uint_eq(row("lab")->gpus_used, 12);
    ck_assert_uint_eq(row("lab")->n_running, 2);
    ck_assert_uint_eq(row("lab")->gpus_wanted, 1);
    ck_assert_uint_eq(row("lab")->n_waiting, 1);
    ck_assert_uint_eq(row("eval")->gpus_used, 4);
    ck_assert_uint_eq(row("lab")->is_leaf, 0);
    w_clear(&w);
}
END_TEST

START_TEST(
    a_queue_that_does_not_lend_keeps_its_guarantee_free_and_one_that_may_not_borrow_stays_in_it)
{
    setup(2);
    submit(1, "all", 8);
    submit(2, "all", 5);
    submit(3, "own", 3);
    submit(4, "own", 2);
    ck_assert_int_eq(w_pass(&w), 2);
    w_is(&w, 1, CONFIGURING);
    waits_because(
        2, "QueueCap",
        "needs 5 GPUs; of the 5 free ones 1 are kept for other queues, which do not lend");
    w_is(&w, 3, CONFIGURING);
    waits_because(4, "QueueCap",
                  "queue 'own' uses 3 of the 4 that are guaranteed to it, and may not borrow");
    submit(5, "eval", 4);
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 5, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(a_job_within_the_guarantee_of_its_queue_starts_also_when_too_little_is_free_for_all_of_that)
{
    setup(2);
    submit(1, "all", 8);
    submit(2, "all", 4);
    ck_assert_int_eq(w_pass(&w), 2);
    struct tug_core_queue more[5];
    memcpy(more, tree, sizeof more);
    more[4].guarantee_gpus = 8;
    w.conf.queues = more;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, NULL), 0);
    submit(3, "own", 3);
    submit(4, "all", 1);
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 3, CONFIGURING);
    waits_because(4, "QueueCap", "of the 1 free ones 5 are kept for other queues, which do not");
    w_clear(&w);
}
END_TEST

START_TEST(one_held_back_whose_GPUs_were_then_taken_by_the_next_waits_for_resources)
{
    setup(2);
    submit(1, "all", 6);
    w_pass(&w);
    submit(2, "all", 7);
    submit(3, "own", 4);
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 3, CONFIGURING);
    waits_because(2, "Resources", "needs 1 node with 7 GPUs and 1 CPU free; 0 have that now");
    w_clear(&w);
}
END_TEST

START_TEST(what_would_never_leave_enough_for_a_queue_that_does_not_lend_is_told_so)
{
    setup(1);
    submit(1, "all", 2);
    submit(2, "all", 5);
    ck_assert_int_eq(w_pass(&w), 1);
    waits_because(2, "QueueCap",
                  "needs 5 GPUs; of the 8 of all nodes that are up 4 are kept for other queues");
    w_clear(&w);
}
END_TEST

START_TEST(a_job_without_GPUs_is_held_back_by_no_cap)
{
    setup(2);
    submit(1, "train", 8);
    w_pass(&w);
    struct tug_job_req r = w_req(1, 0);
    r.queue = "train";
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 2, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(whole_nodes_count_with_all_their_GPUs)
{
    setup(2);
    submit(1, "eval", 5);
    struct tug_job_req r = w_req(1, 2);
    r.queue = "eval";
    r.exclusive = 1;
    w_submit(&w, 2, r);
    ck_assert_int_eq(w_pass(&w), 1);
    waits_because(2, "QueueCap",
                  "needs 8 GPUs; queue 'lab', which its own is part of, uses 5 of the 12");
    struct tug_core_ask ask = {.nodes = 2, .gpus_per_node = 1};
    r = (struct tug_job_req){.user = "ann", .queue = "eval", .exclusive = 1};
    unit_fails(tug_core_admit(w.c, &ask, &r, &w.err), -EINVAL, w.err, "the job needs 16 GPUs");
    w_clear(&w);
}
END_TEST

START_TEST(lowering_a_cap_below_what_is_used_ends_nothing_and_starts_nothing)
{
    setup(2);
    submit(1, "eval", 8);
    w_pass(&w);
    submit(3, "eval", 5);
    tree[2].cap_gpus = 8;
    tree[3].cap_gpus = 4;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    tree[2].cap_gpus = 12;
    submit(2, "eval", 1);
    ck_assert_int_eq(w_pass(&w), 0);
    w_is(&w, 1, CONFIGURING);
    waits_because(2, "QueueCap", "queue 'eval' uses 8 of the 4 that it may have");
    waits_because(3, "QueueCap",
                  "needs 5 GPUs, but queue 'eval' may have 4 at most by now: it cannot start");
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 3}), 0);
    tree[3].cap_gpus = 0;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    ck_assert_int_eq(w_pass(&w), 1);
    w_is(&w, 2, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(what_can_never_start_is_refused_and_a_divided_queue_names_those_below_it)
{
    setup(3);
    struct tug_core_ask ask = {.gpus = 16};
    struct tug_job_req r = {.user = "ann", .queue = "train"};
    unit_fails(tug_core_admit(w.c, &ask, &r, &w.err), -EINVAL, w.err,
               "the job needs 16 GPUs, but queue 'train' may use 8 at most (its cap): it could "
               "never start");
    r.queue = "eval";
    unit_fails(tug_core_admit(w.c, &ask, &r, &w.err), -EINVAL, w.err,
               "but queue 'lab', which queue 'eval' is part of, may use 12 at most");
    r.queue = "lab";
    unit_fails(tug_core_admit(w.c, &ask, &r, &w.err), -EINVAL, w.err,
               "queue 'lab' is divided and takes no jobs itself; use one of: 'train', 'eval'");
    struct tug_job_req inner = w_req(1, 1);
    inner.queue = "lab";
    const struct tug_event ev = {.type = TUG_EV_JOB_SUBMIT, .job = 9, .req = &inner};
    unit_fails(w_event(&w, ev), -EINVAL, w.err, "queue 'lab' is divided");
    w_clear(&w);
}
END_TEST

START_TEST(who_a_queue_takes_and_whether_it_is_down_holds_for_those_below_it)
{
    setup(1);
    tree[2].is_down = 1;
    tree[2].allow_users = "ann,cat";
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    tree[2].is_down = 0;
    tree[2].allow_users = NULL;
    struct tug_core_ask ask = {.gpus = 1};
    struct tug_job_req r = {.user = "bob", .queue = "train"};
    unit_fails(tug_core_admit(w.c, &ask, &r, &w.err), -EPERM, w.err,
               "queue 'train' does not take jobs of user 'bob'; use queue 'all'");
    submit(1, "train", 1);
    ck_assert_int_eq(w_pass(&w), 0);
    waits_because(1, "QueueDown", "queue 'train' is down");
    w_clear(&w);
}
END_TEST

START_TEST(a_tree_that_cannot_be_is_refused_and_the_old_one_stays)
{
    setup(1);
    struct tug_core_queue bad[] = {{.name = "a", .parent = "b"}, {.name = "b", .parent = "a"}};
    w.conf.queues = bad;
    w.conf.n_queues = 2;
    unit_fails(tug_core_configure(w.c, w.now, &w.conf, &w.err), -EINVAL, w.err,
               "queue 'a' is below itself, by way of 'b'");
    bad[1].parent = "c";
    unit_fails(tug_core_configure(w.c, w.now, &w.conf, &w.err), -EINVAL, w.err,
               "its parent 'c' is not a queue");
    bad[1] = (struct tug_core_queue){.name = "b", .is_default = 1};
    unit_fails(tug_core_configure(w.c, w.now, &w.conf, &w.err), -EINVAL, w.err,
               "queue 'b' is divided into others, so it takes no jobs and cannot be the default");
    bad[1] = (struct tug_core_queue){.name = "b", .guarantee_gpus = 9, .cap_gpus = 8};
    unit_fails(tug_core_configure(w.c, w.now, &w.conf, &w.err), -EINVAL, w.err,
               "9 GPUs are guaranteed, but its cap is 8");
    submit(1, "train", 1);
    struct tug_core_queue divided[] = {{.name = "train"}, {.name = "part", .parent = "train"}};
    w.conf.queues = divided;
    unit_fails(
        tug_core_configure(w.c, w.now, &w.conf, &w.err), -EBUSY, w.err,
        "queue 'train' still has 1 jobs; wait for them or cancel them, then put 'part' below it");
    w_check(&w);
    w_clear(&w);
}
END_TEST

UNIT_MAIN(
    "core/queue", a_cap_holds_back_the_jobs_of_its_queue_in_their_order_and_nobody_else_s,
    the_cap_of_a_queue_above_counts_all_below_it,
    a_queue_that_does_not_lend_keeps_its_guarantee_free_and_one_that_may_not_borrow_stays_in_it,
    a_job_within_the_guarantee_of_its_queue_starts_also_when_too_little_is_free_for_all_of_that,
    what_would_never_leave_enough_for_a_queue_that_does_not_lend_is_told_so,
    one_held_back_whose_GPUs_were_then_taken_by_the_next_waits_for_resources,
    a_job_without_GPUs_is_held_back_by_no_cap, whole_nodes_count_with_all_their_GPUs,
    lowering_a_cap_below_what_is_used_ends_nothing_and_starts_nothing,
    what_can_never_start_is_refused_and_a_divided_queue_names_those_below_it,
    who_a_queue_takes_and_whether_it_is_down_holds_for_those_below_it,
    a_tree_that_cannot_be_is_refused_and_the_old_one_stays)
