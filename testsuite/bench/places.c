/* places.c - how long it takes to find nodes and GPUs for a gang
 *
 *     places [-n NODES] [-r GANGS] [-w WIDTH] [-m] [-f FAILED] [-l PAIRS] [-v]
 *
 * NODES (4000) x 8 GPUs behind NVLink switches with a NIC each (-m: on a cube mesh, where every set of GPUs differs), leaves of 32
 * nodes, oversubscribed 2:1, below one spine. It is half full of gangs of all sizes that come and go; for each of GANGS (2000) that come
 * it is asked where it would start, which is what is timed: by the median, the 99th of a hundred, and the same for what a start takes,
 * quality included. -w: only gangs of that many whole nodes, in a cluster that a tenth of is taken. -f: so many nodes have failed lately; -l: so
 * many pairs of neighbours are not used together. -v: every GPU is taken by jobs that give way, and for gangs of 2 to 64 whole nodes it is asked
 * who has to. Prints those four, in microseconds; with -v two.
 * Layer: tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/vec.h"
#include "bench.h"

enum { GPUS = BENCH_GPUS, LEAF = 32 };

static struct tug_machine machine;
static uint32_t nodes = 4000, gangs = 2000, width;
static struct tug_vec(double) places, starts;
static struct tug_vec(tug_job_id) running;
static int is_timed, asks_victims;

/* ---- a policy that asks where, and starts */

static int start_it(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    static struct tug_policy_slice at[4096];
    (void) self;
    for (size_t i = 0; i < v->n_waiting; i++) {
        const struct tug_policy_job *j = TUG_POLICY_WAITING(v, i);
        double t = bench_cpu_us(), u, w;
        int rc = host->place(p, j->id, at, j->nodes);
        u = bench_cpu_us();
        rc = rc ? rc : host->start(p, j->id);
        w = bench_cpu_us();
        if (rc || !is_timed)
            continue;
        tug_vec_push(&places, u - t);
        tug_vec_push(&starts, w - u);
    }
    return 0;
}

static const struct tug_policy_ops ops = {.size = sizeof ops, .abi = TUG_POLICY_ABI, .name = "start", .pass = start_it};

static int name_victims(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    static uint64_t who[4096];
    (void) self;
    for (size_t i = 0; i < v->n_waiting; i++) {
        const struct tug_policy_job *j = TUG_POLICY_WAITING(v, i);
        if (j->tier == 0) {
            host->start(p, j->id);
            continue;
        }
        double t = bench_cpu_us();
        int rc = host->victims(p, j->id, who, sizeof who / sizeof *who);
        if (rc < 0)
            bench_die("nobody can give way");
        if (rc > 0) /* else there is room */
            tug_vec_push(&places, bench_cpu_us() - t);
    }
    return 0;
}

static const struct tug_policy_ops victims_ops = {
    .size = sizeof victims_ops, .abi = TUG_POLICY_ABI, .name = "victims", .pass = name_victims};

/* ---- what nodes are inside */

static void set_link(uint32_t a, uint32_t b, uint8_t nvlinks, uint32_t mbs)
{
    enum tug_link_class class = a / 2 == b / 2 ? TUG_LINK_PIX : a / 4 == b / 4 ? TUG_LINK_NODE : TUG_LINK_SYS;
    struct tug_machine_link l = {.class = (uint8_t) class, .nvlinks = nvlinks, .mbs = mbs ? mbs : tug_link_class_mbs(class, 3)};
    machine.link[a][b] = machine.link[b][a] = l;
}

static void make_machine(int mesh)
{
    static const uint8_t twice[][2] = {{0, 3}, {0, 4}, {1, 2}, {1, 5}, {2, 3}, {4, 7}, {5, 6}, {6, 7}},
                         once[][2] = {{0, 1}, {0, 2}, {1, 3}, {2, 6}, {3, 7}, {4, 5}, {4, 6}, {5, 7}};
    machine = (struct tug_machine){.n_gpus = GPUS, .n_nics = GPUS, .n_numa = 2, .nvswitch = (uint8_t) !mesh};
    for (uint32_t i = 0; i < GPUS; i++) {
        machine.gpu[i] = (struct tug_machine_gpu){.model = "gpu", .numa = i / 4, .port_mbs = mesh ? 150000 : 450000};
        machine.nic[i] = (struct tug_machine_nic){.mbs = 50000, .numa = i / 4, .is_ib = 1};
        snprintf(machine.nic[i].name, sizeof machine.nic[i].name, "mlx5_%u", i);
        machine.link[i][i].class = TUG_LINK_SELF;
        for (uint32_t k = 0; k < GPUS; k++) {
            machine.nic_class[i][k] = i == k ? TUG_LINK_PIX : i / 4 == k / 4 ? TUG_LINK_NODE : TUG_LINK_SYS;
            if (k < i)
                set_link(i, k, mesh ? 0 : 18, mesh ? 0 : 450000);
        }
    }
    for (size_t i = 0; i < 8 && mesh; i++) {
        set_link(twice[i][0], twice[i][1], 2, 50000);
        set_link(once[i][0], once[i][1], 1, 25000);
    }
}

/* ---- gangs */

static void come(uint32_t n, uint32_t gpus)
{
    struct tug_job_req r = bench_ask(n, gpus);
    const struct tug_policy_set set = {{{asks_victims ? &victims_ops : &ops, NULL}}, 1};
    struct tug_err err = {0};
    if (asks_victims && !is_timed)
        r.queue = "low";
    r.requeue = 1;
    bench_submit(&r);
    bench_now_ms += 1000;
    if (tug_core_pass(bench_core, bench_now_ms, &set, NULL, &err) < 0)
        bench_die(err.msg);
    bench_drain();
    if (tug_core_job(bench_core, bench_last_id)->state == TUG_JOB_RUNNING)
        tug_vec_push(&running, bench_last_id);
    else
        bench_cancel(bench_last_id);
}

/* Half of them on one node with 1 to 8 GPUs, a quarter on some nodes with 4 each, the others on 2 to 64 whole nodes. */
static void any_comes(void)
{
    uint32_t kind = (uint32_t) tug_rand_below(&bench_rand, 4);
    if (kind < 2)
        come(1, 1 + (uint32_t) tug_rand_below(&bench_rand, GPUS));
    else if (kind == 2)
        come(2u << tug_rand_below(&bench_rand, 3), GPUS / 2);
    else
        come(2u << tug_rand_below(&bench_rand, 6), GPUS);
}

static void one_goes(size_t i)
{
    bench_end(tug_core_job(bench_core, running.at[i]));
    tug_vec_remove(&running, i);
}

static void fill_to(uint32_t percent)
{
    struct tug_core_counts n;
    for (tug_core_count(bench_core, &n); n.gpus_used < (uint64_t) n.gpus * percent / 100; tug_core_count(bench_core, &n))
        any_comes();
    while (n.gpus_used > (uint64_t) n.gpus * percent / 100) {
        one_goes(tug_rand_below(&bench_rand, running.len));
        tug_core_count(bench_core, &n);
    }
}

static void report(double *us, size_t n)
{
    double median = bench_quantile(us, n, 500);
    printf("%.1f %.1f ", median, bench_quantile(us, n, 990));
}

int main(int argc, char **argv)
{
    int mesh = 0;
    struct bench_cluster cluster = {.leaf = LEAF, .machine = &machine, .seed = 42};
    for (int c; (c = getopt(argc, argv, "n:r:w:mf:l:v")) != -1;)
        switch (c) {
        case 'n':
            nodes = (uint32_t) atoi(optarg);
            break;
        case 'r':
            gangs = (uint32_t) atoi(optarg);
            break;
        case 'w':
            width = (uint32_t) atoi(optarg);
            break;
        case 'm':
            mesh = 1;
            break;
        case 'f':
            cluster.failed = (uint32_t) atoi(optarg);
            break;
        case 'l':
            cluster.pairs = (uint32_t) atoi(optarg);
            break;
        case 'v':
            asks_victims = 1;
            break;
        default:
            bench_die("see the comment at the top of places.c");
        }
    make_machine(mesh);
    cluster.nodes = nodes;
    bench_open(&cluster);
    for (uint32_t i = 0; i < gangs; i++) {
        is_timed = 0;
        if (!asks_victims || !i)
            fill_to(asks_victims ? 100 : width ? 10 : 50);
        is_timed = 1;
        if (asks_victims)
            come(2u << tug_rand_below(&bench_rand, 6), GPUS);
        else if (width)
            come(width, GPUS);
        else
            any_comes();
        while (width && running.len && tug_core_job(bench_core, running.at[running.len - 1])->req.nodes == width)
            one_goes(running.len - 1);
    }
    report(places.at, places.len);
    if (!asks_victims)
        report(starts.at, starts.len);
    printf("\n");
    tug_vec_clear(&places);
    tug_vec_clear(&starts);
    tug_vec_clear(&running);
    bench_close();
    return 0;
}
