/* options.c - how tugnoded is told what to be: command line over configuration over defaults
 *
 * Layer: programs.
 */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/duration.h"
#include "base/hostlist.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/size.h"
#include "base/str.h"
#include "base/version.h"
#include "conf/config.h"
#include "host/readfile.h"
#include "noded/daemon.h"

#define PERIOD_S 120                   /* as in tugnode.yaml */
#define PERIOD_MAX_S 86400
#define PROCESSES 16384                /* as in tugnode.yaml */

const char *argp_program_version = "tugnoded " TUG_VERSION;

enum { NODE = 256, CONTROLLER, CLUSTER, KEY, PUB, STATE_DIR, RUN_DIR, ADDRESS, CPUS, MEMORY, GPUS, MODEL, MACHINE,
       NVLINK_DOMAIN, BOOT_ID, LEVEL, INVENTORY, SETTLED, PERIOD };

static const struct argp_option option_table[] = {
    {"config", 'c', "FILE", 0, "The configuration; default " TUG_SYSCONFDIR "/tugnode.yaml when it is there", 0},
    {"node", NODE, "NAME", 0, "Name of this node, as the controller knows it; default: the host name", 0},
    {"controller", CONTROLLER, "ENDPOINT[,...]", 0, "Where the controller is: HOST:PORT or unix:/PATH; of several, the one that leads", 0},
    {"cluster", CLUSTER, "NAME", 0, "Name of the cluster (for the log)", 0},
    {"key", KEY, "FILE", 0, "The node's secret key; made when it is not there. Default: node.key in the state directory", 0},
    {"controller-pub", PUB, "FILE", 0, "The controller's public key; default: controller.pub in the state directory", 0},
    {"state-dir", STATE_DIR, "DIR", 0, "What must be remembered", 0},
    {"run-dir", RUN_DIR, "DIR", 0, "Sockets; the same as tuglaunch's", 0},
    {"address", ADDRESS, "ADDRESS", 0, "Where other nodes reach this one; default: from where the controller is reached", 0},
    {"log-level", LEVEL, "LEVEL", 0, "error, warn, info or debug", 0},
    {"inventory", INVENTORY, NULL, 0, "Write what is in this machine to standard output, for tug node topo, and end", 0},
    {"settled", SETTLED, NULL, OPTION_HIDDEN, "With --inventory: nothing, and exit code 75, while the fabric manager is at work", 0},
    {"inventory-period", PERIOD, "TIME", 0, "Look again at what this node has so often; 0s: only at the start. Default: 2m", 0},
    {0, 0, NULL, 0, "Hardware to pretend to have:", 1},
    {"cpus", CPUS, "N", 0, "Logical CPUs", 1},
    {"memory", MEMORY, "SIZE", 0, "Memory, such as 512G", 1},
    {"gpus", GPUS, "N", 0, "GPUs, at most 64", 1},
    {"gpu-model", MODEL, "NAME", 0, "What they are called", 1},
    {"machine", MACHINE, "NAME", 0, "A kind of machine, such as hgx-h100, or FILE.yaml: its CPUs, memory, GPUs and what is between them", 1},
    {"nvlink-domain", NVLINK_DOMAIN, "NAME", 0, "Nodes that say the same are joined by NVLink", 1},
    {"boot-id", BOOT_ID, "HEX", OPTION_HIDDEN, "By tuglaunch: the boot that launch orders must name", 1},
    {0}};

struct parse {
    struct options *o;
    char *config;
};

static void set(char **field, const char *value)
{
    free(*field);
    *field = tug_xstrdup(value);
}

static void number(struct argp_state *state, const char *name, const char *text, uint64_t max, int64_t *out)
{
    uint64_t value;
    if (tug_str_u64(text, max, &value))
        argp_error(state, "--%s=%s is not a number from 0 to %llu", name, text, (unsigned long long) max);
    else
        *out = (int64_t) value;
}

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    struct parse *p = state->input;
    struct options *o = p->o;
    struct tug_err err = {0};
    uint64_t size;
    switch (key) {
    case 'c': set(&p->config, arg); break;
    case INVENTORY: o->only_look = true; break;
    case SETTLED: o->settled = true; break;
    case NODE: set(&o->node, arg); break;
    case CONTROLLER: set(&o->controller, arg); break;
    case CLUSTER: set(&o->cluster, arg); break;
    case KEY: set(&o->key, arg); break;
    case PUB: set(&o->controller_pub, arg); break;
    case STATE_DIR: set(&o->state_dir, arg); break;
    case RUN_DIR: set(&o->run_dir, arg); break;
    case ADDRESS: set(&o->address, arg); break;
    case MODEL: set(&o->gpu_model, arg); break;
    case MACHINE: set(&o->machine, arg); break;
    case NVLINK_DOMAIN: set(&o->nvlink_domain, arg); break;
    case BOOT_ID: set(&o->boot_id, arg); break;
    case CPUS: number(state, "cpus", arg, 65536, &o->cpus); break;
    case GPUS: number(state, "gpus", arg, TUG_GPUS_MAX, &o->gpus); break;
    case MEMORY:
        if (tug_size_parse(arg, 1 << 20, &size, &err) || size > INT64_MAX)
            argp_error(state, "--memory: %s", *err.msg ? err.msg : "too large");
        else
            o->memory_bytes = (int64_t) size;
        break;
    case PERIOD:
        if (tug_duration_parse(arg, 0, &o->inventory_period_s, &err) || o->inventory_period_s > PERIOD_MAX_S)
            argp_error(state, "--inventory-period: %s", *err.msg ? err.msg : "more than a day");
        break;
    case LEVEL:
        if (tug_log_level_parse(arg, &o->level))
            argp_error(state, "--log-level=%s is none of error, warn, info, debug", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {option_table, on_option, NULL,
                                 "tugnoded - the node daemon of Tugline. Started by tuglaunch, not by hand.", NULL, NULL,
                                 NULL};

static void from_file(char **field, const char *value)
{
    if (!*field && value && *value)
        *field = tug_xstrdup(value);
}

static void add_controllers(struct options *o, const struct tug_node_config *c)
{
    struct tug_buf all = {0};
    tug_buf_addf(&all, "%s%s", c->controller.path ? "unix:" : "", c->controller.path ? c->controller.path : c->controller.text);
    for (size_t i = 0; i < c->standbys.n; i++)
        tug_buf_addf(&all, ",%s", c->standbys.at[i]);
    o->controller = tug_buf_take(&all);
}

/* The words of the key stand in the order of the enum. */
static void take_check(struct options *o, const struct tug_conf_check *c)
{
    o->check = (struct tug_agent_check){.program = tug_xstrdup(c->program),
                                        .period_s = (uint32_t) c->period_s,
                                        .timeout_s = (uint32_t) c->timeout_s,
                                        .when = (enum tug_check_when) c->when,
                                        .before_job = c->before_job,
                                        .after_job = c->after_job};
}

static void take_program(struct tug_agent_program *p, const char *program, const struct tug_conf_strings *args, int64_t timeout_s)
{
    char **copy = tug_xcalloc(args->n + 1, sizeof *copy);
    for (size_t i = 0; i < args->n; i++)
        copy[i] = tug_xstrdup(args->at[i]);
    *p = (struct tug_agent_program){.program = tug_xstrdup(program),
                                    .args = (const char *const *) copy,
                                    .n_args = args->n,
                                    .timeout_s = (uint32_t) timeout_s};
}

static void clear_program(struct tug_agent_program *p)
{
    for (size_t i = 0; i < p->n_args; i++)
        free((char *) (uintptr_t) p->args[i]);
    free((void *) (uintptr_t) p->args);
    free((char *) (uintptr_t) p->program);
}

static int read_file(struct options *o, const char *path, struct tug_err *err)
{
    struct tug_node_config c = {0};
    struct tug_conf_errors errs = {0};
    struct tug_buf text = {0};
    int rc = tug_node_config_load(tug_readfile_reader(), path, &c, &errs);
    if (rc) {
        const char *rest, *line;
        size_t len;
        tug_conf_errors_print(&errs, &text);
        for (rest = tug_buf_str(&text); tug_str_split(&rest, '\n', &line, &len);)
            if (len)
                tug_error("%.*s", (int) len, line);
        rc = tug_fail(err, rc, "%zu error%s in the configuration %s", tug_conf_errors_count(&errs),
                      tug_conf_errors_count(&errs) == 1 ? "" : "s", path);
        tug_buf_clear(&text);
        tug_conf_errors_clear(&errs);
        return rc;
    }
    if (!o->controller)
        add_controllers(o, &c);
    from_file(&o->node, c.name);
    from_file(&o->state_dir, c.state_dir);
    from_file(&o->run_dir, c.run_dir);
    from_file(&o->key, c.key_file);
    from_file(&o->controller_pub, c.controller_key_file);
    from_file(&o->gpu_model, c.emulate.gpu_model);
    from_file(&o->machine, c.emulate.machine);
    if (!o->cpus)
        o->cpus = c.emulate.cpus;
    if (!o->memory_bytes)
        o->memory_bytes = c.emulate.memory_bytes;
    if (o->gpus < 0)
        o->gpus = c.emulate.gpus;
    if (o->inventory_period_s < 0)
        o->inventory_period_s = c.inventory_period_s;
    o->processes = (uint32_t) c.limits.processes;
    o->reserved_memory_bytes = (uint64_t) c.limits.reserved_memory_bytes;
    if (c.health_check.program)
        take_check(o, &c.health_check);
    if (c.prolog.program)
        take_program(&o->prolog, c.prolog.program, &c.prolog.args, c.prolog.timeout_s);
    if (c.epilog.program)
        take_program(&o->epilog, c.epilog.program, &c.epilog.args, c.epilog.timeout_s);
    if ((int) o->level < 0)
        o->level = (enum tug_log_level) c.log_level;
    tug_node_config_clear(&c);
    return 0;
}

static void fill(struct options *o)
{
    char host[HOST_NAME_MAX + 1] = "";
    if (!o->node && gethostname(host, sizeof host - 1) == 0) {
        host[strcspn(host, ".")] = 0;
        o->node = tug_xstrdup(host);
    }
    from_file(&o->state_dir, TUG_STATEDIR "-node");
    from_file(&o->run_dir, TUG_RUNDIR "-node");
    if (!o->key)
        o->key = tug_xasprintf("%s/node.key", o->state_dir);
    if (!o->controller_pub)
        o->controller_pub = tug_xasprintf("%s/controller.pub", o->state_dir);
    if (o->inventory_period_s < 0)
        o->inventory_period_s = PERIOD_S;
    if ((int) o->level < 0)
        o->level = TUG_LOG_INFO;
}

int options_read(struct options *o, int argc, char **argv, struct tug_err *err)
{
    const char *usual = TUG_SYSCONFDIR "/tugnode.yaml";
    struct parse p = {.o = o};
    int rc = 0;
    *o = (struct options){.gpus = -1, .processes = PROCESSES, .inventory_period_s = -1, .level = (enum tug_log_level) -1};
    argp_parse(&argp, argc, argv, 0, NULL, &p);
    if (o->only_look) {
        rc = emulate_machine(o, p.config, err);
        free(p.config);
        return rc;
    }
    if (p.config || (!o->controller && access(usual, F_OK) == 0))
        rc = read_file(o, p.config ? p.config : usual, err);
    rc = rc ? rc : emulate_machine(o, p.config ? p.config : usual, err);
    free(p.config);
    if (rc)
        return rc;
    fill(o);
    if (!o->controller)
        return tug_fail(err, -EINVAL, "where is the controller? Say --controller HOST:PORT, or write it into %s", usual);
    if (!o->node || !tug_hostname_ok(o->node))
        return tug_fail(err, -EINVAL, "'%s' is not a name for a node: letters, digits, '-', '_' and '.'",
                        o->node ? o->node : "");
    if (!o->boot_id || strlen(o->boot_id) != 32)
        return tug_fail(err, -EINVAL, "tugnoded is started by tuglaunch, which hands it the boot id; see tuglaunch --help");
    return 0;
}

void options_clear(struct options *o)
{
    char *all[] = {o->node, o->controller, o->cluster, o->key, o->controller_pub, o->state_dir, o->run_dir, o->address,
                   o->gpu_model, o->machine, o->nvlink_domain, o->boot_id};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    tug_sheet_free(o->sheet);
    free((char *) (uintptr_t) o->check.program);
    clear_program(&o->prolog);
    clear_program(&o->epilog);
    memset(o, 0, sizeof *o);
}
