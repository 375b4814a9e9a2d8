/* within.c - how long it takes to find a place for a gang that asks something of the fabric; one JSON line
 *
 *     within [-n NODES] [-l NODES-A-LEAF] [-r RUNS] [-s SEED] [KIND...]
 *
 * Leaves of 20 nodes, spines of 10 leaves; one leaf of ten is empty, in the others jobs of one to 8 GPUs are on two of
 * three nodes. Times are those of the processor, so that others on the machine do not count. Each kind of demand is put for
 * gangs of 2 to 16 nodes that were never tried before, whether they find a place or not. Layer: tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "core/state.h"

enum { GPUS = BENCH_GPUS, RUNS_MAX = 20000 };

static uint32_t nodes = 4000, leaf = 20;
static int runs = 4000;
static double us[RUNS_MAX];

static struct tug_job_req ask(uint32_t n, uint32_t gpus)
{
    struct tug_job_req r = bench_ask(n, gpus);
    r.cpus_per_node = 4;
    return r;
}

static void fill(void)
{
    struct tug_err err = {0};
    char name[16];
    for (uint32_t i = 0; i < nodes; i++) {
        struct tug_job_req r = ask(1, 1 + (uint32_t) tug_rand_below(&bench_rand, GPUS));
        snprintf(name, sizeof name, "n%u", i);
        r.nodelist = name;
        if (i / leaf % 10 && tug_rand_below(&bench_rand, 3))
            bench_submit(&r);
    }
    if (tug_core_pass(bench_core, bench_now_ms, NULL, NULL, &err) < 0)
        bench_die(err.msg);
    bench_drain();
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

static void measure(size_t kind)
{
    static int n;
    int found = 0;
    for (int i = 0; i < runs; i++) {
        struct tug_job_req r = ask(2 + (uint32_t) tug_rand_below(&bench_rand, 15),
                                   1 + (uint32_t) tug_rand_below(&bench_rand, GPUS));
        kinds[kind].set(&r);
        bench_submit(&r);
        struct tug_shape *s = tug_entry_of(tug_core_job(bench_core, bench_last_id))->shape;
        struct tug_family *f = s->family;
        s->failed_at = 0;
        s->family = NULL; /* what others found does not help */
        double t = bench_cpu_us();
        found += tug_place_find(bench_core, s) == 0;
        us[i] = bench_cpu_us() - t;
        s->family = f;
        bench_cancel(bench_last_id);
        bench_apply((struct tug_event){.type = TUG_EV_TICK});
    }
    double median = bench_quantile(us, (size_t) runs, 500);
    printf("%s\"within_%s_p50_us\":%.1f,\"within_%s_p99_us\":%.1f,\"within_%s_found\":%d",
           n++ ? "," : "{", kinds[kind].name, median, kinds[kind].name, bench_quantile(us, (size_t) runs, 990),
           kinds[kind].name, found);
}

static int is_wanted(const char *kind, char **only)
{
    for (char **k = only; *k; k++)
        if (!strcmp(*k, kind))
            return 1;
    return !*only;
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
    const struct bench_cluster cluster = {.nodes = nodes, .leaf = leaf, .spine = 10, .spine_over = 2, .seed = seed, .quiet = 1};
    bench_open(&cluster);
    fill();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (is_wanted(kinds[i].name, argv + optind))
            measure(i);
    printf(",\"nodes\":%u,\"leaves\":%u,\"runs\":%d}\n", nodes, (nodes + leaf - 1) / leaf, runs);
    bench_close();
    return 0;
}
