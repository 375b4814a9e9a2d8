/* drf.c - dominant resource fairness over queues, accounts or users
 *
 * The next job comes from the one whose largest part of the cluster - of its GPUs, CPUs or memory -
 * is the smallest for what is due to it; in the core's order among its own. Source: Ghodsi et al.,
 * NSDI'11 (progressive filling, weighted). What is due to accounts and users is their share of the
 * tree. To queues it is what water-filling gives each of what it wants: by weight, not below its
 * guarantee, sibling by sibling down the tree (as in Volcano's proportion).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/policy.h>

#include "room.h"

#define NONE           UINT32_MAX
#define ALMOST_NOTHING 1e-9

enum over { QUEUE, ACCOUNT, USER };
enum blocked { RESERVE, SKIP, HOLD };

struct group {
    double gpus, cpus, mem_bytes; /* that its running jobs have */
    double due;                   /* part of the cluster */
    double wants;                 /* its largest part, if all its jobs ran */
    double more_gpus, more_cpus, more_mem;
    uint32_t first, last; /* rows of its waiting jobs */
    uint32_t parent;
    int is_reserved;
};

struct drf {
    enum over over;
    enum blocked blocked;
    int64_t reservations;
    struct group *groups;
    uint32_t *heap, *next; /* groups that have a job to try; the row behind a row */
    size_t groups_cap, heap_cap, next_cap;
    size_t n_groups, n_heap;
};

/* What the functions of a pass share. */
struct now {
    struct drf *d;
    const struct tug_policy_view *view;
    const struct tug_policy_host *host;
    struct tug_policy_pass *pass;
    int64_t n_reserved;
};

enum { OVER, BLOCKED, RESERVATIONS };
static const struct tug_policy_param params[] = {
    [OVER] = {.name = "over",
              .type = TUG_POLICY_STRING,
              .fallback = "user",
              .min = 1,
              .max = 0,
              .text = "who gets equal parts: queue, account or user"},
    [BLOCKED] = {.name = "blocked",
                 .type = TUG_POLICY_STRING,
                 .fallback = "reserve",
                 .min = 1,
                 .max = 0,
                 .text =
                     "a job that does not fit: reserve = gets a reservation, and others start if "
                     "that is not delayed; skip = others go past it, wide gangs may starve; "
                     "hold = holds up those behind it of the same user (account, queue)"},
    [RESERVATIONS] = {.name = "reservations",
                      .type = TUG_POLICY_INT,
                      .fallback = "8",
                      .min = 1,
                      .max = 1000,
                      .text = "with blocked: reserve, how many jobs have a reservation at a time, "
                              "one for each user (account, queue)"},
    {.name = NULL},
};

/* ---- life */

static int read_word(const char *name, const char *text, const char *const words[3], char *why,
                     size_t why_size)
{
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, words[i]))
            return i;
    snprintf(why, why_size, "%s: '%.40s' is neither %s nor %s nor %s", name, text, words[0],
             words[1], words[2]);
    return -EINVAL;
}

static int drf_create(void **self, const struct tug_policy_value *values, char *why,
                      size_t why_size)
{
    static const char *const over[] = {"queue", "account", "user"};
    static const char *const blocked[] = {"reserve", "skip", "hold"};
    int o = read_word("over", values[OVER].s, over, why, why_size);
    int b = o < 0 ? o : read_word("blocked", values[BLOCKED].s, blocked, why, why_size);
    if (b < 0)
        return b;
    struct drf *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    d->over = (enum over) o;
    d->blocked = (enum blocked) b;
    d->reservations = values[RESERVATIONS].i;
    *self = d;
    return 0;
}

static void drf_destroy(void *self)
{
    struct drf *d = self;
    free(d->groups);
    free(d->heap);
    free(d->next);
    free(d);
}

/* ---- parts of the cluster */

static double part(double of, double all)
{
    return all > 0 ? of / all : 0;
}

static double largest(double a, double b, double c)
{
    double x = a > b ? a : b;
    return x > c ? x : c;
}

static double dominant(const struct tug_policy_view *v, double gpus, double cpus, double mem_bytes)
{
    return largest(part(gpus, v->gpus), part(cpus, v->cpus),
                   part(mem_bytes, (double) v->mem_bytes));
}

static double cpus_of(const struct tug_policy_job *job)
{
    return (double) job->cpus_per_node * (job->nodes - 1) + job->cpus_last;
}

static double mem_of(const struct tug_policy_job *job)
{
    return (double) job->mem_per_node_bytes * job->nodes;
}

static void add_use(struct group *g, const struct tug_policy_job *job)
{
    g->gpus += job->gpus;
    g->cpus += cpus_of(job);
    g->mem_bytes += mem_of(job);
}

/* ---- groups */

/* The last one is for jobs of nobody that the tree knows. */
static struct group *group_of(const struct now *n, const struct tug_policy_job *job)
{
    struct drf *d = n->d;
    uint32_t row = d->over == QUEUE ? job->queue_row : job->share_row;
    if (d->over == ACCOUNT && row < n->view->n_shares) {
        uint32_t parent = TUG_POLICY_SHARE(n->view, row)->parent;
        row = parent < n->view->n_shares ? parent : row;
    }
    return &d->groups[row < d->n_groups - 1 ? row : d->n_groups - 1];
}

static int make_groups(const struct now *n)
{
    struct drf *d = n->d;
    const struct tug_policy_view *v = n->view;
    d->n_groups = 1 + (d->over == QUEUE ? v->n_queues : v->n_shares);
    if (make_room(&d->groups, &d->groups_cap, d->n_groups, sizeof *d->groups) ||
        make_room(&d->heap, &d->heap_cap, d->n_groups, sizeof *d->heap) ||
        make_room(&d->next, &d->next_cap, v->n_waiting, sizeof *d->next))
        return -ENOMEM;
    for (size_t i = 0; i < d->n_groups; i++)
        d->groups[i] = (struct group){.first = NONE, .last = NONE, .parent = NONE};
    for (size_t i = 0; i < v->n_running; i++)
        add_use(group_of(n, TUG_POLICY_RUNNING(v, i)), TUG_POLICY_RUNNING(v, i));
    for (size_t i = 0; i < v->n_waiting; i++) {
        const struct tug_policy_job *job = TUG_POLICY_WAITING(v, i);
        struct group *g = group_of(n, job);
        d->next[i] = NONE;
        *(g->first == NONE ? &g->first : &d->next[g->last]) = (uint32_t) i;
        g->last = (uint32_t) i;
        g->more_gpus += job->gpus;
        g->more_cpus += cpus_of(job);
        g->more_mem += mem_of(job);
    }
    return 0;
}

/* ---- what is due */

/* Shares: the part of the whole tree. Parents stand before their children. */
static void due_to_shares(const struct now *n)
{
    struct drf *d = n->d;
    for (size_t i = 0; i < n->view->n_shares; i++) {
        const struct tug_policy_share *s = TUG_POLICY_SHARE(n->view, i);
        double above = s->parent < i ? d->groups[s->parent].due : 1;
        d->groups[i].due = s->parent < i ? above * s->share : 1;
    }
}

static double filled(const struct now *n, uint32_t i, double level)
{
    const struct tug_policy_queue *q = TUG_POLICY_QUEUE(n->view, i);
    double wants = n->d->groups[i].wants, x = level * q->weight;
    double own = part(q->guarantee_gpus, n->view->gpus);
    if (x < own)
        x = own;
    return x < wants ? x : wants;
}

static double filled_below(const struct now *n, uint32_t parent, double level)
{
    double sum = 0;
    for (uint32_t i = 0; i < n->view->n_queues; i++)
        if (n->d->groups[i].parent == parent)
            sum += filled(n, i, level);
    return sum;
}

/* Water-filling: the level at which the children of 'parent' have 'amount' in all. */
static void fill(const struct now *n, uint32_t parent, double amount)
{
    double low = 0, high = 1;
    while (high < 1e12 && filled_below(n, parent, high) < amount)
        high *= 2;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        *(filled_below(n, parent, middle) < amount ? &low : &high) = middle;
    }
    for (uint32_t i = 0; i < n->view->n_queues; i++)
        if (n->d->groups[i].parent == parent)
            n->d->groups[i].due = filled(n, i, high);
}

/* What it can have of what it and those below it want. */
static double wants_of(const struct now *n, uint32_t i)
{
    const struct group *g = &n->d->groups[i];
    const struct tug_policy_queue *q = TUG_POLICY_QUEUE(n->view, i);
    double cap = q->cap_gpus == UINT32_MAX ? 1 : part(q->cap_gpus, n->view->gpus);
    return g->wants < cap ? g->wants : cap;
}

static int depth_of(const struct now *n, uint32_t i)
{
    int depth = 0;
    while (n->d->groups[i].parent != NONE && depth < 64) {
        i = n->d->groups[i].parent;
        depth++;
    }
    return depth;
}

/* Wishes go up the tree, what is due comes down. */
static void due_to_queues(const struct now *n)
{
    struct group *groups = n->d->groups;
    uint32_t n_queues = (uint32_t) n->view->n_queues;
    int deepest = 0;
    for (uint32_t i = 0; i < n_queues; i++) {
        uint32_t parent = TUG_POLICY_QUEUE(n->view, i)->parent;
        groups[i].parent = parent < n_queues ? parent : NONE;
        groups[i].wants = dominant(n->view, groups[i].gpus + groups[i].more_gpus,
                                   groups[i].cpus + groups[i].more_cpus,
                                   groups[i].mem_bytes + groups[i].more_mem);
    }
    for (uint32_t i = 0; i < n_queues; i++)
        if (depth_of(n, i) > deepest)
            deepest = depth_of(n, i);
    for (int depth = deepest; depth >= 0; depth--)
        for (uint32_t i = 0; i < n_queues; i++) {
            if (depth_of(n, i) != depth)
                continue;
            groups[i].wants = wants_of(n, i);
            if (depth > 0)
                groups[groups[i].parent].wants += groups[i].wants;
        }
    fill(n, NONE, 1);
    for (int depth = 0; depth < deepest; depth++)
        for (uint32_t i = 0; i < n_queues; i++)
            if (depth_of(n, i) == depth && !TUG_POLICY_QUEUE(n->view, i)->is_leaf)
                fill(n, i, groups[i].due);
}

/* ---- whose turn it is */

static double score(const struct now *n, const struct group *g)
{
    double due = g->due > ALMOST_NOTHING ? g->due : ALMOST_NOTHING;
    return dominant(n->view, g->gpus, g->cpus, g->mem_bytes) / due;
}

static int goes_before(const struct now *n, uint32_t a, uint32_t b)
{
    const struct group *x = &n->d->groups[a], *y = &n->d->groups[b];
    uint32_t tier_x = TUG_POLICY_WAITING(n->view, x->first)->tier,
             tier_y = TUG_POLICY_WAITING(n->view, y->first)->tier;
    if (tier_x != tier_y)
        return tier_x > tier_y;
    double s = score(n, x), t = score(n, y);
    return s != t ? s < t : x->first < y->first;
}

static void sink(const struct now *n, size_t i)
{
    struct drf *d = n->d;
    for (size_t child; (child = 2 * i + 1) < d->n_heap; i = child) {
        if (child + 1 < d->n_heap && goes_before(n, d->heap[child + 1], d->heap[child]))
            child++;
        if (!goes_before(n, d->heap[child], d->heap[i]))
            return;
        uint32_t g = d->heap[i];
        d->heap[i] = d->heap[child];
        d->heap[child] = g;
    }
}

static void make_heap(const struct now *n)
{
    struct drf *d = n->d;
    d->n_heap = 0;
    for (size_t i = 0; i < d->n_groups; i++)
        if (d->groups[i].first != NONE)
            d->heap[d->n_heap++] = (uint32_t) i;
    for (size_t i = d->n_heap / 2; i > 0; i--)
        sink(n, i - 1);
}

/* ---- the pass */

static void explain(const struct now *n, const struct tug_policy_job *job, const struct group *g)
{
    static const char *const whose[] = {"its queue", "its account", "its user"};
    char text[200];
    if (!n->host->explains)
        return;
    snprintf(text, sizeof text, "does not fit now; %s has %.1f %% of the cluster, %.1f %% is due",
             whose[n->d->over], 100 * dominant(n->view, g->gpus, g->cpus, g->mem_bytes),
             100 * g->due);
    n->host->explain(n->pass, job->id, TUG_REASON_RESOURCES, text);
}

static int share_out(const struct now *n)
{
    if (!TUG_POLICY_HAS(n->view, mem_bytes))
        return -ENOTSUP;
    int rc = make_groups(n);
    if (!rc && n->d->over == QUEUE)
        due_to_queues(n);
    else if (!rc)
        due_to_shares(n);
    return rc;
}

/* The groups are worked out anew by every pass. */
static int drf_why(void *self, const struct tug_policy_view *view, const struct tug_policy_job *job,
                   char *text, size_t size)
{
    static const char *const what[] = {"queue", "account", "user"};
    struct now n = {.d = self, .view = view};
    size_t groups = 0, place = 1, ahead = 0;
    int rc = share_out(&n);
    if (rc)
        return rc;
    const struct group *g = group_of(&n, job);
    for (uint32_t i = 0; i < n.d->n_groups; i++) {
        if (n.d->groups[i].first == NONE)
            continue;
        groups++;
        place += goes_before(&n, i, (uint32_t) (g - n.d->groups));
    }
    for (uint32_t i = g->first; i != NONE && TUG_POLICY_WAITING(view, i)->id != job->id;
         i = n.d->next[i])
        ahead++;
    snprintf(text, size,
             "its %s has %.1f %% of the cluster and %.1f %% is due: place %zu of %zu, and %zu of "
             "its jobs go%s first",
             what[n.d->over], 100 * dominant(view, g->gpus, g->cpus, g->mem_bytes), 100 * g->due,
             place, groups, ahead, ahead == 1 ? "es" : "");
    return 0;
}

/* 0: the group goes on with its next job. */
static int is_held_up(struct now *n, const struct tug_policy_job *job, struct group *g)
{
    struct drf *d = n->d;
    explain(n, job, g);
    if (d->blocked == HOLD)
        return 1;
    int64_t start_ms;
    if (d->blocked == RESERVE && !g->is_reserved && n->n_reserved < d->reservations &&
        !n->host->reserve(n->pass, job->id, &start_ms)) {
        g->is_reserved = 1;
        n->n_reserved++;
    }
    return 0;
}

static int try_next(struct now *n)
{
    struct drf *d = n->d;
    struct group *g = &d->groups[d->heap[0]];
    const struct tug_policy_job *job = TUG_POLICY_WAITING(n->view, g->first);
    int rc = n->n_reserved ? n->host->backfill(n->pass, job->id) : n->host->start(n->pass, job->id);
    if (rc == -E2BIG)
        return rc;
    int held_up = 0;
    if (!rc)
        add_use(g, job);
    else if (rc == -EAGAIN || rc == -EBUSY)
        held_up = is_held_up(n, job, g);
    g->first = d->next[g->first];
    if (held_up || g->first == NONE)
        d->heap[0] = d->heap[--d->n_heap];
    sink(n, 0);
    return 0;
}

static int drf_pass(void *self, const struct tug_policy_view *view,
                    const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    struct now n = {.d = self, .view = view, .host = host, .pass = pass};
    int rc = TUG_POLICY_HAS(host, backfill) ? share_out(&n) : -ENOTSUP;
    if (rc)
        return rc;
    make_heap(&n);
    while (n.d->n_heap > 0)
        if (try_next(&n))
            break;
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "drf",
    .summary = "the one with the smallest dominant share goes next",
    .params = params,
    .needs = TUG_POLICY_NEEDS_SHARES,
    .create = drf_create,
    .destroy = drf_destroy,
    .pass = drf_pass,
    .why = drf_why,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
