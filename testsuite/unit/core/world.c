/* world.c - a small cluster around a core, for tests that speak in events
 *
 * Layer: tests.
 */
#include <signal.h>

#include "world.h"

#define GIB (1ULL << 30)

void w_init(struct world *w, uint32_t n, uint32_t gpus)
{
    memset(w, 0, sizeof *w);
    ck_assert_uint_le(n, W_NODES_MAX);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(w->names[i], sizeof w->names[i], "n%u", i);
        w->rows[i] = (struct tug_core_node_row){w->names[i], 16, gpus, 64 * GIB, "", NULL};
    }
    w->queues[0] = (struct tug_core_queue){.name = "all", .nodes = "", .is_default = 1};
    w->queues[1] = (struct tug_core_queue){
        .name = "short", .nodes = "", .max_time_s = 60, .default_time_s = 30};
    w->queues[2] = (struct tug_core_queue){.name = "low", .nodes = "", .priority = -10};
    w->queues[3] = (struct tug_core_queue){.name = "left", .nodes = n > 1 ? "n[0-1]" : "n0"};
    w->conf = (struct tug_core_conf){.launch_timeout_s = 30,
                                     .kill_grace_s = 5,
                                     .launch_retries = 3,
                                     .node_bad_launches = 3,
                                     .kept_ms = 3600 * 1000,
                                     .queues = w->queues,
                                     .n_queues = 4,
                                     .nodes = w->rows,
                                     .n_nodes = n,
                                     .seed = 1};
    w->now = 1000000;
    w_open(w);
}

void w_open(struct world *w)
{
    tug_core_free(w->c);
    w->c = tug_core_new(&w->conf, &w->err);
    ck_assert_msg(w->c != NULL, "%s", w->err.msg);
    tug_core_restored(w->c, w->now);
    w_check(w);
}

void w_clear(struct world *w)
{
    tug_core_free(w->c);
    tug_buf_clear(&w->said);
}

void w_check(struct world *w)
{
    struct tug_err err = {0};
    int rc = tug_core_check(w->c, &err);
    ck_assert_msg(rc == 0, "%s", err.msg);
}

static void note(struct world *w, const struct tug_action *a)
{
    static const char *const names[] = {"LAUNCH",     "START",        "KILL",    "SIGNAL",
                                        "ACK",        "CHANGED",      "HISTORY", "FORGOTTEN",
                                        "STEP_ENDED", "NODE_CHANGED", "NODE_HISTORY", "NODE_LOG"};
    const char *node = a->node == TUG_NO_NODE ? "-" : w->names[a->node];
    unsigned long long job = a->job;
    switch (a->type) {
    case TUG_ACT_LAUNCH:
    case TUG_ACT_START:
    case TUG_ACT_ACK:
        tug_buf_addf(&w->said, "%s %llu.%u.%u %s\n", names[a->type], job, a->attempt, a->step,
                     node);
        break;
    case TUG_ACT_KILL:
        tug_buf_addf(&w->said, "KILL %llu.%u.%u %s grace %u: %s\n", job, a->attempt, a->step, node,
                     a->grace_s, a->text);
        break;
    case TUG_ACT_SIGNAL:
        tug_buf_addf(&w->said, "SIGNAL %llu.%u.%u %s %d\n", job, a->attempt, a->step, node,
                     a->signal);
        break;
    case TUG_ACT_STEP_ENDED:
        tug_buf_addf(&w->said, "STEP_ENDED %llu.%u %s\n", job, a->step,
                     tug_step_state_name(a->ended_step->state));
        break;
    case TUG_ACT_NODE_HISTORY:
        tug_buf_addf(&w->said, "NODE_HISTORY %s %s%s%s%s%s%s%s\n", node, a->what, a->by < TUG_DRAINS ? " " : "",
                     a->by < TUG_DRAINS ? tug_drain_name(a->by) : "", *a->user ? " by " : "", a->user,
                     *a->text ? ": " : "", a->text);
        break;
    case TUG_ACT_JOB_HISTORY:
        tug_buf_addf(&w->said, "HISTORY %llu %s%s%s%s%s\n", job, a->text, a->what ? " " : "", a->what ? a->what : "",
                     *a->user ? " by " : "", a->user);
        break;
    case TUG_ACT_NODE_CHANGED:
    case TUG_ACT_NODE_LOG:
        tug_buf_addf(&w->said, "%s %s%s%s\n", names[a->type], node, *a->text ? " " : "", a->text);
        break;
    default:
        tug_buf_addf(&w->said, "%s %llu%s%s\n", names[a->type], job, *a->text ? " " : "", a->text);
    }
}

static void collect(struct world *w)
{
    struct tug_action a;
    while (tug_core_next_action(w->c, &a)) {
        if (a.type != TUG_ACT_USAGE_CHANGED) /* comes with every end: test_share.c */
            note(w, &a);
        if (a.type == TUG_ACT_SIGNAL && a.signal == SIGSTOP && a.serial && !w->slow_stops)
            tug_core_apply(w->c, w->now,
                           &(struct tug_event){.type = TUG_EV_STEP_STOPPED,
                                               .job = a.job,
                                               .attempt = a.attempt,
                                               .step = a.step,
                                               .node = a.node,
                                               .serial = a.serial},
                           &w->err);
    }
}

void w_stopped(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node, uint32_t serial)
{
    struct tug_event ev = {
        .type = TUG_EV_STEP_STOPPED, .job = job, .attempt = attempt, .step = step, .node = node, .serial = serial};
    ck_assert_int_eq(w_event(w, ev), 0);
}

int w_event(struct world *w, struct tug_event ev)
{
    int rc = tug_core_apply(w->c, w->now, &ev, &w->err);
    collect(w);
    w_check(w);
    return rc;
}

int w_pass_with(struct world *w, const struct tug_policy_ops *ops, void *self)
{
    memset(&w->err, 0, sizeof w->err);
    const struct tug_policy_set set = {{{ops, self}}, ops != NULL};
    int rc = tug_core_pass(w->c, w->now, &set, &w->stats, &w->err);
    collect(w);
    w_check(w);
    return rc;
}

int w_pass(struct world *w)
{
    return w_pass_with(w, NULL, NULL);
}

struct tug_job_req w_req(uint32_t nodes, uint32_t gpus_per_node)
{
    return (struct tug_job_req){.uid = 1000,
                                .gid = 1000,
                                .user = "ann",
                                .queue = "all",
                                .account = "",
                                .name = "train",
                                .requeue = 1,
                                .nodes = nodes,
                                .ntasks = nodes,
                                .cpus_per_node = 1,
                                .gpus_per_node = gpus_per_node,
                                .gpu_model = "",
                                .nodelist = "",
                                .exclude = ""};
}

void w_submit(struct world *w, tug_job_id id, struct tug_job_req r)
{
    int rc = w_event(w, (struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = id, .req = &r});
    ck_assert_msg(rc == 0, "%s", w->err.msg);
}

static struct tug_core_inventory inventory_of(const struct world *w, uint32_t node)
{
    const struct tug_core_node_row *r = &w->rows[node];
    return (struct tug_core_inventory){r->cpus, r->gpus, r->mem_bytes, r->gpu_model, w->machines[node], 0,
                                       w->mig[node], w->n_mig[node], w->prolog_s[node], w->epilog_s[node]};
}

void w_up(struct world *w, uint32_t node, const struct tug_held_step *held, size_t n_held)
{
    int rc = w_event(w, (struct tug_event){.type = TUG_EV_NODE_UP,
                                           .node = node,
                                           .inventory = inventory_of(w, node),
                                           .held = held,
                                           .n_held = n_held});
    ck_assert_msg(rc == 0, "%s", w->err.msg);
}

void w_up_all(struct world *w)
{
    for (uint32_t i = 0; i < w->conf.n_nodes; i++)
        w_up(w, i, NULL, 0);
    w_forget(w);
}

void w_down(struct world *w, uint32_t node)
{
    ck_assert_int_eq(w_event(w, (struct tug_event){.type = TUG_EV_NODE_DOWN,
                                                   .node = node,
                                                   .text = "silent for 60 s"}),
                     0);
}

void w_lease_over(struct world *w, uint32_t node)
{
    ck_assert_int_eq(w_event(w, (struct tug_event){.type = TUG_EV_NODE_LEASE_OVER, .node = node}),
                     0);
}

void w_ready(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node)
{
    struct tug_event ev = {
        .type = TUG_EV_STEP_READY, .job = job, .attempt = attempt, .step = step, .node = node};
    ck_assert_int_eq(w_event(w, ev), 0);
}

void w_failed(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node,
              enum tug_cause_kind kind, const char *text)
{
    struct tug_event ev = {.type = TUG_EV_STEP_FAILED,
                           .job = job,
                           .attempt = attempt,
                           .step = step,
                           .node = node,
                           .cause = {.kind = kind, .node = TUG_NO_NODE, .text = (char *) (uintptr_t) text}};
    ck_assert_int_eq(w_event(w, ev), 0);
}

void w_done(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node,
            int code)
{
    struct tug_exit exits[64];
    const struct tug_step *s = tug_core_step(w->c, job, step);
    const struct tug_job *j = tug_core_job(w->c, job);
    size_t n = 1;
    for (size_t i = 0; s && i < s->n_parts; i++)
        if (j->slices[s->parts[i].slice].node == node)
            n = s->parts[i].ntasks;
    for (size_t i = 0; i < n; i++)
        exits[i] = (struct tug_exit){.code = code};
    struct tug_event ev = {.type = TUG_EV_STEP_DONE,
                           .job = job,
                           .attempt = attempt,
                           .step = step,
                           .node = node,
                           .exits = exits,
                           .n_exits = n};
    ck_assert_int_eq(w_event(w, ev), 0);
}

void w_gone(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node)
{
    struct tug_event ev = {
        .type = TUG_EV_STEP_DONE, .job = job, .attempt = attempt, .step = step, .node = node};
    ck_assert_int_eq(w_event(w, ev), 0);
}

void w_stuck(struct world *w, tug_job_id job, uint32_t attempt, uint32_t step, uint32_t node, const char *text)
{
    struct tug_event ev = {
        .type = TUG_EV_STEP_STUCK, .job = job, .attempt = attempt, .step = step, .node = node, .text = text};
    ck_assert_int_eq(w_event(w, ev), 0);
}

void w_tick(struct world *w, int64_t at_ms)
{
    w->now = at_ms;
    ck_assert_int_eq(w_event(w, (struct tug_event){.type = TUG_EV_TICK}), 0);
}

void w_run(struct world *w, tug_job_id job)
{
    w_pass(w);
    w_is(w, job, CONFIGURING);
    const struct tug_job *j = w_job(w, job);
    size_t n = j->steps[0].n_parts;
    for (size_t i = 0; i < n; i++)
        w_ready(w, job, j->attempt, 0, j->slices[i].node);
    w_is(w, job, RUNNING);
    w_forget(w);
}

const struct tug_job *w_job(struct world *w, tug_job_id id)
{
    const struct tug_job *j = tug_core_job(w->c, id);
    ck_assert_msg(j != NULL, "job %llu is not there", (unsigned long long) id);
    return j;
}

const char *w_said(struct world *w)
{
    static char said[65536];
    snprintf(said, sizeof said, "%s", tug_buf_str(&w->said));
    tug_buf_reset(&w->said);
    return said;
}

void w_forget(struct world *w)
{
    tug_buf_reset(&w->said);
}
