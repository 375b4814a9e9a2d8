/* nonsense.c - a policy for tests that proposes what cannot be
 *
 * Starts a job that does not exist, puts every waiting gang on GPU 0 of node 0, on nodes that do
 * not exist, on one node twice, with too many GPUs, and gives reasons that are none.
 */
#include <errno.h>
#include <stddef.h>
#include <tugline/policy.h>

static int nonsense_create(void **self, const struct tug_policy_value *values, char *why,
                           size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    *self = NULL;
    return 0;
}

static void nonsense_destroy(void *self)
{
    (void) self;
}

static int nonsense_pass(void *self, const struct tug_policy_view *view,
                         const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    static const struct tug_policy_slice twice[64]; /* node 0, no GPU, 64 times */
    const struct tug_policy_slice nowhere = {.node = 1000000, .gpus = 1};
    const struct tug_policy_slice everything = {.node = 0, .gpus = ~0ULL};
    (void) self;
    host->start(pass, 999999999);
    host->start(pass, 0);
    for (size_t i = 0; i < view->n_waiting; i++) {
        const struct tug_policy_job *job = TUG_POLICY_WAITING(view, i);
        host->start_on(pass, job->id, &nowhere, 1);
        host->start_on(pass, job->id, &everything, 1);
        host->start_on(pass, job->id, twice, job->nodes < 64 ? job->nodes : 64);
        host->start_on(pass, job->id, NULL, 0);
        host->start_on(pass, job->id, twice, 64);
        host->explain(pass, job->id, (enum tug_policy_reason) 99, "because");
    }
    for (size_t i = 0; i < view->n_running; i++) /* overbook what runs */
        host->start(pass, TUG_POLICY_RUNNING(view, i)->id);
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "nonsense",
    .summary = "proposes what cannot be",
    .create = nonsense_create,
    .destroy = nonsense_destroy,
    .pass = nonsense_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
