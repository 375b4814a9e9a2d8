/* sjf.c - shortest job first: priority, then expected run time, strictly
 *
 * The shortest job that has to wait for resources holds up all that are longer. A job whose run
 * time nobody expects goes last; equal ones go in the core's order. Long jobs may starve: this is a
 * yardstick for simulations more than a policy for people. With overtake: yes every job that fits
 * is started, shortest first.
 */
#include <errno.h>
#include <stdlib.h>
#include <tugline/policy.h>

struct sjf {
    int64_t overtake;
    uint32_t *heap; /* rows of the waiting, the one that goes first on top */
    size_t cap;
};

static const struct tug_policy_param params[] = {
    {.name = "overtake",
     .type = TUG_POLICY_BOOL,
     .fallback = "no",
     .min = 1,
     .max = 0,
     .text = "start any job that fits, also past a shorter one that has to wait; wide gangs may "
             "starve"},
    {.name = NULL},
};

static int sjf_create(void **self, const struct tug_policy_value *values, char *why,
                      size_t why_size)
{
    (void) why;
    (void) why_size;
    struct sjf *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->overtake = values[0].i;
    *self = s;
    return 0;
}

static void sjf_destroy(void *self)
{
    struct sjf *s = self;
    free(s->heap);
    free(s);
}

/* -1, nobody knows, is the largest. */
static uint64_t expected(const struct tug_policy_job *job)
{
    return (uint64_t) job->expected_ms;
}

static int goes_before(const struct tug_policy_view *view, uint32_t a, uint32_t b)
{
    const struct tug_policy_job *x = TUG_POLICY_WAITING(view, a), *y = TUG_POLICY_WAITING(view, b);
    if (x->priority != y->priority)
        return x->priority > y->priority;
    if (x->expected_ms != y->expected_ms)
        return expected(x) < expected(y);
    return a < b;
}

static void sink(const struct tug_policy_view *view, uint32_t *heap, size_t n, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && goes_before(view, heap[child + 1], heap[child]))
            child++;
        if (!goes_before(view, heap[child], heap[i]))
            return;
        uint32_t row = heap[i];
        heap[i] = heap[child];
        heap[child] = row;
    }
}

/* Room for n rows, with some to spare so that it is not asked for in every pass. */
static int make_room(struct sjf *s, size_t n)
{
    if (n <= s->cap)
        return 0;
    uint32_t *heap = realloc(s->heap, 2 * n * sizeof *heap);
    if (!heap)
        return -ENOMEM;
    s->heap = heap;
    s->cap = 2 * n;
    return 0;
}

static int sjf_pass(void *self, const struct tug_policy_view *view,
                    const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    struct sjf *s = self;
    size_t n = view->n_waiting;
    if (make_room(s, n))
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        s->heap[i] = (uint32_t) i;
    for (size_t i = n / 2; i > 0; i--)
        sink(view, s->heap, n, i - 1);
    while (n > 0) {
        uint64_t job = TUG_POLICY_WAITING(view, s->heap[0])->id;
        s->heap[0] = s->heap[--n];
        sink(view, s->heap, n, 0);
        int rc = host->start(pass, job);
        if (rc == -E2BIG)
            return 0;
        if (rc != -EAGAIN)
            continue;
        host->explain(pass, job, TUG_REASON_RESOURCES, NULL);
        if (!s->overtake)
            return 0;
    }
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "sjf",
    .summary = "shortest expected run time first, strictly in order",
    .params = params,
    .create = sjf_create,
    .destroy = sjf_destroy,
    .pass = sjf_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
