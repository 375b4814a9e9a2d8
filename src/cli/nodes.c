/* nodes.c - tug nodes: what nodes have and what is in use
 *
 * Layer: cli.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/gpuset.h"
#include "base/hostlist.h"
#include "base/size.h"
#include "cli/client.h"
#include "cli/links.h"
#include "cli/node_show.h"
#include "cli/verb.h"

enum { OPT_STATE = 1, OPT_NOHEAD, OPT_LINKS };
static const struct tug_opt opts[] = {
    {OPT_STATE, "state", 't', TUG_ARG_NEED, "LIST",
     "nodes in these states: IDLE, MIXED, ALLOCATED, CLEANING, DOWN, DRAINED, DRAINING"},
    {OPT_LINKS, "links", 0, TUG_ARG_NONE, NULL, "pairs of nodes that lost each other while both were there"},
    {OPT_NOHEAD, "noheader", 'H', TUG_ARG_NONE, NULL, "no line of headings"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_nodes(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct nodes_args {
    struct tug_words states;
    bool no_head, links;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct nodes_args *a = ctx;
    (void) err;
    if (o->id == OPT_STATE)
        tug_words_add(&a->states, value);
    else if (o->id == OPT_LINKS)
        a->links = true;
    else
        a->no_head = true;
    return 0;
}

static bool wanted(const struct nodes_args *a, const Tugpb__NodeView *n)
{
    for (size_t i = 0; i < a->states.len; i++)
        if (!strcasecmp(a->states.at[i], n->state))
            return true;
    return a->states.len == 0;
}

/* One character for each GPU: '#' is in use, '.' is free, 'x' cannot be used, '/' is cut into slices. */
static void gpu_map(const Tugpb__NodeView *n, char out[TUG_GPUS_MAX + 1])
{
    uint32_t gpus = n->gpus + tug_gpuset_count(n->gpus_lost | n->gpus_cut);
    if (gpus > TUG_GPUS_MAX)
        gpus = TUG_GPUS_MAX;
    for (uint32_t i = 0; i < gpus; i++)
        out[i] = n->gpus_cut >> i & 1 ? '/' : n->gpus_alloc >> i & 1 ? '#' : n->gpus_lost >> i & 1 ? 'x' : '.';
    out[gpus] = '\0';
}

static enum tug_colour colour_of(const char *state)
{
    if (!strcmp(state, "DOWN"))
        return TUG_RED;
    if (!strncmp(state, "DRAIN", 5) || !strcmp(state, "CLEANING") || !strcmp(state, "UNKNOWN"))
        return TUG_YELLOW;
    return strcmp(state, "IDLE") ? TUG_GREEN : TUG_PLAIN;
}

/* Why it is down, and why it is drained: each reason with who gave it and when. */
static void add_reason(struct tug_table *t, const Tugpb__NodeView *n)
{
    struct tug_buf all = {0};
    char when[32];
    if (!n->n_drains || !strcmp(n->state, "DOWN"))
        tug_buf_adds(&all, n->reason);
    for (size_t i = 0; i < n->n_drains; i++) {
        const Tugpb__DrainReason *d = n->drains[i];
        tug_buf_addf(&all, "%s%s (", all.len ? "; " : "", d->reason);
        tug_node_whose(d->by, d->user, d->uid, &all);
        tug_buf_addf(&all, ", %s)", tug_out_time(d->at_ms, when, sizeof when));
    }
    if (!strcmp(n->health, "unknown"))
        tug_buf_addf(&all, "%s%s", all.len ? "; " : "", n->health_text);
    tug_table_cells(t, tug_buf_str(&all), TUG_PLAIN);
    tug_buf_clear(&all);
}

static void add_row(struct tug_table *t, const Tugpb__NodeView *n)
{
    char map[TUG_GPUS_MAX + 1], used[32], all[32];
    struct tug_buf jobs = {0};
    gpu_map(n, map);
    tug_table_cells(t, n->name, TUG_PLAIN);
    tug_table_cells(t, n->state, colour_of(n->state));
    tug_table_cellf(t, "%u/%u", n->cpus_alloc, n->cpus);
    tug_size_format(n->mem_alloc_bytes, used, sizeof used);
    tug_size_format(n->mem_bytes, all, sizeof all);
    tug_table_cellf(t, "%s/%s", n->mem_alloc_bytes ? used : "0", all);
    struct tug_buf gpus = {0};
    tug_buf_addf(&gpus, "%u/%u", tug_gpuset_count(n->gpus_alloc), n->gpus);
    for (size_t i = 0; i < n->n_cuts; i++)
        tug_buf_addf(&gpus, " %u/%ux%s", n->cuts[i]->used, n->cuts[i]->slices, n->cuts[i]->profile);
    tug_table_cells(t, tug_buf_str(&gpus), TUG_PLAIN);
    tug_buf_clear(&gpus);
    tug_table_cells(t, map, TUG_PLAIN);
    tug_table_cells(t, n->gpu_model, TUG_PLAIN);
    for (size_t i = 0; i < n->n_jobs; i++)
        tug_buf_addf(&jobs, "%s%" PRIu64, i ? "," : "", n->jobs[i]);
    tug_table_cells(t, tug_buf_str(&jobs), TUG_PLAIN);
    add_reason(t, n);
    tug_buf_clear(&jobs);
}

static void say(const Tugpb__NodesReply *r, const struct nodes_args *a)
{
    static const struct tug_table_column columns[] = {
        {"NODE", false, 0},  {"STATE", false, 0}, {"CPUS", true, 0},
        {"MEMORY", true, 0}, {"GPUS", true, 0},   {"IN USE", false, 0},
        {"MODEL", false, 6}, {"JOBS", false, 6},  {"REASON", false, 8},
    };
    struct tug_table *t = tug_table_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < r->n_nodes; i++)
        if (wanted(a, r->nodes[i]))
            add_row(t, r->nodes[i]);
    tug_table_print(t, &tug_out.buf, tug_out.width, !a->no_head, tug_out.colour);
    tug_table_free(t);
}

static void say_json(const Tugpb__NodesReply *r, const struct nodes_args *a)
{
    size_t n = 0;
    tug_out_adds("{\"nodes\":[");
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (!wanted(a, r->nodes[i]))
            continue;
        tug_out_adds(n++ ? "," : "");
        tug_msg_json(&tug_out.buf, &r->nodes[i]->base, 0);
    }
    tug_out_adds("]}\n");
}

/* All words together are one host list. */
static int join(int n, char **words, struct tug_buf *out, struct tug_err *err)
{
    struct tug_hostlist *hl;
    for (int i = 0; i < n; i++)
        tug_buf_addf(out, "%s%s", i ? "," : "", words[i]);
    int rc = n ? tug_hostlist_parse(tug_buf_str(out), &hl, err) : 0;
    if (n && rc == 0)
        tug_hostlist_free(hl);
    return rc;
}

static int list_links(const struct tug_buf *hosts, const struct nodes_args *a, struct tug_err *err)
{
    struct tug_hostlist *of = NULL;
    int rc = hosts->len ? tug_hostlist_parse(tug_buf_str(hosts), &of, err) : 0;
    if (!rc)
        rc = tug_links_list(of, a->no_head, err);
    tug_hostlist_free(of);
    return rc;
}

int tug_do_nodes(int argc, char **argv)
{
    struct nodes_args a = {0};
    struct tug_client c = {0};
    struct tug_buf hosts = {0};
    struct tug_err err = {0};
    Tugpb__NodesRequest request = TUGPB__NODES_REQUEST__INIT;
    ProtobufCMessage *m;
    int words, status = tug_verb_parse("nodes", argc, argv, take, &a, &words);
    if (status >= 0)
        goto out;
    if (join(words, argv + 1, &hosts, &err)) {
        status = tug_out_usage(&err);
        goto out;
    }
    if (a.links) {
        status = list_links(&hosts, &a, &err) ? tug_out_fail(&err) : TUG_EXIT_OK;
        goto out;
    }
    request.nodes = (char *) tug_buf_str(&hosts);
    if (tug_client_once(TUG_MSG_NODES_REQUEST, &request.base, TUG_MSG_NODES_REPLY, &c, &m, &err)) {
        status = tug_out_fail(&err);
    } else {
        status = TUG_EXIT_OK;
        tug_out.json ? say_json((Tugpb__NodesReply *) m, &a) : say((Tugpb__NodesReply *) m, &a);
    }
out:
    tug_client_close(&c);
    tug_buf_clear(&hosts);
    tug_words_clear(&a.states);
    return status;
}
