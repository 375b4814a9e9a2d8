/* places.c - how long it takes to find nodes and GPUs for a gang
 *
 *     places [-n NODES] [-r GANGS] [-w WIDTH] [-m]
 *
 * NODES (4000) x 8 GPUs behind NVLink switches with a NIC each (-m: on a cube mesh, where every set of GPUs differs), leaves of 32
 * nodes, oversubscribed 2:1, below one spine. It is half full of gangs of all sizes that come and go; for each of GANGS (2000) that come
 * it is asked where it would start, which is what is timed: by the median, the 99th of a hundred, and the same for what a start takes,
 * quality included. -w: only gangs of that many whole nodes, in a cluster that a tenth of is taken. Prints those four, in microseconds.
 * Layer: tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/vec.h"
#include "core/core.h"

enum { GPUS = 8, LEAF = 32 };

static struct tug_core *core;
static struct tug_rand rnd;
static struct tug_machine machine;
static int64_t now_ms = 1000000000000;
static tug_job_id last_id;
static uint32_t nodes = 4000, gangs = 2000, width;
static struct tug_vec(double) places, starts;
static struct tug_vec(tug_job_id) running;
static int is_timed;

/* Of this thread on a CPU: whoever else runs on the machine does not count. */
static double clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec * 1e-3;
}

static void die(const char *what)
{
    fprintf(stderr, "places: %s\n", what);
    exit(1);
}

static void apply(struct tug_event ev)
{
    struct tug_err err = {0};
    if (tug_core_apply(core, now_ms, &ev, &err))
        die(err.msg);
}

/* Nodes do at once what they are told. */
static void drain(void)
{
    struct tug_action a;
    while (tug_core_next_action(core, &a))
        if (a.type == TUG_ACT_LAUNCH)
            apply((struct tug_event){.type = TUG_EV_STEP_READY, .job = a.job, .attempt = a.attempt, .step = a.step, .node = a.node});
}

/* ---- a policy that asks where, and starts */

static int start_it(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    static struct tug_policy_slice at[4096];
    (void) self;
    for (size_t i = 0; i < v->n_waiting; i++) {
        const struct tug_policy_job *j = TUG_POLICY_WAITING(v, i);
        double t = clock_us(), u, w;
        int rc = host->place(p, j->id, at, j->nodes);
        u = clock_us();
        rc = rc ? rc : host->start(p, j->id);
        w = clock_us();
        if (rc || !is_timed)
            continue;
        tug_vec_push(&places, u - t);
        tug_vec_push(&starts, w - u);
    }
    return 0;
}

static const struct tug_policy_ops ops = {.size = sizeof ops, .abi = TUG_POLICY_ABI, .name = "start", .pass = start_it};

/* ---- the cluster */

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

static void make_cluster(void)
{
    const struct tug_core_queue queue = {.name = "all", .nodes = "", .is_default = 1};
    const struct tug_core_level levels[] = {{"leaf", 50000000000, 2, 0}};
    uint32_t n_leaves = (nodes + LEAF - 1) / LEAF;
    struct tug_core_node_row *rows = tug_xcalloc(nodes, sizeof *rows);
    struct tug_core_domain *domains = tug_xcalloc(n_leaves + 1, sizeof *domains);
    struct tug_err err = {0};
    for (uint32_t i = 0; i < nodes; i++)
        rows[i] = (struct tug_core_node_row){tug_xasprintf("n%u", i), 64, GPUS, 1ULL << 40, "", NULL};
    domains[0] = (struct tug_core_domain){"spine", "spine", "", ""};
    for (uint32_t i = 0; i < n_leaves; i++)
        domains[i + 1] = (struct tug_core_domain){tug_xasprintf("leaf%u", i), "leaf", "spine",
                                                  tug_xasprintf("n[%u-%u]", i * LEAF,
                                                                (i + 1) * LEAF < nodes ? (i + 1) * LEAF - 1 : nodes - 1)};
    const struct tug_core_conf conf = {.launch_timeout_s = 3600,
                                       .launch_retries = 3,
                                       .kept_ms = 1,
                                       .queues = &queue,
                                       .n_queues = 1,
                                       .nodes = rows,
                                       .n_nodes = nodes,
                                       .domains = domains,
                                       .n_domains = n_leaves + 1,
                                       .levels = levels,
                                       .n_levels = 1,
                                       .placement = TUG_PLACEMENT_TOPOLOGY,
                                       .seed = 1};
    core = tug_core_new(&conf, &err);
    if (!core)
        die(err.msg);
    tug_core_restored(core, now_ms);
    for (uint32_t i = 0; i < nodes; i++)
        apply((struct tug_event){.type = TUG_EV_NODE_UP,
                                 .node = i,
                                 .inventory = {.cpus = 64, .gpus = GPUS, .mem_bytes = 1ULL << 40, .machine = &machine}});
    drain();
    for (uint32_t i = 0; i < nodes; i++)
        free((char *) (uintptr_t) rows[i].name);
    for (uint32_t i = 1; i <= n_leaves; i++) {
        free((char *) (uintptr_t) domains[i].name);
        free((char *) (uintptr_t) domains[i].nodes);
    }
    free(rows);
    free(domains);
}

/* ---- gangs */

static void come(uint32_t n, uint32_t gpus)
{
    struct tug_job_req r = {.uid = 1000,
                            .user = "ann",
                            .queue = "all",
                            .account = "",
                            .name = "train",
                            .batch = 1,
                            .nodes = n,
                            .ntasks = n,
                            .cpus_per_node = gpus * 4,
                            .gpus_per_node = gpus,
                            .gpu_model = "",
                            .nodelist = "",
                            .exclude = "",
                            .topology = "",
                            .time_limit_s = 3600};
    const struct tug_policy_set set = {{{&ops, NULL}}, 1};
    struct tug_err err = {0};
    apply((struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = ++last_id, .req = &r});
    now_ms += 1000;
    if (tug_core_pass(core, now_ms, &set, NULL, &err) < 0)
        die(err.msg);
    drain();
    const struct tug_job *j = tug_core_job(core, last_id);
    if (j->state == TUG_JOB_RUNNING)
        tug_vec_push(&running, last_id);
    else
        apply((struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = last_id, .text = ""});
    drain();
}

/* Half of them on one node with 1 to 8 GPUs, a quarter on some nodes with 4 each, the others on 2 to 64 whole nodes. */
static void any_comes(void)
{
    uint32_t kind = (uint32_t) tug_rand_below(&rnd, 4);
    if (kind < 2)
        come(1, 1 + (uint32_t) tug_rand_below(&rnd, GPUS));
    else if (kind == 2)
        come(2u << tug_rand_below(&rnd, 3), GPUS / 2);
    else
        come(2u << tug_rand_below(&rnd, 6), GPUS);
}

static void one_goes(size_t i)
{
    const struct tug_exit exit = {0};
    const struct tug_job *j = tug_core_job(core, running.at[i]);
    apply((struct tug_event){
        .type = TUG_EV_STEP_DONE, .job = j->id, .attempt = j->attempt, .node = j->slices[0].node, .exits = &exit, .n_exits = 1});
    tug_vec_remove(&running, i);
    drain();
}

static void fill_to(uint32_t percent)
{
    struct tug_core_counts n;
    for (tug_core_count(core, &n); n.gpus_used < (uint64_t) n.gpus * percent / 100; tug_core_count(core, &n))
        any_comes();
    while (n.gpus_used > (uint64_t) n.gpus * percent / 100) {
        one_goes(tug_rand_below(&rnd, running.len));
        tug_core_count(core, &n);
    }
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(double *us, size_t n)
{
    if (!n)
        die("no gang was placed");
    qsort(us, n, sizeof *us, compare);
    printf("%.1f %.1f ", us[n / 2], us[n * 99 / 100]);
}

int main(int argc, char **argv)
{
    int mesh = 0;
    for (int c; (c = getopt(argc, argv, "n:r:w:m")) != -1;)
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
        default:
            die("see the comment at the top of places.c");
        }
    rnd = tug_rand_seed(42);
    make_machine(mesh);
    make_cluster();
    for (uint32_t i = 0; i < gangs; i++) {
        is_timed = 0;
        fill_to(width ? 10 : 50);
        is_timed = 1;
        if (width)
            come(width, GPUS);
        else
            any_comes();
        while (width && running.len && tug_core_job(core, running.at[running.len - 1])->req.nodes == width)
            one_goes(running.len - 1);
    }
    report(places.at, places.len);
    report(starts.at, starts.len);
    printf("\n");
    tug_vec_clear(&places);
    tug_vec_clear(&starts);
    tug_vec_clear(&running);
    tug_core_free(core);
    return 0;
}
