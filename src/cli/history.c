/* history.c - tug history: jobs that have ended
 *
 * Layer: cli.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/columns.h"
#include "cli/histtrace.h"

#include "cli/verb.h"
#include "cli/when.h"

#define COLUMNS_DEFAULT "id,name,user,queue,status,time,nodes,gpus,exit,end,cause"
#define LIMIT_DEFAULT   50

enum { OPT_SINCE = 1, OPT_UNTIL, OPT_USER, OPT_ME, OPT_STATE, OPT_COLUMNS, OPT_LIMIT, OPT_NOHEAD, OPT_TRACE, OPT_EVENTS };
static const struct tug_opt opts[] = {
    {OPT_SINCE, "since", 'S', TUG_ARG_NEED, "TIME",
     "that ended at or after: today, yesterday, now-2h, 2026-11-20, 14:30"},
    {OPT_UNTIL, "until", 'E', TUG_ARG_NEED, "TIME", "that ended before"},
    {OPT_USER, "user", 'u', TUG_ARG_NEED, "LIST", "jobs of these users"},
    {OPT_ME, "me", 0, TUG_ARG_NONE, NULL, "my own jobs"},
    {OPT_STATE, "state", 't', TUG_ARG_NEED, "LIST",
     "that ended so: COMPLETED, FAILED, TIMEOUT, CANCELLED, NODE_FAIL, ..."},
    {OPT_COLUMNS, "columns", 'o', TUG_ARG_NEED, "LIST",
     "columns, as of tug queue; the default is " COLUMNS_DEFAULT},
    {OPT_LIMIT, "limit", 'n', TUG_ARG_NEED, "N", "the newest N; the default is 50"},
    {OPT_NOHEAD, "noheader", 'H', TUG_ARG_NONE, NULL, "no line of headings"},
    {OPT_TRACE, "trace", 0, TUG_ARG_NONE, NULL,
     "all as a trace for tug-sim, and those that have not ended"},
    {OPT_EVENTS, "events", 0, TUG_ARG_NONE, NULL,
     "what happened to the jobs that are named, or to all: submitted, held, released, started, ended, by whom and why"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_history(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct history_args {
    Tugpb__HistoryRequest request;
    struct tug_words users, states;
    struct tug_columns columns;
    uint64_t *ids;
    int64_t now_ms;
    bool no_head, trace, events;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct history_args *a = ctx;
    char uid[16];
    uint64_t n;
    int rc = 0;
    switch (o->id) {
    case OPT_SINCE:
    case OPT_UNTIL:
        rc = tug_when_parse(value, a->now_ms, false,
                            o->id == OPT_SINCE ? &a->request.since_ms : &a->request.until_ms, err);
        return rc ? tug_fail_ctx(err, rc, "--%s", o->name) : 0;
    case OPT_USER:
        tug_words_add(&a->users, value);
        break;
    case OPT_ME:
        snprintf(uid, sizeof uid, "%u", (unsigned) getuid());
        tug_words_add(&a->users, uid);
        break;
    case OPT_STATE:
        tug_words_add(&a->states, value);
        break;
    case OPT_COLUMNS:
        a->columns.len = 0;
        return tug_columns_parse(value, &a->columns, err);
    case OPT_LIMIT:
        if (tug_str_u64(value, UINT32_MAX, &n) || n == 0)
            return tug_fail(err, -EINVAL, "--limit: '%.64s' is not a number from 1", value);
        a->request.limit = (uint32_t) n;
        break;
    case OPT_NOHEAD:
        a->no_head = true;
        break;
    case OPT_TRACE:
        a->trace = true;
        break;
    case OPT_EVENTS:
        a->events = true;
        break;
    }
    return 0;
}

static void say(const Tugpb__HistoryReply *r, const struct history_args *a)
{
    struct tug_joblist *l = tug_joblist_new(&a->columns);
    tug_joblist_add(l, r->jobs, r->n_jobs, a->now_ms);
    tug_joblist_print(l, &tug_out.buf, tug_out.width, !a->no_head, tug_out.colour);
    tug_joblist_free(l);
    tug_out_flush();
    if (r->more)
        tug_out_note("there are more; --limit, --since and --until choose");
}

/* ---- what happened to jobs */

static void add_event(struct tug_table *t, const Tugpb__JobEvent *e)
{
    char when[32], job[32];
    snprintf(job, sizeof job, "%llu.%u", (unsigned long long) e->job, e->attempt);
    tug_table_cells(t, tug_out_time(e->at_ms, when, sizeof when), TUG_PLAIN);
    tug_table_cells(t, job, TUG_PLAIN);
    tug_table_cells(t, e->what, TUG_PLAIN);
    tug_table_cells(t, e->state, TUG_PLAIN);
    tug_table_cells(t, e->user, TUG_PLAIN);
    tug_table_cells(t, e->text, TUG_PLAIN);
}

static void say_events(const Tugpb__JobHistoryReply *r, bool no_head)
{
    static const struct tug_table_column columns[] = {
        {"WHEN", false, 0}, {"JOB", false, 0}, {"WHAT", false, 0}, {"STATE", false, 0}, {"WHO", false, 0}, {"WHY", false, 8},
    };
    struct tug_table *t = tug_table_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = r->n_events; i-- > 0;) /* as it happened */
        add_event(t, r->events[i]);
    tug_table_print(t, &tug_out.buf, tug_out.width, !no_head, tug_out.colour);
    tug_table_free(t);
    tug_out_flush();
    if (r->more)
        tug_out_note("there are more; --limit and --since choose");
}

static int events(const struct history_args *a)
{
    Tugpb__JobHistoryRequest request = TUGPB__JOB_HISTORY_REQUEST__INIT;
    struct tug_client c = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    request.jobs = a->ids;
    request.n_jobs = a->request.n_ids;
    request.since_ms = a->request.since_ms;
    request.until_ms = a->request.until_ms;
    request.limit = a->request.limit;
    int rc = tug_client_once(TUG_MSG_JOB_HISTORY_REQUEST, &request.base, TUG_MSG_JOB_HISTORY_REPLY, &c, &m, &err);
    if (!rc && tug_out.json)
        tug_out_message(m);
    else if (!rc)
        say_events((const Tugpb__JobHistoryReply *) m, a->no_head);
    tug_client_close(&c);
    return rc ? tug_out_fail(&err) : TUG_EXIT_OK;
}

int tug_do_history(int argc, char **argv)
{
    struct history_args a = {.request = TUGPB__HISTORY_REQUEST__INIT};
    struct tug_client c = {0};
    struct tug_err err = {0};
    struct timespec now;
    ProtobufCMessage *m;
    clock_gettime(CLOCK_REALTIME, &now);
    a.now_ms = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
    a.request.limit = LIMIT_DEFAULT;
    int words, status = tug_verb_parse("history", argc, argv, take, &a, &words);
    if (status >= 0)
        goto out;
    a.ids = tug_xcalloc((size_t) words + 1, sizeof *a.ids);
    for (int i = 0; i < words; i++)
        if (tug_verb_job_id(argv[1 + i], &a.ids[i], &err)) {
            status = tug_out_usage(&err);
            goto out;
        }
    a.request.ids = a.ids;
    a.request.n_ids = (size_t) words;
    a.request.users = a.users.at;
    a.request.n_users = a.users.len;
    a.request.states = a.states.at;
    a.request.n_states = a.states.len;
    if (a.events && (a.users.len || a.states.len || a.columns.len || a.trace)) {
        tug_fail(&err, -EINVAL, "--events goes with jobs, --since, --until and --limit only");
        status = tug_out_usage(&err);
        goto out;
    }
    if (a.events) {
        status = events(&a);
        goto out;
    }
    if (!a.columns.len)
        tug_columns_parse(COLUMNS_DEFAULT, &a.columns, NULL);
    if (a.trace) {
        status = tug_histtrace(&a.request, &tug_out.buf, &err) ? tug_out_fail(&err) : TUG_EXIT_OK;
        tug_out_flush();
        goto out;
    }
    if (tug_client_once(TUG_MSG_HISTORY_REQUEST, &a.request.base, TUG_MSG_HISTORY_REPLY, &c, &m,
                        &err)) {
        status = tug_out_fail(&err);
    } else {
        status = TUG_EXIT_OK;
        tug_out.json ? tug_out_message(m) : say((Tugpb__HistoryReply *) m, &a);
    }
out:
    tug_client_close(&c);
    tug_words_clear(&a.users);
    tug_words_clear(&a.states);
    tug_vec_clear(&a.columns);
    free(a.ids);
    return status;
}
