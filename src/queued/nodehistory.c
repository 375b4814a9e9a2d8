/* nodehistory.c - what happened to nodes, asked from the store
 *
 * As history.c; rows of all nodes are read, those of other nodes than were asked for are passed over.
 * Layer: programs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "base/vec.h"
#include "proto/client.pb-c.h"
#include "queued/daemon.h"

#define DEFAULT_LIMIT 1000
#define ROWS_MAX      100000 /* that are looked through for a few nodes' */

struct asked {
    struct tugd *d;
    tug_peer_id peer; /* it may be gone when the answer comes */
    uint32_t rid, limit;
    struct tug_hostlist *nodes; /* NULL = all */
    struct tug_vec(Tugpb__NodeEvent *) events;
    int more;
};

static void asked_free(struct asked *q)
{
    for (size_t i = 0; i < q->events.len; i++)
        tugpb__node_event__free_unpacked(q->events.at[i], NULL);
    tug_vec_clear(&q->events);
    tug_hostlist_free(q->nodes);
    free(q);
}

static void refuse(struct tugd *d, tug_peer_id peer, uint32_t rid, int rc, const char *why)
{
    struct peer *p = world_peer(d, peer);
    Tugpb__Error e = TUGPB__ERROR__INIT;

    e.code = -rc;
    e.text = (char *) why;
    if (p)
        tug_conn_send(p->conn, TUG_MSG_ERROR, rid, &e.base);
}

static void answer(struct asked *q, int rc, const char *why)
{
    struct peer *p = world_peer(q->d, q->peer);
    Tugpb__NodeHistoryReply r = TUGPB__NODE_HISTORY_REPLY__INIT;

    r.events = q->events.at;
    r.n_events = q->events.len;
    r.more = q->more;
    if (rc)
        refuse(q->d, q->peer, q->rid, rc, why);
    else if (p)
        tug_conn_send(p->conn, TUG_MSG_NODE_HISTORY_REPLY, q->rid, &r.base);
    asked_free(q);
}

static void on_row(void *arg, const struct tug_history_row *row, int rc, const char *why)
{
    struct asked *q = arg;
    Tugpb__NodeEvent *e;

    if (!row) {
        answer(q, rc, why);
        return;
    }
    if (!row->view || (q->nodes && !tug_hostlist_contains(q->nodes, row->name)))
        return;
    if (q->events.len == q->limit) {
        q->more = 1;
        return;
    }
    e = tugpb__node_event__unpack(NULL, row->view_len, row->view);
    if (e)
        tug_vec_push(&q->events, e);
}

void nodehistory_ask(struct tugd *d, struct peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__NodeHistoryRequest *m = (const Tugpb__NodeHistoryRequest *) msg;
    struct tug_history_filter f = {.what = "node", .since_ms = m->since_ms, .until_ms = m->until_ms};
    struct tug_hostlist *nodes = NULL;
    struct tug_err err = {0};
    int rc = m->nodes[0] ? tug_hostlist_parse(m->nodes, &nodes, &err) : 0;
    struct asked *q;

    for (size_t i = 0; !rc && nodes && i < tug_hostlist_count(nodes); i++)
        if (tug_core_node_find(tug_control_core(d->control), tug_hostlist_nth(nodes, i)) == TUG_NO_NODE)
            rc = tug_fail(&err, -ENOENT, "there is no node '%s'; 'tug nodes' lists all", tug_hostlist_nth(nodes, i));
    if (rc) {
        refuse(d, p->id, rid, rc, err.msg);
        tug_hostlist_free(nodes);
        return;
    }
    q = tug_new(struct asked);
    q->d = d;
    q->peer = p->id;
    q->rid = rid;
    q->limit = m->limit ? m->limit : DEFAULT_LIMIT;
    q->nodes = nodes;
    f.limit = nodes ? ROWS_MAX : q->limit + 1; /* one more tells whether there is more */
    tug_store_history(d->store, &f, on_row, q);
}
