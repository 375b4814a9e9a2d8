/* bench.c - a core with a cluster, jobs that come and go, and clocks: what the benches of the core share. Layer: tests. */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

struct tug_core *bench_core;
struct tug_rand bench_rand;
int64_t bench_now_ms = 1000000000000;
tug_job_id bench_last_id;

void bench_die(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

double bench_cpu_us(void)
{
    return seconds(CLOCK_THREAD_CPUTIME_ID) * 1e6;
}

double bench_wall_ms(void)
{
    return seconds(CLOCK_MONOTONIC) * 1e3;
}

/* ---- events */

void bench_apply(struct tug_event ev)
{
    struct tug_err err = {0};
    if (tug_core_apply(bench_core, bench_now_ms, &ev, &err))
        bench_die(err.msg);
}

void bench_drain(void)
{
    struct tug_action a;
    while (tug_core_next_action(bench_core, &a))
        if (a.type == TUG_ACT_LAUNCH)
            bench_apply((struct tug_event){
                .type = TUG_EV_STEP_READY, .job = a.job, .attempt = a.attempt, .step = a.step, .node = a.node});
}

struct tug_job_req bench_ask(uint32_t nodes, uint32_t gpus)
{
    return (struct tug_job_req){.uid = 1000,
                                .user = "ann",
                                .queue = "all",
                                .account = "",
                                .name = "train",
                                .batch = 1,
                                .nodes = nodes,
                                .ntasks = nodes,
                                .cpus_per_node = gpus * 4,
                                .gpus_per_node = gpus,
                                .gpu_model = "",
                                .nodelist = "",
                                .exclude = "",
                                .topology = "",
                                .exclusive_level = "",
                                .time_limit_s = 3600};
}

void bench_submit(const struct tug_job_req *r)
{
    bench_apply((struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = ++bench_last_id, .req = r});
    bench_drain();
}

void bench_cancel(tug_job_id id)
{
    bench_apply((struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = id, .text = ""});
    bench_drain();
}

void bench_end(const struct tug_job *j)
{
    const struct tug_exit exit = {0};
    bench_apply((struct tug_event){
        .type = TUG_EV_STEP_DONE, .job = j->id, .attempt = j->attempt, .node = j->slices[0].node, .exits = &exit, .n_exits = 1});
    bench_drain();
}

/* ---- the cluster */

static char *range(uint32_t i, uint32_t width, uint32_t all)
{
    uint32_t end = (i + 1) * width < all ? (i + 1) * width : all;
    return tug_xasprintf("n[%u-%u]", i * width, end - 1);
}

/* Spines first; n of both. */
static struct tug_core_domain *wire(const struct bench_cluster *k, uint32_t *n)
{
    uint32_t leaves = k->leaf ? (k->nodes + k->leaf - 1) / k->leaf : 0,
             below = k->spine ? k->spine : leaves, spines = below ? (leaves + below - 1) / below : 0;
    struct tug_core_domain *d = tug_xcalloc(leaves + spines + 1, sizeof *d);
    for (uint32_t i = 0; i < spines; i++)
        d[i] = (struct tug_core_domain){tug_xasprintf("spine%u", i), "spine", "", tug_xstrdup("")};
    for (uint32_t i = 0; i < leaves; i++)
        d[spines + i] = (struct tug_core_domain){tug_xasprintf("leaf%u", i), "leaf", d[i / below].name, range(i, k->leaf, k->nodes)};
    *n = leaves + spines;
    return d;
}

static void make_core(const struct bench_cluster *k, const struct tug_core_node_row *rows)
{
    const struct tug_core_queue queues[] = {{.name = "all", .nodes = "", .is_default = 1, .tier = 1},
                                            {.name = "low", .nodes = "", .preemptable = TUG_PREEMPT_REQUEUE}};
    const struct tug_core_level levels[] = {{"leaf", 50000000000, 2, 0}, {"spine", 0, k->spine_over > 1 ? k->spine_over : 1, 0}};
    struct tug_err err = {0};
    uint32_t n;
    struct tug_core_domain *domains = wire(k, &n);
    const struct tug_core_conf conf = {.launch_timeout_s = 3600,
                                       .launch_retries = 3,
                                       .kept_ms = 1,
                                       .failures_kept_ms = 86400000,
                                       .link_failures = 2,
                                       .link_period_s = 86400,
                                       .preemption = TUG_PREEMPTION_TIER,
                                       .queues = queues,
                                       .n_queues = 2,
                                       .nodes = rows,
                                       .n_nodes = k->nodes,
                                       .domains = domains,
                                       .n_domains = n,
                                       .levels = levels,
                                       .n_levels = k->leaf ? 2 : 0,
                                       .placement = k->leaf ? TUG_PLACEMENT_TOPOLOGY : TUG_PLACEMENT_FIRST_FIT,
                                       .quiet = k->quiet,
                                       .seed = 1};
    bench_core = tug_core_new(&conf, &err);
    if (!bench_core)
        bench_die(err.msg);
    for (uint32_t i = 0; i < n; i++) {
        free((char *) (uintptr_t) domains[i].name);
        free((char *) (uintptr_t) domains[i].nodes);
    }
    free(domains);
}

static void put_past(const char *name, const struct tug_core_node_past *past)
{
    struct tug_err err = {0};
    if (tug_core_restore_node(bench_core, name, past, &err))
        bench_die(err.msg);
}

/* What is remembered of nodes, and of links in a leaf. */
static void remember(const struct bench_cluster *k, const struct tug_core_node_row *rows)
{
    const struct tug_core_failure failure = {.what = TUG_FAILURE_LOST, .at_ms = bench_now_ms};
    uint32_t leaf = k->leaf ? k->leaf : k->nodes;
    for (uint32_t i = 0; i < k->failed; i++)
        put_past(rows[tug_rand_below(&bench_rand, k->nodes)].name,
                 &(struct tug_core_node_past){.failures = &failure, .n_failures = 1});
    for (uint32_t i = 0; i < k->pairs; i++) {
        uint32_t a = (uint32_t) tug_rand_below(&bench_rand, k->nodes), b = a % leaf ? a - 1 : a + 1;
        const struct tug_core_link_past hits[] = {{rows[b].name, {bench_now_ms, 1}}, {rows[b].name, {bench_now_ms, 2}}};
        put_past(rows[a].name, &(struct tug_core_node_past){.links = hits, .n_links = 2});
    }
}

void bench_open(const struct bench_cluster *k)
{
    struct tug_core_node_row *rows = tug_xcalloc(k->nodes, sizeof *rows);
    for (uint32_t i = 0; i < k->nodes; i++)
        rows[i] = (struct tug_core_node_row){tug_xasprintf("n%u", i), 64, BENCH_GPUS, 1ULL << 40, "", NULL};
    bench_close();
    bench_rand = tug_rand_seed(k->seed);
    bench_last_id = 0;
    make_core(k, rows);
    remember(k, rows);
    tug_core_restored(bench_core, bench_now_ms);
    for (uint32_t i = 0; i < k->nodes; i++)
        bench_apply((struct tug_event){.type = TUG_EV_NODE_UP,
                                       .node = i,
                                       .inventory = {.cpus = 64,
                                                     .gpus = BENCH_GPUS,
                                                     .mem_bytes = 1ULL << 40,
                                                     .gpu_model = "",
                                                     .machine = k->machine}});
    bench_drain();
    for (uint32_t i = 0; i < k->nodes; i++)
        free((char *) (uintptr_t) rows[i].name);
    free(rows);
}

void bench_close(void)
{
    tug_core_free(bench_core);
    bench_core = NULL;
}

/* ---- figures */

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double bench_quantile(double *values, size_t n, unsigned milli)
{
    if (!n)
        bench_die("nothing was measured");
    qsort(values, n, sizeof *values, compare);
    return values[n * milli / 1000 < n ? n * milli / 1000 : n - 1];
}
