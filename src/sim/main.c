/* main.c - tug-sim: replays a trace of jobs with a policy, on a cluster that is only imagined
 *
 * Layer: sim.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/version.h"
#include "host/machines.h"
#include "host/plugset.h"
#include "sim/catalog.h"
#include "sim/check.h"
#include "sim/compare.h"
#include "sim/options.h"
#include "sim/outputs.h"
#include "sim/pack.h"
#include "sim/progress.h"
#include "sim/replay.h"
#include "sim/report.h"
#include "sim/sim.h"
#include "sim/trace.h"

enum {
    EXIT_FINE = 0,
    EXIT_BAD = 1,
    EXIT_USAGE = 2,
    EXIT_UNFINISHED = 3,
    EXIT_DIFFERENT = 3,
    EXIT_INTERRUPTED = 130
};

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int report(struct tug_simopts *o, const struct tug_sim_result *r, double began_s,
                  struct tug_err *err)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    const struct tug_report what = {.trace = o->trace,
                                    .policy = o->policy,
                                    .placement = o->placement,
                                    .estimates = o->estimates,
                                    .conf = &o->conf,
                                    .result = r,
                                    .repeatable = o->repeatable,
                                    .wall_s = wall_s() - began_s,
                                    .rss_kib = use.ru_maxrss};
    int rc = tug_outputs_write(&o->outputs, &what, err);
    if (rc || o->outputs.dump)
        return rc;
    rc = o->json ? tug_report_json(stdout, &what) : tug_report_table(stdout, &what);
    return rc ? tug_fail(err, rc, "the result cannot be written: %s", strerror(-rc)) : 0;
}

static void warn(const struct tug_simopts *o, const struct tug_sim_result *r)
{
    if (r->jobs == 0)
        fprintf(stderr, "tug-sim: %s has no job%s%s\n", o->trace, o->conf.queue ? " of queue " : "",
                o->conf.queue ? o->conf.queue : "");
    if (r->refused)
        fprintf(stderr, "tug-sim: %llu proposals were refused, the first: %s\n",
                (unsigned long long) r->refused, r->first_refused);
    if (*r->first_refused_job)
        fprintf(stderr, "tug-sim: the configuration does not admit job %s\n", r->first_refused_job);
    if (r->interrupted)
        fprintf(stderr, "tug-sim: interrupted; the figures are of what had happened until then\n");
    else if (r->unfinished)
        fprintf(stderr, "tug-sim: %llu jobs were never started by the policy, or not again\n",
                (unsigned long long) r->unfinished);
}

static int machine_of(struct tug_simopts *o, struct tug_err *err)
{
    int rc = tug_machines_find(NULL, o->machine, &o->sheet, err);
    if (rc)
        return tug_fail_ctx(err, rc, "--machine");
    if (o->sheet->machine.n_gpus < o->conf.gpus_per_node)
        return tug_fail(err, -EINVAL, "--machine: a %s has %u GPUs, the nodes of --cluster have %u",
                        o->sheet->machine.name, o->sheet->machine.n_gpus, o->conf.gpus_per_node);
    o->conf.machine = &o->sheet->machine;
    o->conf.mig = &o->sheet->mig;
    return 0;
}

static int cluster_of(struct tug_simopts *o, const struct tug_trace *t, struct tug_err *err)
{
    int rc = o->cluster_of_trace ? tug_trace_cluster(t, &o->conf.nodes, &o->conf.gpus_per_node, err)
                                 : 0;
    return rc || !o->machine ? rc : machine_of(o, err);
}

static int is_said(const struct tug_simopts *o, const char *param)
{
    for (size_t i = 0; i < o->params.len; i++)
        if (!strcmp(o->params.at[i].name, param))
            return 1;
    return 0;
}

/* What the command line does not say, the configuration does. */
static void take_defaults(struct tug_simopts *o, const struct tug_sim_cluster *c)
{
    const struct tug_conf_scheduler *s = &c->config.scheduler;
    if (c->is_configured) {
        for (size_t i = 0; i < s->policy_dirs.n; i++)
            tug_vec_push(&o->dirs, s->policy_dirs.at[i]);
        for (size_t i = 0; i < s->policy_params.n && !o->policy; i++) {
            struct tug_plugload_param p = {s->policy_params.at[i].name,
                                           s->policy_params.at[i].value};
            if (!is_said(o, p.name))
                tug_vec_push(&o->params, p);
        }
        if (!o->policy)
            o->policy = s->policy;
        if (!o->conf.placement_said)
            o->placement = tug_simopts_placement(c->core.placement);
    }
    if (c->is_configured && s->policy_dirs.n)
        return;
    tug_dirs_installed(&o->installed);
    for (size_t i = 0; i < o->installed.len; i++)
        tug_vec_push(&o->dirs, o->installed.at[i]);
}

static int load_policies(const struct tug_simopts *o, struct tug_plugset **out, struct tug_err *err)
{
    const struct tug_plugset_conf load = {.names = o->policy,
                                          .dirs = o->dirs.at,
                                          .n_dirs = o->dirs.len,
                                          .params = o->params.at,
                                          .n_params = o->params.len,
                                          .has = TUG_POLICY_NEEDS_EXPECTED |
                                                 TUG_POLICY_NEEDS_ORDER_PREEMPTION};
    return tug_plugset_open(&load, out, err);
}

static int load_cluster(struct tug_simopts *o, struct tug_sim_cluster *c, struct tug_err *err)
{
    if (!o->config)
        return 0;
    int rc = tug_sim_cluster_read(c, o->config, err);
    o->conf.cluster = c;
    o->conf.nodes = (uint32_t) c->core.n_nodes;
    o->conf.gpus_per_node = 0;
    for (size_t i = 0; i < c->core.n_nodes; i++)
        if (c->core.nodes[i].gpus > o->conf.gpus_per_node)
            o->conf.gpus_per_node = c->core.nodes[i].gpus;
    return rc;
}

static int begin_outputs(struct tug_simopts *o, const struct tug_sim_cluster *c,
                         struct tug_err *err)
{
    uint64_t gpus = c->is_configured ? c->gpus : (uint64_t) o->conf.nodes * o->conf.gpus_per_node;
    for (size_t i = 0; c->is_configured && i < c->core.n_nodes; i++)
        tug_vec_push(&o->node_names, c->core.nodes[i].name);
    int rc = tug_outputs_try(o->outputs.csv_path, o->outputs.html_path, o->trace, err);
    return rc ? rc : tug_outputs_begin(&o->outputs, &o->conf, gpus, o->node_names.at, err);
}

static int simulate(struct tug_simopts *o, struct tug_trace *trace, struct tug_sim_result *result,
                    struct tug_err *err)
{
    struct tug_progress progress;
    tug_progress_begin(&progress, o->progress == 1 || (o->progress < 0 && isatty(2)));
    o->conf.go_on = tug_progress_look;
    o->conf.go_on_ctx = &progress;
    int rc = tug_sim_run(trace, &o->conf, result, err);
    tug_progress_end(&progress);
    return rc;
}

/* The exit status. */
static int run(struct tug_simopts *o, struct tug_err *err)
{
    struct tug_sim_cluster cluster = {0};
    struct tug_plugset *policies = NULL;
    struct tug_trace *trace = NULL;
    struct tug_sim_result result = {0};
    double began_s = wall_s();
    int status = EXIT_BAD;
    if (load_cluster(o, &cluster, err))
        goto out;
    take_defaults(o, &cluster);
    if (load_policies(o, &policies, err) || tug_trace_open(o->trace, &trace, err) ||
        cluster_of(o, trace, err) || begin_outputs(o, &cluster, err))
        goto out;
    o->conf.policy = *tug_plugset_policies(policies);
    if (simulate(o, trace, &result, err))
        goto out;
    warn(o, &result);
    if (report(o, &result, began_s, err))
        goto out;
    status = result.interrupted  ? EXIT_INTERRUPTED
             : result.unfinished ? EXIT_UNFINISHED
                                 : EXIT_FINE;
out:
    tug_outputs_clear(&o->outputs);
    tug_sim_result_clear(&result);
    tug_trace_close(trace);
    tug_plugset_close(policies);
    tug_sim_cluster_clear(&cluster);
    return status;
}

static int say_replay(const struct tug_simopts *o, const struct tug_replay_result *r,
                      struct tug_err *err)
{
    if (o->json) {
        json_t *out = json_pack("{s:I,s:I,s:I,s:s*}", "jobs", (json_int_t) r->jobs, "starts",
                                (json_int_t) r->starts, "same", (json_int_t) r->same, "different",
                                *r->different ? r->different : NULL);
        json_dumpf(out, stdout, JSON_PRESERVE_ORDER);
        json_decref(out);
        putchar('\n');
    } else if (*r->different) {
        printf("%llu of %llu starts as recorded, then the first difference:\n%s\n",
               (unsigned long long) r->same, (unsigned long long) r->starts, r->different);
    } else {
        printf("%llu of %llu starts as recorded, of %llu jobs\n", (unsigned long long) r->same,
               (unsigned long long) r->starts, (unsigned long long) r->jobs);
    }
    return fflush(stdout) || ferror(stdout) ? tug_fail(err, -EIO, "the result cannot be written")
                                            : 0;
}

/* The exit status. */
static int replay(struct tug_simopts *o, struct tug_err *err)
{
    struct tug_sim_cluster cluster = {0};
    struct tug_plugset *policies = NULL;
    struct tug_trace *trace = NULL;
    struct tug_replay_result result;
    struct tug_replay_conf conf = {.cluster = &cluster, .check_every = o->conf.check_every};
    int status = EXIT_BAD;
    if (load_cluster(o, &cluster, err))
        goto out;
    take_defaults(o, &cluster);
    if (load_policies(o, &policies, err) || tug_trace_open(o->trace, &trace, err) ||
        cluster_of(o, trace, err))
        goto out;
    if (!cluster.is_configured)
        tug_sim_cluster_even(&cluster, o->conf.nodes, o->conf.gpus_per_node, 1);
    if (!cluster.is_configured && o->conf.n_fabric)
        tug_sim_cluster_wire(&cluster, o->conf.fabric, o->conf.n_fabric);
    if (o->conf.machine)
        tug_sim_cluster_furnish(&cluster, o->conf.machine);
    cluster.mig = o->conf.mig;
    if (!cluster.is_configured || o->conf.placement_said)
        cluster.core.placement = o->conf.placement;
    conf.policy = *tug_plugset_policies(policies);
    if (tug_replay(trace, &conf, &result, err) || say_replay(o, &result, err))
        goto out;
    status = *result.different ? EXIT_DIFFERENT : EXIT_FINE;
out:
    tug_trace_close(trace);
    tug_plugset_close(policies);
    tug_sim_cluster_clear(&cluster);
    return status;
}

/* ---- commands */

/* argv[0] names the program. The exit status. */
static int with_options(int argc, char **argv, FILE *dump,
                        int (*what)(struct tug_simopts *o, struct tug_err *err))
{
    struct tug_simopts o = {0};
    struct tug_err err = {0};
    int status = EXIT_USAGE;
    if (tug_simopts_parse(argc, argv, &o, &err) == 0) {
        o.outputs.dump = dump;
        if (o.help)
            tug_simopts_help(stdout);
        status = o.help ? EXIT_FINE : what(&o, &err);
    }
    if (err.code)
        fprintf(stderr, "tug-sim: %s\n", err.msg);
    tug_simopts_clear(&o);
    return status;
}

static int do_run(int argc, char **argv, FILE *dump)
{
    int status = with_options(argc, argv, dump, run);
    /* Whoever compares sees in the figures what was not finished. */
    return dump && status == EXIT_UNFINISHED ? EXIT_FINE : status;
}

static int h_replay(int argc, char **argv)
{
    return with_options(argc, argv, NULL, replay);
}

static void replay_help(FILE *to)
{
    fputs("usage: tug-sim replay --trace RECORDING --config FILE|--cluster NODESxGPUS [--policy "
          "NAME] [options]\n"
          "  decides again what tug history --trace has recorded, and tells the first difference\n"
          "  (options of run: param, policy-dir, placement, check, json)\n",
          to);
}

static int h_run(int argc, char **argv)
{
    return do_run(argc, argv, NULL);
}

static int h_compare(int argc, char **argv)
{
    return tug_compare_main(argc, argv, do_run);
}

static void compare_help(FILE *to)
{
    fputs(tug_compare_usage, to);
}

static void check_help(FILE *to)
{
    fputs(tug_check_usage, to);
}

static void show_help(FILE *to)
{
    fputs(tug_catalog_usage, to);
}

static void pack_help(FILE *to)
{
    fputs(tug_pack_usage, to);
}

static const struct {
    const char *name;
    void (*help)(FILE *to);
    int (*run)(int argc, char **argv); /* argv[0] names the program */
} commands[] = {
    {"run", tug_simopts_help, h_run},      {"compare", compare_help, h_compare},
    {"replay", replay_help, h_replay},     {"check", check_help, tug_check_main},
    {"show", show_help, tug_catalog_main}, {"pack", pack_help, tug_pack_main},
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void help(FILE *to)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        fputs(i ? "\n" : "", to);
        commands[i].help(to);
    }
    fputs("\ntug-sim --version\n", to);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "--version")) {
        printf("tug-sim %s\n", TUG_VERSION);
        return EXIT_FINE;
    }
    if (!strcmp(name, "--help")) {
        help(stdout);
        return EXIT_FINE;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(name, commands[i].name)) {
            argv[1] = argv[0];
            return commands[i].run(argc - 1, argv + 1);
        }
    if (*name) {
        fprintf(stderr, "tug-sim: there is no command '%s'; see tug-sim --help\n", name);
        return EXIT_USAGE;
    }
    help(stderr);
    return EXIT_USAGE;
}
