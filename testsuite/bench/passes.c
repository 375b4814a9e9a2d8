/* passes.c - how long a scheduler pass takes; one JSON line a measure
 *
 *     passes MEASURE [-n NODES] [-w WAITING] [-p POLICY] [-r RUNS] [-g GANGS] [-P PLUGIN-DIR] [-V]
 *
 *     full          every node is taken, and every job that waits is considered
 *     incremental   one job has ended since the pass before
 *     fill          the first pass on an empty cluster
 *     bytes         of memory in the core for each job that waits
 *
 * -g: so many of three jobs are gangs (2). -V: only the values, one after the other, then the
 * number of running jobs. The core and the .so that the daemon uses, without a daemon. Gangs of 1
 * to 64 nodes and jobs of 1 to 8 GPUs, for 10 minutes to a day, and all the explanations that users
 * would read. Layer: tests.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rand.h"
#include "core/core.h"
#include "host/plugload.h"

enum { GPUS = 8, RUNS_MAX = 999 };

static struct tug_core *core;
static struct tug_rand rnd;
static struct tug_policy_set set;
static int64_t now_ms = 1000000000000;
static tug_job_id last_id;
static double figures[RUNS_MAX];
static uint32_t nodes = 1000, waiting = 10000, gangs = 2;
static int runs = 11, only_values;
static const char *policy = "easy", *plugin_dir = "plugins";

static double clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static void die(const char *what)
{
    fprintf(stderr, "passes: %s\n", what);
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
            apply((struct tug_event){.type = TUG_EV_STEP_READY,
                                     .job = a.job,
                                     .attempt = a.attempt,
                                     .step = a.step,
                                     .node = a.node});
}

/* A function of its own, as callgrind counts what it does by its name. */
__attribute__((noinline)) static double measured_pass(const struct tug_policy_set *with)
{
    struct tug_err err = {0};
    struct tug_pass_stats stats;
    now_ms += 1000;
    double t = clock_s();
    if (tug_core_pass(core, now_ms, with, &stats, &err) < 0)
        die(err.msg);
    return (clock_s() - t) * 1000;
}

static double pass_ms(const struct tug_policy_set *with)
{
    double ms = measured_pass(with);
    drain();
    return ms;
}

/* Two of three are gangs of whole nodes. Times are spread evenly over their logarithms, in minutes,
 * as users ask. */
static void submit(void)
{
    uint32_t gang = tug_rand_below(&rnd, 3) < gangs, octave = (uint32_t) tug_rand_below(&rnd, 7);
    uint32_t most = nodes < 64 ? nodes : 64;
    uint32_t n =
        gang ? (1u << octave) - (uint32_t) tug_rand_below(&rnd, (1u << octave) / 2 + 1) : 1;
    uint32_t minutes = 10u << tug_rand_below(&rnd, 7);
    minutes += (uint32_t) tug_rand_below(&rnd, minutes);
    struct tug_job_req r = {.uid = 1000,
                            .user = "ann",
                            .queue = "all",
                            .account = "",
                            .name = "train",
                            .batch = 1,
                            .nodes = n < most ? n : most,
                            .cpus_per_node = 1,
                            .gpus_per_node =
                                gang ? GPUS : 1 + (uint32_t) tug_rand_below(&rnd, GPUS),
                            .gpu_model = "",
                            .nodelist = "",
                            .exclude = "",
                            .time_limit_s = minutes * 60};
    r.cpus_per_node = r.gpus_per_node * 4;
    r.ntasks = r.nodes;
    apply((struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = ++last_id, .req = &r});
    drain();
}

static void cluster(void)
{
    const struct tug_core_queue queue = {.name = "all", .nodes = "", .is_default = 1};
    struct tug_core_node_row *rows = tug_xcalloc(nodes, sizeof *rows);
    struct tug_err err = {0};
    for (uint32_t i = 0; i < nodes; i++)
        rows[i] = (struct tug_core_node_row){tug_xasprintf("n%u", i), 64, GPUS, 1ULL << 40, "", NULL};
    const struct tug_core_conf conf = {.launch_timeout_s = 3600,
                                       .launch_retries = 3,
                                       .kept_ms = 1,
                                       .queues = &queue,
                                       .n_queues = 1,
                                       .nodes = rows,
                                       .n_nodes = nodes,
                                       .seed = 1};
    tug_core_free(core);
    core = tug_core_new(&conf, &err);
    if (!core)
        die(err.msg);
    tug_core_restored(core, now_ms);
    for (uint32_t i = 0; i < nodes; i++)
        apply((struct tug_event){
            .type = TUG_EV_NODE_UP, .node = i, .inventory = {64, GPUS, 1ULL << 40, ""}});
    drain();
    rnd = tug_rand_seed(42);
    last_id = 0;
    for (uint32_t i = 0; i < nodes; i++)
        free((char *) (uintptr_t) rows[i].name);
    free(rows);
}

static int is_full(void)
{
    struct tug_core_counts n;
    tug_core_count(core, &n);
    return n.gpus_used == n.gpus;
}

static void submit_all(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        submit();
}

/* Running jobs have run for a while, so that they end one after the other. */
static void fill(void)
{
    static const struct tug_plugload_param overtake = {"overtake", "yes"};
    struct tug_plugload *fifo = NULL;
    struct tug_err err = {0};
    if (tug_plugload_open("fifo", &plugin_dir, 1, &overtake, 1, &fifo, &err))
        die(err.msg);
    const struct tug_policy_set first = {{{tug_plugload_ops(fifo), tug_plugload_self(fifo)}}, 1};
    for (int i = 0; i < 10000 && !is_full(); i++) {
        submit_all(nodes / 10 + 1);
        if (tug_core_pass(core, now_ms, &first, NULL, &err) < 0)
            die(err.msg);
        drain();
        now_ms += 1000;
    }
    tug_plugload_close(fifo);
    if (!is_full())
        die("the cluster does not fill up");
    for (tug_job_id id = 1; id <= last_id; id++) {
        const struct tug_job *j = tug_core_job(core, id);
        if (j && j->state == TUG_JOB_PENDING)
            apply((struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = id, .text = ""});
    }
    drain();
}

static void end_job(const struct tug_job *j)
{
    const struct tug_exit exit = {0};
    apply((struct tug_event){.type = TUG_EV_STEP_DONE,
                             .job = j->id,
                             .attempt = j->attempt,
                             .node = j->slices[0].node,
                             .exits = &exit,
                             .n_exits = 1});
    drain();
}

static const struct tug_job *some_running(void)
{
    for (;;) {
        const struct tug_job *j = tug_core_job(core, 1 + tug_rand_below(&rnd, last_id));
        if (j && j->state == TUG_JOB_RUNNING)
            return j;
    }
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(const char *measure, const char *unit, int n)
{
    struct tug_core_counts counts;
    tug_core_count(core, &counts);
    if (only_values) {
        for (int i = 0; i < n; i++)
            printf("%.4f ", figures[i]);
        printf("%llu\n", (unsigned long long) counts.running);
        return;
    }
    qsort(figures, (size_t) n, sizeof *figures, compare);
    printf("{\"measure\":\"pass_%s_%s\",\"value\":%.3f,\"unit\":\"%s\",\"params\":{\"nodes\":%u,"
           "\"waiting\":%llu,"
           "\"running\":%llu},\"n\":%d,\"min\":%.3f,\"max\":%.3f}\n",
           policy, measure, figures[n / 2], unit, nodes, (unsigned long long) counts.pending,
           (unsigned long long) counts.running, n, figures[0], figures[n - 1]);
}

static void full(void)
{
    pass_ms(&set);
    for (int i = 0; i < runs; i++)
        figures[i] = pass_ms(&set);
    report("full", "ms", runs);
}

static void incremental(void)
{
    pass_ms(&set);
    for (int i = 0; i < runs; i++) {
        end_job(some_running());
        figures[i] = pass_ms(&set);
    }
    report("incremental", "ms", runs);
}

static void first_fill(void)
{
    for (int i = 0; i < runs; i++) {
        cluster();
        submit_all(waiting);
        figures[i] = pass_ms(&set);
    }
    report("fill", "ms", runs);
}

static void bytes(void)
{
    struct mallinfo2 before = mallinfo2();
    submit_all(waiting);
    pass_ms(&set);
    struct mallinfo2 after = mallinfo2();
    figures[0] =
        ((double) (after.uordblks + after.hblkhd) - (double) (before.uordblks + before.hblkhd)) /
        waiting;
    report("bytes", "bytes", 1);
}

int main(int argc, char **argv)
{
    struct tug_plugload *p = NULL;
    struct tug_err err = {0};
    const char *measure = argc > 1 ? argv[1] : "";
    for (int c; (c = getopt(argc - 1, argv + 1, "n:w:p:r:g:P:V")) != -1;)
        switch (c) {
        case 'n':
            nodes = (uint32_t) atoi(optarg);
            break;
        case 'w':
            waiting = (uint32_t) atoi(optarg);
            break;
        case 'p':
            policy = optarg;
            break;
        case 'r':
            runs = atoi(optarg) < RUNS_MAX ? atoi(optarg) : RUNS_MAX;
            break;
        case 'g':
            gangs = (uint32_t) atoi(optarg);
            break;
        case 'V':
            only_values = 1;
            break;
        case 'P':
            plugin_dir = optarg;
            break;
        default:
            die("see the comment at the top of passes.c");
        }
    if (tug_plugload_open(policy, &plugin_dir, 1, NULL, 0, &p, &err))
        die(err.msg);
    set = (struct tug_policy_set){{{tug_plugload_ops(p), tug_plugload_self(p)}}, 1};
    cluster();
    if (!strcmp(measure, "fill")) {
        first_fill();
    } else {
        fill();
        if (strcmp(measure, "bytes"))
            submit_all(waiting);
        if (!strcmp(measure, "full"))
            full();
        else if (!strcmp(measure, "incremental"))
            incremental();
        else if (!strcmp(measure, "bytes"))
            bytes();
        else
            die("measures: full incremental fill bytes");
    }
    tug_core_free(core);
    tug_plugload_close(p);
    return 0;
}
