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
#include <unistd.h>

#include "bench.h"
#include "host/plugload.h"

enum { GPUS = BENCH_GPUS, RUNS_MAX = 999 };

static struct tug_policy_set set;
static double figures[RUNS_MAX];
static uint32_t nodes = 1000, waiting = 10000, gangs = 2;
static int runs = 11, only_values;
static const char *policy = "easy", *plugin_dir = "plugins";

/* A function of its own, as callgrind counts what it does by its name. */
__attribute__((noinline)) static double measured_pass(const struct tug_policy_set *with)
{
    struct tug_err err = {0};
    struct tug_pass_stats stats;
    bench_now_ms += 1000;
    double t = bench_wall_ms();
    if (tug_core_pass(bench_core, bench_now_ms, with, &stats, &err) < 0)
        bench_die(err.msg);
    return bench_wall_ms() - t;
}

static double pass_ms(const struct tug_policy_set *with)
{
    double ms = measured_pass(with);
    bench_drain();
    return ms;
}

/* Two of three are gangs of whole nodes. Times are spread evenly over their logarithms, in minutes,
 * as users ask. */
static void submit(void)
{
    uint32_t gang = tug_rand_below(&bench_rand, 3) < gangs, octave = (uint32_t) tug_rand_below(&bench_rand, 7);
    uint32_t most = nodes < 64 ? nodes : 64;
    uint32_t n =
        gang ? (1u << octave) - (uint32_t) tug_rand_below(&bench_rand, (1u << octave) / 2 + 1) : 1;
    uint32_t minutes = 10u << tug_rand_below(&bench_rand, 7);
    minutes += (uint32_t) tug_rand_below(&bench_rand, minutes);
    struct tug_job_req r = bench_ask(n < most ? n : most, gang ? GPUS : 1 + (uint32_t) tug_rand_below(&bench_rand, GPUS));
    r.time_limit_s = minutes * 60;
    bench_submit(&r);
}

static void cluster(void)
{
    const struct bench_cluster k = {.nodes = nodes, .seed = 42};
    bench_open(&k);
}

static int is_full(void)
{
    struct tug_core_counts n;
    tug_core_count(bench_core, &n);
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
        bench_die(err.msg);
    const struct tug_policy_set first = {{{tug_plugload_ops(fifo), tug_plugload_self(fifo)}}, 1};
    for (int i = 0; i < 10000 && !is_full(); i++) {
        submit_all(nodes / 10 + 1);
        if (tug_core_pass(bench_core, bench_now_ms, &first, NULL, &err) < 0)
            bench_die(err.msg);
        bench_drain();
        bench_now_ms += 1000;
    }
    tug_plugload_close(fifo);
    if (!is_full())
        bench_die("the cluster does not fill up");
    for (tug_job_id id = 1; id <= bench_last_id; id++) {
        const struct tug_job *j = tug_core_job(bench_core, id);
        if (j && j->state == TUG_JOB_PENDING)
            bench_cancel(id);
    }
}

static const struct tug_job *some_running(void)
{
    for (;;) {
        const struct tug_job *j = tug_core_job(bench_core, 1 + tug_rand_below(&bench_rand, bench_last_id));
        if (j && j->state == TUG_JOB_RUNNING)
            return j;
    }
}

static void report(const char *measure, const char *unit, int n)
{
    struct tug_core_counts counts;
    tug_core_count(bench_core, &counts);
    if (only_values) {
        for (int i = 0; i < n; i++)
            printf("%.4f ", figures[i]);
        printf("%llu\n", (unsigned long long) counts.running);
        return;
    }
    double median = bench_quantile(figures, (size_t) n, 500);
    printf("{\"measure\":\"pass_%s_%s\",\"value\":%.3f,\"unit\":\"%s\",\"params\":{\"nodes\":%u,"
           "\"waiting\":%llu,"
           "\"running\":%llu},\"n\":%d,\"min\":%.3f,\"max\":%.3f}\n",
           policy, measure, median, unit, nodes, (unsigned long long) counts.pending,
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
        bench_end(some_running());
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
            bench_die("see the comment at the top of passes.c");
        }
    if (tug_plugload_open(policy, &plugin_dir, 1, NULL, 0, &p, &err))
        bench_die(err.msg);
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
            bench_die("measures: full incremental fill bytes");
    }
    bench_close();
    tug_plugload_close(p);
    return 0;
}
