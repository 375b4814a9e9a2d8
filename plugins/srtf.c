/* srtf.c - shortest remaining time first, at every event, whoever runs
 *
 * Built twice: as srtf, and with BY_SERVICE as srsf, where the time counts as often as the gang has
 * GPUs. At every event all jobs, waiting and running, are put in order and placed anew from an
 * empty cluster; who runs elsewhere, or not at all in that plan, is stopped. An oracle: a yardstick
 * for simulations, where run times are known and stopping costs nothing. Semantics: the simulator
 * of Muri (SIGCOMM'22), srtf and srsf.
 */
#include "replan.h"

#include <errno.h>
#include <stdlib.h>

#ifdef BY_SERVICE
#define NAME    "srsf"
#define SUMMARY "shortest remaining service (time x GPUs) first, with preemption at every event"
#else
#define NAME    "srtf"
#define SUMMARY "shortest remaining time first, with preemption at every event"
#endif
#define NOBODY_KNOWS 1e300

struct srtf {
    struct replan *plan;
    struct replan_job *running; /* in order */
    size_t cap;
    int has_none; /* there have been jobs without GPUs */
};

static int srtf_create(void **self, const struct tug_policy_value *values, char *why,
                       size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    struct srtf *s = calloc(1, sizeof *s);
    if (s)
        s->plan = replan_new();
    if (!s || !s->plan) {
        free(s);
        return -ENOMEM;
    }
    *self = s;
    return 0;
}

static void srtf_destroy(void *self)
{
    struct srtf *s = self;
    replan_free(s->plan);
    free(s->running);
    free(s);
}

static double remaining(const struct tug_policy_view *view, const struct tug_policy_job *job)
{
    if (job->expected_ms < 0)
        return NOBODY_KNOWS;
    int64_t ms = job->expected_ms - job->ran_ms;
    if (job->start_ms >= 0)
        ms -= view->now_ms - job->start_ms;
    if (ms < 0)
        ms = 0;
#ifdef BY_SERVICE
    return (double) ms * (double) job->gpus;
#else
    return (double) ms;
#endif
}

/* Does not change while the job waits. */
static double srtf_key(void *self, const struct tug_policy_view *view,
                       const struct tug_policy_job *job)
{
    struct srtf *s = self;
    struct tug_policy_job waiting = *job;
    waiting.start_ms = -1;
    s->has_none |= job->gpus == 0;
    return remaining(view, &waiting);
}

/* ---- the order of all */

static int goes_before(const struct tug_policy_view *view, const struct tug_policy_job *a,
                       const struct tug_policy_job *b)
{
    double x = remaining(view, a), y = remaining(view, b);
    if (a->tier != b->tier)
        return a->tier > b->tier;
    if (x != y)
        return x < y;
    return a->submit_ms != b->submit_ms ? a->submit_ms < b->submit_ms : a->id < b->id;
}

static void sink(const struct tug_policy_view *view, struct replan_job *heap, size_t n, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && goes_before(view, heap[child].job, heap[child + 1].job))
            child++;
        if (!goes_before(view, heap[i].job, heap[child].job))
            return;
        struct replan_job x = heap[i];
        heap[i] = heap[child];
        heap[child] = x;
    }
}

/* The running ones; those that wait come in order, by srtf_key(). */
static int sort_running(struct srtf *s, const struct tug_policy_view *view)
{
    size_t n = view->n_running;
    if (n > s->cap) {
        struct replan_job *more = realloc(s->running, 2 * n * sizeof *more);
        if (!more)
            return -ENOMEM;
        s->running = more;
        s->cap = 2 * n;
    }
    for (size_t i = 0; i < n; i++)
        s->running[i] = (struct replan_job){TUG_POLICY_RUNNING(view, i), 1};
    for (size_t i = n / 2; i > 0; i--)
        sink(view, s->running, n, i - 1);
    for (size_t left = n; left > 1; left--) {
        struct replan_job last = s->running[0];
        s->running[0] = s->running[left - 1];
        s->running[left - 1] = last;
        sink(view, s->running, left - 1, 0);
    }
    return 0;
}

/* ---- the pass */

static void explain(const struct tug_policy_host *host, struct tug_policy_pass *pass,
                    const struct tug_policy_job *job)
{
    if (host->explains)
        host->explain(pass, job->id, TUG_REASON_PRIORITY,
                      "jobs that need less until they end go first");
}

static int srtf_pass(void *self, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    struct srtf *s = self;
    int rc = replan_begin(s->plan, view, host, pass);
    if (!rc)
        rc = sort_running(s, view);
    for (size_t r = 0, w = 0; rc >= 0 && (r < view->n_running || w < view->n_waiting);) {
        const struct tug_policy_job *waits =
            w < view->n_waiting ? TUG_POLICY_WAITING(view, w) : NULL;
        if (r < view->n_running && (!waits || goes_before(view, s->running[r].job, waits))) {
            rc = replan_put(s->plan, &s->running[r++], 0);
            continue;
        }
        if (replan_gpus_left(s->plan) == 0 && !s->has_none && !host->explains &&
            r == view->n_running)
            break;
        rc = replan_put(s->plan, &(struct replan_job){waits, 0}, 0);
        if (rc == 0)
            explain(host, pass, waits);
        w++;
    }
    return rc < 0 ? rc : replan_carry_out(s->plan);
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = NAME,
    .summary = SUMMARY,
    .create = srtf_create,
    .destroy = srtf_destroy,
    .needs = TUG_POLICY_NEEDS_ORDER_PREEMPTION | TUG_POLICY_NEEDS_EXPECTED,
    .key = srtf_key,
    .pass = srtf_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
