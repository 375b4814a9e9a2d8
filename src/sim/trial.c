/* trial.c - a policy on canned workloads, watched: what it decides, how long it takes, what it
 * keeps
 *
 * The core gets a copy of the policy's table whose hooks note what is asked and hand on; they have
 * no other way to reach the trial than the one static pointer. Layer: sim.
 */
#include "sim/trial.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"
#include "sim/cluster.h"
#include "sim/sim.h"

#define STEADY_JOBS   1600
#define STEADY_FROM   500 /* memory is looked at when so many have ended, and at STEADY_TO */
#define STEADY_TO     1500
#define GROWS_BYTES   32 /* a pass; less is not told from noise */
#define KEEPS_BYTES   64 /* after destroy() */
#define CROWD_NODES   64
#define CROWD_JOBS    1000
#define OVERTAKEN_MIN 20

typedef struct tug_vec(uint64_t) ids_t;

struct trial {
    const struct tug_trial_conf *conf;
    struct tug_trial_view *view;
    const struct tug_policy_ops *ops; /* the policy's own, while it is loaded */
    int passes;                       /* it decides what starts */
    const struct tug_policy_host *host;
    struct tug_policy_host watched;
    struct tug_buf *log; /* of what is decided; NULL = none is kept */
    int64_t pass_at_ms;
    double pass_s;
    struct tug_vec(double) times; /* of each pass */
    ids_t failed, explained, started;
    uint64_t unexplained, unexplained_job, nan_job;
    /* from note() */
    uint64_t ended, wide_overtaken;
    int64_t wide_submit_ms, wide_start_ms, last_submit_ms;
    size_t heap_from, heap_to;
    void *kept; /* the object stays loaded between runs: what it keeps outside of itself shows */
    struct tug_vec(char *) waiting; /* ids of jobs that were submitted and have not ended */
};
static struct trial *t;

static void say(enum tug_trial_mark mark, const char *check, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(enum tug_trial_mark mark, const char *check, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    t->conf->say(t->conf->say_ctx, mark, check, text);
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* What is in use. glibc counts what a thread keeps in its cache as in use, so the cache is filled
 * first: 7 pieces of each size up to 1032 bytes. */
static size_t heap_bytes(void)
{
    void *pieces[7];
    for (size_t size = 24; size <= 1032; size += 16) {
        for (int i = 0; i < 7; i++)
            pieces[i] = tug_xmalloc(size);
        for (int i = 0; i < 7; i++)
            free(pieces[i]);
    }
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* ---- what the policy calls */

static int watch_start(uint64_t job, int rc)
{
    if (rc == -EAGAIN || rc == -EBUSY)
        tug_vec_push(&t->failed, job);
    else if (rc == 0)
        tug_vec_push(&t->started, job);
    return rc;
}

static int w_start(struct tug_policy_pass *p, uint64_t job)
{
    return watch_start(job, t->host->start(p, job));
}

static int w_start_on(struct tug_policy_pass *p, uint64_t job, const struct tug_policy_slice *at,
                      size_t n)
{
    return watch_start(job, t->host->start_on(p, job, at, n));
}

static int w_backfill(struct tug_policy_pass *p, uint64_t job)
{
    return watch_start(job, t->host->backfill(p, job));
}

static int w_reserve(struct tug_policy_pass *p, uint64_t job, int64_t *start_ms)
{
    tug_vec_push(&t->explained, job); /* its start is what its user is told */
    return t->host->reserve(p, job, start_ms);
}

static int w_explain(struct tug_policy_pass *p, uint64_t job, enum tug_policy_reason reason,
                     const char *text)
{
    int rc = t->host->explain(p, job, reason, text);
    if (!rc)
        tug_vec_push(&t->explained, job);
    if (t->log)
        tug_buf_addf(t->log, "explains job %" PRIu64 ": %d %s\n", job, (int) reason,
                     text ? text : "");
    return rc;
}

static const struct tug_policy_host *watched(const struct tug_policy_host *host)
{
    t->host = host;
    t->watched = *host;
    t->watched.start = w_start;
    t->watched.start_on = w_start_on;
    t->watched.backfill = w_backfill;
    t->watched.reserve = w_reserve;
    t->watched.explain = w_explain;
    return &t->watched;
}

/* ---- the policy's hooks */

static void end_pass_time(void)
{
    if (t->pass_at_ms >= 0)
        tug_vec_push(&t->times, t->pass_s);
    t->pass_s = 0;
    t->pass_at_ms = -1;
}

static double enter(const char *hook, const struct tug_policy_view *v)
{
    if (v && v->now_ms != t->pass_at_ms) {
        end_pass_time();
        t->pass_at_ms = v->now_ms;
        t->view->passes++;
    }
    t->view->hook = hook;
    t->view->calls++;
    t->view->moves++;
    return now_s();
}

static void leave(double since_s)
{
    double s = now_s() - since_s;
    t->pass_s += s;
    t->view->hook_s += s;
    t->view->hook = "";
    t->view->moves++;
}

static int by_id(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int has(const ids_t *sorted, uint64_t id)
{
    return sorted->len && bsearch(&id, sorted->at, sorted->len, sizeof id, by_id);
}

static void look_at_explanations(void)
{
    if (t->explained.len)
        qsort(t->explained.at, t->explained.len, sizeof(uint64_t), by_id);
    if (t->started.len)
        qsort(t->started.at, t->started.len, sizeof(uint64_t), by_id);
    for (size_t i = 0; i < t->failed.len; i++)
        if (!has(&t->explained, t->failed.at[i]) && !has(&t->started, t->failed.at[i])) {
            if (t->unexplained++ == 0)
                t->unexplained_job = t->failed.at[i];
        }
}

static int w_pass(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host,
                  struct tug_policy_pass *p)
{
    t->failed.len = t->explained.len = t->started.len = 0;
    double since_s = enter("pass", v);
    int rc = t->ops->pass(self, v, watched(host), p);
    leave(since_s);
    look_at_explanations();
    return rc;
}

static double w_key(void *self, const struct tug_policy_view *v, const struct tug_policy_job *job)
{
    double since_s = enter("key", v);
    double key = t->ops->key(self, v, job);
    leave(since_s);
    if (isnan(key) && !t->nan_job)
        t->nan_job = job->id;
    if (t->log)
        tug_buf_addf(t->log, "gives job %" PRIu64 " the key %.17g\n", job->id, key);
    return key;
}

static int w_rekey(void *self, const struct tug_policy_view *v)
{
    double since_s = enter("rekey", v);
    int rc = t->ops->rekey(self, v);
    leave(since_s);
    return rc;
}

/* Within pass() it is part of it. */
static int w_place(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host,
                   struct tug_policy_pass *p, const struct tug_policy_job *job,
                   struct tug_policy_slice *at, size_t n)
{
    const char *outer = t->view->hook;
    double since_s = enter("place", v);
    int rc = t->ops->place(self, v, host, p, job, at, n);
    if (*outer)
        t->view->hook = outer;
    else
        leave(since_s);
    return rc;
}

static int w_preempt(void *self, const struct tug_policy_view *v,
                     const struct tug_policy_host *host, struct tug_policy_pass *p)
{
    double since_s = enter("preempt", v);
    int rc = t->ops->preempt(self, v, watched(host), p);
    leave(since_s);
    return rc;
}

static int w_observe(void *self, const struct tug_policy_view *v,
                     const struct tug_policy_event *events, size_t n, size_t stride)
{
    double since_s = enter("observe", v);
    int rc = t->ops->observe(self, v, events, n, stride);
    leave(since_s);
    return rc;
}

/* The policy's table as far as this program knows it, with our hooks where it has one. */
static void wrap(const struct tug_policy_ops *ops, struct tug_policy_ops *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out, ops, ops->size < sizeof *out ? ops->size : sizeof *out);
    out->size = sizeof *out;
    out->pass = out->pass ? w_pass : NULL;
    out->key = out->key ? w_key : NULL;
    out->rekey = out->rekey ? w_rekey : NULL;
    out->place = out->place ? w_place : NULL;
    out->preempt = out->preempt ? w_preempt : NULL;
    out->observe = out->observe ? w_observe : NULL;
}

/* ---- what the simulation tells */

static void forget_waiting(const char *id)
{
    for (size_t i = 0; i < t->waiting.len; i++)
        if (!strcmp(t->waiting.at[i], id)) {
            free(t->waiting.at[i]);
            tug_vec_remove(&t->waiting, i);
            return;
        }
}

static void on_note(void *ctx, const struct tug_sim_note *n)
{
    static const char *const points[] = {"submit", "starts", "stops", "ends"};
    int is_wide = !strcmp(n->id, "wide");
    (void) ctx;
    t->view->moves++;
    if (t->log && n->point != TUG_SIM_SUBMIT) {
        tug_buf_addf(t->log, "%s job %s at %" PRId64 " ms", points[n->point], n->id, n->at_ms);
        for (size_t i = 0; i < n->n_slices; i++)
            tug_buf_addf(t->log, " n%u:%" PRIx64, n->slices[i].node + 1,
                         (uint64_t) n->slices[i].gpus);
        tug_buf_addc(t->log, '\n');
    }
    if (n->point == TUG_SIM_SUBMIT) {
        t->last_submit_ms = n->submit_ms;
        tug_vec_push(&t->waiting, tug_xstrdup(n->id));
    } else if (n->point == TUG_SIM_END) {
        forget_waiting(n->id);
        t->ended++;
        if (t->ended == STEADY_FROM)
            t->heap_from = heap_bytes();
        if (t->ended == STEADY_TO)
            t->heap_to = heap_bytes();
    }
    if (is_wide && n->point == TUG_SIM_SUBMIT)
        t->wide_submit_ms = n->submit_ms;
    if (is_wide && n->point == TUG_SIM_START && t->wide_start_ms < 0)
        t->wide_start_ms = n->at_ms;
    if (!is_wide && n->point == TUG_SIM_START && n->first_start_ms == n->at_ms &&
        t->wide_submit_ms >= 0 && t->wide_start_ms < 0 && n->submit_ms > t->wide_submit_ms)
        t->wide_overtaken++;
}

/* ---- workloads: the same on every machine */

struct workload {
    const char *name, *what;
    uint32_t nodes, gpus;
    void (*make)(struct tug_buf *out);
    double mtbf_s;      /* of a node; 0 = none fails */
    const char *config; /* of the cluster, instead of alike nodes and one queue */
};

static void row_of(struct tug_buf *out, const char *id, uint64_t at_s, uint64_t for_s,
                   unsigned gpus, unsigned user, const char *queue)
{
    tug_buf_addf(out, "%s,%" PRIu64 ",%" PRIu64 ",%u,u%u,%s,%" PRIu64 "\n", id, at_s, for_s, gpus,
                 user, queue, for_s + for_s / 2 + 60);
}

static void row(struct tug_buf *out, const char *id, uint64_t at_s, uint64_t for_s, unsigned gpus,
                unsigned user)
{
    row_of(out, id, at_s, for_s, gpus, user, "q");
}

static void jobs(struct tug_buf *out, uint64_t seed, int n, unsigned nodes, unsigned gap_s)
{
    struct tug_rand r = tug_rand_seed(seed);
    uint64_t at_s = 0;
    for (int i = 0; i < n; i++) {
        char id[16];
        unsigned gpus = 1u << tug_rand_below(&r, 4);
        uint64_t for_s = 1 + tug_rand_below(&r, 300);
        if (nodes > 1 && tug_rand_below(&r, 4) == 0)
            gpus = 8 * (1 + (unsigned) tug_rand_below(&r, nodes));
        if (tug_rand_below(&r, 5) == 0)
            for_s *= 20;
        if (tug_rand_below(&r, 3)) /* the others come together */
            at_s += tug_rand_below(&r, gap_s);
        snprintf(id, sizeof id, "j%d", i + 1);
        row(out, id, at_s, for_s, gpus, (unsigned) tug_rand_below(&r, 5));
    }
}

static void make_one(struct tug_buf *out)
{
    row(out, "only", 0, 60, 1, 0);
}

static void make_small(struct tug_buf *out)
{
    jobs(out, 1, 60, 1, 300);
}

static void make_gangs(struct tug_buf *out)
{
    jobs(out, 2, 150, 8, 900);
}

static void make_overload(struct tug_buf *out)
{
    jobs(out, 3, 200, 4, 60);
}

static void make_failures(struct tug_buf *out)
{
    jobs(out, 4, 120, 4, 1800);
}

/* Long jobs of a low tier, and now and then a gang of a higher one. */
static void make_tiers(struct tug_buf *out)
{
    struct tug_rand r = tug_rand_seed(7);
    for (int i = 0; i < 120; i++) {
        char id[16];
        int high = i % 10 == 9;
        snprintf(id, sizeof id, "%c%d", high ? 'h' : 'l', i + 1);
        row_of(out, id, 200 * (uint64_t) i, high ? 300 : 600 + tug_rand_below(&r, 3000),
               high ? 16 : 1u << tug_rand_below(&r, 4), (unsigned) i % 5, high ? "high" : "low");
    }
}

static const char tiers_config[] =
    "cluster:\n  name: check\nscheduler:\n  policy: fifo\n  preemption: tier\nqueues:\n"
    "  low:\n    default: true\n    preempt: requeue\n  high:\n    tier: 1\n"
    "nodes:\n  - name: n[1-4]\n    cpus: 8\n    memory: 64G\n    gpus: 8\n";

/* Narrow jobs all the time, and a gang of the whole cluster that would have room only if they let
 * it. */
static void make_wide(struct tug_buf *out)
{
    struct tug_rand r = tug_rand_seed(5);
    for (int i = 0; i < 600; i++) {
        char id[16];
        snprintf(id, sizeof id, "n%d", i + 1);
        if (i == 40)
            row(out, "wide", 10 * (uint64_t) i, 900, 32, 9);
        row(out, id, 10 * (uint64_t) i, 200 + tug_rand_below(&r, 150), 1, (unsigned) i % 4);
    }
}

static void make_crowd(struct tug_buf *out)
{
    struct tug_rand r = tug_rand_seed(6);
    for (int i = 0; i < CROWD_JOBS; i++) {
        char id[16];
        unsigned gpus = 1u << tug_rand_below(&r, 4);
        if (tug_rand_below(&r, 4) == 0)
            gpus = 8 * (1 + (unsigned) tug_rand_below(&r, CROWD_NODES));
        snprintf(id, sizeof id, "c%d", i + 1);
        row(out, id, 0, 600 * (1 + tug_rand_below(&r, 4)), gpus, (unsigned) tug_rand_below(&r, 20));
    }
}

static void make_steady(struct tug_buf *out)
{
    for (int i = 0; i < STEADY_JOBS; i++) {
        char id[16];
        snprintf(id, sizeof id, "s%d", i + 1);
        row(out, id, 100 * (uint64_t) i, 50, 1 + (unsigned) i % 4, (unsigned) i % 3);
    }
}

static const struct workload workloads[] = {
    {"one", "one job", 2, 8, make_one, 0, NULL},
    {"small", "60 jobs of up to 8 GPUs on 2 nodes", 2, 8, make_small, 0, NULL},
    {"gangs", "150 jobs of up to 64 GPUs on 8 nodes", 8, 8, make_gangs, 0, NULL},
    {"overload", "200 jobs that come faster than 4 nodes run them", 4, 8, make_overload, 0, NULL},
    {"failures", "120 jobs on 4 nodes that fail now and then", 4, 8, make_failures, 40000, NULL},
    {"tiers", "120 jobs on 4 nodes, some of a tier for which others may have to give way", 4, 8,
     make_tiers, 0, tiers_config},
    {"wide", "a gang of all 4 nodes among 600 jobs of 1 GPU", 4, 8, make_wide, 0, NULL},
};
static const struct workload crowd = {"crowd", "", CROWD_NODES, 8, make_crowd, 0, NULL};
static const struct workload steady = {"steady", "", 2, 4, make_steady, 0, NULL};

/* ---- one run */

/* A file without a name; 'path' is how to open it while it is open. */
static int memory_file(const char *text, size_t len, char path[64], struct tug_err *err)
{
    int fd = memfd_create("workload", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, text, len) == (ssize_t) len) {
        snprintf(path, 64, "/proc/self/fd/%d", fd);
        return fd;
    }
    int rc = tug_fail(err, -errno, "a workload cannot be made: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int open_trace(const struct workload *w, struct tug_trace **out, struct tug_err *err)
{
    struct tug_buf text = {0};
    char path[64];
    tug_buf_adds(&text, "job_id,submit_s,duration_s,gpus,user,vc_or_queue,limit_s\n");
    w->make(&text);
    int fd = memory_file(text.data, text.len, path, err);
    int rc = fd < 0 ? fd : tug_trace_open(path, out, err);
    if (fd >= 0)
        close(fd);
    tug_buf_clear(&text);
    return rc;
}

static int open_cluster(const struct workload *w, struct tug_sim_cluster *c,
                        struct tug_sim_conf *conf, struct tug_err *err)
{
    char path[64];
    if (!w->config)
        return 0;
    int fd = memory_file(w->config, strlen(w->config), path, err);
    int rc = fd < 0 ? fd : tug_sim_cluster_read(c, path, err);
    if (fd >= 0)
        close(fd);
    conf->cluster = c;
    return rc;
}

static void reset(void)
{
    for (size_t i = 0; i < t->waiting.len; i++)
        free(t->waiting.at[i]);
    t->waiting.len = t->times.len = 0;
    t->ended = t->wide_overtaken = 0;
    t->wide_submit_ms = t->wide_start_ms = t->pass_at_ms = -1;
    t->pass_s = 0;
}

static void configure(const struct workload *w, struct tug_sim_conf *conf)
{
    *conf = (struct tug_sim_conf){
        .nodes = w->nodes, .gpus_per_node = w->gpus, .explains = 1, .note = on_note};
}

/* With the policy, freshly made; its sentence when it cannot be made. */
static int run(const struct workload *w, struct tug_sim_result *r, struct tug_err *err)
{
    struct tug_trace *trace = NULL;
    struct tug_plugload *p = NULL;
    struct tug_policy_ops ops;
    struct tug_sim_conf conf;
    struct tug_sim_cluster cluster = {0};
    reset();
    t->view->workload = w->name;
    t->view->hook = "create";
    int rc = tug_plugload_open(t->conf->name, t->conf->dirs, t->conf->n_dirs, t->conf->params,
                               t->conf->n_params, &p, err);
    t->view->hook = "";
    t->view->moves++;
    configure(w, &conf);
    if (!rc)
        rc = open_cluster(w, &cluster, &conf, err);
    if (!rc)
        rc = open_trace(w, &trace, err);
    if (rc)
        goto out;
    if (!t->kept)
        t->kept = dlopen(tug_plugload_path(p), RTLD_NOW | RTLD_LOCAL);
    t->ops = tug_plugload_ops(p);
    wrap(t->ops, &ops);
    t->passes = ops.pass != NULL;
    conf.policy = (struct tug_policy_set){{{&ops, tug_plugload_self(p)}}, 1};
    rc = tug_sim_run(trace, &conf, r, err);
    end_pass_time();
out:
    tug_sim_cluster_clear(&cluster);
    tug_trace_close(trace);
    t->view->hook = "destroy";
    tug_plugload_close(p);
    t->view->hook = "";
    t->view->moves++;
    return rc;
}

/* With the built-in order, to compare with. */
static int run_without(const struct workload *w, struct tug_sim_result *r, struct tug_err *err)
{
    struct tug_trace *trace = NULL;
    struct tug_sim_conf conf;
    reset();
    int rc = open_trace(w, &trace, err);
    if (rc)
        return rc;
    configure(w, &conf);
    rc = tug_sim_run(trace, &conf, r, err);
    tug_trace_close(trace);
    return rc;
}

/* ---- checks */

/* The first line in which two logs differ. */
static void say_difference(const char *workload, const char *a, const char *b)
{
    while (*a && *b) {
        size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
        if (n != m || strncmp(a, b, n) != 0)
            break;
        a += n + (a[n] == '\n');
        b += m + (b[m] == '\n');
    }
    int n = (int) strcspn(a, "\n"), m = (int) strcspn(b, "\n");
    say(TUG_TRIAL_FAIL, "determinism",
        "does not decide the same twice: in workload '%s' it first %.*s, and the second time %.*s; "
        "use no "
        "clock, no random numbers but host->random(), and keep nothing in global variables",
        workload, n > 200 ? 200 : n, n ? a : "is done", m > 200 ? 200 : m, m ? b : "is done");
}

static void names_of_waiting(struct tug_buf *out)
{
    for (size_t i = 0; i < t->waiting.len && i < 3; i++)
        tug_buf_addf(out, "%s%s", i ? ", " : "", t->waiting.at[i]);
    if (t->waiting.len > 3)
        tug_buf_addf(out, " and %zu more", t->waiting.len - 3);
}

/* 0: go on with this policy. */
static int decides(const struct workload *w, const struct tug_sim_result *r, int rc,
                   const struct tug_err *err)
{
    struct tug_buf names = {0};
    if (rc)
        say(TUG_TRIAL_FAIL, "workloads", "in workload '%s': %s", w->name, err->msg);
    else if (r->refused)
        say(TUG_TRIAL_FAIL, "proposals",
            "%" PRIu64 " proposals were refused in workload '%s', the first: %s", r->refused,
            w->name, r->first_refused);
    if (!rc && r->unfinished) {
        names_of_waiting(&names);
        say(TUG_TRIAL_FAIL, "workloads",
            "in workload '%s' (%s) %" PRIu64 " of %" PRIu64 " jobs were never started, though the "
            "cluster was empty in the end: %s",
            w->name, w->what, r->unfinished, r->jobs, tug_buf_str(&names));
        rc = -ENOENT;
    }
    tug_buf_clear(&names);
    return rc || r->refused;
}

static void starvation(void)
{
    if (t->wide_start_ms >= 0 && t->wide_start_ms <= t->last_submit_ms)
        say(TUG_TRIAL_PASS, "starvation",
            "a gang of the whole cluster started after %.0f min, while narrow jobs kept coming; "
            "%" PRIu64 " of them went first",
            (double) (t->wide_start_ms - t->wide_submit_ms) / 60000, t->wide_overtaken);
    else if (t->wide_overtaken >= OVERTAKEN_MIN)
        say(TUG_TRIAL_WARN, "starvation",
            "job 'wide' (all 32 GPUs) waited until no narrow jobs came any more: %" PRIu64
            " jobs that came later went first; reserve for it, or let nobody overtake for ever",
            t->wide_overtaken);
}

/* The workloads, twice each. 0: fine so far. */
static int decisions(void)
{
    struct tug_buf logs[2] = {{0}, {0}};
    uint64_t n_jobs = 0, passes = 0, stops = 0;
    size_t n = sizeof workloads / sizeof *workloads;
    int bad = 0, same = 1;
    for (size_t i = 0; i < n && !bad; i++) {
        struct tug_sim_result r[2] = {0};
        struct tug_err err = {0};
        for (int k = 0; k < 2 && !bad; k++) {
            t->log = &logs[k];
            tug_buf_reset(t->log);
            int rc = run(&workloads[i], &r[k], &err);
            bad = decides(&workloads[i], &r[k], rc, &err);
        }
        t->log = NULL;
        if (!bad && same && strcmp(tug_buf_str(&logs[0]), tug_buf_str(&logs[1])) != 0) {
            say_difference(workloads[i].name, tug_buf_str(&logs[0]), tug_buf_str(&logs[1]));
            same = 0;
        }
        if (!bad && workloads[i].make == make_wide)
            starvation();
        n_jobs += r[0].jobs;
        passes += r[0].passes;
        stops += r[0].preemptions;
        tug_sim_result_clear(&r[0]);
        tug_sim_result_clear(&r[1]);
    }
    if (!bad) {
        say(TUG_TRIAL_PASS, "workloads",
            "%" PRIu64 " jobs of %zu workloads ran to their end in %" PRIu64
            " passes, with %" PRIu64 " preemptions",
            n_jobs, n, passes, stops);
        say(TUG_TRIAL_PASS, "proposals", "none was refused");
        if (same)
            say(TUG_TRIAL_PASS, "determinism",
                "two runs of each workload decided and explained the same");
    }
    tug_buf_clear(&logs[0]);
    tug_buf_clear(&logs[1]);
    return bad;
}

static void explanations(void)
{
    if (t->nan_job)
        say(TUG_TRIAL_FAIL, "key", "key() gave NAN for job %" PRIu64 "; jobs with it have no place",
            t->nan_job);
    if (t->unexplained)
        say(TUG_TRIAL_WARN, "explanations",
            "%" PRIu64
            " times a job was tried, not started, and not explained, the first is job %" PRIu64
            "; call explain(), so that its user reads why it waits",
            t->unexplained, t->unexplained_job);
    else if (t->passes)
        say(TUG_TRIAL_PASS, "explanations",
            "every job that was tried and not started was explained");
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void speed(void)
{
    struct tug_sim_result r = {0};
    struct tug_err err = {0};
    int rc = run(&crowd, &r, &err);
    if (decides(&crowd, &r, rc, &err) || !t->times.len)
        goto out;
    size_t n = t->times.len;
    qsort(t->times.at, n, sizeof(double), by_value);
    double p50 = t->times.at[n / 2], p99 = t->times.at[(size_t) (0.99 * (double) n)],
           most = t->times.at[n - 1];
    enum tug_trial_mark mark = p99 > t->conf->pass_limit_s    ? TUG_TRIAL_FAIL
                               : most > t->conf->pass_limit_s ? TUG_TRIAL_WARN
                                                              : TUG_TRIAL_PASS;
    say(mark, "speed",
        "a pass over %d jobs on %d nodes takes %.2f ms (median), %.2f ms (p99), %.2f ms (longest "
        "of %zu); "
        "the limit is %.0f ms",
        CROWD_JOBS, CROWD_NODES, p50 * 1e3, p99 * 1e3, most * 1e3, n, t->conf->pass_limit_s * 1e3);
out:
    tug_sim_result_clear(&r);
}

static void memory(void)
{
    struct tug_sim_result r = {0};
    struct tug_err err = {0};
    int rc = run_without(&steady, &r, &err);
    double base = (double) t->heap_to - (double) t->heap_from;
    tug_sim_result_clear(&r);
    if (!rc)
        rc = run(&steady, &r, &err);
    double grown = (double) t->heap_to - (double) t->heap_from - base;
    if (rc || r.unfinished) {
        decides(&steady, &r, rc, &err);
        tug_sim_result_clear(&r);
        return;
    }
    tug_sim_result_clear(&r);
    double a_job = grown / (STEADY_TO - STEADY_FROM);
    size_t before = 0,
           kept = SIZE_MAX; /* the least of several: what malloc() keeps for itself varies */
    for (int i = 0; i < 5; i++) {
        rc = run(&workloads[1], &r, &err);
        tug_sim_result_clear(&r);
        size_t now = heap_bytes();
        if (i >= 2 && (now < before || now - before < kept))
            kept = now < before ? 0 : now - before;
        before = now;
    }
    if (a_job > GROWS_BYTES)
        say(TUG_TRIAL_WARN, "memory",
            "holds %.0f bytes more with each job that comes and goes (%.0f KiB after %d); a "
            "controller runs "
            "for months",
            a_job, grown / 1024, STEADY_TO - STEADY_FROM);
    if (kept > KEEPS_BYTES)
        say(TUG_TRIAL_WARN, "memory", "%zu bytes of a short run are not freed by destroy()", kept);
    else if (a_job <= GROWS_BYTES)
        say(TUG_TRIAL_PASS, "memory",
            "does not grow with the jobs that come and go, and destroy() frees all");
}

void tug_trial_run(const struct tug_trial_conf *conf)
{
    struct trial trial = {.conf = conf, .view = conf->view};
    t = &trial;
    if (decisions() == 0) {
        explanations();
        speed();
        memory();
    }
    reset();
    tug_vec_clear(&trial.waiting);
    tug_vec_clear(&trial.times);
    tug_vec_clear(&trial.failed);
    tug_vec_clear(&trial.explained);
    tug_vec_clear(&trial.started);
    if (trial.kept)
        dlclose(trial.kept);
    t = NULL;
    conf->view->done = 1;
}
