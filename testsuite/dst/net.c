/* net.c - connections between nodes and controllers, and what becomes of messages
 *
 * A connection is a TCP session: what is sent arrives in order, late, or with the end of the connection not at all. A
 * cut stalls a direction; after 15 to 20 s of it each side gives the connection up, the other one hears of that when
 * the cut is over. In a chaotic world messages also come twice and overtake each other within their connection, which
 * no session allows and nothing may depend on. Layer: tests.
 */
#include "dst.h"

#include <stdlib.h>

#define TCP_TIMEOUT_MS 15000

struct dst_link *dst_link(struct dst *w, uint64_t id)
{
    for (size_t i = w->links.len; id && i-- > 0;)
        if (w->links.at[i]->id == id)
            return w->links.at[i];
    return NULL;
}

static void forget(struct dst *w, struct dst_link *l)
{
    for (size_t i = 0; i < w->links.len; i++)
        if (w->links.at[i] == l) {
            tug_vec_remove(&w->links, i);
            break;
        }
    for (unsigned d = 0; d < 2; d++) {
        for (size_t k = 0; k < l->stalled[d].len; k++)
            dst_event_free(l->stalled[d].at[k]);
        tug_vec_clear(&l->stalled[d]);
    }
    free(l);
}

static int64_t hop_ms(struct dst *w, const struct dst_link *l)
{
    if (w->now_ms < w->nodes[l->node].slow_until_ms)
        return dst_between(&w->of_net, 20, 4000);
    if (dst_chance(&w->of_net, 0.01)) {
        w->n.delayed++;
        return dst_between(&w->of_net, 50, 2000);
    }
    return dst_between(&w->of_net, 0, 3);
}

static struct dst_event *put(struct dst *w, struct dst_link *l, unsigned dir, int64_t at_ms, bool ordered)
{
    struct dst_event *e = dst_event_new(w, DST_ARRIVES, dir == DST_TO_CTL ? l->ctl : l->node);

    if (ordered && at_ms < l->last_ms[dir])
        at_ms = l->last_ms[dir];
    if (ordered)
        l->last_ms[dir] = at_ms;
    e->at_ms = at_ms;
    e->id = l->id;
    e->dir = dir;
    dst_push(w, e);
    return e;
}

void dst_net_send(struct dst *w, struct dst_link *l, unsigned dir, uint16_t number, uint32_t rid,
                  const ProtobufCMessage *m)
{
    bool ordered = !(w->conf.chaos && !w->calm && dst_chance(&w->of_net, 0.1));
    int64_t at_ms = w->now_ms + hop_ms(w, l);

    if (number == TUG_MSG_NODE_HELLO)
        at_ms += dst_fault_at_hello(w, l->node);
    if (!ordered) {
        at_ms += dst_between(&w->of_net, 0, 300);
        w->n.reordered++;
    }
    dst_event_body(put(w, l, dir, at_ms, ordered), number, rid, m);
    w->n.messages++;
    if (w->conf.chaos && !w->calm && dst_chance(&w->of_net, 0.05)) {
        dst_event_body(put(w, l, dir, at_ms + dst_about(&w->of_net, 2000), false), number, rid, m);
        w->n.duplicated++;
    }
}

static void told_down(struct dst *w, struct dst_link *l, unsigned side)
{
    if (!l->open[side])
        return;
    l->open[side] = false;
    if (side == DST_TO_CTL && l->was_up[side] && w->ctls[l->ctl].life == l->life[side])
        dst_ctl_peer_down(w, l->ctl, l->id);
    else if (side == DST_TO_NODE && w->nodes[l->node].life == l->life[side])
        dst_agent_down(w, l->node, l->id, l->was_up[side]);
}

/* 'side' has closed it already; the other one hears of it behind what was sent before. */
void dst_net_close(struct dst *w, struct dst_link *l, unsigned side, bool silently)
{
    l->open[side] = false;
    if (!l->open[!side])
        forget(w, l);
    else if (!silently)
        put(w, l, !side, w->now_ms + hop_ms(w, l), true)->number = 0;
}

void dst_net_reset(struct dst *w, struct dst_link *l)
{
    uint64_t id = l->id;

    if (w->ctls[l->ctl].paused_until_ms > w->now_ms || w->nodes[l->node].paused_until_ms > w->now_ms)
        return; /* it could not be told yet */
    w->n.resets++;
    dst_log(w, "the connection of n%u to controller %u is reset", l->node, l->ctl);
    told_down(w, l, DST_TO_NODE);
    if ((l = dst_link(w, id)) != NULL)
        told_down(w, l, DST_TO_CTL);
    if ((l = dst_link(w, id)) != NULL)
        forget(w, l);
}

/* ---- arriving */

static void deliver(struct dst *w, struct dst_link *l, struct dst_event *e)
{
    unsigned side = e->dir;
    uint64_t id = l->id;

    if (!l->open[side])
        return;
    if (e->number == 0) {
        told_down(w, l, side);
        if ((l = dst_link(w, id)) != NULL && !l->open[!side])
            forget(w, l);
        return;
    }
    if (!l->was_up[side])
        w->n.dropped++;
    else if (side == DST_TO_CTL)
        dst_ctl_message(w, l->ctl, id, e);
    else
        dst_agent_message(w, l->node, id, e);
}

void dst_net_arrives(struct dst *w, struct dst_event *e)
{
    struct dst_link *l = dst_link(w, e->id);

    if (l && (w->nodes[l->node].cut[e->dir] || l->stalled[e->dir].len)) {
        tug_vec_push(&l->stalled[e->dir], e);
        return;
    }
    if (l)
        deliver(w, l, e);
    dst_event_free(e);
}

void dst_net_cut(struct dst *w, unsigned node, unsigned dir)
{
    struct dst_node *n = &w->nodes[node];

    n->cut[dir]++;
    for (size_t i = 0; i < w->links.len; i++)
        if (w->links.at[i]->node == node)
            for (unsigned side = 0; side < 2; side++) {
                struct dst_event *e = dst_later(w, TCP_TIMEOUT_MS + dst_between(&w->of_net, 0, 5000),
                                                DST_TCP_TIMEOUT, node);
                e->id = w->links.at[i]->id;
                e->dir = side;
            }
}

/* What was stalled comes now, in order, before anything newer. */
void dst_net_mend(struct dst *w, unsigned node, unsigned dir)
{
    struct dst_node *n = &w->nodes[node];

    tug_assert(n->cut[dir] > 0);
    if (--n->cut[dir])
        return;
    for (size_t i = 0; i < w->links.len; i++) {
        struct dst_link *l = w->links.at[i];
        uint64_t id = l->id;
        if (l->node != node)
            continue;
        for (size_t k = 0; k < l->stalled[dir].len; k++) {
            struct dst_event *e = l->stalled[dir].at[k];
            e->at_ms = w->now_ms;
            e->seq = ++w->seq;
            dst_push(w, e);
        }
        l->stalled[dir].len = 0;
        if (l->last_ms[dir] < w->now_ms)
            l->last_ms[dir] = w->now_ms;
        tug_assert(dst_link(w, id));
    }
}

/* Is it still cut off since then? Then this side's kernel gives up, and can tell nobody. */
void dst_net_timeout(struct dst *w, const struct dst_event *e)
{
    struct dst_link *l = dst_link(w, e->id);

    if (!l || !l->open[e->dir] || !(w->nodes[l->node].cut[0] || w->nodes[l->node].cut[1]))
        return;
    if ((e->dir == DST_TO_CTL ? w->ctls[l->ctl].paused_until_ms : w->nodes[l->node].paused_until_ms) > w->now_ms)
        return; /* it is told by what it sends next, or by silence */
    told_down(w, l, e->dir);
    if ((l = dst_link(w, e->id)) != NULL)
        dst_net_close(w, l, e->dir, false); /* stalled until the cut is over */
}

/* ---- dialling */

static void again(struct dst *w, struct dst_node *n)
{
    struct dst_event *e;

    n->redial_ms = n->redial_ms ? n->redial_ms * 2 : 100;
    if (n->redial_ms > 5000)
        n->redial_ms = 5000;
    n->dialling = true;
    e = dst_later(w, n->redial_ms / 2 + dst_between(&w->of_net, 0, n->redial_ms / 2), DST_DIAL, n->index);
    e->life = n->life;
}

void dst_net_dial(struct dst *w, unsigned node)
{
    struct dst_node *n = &w->nodes[node];
    /* Nodes find the leader by themselves, and may ask one that thinks it is. */
    unsigned ctl = w->ctls[!w->leader].control && dst_chance(&w->of_net, 0.5) ? !w->leader : w->leader;
    struct dst_ctl *c = &w->ctls[ctl];
    struct dst_link *l;

    n->dialling = false;
    if (!n->agent || n->link)
        return;
    if (n->cut[0] || n->cut[1] || !c->control || c->paused_until_ms > w->now_ms) {
        again(w, n);
        return;
    }
    l = tug_new(struct dst_link);
    l->id = ++w->next_id;
    l->node = node;
    l->ctl = ctl;
    l->life[DST_TO_CTL] = c->life;
    l->life[DST_TO_NODE] = n->life;
    l->open[0] = l->open[1] = true;
    tug_vec_push(&w->links, l);
    n->link = l->id;
    for (unsigned side = 0; side < 2; side++) {
        struct dst_event *e = dst_later(w, 1 + side + dst_between(&w->of_net, 0, 3), DST_LINK_UP, node);
        e->id = l->id;
        e->dir = side;
        l->last_ms[side] = w->now_ms + 5;
    }
}

void dst_net_up(struct dst *w, const struct dst_event *e)
{
    struct dst_link *l = dst_link(w, e->id);

    if (!l || !l->open[e->dir])
        return;
    l->was_up[e->dir] = true;
    if (e->dir == DST_TO_CTL)
        dst_ctl_peer_up(w, l->ctl, l->id, l->node);
    else
        dst_agent_up(w, l->node, l->id);
}
