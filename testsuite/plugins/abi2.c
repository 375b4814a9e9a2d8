/* abi2.c - a policy for tests that was made for an ABI that does not exist yet: nothing behind the
 * number may be read */
#include <tugline/policy.h>

static const struct {
    size_t size;
    uint32_t abi;
    void *whatever[32];
} ops = {.size = sizeof ops,
         .abi = TUG_POLICY_ABI + 1,
         .whatever = {(void *) 1, (void *) 1, (void *) 1}};

const struct tug_policy_ops *tug_policy(void)
{
    return (const struct tug_policy_ops *) (const void *) &ops;
}
