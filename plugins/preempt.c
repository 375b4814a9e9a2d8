/* preempt.c - jobs that wait have others give way, as far as scheduler.preemption allows
 *
 * After whoever decides what starts: the jobs that still wait are looked at in order, and for each
 * that may have somebody give way those go whose end costs the least work. A shape that nobody's
 * end would make room for is not asked about again in the same pass, for the same tier.
 */
#include <errno.h>
#include <stdlib.h>
#include <tugline/policy.h>

#define VICTIMS_MAX  4096
#define HOPELESS_MAX 64

struct preempt {
    int64_t depth, wait_ms;
    uint64_t victims[VICTIMS_MAX];
};

static const struct tug_policy_param params[] = {
    {.name = "depth",
     .type = TUG_POLICY_INT,
     .fallback = "100",
     .min = 1,
     .max = 1000000,
     .text = "so many waiting jobs are looked at in a pass"},
    {.name = "wait",
     .type = TUG_POLICY_DURATION_S,
     .fallback = "0s",
     .min = 0,
     .max = 31536000,
     .text = "others give way only to a job that could have started for so long"},
    {.name = NULL},
};

static int preempt_create(void **self, const struct tug_policy_value *values, char *why,
                          size_t why_size)
{
    (void) why;
    (void) why_size;
    struct preempt *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->depth = values[0].i;
    p->wait_ms = values[1].i * 1000;
    *self = p;
    return 0;
}

static void preempt_destroy(void *self)
{
    free(self);
}

/* Waited long enough? If not, a pass is asked for when it has. */
static int is_its_time(const struct preempt *p, const struct tug_policy_view *view,
                       const struct tug_policy_host *host, struct tug_policy_pass *pass,
                       const struct tug_policy_job *job)
{
    int64_t since = job->eligible_ms > job->submit_ms ? job->eligible_ms : job->submit_ms;
    if (view->now_ms - since >= p->wait_ms)
        return 1;
    host->wake(pass, since + p->wait_ms);
    return 0;
}

static int preempt_preempt(void *self, const struct tug_policy_view *view,
                           const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    struct preempt *p = self;
    struct {
        uint64_t shape;
        uint32_t tier;
    } hopeless[HOPELESS_MAX];
    size_t n_hopeless = 0;
    for (size_t i = 0; i < view->n_waiting && (int64_t) i < p->depth; i++) {
        const struct tug_policy_job *job = TUG_POLICY_WAITING(view, i);
        size_t k = 0;
        while (k < n_hopeless && (hopeless[k].shape != job->shape || hopeless[k].tier != job->tier))
            k++;
        if (k < n_hopeless || host->held(pass, job->id, NULL, 0) > 0 || /* has just been started */
            !is_its_time(p, view, host, pass, job))
            continue;
        int n = host->victims(pass, job->id, p->victims, VICTIMS_MAX);
        if (n == -E2BIG)
            return 0;
        if (n >= 0 && n <= VICTIMS_MAX) {
            host->preempt(pass, job->id, p->victims, (size_t) n);
        } else if (n == -EAGAIN && !job->suspended && n_hopeless < HOPELESS_MAX) {
            hopeless[n_hopeless].shape = job->shape;
            hopeless[n_hopeless++].tier = job->tier;
        }
    }
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "preempt",
    .summary = "jobs that wait have others give way, those whose end costs the least",
    .params = params,
    .create = preempt_create,
    .destroy = preempt_destroy,
    .preempt = preempt_preempt,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
