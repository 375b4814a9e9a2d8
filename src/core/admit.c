/* admit.c - from what a user said to a request that leaves nothing unsaid
 *
 * Slurm's rules where it has them: one task a node and one CPU a task unless more was said. When
 * only tasks of the whole gang are said, it gets the fewest nodes that hold them in equal shares.
 * When only GPUs are said, it gets the fewest nodes that hold them: full ones, and a last one with
 * the rest. What can never run is refused with what could. Drained and down nodes count: they come
 * back. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/hostlist.h"
#include "base/preflight.h"
#include "base/size.h"
#include "base/str.h"
#include "core/state.h"

struct admission {
    const struct tug_core *c;
    struct tug_core_ask a; /* as asked, filled in on the way */
    struct tug_job_req *r;
    const struct tug_queue *q;
    uint64_t *allowed;         /* of the queue, the lists and the GPU model */
    size_t n_queue, n_allowed; /* nodes of the queue; those that are allowed */
    size_t n_listed;           /* names in the node list */
    uint32_t gpus_full; /* GPUs on each node but the last, which gets the rest; 0 = all alike */
    uint32_t cut;       /* kind of its slices (cut.c); 0 = GPUs */
    char device[TUG_MIG_PROFILE_MAX + 8]; /* "GPU", "1g.10gb slice": what its GPUs are */
    struct tug_err *err;
};

/* ---- the queue */

/* A queue that is divided takes none itself. */
static int takes_jobs(struct admission *m)
{
    const struct tug_core *c = m->c;
    uint32_t row = (uint32_t) (m->q - c->queues.at);
    if (c->queue_rows.at[row].is_leaf)
        return 0;
    struct tug_buf all = {0};
    for (uint32_t i = 0; i < c->queue_rows.len; i++) {
        uint32_t up = i;
        while (up != UINT32_MAX && up != row)
            up = c->queue_rows.at[up].parent;
        if (up == row && c->queue_rows.at[i].is_leaf)
            tug_buf_addf(&all, "%s'%s'", all.len ? ", " : "", c->queues.at[i].name);
    }
    int rc = tug_fail(m->err, -EINVAL,
                      "queue '%s' is divided and takes no jobs itself; use one of: %s", m->q->name,
                      tug_buf_str(&all));
    tug_buf_clear(&all);
    return rc;
}

static int find_queue(struct admission *m)
{
    const struct tug_core *c = m->c;
    const char *name = m->r->queue && *m->r->queue ? m->r->queue : tug_core_default_queue(c);
    m->q = tug_queue_find(c, name);
    if (m->q && !m->q->is_ghost)
        return takes_jobs(m);
    const char **names = tug_xcalloc(c->queues.len + 1, sizeof *names);
    size_t n = 0;
    for (size_t i = 0; i < c->queues.len; i++)
        if (c->queue_rows.at[i].is_leaf && !c->queues.at[i].is_ghost)
            names[n++] = c->queues.at[i].name;
    const char *near = tug_str_nearest(name, names, n);
    struct tug_buf all = {0};
    for (size_t i = 0; i < n && !near; i++)
        tug_buf_addf(&all, "%s'%s'", i ? ", " : "", names[i]);
    int rc =
        near ? tug_fail(m->err, -ENOENT, "there is no queue '%s'; did you mean '%s'?", name, near)
             : tug_fail(m->err, -ENOENT, "there is no queue '%s'; there are: %s", name,
                        tug_buf_str(&all));
    tug_buf_clear(&all);
    free(names);
    return rc;
}

/* Would that user do as well there? */
static int is_another(const struct admission *m, size_t i)
{
    const struct tug_queue *q = &m->c->queues.at[i];
    return !q->is_ghost && !q->is_down && m->c->queue_rows.at[i].is_leaf &&
           tug_queue_takes_user(m->c, q, m->r->user);
}

static int admit_user(struct admission *m)
{
    if (tug_queue_takes_user(m->c, m->q, m->r->user))
        return 0;
    for (size_t i = 0; i < m->c->queues.len; i++) {
        const struct tug_queue *other = &m->c->queues.at[i];
        if (is_another(m, i))
            return tug_fail(
                m->err, -EPERM,
                "queue '%s' does not take jobs of user '%s'; use queue '%s', or ask the "
                "admin for access",
                m->q->name, m->r->user, other->name);
    }
    return tug_fail(
        m->err, -EPERM,
        "queue '%s' does not take jobs of user '%s', nor does any other; ask the admin for "
        "access",
        m->q->name, m->r->user);
}

static int admit_time(struct admission *m)
{
    const struct tug_queue *q = m->q;
    uint32_t *limit_s = &m->r->time_limit_s;
    if (!*limit_s)
        *limit_s = q->default_time_s ? q->default_time_s : q->max_time_s;
    if (!q->max_time_s || *limit_s <= q->max_time_s)
        return 0;
    char want[TUG_DURATION_TEXT_MAX], most[TUG_DURATION_TEXT_MAX];
    tug_duration_format(*limit_s, want, sizeof want);
    tug_duration_format(q->max_time_s, most, sizeof most);
    for (size_t i = 0; i < m->c->queues.len; i++) {
        const struct tug_queue *other = &m->c->queues.at[i];
        if (is_another(m, i) && (!other->max_time_s || other->max_time_s >= *limit_s))
            return tug_fail(m->err, -EINVAL,
                            "time limit %s is over queue '%s's %s; ask for less or use queue '%s'",
                            want, q->name, most, other->name);
    }
    return tug_fail(m->err, -EINVAL,
                    "time limit %s is over queue '%s's %s, and no queue allows more; ask for less",
                    want, q->name, most);
}

/* ---- the nodes that it may use */

static int unknown_node(struct admission *m, const char *what, const char *name)
{
    const struct tug_core *c = m->c;
    const char **names = tug_xcalloc(c->nodes.len + 1, sizeof *names);
    for (size_t i = 0; i < c->nodes.len; i++)
        names[i] = c->nodes.at[i].name;
    const char *near = tug_str_nearest(name, names, c->nodes.len);
    int rc = near ? tug_fail(m->err, -ENOENT, "%s: there is no node '%s'; did you mean '%s'?", what,
                             name, near)
                  : tug_fail(m->err, -ENOENT, "%s: there is no node '%s'", what, name);
    free(names);
    return rc;
}

/* The list's nodes as bits over 'bits' (cleared first), and how many names it has. */
static int list_nodes(struct admission *m, const char *what, const char *text, uint64_t *bits,
                      size_t *n_out)
{
    struct tug_hostlist *hl = NULL;
    memset(bits, 0, m->c->index.words * sizeof *bits);
    int rc = tug_hostlist_parse(text, &hl, m->err);
    if (rc)
        return tug_fail_ctx(m->err, rc, "%s", what);
    *n_out = tug_hostlist_count(hl);
    for (size_t i = 0; i < *n_out && !rc; i++) {
        uint32_t node = tug_core_node_find(m->c, tug_hostlist_nth(hl, i));
        if (node == TUG_NO_NODE || !m->c->nodes.at[node].in_conf)
            rc = unknown_node(m, what, tug_hostlist_nth(hl, i));
        else
            bits[node / 64] |= 1ULL << (node % 64);
    }
    tug_hostlist_free(hl);
    return rc;
}

static size_t count_bits(const uint64_t *bits, size_t words)
{
    size_t n = 0;
    for (size_t i = 0; i < words; i++)
        n += (size_t) __builtin_popcountll(bits[i]);
    return n;
}

static int use_nodelist(struct admission *m, uint64_t *bits)
{
    size_t words = m->c->index.words;
    int rc = list_nodes(m, "node list", m->r->nodelist, bits, &m->n_listed);
    for (uint32_t i = 0; i < m->c->nodes.len && !rc; i++)
        if (tug_bit(bits, i) && !tug_bit(m->allowed, i))
            rc = tug_fail(m->err, -EINVAL, "node list: node '%s' is not in queue '%s'",
                          m->c->nodes.at[i].name, m->q->name);
    for (size_t i = 0; i < words && !rc; i++)
        m->allowed[i] &= bits[i];
    return rc;
}

static int use_exclude(struct admission *m, uint64_t *bits)
{
    size_t n, words = m->c->index.words;
    int rc = list_nodes(m, "excluded nodes", m->r->exclude, bits, &n);
    for (size_t i = 0; i < words && !rc; i++)
        m->allowed[i] &= ~bits[i];
    if (!rc && !count_bits(m->allowed, words))
        rc = tug_fail(m->err, -EINVAL, "every node that the job could use is excluded");
    return rc;
}

static void add_model(struct tug_buf *all, const char *model)
{
    if (*model && !strstr(tug_buf_str(all), model))
        tug_buf_addf(all, "%s'%s'", all->len ? ", " : "", model);
}

static int use_model(struct admission *m)
{
    struct tug_buf all = {0};
    size_t n = 0;
    for (uint32_t i = 0; i < m->c->nodes.len; i++) {
        struct tug_core_inventory has;
        if (!tug_bit(m->allowed, i))
            continue;
        if (tug_place_model_fits(m->c, i, m->r->gpu_model)) {
            n++;
            continue;
        }
        tug_node_size(m->c, i, &has);
        add_model(&all, has.gpu_model);
        m->allowed[i / 64] &= ~(1ULL << (i % 64));
    }
    int rc = 0;
    if (!n && all.len)
        rc = tug_fail(m->err, -EINVAL,
                      "no node of queue '%s' that the job may use has GPUs '%s'; there are: %s",
                      m->q->name, m->r->gpu_model, tug_buf_str(&all));
    else if (!n)
        rc = tug_fail(m->err, -EINVAL, "no node of queue '%s' that the job may use has GPUs '%s'",
                      m->q->name, m->r->gpu_model);
    tug_buf_clear(&all);
    return rc;
}

/* Nodes that have not come yet may be cut into anything, unless too many kinds have been asked for already. */
#define KINDS_MAX 64

static int could_have(const struct admission *m, uint32_t node)
{
    if (!m->c->nodes.at[node].known)
        return m->cut != UINT32_MAX || m->c->cuts.len < KINDS_MAX;
    return m->cut != UINT32_MAX && tug_cut_devices(m->c, node, m->cut);
}

/* What its nodes are cut into: how many kinds; 'all' is for sentences. */
static size_t profiles_there(const struct admission *m, const char *names[KINDS_MAX], struct tug_buf *all)
{
    size_t n = 0;
    for (uint32_t k = 1; k <= m->c->cuts.len && n < KINDS_MAX; k++) {
        int is = 0;
        for (uint32_t i = 0; i < m->c->nodes.len && !is; i++)
            is = tug_bit(m->allowed, i) && tug_cut_devices(m->c, i, k);
        if (!is)
            continue;
        names[n] = m->c->cuts.at[k - 1].profile;
        tug_buf_addf(all, "%s'%s'", n++ ? ", " : "", m->c->cuts.at[k - 1].profile);
    }
    return n;
}

static int no_such_slices(const struct admission *m)
{
    const char *names[KINDS_MAX] = {0};
    struct tug_buf all = {0};
    size_t n = profiles_there(m, names, &all);
    const char *near = tug_str_nearest(m->r->mig_profile, names, n);
    int rc = n ? tug_fail(m->err, -EINVAL,
                          "no node of queue '%s' that the job may use has GPUs cut into '%s'; there are: %s%s%s%s", m->q->name,
                          m->r->mig_profile, tug_buf_str(&all), near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "")
               : tug_fail(m->err, -EINVAL,
                          "no node of queue '%s' that the job may use has GPUs cut into '%s', or into anything; ask for whole GPUs, or "
                          "for a part of one with --gpu-share",
                          m->q->name, m->r->mig_profile);
    tug_buf_clear(&all);
    return rc;
}

static int use_profile(struct admission *m)
{
    size_t n = 0;
    uint64_t *could = tug_xcalloc(m->c->index.words + 1, sizeof *could);
    for (uint32_t i = 0; i < m->c->nodes.len; i++)
        if (tug_bit(m->allowed, i) && could_have(m, i)) {
            could[i / 64] |= 1ULL << (i % 64);
            n++;
        }
    int rc = n ? 0 : no_such_slices(m);
    for (size_t w = 0; w < m->c->index.words && !rc; w++)
        m->allowed[w] = could[w];
    free(could);
    return rc;
}

/* Slices contradict what is of whole GPUs. */
static int admit_profile(struct admission *m)
{
    const struct tug_core_ask *a = &m->a;
    const char *profile = m->r->mig_profile;
    snprintf(m->device, sizeof m->device, "GPU");
    if (!a->gpus && !a->gpus_per_node && !a->gpus_per_task)
        profile = m->r->mig_profile = "";
    if (!*profile)
        return 0;
    if (!tug_mig_is_profile(profile, strlen(profile)))
        return tug_fail(m->err, -EINVAL, "'%s' is not a profile of slices of a GPU, like 1g.10gb or 3g.40gb", profile);
    snprintf(m->device, sizeof m->device, "%s slice", profile);
    m->cut = tug_cut_find(m->c, profile);
    if (a->gpu_milli)
        return tug_fail(m->err, -EINVAL, "--gpu-share gives a part of a whole GPU, and %s are slices of one that is cut; say one of them",
                        profile);
    if (m->r->quality_milli)
        return tug_fail(m->err, -EINVAL,
                        "a quality of placement is known of whole GPUs only: slices have no links to each other; leave --quality out");
    if (m->r->preflight && *m->r->preflight && *m->r->preflight != '/')
        return tug_fail(m->err, -EINVAL, "preflight '%s' measures links between whole GPUs; slices have none: leave it out",
                        m->r->preflight);
    return 0;
}

static int find_nodes(struct admission *m)
{
    const struct tug_core *c = m->c;
    size_t words = c->index.words;
    uint64_t *bits = tug_xcalloc(words + 1, sizeof *bits);
    m->allowed = tug_xcalloc(words + 1, sizeof *m->allowed);
    for (uint32_t i = 0; i < c->nodes.len; i++)
        if (c->nodes.at[i].in_conf)
            m->allowed[i / 64] |= 1ULL << (i % 64);
    int rc = 0;
    if (*m->q->nodes) {
        size_t n;
        rc = list_nodes(m, "queue", m->q->nodes, bits, &n);
        for (size_t i = 0; i < words && !rc; i++)
            m->allowed[i] &= bits[i];
    }
    m->n_queue = count_bits(m->allowed, words);
    if (!rc && !m->n_queue)
        rc = tug_fail(m->err, -EINVAL, "queue '%s' has no nodes", m->q->name);
    if (!rc && *m->r->nodelist)
        rc = use_nodelist(m, bits);
    if (!rc && *m->r->exclude)
        rc = use_exclude(m, bits);
    if (!rc && *m->r->gpu_model)
        rc = use_model(m);
    if (!rc && *m->r->mig_profile)
        rc = use_profile(m);
    m->n_allowed = count_bits(m->allowed, words);
    free(bits);
    return rc;
}

/* What the node has for sure at most: what nobody knows yet could be anything. */
static void size_at_most(const struct admission *m, uint32_t node, struct tug_core_inventory *out)
{
    const struct tug_core *c = m->c;
    int known = tug_node_size(c, node, out) && c->nodes.at[node].known;
    if (m->cut)
        out->gpus = known ? tug_gpuset_count(tug_cut_devices(c, node, m->cut)) : TUG_GPUS_MAX;
    if (!known && !out->cpus)
        out->cpus = UINT32_MAX;
    if (!known && !out->gpus)
        out->gpus = TUG_GPUS_MAX;
    if (!out->mem_bytes)
        out->mem_bytes = UINT64_MAX;
}

/* Nodes that could hold so much if they were empty, counted up to 'enough'. */
static uint32_t count_holding(const struct admission *m, uint32_t cpus, uint32_t gpus,
                              uint64_t mem_bytes, uint32_t enough)
{
    uint32_t n = 0;
    for (size_t w = 0; w < m->c->index.words; w++)
        for (uint64_t b = m->allowed[w]; b && n < enough; b &= b - 1) {
            struct tug_core_inventory has;
            size_at_most(m, (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(b), &has);
            n += has.cpus >= cpus && has.gpus >= gpus && has.mem_bytes >= mem_bytes;
        }
    return n;
}

/* ---- how many nodes, tasks, GPUs */

static uint32_t share(uint32_t total, uint32_t parts)
{
    return total / parts + (total % parts != 0);
}

/* 'fmt' takes the GPUs and what they should be a multiple of. */
static int gpus_not_shared(const struct admission *m, const char *fmt, uint32_t of)
    __attribute__((format(printf, 2, 0)));
static int gpus_not_shared(const struct admission *m, const char *fmt, uint32_t of)
{
    uint32_t gpus = m->a.gpus;
    char why[128];
    snprintf(why, sizeof why, fmt, gpus, of);
    if (gpus < of)
        return tug_fail(m->err, -EINVAL, "%s; ask for %u", why, of);
    return tug_fail(m->err, -EINVAL, "%s; ask for %u or %u", why, gpus / of * of,
                    share(gpus, of) * of);
}

static uint32_t cpus_per_task(const struct tug_core_ask *a)
{
    return a->cpus_per_task ? a->cpus_per_task : 1;
}

static uint64_t mem_per_node(const struct tug_core_ask *a, uint32_t cpus_per_node)
{
    return a->mem_per_node_bytes ? a->mem_per_node_bytes : a->mem_per_cpu_bytes * cpus_per_node;
}

struct largest {
    struct tug_core_inventory has;
    const char *cpus_at, *gpus_at, *mem_at;
};

static struct largest find_largest(const struct admission *m)
{
    struct largest l = {.cpus_at = NULL};
    for (uint32_t i = 0; i < m->c->nodes.len; i++) {
        struct tug_core_inventory has;
        if (!tug_bit(m->allowed, i))
            continue;
        size_at_most(m, i, &has);
        const char *name = m->c->nodes.at[i].name;
        if (!l.cpus_at || has.cpus > l.has.cpus) {
            l.has.cpus = has.cpus;
            l.cpus_at = name;
        }
        if (!l.gpus_at || has.gpus > l.has.gpus) {
            l.has.gpus = has.gpus;
            l.gpus_at = name;
        }
        if (!l.mem_at || has.mem_bytes > l.has.mem_bytes) {
            l.has.mem_bytes = has.mem_bytes;
            l.mem_at = name;
        }
    }
    return l;
}

/* Could 'nodes' nodes hold the GPUs with that many on each but the last? */
static int holds_uneven(const struct admission *m, uint32_t nodes, uint32_t full)
{
    const struct tug_core_ask *a = &m->a;
    uint64_t on_full = (uint64_t) (nodes - 1) * full;
    if (!full || on_full >= a->gpus || a->gpus - on_full >= full)
        return 0;
    struct tug_job_req r = {.nodes = nodes,
                            .ntasks = a->ntasks ? a->ntasks : nodes,
                            .gpus_per_node = full,
                            .gpus_last = a->gpus - (uint32_t) on_full};
    uint32_t last = tug_job_req_tasks(&r, nodes - 1), first = tug_job_req_tasks(&r, 0);
    uint64_t cpus = (uint64_t) first * cpus_per_task(a),
             cpus_last = (uint64_t) last * cpus_per_task(a);
    if (r.ntasks < nodes || cpus > UINT32_MAX || (uint64_t) first * a->gpus_per_task > full ||
        (uint64_t) last * a->gpus_per_task > r.gpus_last)
        return 0;
    uint64_t mem = mem_per_node(a, (uint32_t) cpus);
    return count_holding(m, (uint32_t) cpus, full, mem, nodes - 1) == nodes - 1 &&
           count_holding(m, (uint32_t) cpus_last, r.gpus_last, mem, nodes) == nodes;
}

/* GPUs on each node but the last, if that many nodes could hold them so; 0 = they could not. Tasks
 * per node are said of nodes that are alike. */
static uint32_t uneven_share(const struct admission *m, uint32_t nodes, uint32_t largest)
{
    const struct tug_core_ask *a = &m->a;
    if (!a->gpus || a->gpus_per_node || a->tasks_per_node > 1 || nodes < 2)
        return 0;
    uint32_t full = a->gpus_per_task ? largest / a->gpus_per_task * a->gpus_per_task : largest;
    if (holds_uneven(m, nodes, full))
        return full;
    full = share(a->gpus, nodes);
    return a->gpus % nodes && holds_uneven(m, nodes, full) ? full : 0;
}

/* Whole GPUs were asked for. 0: not all are cut. */
static int all_are_cut(const struct admission *m)
{
    const char *names[KINDS_MAX] = {0};
    struct tug_buf all = {0};
    size_t n = m->cut || find_largest(m).has.gpus ? 0 : profiles_there(m, names, &all);
    int rc = n ? tug_fail(m->err, -EINVAL,
                          "whole GPUs were asked for, but those of all nodes that the job may use are cut into slices; ask for such, like "
                          "--gpus=%s:1; there are: %s",
                          names[0], tug_buf_str(&all))
               : 0;
    tug_buf_clear(&all);
    return rc;
}

/* The fewest nodes that hold what was said of the whole gang; 0 = none do. */
static uint32_t fewest_nodes(struct admission *m)
{
    const struct tug_core_ask *a = &m->a;
    uint32_t most = m->n_allowed < UINT32_MAX ? (uint32_t) m->n_allowed : UINT32_MAX;
    if (a->ntasks && a->ntasks < most)
        most = a->ntasks;
    if (a->gpus && a->gpus < most)
        most = a->gpus;
    struct largest l = {.has = {.cpus = UINT32_MAX, .gpus = TUG_GPUS_MAX}};
    for (uint32_t n = 1; n <= most; n++) {
        if (n == 2) /* nearly every request fits on one node */
            l = find_largest(m);
        if ((uint64_t) l.has.gpus * n < a->gpus)
            continue;
        m->gpus_full = uneven_share(m, n, l.has.gpus);
        if (m->gpus_full)
            return n;
        if (a->gpus && a->gpus % n)
            continue;
        uint32_t tasks = a->ntasks           ? share(a->ntasks, n)
                         : a->tasks_per_node ? a->tasks_per_node
                                             : 1;
        uint32_t gpus = a->gpus            ? a->gpus / n
                        : a->gpus_per_node ? a->gpus_per_node
                                           : tasks * a->gpus_per_task;
        uint64_t cpus = (uint64_t) tasks * cpus_per_task(a);
        if ((a->tasks_per_node && tasks > a->tasks_per_node) || cpus > l.has.cpus ||
            gpus > l.has.gpus)
            continue;
        if (count_holding(m, (uint32_t) cpus, gpus, mem_per_node(a, (uint32_t) cpus), n) == n)
            return n;
    }
    return 0;
}

static int no_nodes_hold(const struct admission *m)
{
    const struct tug_core_ask *a = &m->a;
    if ((a->gpus || a->gpus_per_node || a->gpus_per_task) && all_are_cut(m))
        return -EINVAL;
    if (a->gpus)
        return tug_fail(
            m->err, -EINVAL,
            "no number of nodes of queue '%s' holds %u %ss, in equal shares or with a smaller "
            "one on the last; say how many nodes and %ss per node",
            m->q->name, a->gpus, m->device, m->device);
    return tug_fail(
        m->err, -EINVAL,
        "the %zu nodes of queue '%s' that the job may use do not hold %u tasks with %u CPU%s each",
        m->n_allowed, m->q->name, a->ntasks, cpus_per_task(a), cpus_per_task(a) == 1 ? "" : "s");
}

static int admit_nodes(struct admission *m)
{
    struct tug_core_ask *a = &m->a;
    if (a->gpus_per_task && a->gpus && !a->ntasks) {
        if (a->gpus % a->gpus_per_task)
            return tug_fail(
                m->err, -EINVAL,
                "%u %ss cannot be given to tasks of %u %ss each; ask for a multiple of %u", a->gpus,
                m->device, a->gpus_per_task, m->device, a->gpus_per_task);
        a->ntasks = a->gpus / a->gpus_per_task;
    }
    if (a->nodes)
        return 0;
    if (a->ntasks && a->tasks_per_node)
        a->nodes = share(a->ntasks, a->tasks_per_node);
    else if (a->gpus && a->gpus_per_node && a->gpus % a->gpus_per_node == 0)
        a->nodes = a->gpus / a->gpus_per_node;
    else if (a->gpus && a->gpus_per_node)
        return gpus_not_shared(m, "%u GPUs are not a multiple of %u GPUs per node",
                               a->gpus_per_node);
    else if (m->n_listed)
        a->nodes = (uint32_t) m->n_listed;
    else if (a->gpus || a->ntasks)
        a->nodes = fewest_nodes(m);
    else
        a->nodes = 1;
    return a->nodes ? 0 : no_nodes_hold(m);
}

static int admit_tasks(struct admission *m)
{
    struct tug_core_ask *a = &m->a;
    uint64_t n = a->ntasks;
    if (!n && a->tasks_per_node)
        n = (uint64_t) a->nodes * a->tasks_per_node;
    else if (!n && a->gpus_per_task && a->gpus_per_node)
        n = (uint64_t) a->nodes * (a->gpus_per_node / a->gpus_per_task);
    else if (!n)
        n = a->nodes;
    if (n > UINT32_MAX)
        return tug_fail(m->err, -EINVAL, "%llu tasks are too many", (unsigned long long) n);
    if (n < a->nodes)
        return tug_fail(
            m->err, -EINVAL,
            "%u nodes were asked for, but only %llu task%s; ask for at most %llu node%s or at "
            "least %u tasks",
            a->nodes, (unsigned long long) n, n == 1 ? "" : "s", (unsigned long long) n,
            n == 1 ? "" : "s", a->nodes);
    if (a->tasks_per_node && share((uint32_t) n, a->nodes) > a->tasks_per_node)
        return tug_fail(
            m->err, -EINVAL,
            "%llu tasks do not fit on %u node%s with %u task%s per node; ask for %u nodes",
            (unsigned long long) n, a->nodes, a->nodes == 1 ? "" : "s", a->tasks_per_node,
            a->tasks_per_node == 1 ? "" : "s", share((uint32_t) n, a->tasks_per_node));
    a->ntasks = (uint32_t) n;
    return 0;
}

/* A part is of one GPU on one node, and contradicts all that asks for more. */
static int admit_part(struct admission *m)
{
    const struct tug_core_ask *a = &m->a;
    const char *other = a->gpus            ? "--gpus"
                        : a->gpus_per_node ? "--gpus-per-node"
                        : a->gpus_per_task ? "--gpus-per-task"
                        : m->r->exclusive  ? "--exclusive"
                                           : NULL;
    if (!a->gpu_milli)
        return 0;
    if (a->gpu_milli >= TUG_GPU_MILLI)
        return tug_fail(m->err, -EINVAL, "%u/%d is no part of a GPU; ask for --gpus=1",
                        a->gpu_milli, TUG_GPU_MILLI);
    if (other)
        return tug_fail(m->err, -EINVAL,
                        "--gpu-share gives a part of one GPU and contradicts %s; say one of them",
                        other);
    if (a->nodes > 1)
        return tug_fail(m->err, -EINVAL,
                        "--gpu-share gives a part of one GPU, which is on one node; %u nodes were "
                        "asked for",
                        a->nodes);
    if (m->q->share_gpus == TUG_GPU_SHARING_NONE)
        return tug_fail(m->err, -EINVAL,
                        "queue '%s' gives whole GPUs only (share_gpus: none); ask for --gpus=1 or use "
                        "another queue",
                        m->q->name);
    m->a.nodes = m->a.gpus_per_node = 1;
    m->r->gpu_milli = a->gpu_milli;
    return 0;
}

static int admit_gpus(struct admission *m)
{
    struct tug_core_ask *a = &m->a;
    uint32_t tasks = share(a->ntasks, a->nodes);
    uint64_t by_task = (uint64_t) a->gpus_per_task * tasks, gpus = a->gpus_per_node;
    if (m->gpus_full) {
        gpus = m->gpus_full;
        m->r->gpus_last = a->gpus - (a->nodes - 1) * m->gpus_full;
        by_task = 0; /* fewest_nodes() saw to it */
    } else if (a->gpus && a->gpus % a->nodes)
        return gpus_not_shared(m, "%u GPUs cannot be shared equally by %u nodes", a->nodes);
    if (!m->gpus_full && a->gpus && gpus && a->gpus / a->nodes != gpus)
        return tug_fail(
            m->err, -EINVAL,
            "%u GPUs in all contradict %u GPUs per node on %u node%s (%llu); say one of them",
            a->gpus, a->gpus_per_node, a->nodes, a->nodes == 1 ? "" : "s",
            (unsigned long long) gpus * a->nodes);
    if (a->gpus && !m->gpus_full)
        gpus = a->gpus / a->nodes;
    if (a->gpus && a->gpus_per_task && (uint64_t) a->gpus_per_task * a->ntasks != a->gpus)
        return tug_fail(
            m->err, -EINVAL,
            "%u GPUs in all contradict %u tasks with %u GPUs each (%llu); say one of them", a->gpus,
            a->ntasks, a->gpus_per_task, (unsigned long long) a->gpus_per_task * a->ntasks);
    if (gpus && by_task > gpus)
        return tug_fail(
            m->err, -EINVAL,
            "%u tasks per node with %u GPUs each need %llu GPUs per node; %llu were asked for",
            tasks, a->gpus_per_task, (unsigned long long) by_task, (unsigned long long) gpus);
    if (!gpus)
        gpus = by_task;
    if (gpus > TUG_GPUS_MAX)
        return tug_fail(m->err, -EINVAL,
                        "%llu %ss per node were asked for; no node can have more than %d",
                        (unsigned long long) gpus, m->device, TUG_GPUS_MAX);
    m->r->gpus_per_node = (uint32_t) gpus;
    return 0;
}

static int admit_cpus_and_memory(struct admission *m)
{
    const struct tug_core_ask *a = &m->a;
    m->r->nodes = a->nodes;
    m->r->ntasks = a->ntasks;
    uint64_t cpus = (uint64_t) tug_job_req_tasks(m->r, 0) * cpus_per_task(a);
    if (a->mem_per_node_bytes && a->mem_per_cpu_bytes)
        return tug_fail(m->err, -EINVAL,
                        "memory per node and memory per CPU exclude each other; say one of them");
    if (cpus > UINT32_MAX || (a->mem_per_cpu_bytes && cpus > UINT64_MAX / a->mem_per_cpu_bytes))
        return tug_fail(m->err, -EINVAL, "%llu CPUs per node are too many",
                        (unsigned long long) cpus);
    m->r->cpus_per_node = (uint32_t) cpus;
    if (m->gpus_full)
        m->r->cpus_last = tug_job_req_tasks(m->r, a->nodes - 1) * cpus_per_task(a);
    m->r->mem_per_node_bytes = mem_per_node(a, (uint32_t) cpus);
    return 0;
}

/* ---- is there such a node, and are there enough? */

/* What 'the largest node' is the largest of. */
static const char *among(const struct admission *m, char *buf, size_t size_bytes)
{
    if (m->n_allowed < m->n_queue)
        return " that the job may use";
    if (m->n_queue == m->c->nodes.len)
        return "";
    snprintf(buf, size_bytes, " of queue '%s'", m->q->name);
    return buf;
}

static int check_largest(const struct admission *m)
{
    const struct tug_job_req *r = m->r;
    struct largest l = find_largest(m);
    char of[96], want[TUG_SIZE_TEXT_MAX], most[TUG_SIZE_TEXT_MAX];
    if (!l.cpus_at)
        return 0;
    if (r->gpus_per_node && all_are_cut(m))
        return -EINVAL;
    if (r->gpus_per_node && !l.has.gpus)
        return tug_fail(m->err, -EINVAL, "%u %s%s per node %s asked for, but no node%s has %ss",
                        r->gpus_per_node, m->device, r->gpus_per_node == 1 ? "" : "s",
                        r->gpus_per_node == 1 ? "was" : "were", among(m, of, sizeof of), m->device);
    if (r->gpus_per_node > l.has.gpus)
        return tug_fail(
            m->err, -EINVAL,
            "%u %ss per node were asked for, but the largest node%s has %u (%s); ask for at "
            "most %u per node and more nodes",
            r->gpus_per_node, m->device, among(m, of, sizeof of), l.has.gpus, l.gpus_at, l.has.gpus);
    if (r->cpus_per_node > l.has.cpus)
        return tug_fail(
            m->err, -EINVAL,
            "%u CPUs per node were asked for (%u task%s with %u each), but the largest node%s "
            "has %u (%s); ask for fewer or for more nodes",
            r->cpus_per_node, share(m->a.ntasks, m->a.nodes),
            share(m->a.ntasks, m->a.nodes) == 1 ? "" : "s", cpus_per_task(&m->a),
            among(m, of, sizeof of), l.has.cpus, l.cpus_at);
    if (r->mem_per_node_bytes > l.has.mem_bytes)
        return tug_fail(
            m->err, -EINVAL,
            "%s of memory per node were asked for, but the largest node%s has %s (%s); ask for "
            "less per node",
            tug_size_format(r->mem_per_node_bytes, want, sizeof want), among(m, of, sizeof of),
            tug_size_format(l.has.mem_bytes, most, sizeof most), l.mem_at);
    return 0;
}

/* Could the nodes hold the gang if they were empty? */
static int holds(const struct admission *m)
{
    const struct tug_job_req *r = m->r;
    uint32_t last = r->nodes - 1, alike = r->gpus_last ? last : r->nodes;
    return count_holding(m, r->cpus_per_node, r->gpus_per_node, r->mem_per_node_bytes, alike) ==
               alike &&
           count_holding(m, tug_job_req_cpus(r, last), tug_job_req_gpus(r, last),
                         r->mem_per_node_bytes, r->nodes) == r->nodes;
}

static int check_width(const struct admission *m)
{
    const struct tug_job_req *r = m->r;
    if (m->n_listed && r->nodes > m->n_listed)
        return tug_fail(m->err, -EINVAL, "%u nodes were asked for, but the node list has %zu",
                        r->nodes, m->n_listed);
    if (r->nodes > m->n_queue)
        return tug_fail(m->err, -EINVAL,
                        "a gang of %u nodes is wider than queue '%s', which has %zu", r->nodes,
                        m->q->name, m->n_queue);
    if (r->nodes > m->n_allowed)
        return tug_fail(m->err, -EINVAL,
                        "%u nodes were asked for, but the job may use only %zu of queue '%s's %zu",
                        r->nodes, m->n_allowed, m->q->name, m->n_queue);
    if (holds(m))
        return 0;
    uint32_t n =
        count_holding(m, r->cpus_per_node, r->gpus_per_node, r->mem_per_node_bytes, r->nodes);
    char mem[TUG_SIZE_TEXT_MAX];
    struct tug_buf each = {0};
    if (r->gpus_per_node)
        tug_buf_addf(&each, "%u %ss%s", r->gpus_per_node, m->device, r->mem_per_node_bytes ? ", " : " and ");
    tug_buf_addf(&each, "%u CPUs", r->cpus_per_node);
    if (r->mem_per_node_bytes)
        tug_buf_addf(&each, " and %s of memory",
                     tug_size_format(r->mem_per_node_bytes, mem, sizeof mem));
    int rc = tug_fail(m->err, -EINVAL,
                      "%u node%s asked for, but only %u of queue '%s' that the job may use %s %s",
                      r->nodes, r->nodes == 1 ? " was" : "s were", n, m->q->name,
                      n == 1 ? "has" : "have", tug_buf_str(&each));
    tug_buf_clear(&each);
    return rc;
}

/* Nearly every request fits: only when it does not is every node looked at for what to say. */
static int check_size(const struct admission *m)
{
    const struct tug_job_req *r = m->r;
    if (r->nodes <= m->n_allowed && (!m->n_listed || r->nodes <= m->n_listed) && holds(m))
        return 0;
    int rc = check_largest(m);
    return rc ? rc : check_width(m);
}

/* Nodes that could hold so much if they were empty. */
static uint64_t *nodes_holding(const struct admission *m, uint32_t cpus, uint32_t gpus)
{
    uint64_t *bits = tug_xcalloc(m->c->index.words + 1, sizeof *bits);
    for (uint32_t i = 0; i < m->c->nodes.len; i++) {
        struct tug_core_inventory has;
        if (!tug_bit(m->allowed, i))
            continue;
        size_at_most(m, i, &has);
        if (has.cpus >= cpus && has.gpus >= gpus && has.mem_bytes >= m->r->mem_per_node_bytes)
            bits[i / 64] |= 1ULL << (i % 64);
    }
    return bits;
}

static int admit_within(struct admission *m)
{
    return tug_demand_admit(m->c, m->r, m->err);
}

/* Could its nodes be in the domains that it asks for? */
static int check_within(const struct admission *m)
{
    const struct tug_job_req *r = m->r;
    uint32_t end = r->nodes - 1;
    if (!*r->topology && !*r->exclusive_level)
        return 0;
    uint64_t *full = nodes_holding(m, r->cpus_per_node, r->gpus_per_node);
    uint64_t *last = nodes_holding(m, tug_job_req_cpus(r, end), tug_job_req_gpus(r, end));
    int rc = tug_demand_admit_size(m->c, r, full, last, m->err);
    free(full);
    free(last);
    return rc;
}

/* ---- its account, and what its queue may have */

static int admit_account(struct admission *m)
{
    return tug_shares_admit(m->c->shares, m->r->account, m->r->user, &m->r->account, m->err);
}

/* The fewest GPUs that it can get by with: whole nodes have what they have. */
static uint64_t fewest_gpus(const struct admission *m)
{
    const struct tug_job_req *r = m->r;
    uint32_t fewest = UINT32_MAX;
    if (*r->mig_profile) {
        uint32_t micro = m->cut == UINT32_MAX ? tug_mig_micro(r->mig_profile, 0) : m->c->cuts.at[m->cut - 1].micro;
        return tug_cut_round((uint64_t) tug_job_req_all_gpus(r) * micro);
    }
    if (!r->exclusive)
        return tug_job_req_all_gpus(r);
    for (uint32_t i = 0; i < m->c->nodes.len; i++) {
        struct tug_core_inventory has;
        tug_node_size(m->c, i, &has);
        if (tug_bit(m->allowed, i) && has.gpus >= r->gpus_per_node && has.gpus < fewest)
            fewest = has.gpus;
    }
    return fewest == UINT32_MAX ? tug_job_req_all_gpus(r) : (uint64_t) fewest * r->nodes;
}

static int check_cap(const struct admission *m)
{
    const struct tug_core *c = m->c;
    uint32_t row = (uint32_t) (m->q - c->queues.at), whose,
             most = tug_queue_most(c, row, &whose);
    uint64_t gpus = fewest_gpus(m);
    if (gpus <= most)
        return 0;
    const struct tug_policy_queue *q = &c->queue_rows.at[whose];
    char of[160] = "";
    if (whose != row)
        snprintf(of, sizeof of, ", which queue '%s' is part of,", m->q->name);
    return tug_fail(m->err, -EINVAL,
                    "the job needs %llu GPUs, but queue '%s'%s may use %u at most (%s): it could "
                    "never start; ask for at most %u or use another queue",
                    (unsigned long long) gpus, q->name, of, most,
                    most == q->cap_gpus ? "its cap" : "its guarantee, as it may not borrow", most);
}

/* ---- all of it */

static void nothing_is_null(struct tug_job_req *r)
{
    const char **texts[] = {&r->user,      &r->queue,    &r->account, &r->name,
                            &r->gpu_model, &r->nodelist, &r->exclude, &r->topology,
                            &r->exclusive_level, &r->preflight, &r->mig_profile};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!*texts[i])
            *texts[i] = "";
}

/* What the queue's jobs are tried out with is for those that say nothing; and only what the queue says may drain
 * nodes, as a user's floor can be higher than any node is. */
static void take_preflight(struct admission *m)
{
    struct tug_job_req *r = m->r;
    r->preflight_drains = 0;
    if (!*r->preflight && *m->q->preflight && !(*r->mig_profile && *m->q->preflight != '/')) {
        r->preflight = m->q->preflight;
        r->preflight_floor = m->q->preflight_floor;
        r->preflight_s = m->q->preflight_s;
        r->preflight_drains = m->q->preflight_drains;
    }
    if (!*r->preflight)
        r->preflight_s = 0;
    else if (!r->preflight_s)
        r->preflight_s = TUG_PREFLIGHT_S;
}

int tug_core_admit(const struct tug_core *c, const struct tug_core_ask *ask,
                   struct tug_job_req *req, struct tug_err *err)
{
    struct tug_job_req filled = *req;
    struct admission m = {.c = c, .a = *ask, .r = &filled, .err = err};
    nothing_is_null(&filled);
    int rc = find_queue(&m);
    if (!rc)
        filled.queue = m.q->name;
    int (*const steps[])(struct admission *) = {admit_user, admit_account, admit_time, admit_profile, find_nodes,
                                                admit_part, admit_nodes, admit_tasks, admit_gpus,
                                                admit_cpus_and_memory, admit_within};
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !rc; i++)
        rc = steps[i](&m);
    if (!rc)
        rc = check_size(&m);
    if (!rc)
        rc = check_within(&m);
    if (!rc)
        rc = check_cap(&m);
    if (!rc)
        take_preflight(&m);
    free(m.allowed);
    if (!rc)
        *req = filled;
    return rc;
}
