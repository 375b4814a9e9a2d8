/* guard.c - the watch of a running gang: looks, tells the head, and the head says who holds it up
 *
 * Every node looks at its ranks once a period and sends what it saw to the head; watch.c judges. What is new in the
 * verdict goes to the node daemon, and as a line into the job's output. When it has lasted for the hang time-out the
 * nodes write down what the ranks are at, if the job wants that; meanwhile nobody looks, since gdb would be seen. While
 * the job is suspended, or being ended, nobody looks either. Layer: stepd.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/gpuset.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pattern.h"
#include "base/str.h"
#include "stepd/dump.h"
#include "stepd/gpus.h"
#include "stepd/life_impl.h"
#include "stepd/procstat.h"
#include "stepd/ras.h"
#include "stepd/watch.h"

#define HANG_DEFAULT_S 600u
#define PERIOD_MAX_MS  5000u
#define PERIOD_MIN_MS  500u
#define JUDGE_MS       1000u
#define PERIODS        6 /* looks within the hang time-out, at least */
#define RAS_MIN_MS     1000u
#define RAS_MAX_MS     30000u
#define RAS_PERIODS    6
#define RAS_LIMIT_MS   15000u /* NCCL itself waits up to 10 s for ranks that do not answer */
#define DUMPED_BY_MS   (TUG_DUMP_MAX_MS + 5000u)
#define NAMED_MAX      4 /* ranks of a sentence */

enum acted { NOT_YET, DUMPING, DUMPED };

struct tug_guard {
    struct tug_timer *timer;
    uint64_t period_ms, look_at_ms;
    struct tug_dump *dump; /* under way on this node */
    /* head */
    struct tug_watch *watch;
    uint64_t *gpus; /* of each rank, on its node */
    pid_t *pids;    /* of each rank's process that counts; 0 = not known */
    struct tug_ras *ras; /* NULL: there is none to ask */
    uint64_t ask_at_ms;
    bool ras_told; /* why it says nothing was logged */
    struct tug_verdict verdict;
    bool said; /* the node daemon knows of one, or of its end */
    char text[768];
    int64_t since_wall_ms;
    enum acted acted; /* on this verdict */
    bool tried;       /* do the nodes reach each other: asked for it */
    uint64_t dumped_by_ms;
    bool *dumps; /* nodes that have not written down what they were asked for */
};

static uint64_t hang_ms(const struct tug_life *l)
{
    unsigned s = l->p->spec->hang_timeout_s ? l->p->spec->hang_timeout_s : HANG_DEFAULT_S;

    return s * 1000ull;
}

static bool is_awake(const struct tug_life *l)
{
    return l->phase >= RUN && l->phase < REPORT && !l->ended && !l->stopped;
}

/* ---- what is seen ---- */

static void look_at(struct tug_life *l, unsigned local, Tugpb__WatchLook *m, char *where, size_t size)
{
    struct tug_look look = {.doing = TUG_DOING_ENDED};
    pid_t pid = tug_ranks_pid(l->ranks, local), worker = 0;
    struct tug_gpu_list gpus;

    if (pid)
        tug_procstat_look(pid, &look, &worker);
    tugpb__watch_look__init(m);
    tug_str_copy(where, size, look.where);
    m->doing = (uint32_t) look.doing;
    m->cpu_ms = look.cpu_ms;
    m->io_bytes = look.io_bytes;
    m->where = where;
    m->pid = (uint32_t) worker;
    tug_gpus_of_rank(l->p, local, &gpus);
    for (unsigned i = 0; i < gpus.n; i++)
        m->gpus |= 1ULL << tug_gpus_gpu(l->p, gpus.at[i]);
}

static void look_around(struct tug_life *l)
{
    unsigned n = l->p->n_local;
    Tugpb__StarWatch m = TUGPB__STAR_WATCH__INIT;
    Tugpb__WatchLook *looks = tug_xcalloc(n + 1, sizeof *looks), **list = tug_xcalloc(n + 1, sizeof *list);
    char(*where)[48] = tug_xcalloc(n + 1, sizeof *where);

    for (unsigned i = 0; i < n; i++) {
        look_at(l, i, &looks[i], where[i], sizeof where[i]);
        list[i] = &looks[i];
    }
    m.node_index = l->p->me;
    m.n_looks = n;
    m.looks = list;
    tug_star_send(l->star, 0, TUG_MSG_STAR_WATCH, &m.base);
    free(looks);
    free(list);
    free(where);
}

void tug_guard_hears(struct tug_life *l, unsigned from, const Tugpb__StarWatch *m)
{
    const Tugpb__Slice *s = l->p->pb->slices[from];
    unsigned first = l->p->batch ? 0 : s->first_rank, most = l->p->batch ? (from == 0) : s->ntasks;
    struct tug_guard *g = l->guard;
    uint64_t now = tug_now_ms();

    if (!g || !is_awake(l))
        return;
    for (unsigned i = 0; i < most && i < m->n_looks; i++) {
        const Tugpb__WatchLook *from_node = m->looks[i];
        struct tug_look look = {.doing = (enum tug_doing) from_node->doing,
                                .cpu_ms = from_node->cpu_ms,
                                .io_bytes = from_node->io_bytes};

        tug_str_copy(look.where, sizeof look.where, from_node->where);
        g->gpus[first + i] = from_node->gpus;
        g->pids[first + i] = (pid_t) from_node->pid;
        tug_watch_look(g->watch, first + i, now, &look);
    }
}

/* ---- what NCCL says ---- */

static uint64_t ras_period_ms(const struct tug_life *l)
{
    uint64_t ms = hang_ms(l) / RAS_PERIODS;

    return ms > RAS_MAX_MS ? RAS_MAX_MS : ms < RAS_MIN_MS ? RAS_MIN_MS : ms;
}

/* Which rank of the gang that process is; n_ranks = it cannot be told. By its pid, and where two nodes have the same, by
 * address; else by its number, where the communicator is as large as the gang. */
static unsigned rank_of(const struct tug_life *l, const struct tug_ras_rank *r)
{
    const struct tug_payload *p = l->p;
    unsigned found = p->n_ranks, n = 0;

    for (unsigned i = 0; i < p->n_ranks && r->pid > 0; i++) {
        unsigned node = tug_payload_node_of(p, i);
        if (l->guard->pids[i] != r->pid)
            continue;
        found = i;
        n++;
        if (node < p->pb->n_addresses && strcmp(p->pb->addresses[node], r->host) == 0)
            return i;
    }
    if (n == 1)
        return found;
    return r->comm_size == p->n_ranks && r->rank < p->n_ranks ? r->rank : p->n_ranks;
}

static void on_report(void *arg, const struct tug_ras_report *report, const struct tug_err *why)
{
    struct tug_life *l = arg;
    struct tug_coll *all;
    size_t n = 0;

    if (!report) {
        if (why->code != -ECONNREFUSED && why->code != -ETIMEDOUT && !l->guard->ras_told) {
            l->guard->ras_told = true;
            tug_warn("job %llu: %s; hangs are told from what the processes do alone",
                     (unsigned long long) l->p->pb->key->job, why->msg);
        }
        return;
    }
    if (!is_awake(l))
        return;
    all = tug_xcalloc(report->ranks.len + 1, sizeof *all);
    for (size_t i = 0; i < report->ranks.len; i++) {
        const struct tug_ras_rank *r = &report->ranks.at[i];
        unsigned rank = rank_of(l, r);
        if (rank < l->p->n_ranks)
            all[n++] = (struct tug_coll){.comm = r->comm,
                                         .comm_size = r->comm_size,
                                         .rank = rank,
                                         .count = r->count,
                                         .error = r->error,
                                         .missing = r->missing,
                                         .dead = r->dead};
    }
    tug_watch_colls(l->guard->watch, tug_now_ms(), ras_period_ms(l), all, n);
    free(all);
}

/* The address that the ranks were given, which may be of the job's own making. */
static void find_ras(struct tug_life *l)
{
    struct tug_arena arena = {0};
    const char *addr;
    struct tug_err err = {0};

    if (l->p->batch || !l->env)
        return;
    addr = tug_rank_env_get(tug_rank_env_make(l->env, &arena, 0, NULL), "NCCL_RAS_ADDR");
    if (addr && tug_ras_new(&l->guard->ras, tug_loop_base(l->loop), addr, on_report, l, &err) < 0)
        tug_warn("job %llu: %s", (unsigned long long) l->p->pb->key->job, err.msg);
    tug_arena_clear(&arena);
}

static void ask_ras(struct tug_life *l, uint64_t now)
{
    struct tug_guard *g = l->guard;

    if (!g->ras || now < g->ask_at_ms)
        return;
    g->ask_at_ms = now + ras_period_ms(l);
    tug_ras_ask(g->ras, RAS_LIMIT_MS);
}

/* ---- what is said ---- */

static const char *node_of(const struct tug_life *l, unsigned rank)
{
    return l->p->pb->slices[l->p->batch ? 0 : tug_payload_node_of(l->p, rank)]->node;
}

static void add_rank(const struct tug_life *l, struct tug_buf *b, unsigned rank)
{
    uint64_t gpus = l->guard->gpus[rank];
    char list[256];

    if (l->p->batch)
        tug_buf_addf(b, "the batch script on node %s", node_of(l, rank));
    else
        tug_buf_addf(b, "rank %u on node %s", rank, node_of(l, rank));
    if (gpus && !l->p->batch)
        tug_buf_addf(b, " (GPU%s %s)", tug_gpuset_count(gpus) > 1 ? "s" : "",
                     tug_gpuset_format(gpus, list, sizeof list));
}

/* "rank 2 on node n01 (GPU 3) is stopped by a signal" */
static void make_text(struct tug_life *l, const struct tug_verdict *v, char *out, size_t size)
{
    struct tug_buf b = {0};
    unsigned named = v->n_ranks < NAMED_MAX ? v->n_ranks : NAMED_MAX;

    for (unsigned i = 0; i < named; i++) {
        tug_buf_adds(&b, i == 0 ? "" : i + 1 == v->all ? " and " : ", ");
        add_rank(l, &b, v->ranks[i]);
    }
    if (v->all > named)
        tug_buf_addf(&b, " and %u more", v->all - named);
    tug_buf_addf(&b, " %s", v->text);
    tug_str_copy(out, size, tug_buf_str(&b));
    tug_buf_clear(&b);
}

static void tell_node_daemon(struct tug_life *l)
{
    struct tug_guard *g = l->guard;
    const struct tug_verdict *v = &g->verdict;
    Tugpb__SdWatch m = TUGPB__SD_WATCH__INIT;
    Tugpb__Hang h = TUGPB__HANG__INIT;

    if (v->kind != TUG_VERDICT_NONE) {
        h.kind = (char *) (uintptr_t) tug_verdict_name(v->kind);
        h.rank = v->ranks[0];
        h.node = (char *) (uintptr_t) node_of(l, v->ranks[0]);
        h.gpus = g->gpus[v->ranks[0]];
        h.ranks = v->all;
        h.text = g->text;
        h.since_ms = g->since_wall_ms;
        h.step = l->p->pb->key->step;
    }
    m.hang = &h;
    tug_link_send(l->link, TUG_MSG_SD_WATCH, &m.base);
}

/* Where the user looks first: among what the ranks print. */
static void note(struct tug_life *l, unsigned rank, const char *fmt, const char *text)
{
    char line[900], clock[32];
    time_t now = (time_t) (tug_wall_ms() / 1000);
    struct tm tm;
    int n;

    localtime_r(&now, &tm);
    strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    n = snprintf(line, sizeof line, "%s ", clock);
    snprintf(line + n, sizeof line - (size_t) n, fmt, text);
    tug_info("job %llu: %s", (unsigned long long) l->p->pb->key->job, line + n);
    if (l->client) {
        char shown[960];
        n = snprintf(shown, sizeof shown, "[tug: %s]\n", line);
        tug_client_output(l->client, rank, 2, shown, (size_t) n);
    } else if (l->output) {
        tug_output_note(l->output, rank, line);
    }
}

/* ---- what is done ---- */

/* Next to the job's output, where its user looks and may write. */
static char *dump_dir(const struct tug_life *l)
{
    const struct tug_payload *p = l->p;
    const char *pattern = p->spec->stdout_path[0] && !p->spec->interactive ? p->spec->stdout_path : TUG_PATTERN_DEFAULT;
    char *path = tug_payload_path(p, pattern, p->first_rank), *slash = strrchr(path, '/'), *dir;

    if (slash)
        *slash = 0;
    dir = tug_xasprintf("%s/tug-%llu.hang", slash ? path : p->spec->cwd, (unsigned long long) p->pb->key->job);
    free(path);
    return dir;
}

static void say_dumped(struct tug_life *l, const char *trouble)
{
    Tugpb__StarDumped m = TUGPB__STAR_DUMPED__INIT;

    m.node_index = l->p->me;
    m.trouble = (char *) (uintptr_t) trouble;
    tug_star_send(l->star, 0, TUG_MSG_STAR_DUMPED, &m.base);
}

static void on_dump_end(void *arg)
{
    struct tug_life *l = arg;

    say_dumped(l, "");
}

static void ask_recorders(struct tug_life *l, char *const *env)
{
    const char *stem = tug_rank_env_get(env, "TORCH_NCCL_DEBUG_INFO_PIPE_FILE");

    for (unsigned i = 0; stem && i < l->p->n_local; i++) {
        char *fifo = tug_xasprintf("%s%u.pipe", stem, tug_payload_rank(l->p, i));
        int rc = tug_dump_recorder(fifo);
        if (rc < 0 && rc != -ENOENT && rc != -ENXIO)
            tug_warn("job %llu: cannot write to %s: %s", (unsigned long long) l->p->pb->key->job, fifo, strerror(-rc));
        free(fifo);
    }
}

void tug_guard_dump(struct tug_life *l, const Tugpb__StarDump *m)
{
    struct tug_guard *g = l->guard;
    const Tugpb__StepKey *k = l->p->pb->key;
    struct tug_arena arena = {0};
    char *names[TUG_VERDICT_RANKS], *dir = dump_dir(l), **env;
    pid_t pids[TUG_VERDICT_RANKS];
    struct tug_err err = {0};
    unsigned n = 0;

    if (!g || !is_awake(l) || !l->env) {
        free(dir);
        return;
    }
    env = tug_rank_env_make(l->env, &arena, 0, NULL);
    ask_recorders(l, env);
    for (size_t i = 0; i < m->n_ranks && n < TUG_VERDICT_RANKS; i++) {
        unsigned local = m->ranks[i] - l->p->first_rank;
        if (local >= l->p->n_local || !(pids[n] = tug_ranks_pid(l->ranks, local)))
            continue;
        names[n++] = tug_xasprintf("%u.%u.rank%u.txt", k->attempt, k->step, m->ranks[i]);
    }
    tug_dump_free(g->dump);
    g->dump = NULL;
    if (n && tug_dump_start(&g->dump, tug_loop_base(l->loop), env, dir, m->title, names, pids, n, on_dump_end, l, &err) < 0)
        say_dumped(l, err.msg);
    else if (!n)
        say_dumped(l, "");
    for (unsigned i = 0; i < n; i++)
        free(names[i]);
    free(dir);
    tug_arena_clear(&arena);
}

static void hung(struct tug_life *l)
{
    struct tug_guard *g = l->guard;
    struct tug_cause c;

    tug_cause_set(&c, "hang", node_of(l, g->verdict.ranks[0]), g->verdict.ranks[0], NULL, "the gang hung: %s", g->text);
    tug_life_fail(l, &c);
}

/* All nodes have written down what they could. */
static void dumped(struct tug_life *l)
{
    struct tug_guard *g = l->guard;
    char *dir = dump_dir(l);

    g->acted = DUMPED;
    tug_watch_blink(g->watch, tug_now_ms());
    note(l, g->verdict.ranks[0], "what they are at stands in %s", dir);
    free(dir);
    if (l->p->spec->on_hang == TUGPB__ON_HANG__HANG_REQUEUE)
        hung(l);
}

static bool all_dumped(const struct tug_life *l)
{
    for (unsigned i = 0; i < l->p->n_stepds; i++)
        if (l->guard->dumps[i] && !tug_star_lost(l->star, i))
            return false;
    return true;
}

void tug_guard_dumped(struct tug_life *l, unsigned from, const Tugpb__StarDumped *m)
{
    struct tug_guard *g = l->guard;

    if (!g || g->acted != DUMPING || !is_awake(l))
        return;
    g->dumps[from] = false;
    if (m->trouble[0])
        tug_warn("job %llu: node %s: %s", (unsigned long long) l->p->pb->key->job, l->p->pb->slices[from]->node,
                 m->trouble);
    if (all_dumped(l))
        dumped(l);
}

static void act(struct tug_life *l, uint64_t now)
{
    struct tug_guard *g = l->guard;
    Tugpb__StarDump m = TUGPB__STAR_DUMP__INIT;

    if (g->verdict.ripe && !g->tried && l->mesh) {
        g->tried = true;
        tug_mesh_ask(l->mesh);
    }
    if (!g->verdict.ripe || g->acted != NOT_YET || l->p->spec->on_hang == TUGPB__ON_HANG__HANG_NOTIFY)
        return;
    g->acted = DUMPING;
    g->dumped_by_ms = now + DUMPED_BY_MS;
    m.ranks = g->verdict.ranks;
    m.n_ranks = g->verdict.n_ranks;
    m.title = g->text;
    for (unsigned i = 0; i < l->p->n_stepds; i++)
        g->dumps[i] = true;
    tug_star_tell_all(l->star, TUG_MSG_STAR_DUMP, &m.base);
    tug_guard_dump(l, &m);
}

/* ---- the verdict ---- */

static bool same_verdict(const struct tug_verdict *a, const struct tug_verdict *b)
{
    return a->kind == b->kind && a->all == b->all && a->n_ranks == b->n_ranks &&
           memcmp(a->ranks, b->ranks, a->n_ranks * sizeof *a->ranks) == 0;
}

static void judge(struct tug_life *l)
{
    struct tug_guard *g = l->guard;
    uint64_t now = tug_now_ms();
    struct tug_verdict v, before = g->verdict;

    if (g->acted == DUMPING) {
        if (now >= g->dumped_by_ms)
            dumped(l);
        return;
    }
    tug_watch_judge(g->watch, now, &v);
    g->verdict = v;
    if (same_verdict(&v, &before))
        return;
    g->acted = NOT_YET;
    g->tried = false;
    if (v.kind == TUG_VERDICT_NONE) {
        note(l, before.ranks[0], "%s", "the ranks go on");
    } else {
        make_text(l, &v, g->text, sizeof g->text);
        g->since_wall_ms = tug_wall_ms() - (int64_t) (now - v.since_ms);
        note(l, v.ranks[0], "%s", g->text);
    }
    g->said = true;
    tell_node_daemon(l);
}

/* ---- life ---- */

static bool is_dumping(struct tug_guard *g)
{
    return g->dump && tug_dump_runs(g->dump);
}

/* The head hears of the others at any time, so it judges more often than it looks. */
static void on_timer(void *arg)
{
    struct tug_life *l = arg;
    struct tug_guard *g = l->guard;
    uint64_t now = tug_now_ms();

    if (l->phase >= REPORT)
        return;
    tug_timer_set(g->timer, now + (g->watch && g->period_ms > JUDGE_MS ? JUDGE_MS : g->period_ms));
    if (!is_awake(l))
        return;
    if (now >= g->look_at_ms && !is_dumping(g)) {
        g->look_at_ms = now + g->period_ms;
        look_around(l);
    }
    if (g->watch) {
        ask_ras(l, now);
        judge(l);
        act(l, now);
    }
}

void tug_guard_start(struct tug_life *l)
{
    struct tug_guard *g;
    uint64_t period = hang_ms(l) / PERIODS;

    if (l->ended || l->p->spec->on_hang == TUGPB__ON_HANG__HANG_OFF)
        return;
    g = tug_new(struct tug_guard);
    if (tug_timer_new(&g->timer, tug_loop_base(l->loop), on_timer, l, NULL) < 0) {
        free(g); /* no descriptor is left: the job runs without */
        return;
    }
    g->period_ms = period > PERIOD_MAX_MS ? PERIOD_MAX_MS : period < PERIOD_MIN_MS ? PERIOD_MIN_MS : period;
    if (l->p->me == 0) {
        g->watch = tug_watch_new(l->p->n_ranks, hang_ms(l), g->period_ms);
        g->gpus = tug_xcalloc(l->p->n_ranks, sizeof *g->gpus);
        g->pids = tug_xcalloc(l->p->n_ranks, sizeof *g->pids);
        g->dumps = tug_xcalloc(l->p->n_stepds, sizeof *g->dumps);
    }
    l->guard = g;
    if (g->watch)
        find_ras(l);
    tug_timer_set(g->timer, tug_now_ms() + g->period_ms);
}

void tug_guard_resumed(struct tug_life *l)
{
    if (l->guard && l->guard->watch)
        tug_watch_forget(l->guard->watch);
}

void tug_guard_say_again(struct tug_life *l)
{
    if (l->guard && l->guard->said && l->phase < REPORT)
        tell_node_daemon(l);
}
