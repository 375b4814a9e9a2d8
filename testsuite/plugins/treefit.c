/* treefit.c - places gangs by best fit on the leaves of a fabric, or anywhere at random; to compare placements with
 *
 * What Slurm's topology/tree documents: the smallest leaf that holds the gang, else leaf by leaf the tightest that
 * holds the rest or the one with most nodes; the first nodes of it and their lowest GPUs, whatever links are between them.
 * With scatter: any nodes that have room.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/policy.h>

struct treefit {
    int scatter;
    uint32_t *room; /* rows of the view with room for a slice; UINT32_MAX = taken */
    size_t cap;
};

static const struct tug_policy_param params[] = {
    {"scatter", TUG_POLICY_BOOL, "no", 1, 0, "take any nodes, at random"},
    {0},
};

static int treefit_create(void **self, const struct tug_policy_value *values, char *why, size_t why_size)
{
    struct treefit *t = calloc(1, sizeof *t);
    (void) why, (void) why_size;
    if (!t)
        return -ENOMEM;
    t->scatter = values[0].i != 0;
    *self = t;
    return 0;
}

static void treefit_destroy(void *self)
{
    struct treefit *t = self;
    free(t->room);
    free(t);
}

struct asked {
    const struct tug_policy_view *view;
    const struct tug_policy_host *host;
    struct tug_policy_pass *pass;
    const struct tug_policy_job *job;
};

static int has_room(const struct asked *a, const struct tug_policy_node *n, uint32_t gpus, uint32_t cpus)
{
    return n->usable && !n->held && (uint32_t) __builtin_popcountll(n->gpus_free) >= gpus && n->cpus_free >= cpus &&
           n->mem_free_bytes >= a->job->mem_per_node_bytes && a->host->may_use(a->pass, a->job->id, n->index);
}

static uint64_t lowest(uint64_t from, uint32_t n)
{
    uint64_t set = 0;
    for (; n > 0; n--, from &= from - 1)
        set |= from & -from;
    return set;
}

/* Nodes with room for a slice, by the row of the view; how many. */
static size_t find_room(struct treefit *t, const struct asked *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->view->n_nodes; i++)
        if (has_room(a, TUG_POLICY_NODE(a->view, i), a->job->gpus_per_node, a->job->cpus_per_node))
            t->room[n++] = (uint32_t) i;
    return n;
}

static uint32_t domain_of(const struct asked *a, uint32_t row)
{
    return TUG_POLICY_NODE(a->view, row)->domain;
}

static size_t count_in(const struct treefit *t, const struct asked *a, size_t n, uint32_t domain)
{
    size_t c = 0;
    for (size_t i = 0; i < n; i++)
        c += t->room[i] != UINT32_MAX && domain_of(a, t->room[i]) == domain;
    return c;
}

/* Index in room of a node of the leaf to take from next. */
static size_t best_leaf(const struct treefit *t, const struct asked *a, size_t n, size_t need)
{
    size_t best = n, best_count = 0;
    for (size_t i = 0; i < n; i++) {
        if (t->room[i] == UINT32_MAX || (best < n && domain_of(a, t->room[best]) == domain_of(a, t->room[i])))
            continue;
        size_t c = count_in(t, a, n, domain_of(a, t->room[i]));
        int better = best == n || (c >= need ? best_count < need || c < best_count : best_count < need && c > best_count);
        if (better) {
            best = i;
            best_count = c;
        }
    }
    return best;
}

static void take(struct treefit *t, const struct asked *a, size_t i, struct tug_policy_slice *at, uint32_t gpus)
{
    const struct tug_policy_node *n = TUG_POLICY_NODE(a->view, t->room[i]);
    *at = (struct tug_policy_slice){n->index, lowest(n->gpus_free, gpus)};
    t->room[i] = UINT32_MAX;
}

static int place_random(struct treefit *t, const struct asked *a, size_t n, struct tug_policy_slice *at, size_t want)
{
    for (size_t k = 0; k < want; k++) {
        size_t i = (size_t) (a->host->random(a->pass) % n);
        while (t->room[i] == UINT32_MAX)
            i = (i + 1) % n;
        take(t, a, i, &at[k], k + 1 == want ? a->job->gpus_last : a->job->gpus_per_node);
    }
    return 0;
}

static int place_tree(struct treefit *t, const struct asked *a, size_t n, struct tug_policy_slice *at, size_t want)
{
    for (size_t k = 0; k < want;) {
        size_t first = best_leaf(t, a, n, want - k);
        uint32_t domain = domain_of(a, t->room[first]);
        for (size_t i = 0; i < n && k < want; i++)
            if (t->room[i] != UINT32_MAX && domain_of(a, t->room[i]) == domain) {
                take(t, a, i, &at[k], k + 1 == want ? a->job->gpus_last : a->job->gpus_per_node);
                k++;
            }
    }
    return 0;
}

static int treefit_place(void *self, const struct tug_policy_view *view, const struct tug_policy_host *host,
                         struct tug_policy_pass *pass, const struct tug_policy_job *job, struct tug_policy_slice *at,
                         size_t n)
{
    struct treefit *t = self;
    struct asked a = {view, host, pass, job};
    if (t->cap < view->n_nodes) {
        uint32_t *more = realloc(t->room, view->n_nodes * sizeof *more);
        if (!more)
            return -ENOMEM;
        t->room = more;
        t->cap = view->n_nodes;
    }
    size_t found = find_room(t, &a);
    if (found < n) /* only its last, smaller slice has room elsewhere: not worth a rule here */
        return -EAGAIN;
    return t->scatter ? place_random(t, &a, found, at, n) : place_tree(t, &a, found, at, n);
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "treefit",
    .summary = "best fit on the leaves of a fabric, without links inside nodes",
    .params = params,
    .create = treefit_create,
    .destroy = treefit_destroy,
    .place = treefit_place,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
