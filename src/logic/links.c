/* links.c - pairs of nodes that lost each other: who judges, and what users see
 *
 * A gang's word that two of its nodes lost each other is judged here, as it is here that nodes are heard: one of which
 * something came a while after that word was there, whatever was still on its way as it died. Layer: logic.
 */
#include <errno.h>
#include <stdlib.h>

#include "logic/control_int.h"

#define PROOF_MS 2000 /* what a node said before it died has come by then */
#define AGAIN_MS 1000

/* ---- judging */

static int is_proved(const struct tug_control *c, uint32_t node, int64_t said_ms)
{
    return !c->nodes[node].told_down && c->nodes[node].heard_ms >= said_ms + PROOF_MS;
}

int64_t tug_ctl_links_judge(struct tug_control *c, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    struct tug_core_link l;

    for (size_t i = 0; i < tug_core_links(c->core); i++) {
        tug_core_link(c->core, i, &l);
        if (l.said_ms < 0)
            continue;
        if (!is_proved(c, l.a, l.said_ms) || !is_proved(c, l.b, l.said_ms)) {
            next_ms = now_ms + AGAIN_MS;
            continue;
        }
        tug_ctl_apply(c, &(struct tug_event){.type = TUG_EV_LINK_BROKEN, .node = l.a, .peer = l.b}, NULL);
        i = (size_t) -1; /* they are others now */
    }
    return next_ms;
}

/* ---- as records and views have them */

static Tugpb__LinkFailure *failure_pb(struct tug_arena *a, const struct tug_core_link_hit *h, const char *peer)
{
    Tugpb__LinkFailure *m = tug_ctl_alloc(a, sizeof *m);

    tugpb__link_failure__init(m);
    m->peer = (char *) peer;
    m->at_ms = h->at_ms;
    m->job = h->job;
    return m;
}

static const char *name_of(struct tug_control *c, uint32_t node)
{
    struct tug_core_node k;

    tug_core_node(c->core, node, &k);
    return k.name;
}

Tugpb__LinkFailure **tug_ctl_links_pb(struct tug_control *c, struct tug_arena *a, uint32_t node, size_t *n)
{
    size_t links = tug_core_links(c->core);
    Tugpb__LinkFailure **out = links ? tug_ctl_alloc(a, links * TUG_LINK_HITS_MAX * sizeof *out) : NULL;
    struct tug_core_link l;

    *n = 0;
    for (size_t i = 0; i < links; i++) {
        tug_core_link(c->core, i, &l);
        for (size_t k = 0; l.a == node && k < l.n_hits; k++)
            out[(*n)++] = failure_pb(a, &l.hits[k], name_of(c, l.b));
    }
    return out;
}

static Tugpb__LinkView *view(struct tug_control *c, struct tug_arena *a, const struct tug_core_link *l)
{
    Tugpb__LinkView *m = tug_ctl_alloc(a, sizeof *m);

    tugpb__link_view__init(m);
    m->a = (char *) name_of(c, l->a);
    m->b = (char *) name_of(c, l->b);
    m->quarantined = l->bad;
    m->open = l->said_ms >= 0;
    m->open_ms = m->open ? l->said_ms : 0;
    m->until_ms = l->until_ms >= 0 ? l->until_ms : 0;
    m->failures = tug_ctl_alloc(a, (l->n_hits + 1) * sizeof *m->failures);
    for (size_t i = 0; i < l->n_hits; i++)
        m->failures[m->n_failures++] = failure_pb(a, &l->hits[i], "");
    return m;
}

Tugpb__LinkView **tug_ctl_view_links(struct tug_control *c, struct tug_arena *a, uint32_t node, size_t *n)
{
    size_t links = tug_core_links(c->core);
    Tugpb__LinkView **out = links ? tug_ctl_alloc(a, links * sizeof *out) : NULL;
    struct tug_core_link l;

    *n = 0;
    for (size_t i = 0; i < links; i++) {
        tug_core_link(c->core, i, &l);
        if (node == TUG_NO_NODE || l.a == node || l.b == node)
            out[(*n)++] = view(c, a, &l);
    }
    return out;
}

/* ---- requests */

void h_links(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    Tugpb__LinksReply r = TUGPB__LINKS_REPLY__INIT;
    struct tug_arena a = {.budget_bytes = 64 << 20};

    (void) msg;
    r.links = tug_ctl_view_links(c, &a, TUG_NO_NODE, &r.n_links);
    tug_outbox_send(c->out, p->id, TUG_MSG_LINKS_REPLY, rid, &r.base);
    tug_arena_clear(&a);
}

static int find_node(struct tug_control *c, const char *name, uint32_t *node, struct tug_err *err)
{
    *node = tug_core_node_find(c->core, name);
    return *node == TUG_NO_NODE ? tug_fail(err, -ENOENT, "there is no node '%.64s'", name) : 0;
}

void h_link_clear(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__LinkClearRequest *m = (const Tugpb__LinkClearRequest *) msg;
    Tugpb__LinkClearReply r = TUGPB__LINK_CLEAR_REPLY__INIT;
    struct tug_event ev = {.type = TUG_EV_LINK_CLEAR, .uid = p->user->uid, .user = p->user->name};
    struct tug_err err = {0};
    int rc = find_node(c, m->a, &ev.node, &err);

    if (!rc)
        rc = find_node(c, m->b, &ev.peer, &err);
    if (!rc)
        rc = tug_ctl_apply(c, &ev, &err);
    if (rc)
        tug_ctl_reply_error(c, p, rid, rc, err.msg);
    else
        tug_outbox_send(c->out, p->id, TUG_MSG_LINK_CLEAR_REPLY, rid, &r.base);
}
