/* history.c - jobs of the past, asked from the store
 *
 * The rows are read on the store's thread and come back one by one; the reply is made of the views
 * that were stored when each job ended. Layer: programs.
 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "proto/client.pb-c.h"
#include "queued/daemon.h"

#define DEFAULT_LIMIT 1000

struct asked {
    struct tugd *d;
    tug_peer_id peer; /* it may be gone when the answer comes */
    uint32_t rid, limit;
    struct tug_vec(Tugpb__JobView *) views;
    int more;
};

static void asked_free(struct asked *q)
{
    for (size_t i = 0; i < q->views.len; i++)
        tugpb__job_view__free_unpacked(q->views.at[i], NULL);
    tug_vec_clear(&q->views);
    free(q);
}

static void answer(struct asked *q, int rc, const char *why)
{
    struct peer *p = world_peer(q->d, q->peer);
    Tugpb__HistoryReply r = TUGPB__HISTORY_REPLY__INIT;
    Tugpb__Error e = TUGPB__ERROR__INIT;

    if (p && rc) {
        e.code = -rc;
        e.text = (char *) why;
        tug_conn_send(p->conn, TUG_MSG_ERROR, q->rid, &e.base);
    } else if (p) {
        r.jobs = q->views.at;
        r.n_jobs = q->views.len;
        r.more = q->more;
        tug_conn_send(p->conn, TUG_MSG_HISTORY_REPLY, q->rid, &r.base);
    }
    asked_free(q);
}

static void on_row(void *arg, const struct tug_history_row *row, int rc, const char *why)
{
    struct asked *q = arg;
    Tugpb__JobView *v;

    if (!row) {
        answer(q, rc, why);
        return;
    }
    if (q->views.len == q->limit) {
        q->more = 1;
        return;
    }
    v = row->view ? tugpb__job_view__unpack(NULL, row->view_len, row->view) : NULL;
    if (v)
        tug_vec_push(&q->views, v);
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
    const Tugpb__HistoryRequest *m = (const Tugpb__HistoryRequest *) msg;
    struct tug_history_filter f = {.what = "end", .since_ms = m->since_ms, .until_ms = m->until_ms};
    struct tug_vec(uint32_t) uids = {0};
    struct asked *q;

    for (size_t i = 0; i < m->n_users; i++) {
        uint32_t uid;

        if (uid_of(m->users[i], &uid) != 0) {
            Tugpb__Error e = TUGPB__ERROR__INIT;
            struct tug_err err;

            e.code = -tug_fail(&err, -ENOENT, "there is no user '%s' on the controller's host",
                               m->users[i]);
            e.text = err.msg;
            tug_conn_send(p->conn, TUG_MSG_ERROR, rid, &e.base);
            tug_vec_clear(&uids);
            return;
        }
        tug_vec_push(&uids, uid);
    }
    q = tug_new(struct asked);
    q->d = d;
    q->peer = p->id;
    q->rid = rid;
    q->limit = m->limit ? m->limit : DEFAULT_LIMIT;
    f.uids = uids.at;
    f.n_uids = uids.len;
    f.ids = m->ids;
    f.n_ids = m->n_ids;
    f.states = (const char *const *) m->states;
    f.n_states = m->n_states;
    f.limit = q->limit + 1; /* one more tells whether there is more */
    tug_store_history(d->store, &f, on_row, q);
    tug_vec_clear(&uids);
}
