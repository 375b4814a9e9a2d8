/* slow.c - a policy for tests: fifo that thinks too long in every pass (parameter 'think')
 *
 * A real policy never reads a clock; this one does so that tests can say how slow it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <tugline/policy.h>

static const struct tug_policy_param params[] = {
    {.name = "think",
     .type = TUG_POLICY_DURATION_S,
     .fallback = "2s",
     .min = 0,
     .max = 60,
     .text = "how long a pass takes"},
    {.name = NULL},
};

static int slow_create(void **self, const struct tug_policy_value *values, char *why,
                       size_t why_size)
{
    (void) why;
    (void) why_size;
    int64_t *think_s = malloc(sizeof *think_s);
    if (!think_s)
        return -ENOMEM;
    *think_s = values[0].i;
    *self = think_s;
    return 0;
}

static void slow_destroy(void *self)
{
    free(self);
}

static int slow_pass(void *self, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    struct timespec now, until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += *(int64_t *) self;
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while (now.tv_sec < until.tv_sec ||
           (now.tv_sec == until.tv_sec && now.tv_nsec < until.tv_nsec));
    for (size_t i = 0; i < view->n_waiting; i++)
        if (host->start(pass, TUG_POLICY_WAITING(view, i)->id) == -EAGAIN)
            break;
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "slow",
    .summary = "fifo, after thinking for long",
    .params = params,
    .create = slow_create,
    .destroy = slow_destroy,
    .pass = slow_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
