/* crash.c - a policy for tests that follows a null pointer when three jobs wait
 */
#include <errno.h>
#include <stddef.h>
#include <tugline/policy.h>

static int crash_create(void **self, const struct tug_policy_value *values, char *why,
                        size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    *self = NULL;
    return 0;
}

static void crash_destroy(void *self)
{
    (void) self;
}

static int crash_pass(void *self, const struct tug_policy_view *view,
                      const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    const struct tug_policy_job *const *nothing = (const struct tug_policy_job *const *) self;
    for (size_t i = 0; i < view->n_waiting; i++) {
        uint64_t job = TUG_POLICY_WAITING(view, i)->id;
        if (i >= 2)
            job = nothing[i]->id;
        if (host->start(pass, job) == -EAGAIN)
            host->explain(pass, job, TUG_REASON_RESOURCES, NULL);
    }
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "crash",
    .summary = "fifo until three jobs wait",
    .create = crash_create,
    .destroy = crash_destroy,
    .pass = crash_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
