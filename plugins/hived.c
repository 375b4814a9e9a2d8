/* hived.c - buddy cells and guaranteed sub-clusters: a queue's guarantee is GPUs that fit together
 *
 * Zhao et al., "HiveD: Sharing a GPU Cluster for Deep Learning with Guarantees" (OSDI 2020). A
 * guarantee counted in GPUs can be all there and still hold no gang: eight GPUs on eight nodes. So
 * a node is a cell that splits into two halves, these into two quarters, down to a GPU. A queue
 * with a guarantee owns such cells: whole nodes, and for the rest halves, quarters... A cell that
 * it owns is bound to a place on a node when the first of its gangs comes to be in it, and until
 * the last has left it. A gang whose slices are all in cells of its queue is guaranteed, any other
 * is opportunistic.
 *
 * place(): a guaranteed gang goes into cells of its queue that are bound and have room, the
 * tightest first; else another cell is bound, where that splits least, and only so that all cells
 * that are not bound yet could still be (the paper's safety: at each level, what is left there or
 * split from above >= what is owed). An opportunistic gang takes any free cell, the smallest that
 * suffices. preempt(): a guaranteed gang that finds its cells taken gets those with the fewest GPUs
 * of opportunistic gangs, which give way. Of places that are as good, those on nodes that failed
 * lately come last. Two nodes whose link failed are not taken together, unless the gang finds no place otherwise.
 *
 * Always: bound cells do not overlap. They are remembered from pass to pass and found again from
 * what runs, in the order in which it started, when nothing is remembered. Owned cells are of nodes
 * of the size that has most GPUs in the cluster; nodes of other sizes hold opportunistic gangs
 * only. A slice that is no power of two takes the next larger cell.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/policy.h>

#include "room.h"

#define LEVELS    7   /* cells of 1, 2, 4 ... 64 GPUs */
#define APART_MAX 64u /* nodes that are not taken beside another one; of more, some are */

struct node {
    uint64_t all;     /* its GPUs */
    uint64_t bound;   /* owned cells that are bound here */
    uint32_t is_cell; /* of the size that owned cells are made of */
    uint64_t mark;    /* hived.marks: the gang that is placed has a slice here */
};

struct owned {      /* a cell that a queue owns */
    uint32_t queue; /* row */
    unsigned level;
    uint32_t is_bound, node;
    uint64_t cell; /* bound: which GPUs of the node */
    uint64_t used; /* and those of them in cells of guaranteed gangs */
};

struct pick { /* where a slice may go */
    uint32_t node;
    uint32_t cost;   /* GPUs of opportunistic gangs in the cell */
    unsigned around; /* level of the free cell that it would be split from */
    int failed;      /* the node has, lately */
    uint64_t cell;
    struct owned *owned; /* guaranteed: the owned cell that it is in */
    uint64_t binds;      /* and, when that is not bound yet, where it would be */
};

struct hived {
    int64_t depth;
    int64_t spares; /* opportunistic gangs leave what is owed free */
    uint64_t pass, marks;
    int apart; /* of two nodes whose link failed the gang takes only one */
    unsigned top; /* level of a node */
    uint32_t node_gpus;
    struct node *nodes;
    size_t nodes_cap;
    struct owned *owned; /* a queue's stand together, large ones first */
    size_t n_owned, owned_cap;
    uint64_t guarantees;  /* of which 'owned' was made */
    int64_t left[LEVELS]; /* free cells: those that no owned cell is bound to */
    int64_t owed[LEVELS]; /* owned cells that are not bound */
    const struct tug_policy_job **by_start;
    size_t by_start_cap;
    struct tug_policy_slice *at;
    size_t at_cap;
    struct pick *picks; /* of the gang that is looked at */
    size_t picks_cap;
    uint32_t *owner; /* per node 64: 1 + row in view->running; 0 = nobody */
    size_t owner_cap;
    uint64_t *victims;
    size_t victims_cap;
    struct tug_policy_job placed; /* what place() answered last: started or not? */
    int has_placed;
};

struct now {
    struct hived *h;
    const struct tug_policy_view *view;
    const struct tug_policy_host *host;
    struct tug_policy_pass *pass;
};

static const struct tug_policy_param params[] = {
    {.name = "depth",
     .type = TUG_POLICY_INT,
     .fallback = "100",
     .min = 0,
     .max = 1e9,
     .text = "how many waiting jobs are looked at to see whether others give way to them"},
    {.name = "spare",
     .type = TUG_POLICY_BOOL,
     .fallback = "no",
     .min = 1,
     .max = 0,
     .text = "jobs without a guarantee leave the cells of all guarantees free; for clusters where "
             "nobody gives way"},
    {.name = NULL},
};

static int hived_create(void **self, const struct tug_policy_value *values, char *why,
                        size_t why_size)
{
    (void) why;
    (void) why_size;
    struct hived *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    h->depth = values[0].i;
    h->spares = values[1].i;
    *self = h;
    return 0;
}

static void hived_destroy(void *self)
{
    struct hived *h = self;
    free(h->nodes);
    free(h->owned);
    free(h->by_start);
    free(h->at);
    free(h->picks);
    free(h->owner);
    free(h->victims);
    free(h);
}

/* ---- cells: aligned runs of 2^level GPUs; the node itself is one, whatever its size */

static uint64_t low_bits(uint32_t n)
{
    return n >= 64 ? UINT64_MAX : (1ULL << n) - 1;
}

static unsigned level_of(uint32_t gpus)
{
    unsigned l = 0;
    while ((1u << l) < gpus)
        l++;
    return l;
}

/* Cell i of a level; 0: there is no such. */
static uint64_t cell(uint64_t all, unsigned level, uint32_t i)
{
    uint64_t first = (uint64_t) i << level;
    return first < 64 ? (low_bits(1u << level) << first) & all : 0;
}

/* The largest free cells, added to 'count' as often as 'by' says. */
static void count_cells(uint64_t free_gpus, uint64_t all, unsigned level, uint32_t i,
                        int64_t *count, int by)
{
    uint64_t c = cell(all, level, i);
    if (!(c & free_gpus))
        return;
    if ((c & free_gpus) == c) {
        count[level] += by;
        return;
    }
    count_cells(free_gpus, all, level - 1, 2 * i, count, by);
    count_cells(free_gpus, all, level - 1, 2 * i + 1, count, by);
}

/* Level of the largest cell around this one that is free as a whole. */
static unsigned around(uint64_t free_gpus, uint64_t all, unsigned level, uint32_t i, unsigned top)
{
    for (; level < top && (cell(all, level + 1, i / 2) & ~free_gpus) == 0; level++)
        i /= 2;
    return level;
}

/* The smallest cell of at least this level that contains these GPUs. */
static uint64_t cell_around(uint64_t all, uint64_t gpus, unsigned level, unsigned top)
{
    for (; level < top; level++)
        for (uint32_t i = 0; cell(all, level, i); i++)
            if ((gpus & ~cell(all, level, i)) == 0)
                return cell(all, level, i);
    return all;
}

static uint64_t lowest(uint64_t set, uint32_t count)
{
    uint64_t out = 0;
    for (; count > 0 && set; count--, set &= set - 1)
        out |= set & -set;
    return out;
}

static uint32_t slice_gpus(const struct tug_policy_job *job, uint32_t i)
{
    return i + 1 == job->nodes ? job->gpus_last : job->gpus_per_node;
}

static uint32_t slice_cpus(const struct tug_policy_job *job, uint32_t i)
{
    return i + 1 == job->nodes ? job->cpus_last : job->cpus_per_node;
}

/* ---- owned cells */

/* Could every owned cell still be bound? A cell that is not needed at its level splits into two. */
static int is_safe(const struct hived *h)
{
    int64_t carry = 0;
    for (unsigned l = h->top + 1; l > 0; l--) {
        carry = 2 * carry + h->left[l - 1] - h->owed[l - 1];
        if (carry < 0)
            return 0;
    }
    return 1;
}

static void take_from_node(struct hived *h, uint32_t node, uint64_t gpus, int is_taken)
{
    struct node *x = &h->nodes[node];
    if (!x->is_cell)
        return;
    count_cells(x->all & ~x->bound, x->all, h->top, 0, h->left, -1);
    x->bound = is_taken ? x->bound | gpus : x->bound & ~gpus;
    count_cells(x->all & ~x->bound, x->all, h->top, 0, h->left, 1);
}

static void bind(struct hived *h, struct owned *o, uint32_t node, uint64_t where)
{
    o->is_bound = 1;
    o->node = node;
    o->cell = where;
    o->used = 0;
    h->owed[o->level]--;
    take_from_node(h, node, where, 1);
}

static void unbind(struct hived *h, struct owned *o)
{
    take_from_node(h, o->node, o->cell, 0);
    h->owed[o->level]++;
    o->is_bound = 0;
    o->cell = o->used = 0;
}

/* The row that owns cells for this job: its queue or the nearest one above with a guarantee. */
static uint32_t owner_of(const struct now *n, const struct tug_policy_job *job)
{
    uint32_t row = job->queue_row;
    while (row < n->view->n_queues && !TUG_POLICY_QUEUE(n->view, row)->guarantee_gpus)
        row = TUG_POLICY_QUEUE(n->view, row)->parent;
    return row < n->view->n_queues ? row : UINT32_MAX;
}

/* Whole nodes, then what is left over in the largest cells. */
static int make_owned(struct now *n)
{
    struct hived *h = n->h;
    h->n_owned = 0;
    for (uint32_t q = 0; q < n->view->n_queues; q++) {
        uint32_t gpus = TUG_POLICY_QUEUE(n->view, q)->guarantee_gpus;
        while (gpus > 0 && h->node_gpus) {
            unsigned level = h->top;
            uint32_t size = h->node_gpus;
            while (size > gpus)
                size = 1u << --level;
            if (make_room(&h->owned, &h->owned_cap, h->n_owned + 1, sizeof *h->owned))
                return -ENOMEM;
            h->owned[h->n_owned++] = (struct owned){.queue = q, .level = level};
            gpus -= size;
        }
    }
    return 0;
}

/* ---- what is there and what runs */

static uint32_t commonest_size(const struct tug_policy_view *view)
{
    uint64_t gpus[65] = {0};
    uint32_t best = 0;
    for (size_t i = 0; i < view->n_nodes; i++) {
        const struct tug_policy_node *x = TUG_POLICY_NODE(view, i);
        if (x->usable && x->gpus <= 64)
            gpus[x->gpus] += x->gpus;
    }
    for (uint32_t g = 1; g <= 64; g++)
        if (gpus[g] > gpus[best])
            best = g;
    return best;
}

static int look_at_nodes(struct now *n)
{
    struct hived *h = n->h;
    if (make_room(&h->nodes, &h->nodes_cap, n->view->n_nodes, sizeof *h->nodes))
        return -ENOMEM;
    memset(h->left, 0, sizeof h->left);
    for (size_t i = 0; i < n->view->n_nodes; i++) {
        const struct tug_policy_node *x = TUG_POLICY_NODE(n->view, i);
        h->nodes[i] = (struct node){.all = low_bits(x->gpus),
                                    .is_cell = x->usable && x->gpus == h->node_gpus && x->gpus};
        h->left[h->top] += h->nodes[i].is_cell;
    }
    return 0;
}

static uint64_t digest(const struct now *n)
{
    uint64_t d = n->h->node_gpus;
    for (uint32_t q = 0; q < n->view->n_queues; q++)
        d = (d * 1000003 + TUG_POLICY_QUEUE(n->view, q)->guarantee_gpus) * 31 + q;
    return d;
}

/* The owned cells as they were bound; anew when the guarantees have changed. */
static int look_at_owned(struct now *n)
{
    struct hived *h = n->h;
    uint64_t now = digest(n);
    if (now != h->guarantees && make_owned(n))
        return -ENOMEM;
    h->guarantees = now;
    memset(h->owed, 0, sizeof h->owed);
    for (size_t i = 0; i < h->n_owned; i++) {
        struct owned *o = &h->owned[i];
        h->owed[o->level]++;
        if (o->is_bound && o->node < n->view->n_nodes && h->nodes[o->node].is_cell)
            bind(h, o, o->node, o->cell);
        else
            o->is_bound = 0;
    }
    return 0;
}

/* The bound cell of that queue that this slice is in. */
static struct owned *bound_around(struct hived *h, uint32_t queue, uint32_t node, uint64_t gpus)
{
    for (size_t i = 0; i < h->n_owned; i++) {
        struct owned *o = &h->owned[i];
        if (o->queue == queue && o->is_bound && o->node == node && !(gpus & ~o->cell))
            return o;
    }
    return NULL;
}

/* Bind the smallest owned cell to where a slice is, if that is safe. */
static struct owned *bind_around(struct hived *h, uint32_t queue, uint32_t node, uint64_t gpus)
{
    const struct node *x = &h->nodes[node];
    for (unsigned l = 0; x->is_cell && l <= h->top; l++)
        for (size_t i = 0; i < h->n_owned; i++) {
            struct owned *o = &h->owned[i];
            uint64_t where = cell_around(x->all, gpus, l, h->top);
            if (o->queue != queue || o->is_bound || o->level != l || (where & x->bound) ||
                (l < h->top && (uint32_t) __builtin_popcountll(where) != 1u << l))
                continue;
            bind(h, o, node, where);
            if (is_safe(h))
                return o;
            unbind(h, o);
        }
    return NULL;
}

/* A running gang: guaranteed if each of its slices is, or comes to be, in a cell of its queue. */
static int count_in(struct now *n, const struct tug_policy_job *job)
{
    struct hived *h = n->h;
    uint32_t queue = owner_of(n, job), done;
    if (!job->gpus || (queue == UINT32_MAX && !h->spares))
        return 0;
    if (make_room(&h->at, &h->at_cap, job->nodes, sizeof *h->at) ||
        make_room(&h->picks, &h->picks_cap, job->nodes, sizeof *h->picks))
        return -ENOMEM;
    int held = n->host->held(n->pass, job->id, h->at, job->nodes);
    if (held < 0 || (uint32_t) held != job->nodes)
        return 0;
    for (done = 0; done < job->nodes; done++) {
        const struct tug_policy_slice *s = &h->at[done];
        struct owned *o = bound_around(h, queue, s->node, s->gpus);
        h->picks[done].binds = !o;
        if (!o)
            o = bind_around(h, queue, s->node, s->gpus);
        if (!o)
            break;
        h->picks[done].owned = o;
        h->picks[done].cell = cell_around(h->nodes[s->node].all, s->gpus, 0, h->top) & o->cell;
    }
    int is_guaranteed = done == job->nodes;
    while (done-- > 0) {
        if (is_guaranteed)
            h->picks[done].owned->used |= h->picks[done].cell;
        else if (h->picks[done].binds)
            unbind(h, h->picks[done].owned);
    }
    for (int i = 0; h->spares && !is_guaranteed && i < held; i++)
        take_from_node(h, h->at[i].node, h->at[i].gpus & ~h->nodes[h->at[i].node].bound, 1);
    return 0;
}

static int by_start(const void *a, const void *b)
{
    const struct tug_policy_job *x = *(const struct tug_policy_job *const *) a,
                                *y = *(const struct tug_policy_job *const *) b;
    if (x->start_ms != y->start_ms)
        return x->start_ms < y->start_ms ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Once a pass. */
static int begin(struct now *n)
{
    struct hived *h = n->h;
    if (h->pass == n->view->pass)
        return 0;
    h->pass = n->view->pass;
    h->has_placed = 0;
    h->node_gpus = commonest_size(n->view);
    h->top = level_of(h->node_gpus ? h->node_gpus : 1);
    if (look_at_nodes(n) || look_at_owned(n) ||
        make_room(&h->by_start, &h->by_start_cap, n->view->n_running, sizeof *h->by_start))
        return -ENOMEM;
    for (size_t i = 0; i < n->view->n_running; i++)
        h->by_start[i] = TUG_POLICY_RUNNING(n->view, i);
    if (n->view->n_running)
        qsort(h->by_start, n->view->n_running, sizeof *h->by_start, by_start);
    for (size_t i = 0; i < n->view->n_running; i++)
        if (count_in(n, h->by_start[i]))
            return -ENOMEM;
    for (size_t i = 0; i < h->n_owned; i++)
        if (h->owned[i].is_bound && !h->owned[i].used)
            unbind(h, &h->owned[i]);
    return 0;
}

/* What place() answered last may have been started since. */
static int catch_up(struct now *n)
{
    struct hived *h = n->h;
    int has_placed = h->has_placed;
    h->has_placed = 0;
    return has_placed ? count_in(n, &h->placed) : 0;
}

/* ---- guaranteed slices: free ones (to_clear 0), or such that others would have to leave */

static uint32_t cost_of(const struct now *n, const struct tug_policy_job *job, uint32_t node,
                        uint64_t mask)
{
    uint32_t cost = 0;
    for (; mask; mask &= mask - 1) {
        uint32_t row = n->h->owner[node * 64 + (uint32_t) __builtin_ctzll(mask)];
        if (!row)
            continue;
        const struct tug_policy_job *who = TUG_POLICY_RUNNING(n->view, row - 1);
        if (who->leaving || who->safe_until_ms > n->view->now_ms || who->tier > job->tier ||
            (TUG_POLICY_HAS(n->host, may_preempt) &&
             !n->host->may_preempt(n->pass, job->id, who->id)))
            return UINT32_MAX;
        cost++;
    }
    return cost;
}

static int has_the_rest(const struct tug_policy_job *job, const struct tug_policy_node *x,
                        uint32_t cpus)
{
    return x->usable && x->cpus_free >= cpus && x->mem_free_bytes >= job->mem_per_node_bytes &&
           (!job->exclusive || x->cpus_free == x->cpus);
}

static int is_better(const struct pick *a, const struct pick *b)
{
    if (a->cost != b->cost)
        return a->cost < b->cost;
    return a->around != b->around ? a->around < b->around : a->failed < b->failed;
}

static int has_failed(const struct now *n, uint32_t node)
{
    return TUG_POLICY_HAS(n->host, failures) && n->host->failures(n->pass, node) > 0;
}

/* The gang has a slice there: it is no choice any more, nor are those that it should not be on as well. */
static void mark(const struct now *n, uint32_t node)
{
    uint32_t others[APART_MAX], found = 0;
    n->h->nodes[node].mark = n->h->marks;
    if (n->h->apart && TUG_POLICY_HAS(n->host, apart_from))
        found = n->host->apart_from(n->pass, node, 0, others, APART_MAX);
    for (uint32_t i = 0; i < found && i < APART_MAX; i++)
        n->h->nodes[others[i]].mark = n->h->marks;
}

/* The cells of a node within 'within', of which those in 'taken' are no choice: the best for a
 * slice of the job, if it is better than *best. */
static void try_cells(const struct now *n, const struct tug_policy_job *job, uint32_t slice,
                      uint32_t node, uint64_t within, uint64_t taken, int to_clear,
                      struct pick *best)
{
    const struct hived *h = n->h;
    const struct tug_policy_node *x = TUG_POLICY_NODE(n->view, node);
    uint32_t gpus = slice_gpus(job, slice);
    unsigned level = level_of(gpus);
    uint64_t all = h->nodes[node].all, mask;
    if (h->nodes[node].mark == h->marks ||
        (!to_clear && !has_the_rest(job, x, slice_cpus(job, slice))))
        return;
    for (uint32_t i = 0; level <= h->top && (mask = cell(all, level, i)); i++) {
        if ((mask & ~within) || (mask & taken) || (uint32_t) __builtin_popcountll(mask) < gpus ||
            (!to_clear && (uint32_t) __builtin_popcountll(mask & x->gpus_free) < gpus))
            continue;
        struct pick p = {.node = node,
                         .cost = to_clear ? cost_of(n, job, node, mask) : 0,
                         .around = around(within & ~taken, all, level, i, h->top),
                         .failed = has_failed(n, node),
                         .cell = mask};
        if (p.cost != UINT32_MAX && is_better(&p, best) && n->host->may_use(n->pass, job->id, node))
            *best = p;
    }
}

static void try_bound(const struct now *n, const struct tug_policy_job *job, uint32_t slice,
                      uint32_t queue, int to_clear, struct pick *best)
{
    struct hived *h = n->h;
    for (size_t i = 0; i < h->n_owned; i++) {
        struct owned *o = &h->owned[i];
        struct pick was = *best;
        if (o->queue != queue || !o->is_bound)
            continue;
        try_cells(n, job, slice, o->node, o->cell, o->used, to_clear, best);
        if (is_better(best, &was))
            best->owned = o;
    }
}

/* Where the queue's smallest owned cell that is large enough could be bound. */
static void try_binding(const struct now *n, const struct tug_policy_job *job, uint32_t slice,
                        uint32_t queue, int to_clear, struct pick *best)
{
    struct hived *h = n->h;
    struct owned *o = NULL;
    for (size_t i = 0; i < h->n_owned; i++)
        if (h->owned[i].queue == queue && !h->owned[i].is_bound &&
            h->owned[i].level >= level_of(slice_gpus(job, slice)) &&
            (!o || h->owned[i].level < o->level))
            o = &h->owned[i];
    for (uint32_t i = 0; o && i < n->view->n_nodes; i++) {
        const struct node *x = &h->nodes[i];
        uint64_t mask;
        for (uint32_t c = 0; x->is_cell && (mask = cell(x->all, o->level, c)); c++) {
            struct pick p = {.cost = UINT32_MAX};
            if ((mask & x->bound) ||
                (o->level < h->top && (uint32_t) __builtin_popcountll(mask) != 1u << o->level))
                continue;
            try_cells(n, job, slice, i, mask, 0, to_clear, &p);
            p.around = around(x->all & ~x->bound, x->all, o->level, c, h->top);
            p.owned = o;
            p.binds = mask;
            if (p.cost != UINT32_MAX && is_better(&p, best))
                *best = p;
        }
    }
}

/* What the first so many picks took. */
static void give_back(struct hived *h, uint32_t done)
{
    while (done-- > 0) {
        struct pick *p = &h->picks[done];
        p->owned->used &= ~p->cell;
        if (p->binds)
            unbind(h, p->owned);
    }
}

/* Cells for all slices, into picks[], bound and used: 1; or 0, and nothing has changed. */
static int take_guaranteed(const struct now *n, const struct tug_policy_job *job, int to_clear)
{
    struct hived *h = n->h;
    uint32_t queue = owner_of(n, job), done;
    if (queue == UINT32_MAX || !job->gpus)
        return 0;
    h->marks++;
    for (done = 0; done < job->nodes; done++) {
        struct pick *p = &h->picks[done];
        *p = (struct pick){.cost = UINT32_MAX, .around = LEVELS, .failed = 1};
        try_bound(n, job, done, queue, to_clear, p);
        if (p->cost > 0)
            try_binding(n, job, done, queue, to_clear, p);
        if (!p->owned)
            break;
        if (p->binds)
            bind(h, p->owned, p->node, p->binds);
        p->owned->used |= p->cell;
        mark(n, p->node);
    }
    return done == job->nodes && is_safe(h) ? 1 : (give_back(h, done), 0);
}

/* ---- opportunistic slices */

/* The free cell of a node that is split least. */
static int pick_in(const struct hived *h, const struct tug_policy_node *x, uint32_t gpus,
                   struct pick *out)
{
    const struct node *own = &h->nodes[x->index];
    uint64_t open = h->spares ? x->gpus_free & ~own->bound : x->gpus_free, mask;
    unsigned top = level_of(x->gpus ? x->gpus : 1), level = level_of(gpus);
    *out = (struct pick){.node = x->index, .around = LEVELS};
    if (gpus == 0) {
        out->around = 0;
        return 1;
    }
    for (uint32_t i = 0; level <= top && (mask = cell(own->all, level, i)); i++) {
        unsigned a = around(open, own->all, level, i, top);
        if ((uint32_t) __builtin_popcountll(mask & open) < gpus || a >= out->around)
            continue;
        out->around = a;
        out->cell = mask & open;
    }
    if (out->around < LEVELS)
        return 1;
    /* No cell has so many free, but the node may have. */
    out->around = top;
    out->cell = open;
    return (uint32_t) __builtin_popcountll(open) >= gpus;
}

/* Slices on nodes that the gang is not on yet, those first that split least; at[] has 'done' of
 * them, up to 'want' are wanted. Returns how many there are then. */
static uint32_t pick_slices(const struct now *n, const struct tug_policy_job *job, uint32_t done,
                            uint32_t want, struct tug_policy_slice *at)
{
    struct hived *h = n->h;
    uint32_t gpus = slice_gpus(job, want - 1), cpus = slice_cpus(job, want - 1);
    for (unsigned turn = 0; turn < 2 * LEVELS; turn++) /* by level, and in each of them those that failed last */
        for (uint32_t i = 0; i < n->view->n_nodes && done < want; i++) {
            const struct tug_policy_node *x = TUG_POLICY_NODE(n->view, i);
            struct pick p;
            if (h->nodes[i].mark == h->marks || !has_the_rest(job, x, cpus) ||
                !pick_in(h, x, gpus, &p) || p.around != turn / 2 ||
                (turn & 1) != (unsigned) has_failed(n, i) || !n->host->may_use(n->pass, job->id, i))
                continue;
            mark(n, i);
            at[done++] = (struct tug_policy_slice){i, lowest(p.cell, gpus)};
        }
    return done;
}

/* Would all that is owed still be free if the gang were there? */
static int spares_what_is_owed(struct hived *h, const struct tug_policy_slice *at, uint32_t n_at)
{
    for (uint32_t i = 0; i < n_at; i++) {
        h->picks[i].cell = at[i].gpus & ~h->nodes[at[i].node].bound;
        take_from_node(h, at[i].node, h->picks[i].cell, 1);
    }
    int ok = is_safe(h);
    for (uint32_t i = 0; i < n_at; i++)
        take_from_node(h, at[i].node, h->picks[i].cell, 0);
    return ok;
}

static int place_opportunistic(const struct now *n, const struct tug_policy_job *job,
                               struct tug_policy_slice *at)
{
    struct hived *h = n->h;
    h->marks++;
    uint32_t done = job->nodes > 1 ? pick_slices(n, job, 0, job->nodes - 1, at) : 0;
    if (done + 1 == job->nodes)
        done = pick_slices(n, job, done, job->nodes, at);
    if (done < job->nodes || (h->spares && job->gpus && !spares_what_is_owed(h, at, job->nodes)))
        return -EAGAIN;
    return 0;
}

static int place_somewhere(const struct now *n, const struct tug_policy_job *job, struct tug_policy_slice *at)
{
    struct hived *h = n->h;
    if (!take_guaranteed(n, job, 0))
        return place_opportunistic(n, job, at);
    for (uint32_t i = 0; i < job->nodes; i++) {
        const struct pick *p = &h->picks[i];
        uint64_t open = p->cell & TUG_POLICY_NODE(n->view, p->node)->gpus_free;
        at[i] = (struct tug_policy_slice){p->node, lowest(open, slice_gpus(job, i))};
    }
    give_back(h, job->nodes);
    return 0;
}

static int hived_place(void *self, const struct tug_policy_view *view,
                       const struct tug_policy_host *host, struct tug_policy_pass *pass,
                       const struct tug_policy_job *job, struct tug_policy_slice *at, size_t n_at)
{
    struct hived *h = self;
    struct now n = {h, view, host, pass};
    int rc = 0;
    (void) n_at;
    if (begin(&n) || catch_up(&n) ||
        make_room(&h->picks, &h->picks_cap, job->nodes, sizeof *h->picks))
        return -ENOMEM;
    h->apart = job->nodes > 1;
    rc = place_somewhere(&n, job, at);
    if (rc == -EAGAIN && h->apart) {
        h->apart = 0;
        rc = place_somewhere(&n, job, at);
    }
    h->apart = 0;
    if (rc == 0) {
        h->placed = *job;
        h->has_placed = 1;
    }
    return rc;
}

/* ---- who gives way */

static int find_owners(struct now *n)
{
    struct hived *h = n->h;
    size_t gpus = n->view->n_nodes * 64;
    if (make_room(&h->owner, &h->owner_cap, gpus, sizeof *h->owner))
        return -ENOMEM;
    memset(h->owner, 0, gpus * sizeof *h->owner);
    for (size_t i = 0; i < n->view->n_running; i++) {
        const struct tug_policy_job *job = TUG_POLICY_RUNNING(n->view, i);
        if (make_room(&h->at, &h->at_cap, job->nodes, sizeof *h->at))
            return -ENOMEM;
        int held = n->host->held(n->pass, job->id, h->at, job->nodes);
        for (int k = 0; k < held && (uint32_t) k < job->nodes; k++)
            for (uint64_t m = h->at[k].gpus; m; m &= m - 1)
                h->owner[h->at[k].node * 64 + (uint32_t) __builtin_ctzll(m)] = (uint32_t) i + 1;
    }
    return 0;
}

/* Whoever is in the cells that were picked, each once: how many. */
static size_t list_victims(const struct now *n, uint32_t nodes)
{
    struct hived *h = n->h;
    size_t count = 0;
    for (uint32_t i = 0; i < nodes; i++)
        for (uint64_t m = h->picks[i].cell; m; m &= m - 1) {
            uint32_t row = h->owner[h->picks[i].node * 64 + (uint32_t) __builtin_ctzll(m)];
            uint64_t id = row ? TUG_POLICY_RUNNING(n->view, row - 1)->id : 0;
            int is_in = !row;
            for (size_t k = 0; k < count && !is_in; k++)
                is_in = h->victims[k] == id;
            if (!is_in)
                h->victims[count++] = id;
        }
    return count;
}

/* For one gang that waits. What it takes stays taken when others give way to it, so that the next
 * gang of its queue does not count on it. */
static int make_way(struct now *n, const struct tug_policy_job *job)
{
    struct hived *h = n->h;
    if (make_room(&h->picks, &h->picks_cap, job->nodes, sizeof *h->picks) ||
        make_room(&h->victims, &h->victims_cap, n->view->n_running, sizeof *h->victims))
        return -ENOMEM;
    if (!take_guaranteed(n, job, 1))
        return 0;
    size_t count = list_victims(n, job->nodes);
    if (count == 0 || n->host->preempt(n->pass, job->id, h->victims, count))
        give_back(h, job->nodes);
    return 0;
}

static int hived_preempt(void *self, const struct tug_policy_view *view,
                         const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    struct hived *h = self;
    struct now n = {h, view, host, pass};
    int rc = begin(&n);
    if (!rc)
        rc = catch_up(&n);
    if (!rc && h->n_owned && h->depth)
        rc = find_owners(&n);
    for (size_t i = 0; !rc && h->n_owned && i < view->n_waiting && i < (size_t) h->depth; i++) {
        const struct tug_policy_job *job = TUG_POLICY_WAITING(view, i);
        int is_started = host->held(pass, job->id, NULL, 0) >= 0;
        if (!is_started && !job->suspended && job->gpus && host->fits(pass, job->id) == -EAGAIN)
            rc = make_way(&n, job);
    }
    return rc;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "hived",
    .summary = "buddy cells, and guarantees that hold as gangs fit, not as GPUs add up",
    .params = params,
    .create = hived_create,
    .destroy = hived_destroy,
    .place = hived_place,
    .preempt = hived_preempt,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
