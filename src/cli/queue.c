/* queue.c - tug queue: jobs that wait or run
 *
 * Layer: cli.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/columns.h"
#include "cli/verb.h"

#define COLUMNS_DEFAULT "id,name,user,queue,state,time,nodes,gpus,where"

enum { OPT_USER = 1, OPT_ME, OPT_QUEUE, OPT_STATE, OPT_NAME, OPT_ALL, OPT_COLUMNS, OPT_SORT, OPT_NOHEAD, OPT_LIMIT };
static const struct tug_opt opts[] = {
    { OPT_USER, "user", 'u', TUG_ARG_NEED, "LIST", "jobs of these users" },
    { OPT_ME, "me", 0, TUG_ARG_NONE, NULL, "my own jobs" },
    { OPT_QUEUE, "queue", 'q', TUG_ARG_NEED, "LIST", "jobs in these queues" },
    { OPT_QUEUE, "partition", 'p', TUG_ARG_NEED, "LIST", "as --queue, the way squeue writes it" },
    { OPT_STATE, "state", 't', TUG_ARG_NEED, "LIST", "jobs in these states: PENDING, RUNNING, ... or PD, R, ..." },
    { OPT_STATE, "states", 0, TUG_ARG_NEED, "LIST", NULL },
    { OPT_NAME, "name", 'n', TUG_ARG_NEED, "NAME", "jobs of this name" },
    { OPT_ALL, "all", 'a', TUG_ARG_NONE, NULL, "also jobs that ended a short while ago" },
    { OPT_COLUMNS, "columns", 'o', TUG_ARG_NEED, "LIST", "columns; the default is " COLUMNS_DEFAULT },
    { OPT_SORT, "sort", 'S', TUG_ARG_NEED, "LIST", "sort by columns; -COLUMN is largest first" },
    { OPT_LIMIT, "limit", 0, TUG_ARG_NEED, "N", "at most so many jobs" },
    { OPT_NOHEAD, "noheader", 'H', TUG_ARG_NONE, NULL, "no line of headings" },
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_queue(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct queue_args {
    Tugpb__JobsRequest request;
    struct tug_words users, queues, states;
    struct tug_columns columns;
    struct tug_sort sort;
    uint64_t *ids;
    bool no_head;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct queue_args *a = ctx;
    char uid[16];
    uint64_t n;
    switch (o->id) {
    case OPT_USER:
        tug_words_add(&a->users, value);
        break;
    case OPT_ME:
        snprintf(uid, sizeof uid, "%u", (unsigned) getuid());
        tug_words_add(&a->users, uid);
        break;
    case OPT_QUEUE:
        tug_words_add(&a->queues, value);
        break;
    case OPT_STATE:
        tug_words_add(&a->states, value);
        break;
    case OPT_NAME:
        a->request.name = (char *) value;
        break;
    case OPT_ALL:
        a->request.ended = 1;
        break;
    case OPT_COLUMNS:
        a->columns.len = 0;
        return tug_columns_parse(value, &a->columns, err);
    case OPT_SORT:
        return tug_sort_parse(value, &a->sort, err);
    case OPT_LIMIT:
        if (tug_str_u64(value, UINT32_MAX, &n) || n == 0)
            return tug_fail(err, -EINVAL, "--limit: '%.64s' is not a number from 1", value);
        a->request.limit = (uint32_t) n;
        break;
    case OPT_NOHEAD:
        a->no_head = true;
        break;
    }
    return 0;
}

static void clear(struct queue_args *a)
{
    tug_words_clear(&a->users);
    tug_words_clear(&a->queues);
    tug_words_clear(&a->states);
    tug_vec_clear(&a->columns);
    tug_vec_clear(&a->sort);
    free(a->ids);
}

/* Answers come in pages; those before are kept in 'kept' until the list is printed. */
struct listing {
    struct tug_vec(Tugpb__JobView *) jobs;
    struct tug_vec(struct tug_arena) kept;
    int64_t now_ms;
};

static void listing_clear(struct listing *l)
{
    for (size_t i = 0; i < l->kept.len; i++)
        tug_arena_clear(&l->kept.at[i]);
    tug_vec_clear(&l->kept);
    tug_vec_clear(&l->jobs);
}

static int fetch(struct queue_args *a, struct listing *l, struct tug_err *err)
{
    struct tug_client c = { 0 };
    ProtobufCMessage *m;
    uint32_t limit = a->request.limit;
    bool more;
    int rc = tug_client_open(&c, err);
    do {
        if (rc == 0)
            rc = tug_client_ask(&c, TUG_MSG_JOBS_REQUEST, &a->request.base, TUG_MSG_JOBS_REPLY, &m, TUG_ANSWER_MS, err);
        if (rc)
            break;
        Tugpb__JobsReply *r = (Tugpb__JobsReply *) m;
        tug_vec_reserve(&l->jobs, l->jobs.len + r->n_jobs);
        for (size_t i = 0; i < r->n_jobs; i++)
            tug_vec_push(&l->jobs, r->jobs[i]);
        l->now_ms = r->now_ms;
        more = r->more && r->n_jobs > 0 && (!limit || l->jobs.len < limit);
        if (more)
            a->request.after_id = r->jobs[r->n_jobs - 1]->id;
        tug_vec_push(&l->kept, c.arena);
        c.arena = (struct tug_arena){ 0 };
    } while (more);
    tug_client_close(&c);
    return rc;
}

static void say_json(const struct listing *l)
{
    tug_out_adds("{\"jobs\":[");
    for (size_t i = 0; i < l->jobs.len; i++) {
        if (i)
            tug_buf_addc(&tug_out.buf, ',');
        tug_msg_json(&tug_out.buf, &l->jobs.at[i]->base, 0);
    }
    tug_out_addf("],\"now_ms\":%lld}\n", (long long) l->now_ms);
}

int tug_do_queue(int argc, char **argv)
{
    struct queue_args a = { .request = TUGPB__JOBS_REQUEST__INIT };
    struct listing l = { 0 };
    struct tug_err err = { 0 };
    int words, status = tug_verb_parse("queue", argc, argv, take, &a, &words);
    if (status >= 0) {
        if (status == TUG_EXIT_OK) {
            tug_out_adds("\ncolumns:\n");
            tug_columns_help(&tug_out.buf, false);
        }
        clear(&a);
        return status;
    }
    a.ids = tug_xcalloc((size_t) words + 1, sizeof *a.ids);
    for (int i = 0; i < words; i++)
        if (tug_verb_job_id(argv[1 + i], &a.ids[i], &err)) {
            clear(&a);
            return tug_out_usage(&err);
        }
    a.request.ids = a.ids;
    a.request.n_ids = (size_t) words;
    a.request.users = a.users.at;
    a.request.n_users = a.users.len;
    a.request.queues = a.queues.at;
    a.request.n_queues = a.queues.len;
    a.request.states = a.states.at;
    a.request.n_states = a.states.len;
    if (!a.columns.len)
        tug_columns_parse(COLUMNS_DEFAULT, &a.columns, NULL);
    a.request.brief = !tug_out.json && !tug_columns_need_all(&a.columns);
    if (fetch(&a, &l, &err)) {
        status = tug_out_fail(&err);
    } else {
        status = TUG_EXIT_OK;
        if (a.sort.len)
            tug_columns_sort(l.jobs.at, l.jobs.len, &a.sort, l.now_ms);
        if (tug_out.json)
            say_json(&l);
        else
            tug_columns_print(&a.columns, l.jobs.at, l.jobs.len, l.now_ms, &tug_out.buf, tug_out.width, !a.no_head,
                              tug_out.colour);
        tug_out_flush();
    }
    listing_clear(&l);
    clear(&a);
    return status;
}
