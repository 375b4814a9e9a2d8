/* fifo.c - first come, first served: priority, then submit time, strictly
 *
 * The first job that has to wait for resources holds up all behind it, so that a wide gang is never
 * starved by narrow ones; but not those that are suspended, as it may be their memory that it waits
 * for. Jobs that nothing could start now (not eligible, queue or nodes down) are passed over. With
 * overtake: 1 every job that fits is started, which fills the cluster and may starve wide gangs.
 */
#include <errno.h>
#include <stdlib.h>
#include <tugline/policy.h>

struct fifo {
    int64_t overtake;
};

static const struct tug_policy_param params[] = {
    {.name = "overtake",
     .type = TUG_POLICY_BOOL,
     .fallback = "no",
     .min = 1,
     .max = 0,
     .text = "start any job that fits, also past one that has to wait; wide gangs may starve"},
    {.name = NULL},
};

static int fifo_create(void **self, const struct tug_policy_value *values, char *why,
                       size_t why_size)
{
    (void) why;
    (void) why_size;
    struct fifo *f = calloc(1, sizeof *f);
    if (!f)
        return -ENOMEM;
    f->overtake = values[0].i;
    *self = f;
    return 0;
}

static void fifo_destroy(void *self)
{
    free(self);
}

static int fifo_pass(void *self, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    const struct fifo *f = self;
    int held_up = 0;
    for (size_t i = 0; i < view->n_waiting; i++) {
        const struct tug_policy_job *job = TUG_POLICY_WAITING(view, i);
        if (held_up && !job->suspended)
            continue;
        int rc = host->start(pass, job->id);
        if (rc == -E2BIG)
            return 0;
        if (rc != -EAGAIN)
            continue;
        host->explain(pass, job->id, TUG_REASON_RESOURCES, NULL);
        if (!f->overtake && !job->suspended) /* that one waits for its own place only */
            held_up = 1;
        if (held_up && TUG_POLICY_HAS(view, n_suspended) && !view->n_suspended)
            return 0;
    }
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "fifo",
    .summary = "first come, first served, strictly in order",
    .params = params,
    .create = fifo_create,
    .destroy = fifo_destroy,
    .pass = fifo_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
