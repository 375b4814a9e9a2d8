/* sjf.c - shortest job first: a job's key is its expected run time
 *
 * A job whose run time nobody expects goes last; equal ones go by submit time. It says nothing
 * about what starts: alone, the shortest job that has to wait for resources holds up all that are
 * longer; sjf+easy fills the gaps. Long jobs may starve: this is a yardstick for simulations more
 * than a policy for people.
 */
#include <math.h>
#include <tugline/policy.h>

static int sjf_create(void **self, const struct tug_policy_value *values, char *why,
                      size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    *self = NULL;
    return 0;
}

static void sjf_destroy(void *self)
{
    (void) self;
}

static double sjf_key(void *self, const struct tug_policy_view *view,
                      const struct tug_policy_job *job)
{
    (void) self;
    (void) view;
    return job->expected_ms < 0 ? HUGE_VAL : (double) job->expected_ms;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "sjf",
    .summary = "shortest expected run time first",
    .create = sjf_create,
    .destroy = sjf_destroy,
    .key = sjf_key,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
