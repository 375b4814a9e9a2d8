/* picky.c - a policy for tests with a parameter of every type; create() says what it got when
 * 'refuse' is not empty */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <tugline/policy.h>

static const struct tug_policy_param params[] = {
    {.name = "flag",
     .type = TUG_POLICY_BOOL,
     .fallback = "no",
     .min = 1,
     .max = 0,
     .text = "a yes or no"},
    {.name = "depth",
     .type = TUG_POLICY_INT,
     .fallback = "10",
     .min = 1,
     .max = 100,
     .text = "a whole number"},
    {.name = "weight",
     .type = TUG_POLICY_REAL,
     .fallback = "0.5",
     .min = 0,
     .max = 1,
     .text = "a number"},
    {.name = "half_life",
     .type = TUG_POLICY_DURATION_S,
     .fallback = "7d",
     .min = 60,
     .max = 1e9,
     .text = "a duration"},
    {.name = "refuse",
     .type = TUG_POLICY_STRING,
     .fallback = "",
     .min = 1,
     .max = 0,
     .text = "a text"},
    {.name = NULL},
};

static int picky_create(void **self, const struct tug_policy_value *v, char *why, size_t why_size)
{
    *self = NULL;
    if (!*v[4].s)
        return 0;
    snprintf(why, why_size, "flag=%d depth=%lld weight=%g half_life=%lld refuse=%s", (int) v[0].i,
             (long long) v[1].i, v[2].d, (long long) v[3].i, v[4].s);
    return -EDOM;
}

static void picky_destroy(void *self)
{
    (void) self;
}

static int picky_pass(void *self, const struct tug_policy_view *view,
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
    .name = "picky",
    .summary = "a parameter of every type",
    .params = params,
    .create = picky_create,
    .destroy = picky_destroy,
    .pass = picky_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
