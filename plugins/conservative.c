/* conservative.c - conservative backfill: every job that waits gets a reservation, in order
 *
 * Mu'alem and Feitelson, "Utilization, predictability, workloads, and user runtime estimates in
 * scheduling the IBM SP2 with backfilling" (2001), counted in GPUs, CPUs and memory of each node. A
 * job starts now where that delays no job before it; else nodes are kept for it from when they are
 * expected to be free. All reservations are made anew in each pass, so an end that comes early lets
 * every job move up, in order.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <tugline/policy.h>

struct conservative {
    int64_t horizon_s, step_s, depth;
};

static const struct tug_policy_param params[] = {
    {.name = "horizon",
     .type = TUG_POLICY_DURATION_S,
     .fallback = "7d",
     .min = 60,
     .max = 366.0 * 86400,
     .text = "how far ahead nodes are kept; a job that finds no room within it holds up nobody"},
    {.name = "step",
     .type = TUG_POLICY_DURATION_S,
     .fallback = "1m",
     .min = 1,
     .max = 86400,
     .text = "where very much is planned times are rounded up: near now to this, later to more"},
    {.name = "depth",
     .type = TUG_POLICY_INT,
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .text = "how many of the jobs that wait are looked at; 0 = all"},
    {.name = NULL},
};

static int conservative_create(void **self, const struct tug_policy_value *values, char *why,
                               size_t why_size)
{
    (void) why;
    (void) why_size;
    struct conservative *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    *c = (struct conservative){values[0].i, values[1].i, values[2].i};
    *self = c;
    return 0;
}

static void conservative_destroy(void *self)
{
    free(self);
}

static int conservative_pass(void *self, const struct tug_policy_view *view,
                             const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    const struct conservative *c = self;
    if (!TUG_POLICY_HAS(host, horizon))
        return -ENOTSUP;
    host->horizon(pass, c->horizon_s * 1000, c->step_s * 1000);
    size_t n = view->n_waiting;
    if (c->depth && (uint64_t) c->depth < n)
        n = (size_t) c->depth;
    for (size_t i = 0; i < n; i++) {
        uint64_t job = TUG_POLICY_WAITING(view, i)->id;
        int64_t start_ms;
        int rc = host->backfill(pass, job);
        if (rc == -E2BIG)
            break;
        if (rc != -EAGAIN && rc != -EBUSY)
            continue;
        enum tug_policy_reason reason = rc == -EBUSY ? TUG_REASON_PRIORITY : TUG_REASON_RESOURCES;
        host->reserve(pass, job, &start_ms);
        if (host->explains)
            host->explain(pass, job, reason, NULL);
    }
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "conservative",
    .summary = "in order, with backfill that does not delay any job that waits longer",
    .params = params,
    .create = conservative_create,
    .destroy = conservative_destroy,
    .pass = conservative_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
