/* hang.c - a policy for tests whose pass() does not come back when something does not fit
 */
#include <errno.h>
#include <stddef.h>
#include <tugline/policy.h>

static int hang_create(void **self, const struct tug_policy_value *values, char *why,
                       size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    *self = NULL;
    return 0;
}

static void hang_destroy(void *self)
{
    (void) self;
}

static volatile int never;

static int hang_pass(void *self, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    (void) self;
    for (size_t i = 0; i < view->n_waiting; i++)
        if (host->start(pass, TUG_POLICY_WAITING(view, i)->id) == -EAGAIN)
            while (!never)
                ;
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "hang",
    .summary = "fifo until something does not fit",
    .create = hang_create,
    .destroy = hang_destroy,
    .pass = hang_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
