/* @NAME@.c - a scheduling policy for Tugline
 *
 * In order, but a job that does not fit may be overtaken until it has waited for 'patience'; from then on nothing behind
 * it starts, so that what comes free is kept for it. This is a real policy, small enough to be changed into yours.
 *
 * Rules: decide by what the view shows and by nothing else (no clock, no file, no random numbers but host->random()), take
 * memory in create() and give it back in destroy(), and explain every job that was tried and did not start.
 * <tugline/policy.h> says what else there is: the order of jobs, places, reservations, preemption, events,
 * and why(): what users of waiting jobs read about their place.
 */
#include <errno.h>
#include <stdlib.h>
#include <tugline/policy.h>

/* What one instance keeps. Nothing stands in global variables: it is made anew when the configuration changes. */
struct @IDENT@ {
    int64_t patience_ms;
};

/* Parameters are checked against this table before create() sees them; "tug policy show @NAME@" prints it. */
static const struct tug_policy_param params[] = {
    {.name = "patience", .type = TUG_POLICY_DURATION_S, .fallback = "10m", .min = 0, .max = 604800,
     .text = "how long a job that does not fit may be overtaken"},
    {.name = NULL, .type = TUG_POLICY_BOOL, .fallback = NULL, .min = 0, .max = 0, .text = NULL},
};

static int create(void **self, const struct tug_policy_value *values, char *why, size_t why_size)
{
    (void) why; /* a sentence for the admin, when this cannot be made */
    (void) why_size;
    struct @IDENT@ *p = (struct @IDENT@ *) calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->patience_ms = values[0].i * 1000; /* values[i] belongs to params[i] */
    *self = p;
    return 0;
}

static void destroy(void *self)
{
    free(self);
}

/* One pass: who starts. Waiting jobs come in order; read them with the macro, never as an array. */
static int pass(void *self, const struct tug_policy_view *view, const struct tug_policy_host *host,
                struct tug_policy_pass *pass)
{
    const struct @IDENT@ *p = (const struct @IDENT@ *) self;
    for (size_t i = 0; i < view->n_waiting; i++) {
        const struct tug_policy_job *job = TUG_POLICY_WAITING(view, i);
        int rc = host->start(pass, job->id); /* a proposal: the core checks it */
        if (rc == -E2BIG)
            return 0; /* enough for this pass */
        if (rc != -EAGAIN)
            continue; /* started, or the core knows why it may not */
        host->explain(pass, job->id, TUG_REASON_RESOURCES, NULL);
        if (view->now_ms - job->submit_ms >= p->patience_ms)
            return 0;
    }
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "@NAME@", /* as the file is called */
    .summary = "in order; who has waited long is not overtaken",
    .params = params,
    .create = create,
    .destroy = destroy,
    .pass = pass,
};

/* The one symbol that leaves this file. */
const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
