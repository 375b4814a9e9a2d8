/* las.c - least attained service: who had few GPU-seconds goes first (2D-LAS of Tiresias)
 *
 * Jobs begin in the first of a few queues and go to the end of the next when the GPU-seconds that
 * they had cross its threshold. All jobs of a queue go before those of the next; in a queue those
 * that run stay in front, and the others keep their order. Needs no run times. Semantics: Tiresias
 * (NSDI'19), in the simulator of Muri (SIGCOMM'22), dlas-gpu.
 *
 * Always: an entry is in one of the queues from the pass that first saw its job until the job
 * ended.
 */
#include "replan.h"
#include "room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS_MAX 8

struct entry {
    uint64_t id;
    int64_t had_ms;     /* how long it ran before this run */
    int64_t started_ms; /* this run; -1 = does not run */
    int64_t waits_since_ms;
    uint32_t gpus;
    int goes;              /* has a place in this pass's plan */
    struct replan_job now; /* its row; .job NULL = neither waits nor runs */
};

struct queue {
    struct entry *at;
    size_t n, cap;
};

struct row {
    uint64_t id;
    struct replan_job now;
    int known;
};

struct las {
    struct replan *plan;
    double limits[LEVELS_MAX - 1]; /* GPU-seconds */
    size_t n_levels;
    int64_t step_ms;
    double promote;
    struct queue queues[LEVELS_MAX], scratch;
    struct row *rows; /* sorted by id, for this pass */
    size_t n_rows, rows_cap;
    uint64_t *ended; /* since the last pass */
    size_t n_ended, ended_cap;
};

enum { THRESHOLDS, STEP, PROMOTE };
static const struct tug_policy_param params[] = {
    [THRESHOLDS] = {.name = "thresholds",
                    .type = TUG_POLICY_STRING,
                    .fallback = "3250,7200",
                    .min = 1,
                    .max = 0,
                    .text =
                        "GPU-seconds at which a job goes to the next queue: up to 7, ascending"},
    [STEP] = {.name = "step",
              .type = TUG_POLICY_DURATION_S,
              .fallback = "1s",
              .min = 1,
              .max = 86400,
              .text = "the run time at which a threshold is crossed is rounded up to this"},
    [PROMOTE] = {.name = "promote",
                 .type = TUG_POLICY_REAL,
                 .fallback = "0",
                 .min = 0,
                 .max = 1e6,
                 .text = "a job that waited this many times as long as it ran begins anew in the "
                         "first queue; 0: never"},
    {.name = NULL},
};

/* ---- life */

static int read_thresholds(struct las *l, const char *text, char *why, size_t why_size)
{
    const char *p = text;
    for (l->n_levels = 1; *p; l->n_levels++) {
        char *end;
        double limit = strtod(p, &end);
        size_t i = l->n_levels - 1;
        if (end == p || (*end && *end != ',') || !(limit > 0 && limit < 1e15) ||
            (*end == ',' && !end[1]) || i == LEVELS_MAX - 1 || (i && limit <= l->limits[i - 1])) {
            snprintf(why, why_size,
                     "thresholds: '%.80s' is not up to %d ascending GPU-seconds, like 3250,7200",
                     text, LEVELS_MAX - 1);
            return -EINVAL;
        }
        l->limits[i] = limit;
        p = *end ? end + 1 : end;
    }
    return 0;
}

static void las_destroy(void *self)
{
    struct las *l = self;
    if (!l)
        return;
    replan_free(l->plan);
    for (size_t k = 0; k < LEVELS_MAX; k++)
        free(l->queues[k].at);
    free(l->scratch.at);
    free(l->rows);
    free(l->ended);
    free(l);
}

static int las_create(void **self, const struct tug_policy_value *values, char *why,
                      size_t why_size)
{
    struct las *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    int rc = read_thresholds(l, values[THRESHOLDS].s, why, why_size);
    l->step_ms = values[STEP].i * 1000;
    l->promote = values[PROMOTE].d;
    l->plan = replan_new();
    if (!rc && !l->plan)
        rc = -ENOMEM;
    if (rc)
        las_destroy(l);
    else
        *self = l;
    return rc;
}

static int append(struct queue *q, const struct entry *e)
{
    int rc = make_room(&q->at, &q->cap, q->n + 1, sizeof *q->at);
    if (!rc)
        q->at[q->n++] = *e;
    return rc;
}

/* A job that is in neither list for a while (it is being cleaned up, or held) keeps its place. */
static int las_observe(void *self, const struct tug_policy_view *view,
                       const struct tug_policy_event *events, size_t n, size_t stride)
{
    struct las *l = self;
    (void) view;
    for (size_t i = 0; i < n; i++) {
        const struct tug_policy_event *e =
            (const struct tug_policy_event *) ((const char *) events + i * stride);
        if (e->type != TUG_POLICY_EV_END)
            continue;
        if (make_room(&l->ended, &l->ended_cap, l->n_ended + 1, sizeof *l->ended))
            return -ENOMEM;
        l->ended[l->n_ended++] = e->job.id;
    }
    return 0;
}

/* ---- which jobs there are */

static int by_id(const void *a, const void *b) /* of rows and of plain ids */
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static int list_rows(struct las *l, const struct tug_policy_view *view)
{
    if (make_room(&l->rows, &l->rows_cap, view->n_waiting + view->n_running, sizeof *l->rows))
        return -ENOMEM;
    l->n_rows = 0;
    for (size_t i = 0; i < view->n_waiting; i++) {
        const struct tug_policy_job *job = TUG_POLICY_WAITING(view, i);
        l->rows[l->n_rows++] = (struct row){job->id, {job, 0}, 0};
    }
    for (size_t i = 0; i < view->n_running; i++) {
        const struct tug_policy_job *job = TUG_POLICY_RUNNING(view, i);
        l->rows[l->n_rows++] = (struct row){job->id, {job, 1}, 0};
    }
    if (l->n_rows)
        qsort(l->rows, l->n_rows, sizeof *l->rows, by_id);
    return 0;
}

static void update(struct entry *e, struct row *row, int64_t now_ms)
{
    e->now = row ? row->now : (struct replan_job){0};
    e->goes = 0;
    int64_t started_ms = row && row->now.runs ? row->now.job->start_ms : -1;
    if (e->started_ms >= 0 && started_ms != e->started_ms) {
        e->had_ms += now_ms - e->started_ms;
        e->waits_since_ms = now_ms;
    }
    e->started_ms = started_ms;
    if (row)
        row->known = 1;
}

static void update_queue(struct las *l, struct queue *q, int64_t now_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++) {
        struct entry *e = &q->at[i];
        struct row *row =
            l->n_rows ? bsearch(&e->id, l->rows, l->n_rows, sizeof *l->rows, by_id) : NULL;
        if (!row && l->n_ended && bsearch(&e->id, l->ended, l->n_ended, sizeof *l->ended, by_id))
            continue;
        update(e, row, now_ms);
        q->at[n++] = *e;
    }
    q->n = n;
}

static int by_submit(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int64_t s = x->now.job->submit_ms, t = y->now.job->submit_ms;
    return s != t ? (s > t) - (s < t) : (x->id > y->id) - (x->id < y->id);
}

static int add_new(struct las *l, int64_t now_ms)
{
    struct queue *first = &l->queues[0];
    size_t had = first->n;
    for (size_t i = 0; i < l->n_rows; i++) {
        struct row *row = &l->rows[i];
        if (row->known)
            continue;
        const struct tug_policy_job *job = row->now.job;
        struct entry e = {.id = job->id,
                          .had_ms = job->ran_ms,
                          .started_ms = row->now.runs ? job->start_ms : -1,
                          .waits_since_ms = now_ms,
                          .gpus = job->gpus,
                          .now = row->now};
        if (append(first, &e))
            return -ENOMEM;
    }
    if (first->n > had)
        qsort(first->at + had, first->n - had, sizeof *first->at, by_submit);
    return 0;
}

/* ---- which queue */

static int64_t attained_ms(const struct entry *e, int64_t now_ms)
{
    return e->had_ms + (e->started_ms >= 0 ? now_ms - e->started_ms : 0);
}

/* The run time at which it leaves the queue. A job without GPUs counts as one with one. */
static int64_t due_ms(const struct las *l, const struct entry *e, size_t level)
{
    double ms = l->limits[level] * 1000 / (e->gpus ? e->gpus : 1);
    int64_t steps = (int64_t) (ms / (double) l->step_ms);
    if ((double) steps * (double) l->step_ms < ms)
        steps++;
    return steps * l->step_ms;
}

static int demote(struct las *l, int64_t now_ms)
{
    for (size_t k = 0; k + 1 < l->n_levels; k++) {
        struct queue *q = &l->queues[k];
        size_t n = 0;
        for (size_t i = 0; i < q->n; i++) {
            if (attained_ms(&q->at[i], now_ms) < due_ms(l, &q->at[i], k))
                q->at[n++] = q->at[i];
            else if (append(&l->queues[k + 1], &q->at[i]))
                return -ENOMEM;
        }
        q->n = n;
    }
    return 0;
}

static int promote(struct las *l, int64_t now_ms)
{
    for (size_t k = 1; k < l->n_levels && l->promote > 0; k++) {
        struct queue *q = &l->queues[k];
        size_t n = 0;
        for (size_t i = 0; i < q->n; i++) {
            struct entry e = q->at[i];
            if (e.started_ms >= 0 ||
                (double) (now_ms - e.waits_since_ms) < l->promote * (double) e.had_ms) {
                q->at[n++] = e;
                continue;
            }
            e.had_ms = 0;
            if (append(&l->queues[0], &e))
                return -ENOMEM;
        }
        q->n = n;
    }
    return 0;
}

/* ---- who goes */

static int put_tier(struct las *l, struct queue *q, uint32_t tier)
{
    for (size_t i = 0; i < q->n; i++) {
        struct entry *e = &q->at[i];
        if (!e->now.job || e->now.job->tier != tier)
            continue;
        int rc = replan_put(l->plan, &e->now, 1);
        if (rc < 0)
            return rc;
        e->goes = rc;
    }
    return 0;
}

/* 1, and the highest tier below *tier. */
static int next_tier(const struct las *l, uint64_t *tier)
{
    uint64_t best = 0;
    int found = 0;
    for (size_t i = 0; i < l->n_rows; i++) {
        uint64_t t = l->rows[i].now.job->tier;
        if (t < *tier && (!found || t > best)) {
            best = t;
            found = 1;
        }
    }
    *tier = best;
    return found;
}

static int those_that_go_first(struct las *l, struct queue *q)
{
    struct queue *rest = &l->scratch;
    size_t n = 0;
    rest->n = 0;
    for (size_t i = 0; i < q->n; i++) {
        if (q->at[i].goes)
            q->at[n++] = q->at[i];
        else if (append(rest, &q->at[i]))
            return -ENOMEM;
    }
    if (rest->n)
        memcpy(q->at + n, rest->at, rest->n * sizeof *rest->at);
    return 0;
}

static void explain(struct las *l, const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    for (size_t k = 0; k < l->n_levels; k++)
        for (size_t i = 0; i < l->queues[k].n; i++) {
            const struct entry *e = &l->queues[k].at[i];
            char text[160];
            if (e->goes || !e->now.job || e->now.runs)
                continue;
            snprintf(text, sizeof text,
                     "has had %.0f GPU-seconds (queue %zu of %zu); jobs that had less go first",
                     (double) e->had_ms / 1000 * e->gpus, k + 1, l->n_levels);
            host->explain(pass, e->id, TUG_REASON_PRIORITY, text);
        }
}

static int las_why(void *self, const struct tug_policy_view *view, const struct tug_policy_job *job,
                   char *text, size_t size)
{
    const struct las *l = self;
    (void) view;
    for (size_t k = 0; k < l->n_levels; k++)
        for (size_t i = 0; i < l->queues[k].n; i++) {
            const struct entry *e = &l->queues[k].at[i];
            if (e->id != job->id)
                continue;
            snprintf(text, size,
                     "has had %.0f GPU-seconds: place %zu of %zu, with those that run, in queue "
                     "%zu of %zu",
                     (double) e->had_ms / 1000 * (e->gpus ? e->gpus : 1), i + 1, l->queues[k].n,
                     k + 1, l->n_levels);
            return 0;
        }
    return -ENOENT;
}

static void wake(struct las *l, const struct tug_policy_host *host, struct tug_policy_pass *pass,
                 int64_t now_ms)
{
    int64_t at_ms = INT64_MAX;
    for (size_t k = 0; k + 1 < l->n_levels; k++)
        for (size_t i = 0; i < l->queues[k].n; i++) {
            const struct entry *e = &l->queues[k].at[i];
            int64_t ms = now_ms + due_ms(l, e, k) - attained_ms(e, now_ms);
            if (e->goes && ms < at_ms)
                at_ms = ms;
        }
    if (at_ms != INT64_MAX)
        host->wake(pass, at_ms);
}

static int las_pass(void *self, const struct tug_policy_view *view,
                    const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    struct las *l = self;
    int64_t now_ms = view->now_ms;
    int rc = list_rows(l, view);
    if (l->n_ended)
        qsort(l->ended, l->n_ended, sizeof *l->ended, by_id);
    for (size_t k = 0; k < l->n_levels && !rc; k++)
        update_queue(l, &l->queues[k], now_ms);
    l->n_ended = 0;
    if (!rc)
        rc = add_new(l, now_ms);
    if (!rc)
        rc = demote(l, now_ms);
    if (!rc)
        rc = promote(l, now_ms);
    if (!rc)
        rc = replan_begin(l->plan, view, host, pass);
    for (uint64_t tier = (uint64_t) UINT32_MAX + 1; !rc && next_tier(l, &tier);)
        for (size_t k = 0; k < l->n_levels && !rc; k++)
            rc = put_tier(l, &l->queues[k], (uint32_t) tier);
    for (size_t k = 0; k < l->n_levels && !rc; k++)
        rc = those_that_go_first(l, &l->queues[k]);
    if (rc)
        return rc;
    if (host->explains)
        explain(l, host, pass);
    wake(l, host, pass, now_ms);
    return replan_carry_out(l->plan);
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "las",
    .summary = "least attained service first, with preemption (2D-LAS of Tiresias)",
    .params = params,
    .create = las_create,
    .destroy = las_destroy,
    .needs = TUG_POLICY_NEEDS_ORDER_PREEMPTION,
    .pass = las_pass,
    .observe = las_observe,
    .observes = 1u << TUG_POLICY_EV_END,
    .why = las_why,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
