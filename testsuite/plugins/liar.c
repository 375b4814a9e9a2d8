/* liar.c - a policy for tests that starts half of the jobs, starts each twice, and then says that
 * it could not decide
 *
 * What it explains is not true, either.
 */
#include <errno.h>
#include <stddef.h>
#include <tugline/policy.h>

static int liar_create(void **self, const struct tug_policy_value *values, char *why,
                       size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    *self = NULL;
    return 0;
}

static void liar_destroy(void *self)
{
    (void) self;
}

static int liar_pass(void *self, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    (void) self;
    for (size_t i = 0; i < view->n_waiting; i++) {
        const struct tug_policy_job *job = TUG_POLICY_WAITING(view, i);
        if (i % 2 == 0) {
            host->start(pass, job->id);
            host->start(pass, job->id);
        }
        host->explain(pass, job->id, TUG_REASON_LIMIT,
                      "you have used more than everybody else together");
    }
    return -EIO;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "liar",
    .summary = "starts and then says that it did not",
    .create = liar_create,
    .destroy = liar_destroy,
    .pass = liar_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
