/* replan.c - where jobs would go if the whole cluster were given out anew, and getting there
 *
 * Always: 'nodes' holds what the plan leaves of each node; the slices of the plans stand one behind
 * the other in 'at', with the number of GPUs where a proposal has their bits.
 */
#include "replan.h"
#include "room.h"

#include <errno.h>
#include <stdlib.h>

#define MEMOS 256

#define ASKED_IN_VAIN_MAX 2

struct spare {
    uint64_t mem_bytes;
    uint32_t gpus, cpus, jobs;
    uint32_t is_alone; /* an exclusive job is on it */
    uint32_t mark;     /* == replan.mark: has a slice of the job in hand */
};

struct plan {
    const struct tug_policy_job *job;
    size_t first; /* slice in 'at' */
};

struct replan {
    const struct tug_policy_view *view;
    const struct tug_policy_host *host;
    struct tug_policy_pass *pass;
    struct spare *nodes;
    struct plan *plans;
    struct tug_policy_slice *at, *held;
    uint64_t *stopped, *kept; /* job ids */
    uint32_t *room;           /* GPUs that a queue may still be given, by row */
    uint32_t *own;   /* GPUs of its guarantee that a queue does not use and does not lend */
    size_t *keepers; /* rows of the queues that do not lend */
    size_t own_cap, keepers_cap, n_keepers;
    size_t room_cap, nodes_cap, plans_cap, at_cap, held_cap, stopped_cap, kept_cap;
    size_t n_plans, n_at, n_kept;
    uint32_t gpus_left, mark;
    uint32_t asked_in_vain; /* where jobs would go that ask something of the fabric, and now cannot */
    uint64_t no_room[MEMOS]; /* shapes for which there was none */
};

struct replan *replan_new(void)
{
    return calloc(1, sizeof(struct replan));
}

void replan_free(struct replan *r)
{
    if (!r)
        return;
    free(r->nodes);
    free(r->plans);
    free(r->at);
    free(r->held);
    free(r->stopped);
    free(r->kept);
    free(r->room);
    free(r->own);
    free(r->keepers);
    free(r);
}

uint32_t replan_gpus_left(const struct replan *r)
{
    return r->gpus_left;
}

/* ---- nodes */

static uint32_t gpus_of(const struct tug_policy_job *job, uint32_t slice)
{
    return slice + 1 == job->nodes ? job->gpus_last : job->gpus_per_node;
}

static uint32_t cpus_of(const struct tug_policy_job *job, uint32_t slice)
{
    return slice + 1 == job->nodes ? job->cpus_last : job->cpus_per_node;
}

static int fits(const struct spare *x, const struct tug_policy_job *job, uint32_t slice)
{
    return x->gpus >= gpus_of(job, slice) && x->cpus >= cpus_of(job, slice) &&
           x->mem_bytes >= job->mem_per_node_bytes && !x->is_alone && (!job->exclusive || !x->jobs);
}

/* As the node is now. */
static int is_free(const struct tug_policy_node *x, const struct tug_policy_job *job,
                   uint32_t slice)
{
    return x->usable && !x->held &&
           (uint32_t) __builtin_popcountll(x->gpus_free) >= gpus_of(job, slice) &&
           x->cpus_free >= cpus_of(job, slice) && x->mem_free_bytes >= job->mem_per_node_bytes &&
           (!job->exclusive || x->cpus_free == x->cpus);
}

/* The row above, SIZE_MAX at the top. Hosts of old have no queues to tell. */
static size_t queue_above(const struct replan *r, size_t row)
{
    uint32_t up = TUG_POLICY_QUEUE(r->view, row)->parent;
    return up < r->view->n_queues ? up : SIZE_MAX;
}

static size_t queue_of(const struct replan *r, const struct tug_policy_job *job)
{
    return TUG_POLICY_HAS(r->view, queues_stride) && job->queue_row < r->view->n_queues
               ? job->queue_row
               : SIZE_MAX;
}

static int open_queues(struct replan *r)
{
    size_t n = TUG_POLICY_HAS(r->view, queues_stride) ? r->view->n_queues : 0;
    if (make_room(&r->room, &r->room_cap, n, sizeof *r->room) ||
        make_room(&r->own, &r->own_cap, n, sizeof *r->own) ||
        make_room(&r->keepers, &r->keepers_cap, n, sizeof *r->keepers))
        return -ENOMEM;
    r->n_keepers = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tug_policy_queue *q = TUG_POLICY_QUEUE(r->view, i);
        r->room[i] =
            !q->may_borrow && q->guarantee_gpus < q->cap_gpus ? q->guarantee_gpus : q->cap_gpus;
        r->own[i] = q->lends ? 0 : q->guarantee_gpus;
        if (r->own[i])
            r->keepers[r->n_keepers++] = i;
    }
    return 0;
}

static int is_above(const struct replan *r, size_t row, const struct tug_policy_job *job)
{
    size_t i = queue_of(r, job);
    while (i != SIZE_MAX && i != row)
        i = queue_above(r, i);
    return i == row;
}

/* GPUs that other queues do not lend. What a queue keeps is part of what one above it keeps. */
static uint64_t kept_by_others(const struct replan *r, const struct tug_policy_job *job)
{
    uint64_t kept = 0;
    for (size_t k = 0; k < r->n_keepers; k++) {
        size_t row = r->keepers[k], up = queue_above(r, row);
        if (is_above(r, row, job))
            continue;
        while (up != SIZE_MAX && (!r->own[up] || is_above(r, up, job)))
            up = queue_above(r, up);
        kept += up == SIZE_MAX ? r->own[row] : 0;
    }
    return kept;
}

/* Nobody is stopped for a job that its queue, or one that does not lend, would hold back. */
static int queue_has_room(const struct replan *r, const struct tug_policy_job *job)
{
    for (size_t i = queue_of(r, job); i != SIZE_MAX; i = queue_above(r, i))
        if (job->gpus > r->room[i])
            return 0;
    return !r->n_keepers || job->gpus + kept_by_others(r, job) <= r->gpus_left;
}

static void take(struct replan *r, const struct tug_policy_job *job,
                 const struct tug_policy_slice *at)
{
    for (size_t i = queue_of(r, job); i != SIZE_MAX; i = queue_above(r, i)) {
        r->room[i] -= job->gpus < r->room[i] ? job->gpus : r->room[i];
        r->own[i] -= job->gpus < r->own[i] ? job->gpus : r->own[i];
    }
    for (uint32_t i = 0; i < job->nodes; i++) {
        struct spare *x = &r->nodes[at[i].node];
        x->gpus -= gpus_of(job, i);
        x->cpus -= cpus_of(job, i);
        x->mem_bytes -= job->mem_per_node_bytes;
        x->jobs++;
        x->is_alone |= job->exclusive;
    }
    r->gpus_left -= job->gpus < r->gpus_left ? job->gpus : r->gpus_left;
}

/* ---- places */

/* The first nodes for slices [from, to), on nodes that are free now or on any; how many it found.
 */
static uint32_t first_nodes(struct replan *r, const struct tug_policy_job *job, uint32_t from,
                            uint32_t to, int free_now, struct tug_policy_slice *at)
{
    uint32_t slice = from;
    for (uint32_t i = 0; i < r->view->n_nodes && slice < to; i++) {
        struct spare *x = &r->nodes[i];
        if (x->mark == r->mark || !fits(x, job, slice))
            continue;
        if (free_now && !is_free(TUG_POLICY_NODE(r->view, i), job, slice))
            continue;
        if (!r->host->may_use(r->pass, job->id, i))
            continue;
        x->mark = r->mark;
        at[slice] = (struct tug_policy_slice){i, gpus_of(job, slice)};
        slice++;
    }
    return slice;
}

static int find(struct replan *r, const struct tug_policy_job *job, int free_now,
                struct tug_policy_slice *at)
{
    uint32_t whole = job->gpus_last == job->gpus_per_node && job->cpus_last == job->cpus_per_node
                         ? job->nodes
                         : job->nodes - 1;
    r->mark++;
    uint32_t n = first_nodes(r, job, 0, whole, free_now, at);
    if (n == whole && n < job->nodes)
        n = first_nodes(r, job, n, job->nodes, free_now, at);
    return n == job->nodes;
}

/* Where it runs, with the number of GPUs in each slice: 0, or it cannot be told. */
static int where_it_runs(struct replan *r, const struct tug_policy_job *job)
{
    if (make_room(&r->held, &r->held_cap, job->nodes, sizeof *r->held))
        return -ENOMEM;
    if (r->host->held(r->pass, job->id, r->held, job->nodes) != (int) job->nodes)
        return -ENOENT;
    for (uint32_t i = 0; i < job->nodes; i++) {
        if (r->held[i].node >= r->view->n_nodes)
            return -ENOENT;
        r->held[i].gpus = (uint64_t) __builtin_popcountll(r->held[i].gpus);
    }
    return 0;
}

static int is_free_in_plan(const struct replan *r, const struct tug_policy_job *job)
{
    for (uint32_t i = 0; i < job->nodes; i++)
        if (!fits(&r->nodes[r->held[i].node], job, i))
            return 0;
    return 1;
}

/* Is the place in at[] the one that it has? Which GPUs of a node does not matter. */
static int is_there(struct replan *r, const struct tug_policy_job *job,
                    const struct tug_policy_slice *at)
{
    for (uint32_t i = 0; i < job->nodes; i++) {
        uint32_t k = 0;
        while (k < job->nodes && r->held[k].node != at[i].node)
            k++;
        if (k == job->nodes || r->held[k].gpus != at[i].gpus)
            return 0;
    }
    return 1;
}

static int keep(struct replan *r, const struct tug_policy_job *job)
{
    if (make_room(&r->kept, &r->kept_cap, r->n_kept + 1, sizeof *r->kept))
        return -ENOMEM;
    r->kept[r->n_kept++] = job->id;
    return 1;
}

static int put_running(struct replan *r, const struct tug_policy_job *job, int stays)
{
    struct tug_policy_slice *at = &r->at[r->n_at];
    int known = !where_it_runs(r, job);
    int is_bound = job->preemptable == TUG_PREEMPT_SUSPEND || job->within;
    if (known && (stays || is_bound) && is_free_in_plan(r, job)) {
        take(r, job, r->held);
        return keep(r, job);
    }
    if (known && is_bound)
        return 0; /* stopped, it could go on here only, or nobody knows where */
    if (!find(r, job, 0, at))
        return 0;
    take(r, job, at);
    if (known && is_there(r, job, at))
        return keep(r, job);
    return 1; /* it is stopped here, and put there when it waits */
}

/* What is suspended goes on where it is or not at all, and what asks something of the fabric goes where the host
 * says; where that is can be told only when it is free. */
static int is_placed_by_host(const struct tug_policy_job *job)
{
    return job->suspended || job->within;
}

static int ask_host(struct replan *r, const struct tug_policy_job *job,
                    struct tug_policy_slice *at)
{
    if (r->host->place(r->pass, job->id, at, job->nodes))
        return 0;
    for (uint32_t i = 0; i < job->nodes; i++) {
        at[i].gpus = (uint64_t) __builtin_popcountll(at[i].gpus);
        if (at[i].node >= r->view->n_nodes || !fits(&r->nodes[at[i].node], job, i))
            return 0;
    }
    return 1;
}

static int find_for_waiting(struct replan *r, const struct tug_policy_job *job, int stays,
                            struct tug_policy_slice *at)
{
    uint64_t *memo = &r->no_room[job->shape % MEMOS];
    if (job->suspended)
        return ask_host(r, job, at);
    if (job->within) { /* those that cannot start must not use up the pass's budget */
        int found = r->asked_in_vain < ASKED_IN_VAIN_MAX && ask_host(r, job, at);
        r->asked_in_vain += !found;
        return found;
    }
    if (job->shape && *memo == job->shape)
        return 0;
    if ((stays && find(r, job, 1, at)) || find(r, job, 0, at))
        return 1;
    *memo = job->shape;
    return 0;
}

static int put_waiting(struct replan *r, const struct tug_policy_job *job, int stays)
{
    struct tug_policy_slice *at = &r->at[r->n_at];
    if (!find_for_waiting(r, job, stays, at))
        return 0;
    if (make_room(&r->plans, &r->plans_cap, r->n_plans + 1, sizeof *r->plans))
        return -ENOMEM;
    take(r, job, at);
    r->plans[r->n_plans++] = (struct plan){.job = job, .first = r->n_at};
    r->n_at += job->nodes;
    return 1;
}

static int is_fixed(const struct replan *r, const struct tug_policy_job *job)
{
    return job->leaving || job->preemptable == TUG_PREEMPT_NEVER ||
           job->safe_until_ms > r->view->now_ms;
}

int replan_put(struct replan *r, const struct replan_job *j, int stays)
{
    if (j->runs && is_fixed(r, j->job))
        return 1;
    if (j->job->gpus > r->gpus_left || !queue_has_room(r, j->job))
        return 0;
    if (make_room(&r->at, &r->at_cap, r->n_at + j->job->nodes, sizeof *r->at))
        return -ENOMEM;
    return j->runs ? put_running(r, j->job, stays) : put_waiting(r, j->job, stays);
}

/* ---- beginning */

static int put_fixed(struct replan *r)
{
    for (size_t i = 0; i < r->view->n_running; i++) {
        const struct tug_policy_job *job = TUG_POLICY_RUNNING(r->view, i);
        if (job->leaving || !is_fixed(r, job))
            continue;
        int rc = where_it_runs(r, job);
        if (rc == -ENOMEM)
            return rc;
        if (!rc && is_free_in_plan(r, job))
            take(r, job, r->held);
        if (job->safe_until_ms > r->view->now_ms && job->safe_until_ms != INT64_MAX)
            r->host->wake(r->pass, job->safe_until_ms);
    }
    return 0;
}

int replan_begin(struct replan *r, const struct tug_policy_view *view,
                 const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    if (!TUG_POLICY_HAS(host, wake))
        return -ENOTSUP;
    if (make_room(&r->nodes, &r->nodes_cap, view->n_nodes, sizeof *r->nodes))
        return -ENOMEM;
    r->view = view;
    r->host = host;
    r->pass = pass;
    if (open_queues(r))
        return -ENOMEM;
    r->n_plans = r->n_at = r->n_kept = 0;
    r->gpus_left = 0;
    r->asked_in_vain = 0;
    r->mark = 0;
    for (size_t i = 0; i < MEMOS; i++)
        r->no_room[i] = 0;
    for (size_t i = 0; i < view->n_nodes; i++) {
        const struct tug_policy_node *x = TUG_POLICY_NODE(view, i);
        r->nodes[i] = (struct spare){.mem_bytes = x->mem_bytes, .gpus = x->gpus, .cpus = x->cpus};
        if (!x->usable)
            r->nodes[i] = (struct spare){0};
        else
            r->gpus_left += x->gpus;
    }
    return put_fixed(r);
}

/* ---- carrying it out */

static int by_id(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int stop_the_others(struct replan *r)
{
    size_t n = 0;
    if (r->n_kept)
        qsort(r->kept, r->n_kept, sizeof *r->kept, by_id);
    if (make_room(&r->stopped, &r->stopped_cap, r->view->n_running, sizeof *r->stopped))
        return -ENOMEM;
    for (size_t i = 0; i < r->view->n_running; i++) {
        const struct tug_policy_job *job = TUG_POLICY_RUNNING(r->view, i);
        if (is_fixed(r, job))
            continue;
        if (!r->n_kept || !bsearch(&job->id, r->kept, r->n_kept, sizeof *r->kept, by_id))
            r->stopped[n++] = job->id;
    }
    return n ? r->host->preempt(r->pass, 0, r->stopped, n) : 0;
}

static uint64_t lowest(uint64_t set, uint64_t count)
{
    uint64_t out = 0;
    for (; count > 0; count--, set &= set - 1)
        out |= set & -set;
    return out;
}

static int start_there(struct replan *r, const struct plan *p)
{
    struct tug_policy_slice *at = &r->at[p->first];
    if (is_placed_by_host(p->job))
        return r->host->start(r->pass, p->job->id);
    for (uint32_t i = 0; i < p->job->nodes; i++)
        if (!is_free(TUG_POLICY_NODE(r->view, at[i].node), p->job, i))
            return -EAGAIN;
    for (uint32_t i = 0; i < p->job->nodes; i++)
        at[i].gpus = lowest(TUG_POLICY_NODE(r->view, at[i].node)->gpus_free, at[i].gpus);
    return r->host->start_on(r->pass, p->job->id, at, p->job->nodes);
}

int replan_carry_out(struct replan *r)
{
    int rc = stop_the_others(r);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < r->n_plans; i++) {
        /* The pass's budget may be spent (-E2BIG) on those that were asked about: they can start all the same, and if
         * nobody did, nothing would be different in the next pass. */
        rc = start_there(r, &r->plans[i]);
        if (rc == -EAGAIN)
            r->host->explain(r->pass, r->plans[i].job->id, TUG_REASON_PREEMPTING,
                             "goes first now; starts when those that run in its place are gone");
    }
    return 0;
}
