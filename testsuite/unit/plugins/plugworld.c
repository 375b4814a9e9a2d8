/* plugworld.c - a small world for policy plugins. Layer: tests. */
#include "plugins/plugworld.h"

#include <errno.h>
#include <stdarg.h>

#include "unit.h"

#include "base/mem.h"

struct plug_world plug;

static struct tug_plugload *plugin;
static const struct tug_policy_job *waiting[PLUG_JOBS], *running[PLUG_JOBS];
static struct tug_policy_job rows[2 * PLUG_JOBS];
static struct tug_policy_view view;
static struct tug_policy_event *events;
static size_t n_events, events_cap;
static int was_preempted;

/* ---- life */

static int load(const char *name, const struct tug_plugload_param *params, size_t n,
                struct tug_err *err)
{
    char *dir = tug_xasprintf("%s/plugins", getenv("TUG_BUILDDIR") ? getenv("TUG_BUILDDIR") : ".");
    const char *dirs[] = {dir};
    int rc = tug_plugload_open(name, dirs, 1, params, n, &plugin, err);
    free(dir);
    return rc;
}

void plug_load(const char *name, ...)
{
    struct tug_plugload_param params[8];
    struct tug_err err = {0};
    size_t n = 0;
    va_list ap;
    va_start(ap, name);
    for (const char *key; (key = va_arg(ap, const char *)); n++)
        params[n] = (struct tug_plugload_param){key, va_arg(ap, const char *)};
    va_end(ap);
    memset(&plug, 0, sizeof plug);
    n_events = 0;
    plug.wake_ms = INT64_MAX;
    ck_assert_msg(load(name, params, n, &err) == 0, "%s", err.msg);
}

void plug_load_fails(const char *name, const char *key, const char *value, const char *words)
{
    const struct tug_plugload_param param = {key, value};
    struct tug_err err = {0};
    unit_fails(load(name, &param, 1, &err), -EINVAL, err, words);
}

void plug_unload(void)
{
    tug_plugload_close(plugin);
    plugin = NULL;
    tug_buf_clear(&plug.said);
    free(events);
    events = NULL;
    n_events = events_cap = 0;
}

const struct tug_policy_ops *plug_ops(void)
{
    return tug_plugload_ops(plugin);
}

void *plug_self(void)
{
    return tug_plugload_self(plugin);
}

/* ---- rows */

void plug_cluster(uint32_t nodes, uint32_t gpus)
{
    ck_assert_uint_le(nodes, PLUG_NODES);
    plug.n_nodes = nodes;
    for (uint32_t i = 0; i < nodes; i++)
        plug.nodes[i] =
            (struct tug_policy_node){.name = "n",
                                     .index = i,
                                     .cpus = gpus,
                                     .cpus_free = gpus,
                                     .gpus = gpus,
                                     .usable = 1,
                                     .gpus_free = gpus < 64 ? (1ULL << gpus) - 1 : ~0ULL,
                                     .mem_bytes = 1ULL << 40,
                                     .mem_free_bytes = 1ULL << 40,
                                     .gpu_model = "",
                                     .domain = UINT32_MAX};
}

static void tell(enum tug_policy_event_type type, const struct plug_job *j)
{
    if (n_events == events_cap) {
        events_cap = events_cap ? 2 * events_cap : 64;
        events = tug_xrealloc(events, events_cap * sizeof *events);
    }
    events[n_events++] = (struct tug_policy_event){
        .at_ms = plug.now_ms, .type = type, .node = UINT32_MAX, .ok = 1, .job = j->row};
}

struct plug_job *plug_plan(int64_t at_ms, uint32_t nodes, uint32_t gpus_per_node,
                           uint32_t gpus_last, int64_t runs_ms)
{
    ck_assert_uint_lt(plug.n_jobs, PLUG_JOBS);
    ck_assert_uint_le(nodes, PLUG_SLICES);
    struct plug_job *j = &plug.jobs[plug.n_jobs++];
    *j = (struct plug_job){.runs_ms = runs_ms,
                           .row = {.id = plug.n_jobs,
                                   .nodes = nodes,
                                   .ntasks = nodes,
                                   .gpus_per_node = gpus_per_node,
                                   .cpus_per_node = gpus_per_node,
                                   .attempt = 1,
                                   .submit_ms = at_ms,
                                   .eligible_ms = at_ms,
                                   .time_limit_ms = -1,
                                   .start_ms = -1,
                                   .queue = "main",
                                   .account = "",
                                   .name = "",
                                   .user = "ann",
                                   .expected_ms = runs_ms,
                                   .gpus_last = gpus_last,
                                   .cpus_last = gpus_last,
                                   .gpus = (nodes - 1) * gpus_per_node + gpus_last,
                                   .share_row = UINT32_MAX,
                                   .preemptable = TUG_PREEMPT_REQUEUE}};
    return j;
}

static void arrive(struct plug_job *j)
{
    j->state = PLUG_WAITS;
    tell(TUG_POLICY_EV_SUBMIT, j);
}

struct plug_job *plug_submit(const char *user, uint32_t nodes, uint32_t gpus_per_node,
                             int64_t runs_ms)
{
    struct plug_job *j = plug_plan(plug.now_ms, nodes, gpus_per_node, gpus_per_node, runs_ms);
    j->row.user = user;
    arrive(j);
    return j;
}

static int before(const void *a, const void *b)
{
    const struct tug_policy_job *x = *(const struct tug_policy_job *const *) a,
                                *y = *(const struct tug_policy_job *const *) b;
    if (x->tier != y->tier)
        return x->tier < y->tier ? 1 : -1;
    if (x->key != y->key)
        return x->key > y->key ? 1 : -1;
    if (x->priority != y->priority)
        return x->priority < y->priority ? 1 : -1;
    if (x->submit_ms != y->submit_ms)
        return x->submit_ms > y->submit_ms ? 1 : -1;
    return x->id > y->id ? 1 : -1;
}

const struct tug_policy_view *plug_view(void)
{
    size_t n_waiting = 0, n_running = 0;
    for (size_t i = 0; i < plug.n_jobs; i++) {
        if (plug.jobs[i].state == PLUG_WAITS)
            waiting[n_waiting++] = &plug.jobs[i].row;
        if (plug.jobs[i].state == PLUG_RUNS)
            running[n_running++] = &plug.jobs[i].row;
    }
    qsort(waiting, n_waiting, sizeof *waiting, before);
    for (size_t i = 0; i < n_waiting; i++)
        rows[i] = *waiting[i];
    for (size_t i = 0; i < n_running; i++)
        rows[n_waiting + i] = *running[i];
    view = (struct tug_policy_view){.size = sizeof view,
                                    .now_ms = plug.now_ms,
                                    .waiting = rows,
                                    .n_waiting = n_waiting,
                                    .waiting_stride = sizeof *rows,
                                    .running = rows + n_waiting,
                                    .n_running = n_running,
                                    .running_stride = sizeof *rows,
                                    .nodes = plug.nodes,
                                    .n_nodes = plug.n_nodes,
                                    .nodes_stride = sizeof *plug.nodes,
                                    .queues = plug.queues,
                                    .n_queues = plug.n_queues,
                                    .queues_stride = sizeof *plug.queues,
                                    .shares = plug.shares,
                                    .n_shares = plug.n_shares,
                                    .shares_stride = sizeof *plug.shares};
    for (size_t i = 0; i < plug.n_nodes; i++) {
        view.gpus += plug.nodes[i].gpus;
        view.gpus_free += (uint32_t) __builtin_popcountll(plug.nodes[i].gpus_free);
        view.cpus += plug.nodes[i].cpus;
        view.mem_bytes += plug.nodes[i].mem_bytes;
    }
    return &view;
}

/* ---- the host */

static struct plug_job *job_of(uint64_t id)
{
    ck_assert(id >= 1 && id <= plug.n_jobs);
    return &plug.jobs[id - 1];
}

static uint32_t gpus_of(const struct plug_job *j, size_t slice)
{
    return slice + 1 == j->row.nodes ? j->row.gpus_last : j->row.gpus_per_node;
}

static uint32_t cpus_of(const struct plug_job *j, size_t slice)
{
    return slice + 1 == j->row.nodes ? j->row.cpus_last : j->row.cpus_per_node;
}

static void take(struct plug_job *j, int sign)
{
    for (size_t i = 0; i < j->row.nodes; i++) {
        struct tug_policy_node *x = &plug.nodes[j->at[i].node];
        ck_assert_uint_eq(sign > 0 ? x->gpus_free & j->at[i].gpus : ~x->gpus_free & j->at[i].gpus,
                          j->at[i].gpus);
        x->gpus_free ^= j->at[i].gpus;
        x->cpus_free -= (uint32_t) sign * cpus_of(j, i);
        x->mem_free_bytes -= (uint64_t) sign * j->row.mem_per_node_bytes;
    }
}

static int node_fits(const struct plug_job *j, size_t slice, const struct tug_policy_node *x)
{
    return x->usable && (uint32_t) __builtin_popcountll(x->gpus_free) >= gpus_of(j, slice) &&
           x->cpus_free >= cpus_of(j, slice) && x->mem_free_bytes >= j->row.mem_per_node_bytes;
}

static int find(struct plug_job *j, struct tug_policy_slice *at)
{
    size_t slice = 0;
    for (uint32_t i = 0; i < plug.n_nodes && slice < j->row.nodes; i++) {
        if (!node_fits(j, slice, &plug.nodes[i]))
            continue;
        at[slice] = (struct tug_policy_slice){.node = i};
        for (uint64_t left = plug.nodes[i].gpus_free, n = gpus_of(j, slice); n > 0; n--) {
            at[slice].gpus |= left & -left;
            left &= left - 1;
        }
        slice++;
    }
    return slice == j->row.nodes ? 0 : -EAGAIN;
}

static int begin(struct plug_job *j)
{
    take(j, 1);
    j->state = PLUG_RUNS;
    j->row.start_ms = plug.now_ms;
    j->end_ms = plug.now_ms + j->runs_ms - j->row.ran_ms;
    tug_buf_addf(&plug.said, "start %llu, ", (unsigned long long) j->row.id);
    tell(TUG_POLICY_EV_START, j);
    return 0;
}

/* Of this pass. */
static uint64_t looked_at[PLUG_JOBS];
static size_t n_looked_at;

static int look(uint64_t id)
{
    for (size_t i = 0; i < n_looked_at; i++)
        if (looked_at[i] == id)
            return 0;
    if (plug.budget && n_looked_at >= plug.budget)
        return -E2BIG;
    looked_at[n_looked_at++] = id;
    return 0;
}

static int h_start(struct tug_policy_pass *pass, uint64_t id)
{
    struct plug_job *j = job_of(id);
    (void) pass;
    if (j->state != PLUG_WAITS) {
        plug.refused++;
        return -ENOENT;
    }
    int rc = look(id);
    rc = rc ? rc : find(j, j->at);
    return rc ? rc : begin(j);
}

static int h_place(struct tug_policy_pass *pass, uint64_t id, struct tug_policy_slice *at, size_t n)
{
    struct plug_job *j = job_of(id);
    (void) pass;
    ck_assert_uint_eq(n, j->row.nodes);
    int rc = look(id);
    return rc ? rc : find(j, at);
}

static int h_start_on(struct tug_policy_pass *pass, uint64_t id, const struct tug_policy_slice *at,
                      size_t n)
{
    struct plug_job *j = job_of(id);
    (void) pass;
    int bad = j->state != PLUG_WAITS || n != j->row.nodes;
    for (size_t i = 0; i < n && !bad; i++) {
        bad |= at[i].node >= plug.n_nodes || !node_fits(j, i, &plug.nodes[at[i].node]) ||
               (at[i].gpus & ~plug.nodes[at[i].node].gpus_free) ||
               (uint32_t) __builtin_popcountll(at[i].gpus) != gpus_of(j, i);
        for (size_t k = 0; k < i && !bad; k++)
            bad |= at[k].node == at[i].node;
    }
    if (bad) {
        plug.refused++;
        return -EINVAL;
    }
    int rc = look(id);
    if (rc)
        return rc;
    memcpy(j->at, at, n * sizeof *at);
    return begin(j);
}

static int h_explain(struct tug_policy_pass *pass, uint64_t id, enum tug_policy_reason reason,
                     const char *text)
{
    (void) pass;
    (void) reason;
    plug.explained = id;
    snprintf(plug.text, sizeof plug.text, "%s", text ? text : "");
    plug.refused += job_of(id)->state != PLUG_WAITS;
    return 0;
}

static int h_held(struct tug_policy_pass *pass, uint64_t id, struct tug_policy_slice *at, size_t n)
{
    const struct plug_job *j = job_of(id);
    (void) pass;
    if (j->state != PLUG_RUNS)
        return -ENOENT;
    for (size_t i = 0; i < n && i < j->row.nodes; i++)
        at[i] = j->at[i];
    return (int) j->row.nodes;
}

static int h_may_use(struct tug_policy_pass *pass, uint64_t id, uint32_t node)
{
    (void) pass;
    (void) id;
    return plug.nodes[node].usable;
}

static int h_reserve(struct tug_policy_pass *pass, uint64_t id, int64_t *start_ms)
{
    (void) pass;
    *start_ms = plug.now_ms + 1000;
    tug_buf_addf(&plug.said, "reserve %llu, ", (unsigned long long) id);
    return 0;
}

static int h_backfill(struct tug_policy_pass *pass, uint64_t id)
{
    return id == plug.delays ? -EBUSY : h_start(pass, id);
}

static int h_preempt(struct tug_policy_pass *pass, uint64_t for_job, const uint64_t *victims,
                     size_t n)
{
    (void) pass;
    ck_assert_uint_eq(for_job, 0);
    for (size_t i = 0; i < n; i++) {
        struct plug_job *j = job_of(victims[i]);
        tug_buf_addf(&plug.said, "preempt %llu, ", (unsigned long long) j->row.id);
        plug.refused += j->state != PLUG_RUNS || j->row.leaving;
        j->row.leaving = 1;
        plug.preemptions++;
    }
    was_preempted = 1;
    return 0;
}

static int h_wake(struct tug_policy_pass *pass, int64_t at_ms)
{
    (void) pass;
    if (at_ms < plug.wake_ms)
        plug.wake_ms = at_ms;
    return 0;
}

static struct tug_policy_host host = {.size = sizeof host,
                                            .start = h_start,
                                            .start_on = h_start_on,
                                            .place = h_place,
                                            .explain = h_explain,
                                            .held = h_held,
                                            .may_use = h_may_use,
                                            .explains = 1,
                                            .reserve = h_reserve,
                                            .backfill = h_backfill,
                                            .preempt = h_preempt,
                                            .wake = h_wake};

/* ---- a pass */

static void ask_keys(int all)
{
    const struct tug_policy_ops *ops = plug_ops();
    for (size_t i = 0; i < plug.n_jobs; i++) {
        struct plug_job *j = &plug.jobs[i];
        if (j->state == PLUG_WAITS && (all || !j->row.key)) {
            j->row.key = ops->key(plug_self(), &view, &j->row);
            ck_assert(j->row.key == j->row.key);
        }
    }
}

static void one_pass(void)
{
    const struct tug_policy_ops *ops = plug_ops();
    plug_view();
    size_t n = n_events;
    n_events = n_looked_at = 0;
    if (ops->observe)
        ck_assert_int_eq(ops->observe(plug_self(), &view, events, n, sizeof *events), 0);
    int all = ops->rekey && ops->rekey(plug_self(), &view) == 1;
    if (ops->key)
        ask_keys(all);
    plug_view();
    plug.wake_ms = INT64_MAX;
    host.explains = !plug.quiet;
    if (ops->pass)
        ck_assert_int_eq(ops->pass(plug_self(), &view, &host, NULL), 0);
    for (size_t i = 0; !ops->pass && i < view.n_waiting; i++)
        if (h_start(NULL, TUG_POLICY_WAITING(&view, i)->id))
            break;
}

static void let_go(void)
{
    for (size_t i = 0; i < plug.n_jobs; i++) {
        struct plug_job *j = &plug.jobs[i];
        if (j->state != PLUG_RUNS || !j->row.leaving)
            continue;
        take(j, -1);
        j->state = PLUG_WAITS;
        j->row.leaving = 0;
        j->row.ran_ms += plug.now_ms - j->row.start_ms;
        j->row.start_ms = -1;
        j->row.key = 0;
        j->row.preemptions++;
        tell(TUG_POLICY_EV_REQUEUE, j);
    }
}

void plug_pass(void)
{
    int n = 0;
    tug_buf_reset(&plug.said);
    do {
        was_preempted = 0;
        one_pass();
        if (!plug.keep_running)
            let_go();
        ck_assert_int_lt(n++, 8);
    } while (was_preempted && !plug.keep_running);
}

/* ---- time */

void plug_end(struct plug_job *j)
{
    ck_assert_int_eq(j->state, PLUG_RUNS);
    take(j, -1);
    j->state = PLUG_OVER;
    j->end_ms = plug.now_ms;
    j->row.ran_ms += plug.now_ms - j->row.start_ms;
    tell(TUG_POLICY_EV_END, j);
}

void plug_run(void)
{
    for (;;) {
        int64_t next_ms = plug.wake_ms;
        for (size_t i = 0; i < plug.n_jobs; i++) {
            const struct plug_job *j = &plug.jobs[i];
            int64_t at_ms = j->state == PLUG_TO_COME ? j->row.submit_ms
                            : j->state == PLUG_RUNS  ? j->end_ms
                                                     : INT64_MAX;
            if (at_ms < next_ms)
                next_ms = at_ms;
        }
        if (next_ms == INT64_MAX)
            return;
        plug.now_ms = next_ms;
        for (size_t i = 0; i < plug.n_jobs; i++)
            if (plug.jobs[i].state == PLUG_RUNS && plug.jobs[i].end_ms == next_ms)
                plug_end(&plug.jobs[i]);
        for (size_t i = 0; i < plug.n_jobs; i++)
            if (plug.jobs[i].state == PLUG_TO_COME && plug.jobs[i].row.submit_ms == next_ms)
                arrive(&plug.jobs[i]);
        plug_pass();
    }
}
