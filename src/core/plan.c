/* plan.c - what is free when: the expected ends of what runs, and a pass's reservations
 *
 * Layer: core.
 */
#include <errno.h>

#include "core/pass.h"

int64_t tug_plan_expected_end(struct tug_policy_pass *p, uint64_t job)
{
    (void) p;
    (void) job;
    return -1;
}

int tug_plan_earliest(struct tug_policy_pass *p, uint64_t job, int64_t *start_ms)
{
    (void) p;
    (void) job;
    (void) start_ms;
    return -ENOSYS;
}

int tug_plan_reserve(struct tug_policy_pass *p, uint64_t job, int64_t *start_ms)
{
    return tug_plan_earliest(p, job, start_ms);
}

int tug_plan_backfill(struct tug_policy_pass *p, uint64_t job)
{
    return tug_plan_earliest(p, job, NULL);
}

int tug_plan_horizon(struct tug_policy_pass *p, int64_t horizon_ms, int64_t step_ms)
{
    (void) p;
    (void) horizon_ms;
    (void) step_ms;
    return -ENOSYS;
}
