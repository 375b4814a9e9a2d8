/* test_check.c - every corruption that is planted is found, and named */
#include <errno.h>

#include "core/state.h"
#include "world.h"

static struct world w;
static struct tug_err err;

/* A corrupt core cannot be freed: they are kept until the test's process ends. */
static struct world kept[64];
static size_t n_kept;

static struct tug_entry *entry(tug_job_id id)
{
    return tug_jobtab_find(&w.c->jobs, id);
}

static struct tug_ledger_node *ledger(uint32_t i)
{
    return (struct tug_ledger_node *) (uintptr_t) tug_ledger_node(w.c->ledger, i);
}

/* 1 RUNNING on n0 n1 (with a step 1), 2 CONFIGURING on n2, 3 COMPLETING on n3, 4 waits in the
 * order, 5 too, 6 parked, 7 CANCELLED. */
static void setup(void)
{
    w_init(&w, 4, 8);
    w_up_all(&w);
    w_submit(&w, 1, w_req(2, 8));
    w_run(&w, 1);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_STEP_SUBMIT, .job = 1}), 0);
    w_submit(&w, 2, w_req(1, 8));
    w_submit(&w, 3, w_req(1, 6));
    w_pass(&w);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 3}), 0);
    struct tug_job_req wide = w_req(5, 1);
    w_submit(&w, 6, wide);
    w_pass(&w);
    w_submit(&w, 4, w_req(2, 8));
    w_submit(&w, 5, w_req(2, 8));
    w_pass(&w);
    w_submit(&w, 7, w_req(1, 1));
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 7}), 0);
    tug_order_settle(&w.c->order);
    ck_assert_int_eq(entry(6)->bench, TUG_BENCH_PARKED);
    w_check(&w);
}

#define FOUND(plant, words)                                                                        \
    do {                                                                                           \
        setup();                                                                                   \
        plant;                                                                                     \
        memset(&err, 0, sizeof err);                                                               \
        unit_fails(tug_core_check(w.c, &err), -EINVAL, err, words);                                \
        kept[n_kept++] = w;                                                                        \
    } while (0)

START_TEST(double_booking_and_a_ledger_that_lies_are_found)
{
    FOUND(entry(2)->j.slices[0].node = 0, "double booking by job 2");
    FOUND(ledger(3)->gpus_used |= 0x80, "node n3: the ledger is not the sum of the jobs");
    FOUND(ledger(0)->owner[3] = 2, "node n0: the ledger is not the sum of the jobs");
    FOUND(ledger(0)->milli_used[3] = 900, "node n0: the ledger is not the sum of the jobs");
    FOUND(ledger(0)->gpus_shared = 1, "node n0: the ledger is not the sum of the jobs");
    FOUND(ledger(0)->cpus_used++, "node n0: the ledger is not the sum of the jobs");
    FOUND(ledger(0)->mem_used_bytes++, "node n0: the ledger is not the sum of the jobs");
    FOUND(w.c->nodes.at[2].gangs.len = 0, "node n2: its list of gangs is not the ledger's");
    FOUND(entry(1)->j.slices[1].gpus = 0x7f, "node n1: the ledger is not the sum of the jobs");
}
END_TEST

START_TEST(an_index_row_or_total_that_is_out_of_date_is_found)
{
    FOUND(tug_index_set(&w.c->index, 0, 1, 8, 1, 1), "node n0: its row or its index");
    FOUND(w.c->node_rows.at[3].gpus_free = 0, "node n3: its row or its index");
    FOUND(w.c->node_rows.at[3].usable = 0, "node n3: its row or its index");
    FOUND(tug_index_set_shared(&w.c->index, 2, 1), "node n2: its row or its index");
    FOUND(ledger(0)->milli_free[0] = 7, "node n0: its row or its index");
    FOUND(w.c->nodes.at[1].drained = 1, "node n1: its row or its index");
    FOUND(w.c->gpus_free++, "the cluster's totals are wrong");
    FOUND(w.c->nodes_up--, "the cluster's totals are wrong");
}
END_TEST

START_TEST(a_gang_that_is_not_what_was_asked_for_is_found)
{
    FOUND(entry(1)->j.req.gpus_per_node = 4, "job 1: holds 8 GPUs on a node, not 4");
    FOUND(entry(1)->j.req.nodes = 3, "job 1: holds 2 nodes of 3");
    FOUND(entry(1)->j.req.ntasks = 7, "job 1: has 2 ranks, not 7");
    FOUND(entry(1)->j.slices[1].first_rank = 0, "job 1: its ranks don't follow each other");
    FOUND(entry(1)->j.req.gpus_last = 4, "job 1: holds 8 GPUs on a node, not 4");
    FOUND((entry(1)->j.slices[0].ntasks = entry(1)->j.slices[1].first_rank = 2,
           entry(1)->j.slices[1].ntasks = 0),
          "job 1: its ranks don't follow its GPUs");
    FOUND(entry(1)->j.req.cpus_per_node = 9, "job 1: holds other CPUs or memory");
}
END_TEST

static void phase(tug_job_id id, size_t step, size_t part, enum tug_part_phase to)
{
    struct tug_step *s = &entry(id)->j.steps[step];
    tug_step_part_set(s, &s->parts[part], to);
}

START_TEST(steps_whose_parts_contradict_them_are_found)
{
    FOUND(entry(1)->j.steps[0].in_phase[TUG_PART_STARTED]--,
          "job 1 step 0: its parts are counted wrongly");
    FOUND(phase(2, 0, 0, TUG_PART_STARTED), "job 2 step 0: a part started before all were ready");
    FOUND(phase(2, 0, 0, TUG_PART_READY),
          "job 2 step 0: all parts are ready and the barrier is shut");
    FOUND(phase(1, 0, 1, TUG_PART_READY), "job 1 step 0: runs, but not all of it was started");
    FOUND(phase(1, 0, 1, TUG_PART_KILLING), "job 1 step 0: runs, but not all of it was started");
    FOUND(phase(3, 0, 0, TUG_PART_STARTED),
          "job 3 step 0: is being ended, but a part is not being killed");
    FOUND(phase(3, 0, 0, TUG_PART_GONE), "job 3: nothing of it is left, but it holds resources");
    FOUND((phase(1, 1, 0, TUG_PART_GONE), phase(1, 1, 1, TUG_PART_GONE),
           entry(1)->j.steps[1].state = TUG_STEP_COMPLETED),
          "job 1 step 1: nothing is left of it, but it is still there");
    FOUND(entry(1)->j.steps[0].state = TUG_STEP_FAILED,
          "job 1 step 0: is over, but a part is left");
    FOUND(entry(3)->j.steps[0].parts[0].lost = 1,
          "job 3 step 0: part 0 is lost, but its node is not down");
    FOUND(entry(1)->j.steps[1].id = 0, "job 1: its steps are out of order");
    FOUND(entry(1)->j.steps[0].parts[0].slice = 5, "job 1 step 0: part 0 cannot be");
    FOUND((phase(3, 0, 0, TUG_PART_WAITING), entry(3)->j.steps[0].state = TUG_STEP_STARTING),
          "job 3 is being ended, but its step 0 is not");
}
END_TEST

START_TEST(jobs_in_the_wrong_state_or_place_are_found)
{
    FOUND(entry(1)->j.state = TUG_JOB_CONFIGURING,
          "job 1: is CONFIGURING, but its main step is RUNNING");
    FOUND(entry(3)->j.end_state = TUG_JOB_PENDING,
          "job 3: is being ended as what it cannot become");
    FOUND(entry(4)->j.attempt = 0, "job 4: its state or attempt cannot be");
    FOUND(entry(4)->j.requeues = 5, "job 4: its state or attempt cannot be");
    FOUND(entry(7)->j.end_ms = -1, "job 7: its times contradict its state CANCELLED");
    FOUND(entry(1)->j.launched_ms = 5, "job 1: its times contradict its state RUNNING");
    FOUND(entry(4)->bench = TUG_BENCH_NONE, "job 4: is PENDING and stands in bench 0");
    FOUND(entry(1)->running_at = 2, "job 1: its row among the running is wrong");
    FOUND(entry(2)->wake_ms += 5, "job 2: its next deadline is armed wrongly");
    FOUND(tug_heap_remove(&w.c->wakes, &entry(2)->wake),
          "job 2: its next deadline is armed wrongly");
    FOUND(entry(4)->j.n_slices = 1, "job 4: waits, but has slices or steps");
    FOUND((w.c->queues.at[0].is_down = 1), "its queue is down, but it may start");
}
END_TEST

START_TEST(counts_orders_and_shapes_that_are_wrong_are_found)
{
    FOUND(w.c->n_pending++, "the jobs are counted wrongly");
    FOUND(w.c->n_ended--, "the jobs are counted wrongly");
    FOUND(w.c->queues.at[0].n_jobs++, "queue 'all': its jobs are counted wrongly");
    FOUND(w.c->queues.at[0].n_waiting--, "queue 'all': its jobs are counted wrongly");
    FOUND(w.c->order.n_jobs++, "the order, the deadlines or the running");
    FOUND(w.c->running.len--, "job 3: its row among the running is wrong");
    FOUND(tug_order_row(&w.c->order, 0)->job.submit_ms += 1,
          "job 5 stands in the wrong place of the order");
    FOUND(tug_order_row(&w.c->order, 0)->entry = entry(5),
          "the order's row of job 4 is not its own");
    FOUND(w.c->order.left++, "the order's rows are counted wrongly");
    FOUND(w.c->order.briefs[w.c->order.head].nodes += 1,
          "what is said in brief of job 4 is not true");
    FOUND(w.c->families_by_key->refs++, "families: ");
    FOUND(entry(4)->shape->refs++, "shapes: ");
    FOUND(LIST_REMOVE(entry(6)->shape, in_parked), "shapes: ");
    FOUND(TAILQ_REMOVE(&entry(6)->shape->parked, entry(6), in_parked), "shapes: ");
    FOUND(w.c->wheres->refs++, "places: ");
}
END_TEST

START_TEST(queues_and_shares_that_are_not_the_sum_of_their_jobs_are_found)
{
    FOUND(w.c->queue_rows.at[0].gpus_used++,
          "queue 'all': its figures are not the sum of its jobs");
    FOUND(w.c->queue_rows.at[0].n_waiting--,
          "queue 'all': its figures are not the sum of its jobs");
    FOUND(w.c->queues.at[0].gpus_held = 3, "queue 'all': what its holds have is not 3 GPUs");
    FOUND(w.c->gpus_kept = 3, "the queues keep 0 GPUs, not 3");
    FOUND(entry(1)->load.gpus++, "its figures are not the sum of its jobs");
    FOUND(entry(1)->load.cpus++, "what runs is not the sum of its jobs");
    FOUND(entry(1)->charged_ms -= 500000, "its usage is not the sum of those below");
    FOUND(entry(1)->charged_ms = -1,
          "job 1: is charged for what it does not hold, or not for what it does");
    FOUND(entry(4)->queue_row = 1, "job 4: is charged to another queue or user");
}
END_TEST

static int hears(void *self, const struct tug_policy_view *v, const struct tug_policy_event *e,
                 size_t n, size_t stride)
{
    (void) self;
    (void) v;
    (void) e;
    (void) n;
    (void) stride;
    return 0;
}

START_TEST(keys_and_events_that_nobody_gave_or_wants_are_found)
{
    static const struct tug_policy_ops listener = {
        .size = sizeof listener, .abi = TUG_POLICY_ABI, .name = "listener", .observe = hears};
    FOUND(tug_order_row(&w.c->order, 0)->job.key = 1,
          "job 4 stands in the order with a key that is not its own");
    FOUND(entry(4)->key = 1, "job 4 stands in the order with a key that is not its own");
    FOUND(entry(1)->key = 2, "with a key that is not its own");
    FOUND(tug_vec_push(&w.c->events, (struct tug_policy_event){0}),
          "1 events are kept that no policy wants");
    FOUND((w_pass_with(&w, &listener, NULL), w.c->policies_known = 0),
          "policies that have gone are still asked");
}
END_TEST

UNIT_MAIN("core/check", keys_and_events_that_nobody_gave_or_wants_are_found,
          queues_and_shares_that_are_not_the_sum_of_their_jobs_are_found,
          double_booking_and_a_ledger_that_lies_are_found,
          an_index_row_or_total_that_is_out_of_date_is_found,
          a_gang_that_is_not_what_was_asked_for_is_found,
          steps_whose_parts_contradict_them_are_found, jobs_in_the_wrong_state_or_place_are_found,
          counts_orders_and_shapes_that_are_wrong_are_found)
