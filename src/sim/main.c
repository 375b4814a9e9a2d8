/* main.c - tug-sim: replays a trace of jobs with a policy, on a cluster that is only imagined
 *
 * Layer: sim.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/mem.h"
#include "base/version.h"
#include "host/plugload.h"
#include "sim/compare.h"
#include "sim/outputs.h"
#include "sim/report.h"
#include "sim/sim.h"
#include "sim/trace.h"

#define NODES_MAX 100000

struct options {
    const char *trace, *policy;
    struct tug_sim_conf conf;
    struct tug_outputs outputs;
    struct tug_vec(const char *) dirs;
    struct tug_vec(struct tug_plugload_param) params;
    int json;
};

static const char usage[] =
    "usage: tug-sim run --trace FILE --cluster NODESxGPUS --policy NAME [options]\n"
    "  --trace FILE          jobs: CSV with a header, also compressed with gzip\n"
    "  --cluster 8x8         nodes and GPUs of each\n"
    "  --policy NAME         the policy NAME.so, as tugd loads it\n"
    "  --param KEY=VALUE     a parameter of the policy; may be repeated\n"
    "  --policy-dir DIR      where to look for policies (" TUG_POLICYDIR "); may be repeated\n"
    "  --queue NAME          only jobs whose vc_or_queue is NAME\n"
    "  --estimates WHAT      run times that the policy is told: exact (default) or user\n"
    "  --placement WHAT      first-fit (default) or consolidate\n"
    "  --json                print one JSON object\n"
    "  --csv FILE            a row for every job\n"
    "  --html FILE           a page with plots\n";

static const char *const placements[] = {[TUG_PLACEMENT_FIRST_FIT] = "first-fit",
                                         [TUG_PLACEMENT_CONSOLIDATE] = "consolidate"};
static const char *const estimates[] = {[TUG_SIM_EXACT] = "exact", [TUG_SIM_USER] = "user"};

/* ---- options */

static int one_of(const char *option, const char *text, const char *const *words, int *out,
                  struct tug_err *err)
{
    for (int i = 0; i < 2; i++)
        if (!strcmp(text, words[i])) {
            *out = i;
            return 0;
        }
    return tug_fail(err, -EINVAL, "%s: '%s' is neither %s nor %s", option, text, words[0],
                    words[1]);
}

static int cluster(const char *text, struct tug_sim_conf *conf, struct tug_err *err)
{
    unsigned nodes, gpus;
    char rest;
    if (strspn(text, "0123456789x") != strlen(text) || strlen(text) > 12 ||
        sscanf(text, "%ux%u%c", &nodes, &gpus, &rest) != 2 || nodes < 1 || nodes > NODES_MAX ||
        gpus < 1 || gpus > TUG_GPUS_MAX)
        return tug_fail(err, -EINVAL,
                        "--cluster: '%s' is not NODESxGPUS, like 8x8, with up to %d nodes and %d "
                        "GPUs on each",
                        text, NODES_MAX, TUG_GPUS_MAX);
    conf->nodes = nodes;
    conf->gpus_per_node = gpus;
    return 0;
}

static int param(struct options *o, char *text, struct tug_err *err)
{
    char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return tug_fail(err, -EINVAL, "--param: '%s' is not KEY=VALUE", text);
    *equals = '\0';
    struct tug_plugload_param p = {text, equals + 1};
    tug_vec_push(&o->params, p);
    return 0;
}

static int complete(const struct options *o, struct tug_err *err)
{
    const char *missing = !o->trace         ? "--trace FILE"
                          : !o->conf.nodes  ? "--cluster NODESxGPUS"
                          : !o->policy      ? "--policy NAME"
                                            : NULL;
    return missing ? tug_fail(err, -EINVAL, "%s is missing; see tug-sim --help", missing) : 0;
}

static int parse(struct options *o, int argc, char **argv, struct tug_err *err)
{
    enum { TRACE = 256, CLUSTER, POLICY, PARAM, DIR, QUEUE, ESTIMATES, PLACEMENT, JSON, CSV, HTML, HELP };
    static const struct option table[] = {
        {"trace", 1, NULL, TRACE},         {"cluster", 1, NULL, CLUSTER},
        {"policy", 1, NULL, POLICY},       {"param", 1, NULL, PARAM},
        {"policy-dir", 1, NULL, DIR},      {"queue", 1, NULL, QUEUE},
        {"estimates", 1, NULL, ESTIMATES}, {"placement", 1, NULL, PLACEMENT},
        {"json", 0, NULL, JSON},           {"csv", 1, NULL, CSV},
        {"html", 1, NULL, HTML},           {"help", 0, NULL, HELP},
        {0}};
    int rc = 0, word;
    for (int c; !rc && (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (c) {
        case TRACE: o->trace = optarg; break;
        case CLUSTER: rc = cluster(optarg, &o->conf, err); break;
        case POLICY: o->policy = optarg; break;
        case PARAM: rc = param(o, optarg, err); break;
        case DIR: tug_vec_push(&o->dirs, optarg); break;
        case QUEUE: o->conf.queue = optarg; break;
        case ESTIMATES:
            rc = one_of("--estimates", optarg, estimates, &word, err);
            o->conf.estimates = rc ? TUG_SIM_EXACT : (enum tug_sim_estimates) word;
            break;
        case PLACEMENT:
            rc = one_of("--placement", optarg, placements, &word, err);
            o->conf.placement = rc ? TUG_PLACEMENT_FIRST_FIT : (enum tug_placement) word;
            break;
        case JSON: o->json = 1; break;
        case CSV: o->outputs.csv_path = optarg; break;
        case HTML: o->outputs.html_path = optarg; break;
        case HELP: fputs(usage, stdout); exit(0);
        default: return tug_fail(err, -EINVAL, "see tug-sim --help");
        }
    }
    if (!rc && optind < argc)
        rc = tug_fail(err, -EINVAL, "'%s' is no option; see tug-sim --help", argv[optind]);
    return rc ? rc : complete(o, err);
}

/* ---- run */

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int report(struct options *o, const struct tug_sim_result *r, double began_s,
                  struct tug_err *err)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    const struct tug_report what = {.trace = o->trace,
                                    .policy = o->policy,
                                    .placement = placements[o->conf.placement],
                                    .estimates = estimates[o->conf.estimates],
                                    .conf = &o->conf,
                                    .result = r,
                                    .wall_s = wall_s() - began_s,
                                    .rss_kib = use.ru_maxrss};
    int rc = tug_outputs_write(&o->outputs, &what, err);
    if (rc || o->outputs.dump)
        return rc;
    rc = o->json ? tug_report_json(stdout, &what) : tug_report_table(stdout, &what);
    return rc ? tug_fail(err, rc, "the result cannot be written: %s", strerror(-rc)) : 0;
}

static void warn(const struct options *o, const struct tug_sim_result *r)
{
    if (r->jobs == 0)
        fprintf(stderr, "tug-sim: %s has no job%s%s\n", o->trace,
                o->conf.queue ? " of queue " : "", o->conf.queue ? o->conf.queue : "");
    if (r->refused)
        fprintf(stderr, "tug-sim: %llu proposals were refused, the first: %s\n",
                (unsigned long long) r->refused, r->first_refused);
    if (r->unfinished)
        fprintf(stderr, "tug-sim: %llu jobs were never started by the policy\n",
                (unsigned long long) r->unfinished);
}

static int run(struct options *o, struct tug_err *err)
{
    static const char *const policydir = TUG_POLICYDIR;
    struct tug_plugload *plugin = NULL;
    struct tug_trace *trace = NULL;
    struct tug_sim_result result = {0};
    double began_s = wall_s();
    if (!o->dirs.len)
        tug_vec_push(&o->dirs, policydir);
    int rc = tug_plugload_open(o->policy, o->dirs.at, o->dirs.len, o->params.at, o->params.len,
                               &plugin, err);
    if (!rc)
        rc = tug_trace_open(o->trace, &trace, err);
    if (rc)
        goto out;
    o->conf.policy =
        (struct tug_policy_set){{{tug_plugload_ops(plugin), tug_plugload_self(plugin)}}, 1};
    rc = tug_outputs_begin(&o->outputs, &o->conf,
                           (uint64_t) o->conf.nodes * o->conf.gpus_per_node, NULL, err);
    if (!rc)
        rc = tug_sim_run(trace, &o->conf, &result, err);
    if (rc)
        goto out;
    warn(o, &result);
    rc = report(o, &result, began_s, err);
out:
    tug_outputs_clear(&o->outputs);
    tug_sim_result_clear(&result);
    tug_trace_close(trace);
    tug_plugload_close(plugin);
    return rc;
}

/* What follows "run"; argv[0] names the program. The exit status. */
static int do_run(int argc, char **argv, FILE *dump)
{
    struct options o = {.outputs.dump = dump};
    struct tug_err err = {0};
    int rc = parse(&o, argc, argv, &err);
    int status = rc ? 2 : 0;
    if (!rc && run(&o, &err))
        status = 1;
    if (status)
        fprintf(stderr, "tug-sim: %s\n", err.msg);
    tug_vec_clear(&o.dirs);
    tug_vec_clear(&o.params);
    return status;
}

static int h_run(int argc, char **argv)
{
    return do_run(argc, argv, NULL);
}

static int h_compare(int argc, char **argv)
{
    return tug_compare_main(argc, argv, do_run);
}

static const struct {
    const char *name;
    const char *usage;
    int (*run)(int argc, char **argv); /* argv[0] names the program */
} commands[] = {
    {"run", usage, h_run},
    {"compare", tug_compare_usage, h_compare},
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void help(FILE *to)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(to, "%s%s", i ? "\n" : "", commands[i].usage);
    fputs("\ntug-sim --version\n", to);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "--version")) {
        printf("tug-sim %s\n", TUG_VERSION);
        return 0;
    }
    if (!strcmp(name, "--help")) {
        help(stdout);
        return 0;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(name, commands[i].name)) {
            argv[1] = argv[0];
            return commands[i].run(argc - 1, argv + 1);
        }
    help(stderr);
    return 2;
}
