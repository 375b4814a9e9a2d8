/* needy.c - a policy for tests that needs everything that a host may have */
#include <stddef.h>
#include <tugline/policy.h>

static int needy_create(void **self, const struct tug_policy_value *values, char *why,
                        size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    *self = NULL;
    return 0;
}

static void needy_destroy(void *self)
{
    (void) self;
}

static int needy_preempt(void *self, const struct tug_policy_view *view,
                         const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    (void) self;
    (void) view;
    (void) host;
    (void) pass;
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "needy",
    .summary = "needs everything",
    .create = needy_create,
    .destroy = needy_destroy,
    .needs = TUG_POLICY_NEEDS_ORDER_PREEMPTION | TUG_POLICY_NEEDS_EXPECTED,
    .preempt = needy_preempt,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
