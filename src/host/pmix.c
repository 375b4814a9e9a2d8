/* pmix.c - the PMIx server that a step's ranks on this node connect to
 *
 * Three kinds of threads: ours that starts the library, the library's own that makes the upcalls
 * (s_...), and the loop's, which owns all of struct tug_pmix but the queue. An upcall copies its
 * arguments into an op, queues it and wakes the loop; nothing blocks in it. Completion callbacks of
 * the library may be called from the loop.
 *
 * What libpmix 4.2.2 needs to be given, and what it does not survive, is said where it is done.
 * Layer: host.
 */
#include "host/pmix.h"

#include <dlfcn.h>
#include <errno.h>
#include <pmix.h>
#include <pmix_server.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/vec.h"
#include "host/loop.h"
#include "host/thread.h"

/* ---- the library, loaded when needed ---- */

#define LIBRARY "libpmix.so.2"
/* clang-format off */
#define FUNCTIONS(X)                                                                               \
    X(PMIx_server_init) X(PMIx_server_register_nspace) X(PMIx_server_register_client)              \
    X(PMIx_server_setup_fork) X(PMIx_server_dmodex_request) X(PMIx_generate_regex)                 \
    X(PMIx_generate_ppn) X(PMIx_Info_load) X(PMIx_Data_pack) X(PMIx_Data_unpack)                   \
    X(PMIx_Data_load) X(PMIx_Error_string) X(PMIx_Register_event_handler)
/* clang-format on */

static struct {
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
} lib;

static int load_library(struct tug_err *err)
{
    void *h =
        dlopen(LIBRARY, RTLD_LAZY | RTLD_GLOBAL); /* global: its plugins look for its symbols */

    if (!h)
        return tug_fail(err, -ENOENT, "cannot load the PMIx library: %s; install libpmix2",
                        dlerror());
#define X(name)                                                                                    \
    if (!(*(void **) &lib.name = dlsym(h, #name)))                                                 \
        return tug_fail(err, -ENOENT, "the PMIx library %s lacks %s; it must be of version 4",     \
                        LIBRARY, #name);
    FUNCTIONS(X)
#undef X
    return 0;
}

/* ---- ops ---- */

enum op_type {
    OP_UP,
    OP_CONNECTED,
    OP_ABORT,
    OP_FENCE,
    OP_MODEX,
    OP_MODEX_LOCAL,
    OP_PUBLISH,
    OP_UNPUBLISH,
    OP_LOOKUP
};

struct op {
    enum op_type type;
    struct op *next;
    uint64_t ticket;
    unsigned rank;
    int status; /* of abort, modex_local */
    char *data; /* fence data, packed entries, modex data, text of an abort */
    size_t len;
    char *sig; /* fence */
    size_t sig_len;
    uint32_t *nodes; /* fence */
    size_t n_nodes;
    char **keys; /* lookup */
    size_t n_keys;
    bool wait;
    unsigned timeout_s;
    unsigned from_node; /* modex_local */
    uint64_t from_ticket;
    pmix_modex_cbfunc_t modex_cb;
    pmix_op_cbfunc_t op_cb;
    pmix_lookup_cbfunc_t lookup_cb;
    void *cbdata;
};

struct ask { /* a direct get that came before the server was up */
    unsigned rank, from_node;
    uint64_t from_ticket;
};

struct tug_pmix {
    const struct tug_pmix_ops *ops;
    void *arg;
    struct tug_pmix_job job;
    char *nspace, *tmpdir, *hostname;
    unsigned *node_of; /* per rank */
    unsigned n_ranks, first_local, n_local;
    struct tug_wake *wake;
    pthread_mutex_t lock; /* guards queue and tail */
    struct op *queue, **tail;
    /* the loop's */
    struct op *pending; /* waiting for an answer */
    uint64_t last_ticket;
    bool up;
    struct tug_vec(struct ask) asks;
    struct tug_err error; /* written by the starting thread before OP_UP */
};

/* The library gives its upcalls no argument of ours. */
static struct tug_pmix *the;

static struct op *op_new(enum op_type type, const pmix_proc_t *proc)
{
    struct op *o = tug_new(struct op);

    o->type = type;
    if (proc)
        o->rank = proc->rank;
    return o;
}

static void op_free(struct op *o)
{
    free(o->data);
    free(o->sig);
    free(o->nodes);
    for (size_t i = 0; i < o->n_keys; i++)
        free(o->keys[i]);
    free(o->keys);
    free(o);
}

static void post(struct op *o)
{
    pthread_mutex_lock(&the->lock);
    *the->tail = o;
    the->tail = &o->next;
    pthread_mutex_unlock(&the->lock);
    tug_wake_up(the->wake);
}

/* Waits for its answer under a ticket. */
static uint64_t pend(struct tug_pmix *p, struct op *o)
{
    o->ticket = ++p->last_ticket;
    o->next = p->pending;
    p->pending = o;
    return o->ticket;
}

static struct op *answered(struct tug_pmix *p, uint64_t ticket, enum op_type type)
{
    for (struct op **at = &p->pending; *at; at = &(*at)->next)
        if ((*at)->ticket == ticket && (*at)->type == type) {
            struct op *o = *at;
            *at = o->next;
            return o;
        }
    return NULL;
}

/* ---- upcalls: on the library's thread ---- */

static pmix_status_t s_connected2(const pmix_proc_t *proc, void *object, pmix_info_t info[],
                                  size_t n, pmix_op_cbfunc_t cb, void *cbdata)
{
    (void) object, (void) info, (void) n, (void) cb, (void) cbdata;
    post(op_new(OP_CONNECTED, proc));
    return PMIX_OPERATION_SUCCEEDED; /* at once: cb will not be called */
}

static pmix_status_t s_finalized(const pmix_proc_t *proc, void *object, pmix_op_cbfunc_t cb,
                                 void *cbdata)
{
    (void) proc, (void) object, (void) cb, (void) cbdata;
    return PMIX_OPERATION_SUCCEEDED;
}

static pmix_status_t s_abort(const pmix_proc_t *proc, void *object, int status, const char msg[],
                             pmix_proc_t procs[], size_t n, pmix_op_cbfunc_t cb, void *cbdata)
{
    struct op *o = op_new(OP_ABORT, proc);

    (void) object, (void) procs, (void) n;
    o->status = status;
    o->data = tug_xstrdup(msg ? msg : "");
    o->op_cb = cb;
    o->cbdata = cbdata;
    post(o);
    return PMIX_SUCCESS;
}

/* 'data' becomes ours. Who takes part is the fence's name. */
static pmix_status_t s_fence(const pmix_proc_t procs[], size_t n, const pmix_info_t info[],
                             size_t n_info, char *data, size_t len, pmix_modex_cbfunc_t cb,
                             void *cbdata)
{
    struct op *o = op_new(OP_FENCE, NULL);
    struct tug_buf sig = {0};
    bool *in = tug_xcalloc(the->job.n_nodes, sizeof *in);

    (void) info, (void) n_info;
    o->nodes = tug_xcalloc(the->job.n_nodes, sizeof *o->nodes);
    for (size_t i = 0; i < n; i++) {
        tug_buf_addf(&sig, "%u,", procs[i].rank);
        for (unsigned k = 0; k < the->job.n_nodes; k++)
            in[k] = in[k] || procs[i].rank == PMIX_RANK_WILDCARD ||
                    (procs[i].rank < the->n_ranks && the->node_of[procs[i].rank] == k);
    }
    for (unsigned k = 0; k < the->job.n_nodes; k++)
        if (in[k])
            o->nodes[o->n_nodes++] = k;
    free(in);
    o->sig_len = sig.len;
    o->sig = tug_buf_take(&sig);
    o->data = data;
    o->len = len;
    o->modex_cb = cb;
    o->cbdata = cbdata;
    post(o);
    return PMIX_SUCCESS;
}

/* Unknown ranks, WILDCARD among them, are refused at once: some MPIs ask for it and would wait for
 * ever. */
static pmix_status_t s_modex(const pmix_proc_t *proc, const pmix_info_t info[], size_t n,
                             pmix_modex_cbfunc_t cb, void *cbdata)
{
    struct op *o;

    (void) info, (void) n;
    if (strncmp(proc->nspace, the->nspace, PMIX_MAX_NSLEN) != 0 || proc->rank >= the->n_ranks)
        return PMIX_ERR_NOT_FOUND;
    o = op_new(OP_MODEX, proc);
    o->modex_cb = cb;
    o->cbdata = cbdata;
    post(o);
    return PMIX_SUCCESS;
}

/* The library's answer to PMIx_server_dmodex_request. */
static void s_modex_local(pmix_status_t st, char *data, size_t len, void *cbdata)
{
    struct op *o = cbdata;

    o->status = st == PMIX_SUCCESS ? TUG_PMIX_OK : TUG_PMIX_NOT_FOUND;
    o->data = tug_xmemdup(data, len);
    o->len = len;
    post(o);
}

static bool is_directive(const char *key)
{
    return strncmp(key, "pmix", 4) == 0; /* range, persistence, user id: not data */
}

static pmix_status_t s_publish(const pmix_proc_t *proc, const pmix_info_t info[], size_t n,
                               pmix_op_cbfunc_t cb, void *cbdata)
{
    struct op *o = op_new(OP_PUBLISH, proc);
    struct tug_buf b = {0};

    for (size_t i = 0; i < n; i++) {
        struct tug_pmix_entry e = {.rank = proc->rank, .key = info[i].key};
        pmix_data_buffer_t packed = {0};
        if (is_directive(info[i].key) || lib.PMIx_Data_pack(NULL, &packed, (void *) &info[i].value,
                                                            1, PMIX_VALUE) != PMIX_SUCCESS)
            continue;
        e.value = packed.base_ptr;
        e.value_len = packed.bytes_used;
        tug_pmix_entry_add(&b, &e);
        free(packed.base_ptr);
    }
    o->len = b.len;
    o->data = tug_buf_take(&b);
    o->op_cb = cb;
    o->cbdata = cbdata;
    post(o);
    return PMIX_SUCCESS;
}

static pmix_status_t s_unpublish(const pmix_proc_t *proc, char **keys, const pmix_info_t info[],
                                 size_t n, pmix_op_cbfunc_t cb, void *cbdata)
{
    struct op *o = op_new(OP_UNPUBLISH, proc);
    struct tug_buf b = {0};

    (void) info, (void) n;
    for (size_t i = 0; keys && keys[i]; i++) {
        struct tug_pmix_entry e = {.rank = proc->rank, .key = keys[i], .value = ""};
        tug_pmix_entry_add(&b, &e);
    }
    o->len = b.len;
    o->data = tug_buf_take(&b);
    o->op_cb = cb;
    o->cbdata = cbdata;
    post(o);
    return PMIX_SUCCESS;
}

static pmix_status_t s_lookup(const pmix_proc_t *proc, char **keys, const pmix_info_t info[],
                              size_t n, pmix_lookup_cbfunc_t cb, void *cbdata)
{
    struct op *o = op_new(OP_LOOKUP, proc);

    while (keys && keys[o->n_keys])
        o->n_keys++;
    o->keys = tug_xcalloc(o->n_keys + 1, sizeof *o->keys);
    for (size_t i = 0; i < o->n_keys; i++)
        o->keys[i] = tug_xstrdup(keys[i]);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(info[i].key, PMIX_WAIT) == 0)
            o->wait = true; /* its value, a count, is 0 = all */
        if (strcmp(info[i].key, PMIX_TIMEOUT) == 0 && info[i].value.type == PMIX_INT &&
            info[i].value.data.integer > 0)
            o->timeout_s = (unsigned) info[i].value.data.integer;
    }
    o->lookup_cb = cb;
    o->cbdata = cbdata;
    post(o);
    return PMIX_SUCCESS;
}

static pmix_status_t s_spawn(const pmix_proc_t *proc, const pmix_info_t ji[], size_t n_ji,
                             const pmix_app_t apps[], size_t n, pmix_spawn_cbfunc_t cb,
                             void *cbdata)
{
    (void) proc, (void) ji, (void) n_ji, (void) apps, (void) n, (void) cb, (void) cbdata;
    return PMIX_ERR_NOT_SUPPORTED; /* MPI_Comm_spawn then fails cleanly with MPI_ERR_SPAWN */
}

static pmix_status_t s_job_control(const pmix_proc_t *who, const pmix_proc_t targets[], size_t n,
                                   const pmix_info_t d[], size_t n_d, pmix_info_cbfunc_t cb,
                                   void *cbdata)
{
    (void) who, (void) targets, (void) n, (void) d, (void) n_d, (void) cb, (void) cbdata;
    return PMIX_ERR_NOT_SUPPORTED;
}

static pmix_server_module_t module = {
    .client_connected2 = s_connected2,
    .client_finalized = s_finalized,
    .abort = s_abort,
    .fence_nb = s_fence,
    .direct_modex = s_modex,
    .publish = s_publish,
    .lookup = s_lookup,
    .unpublish = s_unpublish,
    .spawn = s_spawn,
    .job_control = s_job_control,
};

/* Without a handler the library's default one ends the process when a client is lost. */
static void s_event(size_t id, pmix_status_t st, const pmix_proc_t *src, pmix_info_t info[],
                    size_t n, pmix_info_t *res, size_t n_res,
                    pmix_event_notification_cbfunc_fn_t cb, void *cbdata)
{
    (void) id, (void) st, (void) src, (void) info, (void) n, (void) res, (void) n_res;
    if (cb)
        cb(PMIX_EVENT_ACTION_COMPLETE, NULL, 0, NULL, NULL, cbdata);
}

/* ---- registration: on the starting thread ---- */

struct infos tug_vec(pmix_info_t);

static void add(struct infos *a, const char *key, const void *value, pmix_data_type_t type)
{
    pmix_info_t one;

    memset(&one, 0, sizeof one);
    lib.PMIx_Info_load(&one, key, value, type);
    tug_vec_push(a, one);
}

static void add_u32(struct infos *a, const char *key, uint32_t v)
{
    add(a, key, &v, PMIX_UINT32);
}

static void add_rank(struct tug_pmix *p, struct infos *a, unsigned rank, unsigned local)
{
    struct infos mine = {0};
    pmix_rank_t r = rank;
    uint16_t place = (uint16_t) local;
    pmix_data_array_t array = {.type = PMIX_INFO};

    add(&mine, PMIX_RANK, &r, PMIX_PROC_RANK);
    add_u32(&mine, PMIX_APPNUM, 0);
    add(&mine, PMIX_GLOBAL_RANK, &r, PMIX_PROC_RANK);
    add(&mine, PMIX_APP_RANK, &r, PMIX_PROC_RANK);
    add(&mine, PMIX_LOCAL_RANK, &place,
        PMIX_UINT16); /* not derived for a rank that has PROC_DATA; MPI_Init fails without */
    add(&mine, PMIX_NODE_RANK, &place, PMIX_UINT16);
    add_u32(&mine, PMIX_NODEID, p->node_of[rank]);
    add(&mine, PMIX_HOSTNAME, p->job.nodes[p->node_of[rank]], PMIX_STRING);
    array.size = mine.len;
    array.array = mine.at;
    add(a, PMIX_PROC_DATA, &array,
        PMIX_DATA_ARRAY); /* copied deep; the little that 'mine' holds stays */
    tug_vec_clear(&mine);
}

/* Both ways to say who sits where: the two maps, and sizes with data per rank. 4.2.2 is content
 * with either; giving both leaves nothing to be derived wrongly. */
static int add_maps(struct tug_pmix *p, struct infos *a, struct tug_err *err)
{
    struct tug_buf nodes = {0}, ranks = {0};
    char *node_regex = NULL, *rank_regex = NULL;
    unsigned rank = 0;
    int rc = 0;

    for (unsigned i = 0; i < p->job.n_nodes; i++) {
        tug_buf_addf(&nodes, "%s%s", i ? "," : "", p->job.nodes[i]);
        tug_buf_adds(&ranks, i ? ";" : "");
        for (unsigned k = 0; k < p->job.ntasks[i]; k++)
            tug_buf_addf(&ranks, "%s%u", k ? "," : "", rank++);
    }
    if (lib.PMIx_generate_regex(tug_buf_str(&nodes), &node_regex) != PMIX_SUCCESS ||
        lib.PMIx_generate_ppn(tug_buf_str(&ranks), &rank_regex) != PMIX_SUCCESS) {
        rc = tug_fail(err, -EINVAL, "the PMIx library cannot describe the gang's nodes");
    } else {
        add(a, PMIX_NODE_MAP, node_regex, PMIX_REGEX); /* not STRING: it may be a blob */
        add(a, PMIX_PROC_MAP, rank_regex, PMIX_REGEX);
    }
    tug_buf_clear(&nodes);
    tug_buf_clear(&ranks);
    return rc;
}

static void add_sizes(struct tug_pmix *p, struct infos *a)
{
    struct tug_buf peers = {0};
    pmix_rank_t leader = p->first_local;
    bool yes = true, no = false;

    for (unsigned i = 0; i < p->n_local; i++)
        tug_buf_addf(&peers, "%s%u", i ? "," : "", p->first_local + i);
    add_u32(a, PMIX_UNIV_SIZE, p->n_ranks);
    add_u32(a, PMIX_JOB_SIZE, p->n_ranks);
    add_u32(a, PMIX_MAX_PROCS, p->n_ranks);
    add_u32(a, PMIX_LOCAL_SIZE,
            p->n_local); /* without it and the peers shared memory is silently lost */
    add_u32(a, PMIX_NODE_SIZE, p->n_local);
    add_u32(a, PMIX_NUM_NODES, p->job.n_nodes);
    add_u32(a, PMIX_JOB_NUM_APPS, 1);
    add_u32(a, PMIX_NODEID, p->job.me);
    add(a, PMIX_JOBID, p->nspace, PMIX_STRING);
    add(a, PMIX_LOCAL_PEERS, tug_buf_str(&peers), PMIX_STRING);
    add(a, PMIX_LOCALLDR, &leader, PMIX_PROC_RANK);
    add(a, PMIX_SPAWNED, &no, PMIX_BOOL);
    add(a, PMIX_TMPDIR, p->tmpdir, PMIX_STRING); /* else ranks leave /tmp/ompi.HOST.UID */
    add(a, PMIX_NSDIR, p->tmpdir, PMIX_STRING);
    add(a, PMIX_TDIR_RMCLEAN, &yes, PMIX_BOOL);
    tug_buf_clear(&peers);
}

static void load_proc(pmix_proc_t *proc, const char *nspace, unsigned rank)
{
    memset(proc, 0, sizeof *proc);
    snprintf(proc->nspace, sizeof proc->nspace, "%s", nspace);
    proc->rank = rank;
}

static int pmix_fail(struct tug_err *err, const char *what, pmix_status_t rc)
{
    return tug_fail(err, -EIO, "the PMIx server failed in %s: %s", what, lib.PMIx_Error_string(rc));
}

static bool good(pmix_status_t rc)
{
    return rc == PMIX_SUCCESS || rc == PMIX_OPERATION_SUCCEEDED;
}

static int init_server(struct tug_pmix *p, struct tug_err *err)
{
    struct infos a = {0};
    uint32_t uid = getuid(), gid = getgid();
    pmix_rank_t rank = p->job.me;
    char *own = tug_xasprintf("stepd.%s", p->nspace);
    pmix_status_t rc;

    own[strlen(own) < PMIX_MAX_NSLEN ? strlen(own) : PMIX_MAX_NSLEN] = 0;
    add(&a, PMIX_SERVER_TMPDIR, p->tmpdir, PMIX_STRING);
    add(&a, PMIX_SYSTEM_TMPDIR, p->tmpdir, PMIX_STRING);
    add(&a, PMIX_USERID, &uid, PMIX_UINT32);
    add(&a, PMIX_GRPID, &gid, PMIX_UINT32);
    add(&a, PMIX_HOSTNAME, p->hostname,
        PMIX_STRING); /* the name in the maps; else gethostname(), and no shared memory */
    add(&a, PMIX_SERVER_NSPACE, own, PMIX_STRING);
    add(&a, PMIX_SERVER_RANK, &rank, PMIX_PROC_RANK);
    rc = lib.PMIx_server_init(&module, a.at, a.len);
    free(own);
    tug_vec_clear(&a);
    return good(rc) ? 0 : pmix_fail(err, "PMIx_server_init", rc);
}

static int register_job(struct tug_pmix *p, struct tug_err *err)
{
    struct infos a = {0};
    pmix_status_t rc;
    unsigned rank = 0;
    int ret = add_maps(p, &a, err);

    if (ret < 0)
        return ret;
    add_sizes(p, &a);
    for (unsigned i = 0; i < p->job.n_nodes; i++)
        for (unsigned k = 0; k < p->job.ntasks[i]; k++)
            add_rank(p, &a, rank++, k);
    rc = lib.PMIx_server_register_nspace(p->nspace, (int) p->n_local, a.at, a.len, NULL,
                                         NULL); /* NULL: waits */
    tug_vec_clear(&a);
    if (!good(rc))
        return pmix_fail(err, "PMIx_server_register_nspace", rc);
    for (unsigned i = 0; i < p->n_local; i++) {
        pmix_proc_t proc;
        load_proc(&proc, p->nspace, p->first_local + i);
        rc = lib.PMIx_server_register_client(&proc, getuid(), getgid(), NULL, NULL, NULL);
        if (!good(rc))
            return pmix_fail(err, "PMIx_server_register_client", rc);
    }
    return 0;
}

static void *start_thread(void *arg)
{
    struct tug_pmix *p = arg;
    int rc = load_library(&p->error);

    if (rc == 0)
        rc = init_server(p, &p->error);
    if (rc == 0) {
        lib.PMIx_Register_event_handler(NULL, 0, NULL, 0, s_event, NULL, NULL);
        rc = register_job(p, &p->error);
    }
    p->error.code = rc;
    post(op_new(OP_UP, NULL));
    return NULL;
}

/* For this process only: ranks get their environment from elsewhere. */
static void set_environment(const char *home)
{
    setenv("HOME", home, 1); /* libpmix reads settings there, and crashes when a uid without a name has none */
    setenv("PMIX_MCA_gds", "hash",
           1); /* the default one hangs when a rank is killed: openpmix#1233 */
    setenv("HWLOC_SYNTHETIC", "pu:1",
           1); /* a look at the real machine takes 20 ms and is used for nothing */
    setenv("HWLOC_PLUGINS_PATH", "/nonexistent",
           1); /* its GL plugin can hang in a network namespace without lo */
    setenv("HWLOC_HIDE_ERRORS", "2", 1);
}

static void on_wake(void *arg);

static void number_ranks(struct tug_pmix *p)
{
    unsigned rank = 0;

    for (unsigned i = 0; i < p->job.n_nodes; i++)
        p->n_ranks += p->job.ntasks[i];
    p->node_of = tug_xcalloc(p->n_ranks ? p->n_ranks : 1, sizeof *p->node_of);
    for (unsigned i = 0; i < p->job.n_nodes; i++) {
        if (i == p->job.me) {
            p->first_local = rank;
            p->n_local = p->job.ntasks[i];
        }
        for (unsigned k = 0; k < p->job.ntasks[i]; k++)
            p->node_of[rank++] = i;
    }
}

int tug_pmix_start(struct tug_pmix **out, struct event_base *base, const struct tug_pmix_job *job,
                   const struct tug_pmix_ops *ops, void *arg, struct tug_err *err)
{
    struct tug_pmix *p;
    pthread_t t;
    int rc;

    tug_assert(!the);
    if (strlen(job->nspace) > PMIX_MAX_NSLEN || !job->nspace[0])
        return tug_fail(err, -EINVAL, "the step's PMIx namespace is empty or over %d bytes",
                        PMIX_MAX_NSLEN);
    p = tug_new(struct tug_pmix);
    p->ops = ops;
    p->arg = arg;
    p->job = *job;
    p->nspace = tug_xstrdup(job->nspace);
    p->hostname = tug_xstrdup(job->nodes[job->me]);
    p->tmpdir = tug_xasprintf("%s/pmix", job->tmpdir);
    p->tail = &p->queue;
    pthread_mutex_init(&p->lock, NULL);
    number_ranks(p);
    if (mkdir(p->tmpdir, 0700) && errno != EEXIST)
        return tug_fail(err, -errno, "cannot make the PMIx server's directory %s: %s", p->tmpdir,
                        strerror(errno));
    rc = tug_wake_new(&p->wake, base, on_wake, p, err);
    if (rc < 0)
        return rc;
    set_environment(job->tmpdir);
    the = p;
    rc = tug_thread_start(&t, start_thread, p); /* the library's threads are started by this one */
    if (rc)
        return tug_fail(err, rc, "cannot start a thread for the PMIx server: %s", strerror(-rc));
    pthread_detach(t);
    *out = p;
    return 0;
}

/* ---- on the loop ---- */

static void dispatch(struct tug_pmix *p, struct op *o)
{
    switch (o->type) {
    case OP_UP:
        p->up = p->error.code == 0;
        p->ops->on_up(p->arg, &p->error);
        for (size_t i = 0; p->up && i < p->asks.len; i++)
            tug_pmix_modex_ask(p, p->asks.at[i].rank, p->asks.at[i].from_node,
                               p->asks.at[i].from_ticket);
        tug_vec_clear(&p->asks);
        break;
    case OP_CONNECTED:
        p->ops->on_connected(p->arg, o->rank);
        break;
    case OP_ABORT:
        p->ops->on_abort(p->arg, o->rank, o->status, o->data);
        if (o->op_cb)
            o->op_cb(PMIX_SUCCESS, o->cbdata);
        break;
    case OP_MODEX_LOCAL:
        p->ops->on_modex_local(p->arg, o->from_node, o->from_ticket,
                               (enum tug_pmix_status) o->status, o->data, o->len);
        break;
    /* The rest stays until it is answered; the answer may come before the call returns. */
    case OP_FENCE:
        p->ops->on_fence(p->arg, pend(p, o), o->sig, o->sig_len, o->nodes, o->n_nodes, o->data,
                         o->len);
        return;
    case OP_MODEX:
        p->ops->on_modex(p->arg, pend(p, o), o->rank);
        return;
    case OP_PUBLISH:
    case OP_UNPUBLISH: {
        char *data = o->data;
        o->data = NULL;
        size_t len = o->len;
        bool un = o->type == OP_UNPUBLISH;
        p->ops->on_publish(p->arg, pend(p, o), data, len, un);
        free(data);
        return;
    }
    case OP_LOOKUP:
        p->ops->on_lookup(p->arg, pend(p, o), o->keys, o->n_keys, o->wait, o->timeout_s);
        return;
    }
    op_free(o);
}

static void on_wake(void *arg)
{
    struct tug_pmix *p = arg;
    struct op *list, *next;

    pthread_mutex_lock(&p->lock);
    list = p->queue;
    p->queue = NULL;
    p->tail = &p->queue;
    pthread_mutex_unlock(&p->lock);
    for (; list; list = next) {
        next = list->next;
        dispatch(p, list);
    }
}

int tug_pmix_rank_env(struct tug_pmix *p, unsigned rank, char ***env, struct tug_err *err)
{
    pmix_proc_t proc;
    pmix_status_t rc;

    *env = NULL;
    load_proc(&proc, p->nspace, rank);
    rc = lib.PMIx_server_setup_fork(&proc, env);
    return good(rc) ? 0 : pmix_fail(err, "PMIx_server_setup_fork", rc);
}

void tug_pmix_env_free(char **env)
{
    for (char **e = env; e && *e; e++)
        free(*e);
    free(env);
}

static pmix_status_t to_pmix(enum tug_pmix_status st)
{
    switch (st) {
    case TUG_PMIX_OK:
        return PMIX_SUCCESS;
    case TUG_PMIX_NOT_FOUND:
        return PMIX_ERR_NOT_FOUND;
    case TUG_PMIX_TIMEOUT:
        return PMIX_ERR_TIMEOUT;
    case TUG_PMIX_EXISTS:
        return PMIX_ERR_DUPLICATE_KEY;
    default:
        return PMIX_ERROR;
    }
}

static void release(void *data)
{
    free(data);
}

static void give_data(struct op *o, enum tug_pmix_status st, const void *data, size_t len)
{
    char *copy = tug_xmemdup(data, len);

    o->modex_cb(to_pmix(st), copy, len, o->cbdata, release, copy);
    op_free(o);
}

void tug_pmix_fence_done(struct tug_pmix *p, uint64_t ticket, enum tug_pmix_status st,
                         const void *data, size_t len)
{
    struct op *o = answered(p, ticket, OP_FENCE);

    if (o)
        give_data(o, st, data, len);
}

void tug_pmix_modex_done(struct tug_pmix *p, uint64_t ticket, enum tug_pmix_status st,
                         const void *data, size_t len)
{
    struct op *o = answered(p, ticket, OP_MODEX);

    if (o)
        give_data(o, st, data, len);
}

void tug_pmix_modex_ask(struct tug_pmix *p, unsigned rank, unsigned from_node, uint64_t from_ticket)
{
    struct ask ask = {.rank = rank, .from_node = from_node, .from_ticket = from_ticket};
    struct op *o;
    pmix_proc_t proc;

    if (!p->up) {
        tug_vec_push(&p->asks, ask);
        return;
    }
    o = op_new(OP_MODEX_LOCAL, NULL);
    o->from_node = from_node;
    o->from_ticket = from_ticket;
    load_proc(&proc, p->nspace, rank);
    if (good(lib.PMIx_server_dmodex_request(&proc, s_modex_local, o)))
        return;
    p->ops->on_modex_local(p->arg, from_node, from_ticket, TUG_PMIX_NOT_FOUND, NULL, 0);
    op_free(o);
}

void tug_pmix_publish_done(struct tug_pmix *p, uint64_t ticket, enum tug_pmix_status st)
{
    struct op *o = answered(p, ticket, OP_PUBLISH);

    if (!o)
        o = answered(p, ticket, OP_UNPUBLISH);
    if (!o)
        return;
    if (o->op_cb)
        o->op_cb(to_pmix(st), o->cbdata);
    op_free(o);
}

void tug_pmix_lookup_done(struct tug_pmix *p, uint64_t ticket, enum tug_pmix_status st,
                          const void *data, size_t len)
{
    struct op *o = answered(p, ticket, OP_LOOKUP);
    struct tug_pmix_entry e;
    pmix_pdata_t *found;
    size_t n = 0;

    if (!o)
        return;
    found = tug_xcalloc(o->n_keys + 1, sizeof *found);
    while (n < o->n_keys && tug_pmix_entry_next(&data, &len, &e)) {
        pmix_data_buffer_t b = {0};
        pmix_byte_object_t bytes = {.bytes = tug_xmemdup(e.value, e.value_len),
                                    .size = e.value_len};
        int32_t one = 1;
        lib.PMIx_Data_load(&b, &bytes);
        if (lib.PMIx_Data_unpack(NULL, &b, &found[n].value, &one, PMIX_VALUE) == PMIX_SUCCESS) {
            load_proc(&found[n].proc, p->nspace, e.rank);
            snprintf(found[n].key, sizeof found[n].key, "%s", e.key);
            n++;
        }
        free(b.base_ptr);
    }
    o->lookup_cb(n ? PMIX_SUCCESS : to_pmix(st == TUG_PMIX_OK ? TUG_PMIX_NOT_FOUND : st), found, n,
                 o->cbdata);
    op_free(o); /* 'found' is not freed: the library may look at it later on its own thread */
}
