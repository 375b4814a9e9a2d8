/* within.c - how long it takes to find a place for a gang that asks something of the fabric; one JSON line
 *
 *     within [-n NODES] [-l NODES-A-LEAF] [-r RUNS] [-s SEED]
 *
 * Leaves of 20 nodes, spines of 10 leaves; one leaf of ten is empty, in the others jobs of one to 8 GPUs are on two of
 * three nodes. Times are those of the processor, so that others on the machine do not count. Each kind of demand is put for
 * gangs of 2 to 16 nodes that were never tried before, whether they find a place or not. Layer: tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/state.h"

enum { GPUS = 8, RUNS_MAX = 20000 };

static struct tug_core *core;
static struct tug_rand rnd;
static uint32_t nodes = 4000, leaf = 20;
static int runs = 4000;
static double us[RUNS_MAX];
static tug_job_id last_id;

static double clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec * 1e-3;
}

static void apply(struct tug_event ev)
{
    struct tug_err err = {0};
    struct tug_action a;
    if (tug_core_apply(core, 1000, &ev, &err)) {
        fprintf(stderr, "within: %s\n", err.msg);
        exit(1);
    }
    while (tug_core_next_action(core, &a))
        continue;
}

static struct tug_job_req ask(uint32_t n, uint32_t gpus)
{
    return (struct tug_job_req){.uid = 1,
                                .user = "ann",
                                .queue = "all",
                                .account = "",
                                .name = "train",
                                .batch = 1,
                                .nodes = n,
                                .ntasks = n,
                                .cpus_per_node = 4,
                                .gpus_per_node = gpus,
                                .gpu_model = "",
                                .nodelist = "",
                                .exclude = ""};
}

static void cluster(void)
{
    const struct tug_core_queue queue = {.name = "all", .nodes = "", .is_default = 1};
    static const struct tug_core_level levels[] = {{"leaf", 50000000000, 2, 0}, {"spine", 0, 2, 0}};
    uint32_t leaves = (nodes + leaf - 1) / leaf, spines = (leaves + 9) / 10;
    struct tug_core_node_row *rows = tug_xcalloc(nodes, sizeof *rows);
    struct tug_core_domain *d = tug_xcalloc(leaves + spines, sizeof *d);
    struct tug_err err = {0};
    for (uint32_t i = 0; i < nodes; i++)
        rows[i] = (struct tug_core_node_row){tug_xasprintf("n%u", i), 64, GPUS, 1ULL << 40, "", NULL};
    for (uint32_t i = 0; i < spines; i++)
        d[i] = (struct tug_core_domain){tug_xasprintf("s%u", i), "spine", "", ""};
    for (uint32_t i = 0; i < leaves; i++)
        d[spines + i] = (struct tug_core_domain){
            tug_xasprintf("l%u", i), "leaf", d[i / 10].name,
            tug_xasprintf("n[%u-%u]", i * leaf,
                          i * leaf + leaf <= nodes ? i * leaf + leaf - 1 : nodes - 1)};
    const struct tug_core_conf conf = {.launch_timeout_s = 3600,
                                       .launch_retries = 3,
                                       .queues = &queue,
                                       .n_queues = 1,
                                       .nodes = rows,
                                       .n_nodes = nodes,
                                       .domains = d,
                                       .n_domains = leaves + spines,
                                       .levels = levels,
                                       .n_levels = 2,
                                       .placement = TUG_PLACEMENT_TOPOLOGY,
                                       .quiet = 1};
    core = tug_core_new(&conf, &err);
    tug_core_restored(core, 1000);
    for (uint32_t i = 0; i < nodes; i++)
        apply((struct tug_event){
            .type = TUG_EV_NODE_UP, .node = i, .inventory = {.cpus = 64, .gpus = GPUS, .mem_bytes = 1ULL << 40, .gpu_model = ""}});
    for (uint32_t i = 0; i < nodes; i++) {
        struct tug_job_req r = ask(1, 1 + (uint32_t) tug_rand_below(&rnd, GPUS));
        r.nodelist = rows[i].name;
        if (i / leaf % 10 && tug_rand_below(&rnd, 3))
            apply((struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = ++last_id, .req = &r});
    }
    tug_core_pass(core, 1000, NULL, NULL, &err);
    struct tug_action a;
    while (tug_core_next_action(core, &a))
        continue;
}

static void nothing(struct tug_job_req *r)
{
    (void) r;
}
static void required(struct tug_job_req *r)
{
    r->topology = "leaf";
    r->topology_required = 1;
}
static void segments(struct tug_job_req *r)
{
    r->topology = "leaf";
    r->segment = 2;
    r->nodes += r->nodes % 2;
    r->ntasks = r->nodes;
}
static void switches(struct tug_job_req *r)
{
    required(r);
    r->topology_domains = 2;
}
static void alone(struct tug_job_req *r)
{
    r->exclusive_level = "leaf";
}
static void spread(struct tug_job_req *r)
{
    r->topology = "leaf";
    r->spread = 1;
}
static void quality(struct tug_job_req *r)
{
    r->quality_milli = 900;
    r->quality_wait_s = UINT32_MAX;
}

static const struct {
    const char *name;
    void (*set)(struct tug_job_req *r);
} kinds[] = {{"none", nothing},   {"topology", required}, {"segment", segments}, {"switches", switches},
             {"exclusive", alone}, {"spread", spread},     {"quality", quality}};

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void measure(size_t kind)
{
    int found = 0;
    for (int i = 0; i < runs; i++) {
        struct tug_job_req r = ask(2 + (uint32_t) tug_rand_below(&rnd, 15),
                                   1 + (uint32_t) tug_rand_below(&rnd, GPUS));
        kinds[kind].set(&r);
        apply((struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = ++last_id, .req = &r});
        struct tug_shape *s = tug_entry_of(tug_core_job(core, last_id))->shape;
        struct tug_family *f = s->family;
        s->failed_at = 0;
        s->family = NULL; /* what others found does not help */
        double t = clock_us();
        found += tug_place_find(core, s) == 0;
        us[i] = clock_us() - t;
        s->family = f;
        apply((struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = last_id});
        apply((struct tug_event){.type = TUG_EV_TICK});
    }
    qsort(us, (size_t) runs, sizeof *us, by_value);
    printf("%s\"within_%s_p50_us\":%.1f,\"within_%s_p99_us\":%.1f,\"within_%s_found\":%d",
           kind ? "," : "{", kinds[kind].name, us[runs / 2], kinds[kind].name, us[runs * 99 / 100],
           kinds[kind].name, found);
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    for (int o; (o = getopt(argc, argv, "n:l:r:s:")) != -1;) {
        if (o == 'n')
            nodes = (uint32_t) strtoul(optarg, NULL, 10);
        else if (o == 'l')
            leaf = (uint32_t) strtoul(optarg, NULL, 10);
        else if (o == 'r')
            runs = atoi(optarg) < RUNS_MAX ? atoi(optarg) : RUNS_MAX;
        else if (o == 's')
            seed = strtoull(optarg, NULL, 10);
        else
            return 2;
    }
    rnd = tug_rand_seed(seed);
    cluster();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        measure(i);
    printf(",\"nodes\":%u,\"leaves\":%u,\"runs\":%d}\n", nodes, (nodes + leaf - 1) / leaf, runs);
    tug_core_free(core);
    return 0;
}
