/* sim.c - a host of the core whose clock jumps from event to event
 *
 * Always: a job that the core knows and that is not over has one row in 'live'; 'ends' holds those
 * of them that run. Layer: sim.
 */
#include "sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"

#include <uthash.h>

#define QUEUE          "main"
#define NODE_MEM_BYTES (1ULL << 40)
/* No simulated node is ever late. */
#define LAUNCH_TIMEOUT_S 1000000

struct live {
    tug_job_id id;
    UT_hash_handle hh;
    struct tug_heap_node ending;
    int64_t submit_ms, duration_ms, start_ms, end_ms;
    uint32_t gpus, node, attempt;
    const char *user, *queue; /* behind its name */
    char name[];
};

struct sim {
    const struct tug_sim_conf *conf;
    struct tug_trace *trace;
    struct tug_core *core;
    struct tug_sim_result *r;
    int64_t now_ms;
    struct live *live;
    struct tug_heap ends;
    tug_job_id last_id;
    struct tug_trace_job next; /* the job that arrives next */
    int has_next;
    struct tug_vec(int64_t) jcts, waits; /* ms, of what has finished */
    int64_t first_submit_ms, last_end_ms;
    long double gpu_ms;
};

static bool ends_sooner(const struct tug_heap_node *a, const struct tug_heap_node *b)
{
    const struct live *x = tug_heap_entry(a, struct live, ending),
                      *y = tug_heap_entry(b, struct live, ending);
    return x->end_ms != y->end_ms ? x->end_ms < y->end_ms : x->id < y->id;
}

static void note(const struct sim *s, const struct live *l, enum tug_sim_point point)
{
    if (!s->conf->note)
        return;
    struct tug_sim_note n = {.point = point,
                             .at_ms = s->now_ms,
                             .id = l->name,
                             .user = l->user,
                             .queue = l->queue,
                             .gpus = l->gpus,
                             .submit_ms = l->submit_ms,
                             .first_start_ms = l->start_ms};
    if (point == TUG_SIM_START) {
        const struct tug_job *j = tug_core_job(s->core, l->id);
        n.slices = j->slices;
        n.n_slices = j->n_slices;
    }
    s->conf->note(s->conf->note_ctx, &n);
}

/* ---- nodes that do at once what they are told */

static int apply(struct sim *s, struct tug_event ev, struct tug_err *err)
{
    int rc = tug_core_apply(s->core, s->now_ms, &ev, err);
    s->r->events++;
    if (!rc && s->conf->check_every && s->r->events % s->conf->check_every == 0)
        rc = tug_core_check(s->core, err);
    return rc;
}

static int on_start(struct sim *s, const struct tug_action *a, struct tug_err *err)
{
    struct live *l;
    HASH_FIND(hh, s->live, &a->job, sizeof a->job, l);
    tug_assert(l && !tug_heap_holds(&l->ending));
    l->start_ms = s->now_ms;
    l->node = a->node;
    l->attempt = a->attempt;
    if (__builtin_add_overflow(s->now_ms, l->duration_ms, &l->end_ms))
        return tug_fail(err, -EOVERFLOW, "job %s: its end lies beyond the largest time", l->name);
    tug_heap_push(&s->ends, &l->ending);
    note(s, l, TUG_SIM_START);
    return 0;
}

static int act(struct sim *s, const struct tug_action *a, struct tug_err *err)
{
    switch (a->type) {
    case TUG_ACT_LAUNCH:
        return apply(s,
                     (struct tug_event){.type = TUG_EV_STEP_READY,
                                        .job = a->job,
                                        .attempt = a->attempt,
                                        .step = a->step,
                                        .node = a->node},
                     err);
    case TUG_ACT_START:
        return on_start(s, a, err);
    case TUG_ACT_KILL:
    case TUG_ACT_SIGNAL:
        return tug_fail(err, -EPROTO, "the core wants to end job %llu early: %s",
                        (unsigned long long) a->job, a->text);
    default:
        return 0; /* records, and words for an admin */
    }
}

static int drain(struct sim *s, struct tug_err *err)
{
    struct tug_action a;
    int rc = 0;
    while (!rc && tug_core_next_action(s->core, &a))
        rc = act(s, &a, err);
    return rc;
}

static int event(struct sim *s, struct tug_event ev, struct tug_err *err)
{
    int rc = apply(s, ev, err);
    return rc ? rc : drain(s, err);
}

/* ---- the cluster */

static struct tug_core *new_core(const struct tug_sim_conf *conf, struct tug_err *err)
{
    const struct tug_core_queue queue = {.name = QUEUE, .nodes = "", .is_default = 1};
    struct tug_core_node_row *rows = tug_xcalloc(conf->nodes, sizeof *rows);
    for (uint32_t i = 0; i < conf->nodes; i++)
        rows[i] = (struct tug_core_node_row){tug_xasprintf("n%u", i + 1), conf->gpus_per_node,
                                             conf->gpus_per_node, NODE_MEM_BYTES, ""};
    const struct tug_core_conf core = {.launch_timeout_s = LAUNCH_TIMEOUT_S,
                                       .launch_retries = 1,
                                       .queues = &queue,
                                       .n_queues = 1,
                                       .nodes = rows,
                                       .n_nodes = conf->nodes,
                                       .seed = 1,
                                       .placement = conf->placement,
                                       .quiet = 1};
    struct tug_core *c = tug_core_new(&core, err);
    for (uint32_t i = 0; i < conf->nodes; i++)
        free((char *) (uintptr_t) rows[i].name);
    free(rows);
    return c;
}

/* A CPU for each GPU, as every gang takes one of each at least. */
static int nodes_up(struct sim *s, struct tug_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < s->conf->nodes && !rc; i++)
        rc = event(s,
                   (struct tug_event){.type = TUG_EV_NODE_UP,
                                      .node = i,
                                      .inventory = {s->conf->gpus_per_node, s->conf->gpus_per_node,
                                                    NODE_MEM_BYTES, ""}},
                   err);
    return rc;
}

/* ---- jobs */

static int leave_out(struct sim *s, enum tug_sim_left_out why)
{
    struct tug_sim_names *n = &s->r->left_out[why];
    if (n->n++ < TUG_SIM_NAMED_MAX)
        tug_vec_push(&n->names, tug_xstrdup(s->next.id));
    return 0;
}

static int estimate(const struct sim *s, int64_t *out_ms, struct tug_err *err)
{
    const struct tug_trace_job *j = &s->next;
    *out_ms = s->conf->estimates == TUG_SIM_USER ? j->limit_ms : j->duration_ms;
    if (*out_ms < 0)
        return tug_fail(err, -EINVAL,
                        "%s:%llu: column limit_s is empty; estimates of the users need it, or use "
                        "--estimates exact",
                        tug_trace_path(s->trace), (unsigned long long) j->line);
    if (*out_ms == 0)
        *out_ms = 1; /* 0 means that nothing is said */
    return 0;
}

static int submit(struct sim *s, struct tug_err *err)
{
    const struct tug_trace_job *j = &s->next;
    uint32_t per_node = s->conf->gpus_per_node;
    if (j->gpus == 0)
        return leave_out(s, TUG_SIM_NO_GPU);
    if (j->gpus > (uint64_t) s->conf->nodes * per_node)
        return leave_out(s, TUG_SIM_TOO_LARGE);
    uint32_t nodes = (j->gpus - 1) / per_node + 1;
    struct tug_job_req req = {.user = j->user,
                              .queue = QUEUE,
                              .account = "",
                              .name = "",
                              .batch = 1, /* one answer for the whole gang */
                              .nodes = nodes,
                              .ntasks = nodes,
                              .cpus_per_node = 1,
                              .gpus_per_node = nodes > 1 ? per_node : j->gpus,
                              .gpus_last = nodes > 1 ? j->gpus % per_node : 0,
                              .gpu_model = "",
                              .nodelist = "",
                              .exclude = ""};
    int rc = estimate(s, &req.expected_ms, err);
    if (rc)
        return rc;
    size_t name_bytes = strlen(j->id) + 1, user_bytes = strlen(j->user) + 1,
           queue_bytes = strlen(j->queue) + 1;
    struct live *l = tug_xcalloc(1, sizeof *l + name_bytes + user_bytes + queue_bytes);
    l->id = ++s->last_id;
    l->submit_ms = j->submit_ms;
    l->duration_ms = j->duration_ms;
    l->gpus = j->gpus;
    l->start_ms = -1;
    memcpy(l->name, j->id, name_bytes);
    l->user = memcpy(l->name + name_bytes, j->user, user_bytes);
    l->queue = memcpy(l->name + name_bytes + user_bytes, j->queue, queue_bytes);
    HASH_ADD(hh, s->live, id, sizeof l->id, l);
    note(s, l, TUG_SIM_SUBMIT);
    return event(s, (struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = l->id, .req = &req}, err);
}

static int finish(struct sim *s, struct live *l, struct tug_err *err)
{
    const struct tug_exit exit = {0};
    struct tug_event done = {.type = TUG_EV_STEP_DONE,
                             .job = l->id,
                             .attempt = l->attempt,
                             .node = l->node,
                             .exits = &exit,
                             .n_exits = 1};
    int rc = event(s, done, err);
    note(s, l, TUG_SIM_END);
    tug_vec_push(&s->jcts, l->end_ms - l->submit_ms);
    tug_vec_push(&s->waits, l->start_ms - l->submit_ms);
    s->gpu_ms += (long double) l->duration_ms * l->gpus;
    s->last_end_ms = l->end_ms;
    HASH_DEL(s->live, l);
    free(l);
    return rc;
}

/* The next job of the queue that is simulated. */
static int read_next(struct sim *s, struct tug_err *err)
{
    do {
        s->has_next = tug_trace_next(s->trace, &s->next, err);
        if (s->has_next <= 0)
            return s->has_next;
    } while (s->conf->queue && strcmp(s->conf->queue, s->next.queue));
    if (s->r->jobs++ == 0)
        s->first_submit_ms = s->next.submit_ms;
    return 0;
}

/* ---- time */

static int all_that_end_now(struct sim *s, struct tug_err *err)
{
    const struct tug_heap_node *first;
    int rc = 0;
    while (!rc && (first = tug_heap_first(&s->ends))) {
        struct live *l = tug_heap_entry(first, struct live, ending);
        if (l->end_ms > s->now_ms)
            break;
        tug_heap_pop(&s->ends);
        rc = finish(s, l, err);
    }
    return rc;
}

static int all_that_arrive_now(struct sim *s, struct tug_err *err)
{
    int rc = 0;
    while (!rc && s->has_next && s->next.submit_ms == s->now_ms) {
        rc = submit(s, err);
        if (!rc)
            rc = read_next(s, err);
    }
    return rc;
}

static int pass(struct sim *s, struct tug_err *err)
{
    struct tug_pass_stats stats = {0};
    struct tug_err why = {0};
    int rc = tug_core_pass(s->core, s->now_ms, &s->conf->policy, &stats, &why);
    s->r->passes++;
    if (rc < 0)
        return tug_fail(err, -EPROTO, "at %" PRId64 ".%03d s: %s", s->now_ms / 1000,
                        (int) (s->now_ms % 1000), why.msg);
    if (stats.refused && !s->r->refused)
        snprintf(s->r->first_refused, sizeof s->r->first_refused, "%.255s", why.msg);
    s->r->refused += stats.refused;
    return drain(s, err);
}

static int step(struct sim *s, struct tug_err *err)
{
    int rc = all_that_end_now(s, err);
    if (!rc)
        rc = all_that_arrive_now(s, err);
    if (!rc && tug_core_next_wake(s->core) <= s->now_ms)
        rc = event(s, (struct tug_event){.type = TUG_EV_TICK}, err);
    while (!rc && tug_core_wants_pass(s->core))
        rc = pass(s, err);
    return rc;
}

/* When something happens next; INT64_MAX = never. */
static int64_t next_ms(const struct sim *s)
{
    int64_t at = s->has_next ? s->next.submit_ms : INT64_MAX;
    const struct tug_heap_node *first = tug_heap_first(&s->ends);
    if (first && tug_heap_entry(first, struct live, ending)->end_ms < at)
        at = tug_heap_entry(first, struct live, ending)->end_ms;
    return at;
}

/* ---- figures */

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void figures_of(int64_t *ms, size_t n, double *avg_s, double *p99_s)
{
    long double sum = 0;
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        sum += (long double) ms[i];
    qsort(ms, n, sizeof *ms, by_value);
    *avg_s = (double) (sum / (long double) n / 1000);
    *p99_s = (double) ms[(size_t) (0.99 * (double) n)] / 1000;
}

static void figures(struct sim *s)
{
    struct tug_sim_result *r = s->r;
    long double there_ms = (long double) s->conf->nodes * s->conf->gpus_per_node *
                           (long double) (s->last_end_ms - s->first_submit_ms);
    r->finished = s->jcts.len;
    r->unfinished = HASH_COUNT(s->live);
    r->makespan_s = (double) s->last_end_ms / 1000;
    r->gpu_use = s->jcts.len && there_ms > 0 ? (double) (s->gpu_ms / there_ms) : 0;
    figures_of(s->jcts.at, s->jcts.len, &r->avg_jct_s, &r->p99_jct_s);
    figures_of(s->waits.at, s->waits.len, &r->avg_wait_s, &r->p99_wait_s);
}

static void clear(struct sim *s)
{
    struct live *l, *next;
    HASH_ITER (hh, s->live, l, next) {
        HASH_DEL(s->live, l);
        free(l);
    }
    tug_heap_clear(&s->ends);
    tug_vec_clear(&s->jcts);
    tug_vec_clear(&s->waits);
    tug_core_free(s->core);
}

int tug_sim_run(struct tug_trace *trace, const struct tug_sim_conf *conf,
                struct tug_sim_result *out, struct tug_err *err)
{
    struct sim s = {.conf = conf, .trace = trace, .r = out, .ends.less = ends_sooner};
    *out = (struct tug_sim_result){0};
    if (conf->estimates == TUG_SIM_USER && !tug_trace_has_limits(trace))
        return tug_fail(err, -EINVAL,
                        "%s has no column limit_s; estimates of the users need it, or use "
                        "--estimates exact",
                        tug_trace_path(trace));
    s.core = new_core(conf, err);
    if (!s.core)
        return err ? err->code : -EINVAL;
    tug_core_restored(s.core, 0);
    int rc = nodes_up(&s, err);
    if (!rc)
        rc = read_next(&s, err);
    for (int64_t at; !rc && (at = next_ms(&s)) != INT64_MAX;) {
        s.now_ms = at;
        rc = step(&s, err);
    }
    if (!rc)
        figures(&s);
    clear(&s);
    return rc;
}

void tug_sim_result_clear(struct tug_sim_result *r)
{
    for (size_t w = 0; w < TUG_SIM_LEFT_OUTS; w++) {
        for (size_t i = 0; i < r->left_out[w].names.len; i++)
            free(r->left_out[w].names.at[i]);
        tug_vec_clear(&r->left_out[w].names);
        r->left_out[w].n = 0;
    }
}
