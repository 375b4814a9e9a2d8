/* queues.c - tug queues: queues and their limits
 *
 * Layer: cli.
 */
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/verb.h"

static const struct tug_opt opts[] = {TUG_COMMON_OPTS};

const struct tug_opt *tug_opts_of_queues(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

/* In use, guaranteed ('!': not lent), and at most. */
static void add_gpus(struct tug_table *t, const Tugpb__QueueView *q)
{
    char most[16] = "-", own[16] = "";
    if (q->cap_gpus)
        snprintf(most, sizeof most, "%u", q->cap_gpus);
    if (q->guarantee_gpus)
        snprintf(own, sizeof own, "%u", q->guarantee_gpus);
    tug_table_cellf(t, "%u", q->gpus_alloc);
    tug_table_cellf(t, "%s%s", *own ? own : "-", q->no_lend ? "!" : "");
    tug_table_cellf(t, "%s", q->no_borrow ? own : most);
}

static void add_row(struct tug_table *t, const Tugpb__QueueView *q, unsigned depth)
{
    char span[32];
    tug_table_cellf(t, "%*s%s%s", (int) (2 * depth), "", q->name, q->is_default ? "*" : "");
    tug_table_cells(t, q->state, strcmp(q->state, "UP") ? TUG_YELLOW : TUG_GREEN);
    tug_table_cellf(t, "%d", q->priority);
    tug_table_cells(
        t, q->max_time_s ? tug_out_span((int64_t) q->max_time_s * 1000, span, sizeof span) : "none",
        TUG_PLAIN);
    tug_table_cells(t,
                    q->default_time_s
                        ? tug_out_span((int64_t) q->default_time_s * 1000, span, sizeof span)
                        : "-",
                    TUG_PLAIN);
    tug_table_cellf(t, "%u", q->jobs_pending);
    tug_table_cellf(t, "%u", q->jobs_running);
    add_gpus(t, q);
    tug_table_cells(t, q->nodes, TUG_PLAIN);
}

/* Those below 'parent', each with what is below it. The controller sends no loops; depth is bounded
 * all the same. */
static void add_below(struct tug_table *t, const Tugpb__QueuesReply *r, const char *parent,
                      unsigned depth)
{
    for (size_t i = 0; i < r->n_queues && depth < 64; i++) {
        if (strcmp(r->queues[i]->parent, parent) != 0)
            continue;
        add_row(t, r->queues[i], depth);
        if (r->queues[i]->is_divided)
            add_below(t, r, r->queues[i]->name, depth + 1);
    }
}

static void say(const Tugpb__QueuesReply *r)
{
    static const struct tug_table_column columns[] = {
        {"QUEUE", false, 8},  {"STATE", false, 0},  {"PRIORITY", true, 0}, {"MAX TIME", true, 0},
        {"DEFAULT", true, 0}, {"PENDING", true, 0}, {"RUNNING", true, 0},  {"GPUS", true, 0},
        {"OWN", true, 0},     {"MOST", true, 0},    {"NODES", false, 12},
    };
    struct tug_table *t = tug_table_new(columns, sizeof columns / sizeof *columns);
    add_below(t, r, "", 0);
    tug_table_print(t, &tug_out.buf, tug_out.width, true, tug_out.colour);
    tug_table_free(t);
}

int tug_do_queues(int argc, char **argv)
{
    Tugpb__QueuesRequest request = TUGPB__QUEUES_REQUEST__INIT;
    struct tug_client c = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    int words, status = tug_verb_parse("queues", argc, argv, NULL, NULL, &words);
    if (status >= 0)
        return status;
    if (tug_client_once(TUG_MSG_QUEUES_REQUEST, &request.base, TUG_MSG_QUEUES_REPLY, &c, &m,
                        &err)) {
        status = tug_out_fail(&err);
    } else {
        status = TUG_EXIT_OK;
        tug_out.json ? tug_out_message(m) : say((Tugpb__QueuesReply *) m);
    }
    tug_client_close(&c);
    return status;
}
