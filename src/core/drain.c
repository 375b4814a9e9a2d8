/* drain.c - reasons for which nodes are out of use
 *
 * Whoever takes a node out of use has a reason of his own there, with when and who, and only he takes
 * it back (drains.def); the node is usable again when none is left. Every reason that comes or goes is
 * a row of the history. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

enum taken_back_by { ADMIN, CHECK, GONE };

static const struct {
    const char *name;
    enum taken_back_by whose;
} owners[] = {
#define TUG_DRAIN(NAME, name, taken_back_by) [TUG_DRAIN_##NAME] = {#name, taken_back_by},
#include "core/drains.def"
#undef TUG_DRAIN
};

const char *tug_drain_name(enum tug_drain by)
{
    return (unsigned) by < TUG_DRAINS ? owners[by].name : "?";
}

int tug_drain_parse(const char *name)
{
    for (int i = 0; i < TUG_DRAINS; i++)
        if (!strcmp(name, owners[i].name))
            return i;
    return -1;
}

int tug_drain_is_admins(enum tug_drain by)
{
    return (unsigned) by < TUG_DRAINS && owners[by].whose == ADMIN;
}

/* ---- the reasons of one node, in the order of their owners */

const struct tug_core_drain *tug_node_drained_by(const struct tug_node *n, enum tug_drain by)
{
    for (size_t i = 0; i < n->drains.len; i++)
        if (n->drains.at[i].by == by)
            return &n->drains.at[i];
    return NULL;
}

static size_t place_of(const struct tug_node *n, enum tug_drain by)
{
    size_t at = 0;
    while (at < n->drains.len && n->drains.at[at].by < by)
        at++;
    return at;
}

/* All of them in one text, for those who want to read only one. */
static void sum_up(struct tug_core *c, struct tug_node *n)
{
    struct tug_buf all = {0};
    for (size_t i = 0; i < n->drains.len; i++)
        tug_buf_addf(&all, "%s%s", i ? "; " : "", n->drains.at[i].reason);
    const char *old = n->drain_reason;
    n->drain_reason = tug_intern(c->texts, tug_buf_str(&all));
    tug_intern_drop(c->texts, old);
    tug_buf_clear(&all);
    n->drained = n->drains.len > 0;
}

static void drop(struct tug_core *c, struct tug_node *n, size_t at)
{
    tug_intern_drop(c->texts, n->drains.at[at].reason);
    tug_intern_drop(c->texts, n->drains.at[at].user);
    tug_vec_remove(&n->drains, at);
}

void tug_drain_put(struct tug_core *c, struct tug_node *n, const struct tug_core_drain *d)
{
    struct tug_core_drain mine = *d;
    size_t at = place_of(n, d->by);
    mine.reason = tug_intern(c->texts, d->reason && *d->reason ? d->reason : "drained");
    mine.user = tug_intern(c->texts, d->user);
    if (at < n->drains.len && n->drains.at[at].by == d->by)
        drop(c, n, at);
    tug_vec_push(&n->drains, mine);
    for (size_t i = n->drains.len - 1; i > at; i--) {
        n->drains.at[i] = n->drains.at[i - 1];
        n->drains.at[i - 1] = mine;
    }
    sum_up(c, n);
}

void tug_drain_clear(struct tug_core *c, struct tug_node *n)
{
    while (n->drains.len)
        drop(c, n, n->drains.len - 1);
    tug_vec_clear(&n->drains);
}

/* ---- draining and resuming */

static void changed(struct tug_core *c, uint32_t node)
{
    tug_node_refresh(c, node);
    tug_act_node_changed(c, node);
}

void tug_node_drain_as(struct tug_core *c, uint32_t node, const struct tug_core_drain *d)
{
    struct tug_core_drain mine = *d;
    mine.at_ms = c->now_ms;
    tug_drain_put(c, &c->nodes.at[node], &mine);
    tug_act_node_history(c, node, "drain", tug_node_drained_by(&c->nodes.at[node], d->by), NULL);
    changed(c, node);
}

void tug_node_drain(struct tug_core *c, uint32_t node, enum tug_drain by, const char *why)
{
    const struct tug_core_drain d = {.by = by, .reason = why};
    tug_node_drain_as(c, node, &d);
    tug_act_node_log(c, node, "node %s is drained: %s", c->nodes.at[node].name, why);
}

/* 'by' takes back the reason at that place. */
static void take_back(struct tug_core *c, uint32_t node, size_t at, const struct tug_core_drain *who)
{
    struct tug_node *n = &c->nodes.at[node];
    struct tug_core_drain was = n->drains.at[at];
    was.uid = who->uid;
    was.user = who->user ? who->user : "";
    tug_act_node_history(c, node, "resume", &was, NULL);
    drop(c, n, at);
    sum_up(c, n);
}

void tug_node_undrain(struct tug_core *c, uint32_t node, enum tug_drain by, const char *why)
{
    const struct tug_core_drain nobody = {0};
    struct tug_node *n = &c->nodes.at[node];
    const struct tug_core_drain *is = tug_node_drained_by(n, by);
    if (!is)
        return;
    take_back(c, node, (size_t) (is - n->drains.at), &nobody);
    tug_act_node_log(c, node, "node %s %s%s%s", n->name, why, n->drained ? ", and drained still: " : "",
                     n->drained ? n->drain_reason : "");
    changed(c, node);
}

int tug_ev_node_drain(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    const struct tug_core_drain d = {
        .by = TUG_DRAIN_ADMIN, .reason = ev->text, .uid = ev->uid, .user = ev->user};
    if (ev->node >= c->nodes.len)
        return tug_fail(err, -EINVAL, "there is no node %u", ev->node);
    tug_node_drain_as(c, ev->node, &d);
    return 0;
}

int tug_ev_node_resume(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    const struct tug_core_drain who = {.uid = ev->uid, .user = ev->user};
    if (ev->node >= c->nodes.len)
        return tug_fail(err, -EINVAL, "there is no node %u", ev->node);
    struct tug_node *n = &c->nodes.at[ev->node];
    if (tug_node_drained_by(n, TUG_DRAIN_LINKS))
        tug_links_resumed(c, ev);
    for (size_t i = n->drains.len; i-- > 0;)
        if (ev->force || owners[n->drains.at[i].by].whose == ADMIN)
            take_back(c, ev->node, i, &who);
    n->bad_launches = 0;
    tug_failures_forgive(c, ev->node);
    changed(c, ev->node);
    return 0;
}

int tug_ev_node_health(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    if (ev->node >= c->nodes.len)
        return tug_fail(err, -EINVAL, "there is no node %u", ev->node);
    struct tug_node *n = &c->nodes.at[ev->node];
    const struct tug_core_drain *is = tug_node_drained_by(n, TUG_DRAIN_HEALTH);
    int is_sick = ev->text && *ev->text;
    if (is_sick && (!is || strcmp(is->reason, ev->text) != 0)) {
        tug_node_drain(c, ev->node, TUG_DRAIN_HEALTH, ev->text);
    } else if (!is_sick && is) {
        tug_node_undrain(c, ev->node, TUG_DRAIN_HEALTH, "is healthy again");
    }
    return 0;
}
