/* bench.c - where a job that waits is kept, and what policies see of a job
 *
 * In exactly one place (enum tug_bench): in the order, if a pass may start it, and else where that which keeps it from being
 * started finds it. Layer: core.
 */
#include "core/state.h"

void tug_job_row(const struct tug_core *c, const struct tug_entry *e, struct tug_policy_job *out)
{
    const struct tug_job *j = &e->j;
    const struct tug_queue *q =
        e->queue_row < c->queues.len ? &c->queues.at[e->queue_row] : NULL;
    uint32_t whole = *j->req.mig_profile ? 0 : 1; /* a slice is no GPU to a policy */
    int64_t limit_ms = j->req.time_limit_s ? (int64_t) j->req.time_limit_s * 1000 : -1;
    *out = (struct tug_policy_job){
        .id = j->id,
        .uid = j->req.uid,
        .nodes = j->req.nodes,
        .ntasks = j->req.ntasks,
        .gpus_per_node = whole * j->req.gpus_per_node,
        .cpus_per_node = j->req.cpus_per_node,
        .attempt = j->attempt,
        .mem_per_node_bytes = j->req.mem_per_node_bytes,
        .submit_ms = j->submit_ms,
        .eligible_ms = j->eligible_ms,
        .time_limit_ms = limit_ms,
        .start_ms = tug_job_held_since_ms(j),
        .priority = j->priority,
        .queue = j->req.queue,
        .account = j->req.account,
        .expected_ms = j->req.expected_ms ? j->req.expected_ms : limit_ms,
        .exclusive = j->req.exclusive,
        .shape = e->shape ? e->shape->number : 0,
        .name = j->req.name,
        .user = j->req.user,
        .gpus_last = whole * tug_job_req_gpus(&j->req, j->req.nodes - 1),
        .cpus_last = tug_job_req_cpus(&j->req, j->req.nodes - 1),
        .gpus = whole * tug_job_req_all_gpus(&j->req),
        .nice = j->req.nice,
        .tier = q ? q->tier : 0,
        .queue_row = e->queue_row,
        .share_row = e->share_row,
        .preemptable = (uint32_t) tug_preempt_how(c, e),
        .preemptions = j->preemptions,
        .suspended = j->state == TUG_JOB_SUSPENDED,
        .leaving = (uint32_t) tug_preempt_is_leaving(e),
        .safe_until_ms = tug_preempt_safe_until(c, e),
        .ran_ms = j->ran_ms + j->sliced_ms,
        .gpu_milli = j->req.gpu_milli ? j->req.gpu_milli : TUG_GPU_MILLI,
        .gpu_model = j->req.gpu_model,
        .within = e->shape && (tug_within_asks(&e->shape->key.within) || e->shape->key.cut),
        .key = e->key,
        .mig_profile = j->req.mig_profile,
        .slices = whole ? 0 : tug_job_req_all_gpus(&j->req),
        .slice_milli = e->shape ? e->shape->micro / (TUG_MIG_MICRO / TUG_GPU_MILLI) : 0};
}

void tug_job_refresh_row(struct tug_core *c, struct tug_entry *e)
{
    if (e->running_at)
        tug_job_row(c, e, &c->running.at[e->running_at - 1].job);
}

static void park(struct tug_core *c, struct tug_entry *e)
{
    if (TAILQ_EMPTY(&e->shape->parked))
        LIST_INSERT_HEAD(&c->parked, e->shape, in_parked);
    TAILQ_INSERT_TAIL(&e->shape->parked, e, in_parked);
    e->bench = TUG_BENCH_PARKED;
    e->explained = 0;
    tug_job_set_explain(e, TUG_REASON_NODES_DOWN, NULL);
}

static void put_in_order(struct tug_core *c, struct tug_entry *e)
{
    struct tug_policy_job row;
    /* One that is suspended goes on in its own place, with the memory that it has. */
    int is_apart = e->j.state == TUG_JOB_SUSPENDED;
    if (!c->order.keyed)
        e->key = 0;
    tug_job_row(c, e, &row);
    e->bench = TUG_BENCH_ORDER;
    tug_job_set_explain(e, TUG_REASON_NONE, NULL);
    tug_order_add(&c->order, &row, is_apart ? 0 : e->shape->family->number, e);
    tug_queue_waits(c, e, 1);
    c->wants_pass = 1;
}

static void bench(struct tug_core *c, struct tug_entry *e, int is_restored)
{
    tug_assert(e->bench == TUG_BENCH_NONE && tug_job_state_waits(e->j.state));
    struct tug_queue *q = tug_queue_find(c, e->j.req.queue);
    q->n_waiting++;
    /* Only who asked to begin later waits for that, not everyone when the clock was set back. */
    if (e->j.onhold.by) {
        e->bench = TUG_BENCH_HELD;
        tug_job_set_explain(e, e->j.onhold.by == TUG_ONHOLD_ADMIN ? TUG_REASON_HELD_ADMIN : TUG_REASON_HELD_USER, NULL);
    } else if (e->j.retry_ms > c->now_ms) {
        e->bench = TUG_BENCH_BEGIN;
        tug_job_set_explain(e, TUG_REASON_BACKOFF, NULL);
    } else if (e->j.req.begin_ms > c->now_ms && e->j.eligible_ms > e->j.submit_ms) {
        e->bench = TUG_BENCH_BEGIN;
        tug_job_set_explain(e, TUG_REASON_BEGIN_TIME, NULL);
    } else if (q->is_down) {
        e->bench = TUG_BENCH_QUEUE;
        tug_job_set_explain(e, TUG_REASON_QUEUE_DOWN, NULL);
    } else if (is_restored && e->j.state == TUG_JOB_PENDING && !tug_shape_is_possible(c, e->shape)) {
        park(c, e);
    } else {
        put_in_order(c, e);
    }
    e->explained = 0;
    e->looked_at = 0;
    tug_job_arm(c, e);
}

void tug_job_bench(struct tug_core *c, struct tug_entry *e)
{
    bench(c, e, 0);
}

void tug_job_bench_restored(struct tug_core *c, struct tug_entry *e)
{
    bench(c, e, 1);
}

void tug_job_unbench(struct tug_core *c, struct tug_entry *e)
{
    if (e->bench == TUG_BENCH_NONE)
        return;
    tug_hold_drop(c, e);
    if (e->bench == TUG_BENCH_ORDER) {
        struct tug_policy_job row;
        tug_job_row(c, e, &row);
        tug_order_remove(&c->order, &row, e);
        tug_queue_waits(c, e, -1);
    } else if (e->bench == TUG_BENCH_PARKED) {
        TAILQ_REMOVE(&e->shape->parked, e, in_parked);
        if (TAILQ_EMPTY(&e->shape->parked))
            LIST_REMOVE(e->shape, in_parked);
    }
    tug_queue_find(c, e->j.req.queue)->n_waiting--;
    e->bench = TUG_BENCH_NONE;
}

void tug_job_park(struct tug_core *c, struct tug_entry *e)
{
    tug_assert(e->bench == TUG_BENCH_ORDER && e->j.state == TUG_JOB_PENDING);
    tug_hold_drop(c, e);
    struct tug_policy_job row;
    tug_job_row(c, e, &row);
    tug_order_remove(&c->order, &row, e);
    tug_queue_waits(c, e, -1);
    park(c, e);
}
