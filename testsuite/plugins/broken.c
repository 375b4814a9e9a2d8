/* broken.c - a policy for tests: fifo that breaks in the n-th pass in which a job waits (parameter
 * 'nth'), in the way that parameter 'how' says: hang, pointer (a wrong one), abort, divide,
 * deep (no end of a recursion), or shut (closes what is not its own, and goes on);
 * early: in create() already
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/policy.h>
#include <unistd.h>

struct broken {
    int64_t nth, passes;
    char how[16];
};

static const struct tug_policy_param params[] = {
    {.name = "nth", .type = TUG_POLICY_INT, .fallback = "3", .min = 1, .max = 1e9, .text = "when"},
    {.name = "how",
     .type = TUG_POLICY_STRING,
     .fallback = "hang",
     .min = 1,
     .max = 0,
     .text = "how"},
    {.name = NULL},
};

static void broken_destroy(void *self)
{
    free(self);
}

static int broken_create(void **self, const struct tug_policy_value *v, char *why, size_t why_size)
{
    (void) why;
    (void) why_size;
    struct broken *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    b->nth = v[0].i;
    strncpy(b->how, v[1].s, sizeof b->how - 1);
    if (!strcmp(b->how, "early"))
        abort();
    *self = b;
    return 0;
}

/* As in production: what a sanitizer finds first would not be the crash. */
#define UNCHECKED __attribute__((no_sanitize("address", "undefined")))

static volatile int zero;
static int *volatile nowhere;

/* Not to be made a loop of. */
UNCHECKED static int deeper(volatile int *above)
{
    volatile int here[1024];
    here[0] = *above + 1;
    return zero ? 0 : deeper(here) + here[0];
}

UNCHECKED static void give_way(const char *how)
{
    if (!strcmp(how, "deep"))
        zero = deeper(&zero);
    if (!strcmp(how, "pointer"))
        *nowhere = 1;
    if (!strcmp(how, "abort"))
        abort();
    if (!strcmp(how, "divide"))
        zero = 7 / zero;
    for (int fd = 3; !strcmp(how, "shut") && fd < 256; fd++)
        close(fd);
    while (!zero && strcmp(how, "shut") != 0)
        ;
}

static int broken_pass(void *self, const struct tug_policy_view *view,
                       const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    struct broken *b = self;
    if (view->n_waiting && ++b->passes == b->nth)
        give_way(b->how);
    for (size_t i = 0; i < view->n_waiting; i++)
        if (host->start(pass, TUG_POLICY_WAITING(view, i)->id) == -EAGAIN)
            break;
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "broken",
    .summary = "fifo, until it breaks",
    .params = params,
    .create = broken_create,
    .destroy = broken_destroy,
    .pass = broken_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
