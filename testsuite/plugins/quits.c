/* quits.c - a policy for tests that ends the process when something does not fit
 */
#include <errno.h>
#include <stdlib.h>
#include <tugline/policy.h>

static int quits_create(void **self, const struct tug_policy_value *values, char *why,
                        size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    *self = NULL;
    return 0;
}

static void quits_destroy(void *self)
{
    (void) self;
}

static int quits_pass(void *self, const struct tug_policy_view *view,
                      const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    (void) self;
    for (size_t i = 0; i < view->n_waiting; i++)
        if (host->start(pass, TUG_POLICY_WAITING(view, i)->id) == -EAGAIN)
            exit(3);
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "quits",
    .summary = "fifo until something does not fit",
    .create = quits_create,
    .destroy = quits_destroy,
    .pass = quits_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
