/* dice.c - a policy for tests that begins with another job every time, by a number that outlives it
 */
#include <errno.h>
#include <stddef.h>
#include <tugline/policy.h>

static int dice_create(void **self, const struct tug_policy_value *values, char *why,
                       size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    *self = NULL;
    return 0;
}

static void dice_destroy(void *self)
{
    (void) self;
}

static size_t thrown;

static int dice_pass(void *self, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    (void) self;
    size_t n = view->n_waiting, first = n ? ++thrown * 7 % n : 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t job = TUG_POLICY_WAITING(view, (first + i) % n)->id;
        if (host->start(pass, job) == -EAGAIN)
            host->explain(pass, job, TUG_REASON_RESOURCES, NULL);
    }
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "dice",
    .summary = "starts where its dice say",
    .create = dice_create,
    .destroy = dice_destroy,
    .pass = dice_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
