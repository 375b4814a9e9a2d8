/* pack.c - how much of a cluster can be given away: pods come, stay, and are never taken back
 *
 * Nodes: sn,cpu_milli,memory_mib,gpu,model. Pods:
 * name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec and more that is not read. A CPU of the core
 * is a thousandth of one here. Layer: sim.
 */
#include "sim/pack.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/vec.h"
#include "base/version.h"
#include "core/core.h"
#include "host/plugset.h"
#include "sim/catalog.h"

#define QUEUE     "main"
#define LINE_MAX_ 1024
#define FIELDS    6
#define OVERLOAD  1.3
#define LAUNCH_S  1000000

const char tug_pack_usage[] =
    "tug-sim pack --nodes FILE --pods FILE [--policy fgd] [--param K=V]... [--policy-dir DIR]...\n"
    "             [--seed N] [--json]\n"
    "  how much of the GPUs is given away when pods come in a random order and stay\n";

struct pod {
    char *name, *model;
    uint32_t cpus, gpus, milli;
    uint64_t mem_bytes;
};

struct pack {
    const char *nodes_path, *pods_path, *policy;
    uint64_t seed;
    int json;
    struct tug_vec(struct tug_plugload_param) params;
    struct tug_vec(const char *) dirs;
    struct tug_dirs installed; /* the last of them */
    struct tug_vec(struct tug_core_node_row) nodes;
    struct tug_vec(struct pod) pods;
    struct tug_vec(uint32_t) order; /* pods as they come */
    char *typical;
    uint64_t capacity, arrived, given; /* thousandths of a GPU */
    double at_full;                    /* given when as much as there is had arrived */
    uint64_t tried, placed;
};

/* ---- files */

static int read_number(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text < '0' || *text > '9' || *end || errno || *out > most ? -EINVAL : 0;
}

typedef int take_row(struct pack *p, char **fields);

static int take_node(struct pack *p, char **f)
{
    uint64_t cpus, mem_mib, gpus;
    if (read_number(f[1], UINT32_MAX, &cpus) || read_number(f[2], 1ULL << 40, &mem_mib) ||
        read_number(f[3], TUG_GPUS_MAX, &gpus))
        return -EINVAL;
    struct tug_core_node_row row = {tug_xstrdup(f[0]), (uint32_t) cpus, (uint32_t) gpus,
                                    mem_mib << 20, tug_xstrdup(f[4]), NULL};
    tug_vec_push(&p->nodes, row);
    p->capacity += gpus * TUG_GPU_MILLI;
    return 0;
}

static int take_pod(struct pack *p, char **f)
{
    uint64_t cpus, mem_mib, gpus, milli;
    if (read_number(f[1], UINT32_MAX, &cpus) || read_number(f[2], 1ULL << 40, &mem_mib) ||
        read_number(f[3], TUG_GPUS_MAX, &gpus) || read_number(f[4], TUG_GPU_MILLI, &milli) ||
        (gpus && !milli) || (gpus > 1 && milli < TUG_GPU_MILLI))
        return -EINVAL;
    struct pod pod = {.name = tug_xstrdup(f[0]),
                      .model = tug_xstrdup(f[5]),
                      .cpus = (uint32_t) cpus,
                      .gpus = (uint32_t) gpus,
                      .milli = gpus ? (uint32_t) milli : 0,
                      .mem_bytes = mem_mib << 20};
    tug_vec_push(&p->pods, pod);
    return 0;
}

static size_t split(char *line, char **fields)
{
    size_t n = 0;
    line[strcspn(line, "\r\n")] = '\0';
    for (char *at = line; at && n < FIELDS; n++) {
        fields[n] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = '\0';
    }
    return n;
}

static int read_file(struct pack *p, const char *path, const char *header, size_t n_fields,
                     take_row *take, struct tug_err *err)
{
    char line[LINE_MAX_], *f[FIELDS];
    unsigned long n = 0;
    int rc = 0;
    gzFile in = gzopen(path, "rb");
    if (!in)
        return tug_fail(err, -errno, "%s: %s", path, strerror(errno));
    while (!rc && gzgets(in, line, sizeof line)) {
        n++;
        if (n == 1 && strncmp(line, header, strlen(header)))
            rc = tug_fail(err, -EINVAL, "%s:1: the columns are not %s", path, header);
        else if (n > 1 && (split(line, f) < n_fields || take(p, f)))
            rc = tug_fail(err, -EINVAL, "%s:%lu: expected %s", path, n, header);
    }
    if (!rc && (n < 2 || !gzeof(in)))
        rc = tug_fail(err, -EINVAL, "%s: %s", path, n < 2 ? "has no rows" : "is cut off");
    gzclose(in);
    return rc;
}

/* ---- what comes */

static uint64_t wants(const struct pod *pod)
{
    return (uint64_t) pod->gpus * pod->milli;
}

static void draw(struct pack *p)
{
    struct tug_rand rand = tug_rand_seed(p->seed);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->pods.len; i++) {
        tug_vec_push(&p->order, i);
        sum += wants(&p->pods.at[i]);
    }
    for (size_t i = p->order.len; i > 1; i--) {
        size_t k = (size_t) (tug_rand_u64(&rand) % i);
        uint32_t other = p->order.at[k];
        p->order.at[k] = p->order.at[i - 1];
        p->order.at[i - 1] = other;
    }
    while ((double) sum < OVERLOAD * (double) p->capacity) {
        uint32_t i = (uint32_t) (tug_rand_u64(&rand) % p->pods.len);
        tug_vec_push(&p->order, i);
        sum += wants(&p->pods.at[i]);
    }
}

/* All that will come, for policies that want to know what is typical. */
static void tell_typical(struct pack *p)
{
    struct tug_buf text = {0};
    for (size_t i = 0; i < p->pods.len; i++) {
        const struct pod *pod = &p->pods.at[i];
        tug_buf_addf(&text, "%s%u/%u/%u%s%s*1", i ? "," : "", pod->cpus, pod->gpus, pod->milli,
                     *pod->model ? "/" : "", pod->model);
    }
    p->typical = tug_buf_take(&text);
    for (size_t i = 0; i < p->params.len; i++)
        if (!strcmp(p->params.at[i].name, "typical"))
            return;
    if (!strcmp(p->policy, "fgd")) {
        struct tug_plugload_param param = {"typical", p->typical};
        tug_vec_push(&p->params, param);
    }
}

/* ---- the experiment */

static struct tug_core *new_core(const struct pack *p, struct tug_err *err)
{
    const struct tug_core_queue queue = {.name = QUEUE, .nodes = "", .is_default = 1};
    const struct tug_core_conf conf = {.launch_timeout_s = LAUNCH_S,
                                       .launch_retries = 1,
                                       .queues = &queue,
                                       .n_queues = 1,
                                       .nodes = p->nodes.at,
                                       .n_nodes = p->nodes.len,
                                       .seed = p->seed,
                                       .placement = TUG_PLACEMENT_CONSOLIDATE,
                                       .quiet = 1};
    return tug_core_new(&conf, err);
}

static int event(struct tug_core *c, struct tug_event ev, struct tug_err *err)
{
    struct tug_action a;
    int rc = tug_core_apply(c, 0, &ev, err);
    while (tug_core_next_action(c, &a))
        ;
    return rc;
}

static int nodes_up(struct tug_core *c, const struct pack *p, struct tug_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < p->nodes.len && !rc; i++) {
        const struct tug_core_node_row *n = &p->nodes.at[i];
        rc = event(c,
                   (struct tug_event){.type = TUG_EV_NODE_UP,
                                      .node = i,
                                      .inventory = {n->cpus, n->gpus, n->mem_bytes, n->gpu_model}},
                   err);
    }
    return rc;
}

/* Tries it once. What does not fit is gone. */
static int try_pod(struct pack *p, struct tug_core *c, const struct tug_policy_set *set,
                   const struct pod *pod, struct tug_err *err)
{
    struct tug_pass_stats stats = {0};
    struct tug_action a;
    tug_job_id id = ++p->tried;
    const struct tug_job_req req = {.user = "",
                                    .queue = QUEUE,
                                    .account = "",
                                    .name = "",
                                    .batch = 1,
                                    .nodes = 1,
                                    .ntasks = 1,
                                    .cpus_per_node = pod->cpus,
                                    .gpus_per_node = pod->gpus,
                                    .gpu_milli = pod->milli % TUG_GPU_MILLI,
                                    .mem_per_node_bytes = pod->mem_bytes,
                                    .gpu_model = pod->model,
                                    .nodelist = "",
                                    .exclude = ""};
    int rc = event(c, (struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = id, .req = &req}, err);
    if (rc)
        return rc;
    rc = tug_core_pass(c, 0, set, &stats, err);
    while (tug_core_next_action(c, &a))
        ;
    if (rc < 0 || stats.refused)
        return rc < 0 ? rc : -EPROTO;
    p->arrived += wants(pod);
    if (stats.started) {
        p->placed++;
        p->given += wants(pod);
        return 0;
    }
    return event(c, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = id}, err);
}

static int pack(struct pack *p, const struct tug_policy_set *set, struct tug_err *err)
{
    struct tug_core *c = new_core(p, err);
    if (!c)
        return -EINVAL;
    tug_core_restored(c, 0);
    int rc = nodes_up(c, p, err);
    for (size_t i = 0; i < p->order.len && !rc; i++) {
        int was_below = p->arrived < p->capacity;
        rc = try_pod(p, c, set, &p->pods.at[p->order.at[i]], err);
        if (was_below && p->arrived >= p->capacity)
            p->at_full = 100.0 * (double) p->given / (double) p->capacity;
        if (!rc && i % 4096 == 0)
            rc = tug_core_check(c, err);
    }
    if (!rc)
        rc = tug_core_check(c, err);
    tug_core_free(c);
    return rc;
}

static int report(const struct pack *p)
{
    double given = 100.0 * (double) p->given / (double) p->capacity;
    if (p->json)
        printf(
            "{\"policy\": \"%s\", \"seed\": %llu, \"nodes\": %zu, \"gpus\": %llu, \"pods\": %llu, "
            "\"placed\": %llu, \"allocated_at_100_pct\": %.4f, \"allocated_pct\": %.4f}\n",
            p->policy, (unsigned long long) p->seed, p->nodes.len,
            (unsigned long long) (p->capacity / TUG_GPU_MILLI), (unsigned long long) p->tried,
            (unsigned long long) p->placed, p->at_full, given);
    else
        printf(
            "%zu nodes, %llu GPUs; %llu of %llu pods placed\n"
            "%.2f %% of the GPUs were given away when as many had been asked for, %.2f %% at the "
            "end\n",
            p->nodes.len, (unsigned long long) (p->capacity / TUG_GPU_MILLI),
            (unsigned long long) p->placed, (unsigned long long) p->tried, p->at_full, given);
    return fflush(stdout) ? -EIO : 0;
}

/* ---- the command */

enum { NODES = 256, PODS, POLICY, PARAM, DIR, SEED, JSON };

static int take_option(struct pack *p, int id, char *value, struct tug_err *err)
{
    char *equals;
    switch (id) {
    case NODES:
        p->nodes_path = value;
        return 0;
    case PODS:
        p->pods_path = value;
        return 0;
    case POLICY:
        p->policy = value;
        return 0;
    case DIR:
        tug_vec_push(&p->dirs, value);
        return 0;
    case JSON:
        p->json = 1;
        return 0;
    case SEED:
        return read_number(value, UINT64_MAX, &p->seed)
                   ? tug_fail(err, -EINVAL, "--seed: '%s' is not a whole number", value)
                   : 0;
    case PARAM:
        equals = strchr(value, '=');
        if (!equals || equals == value)
            return tug_fail(err, -EINVAL, "--param: '%s' is not KEY=VALUE", value);
        *equals = '\0';
        struct tug_plugload_param param = {value, equals + 1};
        tug_vec_push(&p->params, param);
        return 0;
    default:
        return tug_fail(err, -EINVAL, "see tug-sim --help for what pack takes");
    }
}

static int parse(int argc, char **argv, struct pack *p, struct tug_err *err)
{
    static const struct option options[] = {{"nodes", 1, NULL, NODES},    {"pods", 1, NULL, PODS},
                                            {"policy", 1, NULL, POLICY},  {"param", 1, NULL, PARAM},
                                            {"policy-dir", 1, NULL, DIR}, {"seed", 1, NULL, SEED},
                                            {"json", 0, NULL, JSON},      {NULL, 0, NULL, 0}};
    int rc = 0;
    optind = 1;
    for (int id; !rc && (id = getopt_long(argc, argv, "", options, NULL)) != -1;)
        rc = take_option(p, id, optarg, err);
    if (!rc && (!p->nodes_path || !p->pods_path || optind < argc))
        rc = tug_fail(err, -EINVAL, "pack needs --nodes FILE and --pods FILE, and nothing else");
    tug_dirs_installed(&p->installed);
    for (size_t i = 0; i < p->installed.len; i++)
        tug_vec_push(&p->dirs, p->installed.at[i]);
    return rc;
}

/* Otherwise no list of them would ever be long enough. */
static int wants_gpus(const struct pack *p)
{
    for (size_t i = 0; i < p->pods.len; i++)
        if (p->pods.at[i].gpus && p->pods.at[i].milli)
            return 1;
    return 0;
}

static int run(struct pack *p, struct tug_err *err)
{
    struct tug_plugset *policies = NULL;
    int rc = read_file(p, p->nodes_path, "sn,cpu_milli,memory_mib,gpu,model", 5, take_node, err);
    if (!rc)
        rc = read_file(p, p->pods_path, "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec", 6,
                       take_pod, err);
    if (!rc && !p->capacity)
        rc = tug_fail(err, -EINVAL, "%s has no GPUs", p->nodes_path);
    if (!rc && !wants_gpus(p))
        rc = tug_fail(err, -EINVAL, "%s has no pod that wants GPUs", p->pods_path);
    if (rc)
        return rc;
    draw(p);
    tell_typical(p);
    const struct tug_plugset_conf load = {.names = p->policy,
                                          .dirs = p->dirs.at,
                                          .n_dirs = p->dirs.len,
                                          .params = p->params.at,
                                          .n_params = p->params.len};
    rc = tug_plugset_open(&load, &policies, err);
    if (!rc)
        rc = pack(p, tug_plugset_policies(policies), err);
    if (!rc)
        rc = report(p);
    tug_plugset_close(policies);
    return rc;
}

static void clear(struct pack *p)
{
    for (size_t i = 0; i < p->nodes.len; i++) {
        free((char *) (uintptr_t) p->nodes.at[i].name);
        free((char *) (uintptr_t) p->nodes.at[i].gpu_model);
    }
    for (size_t i = 0; i < p->pods.len; i++) {
        free(p->pods.at[i].name);
        free(p->pods.at[i].model);
    }
    free(p->typical);
    tug_vec_clear(&p->nodes);
    tug_vec_clear(&p->pods);
    tug_vec_clear(&p->order);
    tug_vec_clear(&p->params);
    tug_vec_clear(&p->dirs);
    tug_dirs_clear(&p->installed);
}

int tug_pack_main(int argc, char **argv)
{
    struct pack p = {.policy = "fgd", .seed = 1};
    struct tug_err err = {0};
    int usage = parse(argc, argv, &p, &err), rc = usage ? usage : run(&p, &err);
    if (rc)
        fprintf(stderr, "tug-sim: %s\n", err.msg);
    clear(&p);
    return usage ? 2 : rc != 0;
}
