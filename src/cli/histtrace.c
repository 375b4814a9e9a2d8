/* histtrace.c - the history as a trace for tug-sim
 *
 * One table has the columns. The first ones are of the trace schema that tug-sim runs; those behind
 * it say what was decided, for tug-sim replay. Layer: cli.
 */
#include "cli/histtrace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/gpuset.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cli/client.h"

#define PAGE 1000

/* ---- columns */

static void in_quotes(struct tug_buf *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        tug_buf_addf(out, "%s", text);
        return;
    }
    tug_buf_addf(out, "\"");
    for (; *text; text++)
        tug_buf_addf(out, *text == '"' ? "\"\"" : "%c",
                     *text == '\n' || *text == '\r' ? ' ' : *text);
    tug_buf_addf(out, "\"");
}

static void seconds(struct tug_buf *out, int64_t ms)
{
    if (ms >= 0)
        tug_buf_addf(out, "%" PRId64 ".%03d", ms / 1000, (int) (ms % 1000));
}

static void submit_s(struct tug_buf *out, const Tugpb__JobView *j)
{
    seconds(out, j->submit_ms);
}

/* From the decision to the moment when its GPUs were free again. */
static void duration_s(struct tug_buf *out, const Tugpb__JobView *j)
{
    seconds(out, j->alloc_ms > 0 && j->end_ms >= j->alloc_ms ? j->end_ms - j->alloc_ms : -1);
}

static void status(struct tug_buf *out, const Tugpb__JobView *j)
{
    static const struct {
        const char *state, *status;
    } words[] = {{"COMPLETED", "completed"}, {"CANCELLED", "cancelled"}, {"PENDING", "pending"}};
    const char *word = j->end_ms > 0 ? "failed" : "running";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(j->state, words[i].state))
            word = words[i].status;
    tug_buf_addf(out, "%s", word);
}

static void limit_s(struct tug_buf *out, const Tugpb__JobView *j)
{
    if (j->time_limit_s)
        tug_buf_addf(out, "%u", j->time_limit_s);
}

static void wait_s(struct tug_buf *out, const Tugpb__JobView *j)
{
    seconds(out, j->alloc_ms > 0 ? j->alloc_ms - j->submit_ms : -1);
}

#define NEVER_MS 9999999999000 /* in the year 2286 */

/* One that was held could not start before its release, whatever it was eligible for in between. */
static void begin_s(struct tug_buf *out, const Tugpb__JobView *j)
{
    if (j->held) {
        seconds(out, NEVER_MS);
        return;
    }
    int64_t at_ms = j->eligible_ms > j->released_ms ? j->eligible_ms : j->released_ms;
    seconds(out, at_ms > j->submit_ms ? at_ms : -1);
}

static void start_s(struct tug_buf *out, const Tugpb__JobView *j)
{
    seconds(out, j->alloc_ms > 0 ? j->alloc_ms : -1);
}

static void end_s(struct tug_buf *out, const Tugpb__JobView *j)
{
    seconds(out, j->end_ms > 0 ? j->end_ms : -1);
}

/* "n1:0-3;n2:0" */
static void placed(struct tug_buf *out, const Tugpb__JobView *j)
{
    struct tug_buf text = {0};
    char gpus[256];
    for (size_t i = 0; i < j->n_slices; i++)
        tug_buf_addf(&text, "%s%s:%s", i ? ";" : "", j->slices[i]->node,
                     tug_gpuset_format(j->slices[i]->gpus, gpus, sizeof gpus));
    in_quotes(out, tug_buf_str(&text));
    tug_buf_clear(&text);
}

#define TEXT(column, field)                                                                        \
    static void column(struct tug_buf *out, const Tugpb__JobView *j)                               \
    {                                                                                              \
        in_quotes(out, j->field);                                                                  \
    }
TEXT(user, user)
TEXT(vc_or_queue, queue)
TEXT(account, account)
TEXT(asked_nodes, asked_nodes)
TEXT(asked_not, asked_not)
TEXT(gpu_model, asked_gpu_model)
TEXT(asked_topology, asked_topology)
TEXT(exclusive_level, exclusive_level)
TEXT(mig_profile, mig_profile)

#define NUMBER(column, value)                                                                      \
    static void column(struct tug_buf *out, const Tugpb__JobView *j)                               \
    {                                                                                              \
        tug_buf_addf(out, "%" PRId64, (int64_t) (value));                                          \
    }
NUMBER(job_id, j->id)
NUMBER(gpus, j->gpus)
NUMBER(cpus, j->cpus)
NUMBER(mem_mib, j->mem_bytes >> 20)
NUMBER(nodes, j->nodes)
NUMBER(attempt, j->attempt)
NUMBER(tasks, j->ntasks)
NUMBER(gpus_last, j->gpus_last)
NUMBER(cpus_last, j->cpus_last)
NUMBER(nice_, j->nice)
NUMBER(exclusive, j->exclusive)

/* Empty where nothing is asked, as for most jobs. */
#define DEMAND(column, value)                                                                      \
    static void column(struct tug_buf *out, const Tugpb__JobView *j)                               \
    {                                                                                              \
        if (value)                                                                                 \
            tug_buf_addf(out, "%" PRIu32, (uint32_t) (value));                                     \
    }
DEMAND(gpu_milli, j->gpu_milli ? j->gpu_milli : j->gpus && !*j->mig_profile ? 1000 : 0)
DEMAND(topology_required, j->topology_required)
DEMAND(topology_domains, j->topology_domains)
DEMAND(topology_wait_s, j->topology_wait_s)
DEMAND(segment, j->segment)
DEMAND(spread, j->spread)
DEMAND(quality_floor, j->quality_floor)

static void quality_wait_s(struct tug_buf *out, const Tugpb__JobView *j)
{
    if (j->quality_floor && j->quality_wait_s != UINT32_MAX)
        tug_buf_addf(out, "%" PRIu32, j->quality_wait_s);
}

static void predicted_gbs(struct tug_buf *out, const Tugpb__JobView *j)
{
    if (j->predicted_mbs)
        tug_buf_addf(out, "%.6g", j->predicted_mbs / 1e3);
}

static void quality(struct tug_buf *out, const Tugpb__JobView *j)
{
    if (j->quality > 0)
        tug_buf_addf(out, "%.3f", j->quality);
}

static const struct {
    const char *name;
    void (*add)(struct tug_buf *out, const Tugpb__JobView *j);
} columns[] = {
    {"job_id", job_id},
    {"submit_s", submit_s},
    {"duration_s", duration_s},
    {"gpus", gpus},
    {"cpus", cpus},
    {"user", user},
    {"vc_or_queue", vc_or_queue},
    {"status", status},
    {"gpu_model", gpu_model},
    {"mem_mib", mem_mib},
    {"nodes", nodes},
    {"wait_s", wait_s},
    {"limit_s", limit_s},
    /* what tug-sim replay needs */
    {"account", account},
    {"begin_s", begin_s},
    {"start_s", start_s},
    {"end_s", end_s},
    {"placed", placed},
    {"attempt", attempt},
    {"tasks", tasks},
    {"gpus_last", gpus_last},
    {"cpus_last", cpus_last},
    {"nice", nice_},
    {"exclusive", exclusive},
    {"asked_nodes", asked_nodes},
    {"asked_not", asked_not},
    {"predicted_gbs", predicted_gbs},
    {"quality", quality},
    {"gpu_milli", gpu_milli},
    {"asked_topology", asked_topology},
    {"topology_required", topology_required},
    {"topology_domains", topology_domains},
    {"topology_wait_s", topology_wait_s},
    {"segment", segment},
    {"spread", spread},
    {"exclusive_level", exclusive_level},
    {"quality_floor", quality_floor},
    {"quality_wait_s", quality_wait_s},
    {"mig_profile", mig_profile},
};
#define N_COLUMNS (sizeof columns / sizeof *columns)

void tug_histtrace_line(struct tug_buf *out, const Tugpb__JobView *j)
{
    for (size_t i = 0; i < N_COLUMNS; i++) {
        tug_buf_addf(out, "%s", i ? "," : "");
        columns[i].add(out, j);
    }
    tug_buf_addf(out, "\n");
}

/* ---- pages */

struct line {
    int64_t submit_ms;
    uint64_t id;
    int is_live; /* as it was when it had not ended */
    char *text;
};

static int by_submission(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    if (x->submit_ms != y->submit_ms)
        return x->submit_ms < y->submit_ms ? -1 : 1;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->is_live - y->is_live;
}

struct lines tug_vec(struct line);

static void take(struct lines *l, const Tugpb__JobView *j, int is_live)
{
    struct tug_buf text = {0};
    tug_histtrace_line(&text, j);
    struct line line = {j->submit_ms, j->id, is_live, tug_xstrdup(tug_buf_str(&text))};
    tug_vec_push(l, line);
    tug_buf_clear(&text);
}

/* Jobs that are not over: what was decided for them, and what they hold, is part of the story. */
static int fetch_live(struct tug_client *c, const Tugpb__HistoryRequest *like, struct lines *l,
                      struct tug_err *err)
{
    Tugpb__JobsRequest request = TUGPB__JOBS_REQUEST__INIT;
    request.users = like->users;
    request.n_users = like->n_users;
    request.limit = PAGE;
    for (int more = 1; more;) {
        ProtobufCMessage *m;
        int rc = tug_client_ask(c, TUG_MSG_JOBS_REQUEST, &request.base, TUG_MSG_JOBS_REPLY, &m,
                                TUG_ANSWER_MS, err);
        if (rc)
            return rc;
        const Tugpb__JobsReply *r = (const Tugpb__JobsReply *) m;
        for (size_t i = 0; i < r->n_jobs; i++) {
            if (r->jobs[i]->end_ms <= 0)
                take(l, r->jobs[i], 1);
            request.after_id = r->jobs[i]->id;
        }
        more = r->more && r->n_jobs;
    }
    return 0;
}

/* Pages overlap in a millisecond: a job that ended in it may come twice. */
static int is_new(const struct lines *l, size_t from, size_t to, uint64_t id)
{
    for (size_t i = from; i < to; i++)
        if (l->at[i].id == id)
            return 0;
    return 1;
}

static int fetch_ended(struct tug_client *c, Tugpb__HistoryRequest *request, struct lines *l,
                       struct tug_err *err)
{
    size_t before = l->len; /* the page before begins there */
    request->limit = PAGE;
    for (int more = 1; more;) {
        ProtobufCMessage *m;
        size_t had = l->len;
        int rc = tug_client_ask(c, TUG_MSG_HISTORY_REQUEST, &request->base, TUG_MSG_HISTORY_REPLY,
                                &m, TUG_ANSWER_MS, err);
        if (rc)
            return rc;
        const Tugpb__HistoryReply *r = (const Tugpb__HistoryReply *) m;
        for (size_t i = 0; i < r->n_jobs; i++) {
            if (is_new(l, before, had, r->jobs[i]->id))
                take(l, r->jobs[i], 0);
            request->until_ms = r->jobs[i]->end_ms; /* newest first */
        }
        more = r->more;
        if (more && l->len == had)
            return tug_fail(err, -E2BIG,
                            "more than %d jobs ended in the same millisecond; choose fewer with "
                            "--user or --state",
                            PAGE);
        before = had;
    }
    return 0;
}

static void print(const struct lines *l, struct tug_buf *out)
{
    for (size_t i = 0; i < N_COLUMNS; i++)
        tug_buf_addf(out, "%s%s", i ? "," : "", columns[i].name);
    tug_buf_addf(out, "\n");
    for (size_t i = 0; i < l->len; i++)
        if (i == 0 || l->at[i].id != l->at[i - 1].id)
            tug_buf_addf(out, "%s", l->at[i].text);
}

int tug_histtrace(Tugpb__HistoryRequest *request, struct tug_buf *out, struct tug_err *err)
{
    struct tug_client c = {0};
    struct lines l = {0};
    int rc = tug_client_open(&c, err);
    /* First those that live: one that ends in between comes twice, not never. */
    if (!rc && !request->n_ids && !request->n_states && !request->since_ms && !request->until_ms)
        rc = fetch_live(&c, request, &l, err);
    if (!rc)
        rc = fetch_ended(&c, request, &l, err);
    if (!rc) {
        if (l.len)
            qsort(l.at, l.len, sizeof *l.at, by_submission);
        print(&l, out);
    }
    for (size_t i = 0; i < l.len; i++)
        free(l.at[i].text);
    tug_vec_clear(&l);
    tug_client_close(&c);
    return rc;
}
