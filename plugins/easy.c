/* easy.c - EASY backfill: in order, and past the first job that waits whatever does not delay it
 *
 * Lifka, "The ANL/IBM SP scheduling system" (1995), counted in GPUs, CPUs and memory of each node
 * rather than in whole nodes. The first job that has to wait is the head. The shadow is when it can
 * start at the latest: running jobs are taken off their nodes in the order of their expected ends
 * until it fits. A job behind it starts now if it is expected to end by then, or if what it takes
 * leaves the head enough nodes at that time.
 *
 * Only the head has a reservation. A job whose end nobody expects counts as one that never ends.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/policy.h>

#define NEVER INT64_MAX
/* A job that should have ended already is expected to end this much later. */
#define OVERDUE_MS 1000

struct ending {
    int64_t end_ms;
    const struct tug_policy_job *job;
};

struct node { /* what is free there at the shadow */
    uint32_t gpus, cpus;
    uint64_t mem_bytes;
    uint8_t for_head; /* the head may use it */
};

/* What this pass has found out about jobs of one shape. Nothing becomes free during a pass, so what
 * did not go once does not go later in it. */
struct memo {
    uint64_t shape, pass;
    uint8_t no_room, delays_head;
};
#define MEMOS 1024

struct easy {
    int64_t depth;
    struct ending *endings; /* heap, soonest first */
    size_t n_endings, endings_cap;
    const struct tug_policy_job **started; /* in this pass: not among the view's running yet */
    size_t n_started, started_cap;
    struct tug_policy_slice *at; /* scratch: a gang's places */
    size_t at_cap;
    struct node *nodes;
    size_t nodes_cap;
    /* The head and its reservation. */
    const struct tug_policy_job *head;
    int64_t shadow_ms;
    uint64_t n_fit; /* nodes that could take a slice of the head at the shadow */
    char delays[160];
    int error;
    uint64_t pass; /* number of this one */
    struct memo memos[MEMOS];
};

struct now { /* of one pass */
    struct easy *e;
    const struct tug_policy_view *view;
    const struct tug_policy_host *host;
    struct tug_policy_pass *pass;
    int explains;
};

static const struct tug_policy_param params[] = {
    {.name = "depth",
     .type = TUG_POLICY_INT,
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .text = "how many jobs behind the first that waits are looked at; 0 = all"},
    {.name = NULL},
};

static int easy_create(void **self, const struct tug_policy_value *values, char *why,
                       size_t why_size)
{
    (void) why;
    (void) why_size;
    struct easy *e = calloc(1, sizeof *e);
    if (!e)
        return -ENOMEM;
    e->depth = values[0].i;
    *self = e;
    return 0;
}

static void easy_destroy(void *self)
{
    struct easy *e = self;
    free(e->endings);
    free(e->started);
    free(e->at);
    free(e->nodes);
    free(e);
}

/* Room for n rows of 'size' bytes, with some to spare so that it is not asked for in every pass. */
static int make_room(void **rows, size_t *cap, size_t n, size_t size)
{
    if (n <= *cap)
        return 0;
    void *more = realloc(*rows, 2 * n * size);
    if (!more)
        return -ENOMEM;
    *rows = more;
    *cap = 2 * n;
    return 0;
}

/* ---- time */

static int64_t expected_end(const struct tug_policy_job *job, int64_t start_ms, int64_t now_ms)
{
    int64_t end_ms;
    if (job->expected_ms < 0 || __builtin_add_overflow(start_ms, job->expected_ms, &end_ms))
        return NEVER;
    return end_ms > now_ms ? end_ms : now_ms + OVERDUE_MS;
}

/* Days since 1970 to a date: Hinnant, "chrono-compatible low-level date algorithms". */
static void print_utc(char *buf, size_t size, int64_t ms)
{
    int64_t s = ms / 1000, days = s / 86400, rest = s % 86400;
    int64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    snprintf(buf, size,
             "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64 ":%02" PRId64 "Z",
             yoe + era * 400 + (month <= 2), month, doy - (153 * mp + 2) / 5 + 1, rest / 3600,
             rest / 60 % 60, rest % 60);
}

/* ---- nodes at the shadow */

static int fits_head(const struct now *n, uint32_t node)
{
    const struct tug_policy_job *h = n->e->head;
    const struct node *x = &n->e->nodes[node];
    if (!x->for_head || x->gpus < h->gpus_per_node || x->cpus < h->cpus_per_node ||
        x->mem_bytes < h->mem_per_node_bytes)
        return 0;
    /* Every gang holds a CPU, so all of them free means that nobody is there. */
    return !h->exclusive || x->cpus == TUG_POLICY_NODE(n->view, node)->cpus;
}

/* What an exclusive gang holds beside its request is the rest of the node. */
static struct node share_of(const struct now *n, const struct tug_policy_job *job,
                            const struct tug_policy_slice *at)
{
    struct node s = {.gpus = (uint32_t) __builtin_popcountll(at->gpus),
                     .cpus = job->cpus_per_node,
                     .mem_bytes = job->mem_per_node_bytes};
    if (s.gpus < job->gpus_per_node) /* the last, smaller one */
        s.cpus = job->cpus_last;
    if (job->exclusive) {
        s.cpus = TUG_POLICY_NODE(n->view, at->node)->cpus;
        s.gpus = TUG_POLICY_NODE(n->view, at->node)->gpus;
    }
    return s;
}

static void give(const struct now *n, const struct tug_policy_job *job,
                 const struct tug_policy_slice *at)
{
    struct node *x = &n->e->nodes[at->node], s = share_of(n, job, at);
    int fitted = fits_head(n, at->node);
    x->gpus += s.gpus;
    x->cpus += s.cpus;
    x->mem_bytes += s.mem_bytes;
    n->e->n_fit += (uint64_t) (fits_head(n, at->node) - fitted);
}

static uint32_t less(uint32_t a, uint32_t b)
{
    return a > b ? a - b : 0;
}

static void take(const struct now *n, const struct tug_policy_job *job,
                 const struct tug_policy_slice *at)
{
    struct node *x = &n->e->nodes[at->node], s = share_of(n, job, at);
    int fitted = fits_head(n, at->node);
    x->gpus = less(x->gpus, s.gpus);
    x->cpus = less(x->cpus, s.cpus);
    x->mem_bytes = x->mem_bytes > s.mem_bytes ? x->mem_bytes - s.mem_bytes : 0;
    n->e->n_fit -= (uint64_t) (fitted - fits_head(n, at->node));
}

/* ---- the shadow */

static int ends_before(const struct ending *a, const struct ending *b)
{
    return a->end_ms != b->end_ms ? a->end_ms < b->end_ms : a->job->id < b->job->id;
}

static void sink(struct ending *heap, size_t n, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && ends_before(&heap[child + 1], &heap[child]))
            child++;
        if (!ends_before(&heap[child], &heap[i]))
            return;
        struct ending x = heap[i];
        heap[i] = heap[child];
        heap[child] = x;
    }
}

static int collect_endings(const struct now *n)
{
    struct easy *e = n->e;
    int64_t now_ms = n->view->now_ms;
    size_t most = n->view->n_running + e->n_started;
    if (make_room((void **) &e->endings, &e->endings_cap, most, sizeof *e->endings))
        return -ENOMEM;
    e->n_endings = 0;
    for (size_t i = 0; i < n->view->n_running; i++) {
        const struct tug_policy_job *job = TUG_POLICY_RUNNING(n->view, i);
        e->endings[e->n_endings++] = (struct ending){expected_end(job, job->start_ms, now_ms), job};
    }
    for (size_t i = 0; i < e->n_started; i++)
        e->endings[e->n_endings++] =
            (struct ending){expected_end(e->started[i], now_ms, now_ms), e->started[i]};
    for (size_t i = e->n_endings / 2; i > 0; i--)
        sink(e->endings, e->n_endings, i - 1);
    return 0;
}

static int nodes_as_now(const struct now *n)
{
    struct easy *e = n->e;
    if (make_room((void **) &e->nodes, &e->nodes_cap, n->view->n_nodes, sizeof *e->nodes))
        return -ENOMEM;
    e->n_fit = 0;
    for (uint32_t i = 0; i < n->view->n_nodes; i++) {
        const struct tug_policy_node *x = TUG_POLICY_NODE(n->view, i);
        e->nodes[i] =
            (struct node){.gpus = (uint32_t) __builtin_popcountll(x->gpus_free),
                          .cpus = x->cpus_free,
                          .mem_bytes = x->mem_free_bytes,
                          .for_head = (uint8_t) n->host->may_use(n->pass, e->head->id, i)};
        e->n_fit += (uint64_t) fits_head(n, i);
    }
    return 0;
}

static int give_back(const struct now *n, const struct tug_policy_job *job)
{
    struct easy *e = n->e;
    if (make_room((void **) &e->at, &e->at_cap, job->nodes, sizeof *e->at))
        return -ENOMEM;
    int held = n->host->held(n->pass, job->id, e->at, job->nodes);
    for (int i = 0; i < held; i++)
        give(n, job, &e->at[i]);
    return 0;
}

/* When the head can start at the latest, and what is free then. */
static int find_shadow(const struct now *n)
{
    struct easy *e = n->e;
    int rc = collect_endings(n);
    if (!rc)
        rc = nodes_as_now(n);
    e->shadow_ms = n->view->now_ms;
    while (!rc && e->n_endings > 0) {
        const struct ending first = e->endings[0];
        if (e->n_fit >= e->head->nodes && first.end_ms > e->shadow_ms)
            break;
        e->shadow_ms = first.end_ms;
        rc = give_back(n, first.job);
        e->endings[0] = e->endings[--e->n_endings];
        sink(e->endings, e->n_endings, 0);
    }
    char when[64] = "a time that nobody knows";
    if (e->shadow_ms != NEVER)
        print_utc(when, sizeof when, e->shadow_ms);
    snprintf(e->delays, sizeof e->delays, "would delay job %" PRIu64 ", which starts at %s",
             e->head->id, when);
    return rc;
}

/* ---- backfill */

static int fits_now(const struct tug_policy_job *job, const struct tug_policy_node *x)
{
    return x->usable && x->cpus_free >= job->cpus_per_node &&
           x->mem_free_bytes >= job->mem_per_node_bytes &&
           (uint32_t) __builtin_popcountll(x->gpus_free) >= job->gpus_per_node;
}

static uint64_t lowest(uint64_t set, uint32_t count)
{
    uint64_t out = 0;
    for (; count > 0; count--, set &= set - 1)
        out |= set & -set;
    return out;
}

static void take_all(const struct now *n, const struct tug_policy_job *job)
{
    for (uint32_t i = 0; i < job->nodes; i++)
        take(n, job, &n->e->at[i]);
}

static void give_all(const struct now *n, const struct tug_policy_job *job, uint32_t n_slices)
{
    for (uint32_t i = 0; i < n_slices; i++)
        give(n, job, &n->e->at[i]);
}

/* Places where the job does not delay the head, into e->at and taken: 1, or 0 and nothing taken. */
static int find_elsewhere(const struct now *n, const struct tug_policy_job *job)
{
    struct easy *e = n->e;
    uint32_t found = 0;
    for (uint32_t i = 0; i < n->view->n_nodes && found < job->nodes && !job->exclusive; i++) {
        const struct tug_policy_node *x = TUG_POLICY_NODE(n->view, i);
        if (!fits_now(job, x) || !n->host->may_use(n->pass, job->id, i))
            continue;
        uint32_t gpus = found + 1 == job->nodes ? job->gpus_last : job->gpus_per_node;
        e->at[found] = (struct tug_policy_slice){i, lowest(x->gpus_free, gpus)};
        take(n, job, &e->at[found]);
        if (e->n_fit >= e->head->nodes)
            found++;
        else
            give(n, job, &e->at[found]);
    }
    if (found == job->nodes)
        return 1;
    give_all(n, job, found);
    return 0;
}

static struct memo *memo_of(struct easy *e, uint64_t shape)
{
    struct memo *m = &e->memos[shape % MEMOS];
    if (m->shape != shape || m->pass != e->pass || !shape)
        *m = (struct memo){.shape = shape, .pass = e->pass};
    return m;
}

static int no_room(const struct now *n, const struct tug_policy_job *job)
{
    if (n->explains)
        n->host->explain(n->pass, job->id, TUG_REASON_RESOURCES, NULL);
    return 0;
}

static int delays_head(const struct now *n, const struct tug_policy_job *job)
{
    if (n->explains)
        n->host->explain(n->pass, job->id, TUG_REASON_PRIORITY, n->e->delays);
    return 0;
}

/* 0: go on with the next job; else the pass is over. */
static int backfill(const struct now *n, const struct tug_policy_job *job)
{
    struct easy *e = n->e;
    struct memo *m = memo_of(e, job->shape);
    if (m->no_room)
        return no_room(n, job);
    int64_t end_ms = expected_end(job, n->view->now_ms, n->view->now_ms);
    int is_gone_by_then = end_ms != NEVER && end_ms <= e->shadow_ms;
    if (m->delays_head && !is_gone_by_then)
        return delays_head(n, job);
    if (make_room((void **) &e->at, &e->at_cap, job->nodes, sizeof *e->at))
        return e->error = -ENOMEM;
    int rc = n->host->place(n->pass, job->id, e->at, job->nodes);
    if (rc == -E2BIG)
        return rc;
    if (rc == -EAGAIN) {
        m->no_room = 1;
        return no_room(n, job);
    }
    if (rc)
        return 0;
    if (is_gone_by_then) {
        n->host->start(n->pass, job->id);
        return 0;
    }
    take_all(n, job);
    if (e->n_fit >= e->head->nodes) {
        n->host->start(n->pass, job->id);
        return 0;
    }
    give_all(n, job, job->nodes);
    if (find_elsewhere(n, job)) {
        n->host->start_on(n->pass, job->id, e->at, job->nodes);
        return 0;
    }
    m->delays_head = 1;
    return delays_head(n, job);
}

/* ---- the pass */

/* Start in order; returns the row of the first job that has to wait, or n_waiting. */
static size_t start_in_order(const struct now *n)
{
    struct easy *e = n->e;
    e->n_started = 0;
    for (size_t i = 0; i < n->view->n_waiting; i++) {
        const struct tug_policy_job *job = TUG_POLICY_WAITING(n->view, i);
        if (make_room((void **) &e->started, &e->started_cap, e->n_started + 1,
                      sizeof *e->started)) {
            e->error = -ENOMEM;
            break;
        }
        int rc = n->host->start(n->pass, job->id);
        if (rc == 0)
            e->started[e->n_started++] = job;
        if (rc == -E2BIG)
            break;
        if (rc == -EAGAIN)
            return i;
    }
    return n->view->n_waiting;
}

static int easy_pass(void *self, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    struct easy *e = self;
    const struct now n = {e, view, host, pass, !TUG_POLICY_HAS(host, explains) || host->explains};
    if (!TUG_POLICY_HAS(host, may_use))
        return -ENOTSUP;
    e->error = 0;
    e->pass++;
    size_t at = start_in_order(&n);
    if (e->error || at == view->n_waiting)
        return e->error;
    e->head = TUG_POLICY_WAITING(view, at);
    host->explain(pass, e->head->id, TUG_REASON_RESOURCES, NULL);
    if (at + 1 == view->n_waiting)
        return 0;
    int rc = find_shadow(&n);
    if (rc)
        return rc;
    size_t end = view->n_waiting;
    if (e->depth && (uint64_t) e->depth < end - at - 1)
        end = at + 1 + (size_t) e->depth;
    for (size_t i = at + 1; i < end; i++)
        if (backfill(&n, TUG_POLICY_WAITING(view, i)))
            break;
    return e->error;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "easy",
    .summary = "in order, with backfill that does not delay the first job that waits",
    .params = params,
    .create = easy_create,
    .destroy = easy_destroy,
    .pass = easy_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
