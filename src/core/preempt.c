/* preempt.c - who gives way to whom
 *
 * Layer: core.
 */
#include <errno.h>

#include "core/pass.h"

int tug_preempt_victims(struct tug_policy_pass *p, uint64_t job, uint64_t *victims, size_t n)
{
    (void) p;
    (void) job;
    (void) victims;
    (void) n;
    return -ENOSYS;
}

int tug_preempt_propose(struct tug_policy_pass *p, uint64_t job, const uint64_t *victims, size_t n)
{
    (void) p;
    (void) job;
    (void) victims;
    (void) n;
    return -ENOSYS;
}
