/* node_show.c - tug node show, tug node history: why nodes are as they are
 *
 * Layer: cli.
 */
#include "cli/node_show.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/gpuset.h"
#include "base/size.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/links.h"
#include "cli/verb.h"

#define EVENTS_DEFAULT 50

/* ---- who */

void tug_node_whose(const char *by, const char *user, uint32_t uid, struct tug_buf *out)
{
    if (!strcmp(by, "health"))
        tug_buf_adds(out, "health check");
    else if (!strcmp(by, "prolog") || !strcmp(by, "epilog"))
        tug_buf_adds(out, by);
    else if (strcmp(by, "admin") != 0)
        tug_buf_adds(out, "tugd");
    else if (*user)
        tug_buf_adds(out, user);
    else
        tug_buf_addf(out, "uid %u", uid);
}

static void join(int n, char **words, struct tug_buf *out)
{
    for (int i = 0; i < n; i++)
        tug_buf_addf(out, "%s%s", i ? "," : "", words[i]);
}

/* ---- show */

static void label(const char *name)
{
    tug_out_addf("  %-11s ", name);
}

static void say_drains(const Tugpb__NodeView *n)
{
    char when[32];
    for (size_t i = 0; i < n->n_drains; i++) {
        const Tugpb__DrainReason *d = n->drains[i];
        struct tug_buf who = {0};
        label(i ? "" : "drained by");
        tug_node_whose(d->by, d->user, d->uid, &who);
        tug_out_text(tug_buf_str(&who));
        tug_out_addf(", %s: ", tug_out_time(d->at_ms, when, sizeof when));
        tug_out_text(d->reason);
        tug_out_adds("\n");
        tug_buf_clear(&who);
    }
}

/* What it wrote, line by line. */
static void say_visit_failures(const Tugpb__NodeView *n)
{
    for (size_t i = 0; i < n->n_visit_failures; i++) {
        const Tugpb__VisitFailure *f = n->visit_failures[i];
        const char *rest = f->output, *line;
        size_t len;
        bool first = true;
        while (tug_str_split(&rest, '\n', &line, &len)) {
            struct tug_buf text = {0};
            if (!len && (!rest || !*rest))
                break;
            label(!first ? "" : f->epilog ? "epilog said" : "prolog said");
            first = false;
            tug_str_escape(&text, line, len);
            tug_out_adds(tug_buf_str(&text));
            tug_out_adds("\n");
            tug_buf_clear(&text);
        }
    }
}

static void say_health(const Tugpb__NodeView *n)
{
    char when[32];
    if (!*n->health)
        return;
    label("health");
    tug_out_text(n->health);
    tug_out_addf(" since %s", tug_out_time(n->health_since_ms, when, sizeof when));
    tug_out_adds(*n->health_text ? ": " : ", says ");
    tug_out_text(*n->health_text ? n->health_text : n->health_program);
    tug_out_adds("\n");
}

static void say_process(const Tugpb__StuckProcess *p)
{
    label("");
    tug_out_addf("  pid %u", p->pid);
    if (*p->command) {
        tug_out_adds(" (");
        tug_out_text(p->command);
        tug_out_adds(")");
    }
    tug_out_adds(*p->state ? " in " : "");
    tug_out_text(p->state);
    tug_out_adds(*p->wchan ? " at " : "");
    tug_out_text(p->wchan);
    tug_out_adds("\n");
    for (const char *at = p->stack; *at;) {
        size_t len = strcspn(at, "\n");
        char *line = tug_xasprintf("%.*s", (int) len, at);
        label("");
        tug_out_adds("    ");
        tug_out_text(line);
        tug_out_adds("\n");
        free(line);
        at += len + (at[len] != 0);
    }
}

/* Of jobs that have ended but for processes that SIGKILL does not end. */
static void say_remnants(const Tugpb__NodeView *n)
{
    char when[32], gpus[128], mem[32] = "0";
    for (size_t i = 0; i < n->n_remnants; i++) {
        const Tugpb__NodeRemnant *r = n->remnants[i];
        label(i ? "" : "cleaning");
        tug_out_addf("job %" PRIu64 " does not end since %s", r->job, tug_out_time(r->since_ms, when, sizeof when));
        if (r->gpus || r->cpus || r->mem_bytes)
            tug_out_adds("; kept for it: ");
        if (r->gpus)
            tug_out_addf("GPU %s, ", tug_gpuset_format(r->gpus, gpus, sizeof gpus));
        if (r->mem_bytes)
            tug_size_format(r->mem_bytes, mem, sizeof mem);
        if (r->gpus || r->cpus || r->mem_bytes)
            tug_out_addf("%u CPUs, %s", r->cpus, mem);
        tug_out_adds("\n");
        for (size_t k = 0; k < r->n_processes; k++)
            say_process(r->processes[k]);
        if (r->n > r->n_processes && r->n_processes) {
            label("");
            tug_out_addf("  and %zu more\n", (size_t) r->n - r->n_processes);
        }
        if (!r->n_processes) {
            label("");
            tug_out_text(r->text);
            tug_out_adds("\n");
        }
    }
}

static const char *failure_text(const char *what)
{
    static const struct {
        const char *name, *text;
    } kinds[] = {
#define TUG_FAILURE(NAME, name, text) {#name, text},
#include "core/failures.def"
#undef TUG_FAILURE
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].name, what))
            return kinds[i].text;
    return what;
}

/* The newest first. */
static void say_failures(const Tugpb__NodeView *n)
{
    char when[32];
    for (size_t i = n->n_failures; i-- > 0;) {
        const Tugpb__NodeFailure *f = n->failures[i];
        label(i + 1 == n->n_failures ? "failed" : "");
        tug_out_addf("%s: it ", tug_out_time(f->at_ms, when, sizeof when));
        tug_out_text(failure_text(f->what));
        if (f->job)
            tug_out_addf(" (job %" PRIu64 ")", f->job);
        tug_out_adds("\n");
    }
}

static void say_size(const Tugpb__NodeView *n)
{
    char used[32] = "0", all[32];
    if (n->mem_alloc_bytes)
        tug_size_format(n->mem_alloc_bytes, used, sizeof used);
    tug_size_format(n->mem_bytes, all, sizeof all);
    label("in use");
    tug_out_addf("%u of %u CPUs, %s of %s, %u of %u GPUs", n->cpus_alloc, n->cpus, used, all,
                 tug_gpuset_count(n->gpus_alloc), n->gpus);
    tug_out_adds(*n->gpu_model ? " " : "");
    tug_out_text(n->gpu_model);
    tug_out_adds("\n");
    if (!n->n_jobs)
        return;
    label("jobs");
    for (size_t i = 0; i < n->n_jobs; i++)
        tug_out_addf("%s%" PRIu64, i ? ", " : "", n->jobs[i]);
    tug_out_adds("\n");
}

/* Of a node that has been here. */
static void say_limits(const Tugpb__NodeView *n)
{
    char kept[32];
    label("limits");
    if (n->pids_max)
        tug_out_addf("%u processes a job, ", n->pids_max);
    else
        tug_out_adds("none on processes, ");
    tug_out_adds(n->mem_limited ? "memory as asked for" : "none on memory");
    if (n->mem_reserved_bytes)
        tug_out_addf("; %s kept from jobs", tug_size_format(n->mem_reserved_bytes, kept, sizeof kept));
    tug_out_adds("\n");
}

static void say_node(const Tugpb__NodeView *n)
{
    char when[32];
    tug_out_colour(TUG_BOLD);
    tug_out_adds("Node ");
    tug_out_text(n->name);
    tug_out_colour(TUG_PLAIN);
    tug_out_adds("\n");
    label("state");
    tug_out_text(n->state);
    if (n->up_since_ms)
        tug_out_addf(", up since %s", tug_out_time(n->up_since_ms, when, sizeof when));
    tug_out_adds("\n");
    if (*n->reason && (!n->n_remnants || !strcmp(n->state, "DOWN")) && (!n->n_drains || !strcmp(n->state, "DOWN"))) {
        label("because");
        tug_out_text(n->reason);
        tug_out_adds("\n");
    }
    say_drains(n);
    say_visit_failures(n);
    if (n->bad_launches) {
        label("launches");
        tug_out_addf("the last %u failed here\n", n->bad_launches);
    }
    say_remnants(n);
    say_health(n);
    say_failures(n);
    for (size_t i = 0; i < n->n_links; i++) {
        label(i ? "" : "links");
        tug_link_say(n->links[i], n->name);
    }
    say_size(n);
    if (n->up_since_ms)
        say_limits(n);
    if (*n->address) {
        label("reached at");
        tug_out_text(n->address);
        tug_out_adds(*n->version ? ", version " : "");
        tug_out_text(n->version);
        tug_out_adds("\n");
    }
}

int tug_node_show(int n, char **words, struct tug_err *err)
{
    Tugpb__NodesRequest request = TUGPB__NODES_REQUEST__INIT;
    struct tug_client c = {0};
    struct tug_buf hosts = {0};
    ProtobufCMessage *m;
    if (!n)
        return tug_fail(err, -EINVAL, "nothing says which nodes; tug node show HOSTS, such as n[1-4]");
    join(n, words, &hosts);
    request.nodes = (char *) tug_buf_str(&hosts);
    int rc = tug_client_once(TUG_MSG_NODES_REQUEST, &request.base, TUG_MSG_NODES_REPLY, &c, &m, err);
    const Tugpb__NodesReply *r = rc ? NULL : (const Tugpb__NodesReply *) m;
    if (r && tug_out.json)
        tug_out_message(m);
    for (size_t i = 0; r && !tug_out.json && i < r->n_nodes; i++) {
        tug_out_adds(i ? "\n" : "");
        say_node(r->nodes[i]);
    }
    tug_client_close(&c);
    tug_buf_clear(&hosts);
    return rc;
}

/* ---- history */

static void add_event(struct tug_table *t, const Tugpb__NodeEvent *e)
{
    struct tug_buf who = {0};
    char when[32];
    if (*e->user || e->uid || !strcmp(e->by, "admin"))
        tug_node_whose("admin", e->user, e->uid, &who);
    else if (*e->by)
        tug_node_whose(e->by, "", 0, &who);
    tug_table_cells(t, tug_out_time(e->at_ms, when, sizeof when), TUG_PLAIN);
    tug_table_cells(t, e->node, TUG_PLAIN);
    tug_table_cells(t, e->what, TUG_PLAIN);
    tug_table_cells(t, e->by, TUG_PLAIN);
    tug_table_cells(t, tug_buf_str(&who), TUG_PLAIN);
    tug_table_cells(t, e->reason, TUG_PLAIN);
    tug_buf_clear(&who);
}

static void say_history(const Tugpb__NodeHistoryReply *r)
{
    static const struct tug_table_column columns[] = {
        {"WHEN", false, 0}, {"NODE", false, 0}, {"WHAT", false, 0},
        {"WHY", false, 0},  {"WHO", false, 0},  {"REASON", false, 8},
    };
    struct tug_table *t = tug_table_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < r->n_events; i++)
        add_event(t, r->events[i]);
    tug_table_print(t, &tug_out.buf, tug_out.width, true, tug_out.colour);
    tug_table_free(t);
    tug_out_flush();
    if (r->more)
        tug_out_note("there is more; --limit chooses");
}

int tug_node_history(int n, char **words, uint32_t limit, struct tug_err *err)
{
    Tugpb__NodeHistoryRequest request = TUGPB__NODE_HISTORY_REQUEST__INIT;
    struct tug_client c = {0};
    struct tug_buf hosts = {0};
    ProtobufCMessage *m;
    join(n, words, &hosts);
    request.nodes = (char *) tug_buf_str(&hosts);
    request.limit = limit ? limit : EVENTS_DEFAULT;
    int rc = tug_client_once(TUG_MSG_NODE_HISTORY_REQUEST, &request.base, TUG_MSG_NODE_HISTORY_REPLY, &c, &m, err);
    if (!rc && tug_out.json)
        tug_out_message(m);
    else if (!rc)
        say_history((const Tugpb__NodeHistoryReply *) m);
    tug_client_close(&c);
    tug_buf_clear(&hosts);
    return rc;
}
