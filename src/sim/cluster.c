/* cluster.c - what a simulation schedules. Layer: sim. */
#include "sim/cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NODE_MEM_BYTES (1ULL << 40)
/* No simulated node is ever late. */
#define LAUNCH_TIMEOUT_S 1000000

static const struct tug_core_queue only_queue = {
    .name = TUG_SIM_QUEUE, .nodes = "", .is_default = 1, .preemptable = TUG_PREEMPT_REQUEUE};

static void as_simulated(struct tug_sim_cluster *c)
{
    c->core.launch_timeout_s = LAUNCH_TIMEOUT_S;
    c->core.launch_retries = 1;
    c->core.node_bad_launches = 0;
    c->core.failures_kept_ms = 0; /* decisions do not rest on how nodes failed before, as in the simulators we are compared with */
    c->core.kept_ms = 0;
    c->core.quiet = 1;
    for (size_t i = 0; i < c->core.n_nodes; i++)
        c->gpus += c->core.nodes[i].gpus;
}

void tug_sim_cluster_even(struct tug_sim_cluster *c, uint32_t nodes, uint32_t gpus_per_node,
                          uint32_t parts)
{
    uint32_t n = nodes * parts, gpus = gpus_per_node / parts;
    *c = (struct tug_sim_cluster){.parts = parts};
    c->rows = tug_xcalloc(n, sizeof *c->rows);
    /* A CPU for each GPU, as every gang takes one of each at least. */
    for (uint32_t i = 0; i < n; i++)
        c->rows[i] =
            (struct tug_core_node_row){parts > 1 ? tug_xasprintf("n%ug%u", i / parts + 1, i % parts)
                                                 : tug_xasprintf("n%u", i + 1),
                                       gpus, gpus, NODE_MEM_BYTES, "", NULL};
    c->core.nodes = c->rows;
    c->core.n_nodes = n;
    c->queues = tug_xmemdup(&only_queue, sizeof only_queue);
    c->core.queues = c->queues;
    c->core.n_queues = 1;
    c->core.preempt_max = UINT32_MAX;
    c->core.max_requeues = UINT32_MAX; /* its jobs end as the trace says */
    as_simulated(c);
}

void tug_sim_cluster_wire(struct tug_sim_cluster *c, const uint32_t *widths, size_t n)
{
    static const char *const levels[TUG_SIM_LEVELS_MAX] = {"leaf",   "spine",  "core",
                                                           "level4", "level5", "level6"};
    size_t n_domains = 0, below = c->core.n_nodes, from = 0;
    tug_assert(c->parts == 1 && n <= TUG_SIM_LEVELS_MAX && !c->domains);
    for (size_t l = 0, count = below; l < n; l++)
        n_domains += count = (count + widths[l] - 1) / widths[l];
    c->domains = tug_xcalloc(n_domains + 1, sizeof *c->domains);
    c->core.domains = c->domains;
    c->core.n_domains = n_domains;
    n_domains = 0;
    for (size_t l = 0; l < n; l++) {
        size_t count = (below + widths[l] - 1) / widths[l];
        for (size_t i = 0; i < count; i++) {
            size_t first = i * widths[l],
                   last = first + widths[l] < below ? first + widths[l] : below;
            struct tug_core_domain *d = &c->domains[n_domains + i];
            *d = (struct tug_core_domain){.name = tug_xasprintf("%s%zu", levels[l], i + 1),
                                          .level = levels[l]};
            if (l == 0)
                d->nodes = tug_xasprintf("n[%zu-%zu]", first + 1, last);
            for (size_t k = first; l > 0 && k < last; k++)
                c->domains[from + k].parent = d->name;
        }
        from = n_domains;
        n_domains += count;
        below = count;
    }
}

void tug_sim_cluster_furnish(struct tug_sim_cluster *c, const struct tug_machine *m)
{
    tug_assert(c->parts == 1 && c->rows);
    for (size_t i = 0; i < c->core.n_nodes; i++)
        c->rows[i].machine = m;
}

size_t tug_sim_cluster_slices(const struct tug_sim_cluster *c, uint32_t node, struct tug_core_mig *out)
{
    const struct tug_sheet *sheet = c->is_configured ? c->from.sheets[node] : NULL;
    const struct tug_mig *mig = sheet ? &sheet->mig : c->mig;
    uint32_t gpus = c->core.nodes[node].gpus;
    size_t n = 0;
    for (uint32_t i = 0; mig && c->parts == 1 && i < mig->n && gpus + n < TUG_GPUS_MAX; i++) {
        const struct tug_mig_slice *s = &mig->at[i];
        if (s->gpu >= gpus)
            continue;
        out[n] = (struct tug_core_mig){.profile = s->profile, .gpu = s->gpu, .device = (uint8_t) (gpus + n)};
        n++;
    }
    return n;
}

/* A simulated node has all that the data sheet says. */
static void use_sheets(struct tug_sim_cluster *c)
{
    for (size_t i = 0; i < c->core.n_nodes; i++) {
        const struct tug_sheet *s = c->from.sheets[i];
        struct tug_core_node_row *n = &c->from.nodes[i];
        if (s && !n->cpus)
            n->cpus = s->cpus;
        if (s && !n->mem_bytes)
            n->mem_bytes = s->mem_bytes;
    }
}

int tug_sim_cluster_read(struct tug_sim_cluster *c, const char *path, struct tug_err *err)
{
    *c = (struct tug_sim_cluster){.parts = 1, .is_configured = 1};
    int rc = tug_coreconf_read(path, &c->config, err);
    if (rc)
        return rc;
    tug_coreconf_make(&c->config, &c->from);
    use_sheets(c);
    c->core = c->from.core;
    for (size_t i = 0; i < c->core.n_nodes; i++)
        if (!c->core.nodes[i].cpus)
            return tug_fail(err, -EINVAL,
                            "%s: node %s has no cpus (nothing says how many it has); a simulated "
                            "node has what the configuration says",
                            path, c->core.nodes[i].name);
    c->queues = tug_xmemdup(c->core.queues, c->core.n_queues * sizeof *c->queues);
    for (size_t i = 0; i < c->core.n_queues; i++) {
        c->queues[i].preflight = ""; /* nodes of a simulation are as fast as they say */
        c->queues[i].preflight_s = 0;
    }
    c->core.queues = c->queues;
    as_simulated(c);
    return 0;
}

void tug_sim_cluster_use_clock(struct tug_sim_cluster *c, int64_t ticks_per_s)
{
    int64_t times = ticks_per_s / 1000;
    int64_t half_life_ms = c->core.usage_half_life_ms;
    c->core.usage_half_life_ms = (half_life_ms ? half_life_ms : 7 * INT64_C(86400000)) * times;
    for (size_t i = 0; i < c->core.n_queues; i++) {
        c->queues[i].preempt_min_run_s *= (uint32_t) times;
        c->queues[i].preempt_notice_s *= (uint32_t) times;
    }
}

void tug_sim_cluster_clear(struct tug_sim_cluster *c)
{
    for (size_t i = 0; c->rows && i < c->core.n_nodes; i++)
        free((char *) (uintptr_t) c->rows[i].name);
    for (size_t i = 0; c->domains && i < c->core.n_domains; i++) {
        free((char *) (uintptr_t) c->domains[i].name);
        free((char *) (uintptr_t) c->domains[i].nodes);
    }
    free(c->domains);
    free(c->rows);
    free(c->queues);
    tug_coreconf_clear(&c->from);
    tug_config_clear(&c->config);
    *c = (struct tug_sim_cluster){0};
}
