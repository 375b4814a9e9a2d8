/* leaky.c - a policy for tests that keeps a piece of every pass, explains nothing, and exports what
 * it should not
 */
#include <errno.h>
#include <stdlib.h>
#include <tugline/policy.h>

static int leaky_create(void **self, const struct tug_policy_value *values, char *why,
                        size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    *self = NULL;
    return 0;
}

static void leaky_destroy(void *self)
{
    (void) self;
}

__attribute__((visibility("default"))) extern void *leaky_last;
void *leaky_last;

static int leaky_pass(void *self, const struct tug_policy_view *view,
                      const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    (void) self;
    void **piece = malloc(256);
    if (!piece)
        return -ENOMEM;
    *piece = leaky_last;
    leaky_last = piece;
    for (size_t i = 0; i < view->n_waiting; i++)
        host->start(pass, TUG_POLICY_WAITING(view, i)->id);
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "leaky",
    .summary = "keeps what it should give back",
    .create = leaky_create,
    .destroy = leaky_destroy,
    .pass = leaky_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
