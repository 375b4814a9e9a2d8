/* all.c - a policy that fills every hook of ABI 1.0 and makes every call of its host
 *
 * Built against every kept header, as C and as C++. It starts strictly in order; a pass fails
 * (-EIO) when something is not as the header says, and the simulation with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/policy.h>

struct all {
    int64_t passes, keys, rekeys, places, preempts, told;
    int64_t waiting, running, ended; /* as the events say */
    int64_t woken_for_ms;
    int wrong;
};

static const struct tug_policy_param params[] = {
    {"flag", TUG_POLICY_BOOL, "yes", 1, 0, "a yes or no"},
    {"depth", TUG_POLICY_INT, "10", 1, 100, "a whole number"},
    {"weight", TUG_POLICY_REAL, "0.5", 0, 1, "a number"},
    {"half_life", TUG_POLICY_DURATION_S, "7d", 60, 1e9, "a duration"},
    {"text", TUG_POLICY_STRING, "none", 1, 0, "a text"},
    {NULL, TUG_POLICY_BOOL, NULL, 0, 0, NULL},
};

static int all_create(void **self, const struct tug_policy_value *v, char *why, size_t why_size)
{
    struct all *a = (struct all *) calloc(1, sizeof *a);
    if (!a)
        return -ENOMEM;
    if (v[0].i != 1 || v[1].i != 10 || v[2].d < 0.5 || v[2].d > 0.5 || v[3].i != 604800 ||
        strcmp(v[4].s, "none") != 0) {
        strncpy(why, "its parameters are not what it says", why_size);
        free(a);
        return -EDOM;
    }
    *self = a;
    return 0;
}

static void all_destroy(void *self)
{
    free(self);
}

static void expect(struct all *a, int holds)
{
    a->wrong |= !holds;
}

static double all_key(void *self, const struct tug_policy_view *view,
                      const struct tug_policy_job *job)
{
    struct all *a = (struct all *) self;
    a->keys++;
    expect(a, job->id != 0 && job->submit_ms <= view->now_ms);
    return (double) job->submit_ms;
}

static int all_rekey(void *self, const struct tug_policy_view *view)
{
    struct all *a = (struct all *) self;
    (void) view;
    return a->rekeys++ % 2 != 0;
}

static int all_observe(void *self, const struct tug_policy_view *view,
                       const struct tug_policy_event *events, size_t n, size_t stride)
{
    struct all *a = (struct all *) self;
    for (size_t i = 0; i < n; i++) {
        const struct tug_policy_event *ev =
            (const struct tug_policy_event *) (const void *) ((const char *) events + i * stride);
        a->told++;
        expect(a, ev->at_ms <= view->now_ms);
        switch (ev->type) {
        case TUG_POLICY_EV_SUBMIT:
        case TUG_POLICY_EV_REQUEUE:
            a->waiting++;
            break;
        case TUG_POLICY_EV_START:
            a->running++;
            break;
        case TUG_POLICY_EV_END:
            a->ended++;
            expect(a, ev->ok == 1 && ev->job.ran_ms >= 0 && *ev->job.queue);
            break;
        case TUG_POLICY_EV_PREEMPT:
        case TUG_POLICY_EV_SUSPEND:
        case TUG_POLICY_EV_NODE_UP:
        case TUG_POLICY_EV_NODE_DOWN:
        case TUG_POLICY_EV_CONFIG:
            break;
        }
    }
    return 0;
}

/* Asked when somebody wants to know; a simulation does not, shorthost.c does. */
static int all_why(void *self, const struct tug_policy_view *view, const struct tug_policy_job *job,
                   char *text, size_t size)
{
    static const char said[] = "first come, first served";
    (void) self;
    (void) view;
    if (!job->id || size < sizeof said)
        return -EINVAL;
    memcpy(text, said, sizeof said);
    return 0;
}

/* Where the core would put it, so that nothing is different. */
static int all_place(void *self, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass,
                     const struct tug_policy_job *job, struct tug_policy_slice *at, size_t n)
{
    struct all *a = (struct all *) self;
    size_t found = 0;
    a->places++;
    for (size_t i = 0; i < view->n_nodes && found < n; i++) {
        const struct tug_policy_node *node = TUG_POLICY_NODE(view, i);
        uint32_t want = found + 1 == n ? job->gpus_last : job->gpus_per_node;
        uint32_t cpus = found + 1 == n ? job->cpus_last : job->cpus_per_node;
        uint64_t gpus = 0, left = node->gpus_free;
        if (!node->usable || node->cpus_free < cpus ||
            node->mem_free_bytes < job->mem_per_node_bytes ||
            !host->may_use(pass, job->id, node->index))
            continue;
        for (uint32_t k = 0; k < want && left; k++, left &= left - 1)
            gpus |= left & (~left + 1);
        uint32_t got = 0;
        for (uint64_t g = gpus; g; g &= g - 1)
            got++;
        if (got < want)
            continue;
        at[found].node = node->index;
        at[found++].gpus = gpus;
    }
    return found == n ? 0 : -EAGAIN;
}

static void look(struct all *a, const struct tug_policy_view *v)
{
    double shares = 0;
    for (size_t i = 0; i < v->n_queues; i++)
        expect(a, *TUG_POLICY_QUEUE(v, i)->name != '\0');
    for (size_t i = 0; i < v->n_shares; i++)
        shares += TUG_POLICY_SHARE(v, i)->factor;
    for (size_t i = 1; i < v->n_waiting; i++)
        expect(a, TUG_POLICY_WAITING(v, i - 1)->tier > TUG_POLICY_WAITING(v, i)->tier ||
                      TUG_POLICY_WAITING(v, i - 1)->key <= TUG_POLICY_WAITING(v, i)->key);
    for (size_t i = 0; i < v->n_running; i++)
        expect(a, TUG_POLICY_RUNNING(v, i)->start_ms <= v->now_ms);
    expect(a, shares >= 0 && v->gpus_free <= v->gpus);
}

/* Calls that change nothing, or nothing but the plan. */
static void ask(struct all *a, const struct tug_policy_view *v, const struct tug_policy_host *h,
                struct tug_policy_pass *p, const struct tug_policy_job *job)
{
    struct tug_policy_slice at[64];
    uint64_t victims[4];
    int64_t start_ms = 0;
    int fits = h->fits(p, job->id);
    expect(a, fits == 0 || fits == -EAGAIN || fits == -EPERM || fits == -EDQUOT);
    if (job->nodes <= 64)
        expect(a, (h->place(p, job->id, at, job->nodes) == 0) == (fits == 0));
    if (TUG_POLICY_HAS(h, earliest) && h->earliest(p, job->id, &start_ms) == 0)
        expect(a, start_ms >= v->now_ms);
    if (TUG_POLICY_HAS(h, victims))
        expect(a, h->victims(p, job->id, victims, 4) <= 0); /* a simulation preempts nobody here */
    if (v->n_running > 0) {
        const struct tug_policy_job *r = TUG_POLICY_RUNNING(v, 0);
        expect(a, h->held(p, r->id, at, 64) == (int) r->nodes);
        if (TUG_POLICY_HAS(h, expected_end))
            expect(a, h->expected_end(p, r->id) >= r->start_ms);
    }
    h->random(p);
}

static int all_pass(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h,
                    struct tug_policy_pass *p)
{
    struct all *a = (struct all *) self;
    if (a->passes++ == 0) {
        h->log(p, "the first pass");
        if (TUG_POLICY_HAS(h, horizon))
            expect(a, h->horizon(p, 0, 0) == 0);
    }
    look(a, v);
    if (TUG_POLICY_HAS(h, wake) && v->n_waiting > 0)
        expect(a, h->wake(p, v->now_ms + 60000) == 0);
    for (size_t i = 0; i < v->n_waiting; i++) {
        const struct tug_policy_job *job = TUG_POLICY_WAITING(v, i);
        struct tug_policy_slice at[64];
        int64_t start_ms;
        if (i == 0)
            ask(a, v, h, p, job);
        int rc = job->id % 2 && job->nodes <= 64 && h->place(p, job->id, at, job->nodes) == 0
                     ? h->start_on(p, job->id, at, job->nodes)
                     : h->start(p, job->id);
        if (rc == 0)
            continue;
        if (rc != -EAGAIN)
            return rc == -E2BIG ? 0 : -EIO;
        h->explain(p, job->id, TUG_REASON_RESOURCES, NULL);
        if (TUG_POLICY_HAS(h, reserve) && h->reserve(p, job->id, &start_ms) == 0)
            expect(a, start_ms > v->now_ms);
        if (TUG_POLICY_HAS(h, backfill))
            expect(a, h->backfill(p, job->id) != 0); /* it does not fit */
        break;
    }
    return a->wrong ? -EIO : 0;
}

/* In the end every hook must have been asked; an error stops the simulation. */
static int all_preempt(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h,
                       struct tug_policy_pass *p)
{
    struct all *a = (struct all *) self;
    (void) v;
    a->preempts++;
    if (TUG_POLICY_HAS(h, preempt))
        expect(a, h->preempt(p, 0, NULL, 0) != 1);
    if (a->ended > 20)
        expect(a, a->keys > 0 && a->rekeys > 0 && a->places > 0 && a->told > 0 &&
                      a->waiting >= a->running && a->running >= a->ended);
    return a->wrong ? -EIO : 0;
}

static struct tug_policy_ops ops;

const struct tug_policy_ops *tug_policy(void)
{
    ops.size = sizeof ops;
    ops.abi = TUG_POLICY_ABI;
    ops.name = "all";
    ops.summary = "fills every hook, makes every call";
    ops.params = params;
    ops.create = all_create;
    ops.destroy = all_destroy;
    ops.pass = all_pass;
    ops.key = all_key;
    ops.rekey = all_rekey;
    ops.place = all_place;
    ops.preempt = all_preempt;
    ops.observe = all_observe;
    ops.why = all_why;
    return &ops;
}
