/* sandbox.c - tug sandbox: start, status, stop, restart, env
 *
 * Layer: cli.
 */
#include "cli/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/size.h"
#include "base/str.h"
#include "cli/verb.h"
#include "host/machines.h"

enum {
    OPT_NODES = 1,
    OPT_GPUS,
    OPT_CPUS,
    OPT_MEMORY,
    OPT_MODEL,
    OPT_MACHINE,
    OPT_FABRIC,
    OPT_NAMES,
    OPT_DIR,
    OPT_STATE_DIR,
    OPT_POLICY,
    OPT_NODE_CONFIG
};
static const struct tug_opt opts[] = {
    {OPT_NODES, "nodes", 'N', TUG_ARG_NEED, "N", "start: how many nodes; the default is 4"},
    {OPT_GPUS, "gpus", 'G', TUG_ARG_NEED, "N",
     "start: emulated GPUs of each node; the default is 8"},
    {OPT_CPUS, "cpus", 'c', TUG_ARG_NEED, "N",
     "start: CPUs that each node offers; the default is 64"},
    {OPT_MEMORY, "memory", 'm', TUG_ARG_NEED, "SIZE",
     "start: memory that each node offers; the default is 512G"},
    {OPT_MODEL, "gpu-model", 0, TUG_ARG_NEED, "NAME",
     "start: model of the GPUs; the default is emulated"},
    {OPT_MACHINE, "machine", 0, TUG_ARG_NEED, "NAME",
     "start: nodes like this machine: hgx-h100, dgx1-v100, gb200-nvl72, ..., or those of a FILE.yaml"},
    {OPT_FABRIC, "fabric", 0, TUG_ARG_NEED, "SHAPE",
     "start: how the nodes are wired: rail:4x8 (groups x nodes), leaf:4x8, tree:2x4x8 (spines x leaves x nodes), "
     "nvl72:2x18; with @2 behind it oversubscribed 2:1"},
    {OPT_NAMES, "names", 0, TUG_ARG_NEED, "HOSTS",
     "start: names of the nodes: gpu[001-064]; the default is n1, n2, ..."},
    {OPT_POLICY, "policy", 0, TUG_ARG_NEED, "NAME",
     "start: the scheduling policy; the default is multifactor+easy"},
    {OPT_NODE_CONFIG, "node-config", 0, TUG_ARG_NEED, "FILE",
     "start: what the nodes read as tugnode.yaml(5), such as a prolog or a health check; without controller, which the sandbox adds"},
    {OPT_STATE_DIR, "state-dir", 0, TUG_ARG_NEED, "DIR",
     "start: keep the controller's state there; the jobs of an earlier sandbox are still there "
     "then"},
    {OPT_DIR, "dir", 0, TUG_ARG_NEED, "DIR",
     "the sandbox in this directory; the default is one of your own under $XDG_RUNTIME_DIR"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_sandbox(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct sandbox_args {
    uint64_t nodes, gpus, cpus, mem_bytes;
    bool nodes_said, gpus_said, cpus_said, mem_said, has_fabric;
    struct tug_sandbox_fabric fabric;
    const char *model, *machine, *names, *policy, *dir, *state_dir, *node_config;
};

static int take_number(const char *name, const char *value, uint64_t least, uint64_t most,
                       uint64_t *out, struct tug_err *err)
{
    uint64_t n;
    if (tug_str_u64(value, most, &n) || n < least)
        return tug_fail(err, -EINVAL, "--%s: '%.64s' is not a number from %llu to %llu", name,
                        value, (unsigned long long) least, (unsigned long long) most);
    *out = n;
    return 0;
}

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct sandbox_args *a = ctx;
    int rc;
    switch (o->id) {
    case OPT_NODES:
        a->nodes_said = true;
        return take_number(o->name, value, 1, 4096, &a->nodes, err);
    case OPT_GPUS:
        a->gpus_said = true;
        return take_number(o->name, value, 0, 64, &a->gpus, err);
    case OPT_CPUS:
        a->cpus_said = true;
        return take_number(o->name, value, 1, 1024, &a->cpus, err);
    case OPT_MEMORY:
        a->mem_said = true;
        rc = tug_size_parse(value, 1 << 20, &a->mem_bytes, err);
        return rc ? tug_fail_ctx(err, rc, "--memory") : 0;
    case OPT_MODEL:
        a->model = value;
        break;
    case OPT_MACHINE:
        a->machine = value;
        break;
    case OPT_FABRIC:
        a->has_fabric = true;
        return tug_sandbox_fabric_parse(value, &a->fabric, err);
    case OPT_NAMES:
        a->names = value;
        break;
    case OPT_POLICY:
        a->policy = value;
        break;
    case OPT_NODE_CONFIG:
        a->node_config = value;
        break;
    case OPT_DIR:
        a->dir = value;
        break;
    case OPT_STATE_DIR:
        a->state_dir = value;
        break;
    }
    return 0;
}

static char *absolute(const char *path)
{
    if (*path == '/')
        return tug_xstrdup(path);
    char *here = getcwd(NULL, 0), *out = tug_xasprintf("%s/%s", here ? here : "", path);
    free(here);
    return out;
}

/* The sandbox that is meant; the caller frees. */
static char *dir_of(const struct sandbox_args *a, bool make, struct tug_err *err)
{
    char run[TUG_PATH_MAX];
    if (a->dir)
        return absolute(a->dir);
    if (tug_client_run_dir(run, sizeof run, make, err))
        return NULL;
    return tug_xasprintf("%s/sandbox", run);
}

/* ---- start ---- */

/* What was not said is as that machine has it. */
static int apply_machine(struct sandbox_args *a, struct tug_sheet **sheet, struct tug_err *err)
{
    int rc = tug_machines_find(NULL, a->machine, sheet, err);
    if (rc)
        return tug_fail_ctx(err, rc, "--machine");
    const struct tug_sheet *s = *sheet;
    if (a->gpus_said && a->gpus > s->machine.n_gpus)
        return tug_fail(err, -EINVAL, "--gpus: a %s has %u GPUs, not %llu", s->machine.name, s->machine.n_gpus,
                        (unsigned long long) a->gpus);
    if (!a->gpus_said)
        a->gpus = s->machine.n_gpus;
    if (!a->cpus_said && s->cpus)
        a->cpus = s->cpus;
    if (!a->mem_said && s->mem_bytes)
        a->mem_bytes = s->mem_bytes;
    if (!a->model && s->machine.n_gpus)
        a->model = s->machine.gpu[0].model;
    tug_sheet_cut(*sheet, (uint32_t) a->gpus);
    return 0;
}

/* The fabric says how many nodes there are, unless others do; then they must agree. */
static int apply_fabric(struct sandbox_args *a, struct tug_err *err)
{
    const struct tug_sandbox_fabric *f = &a->fabric;
    if (a->nodes_said && a->nodes != f->nodes)
        return tug_fail(err, -EINVAL, "--fabric has %u nodes, --nodes says %llu; leave --nodes out", f->nodes,
                        (unsigned long long) a->nodes);
    a->nodes = f->nodes;
    return 0;
}

static int check_names(const struct sandbox_args *a, const struct tug_hostlist *names, struct tug_err *err)
{
    size_t n = tug_hostlist_count(names);
    if (a->has_fabric && n != a->fabric.nodes)
        return tug_fail(err, -EINVAL, "--fabric has %u nodes, --names has %zu", a->fabric.nodes, n);
    return 0;
}

static int take_names(const struct sandbox_args *a, struct tug_hostlist **out, struct tug_err *err)
{
    char *text = a->names ? tug_xstrdup(a->names)
                          : tug_xasprintf("n[1-%llu]", (unsigned long long) a->nodes);
    int rc = tug_hostlist_parse(text, out, err);
    free(text);
    if (rc == 0 && tug_hostlist_count(*out) == 0)
        rc = tug_fail(err, -EINVAL, "--names names no node");
    return rc ? tug_fail_ctx(err, rc, "--names") : 0;
}

/* A directory that is a sandbox's, or empty: what is in any other is somebody's. */
static int check_dir(const char *dir, struct tug_err *err)
{
    char *lock = tug_xasprintf("%s/lock", dir), *config = tug_xasprintf("%s/tugline.yaml", dir);
    bool sandbox = access(lock, F_OK) == 0 || access(config, F_OK) == 0;
    free(lock);
    free(config);
    if (sandbox || rmdir(dir) == 0) /* rmdir is how to ask whether it is empty; it is made again */
        return 0;
    if (errno == ENOENT)
        return 0;
    if (errno == ENOTEMPTY || errno == EEXIST)
        return tug_fail(err, -ENOTEMPTY,
                        "%s is not empty and not a sandbox; give --dir a directory of its own",
                        dir);
    return tug_fail(err, -errno, "%s: %s", dir, strerror(errno));
}

/* Two starts at once: the second is refused by the lock, a later one by the processes. *lock is
 * held until the caller closes it. */
static int claim_dir(const char *dir, int *lock, struct tug_err *err)
{
    struct tug_sandbox_procs old = {0};
    char *path = tug_xasprintf("%s/lock", dir);
    int rc = check_dir(dir, err);
    if (rc == 0 && mkdir(dir, 0700) < 0 && errno != EEXIST)
        rc = tug_fail(err, -errno, "making the directory %s: %s", dir, strerror(errno));
    *lock = rc ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (rc == 0 && *lock < 0)
        rc = tug_fail(err, -errno, "%s: %s", path, strerror(errno));
    else if (rc == 0 && flock(*lock, LOCK_EX | LOCK_NB) < 0)
        rc = tug_fail(err, -EBUSY, "another tug sandbox start is at work in %s", dir);
    if (rc == 0 && tug_sandbox_load(dir, &old, NULL) == 0 && tug_sandbox_alive_n(&old) > 0)
        rc = tug_fail(err, -EEXIST,
                      "a sandbox is running in %s; end it with: tug sandbox stop, or start another "
                      "with --dir DIR",
                      dir);
    tug_sandbox_procs_clear(&old);
    free(path);
    return rc;
}

static void say_started(const struct tug_sandbox_conf *c, const char *dir, int64_t took_ms)
{
    size_t n = tug_hostlist_count(c->nodes);
    if (tug_out.json) {
        tug_out_addf(
            "{\"running\":true,\"nodes\":%zu,\"gpus_per_node\":%u,\"took_ms\":%lld,\"socket\":", n,
            c->gpus, (long long) took_ms);
        char *sock = tug_xasprintf("%s/tugd.sock", dir);
        tug_out_json_string(&tug_out.buf, sock, strlen(sock));
        free(sock);
        tug_out_adds("}\n");
        return;
    }
    tug_out_addf("A sandbox of %zu node%s with %u GPU%s each is ready after %.1f s, in %s\n", n,
                 n == 1 ? "" : "s", c->gpus, c->gpus == 1 ? "" : "s", (double) took_ms / 1000.0,
                 dir);
}

/* A sandbox with another policy than the one that was asked for is ready, and not what was meant.
 */
static void warn_policy(char *note)
{
    if (note && !tug_out.json)
        tug_out_warn("%s", note);
    free(note);
}

static int do_start(struct sandbox_args *a)
{
    struct tug_err err = {0};
    struct tug_sandbox_conf c = {.policy = a->policy ? a->policy : "multifactor+easy"};
    struct timespec t0, t1;
    char *dir = NULL, *state = NULL, *policy_note = NULL;
    struct tug_sheet *sheet = NULL;
    int lock = -1, status;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    if ((a->machine && apply_machine(a, &sheet, &err)) || (a->has_fabric && apply_fabric(a, &err)) ||
        take_names(a, &c.nodes, &err) || check_names(a, c.nodes, &err)) {
        status = tug_out_usage(&err);
        goto out;
    }
    dir = dir_of(a, true, &err);
    if (!dir || claim_dir(dir, &lock, &err)) {
        status = tug_out_fail(&err);
        goto out;
    }
    state = a->state_dir ? absolute(a->state_dir) : tug_xasprintf("%s/state", dir);
    c.dir = dir;
    c.state_dir = state;
    c.cpus = (uint32_t) a->cpus;
    c.gpus = (uint32_t) a->gpus;
    c.mem_bytes = a->mem_bytes;
    c.gpu_model = a->model ? a->model : "emulated";
    c.fresh = !a->state_dir;
    c.node_config = a->node_config;
    c.sheet = sheet;
    c.fabric = a->has_fabric ? &a->fabric : NULL;
    if (tug_sandbox_start(&c, &policy_note, &err)) {
        status = tug_out_fail(&err);
        goto out;
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    say_started(&c, dir, (t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000);
    status = TUG_EXIT_OK;
    warn_policy(policy_note);
    policy_note = NULL;
out:
    free(policy_note);
    if (lock >= 0)
        close(lock);
    tug_hostlist_free(c.nodes);
    tug_sheet_free(sheet);
    free(dir);
    free(state);
    return status;
}

/* ---- stop, status, env ---- */

static int do_stop(const char *dir)
{
    struct tug_sandbox_procs procs = {0};
    struct tug_err err = {0};
    int status = TUG_EXIT_OK;
    if (tug_sandbox_load(dir, &procs, &err) || tug_sandbox_end(&procs, &err)) {
        status = tug_out_fail(&err);
    } else {
        char *state = tug_xasprintf("%s/sandbox.state", dir),
             *sock = tug_xasprintf("%s/tugd.sock", dir);
        unlink(sock);
        unlink(state);
        free(sock);
        free(state);
        tug_out_adds(tug_out.json ? "{\"running\":false}\n" : "The sandbox has ended\n");
    }
    tug_sandbox_procs_clear(&procs);
    return status;
}

static int ask_nodes(const char *dir, uint32_t *up, uint32_t *known)
{
    struct tug_client c = {0};
    ProtobufCMessage *m;
    Tugpb__PingRequest ping = TUGPB__PING_REQUEST__INIT;
    char *sock = tug_xasprintf("%s/tugd.sock", dir);
    setenv("TUG_SOCKET", sock, 1);
    int rc = tug_client_once(TUG_MSG_PING_REQUEST, &ping.base, TUG_MSG_PING_REPLY, &c, &m, NULL);
    if (rc == 0) {
        *up = ((Tugpb__PingReply *) m)->nodes_up;
        *known = ((Tugpb__PingReply *) m)->nodes_known;
    }
    tug_client_close(&c);
    free(sock);
    return rc;
}

static int do_status(const char *dir)
{
    struct tug_sandbox_procs procs = {0};
    struct tug_err err = {0};
    uint32_t up = 0, known = 0;
    if (tug_sandbox_load(dir, &procs, &err)) {
        if (!tug_out.json)
            return tug_out_fail(&err);
        tug_out_adds("{\"running\":false}\n");
        return TUG_EXIT_REFUSED;
    }
    size_t alive = tug_sandbox_alive_n(&procs);
    bool answers = alive && ask_nodes(dir, &up, &known) == 0;
    bool well = answers && alive == procs.len && up == known;
    if (tug_out.json) {
        tug_out_addf("{\"running\":%s,\"processes\":%zu,\"alive\":%zu,\"nodes_up\":%u,\"nodes_"
                     "known\":%u,\"dir\":",
                     answers ? "true" : "false", procs.len, alive, up, known);
        tug_out_json_string(&tug_out.buf, dir, strlen(dir));
        tug_out_adds("}\n");
    } else {
        tug_out_addf("%s: %s, %u of %u nodes up\n", dir,
                     answers ? "the controller answers" : "the controller does not answer", up,
                     known);
        for (size_t i = 0; i < procs.len; i++)
            if (!tug_sandbox_alive(&procs.at[i]))
                tug_out_addf("%s (pid %d) has ended; see %s/%s.log\n", procs.at[i].name,
                             (int) procs.at[i].pid, dir, procs.at[i].name);
    }
    tug_sandbox_procs_clear(&procs);
    return well ? TUG_EXIT_OK : TUG_EXIT_REFUSED;
}

static int do_restart(const char *dir)
{
    struct tug_err err = {0};
    char *policy_note = NULL;
    if (tug_sandbox_restart(dir, &policy_note, &err)) {
        free(policy_note);
        return tug_out_fail(&err);
    }
    warn_policy(policy_note);
    tug_out_adds(tug_out.json ? "{\"running\":true}\n"
                              : "The controller was started again; nodes and gangs went on\n");
    return TUG_EXIT_OK;
}

static int do_env(const char *dir)
{
    struct tug_sandbox_procs procs = {0};
    struct tug_err err = {0};
    int rc = tug_sandbox_load(dir, &procs, &err);
    tug_sandbox_procs_clear(&procs);
    if (rc)
        return tug_out_fail(&err);
    if (tug_out.json) {
        char *sock = tug_xasprintf("%s/tugd.sock", dir);
        tug_out_adds("{\"TUG_SOCKET\":");
        tug_out_json_string(&tug_out.buf, sock, strlen(sock));
        tug_out_adds("}\n");
        free(sock);
        return TUG_EXIT_OK;
    }
    tug_out_adds("export TUG_SOCKET='"); /* for eval: quoted for the shell */
    for (const char *at = dir; *at; at++)
        tug_out_addf(*at == '\'' ? "'\\''" : "%c", *at);
    tug_out_adds("/tugd.sock'\n");
    return TUG_EXIT_OK;
}

int tug_do_sandbox(int argc, char **argv)
{
    struct sandbox_args a = {.nodes = 4, .gpus = 8, .cpus = 64, .mem_bytes = 512ULL << 30};
    struct tug_err err = {0};
    int words, status = tug_verb_parse("sandbox", argc, argv, take, &a, &words);
    if (status >= 0)
        return status;
    if (words == 1 && !strcmp(argv[1], "start"))
        return do_start(&a);
    static const struct {
        const char *word;
        int (*run)(const char *dir);
    } words_[] = {
        {"stop", do_stop}, {"status", do_status}, {"restart", do_restart}, {"env", do_env}};
    for (size_t i = 0; words == 1 && i < sizeof words_ / sizeof *words_; i++) {
        if (strcmp(argv[1], words_[i].word) != 0)
            continue;
        char *dir = dir_of(&a, false, &err);
        status = dir ? words_[i].run(dir) : tug_out_fail(&err);
        free(dir);
        return status;
    }
    tug_fail(&err, -EINVAL, "say what to do: tug sandbox start, status, stop, restart or env");
    return tug_out_usage(&err);
}
