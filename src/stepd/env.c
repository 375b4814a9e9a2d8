/* env.c - the environment of a rank
 *
 * The rows of env.def become two functions: one fills in what all ranks of the node share (once),
 * one what differs (per rank). Later words win: submitter, node rows, rank rows, the PMIx server's
 * own. Layer: stepd.
 */
#include "stepd/env.h"

#include "stepd/probe.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/gpuset.h"
#include "base/hostlist.h"
#include "base/mem.h"
#include "base/rate.h"
#include "base/str.h"
#include "base/version.h"
#include "stepd/gpus.h"
#include "stepd/netif.h"
#include "stepd/nics.h"

enum when { ALWAYS, RANKS, PMIX, TCP, GPUS, EMULATED, PART, WHEN_COUNT };

struct vars { /* "K=V" pointers, NULL at the end */
    char **at;
    size_t len, cap;
};

struct tug_rank_env {
    const struct tug_payload *p;
    struct tug_arena arena;
    struct vars shared;
    bool holds[WHEN_COUNT];
    char *nodelist, *tasks_per_node, *cpus_per_node;
    char *master_addr;
    unsigned master_port, ras_port;
    unsigned omp_threads;
    bool crowded;   /* more ranks than CPUs */
    char iface[32]; /* "" = not found */
    struct tug_buf defaults; /* TUG_DEFAULTS of the rows that all ranks share */
    char cidr[64];
};

/* ---- lists of variables ---- */

static char *arena_text(struct tug_arena *a, const char *s, size_t len)
{
    char *d = tug_arena_alloc(a, len + 1);

    tug_assert(d); /* the arenas here have no budget to run out of */
    memcpy(d, s, len);
    d[len] = 0;
    return d;
}

static void vars_reserve(struct vars *v, struct tug_arena *a, size_t n)
{
    if (n < v->cap)
        return;
    size_t cap = n * 2 + 64;
    char **at = tug_arena_alloc(a, cap * sizeof *at);
    tug_assert(at);
    if (v->len)
        memcpy(at, v->at, v->len * sizeof *at);
    v->at = at;
    v->cap = cap;
}

static size_t vars_find(const struct vars *v, const char *name, size_t name_len)
{
    for (size_t i = 0; i < v->len; i++)
        if (v->at[i][0] == name[0] && strncmp(v->at[i], name, name_len) == 0 &&
            v->at[i][name_len] == '=')
            return i;
    return v->len;
}

static void vars_put(struct vars *v, struct tug_arena *a, char *kv)
{
    size_t i = vars_find(v, kv, strcspn(kv, "="));

    if (i < v->len) {
        v->at[i] = kv;
        return;
    }
    vars_reserve(v, a, v->len + 2);
    v->at[v->len++] = kv;
    v->at[v->len] = NULL;
}

/* ---- values that need more than an expression ---- */

/* By UUID where they are known: inside a device cgroup CUDA counts from 0 again, a UUID always
 * fits. */
static bool has_uuids(const struct tug_payload *p)
{
    return p->inv && !p->emulated && p->inv->gpus && p->inv->n_gpu_uuids >= p->inv->gpus;
}

static void print_gpus(const struct tug_payload *p, unsigned local, struct tug_buf *out)
{
    struct tug_gpu_list gpus;
    const char *comma = "";

    tug_gpus_shown(p, local, &gpus);
    for (unsigned i = 0; i < gpus.n; i++, comma = ",") {
        unsigned g = gpus.at[i];
        const Tugpb__MigSlice *slice = tug_gpus_slice(p, g);
        tug_buf_adds(out, comma);
        if (slice)
            tug_buf_adds(out, slice->uuid);
        else if (has_uuids(p) && g < p->inv->n_gpu_uuids && p->inv->gpu_uuids[g][0])
            tug_buf_adds(out, p->inv->gpu_uuids[g]);
        else
            tug_buf_addf(out, "%u", g);
    }
}

static bool v_cuda(const struct tug_rank_env *e, unsigned local, struct tug_buf *out)
{
    print_gpus(e->p, local, out);
    return e->p->slice->gpus || (e->p->inv && e->p->inv->gpus > 0);
}

/* "void": the container tools then do nothing about GPUs; an empty one would mean the same, but not
 * to all of them. */
static bool v_containers(const struct tug_rank_env *e, unsigned local, struct tug_buf *out)
{
    if (e->p->slice->gpus)
        print_gpus(e->p, local, out);
    else
        tug_buf_adds(out, "void");
    return has_uuids(e->p);
}

/* NCCL takes a bare name as a prefix, and mlx5_1 would stand for mlx5_10 too. */
static bool v_hca(const struct tug_rank_env *e, struct tug_buf *out)
{
    uint32_t nics = tug_nics_of_node(e->p);

    tug_buf_addc(out, '=');
    tug_nics_print(e->p, nics, "", out);
    return nics != 0;
}

static bool v_nic(const struct tug_rank_env *e, unsigned local, struct tug_buf *out)
{
    uint32_t nics = tug_nics_of_rank(e->p, local);

    tug_nics_print(e->p, nics, "", out);
    return nics != 0;
}

/* UCX does not start where a device that it is told is not there, as on an emulated node. */
static bool v_ucx(const struct tug_rank_env *e, unsigned local, struct tug_buf *out)
{
    uint32_t nics = e->p->emulated ? 0 : tug_nics_of_rank(e->p, local);

    tug_nics_print(e->p, nics, ":1", out);
    return nics != 0;
}

static bool v_nccl_iface(const struct tug_rank_env *e, struct tug_buf *out)
{
    if (!e->iface[0])
        return false;
    tug_buf_addf(out, "=%s", e->iface); /* NCCL takes a bare name as a prefix */
    return true;
}

static bool v_verdict(const struct tug_rank_env *e, unsigned rank, struct tug_buf *out)
{
    char *path = tug_probe_path(e->p, rank);

    tug_buf_adds(out, path);
    free(path);
    return e->p->pb->preflight;
}

static bool v_ras(const struct tug_rank_env *e, struct tug_buf *out)
{
    if (!e->ras_port)
        return false;
    tug_buf_addf(out, "localhost:%u", e->ras_port);
    return true;
}

#define TOPO_FILE TUG_SYSCONFDIR "/nccl-topo.xml"

/* A virtual machine that hides the PCI tree, whose maker's file (NCCL's own default) is not there. */
static bool v_topo(const struct tug_rank_env *e, struct tug_buf *out)
{
    static const char usual[] = "/var/run/nvidia-topologyd/virtualTopology.xml";

    tug_buf_adds(out, TOPO_FILE);
    return e->p->inv && e->p->inv->hides_pci && access(usual, R_OK) && access(TOPO_FILE, R_OK) == 0;
}

/* torch puts the rank behind both. What a rank writes on a timeout must outlive the step. */
static bool v_trace_file(const struct tug_rank_env *e, struct tug_buf *out)
{
    tug_buf_addf(out, "%s/tug-%llu.trace.", e->p->spec->cwd,
                 (unsigned long long) e->p->pb->key->job);
    return true;
}

static bool v_trace_pipe(const struct tug_rank_env *e, struct tug_buf *out)
{
    tug_buf_addf(out, "%s/fr_", e->p->run_dir);
    return true;
}

/* ---- a part of a GPU ---- */

static bool v_share(unsigned milli, struct tug_buf *out)
{
    char text[32];

    tug_buf_adds(out, tug_milli_format(milli, text, sizeof text));
    return milli != 0;
}

/* The ranks of the job share its part. */
static unsigned milli_a_rank(const struct tug_payload *p)
{
    unsigned ranks = p->n_local ? p->n_local : 1;

    return p->slice->gpu_milli > ranks ? p->slice->gpu_milli / ranks : 1;
}

static unsigned percent_a_rank(const struct tug_payload *p)
{
    return milli_a_rank(p) > 10 ? milli_a_rank(p) / 10 : 1;
}

static unsigned part_of_mib(const struct tug_payload *p, unsigned milli)
{
    unsigned gpu = p->slice->gpus ? (unsigned) __builtin_ctzll(p->slice->gpus) : TUG_GPUS_MAX;
    bool known = p->machine && gpu < p->machine->n_gpus;

    return known ? (unsigned) ((uint64_t) p->machine->gpu[gpu].mem_mib * milli / TUG_GPU_MILLI) : 0;
}

static unsigned part_mib(const struct tug_payload *p)
{
    return part_of_mib(p, p->slice->gpu_milli);
}

/* By the number that the rank sees: it sees one GPU. */
static bool v_mps_mem(const struct tug_payload *p, struct tug_buf *out)
{
    unsigned mib = part_of_mib(p, milli_a_rank(p));

    tug_buf_addf(out, "0=%uM", mib);
    return mib != 0;
}

/* ---- the table as two functions ---- */

static bool add_text(struct tug_buf *out, const char *s)
{
    tug_buf_adds(out, s ? s : "");
    return s && s[0];
}

static bool add_num(struct tug_buf *out, unsigned long long n)
{
    tug_buf_addf(out, "%llu", n);
    return true;
}

enum scope { NODE, RANK };
enum mode { SET, DEFAULT };

/* Launchers that a variable belongs to, as a set of bits. */
enum launchers {
    TORCH = 1 << TUGPB__LAUNCHER__LAUNCHER_AUTO | 1 << TUGPB__LAUNCHER__LAUNCHER_TORCH,
    MPI = 1 << TUGPB__LAUNCHER__LAUNCHER_AUTO | 1 << TUGPB__LAUNCHER__LAUNCHER_PMIX,
    WIRED = TORCH | MPI,
    ANY = WIRED | 1 << TUGPB__LAUNCHER__LAUNCHER_PLAIN
};

#define NUM(x)         add_num(out, (unsigned long long) (x))
#define NUM_OR_NONE(x) ((x) ? add_num(out, (unsigned long long) (x)) : false)
#define STR(s)         add_text(out, s)

typedef bool value_fn(const struct tug_rank_env *e, const struct tug_payload *p, unsigned r,
                      unsigned l, struct tug_buf *out);

#define TUG_ENV(name, scope, mode, when, launchers, value, words)                                  \
    static bool value_##name(const struct tug_rank_env *e, const struct tug_payload *p,            \
                             unsigned r, unsigned l, struct tug_buf *out)                          \
    {                                                                                              \
        (void) e, (void) p, (void) r, (void) l;                                                    \
        return value;                                                                              \
    }
#include "stepd/env.def"
#undef TUG_ENV

static const struct row {
    const char *name;
    enum scope scope;
    enum mode mode;
    enum when when;
    enum launchers launchers;
    value_fn *value;
} rows[] = {
#define TUG_ENV(name, scope, mode, when, launchers, value, words)                                  \
    {#name, scope, mode, when, launchers, value_##name},
#include "stepd/env.def"
#undef TUG_ENV
};

/* Does the step set it, if the facts are so? */
static bool is_ours(const struct row *row, const struct tug_payload *p)
{
    return row->launchers >> p->spec->launcher & 1;
}

/* TUG_DEFAULTS, "NAME:SUM,...": what is a default of ours and no word of the user, who may have changed
 * it since. A job that is submitted from inside of this one must not take the ports and NICs of this
 * one along as the user's wish. */

static uint32_t sum_of(const char *s) /* FNV-1a */
{
    uint32_t h = 2166136261u;

    for (; *s; s++)
        h = (h ^ (uint8_t) *s) * 16777619u;
    return h;
}

static void list_default(struct tug_buf *list, const char *kv)
{
    int n = (int) strcspn(kv, "=");

    tug_buf_addf(list, "%s%.*s:%08x", list->len ? "," : "", n, kv, (unsigned) sum_of(kv + n + 1));
}

static bool is_default(const char *list, const char *kv)
{
    struct tug_buf want = {0};
    const char *at;
    size_t len;
    bool found = false;

    list_default(&want, kv);
    while (!found && tug_str_split(&list, ',', &at, &len))
        found = len == want.len && memcmp(at, want.data, len) == 0;
    tug_buf_clear(&want);
    return found;
}

/* DEFAULT rows that were put in are added to 'defaults'. */
static void put_rows(const struct tug_rank_env *e, struct vars *v, struct tug_arena *a,
                     enum scope scope, unsigned local, struct tug_buf *defaults)
{
    struct tug_buf text = {0};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        if (row->scope != scope || !e->holds[row->when] || !is_ours(row, e->p))
            continue;
        tug_buf_reset(&text);
        tug_buf_addf(&text, "%s=", row->name);
        if (!row->value(e, e->p, tug_payload_rank(e->p, local), local, &text) ||
            (row->mode == DEFAULT && tug_rank_env_get(v->at, row->name)))
            continue;
        vars_put(v, a, arena_text(a, text.data, text.len));
        if (row->mode == DEFAULT)
            list_default(defaults, tug_buf_str(&text));
    }
    tug_buf_clear(&text);
}

/* ---- what the submitter had ---- */

/* Another launcher's words about another job would mislead libraries inside the ranks. A user's own
 * settings of Open MPI and PMIx (MCA parameters) stay, but for those that name a launcher. */
static bool stale(const struct tug_payload *p, bool nested, const char *kv)
{
    static const char *const keep[] = {"OMPI_MCA_", "PMIX_MCA_"};
    static const char *const internal[] = {"OMPI_MCA_ess", "OMPI_MCA_orte_", "OMPI_MCA_schizo",
                                           "OMPI_MCA_pmix"};
    static const char *const launcher[] = {"PMIX_", "OMPI_", "PMI_", "SLURM_", "TORCHELASTIC_"};

    for (size_t i = 0; i < sizeof internal / sizeof *internal; i++)
        if (tug_str_has_prefix(kv, internal[i]))
            return true;
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
        if (tug_str_has_prefix(kv, keep[i]))
            return false;
    for (size_t i = 0; i < sizeof launcher / sizeof *launcher; i++)
        if (tug_str_has_prefix(kv, launcher[i]))
            return true;
    /* What a job around this one got from us; other TUG_ names (where the cluster is) are the
     * user's, and so is what this launcher leaves alone, where there is no such job. */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = strlen(rows[i].name);
        if (rows[i].mode == SET && strncmp(kv, rows[i].name, n) == 0 && kv[n] == '=')
            return nested || is_ours(&rows[i], p);
    }
    return false;
}

static void list_submitters(const ProtobufCBinaryData *env, struct vars *v, struct tug_arena *a)
{
    const char *s = (const char *) env->data;
    size_t left = env->len;

    while (left) {
        size_t n = strnlen(s, left);
        if (memchr(s, '=', n) && s[0] != '=') {
            vars_reserve(v, a, v->len + 2);
            v->at[v->len++] = arena_text(a, s, n);
        }
        s += n + (n < left);
        left -= n + (n < left);
    }
    vars_reserve(v, a, v->len + 2);
    v->at[v->len] = NULL;
}

static void take_submitters(struct tug_rank_env *e)
{
    struct vars *v = &e->shared;
    size_t kept = 0;
    const char *defaults;
    bool nested;

    list_submitters(&e->p->spec->env, v, &e->arena);
    nested = tug_rank_env_get(v->at, "TUG_JOB_ID") != NULL;
    defaults = tug_rank_env_get(v->at, "TUG_DEFAULTS");
    for (size_t i = 0; i < v->len; i++)
        if (!stale(e->p, nested, v->at[i]) && !(defaults && is_default(defaults, v->at[i])))
            v->at[kept++] = v->at[i];
    v->len = kept;
    v->at[kept] = NULL;
}

/* ---- facts ---- */

/* "2(x3),1": Slurm's short form of one number a node. */
static char *per_node(const struct tug_payload *p, bool cpus)
{
    struct tug_buf b = {0};

    for (size_t i = 0, run; i < p->pb->n_slices; i += run) {
        const Tugpb__Slice *s = p->pb->slices[i];
        unsigned n = cpus ? s->cpus : s->ntasks;
        for (run = 1; i + run < p->pb->n_slices; run++)
            if ((cpus ? p->pb->slices[i + run]->cpus : p->pb->slices[i + run]->ntasks) != n)
                break;
        tug_buf_addf(&b, "%s%u", i ? "," : "", n);
        if (run > 1)
            tug_buf_addf(&b, "(x%zu)", run);
    }
    return tug_buf_take(&b);
}

static char *node_list(const struct tug_payload *p)
{
    struct tug_hostlist *hl = tug_hostlist_new();
    struct tug_buf b = {0};

    for (size_t i = 0; i < p->pb->n_slices; i++)
        tug_hostlist_add(hl, p->pb->slices[i]->node, NULL);
    tug_hostlist_format(hl, &b);
    tug_hostlist_free(hl);
    return b.data ? tug_buf_take(&b) : tug_xstrdup("");
}

static bool has_infiniband(void)
{
    DIR *d = opendir("/sys/class/infiniband");
    struct dirent *ent;
    bool found = false;

    while (d && !found && (ent = readdir(d)))
        found = ent->d_name[0] != '.';
    if (d)
        closedir(d);
    return found;
}

static unsigned usable_cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned) CPU_COUNT(&set) : 1;
}

static void find_facts(struct tug_rank_env *e)
{
    const struct tug_payload *p = e->p;
    unsigned here = usable_cpus();
    unsigned each = p->spec->res && p->spec->res->cpus_per_task ? p->spec->res->cpus_per_task
                    : p->n_local                                ? p->slice->cpus / p->n_local
                                                                : 1;
    uint64_t gpus = 0;

    for (size_t i = 0; i < p->pb->n_slices; i++)
        gpus |= p->pb->slices[i]->gpus;
    e->omp_threads = each < 1 ? 1 : each > here ? here : each;
    /* Emulated nodes share the CPUs that are really there. */
    e->crowded = (p->emulated ? p->n_ranks : p->n_local) > here;
    e->nodelist = node_list(p);
    e->tasks_per_node = per_node(p, false);
    e->cpus_per_node = per_node(p, true);
    tug_netif_find(p->address, e->iface, sizeof e->iface, e->cidr, sizeof e->cidr);
    e->holds[ALWAYS] = true;
    e->holds[RANKS] = !p->batch;
    e->holds[PMIX] = p->pmix;
    e->holds[TCP] = p->pmix && !has_infiniband();
    e->holds[GPUS] = gpus != 0;
    e->holds[EMULATED] = p->emulated;
    e->holds[PART] = p->slice->gpu_milli != 0;
}

struct tug_rank_env *tug_rank_env_new(const struct tug_payload *p, const char *master_addr,
                                      unsigned master_port, unsigned ras_port)
{
    struct tug_rank_env *e = tug_new(struct tug_rank_env);

    e->p = p;
    e->arena.budget_bytes = SIZE_MAX;
    e->master_addr = tug_xstrdup(master_addr);
    e->master_port = master_port;
    e->ras_port = ras_port;
    find_facts(e);
    take_submitters(e);
    put_rows(e, &e->shared, &e->arena, NODE, 0, &e->defaults);
    return e;
}

void tug_rank_env_free(struct tug_rank_env *e)
{
    if (!e)
        return;
    tug_arena_clear(&e->arena);
    free(e->nodelist);
    free(e->tasks_per_node);
    free(e->cpus_per_node);
    free(e->master_addr);
    tug_buf_clear(&e->defaults);
    free(e);
}

char **tug_rank_env_make(const struct tug_rank_env *e, struct tug_arena *a, unsigned local,
                         char *const *extra)
{
    struct vars v = {0};
    struct tug_buf defaults = {0};

    a->budget_bytes = SIZE_MAX;
    vars_reserve(&v, a, e->shared.len + 64);
    memcpy(v.at, e->shared.at, (e->shared.len + 1) * sizeof *v.at);
    v.len = e->shared.len;
    tug_buf_addf(&defaults, "TUG_DEFAULTS=%s", tug_buf_str(&e->defaults));
    put_rows(e, &v, a, RANK, local, &defaults);
    vars_put(&v, a, arena_text(a, defaults.data, defaults.len));
    tug_buf_clear(&defaults);
    for (; extra && *extra; extra++)
        vars_put(&v, a, arena_text(a, *extra, strlen(*extra)));
    return v.at;
}

const char *tug_rank_env_get(char *const *env, const char *name)
{
    size_t n = strlen(name);

    for (; *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    return NULL;
}
