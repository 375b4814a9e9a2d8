/* short.c - a policy whose table ends after pass(), as one from before the other hooks
 *
 * What lies behind the table are wrong pointers: a host that reads on crashes.
 */
#include <errno.h>
#include <stddef.h>
#include <tugline/policy.h>

static int short_create(void **self, const struct tug_policy_value *values, char *why,
                        size_t why_size)
{
    (void) values;
    (void) why;
    (void) why_size;
    *self = NULL;
    return 0;
}

static void short_destroy(void *self)
{
    (void) self;
}

static int short_pass(void *self, const struct tug_policy_view *view,
                      const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    (void) self;
    for (size_t i = 0; i < view->n_waiting; i++)
        if (host->start(pass, TUG_POLICY_WAITING(view, i)->id) == -EAGAIN)
            break;
    return 0;
}

static struct {
    size_t size;
    uint32_t abi;
    const char *name, *summary;
    const struct tug_policy_param *params;
    int (*create)(void **self, const struct tug_policy_value *values, char *why, size_t why_size);
    void (*destroy)(void *self);
    int (*pass)(void *self, const struct tug_policy_view *view, const struct tug_policy_host *host,
                struct tug_policy_pass *pass);
    size_t behind[8];
} ops;

const struct tug_policy_ops *tug_policy(void)
{
    ops.size = offsetof(struct tug_policy_ops, pass) + sizeof ops.pass;
    ops.abi = TUG_POLICY_ABI;
    ops.name = "short";
    ops.summary = "its table ends after pass()";
    ops.create = short_create;
    ops.destroy = short_destroy;
    ops.pass = short_pass;
    for (size_t i = 0; i < sizeof ops.behind / sizeof *ops.behind; i++)
        ops.behind[i] = 1;
    return (const struct tug_policy_ops *) (const void *) &ops;
}
