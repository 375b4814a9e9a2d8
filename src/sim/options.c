/* options.c - what tug-sim's command line says about a simulation
 *
 * One table has every option: its name, what it takes and what is said of it. Layer: sim.
 */
#include "sim/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/machine.h"

#define SECONDS_MAX 1e9

enum {
    TRACE = 256,
    CLUSTER,
    CONFIG,
    QUEUE_MAP,
    ANY_QUEUE,
    POLICY,
    PARAM,
    DIR,
    QUEUE,
    ESTIMATES,
    PLACEMENT,
    FABRIC,
    MACHINE,
    CLOCK,
    SEED,
    START_COST,
    PREEMPT_COST,
    FAILURES,
    CHECKPOINT,
    KILL_AT_LIMIT,
    HTML,
    JSON,
    CSV,
    REPEATABLE,
    PROGRESS,
    CHECK,
    HELP
};

static const struct {
    int id;
    const char *name, *takes, *text;
} table[] = {
    {TRACE, "trace", "FILE", "jobs: CSV with a header or SWF, also compressed with gzip"},
    {CLUSTER, "cluster", "8x8", "nodes and GPUs of each, or 'trace': as an SWF header says"},
    {CONFIG, "config", "FILE", "nodes, queues, policy and the rest as in a tugline.yaml"},
    {QUEUE_MAP, "queue-map", "A=B", "jobs of queue A go to queue B of it; may be repeated"},
    {ANY_QUEUE, "any-queue", NULL, "jobs of queues that it has not go to its default one"},
    {POLICY, "policy", "A[+B..]", "policies NAME.so, as tugd loads them"},
    {PARAM, "param", "[A.]K=V", "a parameter of a policy; may be repeated"},
    {DIR, "policy-dir", "DIR", "where to look for policies first; may be repeated"},
    {QUEUE, "queue", "NAME", "only jobs whose vc_or_queue is NAME"},
    {ESTIMATES, "estimates", "WHAT", "run times that are told: exact (default), user, noise:SEED"},
    {PLACEMENT, "placement", "WHAT", "first-fit (default), consolidate, topology, count"},
    {FABRIC, "fabric", "8x4", "nodes in a leaf, leaves in a spine and so on, of --cluster"},
    {MACHINE, "machine", "NAME", "what the nodes of --cluster are inside: hgx-h100, or FILE.yaml"},
    {CLOCK, "clock", "ms|us", "how fine time is; ms (default)"},
    {SEED, "seed", "N", "of the policy's random numbers; 1"},
    {START_COST, "start-cost", "S", "seconds from a start until work is done; 0"},
    {PREEMPT_COST, "preempt-cost", "S", "seconds more when a job starts again; 0"},
    {FAILURES, "failures", "M,R[,N]", "nodes fail after M on average and are away for R; seed N"},
    {CHECKPOINT, "checkpoint", "S", "jobs save their work every S seconds"},
    {KILL_AT_LIMIT, "kill-at-limit", NULL, "a job is over when it ran for its limit"},
    {HTML, "html", "FILE", "a page with plots"},
    {JSON, "json", NULL, "print one JSON object"},
    {CSV, "csv", "FILE", "a row for every job"},
    {REPEATABLE, "repeatable", NULL, "leave out wall_s and rss_kib, which no seed fixes"},
    {PROGRESS, "progress", NULL, "show how far it is, also where nobody looks"},
    {CHECK, "check", "N", "check all of the core's invariants after every Nth event"},
    {HELP, "help", NULL, "this text"},
};
#define N_OPTIONS (sizeof table / sizeof *table)

static const struct {
    const char *name;
    enum tug_placement placement;
    uint8_t count;
} placements[] = {{"first-fit", TUG_PLACEMENT_FIRST_FIT, 0},
                  {"consolidate", TUG_PLACEMENT_CONSOLIDATE, 0},
                  {"topology", TUG_PLACEMENT_TOPOLOGY, 0},
                  {"count", TUG_PLACEMENT_FIRST_FIT, 1}};

void tug_simopts_help(FILE *to)
{
    fputs("usage: tug-sim run --trace FILE --cluster NODESxGPUS|--config FILE --policy NAME "
          "[options]\n",
          to);
    for (size_t i = 0; i < N_OPTIONS; i++)
        fprintf(to, "  --%-14s %-8s %s\n", table[i].name, table[i].takes ? table[i].takes : "",
                table[i].text);
}

const char *tug_simopts_placement(enum tug_placement p)
{
    size_t i = 0;
    while (placements[i].placement != p)
        i++;
    return placements[i].name;
}

static const char *name_of(int id)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (table[i].id == id)
            return table[i].name;
    return "?";
}

/* ---- values */

static int cluster(const char *text, struct tug_simopts *o, struct tug_err *err)
{
    unsigned nodes, gpus;
    char rest;
    o->cluster_of_trace = !strcmp(text, "trace");
    if (o->cluster_of_trace)
        return 0;
    if (strspn(text, "0123456789x") != strlen(text) || strlen(text) > 12 ||
        sscanf(text, "%ux%u%c", &nodes, &gpus, &rest) != 2 || nodes < 1 ||
        nodes > TUG_TRACE_NODES_MAX || gpus < 1 || gpus > TUG_GPUS_MAX)
        return tug_fail(err, -EINVAL,
                        "--cluster: '%s' is not NODESxGPUS, like 8x8, with up to %d nodes and %d "
                        "GPUs on each",
                        text, TUG_TRACE_NODES_MAX, TUG_GPUS_MAX);
    o->conf.nodes = nodes;
    o->conf.gpus_per_node = gpus;
    return 0;
}

/* "8", "8x4", ...: numbers from 1 with an x in between. */
static int fabric(struct tug_simopts *o, const char *text, struct tug_err *err)
{
    const char *rest = text, *at;
    size_t len, n = 0;
    while (tug_str_split(&rest, 'x', &at, &len)) {
        char digits[8] = "";
        uint64_t width = 0;
        if (n < TUG_SIM_LEVELS_MAX && len < sizeof digits)
            memcpy(digits, at, len);
        if (tug_str_u64(digits, TUG_TRACE_NODES_MAX, &width) || !width)
            return tug_fail(err, -EINVAL,
                            "--fabric: '%s' is not LEAF[xSPINE...], like 8x4 for 8 nodes in a leaf "
                            "and 4 leaves in a spine, with up to %d levels of 1 to %d",
                            text, TUG_SIM_LEVELS_MAX, TUG_TRACE_NODES_MAX);
        o->conf.fabric[n++] = (uint32_t) width;
    }
    o->conf.n_fabric = n;
    return 0;
}

static int param(struct tug_simopts *o, char *text, struct tug_err *err)
{
    char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return tug_fail(err, -EINVAL, "--param: '%s' is not KEY=VALUE", text);
    *equals = '\0';
    struct tug_plugload_param p = {text, equals + 1};
    tug_vec_push(&o->params, p);
    return 0;
}

static int queue_map(struct tug_simopts *o, char *text, struct tug_err *err)
{
    char *equals = strchr(text, '=');
    if (!equals || !equals[1])
        return tug_fail(err, -EINVAL, "--queue-map: '%s' is not QUEUE=QUEUE", text);
    *equals = '\0';
    struct tug_sim_queue_map m = {text, equals + 1};
    tug_vec_push(&o->queue_map, m);
    return 0;
}

static int estimates(struct tug_simopts *o, const char *text, struct tug_err *err)
{
    o->estimates = text;
    if (!strcmp(text, "exact"))
        o->conf.estimates = TUG_SIM_EXACT;
    else if (!strcmp(text, "user"))
        o->conf.estimates = TUG_SIM_USER;
    else if (!strncmp(text, "noise:", 6) &&
             tug_str_u64(text + 6, UINT64_MAX, &o->conf.noise_seed) == 0)
        o->conf.estimates = TUG_SIM_NOISE;
    else
        return tug_fail(err, -EINVAL,
                        "--estimates: '%s' is neither exact nor user nor noise:SEED, like noise:1",
                        text);
    return 0;
}

static int placement(struct tug_simopts *o, const char *text, struct tug_err *err)
{
    for (size_t i = 0; i < sizeof placements / sizeof *placements; i++)
        if (!strcmp(text, placements[i].name)) {
            o->placement = text;
            o->conf.placement_said = 1;
            o->conf.placement = placements[i].placement;
            o->conf.count = placements[i].count;
            return 0;
        }
    return tug_fail(err, -EINVAL,
                    "--placement: '%s' is none of first-fit, consolidate, topology, count", text);
}

static int clock_of(struct tug_simopts *o, const char *text, struct tug_err *err)
{
    if (strcmp(text, "ms") && strcmp(text, "us"))
        return tug_fail(err, -EINVAL, "--clock: '%s' is neither ms nor us", text);
    o->conf.ticks_per_s = *text == 'm' ? 1000 : 1000000;
    return 0;
}

/* Seconds with or without a fraction, or with a unit: 30, 0.5, 5m. */
static int seconds(int id, const char *text, double *out, struct tug_err *err)
{
    char *end;
    int64_t s;
    double d = strtod(text, &end);
    if (*text >= '0' && *text <= '9' && !*end && strspn(text, "0123456789.") == strlen(text)) {
        if (d <= SECONDS_MAX) {
            *out = d;
            return 0;
        }
    } else if (tug_duration_parse(text, 0, &s, NULL) == 0 && (double) s <= SECONDS_MAX) {
        *out = (double) s;
        return 0;
    }
    return tug_fail(err, -EINVAL,
                    "--%s: '%.60s' is no length of time, like 30, 0.5 or 5m, of up to 30 years",
                    name_of(id), text);
}

static int failures(struct tug_simopts *o, char *text, struct tug_err *err)
{
    char *repair = strchr(text, ','), *seed = repair ? strchr(repair + 1, ',') : NULL;
    o->conf.failure_seed = 1;
    if (!repair)
        return tug_fail(err, -EINVAL, "--failures: '%s' is not MTBF,REPAIR[,SEED], like 30d,4h",
                        text);
    *repair++ = '\0';
    if (seed)
        *seed++ = '\0';
    if (seed && tug_str_u64(seed, UINT64_MAX, &o->conf.failure_seed))
        return tug_fail(err, -EINVAL, "--failures: the seed '%s' is no whole number", seed);
    int rc = seconds(FAILURES, text, &o->conf.mtbf_s, err);
    if (!rc)
        rc = seconds(FAILURES, repair, &o->conf.repair_s, err);
    if (!rc && o->conf.mtbf_s < 1)
        return tug_fail(err, -EINVAL, "--failures: a mean time of %s between failures is too short",
                        text);
    return rc;
}

static int number(int id, const char *text, uint64_t *out, struct tug_err *err)
{
    if (tug_str_u64(text, UINT64_MAX, out))
        return tug_fail(err, -EINVAL, "--%s: '%.60s' is no whole number", name_of(id), text);
    return 0;
}

/* ---- */

static int take(struct tug_simopts *o, int id, char *text, struct tug_err *err)
{
    switch (id) {
    case TRACE:
        o->trace = text;
        return 0;
    case CLUSTER:
        return cluster(text, o, err);
    case CONFIG:
        o->config = text;
        return 0;
    case QUEUE_MAP:
        return queue_map(o, text, err);
    case ANY_QUEUE:
        o->conf.any_queue = 1;
        return 0;
    case POLICY:
        if (o->policy)
            return tug_fail(err, -EINVAL,
                            "--policy: %s and %s; a run has one (A+B combines plugins that decide "
                            "different things), tug-sim compare takes several",
                            o->policy, text);
        o->policy = text;
        return 0;
    case PARAM:
        return param(o, text, err);
    case DIR:
        tug_vec_push(&o->dirs, text);
        return 0;
    case QUEUE:
        o->conf.queue = text;
        return 0;
    case ESTIMATES:
        return estimates(o, text, err);
    case PLACEMENT:
        return placement(o, text, err);
    case FABRIC:
        return fabric(o, text, err);
    case MACHINE:
        o->machine = text;
        return 0;
    case CLOCK:
        return clock_of(o, text, err);
    case SEED:
        return number(SEED, text, &o->conf.seed, err);
    case START_COST:
        return seconds(id, text, &o->conf.start_cost_s, err);
    case PREEMPT_COST:
        return seconds(id, text, &o->conf.preempt_cost_s, err);
    case FAILURES:
        return failures(o, text, err);
    case CHECKPOINT:
        return seconds(id, text, &o->conf.checkpoint_s, err);
    case KILL_AT_LIMIT:
        o->conf.kill_at_limit = 1;
        return 0;
    case HTML:
        o->outputs.html_path = text;
        return 0;
    case JSON:
        o->json = 1;
        return 0;
    case CSV:
        o->outputs.csv_path = text;
        return 0;
    case REPEATABLE:
        o->repeatable = 1;
        return 0;
    case PROGRESS:
        o->progress = 1;
        return 0;
    case CHECK:
        return number(CHECK, text, &o->conf.check_every, err);
    case HELP:
        o->help = 1;
        return 0;
    default:
        return tug_fail(err, -EINVAL, "see tug-sim --help");
    }
}

static int complete(struct tug_simopts *o, struct tug_err *err)
{
    int has_cluster = o->conf.nodes || o->cluster_of_trace;
    const char *missing = !o->trace                    ? "--trace FILE"
                          : !has_cluster && !o->config ? "--cluster NODESxGPUS or --config FILE"
                          : !o->policy && !o->config   ? "--policy NAME"
                                                       : NULL;
    o->conf.queue_map = o->queue_map.at;
    o->conf.n_queue_map = o->queue_map.len;
    if (missing)
        return tug_fail(err, -EINVAL, "%s is missing; see tug-sim --help", missing);
    if (has_cluster && o->config)
        return tug_fail(err, -EINVAL, "--cluster and --config: both say what the nodes are");
    if ((o->queue_map.len || o->conf.any_queue) && !o->config)
        return tug_fail(
            err, -EINVAL,
            "--queue-map and --any-queue: say what becomes of queues that --config FILE "
            "has not, and there is none");
    if (o->conf.n_fabric && o->config)
        return tug_fail(err, -EINVAL,
                        "--fabric and --config: the configuration says how nodes are wired");
    if (o->machine && o->config)
        return tug_fail(err, -EINVAL, "--machine and --config: the configuration says what nodes are, as 'machine:' of a row");
    if (o->machine && o->conf.count)
        return tug_fail(err, -EINVAL,
                        "--machine and --placement count: where GPUs are only counted, nothing says which a gang has");
    if (o->conf.n_fabric && o->conf.count)
        return tug_fail(err, -EINVAL,
                        "--fabric and --placement count: where GPUs are only counted, nothing says "
                        "which leaf a gang is on");
    if (o->conf.count && o->config)
        return tug_fail(err, -EINVAL,
                        "--placement count: needs nodes that are all alike, from --cluster");
    return 0;
}

int tug_simopts_parse(int argc, char **argv, struct tug_simopts *out, struct tug_err *err)
{
    struct option options[N_OPTIONS + 1] = {{0}};
    int rc = 0;
    *out = (struct tug_simopts){.estimates = "exact",
                                .placement = "first-fit",
                                .progress = -1,
                                .conf = {.seed = 1, .ticks_per_s = 1000}};
    for (size_t i = 0; i < N_OPTIONS; i++)
        options[i] = (struct option){table[i].name, table[i].takes != NULL, NULL, table[i].id};
    optind = 1;
    for (int c; !rc && !out->help && (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        rc = take(out, c, optarg, err);
    if (rc || out->help)
        return rc;
    if (optind < argc)
        return tug_fail(err, -EINVAL, "'%s' is no option; see tug-sim --help", argv[optind]);
    return complete(out, err);
}

void tug_simopts_clear(struct tug_simopts *o)
{
    tug_sheet_free(o->sheet);
    tug_vec_clear(&o->dirs);
    tug_dirs_clear(&o->installed);
    tug_vec_clear(&o->params);
    tug_vec_clear(&o->queue_map);
    tug_vec_clear(&o->node_names);
}
