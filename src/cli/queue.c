/* queue.c - tug queue: jobs that wait or run
 *
 * Layer: cli.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/columns.h"
#include "cli/jobpick.h"

#define COLUMNS_DEFAULT "id,name,user,queue,state,time,nodes,gpus,where"
#define COLUMNS_START   "id,name,user,queue,state,limit,nodes,gpus,expected,explain"

enum { OPT_ALL = 1, OPT_COLUMNS, OPT_SORT, OPT_NOHEAD, OPT_START, OPT_LIMIT };
static const struct tug_opt opts[] = {
    TUG_PICK_OPTS,
    {OPT_ALL, "all", 'a', TUG_ARG_NONE, NULL, "also jobs that ended a short while ago"},
    {OPT_COLUMNS, "columns", 'o', TUG_ARG_NEED, "LIST", "columns; the default is " COLUMNS_DEFAULT},
    {OPT_START, "start", 0, TUG_ARG_NONE, NULL,
     "only jobs that wait, and when they should start; columns " COLUMNS_START},
    {OPT_SORT, "sort", 'S', TUG_ARG_NEED, "LIST", "sort by columns; -COLUMN is largest first"},
    {OPT_LIMIT, "limit", 0, TUG_ARG_NEED, "N", "at most so many jobs"},
    {OPT_NOHEAD, "noheader", 'H', TUG_ARG_NONE, NULL, "no line of headings"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_queue(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct queue_args {
    struct tug_pick pick; /* its filter is what is asked */
    struct tug_columns columns;
    struct tug_sort sort;
    bool no_head, start;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct queue_args *a = ctx;
    uint64_t n;
    if (tug_pick_option(&a->pick, o, value))
        return 0;
    switch (o->id) {
    case OPT_ALL:
        a->pick.filter.ended = 1;
        break;
    case OPT_COLUMNS:
        a->columns.len = 0;
        return tug_columns_parse(value, &a->columns, err);
    case OPT_SORT:
        return tug_sort_parse(value, &a->sort, err);
    case OPT_LIMIT:
        if (tug_str_u64(value, UINT32_MAX, &n) || n == 0)
            return tug_fail(err, -EINVAL, "--limit: '%.64s' is not a number from 1", value);
        a->pick.filter.limit = (uint32_t) n;
        break;
    case OPT_START:
        a->start = true;
        break;
    case OPT_NOHEAD:
        a->no_head = true;
        break;
    }
    return 0;
}

static void clear(struct queue_args *a)
{
    tug_pick_clear(&a->pick);
    tug_vec_clear(&a->columns);
    tug_vec_clear(&a->sort);
}

/* The list comes in pages, so that the controller makes one while we read the other, and memory is
 * used again. Only a list that is to be sorted is kept as a whole. */
#define PAGE_JOBS 1500

struct listing {
    struct tug_joblist *list;              /* of text; NULL for JSON */
    struct tug_vec(Tugpb__JobView *) jobs; /* to be sorted */
    struct tug_vec(struct tug_arena) kept; /* their memory */
    size_t n;
    int64_t now_ms;
};

static void listing_clear(struct listing *l)
{
    for (size_t i = 0; i < l->kept.len; i++)
        tug_arena_clear(&l->kept.at[i]);
    tug_vec_clear(&l->kept);
    tug_vec_clear(&l->jobs);
    tug_joblist_free(l->list);
}

static void say_jobs(struct listing *l, Tugpb__JobView *const *jobs, size_t n)
{
    if (l->list)
        tug_joblist_add(l->list, jobs, n, l->now_ms);
    for (size_t i = 0; i < n && !l->list; i++) {
        if (l->n + i)
            tug_buf_addc(&tug_out.buf, ',');
        tug_msg_json(&tug_out.buf, &jobs[i]->base, 0);
    }
    l->n += n;
}

static void take_page(struct listing *l, const Tugpb__JobsReply *r, bool sort,
                      struct tug_arena *arena)
{
    l->now_ms = r->now_ms;
    if (!sort) {
        say_jobs(l, r->jobs, r->n_jobs);
        return;
    }
    for (size_t i = 0; i < r->n_jobs; i++)
        tug_vec_push(&l->jobs, r->jobs[i]);
    tug_vec_push(&l->kept, *arena);
    *arena = (struct tug_arena){0};
}

static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t byte = *(*p)++;
        v |= (uint64_t) (byte & 127) << shift;
        if (byte < 128) {
            *out = v;
            return true;
        }
    }
    return false;
}

/* What the next request needs of a packed JobsReply (jobs = 1, more = 2, JobView.id = 1), without
 * decoding it. 0: no more, or not to be told so quickly. */
static uint64_t next_page_after(const uint8_t *p, size_t len)
{
    const uint8_t *end = p + len, *last = NULL, *last_end = NULL;
    uint64_t tag, v, more = 0, id = 0;
    while (p < end) {
        if (!read_varint(&p, end, &tag) || !read_varint(&p, end, &v) ||
            ((tag & 7) != 0 && (tag & 7) != 2))
            return 0;
        if (tag == (2 << 3 | 0))
            more = v;
        if ((tag & 7) == 0)
            continue;
        if (v > (uint64_t) (end - p))
            return 0;
        if (tag == (1 << 3 | 2)) {
            last = p;
            last_end = p + v;
        }
        p += v;
    }
    if (!more || !last || !read_varint(&last, last_end, &tag) || tag != (1 << 3 | 0) ||
        !read_varint(&last, last_end, &id))
        return 0;
    return id;
}

static int ask_page(struct queue_args *a, struct tug_client *c, uint32_t limit, size_t *asked,
                    struct tug_err *err)
{
    a->pick.filter.limit =
        limit && limit - *asked < PAGE_JOBS ? (uint32_t) (limit - *asked) : PAGE_JOBS;
    *asked += a->pick.filter.limit;
    return tug_client_send(c, TUG_MSG_JOBS_REQUEST, &a->pick.filter.base, err);
}

static int fetch(struct queue_args *a, struct listing *l, struct tug_err *err)
{
    struct tug_client c = {0};
    struct tug_frame f;
    ProtobufCMessage *m;
    uint32_t limit = a->pick.filter.limit;
    size_t asked = 0;
    int rc = tug_client_open(&c, err);
    rc = rc ? rc : ask_page(a, &c, limit, &asked, err);
    for (bool more = true; more && rc == 0;) {
        rc = tug_client_frame(&c, &f, TUG_ANSWER_MS, err);
        if (rc)
            break;
        uint64_t after = f.number == TUG_MSG_JOBS_REPLY ? next_page_after(f.body, f.len) : 0;
        more = after && (!limit || asked < limit);
        a->pick.filter.after_id = after;
        if (more)
            rc = ask_page(a, &c, limit, &asked, err);
        rc = rc ? rc : tug_client_take(&c, &f, TUG_MSG_JOBS_REPLY, &m, err);
        if (rc == 0)
            take_page(l, (Tugpb__JobsReply *) m, a->sort.len > 0, &c.arena);
    }
    tug_client_close(&c);
    return rc;
}

/* Fetch and show. */
static int list_jobs(struct queue_args *a, struct tug_err *err)
{
    struct listing l = {0};
    if (tug_out.json)
        tug_out_adds("{\"jobs\":[");
    else
        l.list = tug_joblist_new(&a->columns);
    int rc = fetch(a, &l, err);
    if (rc == 0 && a->sort.len) {
        tug_columns_sort(l.jobs.at, l.jobs.len, &a->sort, l.now_ms);
        say_jobs(&l, l.jobs.at, l.jobs.len);
    }
    if (rc == 0 && tug_out.json)
        tug_out_addf("],\"now_ms\":%lld}\n", (long long) l.now_ms);
    else if (rc == 0)
        tug_joblist_print(l.list, &tug_out.buf, tug_out.width, !a->no_head, tug_out.colour);
    else
        tug_buf_reset(&tug_out.buf);
    listing_clear(&l);
    return rc;
}

int tug_do_queue(int argc, char **argv)
{
    struct queue_args a = {.pick = TUG_PICK_INIT};
    struct tug_err err = {0};
    int words, status = tug_verb_parse("queue", argc, argv, take, &a, &words);
    if (status >= 0) {
        if (status == TUG_EXIT_OK && !tug_out.json) {
            tug_out_adds("\ncolumns:\n");
            tug_columns_help(&tug_out.buf, false);
        }
        clear(&a);
        return status;
    }
    if (tug_pick_ids(&a.pick, words, argv + 1, NULL, &err)) {
        clear(&a);
        return tug_out_usage(&err);
    }
    if (a.start && !a.pick.states.len)
        tug_pick_option(&a.pick, &(struct tug_opt){.id = TUG_PICK_STATE}, "PENDING");
    a.pick.filter.ids = a.pick.ids;
    a.pick.filter.n_ids = a.pick.n_ids;
    if (!a.columns.len)
        tug_columns_parse(a.start ? COLUMNS_START : COLUMNS_DEFAULT, &a.columns, NULL);
    a.pick.filter.brief = !tug_out.json && !tug_columns_need_all(&a.columns);
    status = list_jobs(&a, &err) ? tug_out_fail(&err) : TUG_EXIT_OK;
    clear(&a);
    return status;
}
