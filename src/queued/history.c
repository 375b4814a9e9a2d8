/* history.c - jobs, and what happened to nodes, of the past, asked from the store
 *
 * The rows are read on the store's thread and come back one by one; the reply is made of the views that were stored
 * with them. What is asked for is a kind: which rows, what their views are, and how the reply is made. Layer: programs.
 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "proto/client.pb-c.h"
#include "queued/daemon.h"

#define DEFAULT_LIMIT 1000
#define ROWS_MAX      100000 /* that are looked through for a few nodes' */

struct asked {
    struct tugd *d;
    tug_peer_id peer; /* it may be gone when the answer comes */
    uint32_t rid, limit;
    const struct kind *kind;
    struct tug_hostlist *nodes; /* rows of these only; NULL = all */
    struct tug_vec(ProtobufCMessage *) rows;
    int more;
};

struct kind {
    const char *what; /* of the rows; NULL = all */
    ProtobufCMessage *(*read)(const struct tug_history_row *row); /* NULL: it says nothing that was asked for */
    void (*answer)(const struct asked *q, struct peer *p);
};

static void refuse(struct tugd *d, tug_peer_id peer, uint32_t rid, int rc, const char *why)
{
    struct peer *p = world_peer(d, peer);
    Tugpb__Error e = TUGPB__ERROR__INIT;

    e.code = -rc;
    e.text = (char *) why;
    if (p)
        tug_conn_send(p->conn, TUG_MSG_ERROR, rid, &e.base);
}

static void finish(struct asked *q, int rc, const char *why)
{
    struct peer *p = world_peer(q->d, q->peer);

    if (rc)
        refuse(q->d, q->peer, q->rid, rc, why);
    else if (p)
        q->kind->answer(q, p);
    for (size_t i = 0; i < q->rows.len; i++)
        protobuf_c_message_free_unpacked(q->rows.at[i], NULL);
    tug_vec_clear(&q->rows);
    tug_hostlist_free(q->nodes);
    free(q);
}

static void on_row(void *arg, const struct tug_history_row *row, int rc, const char *why)
{
    struct asked *q = arg;
    ProtobufCMessage *m;

    if (!row) {
        finish(q, rc, why);
        return;
    }
    if (q->nodes && !tug_hostlist_contains(q->nodes, row->name))
        return;
    if (q->rows.len == q->limit) {
        q->more = 1;
        return;
    }
    m = q->kind->read(row);
    if (m)
        tug_vec_push(&q->rows, m);
}

/* Takes the nodes. The filter has what is the request's own in it. */
static void ask(struct tugd *d, const struct peer *p, uint32_t rid, const struct kind *kind, uint32_t limit,
                struct tug_hostlist *nodes, struct tug_history_filter *f)
{
    struct asked *q = tug_new(struct asked);

    q->d = d;
    q->peer = p->id;
    q->rid = rid;
    q->kind = kind;
    q->limit = limit ? limit : DEFAULT_LIMIT;
    q->nodes = nodes;
    f->what = kind->what;
    f->limit = nodes ? ROWS_MAX : q->limit + 1; /* one more tells whether there is more */
    if (d->store)
        tug_store_history(d->store, f, on_row, q);
    else
        finish(q, -ENOSPC, "STATE_FULL: this controller has not begun, for want of room; the history is read when it has");
}

static ProtobufCMessage *view_of(const struct tug_history_row *row, const ProtobufCMessageDescriptor *view)
{
    return row->view ? protobuf_c_message_unpack(view, NULL, row->view_len, row->view) : NULL;
}

/* ---- jobs that have ended */

static ProtobufCMessage *read_job(const struct tug_history_row *row)
{
    return view_of(row, &tugpb__job_view__descriptor);
}

static void answer_jobs(const struct asked *q, struct peer *p)
{
    Tugpb__HistoryReply r = TUGPB__HISTORY_REPLY__INIT;

    r.jobs = (Tugpb__JobView **) q->rows.at;
    r.n_jobs = q->rows.len;
    r.more = q->more;
    tug_conn_send(p->conn, TUG_MSG_HISTORY_REPLY, q->rid, &r.base);
}

static int uid_of(const char *user, uint32_t *out)
{
    uint64_t number;
    struct passwd *pw;

    if (tug_str_u64(user, UINT32_MAX, &number) == 0) {
        *out = (uint32_t) number;
        return 0;
    }
    pw = getpwnam(user);
    if (!pw)
        return -ENOENT;
    *out = pw->pw_uid;
    return 0;
}

void history_ask(struct tugd *d, struct peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    static const struct kind jobs = {"end", read_job, answer_jobs};
    const Tugpb__HistoryRequest *m = (const Tugpb__HistoryRequest *) msg;
    struct tug_history_filter f = {.since_ms = m->since_ms, .until_ms = m->until_ms};
    struct tug_vec(uint32_t) uids = {0};

    for (size_t i = 0; i < m->n_users; i++) {
        uint32_t uid;

        if (uid_of(m->users[i], &uid) != 0) {
            struct tug_err err;
            int rc = tug_fail(&err, -ENOENT, "there is no user '%s' on the controller's host", m->users[i]);

            refuse(d, p->id, rid, rc, err.msg);
            tug_vec_clear(&uids);
            return;
        }
        tug_vec_push(&uids, uid);
    }
    f.uids = uids.at;
    f.n_uids = uids.len;
    f.ids = m->ids;
    f.n_ids = m->n_ids;
    f.states = (const char *const *) m->states;
    f.n_states = m->n_states;
    ask(d, p, rid, &jobs, m->limit, NULL, &f);
    tug_vec_clear(&uids);
}

/* ---- what happened to jobs */

static char *copy(const char *text)
{
    return tug_xstrdup(text ? text : "");
}

/* Of the whole job as it was then, only why. */
static void set_why(Tugpb__JobEvent *e, const Tugpb__JobView *v)
{
    const char *why = strcmp(e->what, "hang") == 0 ? v->hang ? v->hang->text : NULL : v->cause ? v->cause->text : NULL;

    e->text = copy(why);
}

static void set_who(Tugpb__JobEvent *e, const Tugpb__JobHold *m)
{
    e->uid = m->uid;
    e->user = copy(m->user);
    e->text = copy(m->why);
}

static ProtobufCMessage *read_event(const struct tug_history_row *row)
{
    int is_hold = strcmp(row->what, "hold") == 0 || strcmp(row->what, "release") == 0;
    ProtobufCMessage *view;
    Tugpb__JobEvent *e;

    if (!row->job)
        return NULL;
    e = tug_xmalloc(sizeof *e); /* freed as all that is unpacked: its texts are its own */
    tugpb__job_event__init(e);
    e->job = row->job;
    e->attempt = row->attempt;
    e->what = copy(row->what);
    e->at_ms = row->at_ms;
    e->state = copy(row->state);
    view = view_of(row, is_hold ? &tugpb__job_hold__descriptor : &tugpb__job_view__descriptor);
    if (view && is_hold) {
        set_who(e, (const Tugpb__JobHold *) view);
    } else if (view) {
        set_why(e, (const Tugpb__JobView *) view);
    } else if (strcmp(row->what, "submit") == 0) {
        e->uid = row->uid;
        e->user = copy(row->user);
    }
    if (view)
        protobuf_c_message_free_unpacked(view, NULL);
    return &e->base;
}

static void answer_events(const struct asked *q, struct peer *p)
{
    Tugpb__JobHistoryReply r = TUGPB__JOB_HISTORY_REPLY__INIT;

    r.events = (Tugpb__JobEvent **) q->rows.at;
    r.n_events = q->rows.len;
    r.more = q->more;
    tug_conn_send(p->conn, TUG_MSG_JOB_HISTORY_REPLY, q->rid, &r.base);
}

void history_ask_events(struct tugd *d, struct peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    static const struct kind events = {NULL, read_event, answer_events};
    const Tugpb__JobHistoryRequest *m = (const Tugpb__JobHistoryRequest *) msg;
    struct tug_history_filter f = {
        .since_ms = m->since_ms, .until_ms = m->until_ms, .ids = m->jobs, .n_ids = m->n_jobs};

    ask(d, p, rid, &events, m->limit, NULL, &f);
}

/* ---- what happened to nodes */

static ProtobufCMessage *read_node(const struct tug_history_row *row)
{
    return view_of(row, &tugpb__node_event__descriptor);
}

static void answer_nodes(const struct asked *q, struct peer *p)
{
    Tugpb__NodeHistoryReply r = TUGPB__NODE_HISTORY_REPLY__INIT;

    r.events = (Tugpb__NodeEvent **) q->rows.at;
    r.n_events = q->rows.len;
    r.more = q->more;
    tug_conn_send(p->conn, TUG_MSG_NODE_HISTORY_REPLY, q->rid, &r.base);
}

void history_ask_nodes(struct tugd *d, struct peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    static const struct kind events = {"node", read_node, answer_nodes};
    const Tugpb__NodeHistoryRequest *m = (const Tugpb__NodeHistoryRequest *) msg;
    struct tug_history_filter f = {.since_ms = m->since_ms, .until_ms = m->until_ms};
    struct tug_hostlist *nodes = NULL;
    struct tug_err err = {0};
    int rc = m->nodes[0] ? tug_hostlist_parse(m->nodes, &nodes, &err) : 0;

    for (size_t i = 0; !rc && nodes && i < tug_hostlist_count(nodes); i++)
        if (tug_core_node_find(tug_control_core(d->control), tug_hostlist_nth(nodes, i)) == TUG_NO_NODE)
            rc = tug_fail(&err, -ENOENT, "there is no node '%s'; 'tug nodes' lists all", tug_hostlist_nth(nodes, i));
    if (rc) {
        refuse(d, p->id, rid, rc, err.msg);
        tug_hostlist_free(nodes);
        return;
    }
    ask(d, p, rid, &events, m->limit, nodes, &f);
}
