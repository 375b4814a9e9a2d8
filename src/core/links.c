/* links.c - pairs of nodes that lost each other while both were there, and what follows from it
 *
 * A gang's own daemons say who lost whom (TUG_CAUSE_LINK). Whether it was the link or one of the nodes shows later: a node
 * that is heard of after that was there, one that is not goes down and takes what was said of it along. So a pair is only
 * suspected at first; once both have been heard of (TUG_EV_LINK_BROKEN) it has a hit, which is remembered for
 * link_period_s, in the record of the node whose name is the lower. All that fail at the same moment are one hit.
 *
 * A pair that is suspected or hit is avoided: a gang gets both nodes only if it does not fit otherwise. One with
 * link_failures hits, the suspicion counted, is never used together, until an admin clears it or the hits are old. Who is
 * there already stays.
 *
 * Searches for nodes (place.c) know nothing of it: they are asked again without one of the pair, then without the other.
 * A set without a pair lacks the one or the other of it, so all such sets are looked at, unless there are very many pairs:
 * then the nodes with the most pairs are left out at once. Where no pair is known none of this costs anything.
 *
 * A node that lost several others is itself the trouble and is drained; not so where these others have lost further ones
 * as well, or where it would be many nodes: a switch, rather. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "core/state.h"

#define NOT_SAID INT64_MIN
/* So many searches for one gang; 15 are enough for any three pairs. */
#define TRIES_MAX 64
/* One in so many nodes is drained for its links, if need be, or one. */
#define DRAINED_ONE_IN 10

/* ---- the pairs */

/* What nobody has judged yet counts: a job that is queued again does not wait for that. */
static int is_bad(const struct tug_core *c, const struct tug_link *l)
{
    return c->link_failures && l->hits.len + (l->said_ms != NOT_SAID) >= c->link_failures;
}

static int has(const struct tug_link *l, uint32_t node)
{
    return l->a == node || l->b == node;
}

static uint32_t other_of(const struct tug_link *l, uint32_t node)
{
    return l->a == node ? l->b : l->a;
}

static struct tug_link *find(const struct tug_core *c, uint32_t x, uint32_t y)
{
    for (size_t i = 0; i < c->links.at.len; i++)
        if (x != y && has(&c->links.at.at[i], x) && has(&c->links.at.at[i], y))
            return &c->links.at.at[i];
    return NULL;
}

static struct tug_link *get(struct tug_core *c, uint32_t x, uint32_t y)
{
    int in_order = strcmp(c->nodes.at[x].name, c->nodes.at[y].name) < 0;
    struct tug_link new = {.a = in_order ? x : y, .b = in_order ? y : x, .said_ms = NOT_SAID}, *l = find(c, x, y);
    if (l)
        return l;
    tug_vec_push(&c->links.at, new);
    return &c->links.at.at[c->links.at.len - 1];
}

static int64_t forgotten_ms(const struct tug_core *c, const struct tug_link *l)
{
    return l->hits.at[0].at_ms + (int64_t) c->link_period_s * 1000;
}

/* What is kept for a job that would be on both is given up: it is looked for anew. */
static void drop_holds(struct tug_core *c, const struct tug_link *l)
{
    const struct tug_node *n = &c->nodes.at[l->a];
    for (size_t i = n->holds.len; i-- > 0;) {
        struct tug_entry *e = n->holds.at[i];
        int both = 0;
        for (size_t k = 0; k < e->hold->n; k++)
            both |= e->hold->want[k].node == l->b;
        if (both && e->j.state != TUG_JOB_SUSPENDED)
            tug_hold_drop(c, e);
    }
}

static void settle(struct tug_core *c, struct tug_link *l)
{
    while (l->hits.len && (l->hits.len > TUG_LINK_HITS_MAX || forgotten_ms(c, l) <= c->now_ms))
        tug_vec_remove(&l->hits, 0);
    if (is_bad(c, l) == l->bad)
        return;
    l->bad = !l->bad;
    l->bad_from = c->links.placed;
    if (l->bad)
        drop_holds(c, l);
}

/* After any change: those of which nothing is known any more go. */
static void renew(struct tug_core *c)
{
    size_t bad = c->links.n_bad, kept = 0;
    c->links.n_bad = 0;
    c->links.next_ms = INT64_MAX;
    for (size_t i = 0; i < c->links.at.len; i++) {
        struct tug_link *l = &c->links.at.at[i];
        settle(c, l);
        if (!l->hits.len && l->said_ms == NOT_SAID) {
            tug_vec_clear(&l->hits);
            continue;
        }
        c->links.n_bad += l->bad;
        if (l->hits.len && forgotten_ms(c, l) < c->links.next_ms)
            c->links.next_ms = forgotten_ms(c, l);
        c->links.at.at[kept++] = *l;
    }
    c->links.at.len = kept;
    if (c->links.n_bad < bad) {
        c->freed++;
        c->wants_pass = 1;
    }
}

void tug_links_due(struct tug_core *c)
{
    renew(c);
}

void tug_links_clear(struct tug_core *c)
{
    for (size_t i = 0; i < c->links.at.len; i++)
        tug_vec_clear(&c->links.at.at[i].hits);
    tug_vec_clear(&c->links.at);
    tug_vec_clear(&c->links.open);
    tug_vec_clear(&c->links.nodes);
}

void tug_link_put(struct tug_core *c, uint32_t node, const struct tug_core_link_past *past)
{
    uint32_t peer = tug_core_node_find(c, past->peer);
    if (peer == TUG_NO_NODE || peer == node || !c->link_period_s)
        return;
    struct tug_link *l = get(c, node, peer);
    struct tug_core_link_hit hit = past->hit;
    if (l->hits.len && l->hits.at[l->hits.len - 1].at_ms > hit.at_ms)
        hit.at_ms = l->hits.at[l->hits.len - 1].at_ms;
    tug_vec_push(&l->hits, hit);
}

/* ---- what is said, and what comes of it */

/* Of that attempt: by the other end, or before a restart, over which only the time of hits is kept. */
static int is_known(const struct tug_link *l, const struct tug_job *j)
{
    const struct tug_core_link_hit *last = l->hits.len ? &l->hits.at[l->hits.len - 1] : NULL;
    return (l->job == j->id && l->attempt == j->attempt) || (last && last->job == j->id && last->at_ms > j->alloc_ms);
}

void tug_link_said(struct tug_core *c, const struct tug_entry *e, const struct tug_cause *cause)
{
    if (!c->nodes.at[cause->node].up || !c->nodes.at[cause->peer].up || !c->link_period_s)
        return; /* it was the node */
    struct tug_link *l = get(c, cause->node, cause->peer);
    if (is_known(l, &e->j))
        return;
    l->job = e->j.id;
    l->attempt = e->j.attempt;
    l->said_ms = c->now_ms;
    tug_act_node_log(c, cause->node, "nodes %s and %s lost each other in job %llu; as soon as both are heard of it was their link",
                     c->nodes.at[l->a].name, c->nodes.at[l->b].name, (unsigned long long) e->j.id);
    renew(c);
}

void tug_links_node_down(struct tug_core *c, uint32_t node)
{
    int some = 0;
    for (size_t i = 0; i < c->links.at.len; i++) {
        struct tug_link *l = &c->links.at.at[i];
        if (!has(l, node) || l->said_ms == NOT_SAID)
            continue;
        l->said_ms = NOT_SAID;
        some = 1;
    }
    if (some)
        renew(c);
}

/* ---- is it the node? */

static size_t peers_of(const struct tug_core *c, uint32_t node)
{
    size_t n = 0;
    for (size_t i = 0; i < c->links.at.len; i++)
        n += c->links.at.at[i].hits.len && has(&c->links.at.at[i], node);
    return n;
}

/* Then those that it lost have lost hardly anybody else. */
static int is_the_trouble(const struct tug_core *c, uint32_t node)
{
    size_t peers = 0, troubled = 0;
    for (size_t i = 0; i < c->links.at.len; i++) {
        const struct tug_link *l = &c->links.at.at[i];
        if (!l->hits.len || !has(l, node))
            continue;
        peers++;
        troubled += peers_of(c, other_of(l, node)) > 1;
    }
    return c->link_peers && peers >= c->link_peers && 2 * troubled < peers;
}

/* "n2 (2 times), n3 and 4 more" */
static void name_peers(const struct tug_core *c, uint32_t node, struct tug_buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < c->links.at.len; i++) {
        const struct tug_link *l = &c->links.at.at[i];
        if (!l->hits.len || !has(l, node))
            continue;
        if (n++ < 4)
            tug_buf_addf(out, "%s%.32s (%zux)", n > 1 ? ", " : "", c->nodes.at[other_of(l, node)].name, l->hits.len);
    }
    if (n > 4)
        tug_buf_addf(out, " and %zu more", n - 4);
}

static void drain_if_it_is_the_node(struct tug_core *c, uint32_t node)
{
    size_t drained = 0, most = c->nodes.len / DRAINED_ONE_IN;
    struct tug_buf peers = {0};
    char text[TUG_ACTION_TEXT], period[TUG_DURATION_TEXT_MAX];
    for (size_t i = 0; i < c->nodes.len; i++)
        drained += tug_node_drained_by(&c->nodes.at[i], TUG_DRAIN_LINKS) != NULL;
    if (tug_node_drained_by(&c->nodes.at[node], TUG_DRAIN_LINKS) || !is_the_trouble(c, node))
        return;
    name_peers(c, node, &peers);
    snprintf(text, sizeof text, "lost the link to %s within %s", tug_buf_str(&peers),
             tug_duration_format(c->link_period_s, period, sizeof period));
    if (drained < (most ? most : 1))
        tug_node_drain(c, node, TUG_DRAIN_LINKS, text);
    else
        tug_act_node_log(c, node, "node %s %s; it is not drained, as %zu are for that already: look at the switches",
                         c->nodes.at[node].name, text, drained);
    tug_buf_clear(&peers);
}

int tug_ev_link_broken(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct tug_link *l = find(c, ev->node, ev->peer);
    char text[TUG_ACTION_TEXT];
    if (!l || l->said_ms == NOT_SAID)
        return tug_fail(err, -ENOENT, "nobody said that nodes %u and %u lost each other", ev->node, ev->peer);
    struct tug_core_link_hit hit = {.at_ms = l->said_ms, .job = l->job};
    uint32_t a = l->a, b = l->b;
    if (l->hits.len && l->hits.at[l->hits.len - 1].at_ms > hit.at_ms)
        hit.at_ms = l->hits.at[l->hits.len - 1].at_ms;
    tug_vec_push(&l->hits, hit);
    l->said_ms = NOT_SAID;
    renew(c);
    l = find(c, a, b);
    if (!l)
        return 0; /* it was said longer ago than anything is remembered */
    snprintf(text, sizeof text, "lost its link to %.64s in job %llu%s", c->nodes.at[b].name, (unsigned long long) hit.job,
             l->bad && l->hits.len == c->link_failures ? "; they are not used together any more" : "");
    tug_act_node_history(c, a, "link", NULL, text);
    tug_act_node_log(c, a, "node %s %s", c->nodes.at[a].name, text);
    tug_act_node_changed(c, a);
    drain_if_it_is_the_node(c, a);
    drain_if_it_is_the_node(c, b);
    return 0;
}

/* ---- an admin knows of it */

static void forget(struct tug_core *c, struct tug_link *l, const struct tug_event *ev)
{
    char text[TUG_ACTION_TEXT];
    snprintf(text, sizeof text, "its link to %.64s is taken for mended; it had failed %zu time%s", c->nodes.at[l->b].name,
             l->hits.len, l->hits.len == 1 ? "" : "s");
    const struct tug_core_drain who = {.by = TUG_DRAIN_ADMIN, .reason = text, .uid = ev->uid, .user = ev->user ? ev->user : ""};
    tug_act_node_history(c, l->a, "link-clear", &who, NULL);
    tug_act_node_changed(c, l->a);
    while (l->hits.len)
        tug_vec_remove(&l->hits, 0);
    l->said_ms = NOT_SAID;
}

int tug_ev_link_clear(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    if (ev->node >= c->nodes.len || ev->peer >= c->nodes.len)
        return tug_fail(err, -EINVAL, "there is no such node");
    struct tug_link *l = find(c, ev->node, ev->peer);
    if (!l)
        return tug_fail(err, -ENOENT, "nothing is remembered of a link between %s and %s", c->nodes.at[ev->node].name,
                        c->nodes.at[ev->peer].name);
    forget(c, l, ev);
    renew(c);
    return 0;
}

void tug_links_resumed(struct tug_core *c, const struct tug_event *ev)
{
    for (size_t i = 0; i < c->links.at.len; i++)
        if (has(&c->links.at.at[i], ev->node))
            forget(c, &c->links.at.at[i], ev);
    renew(c);
}

/* ---- searches */

static const struct tug_link *pair_among(struct tug_core *c, const uint32_t *nodes, size_t n, int bad_only)
{
    c->marks++;
    for (size_t i = 0; i < n; i++)
        c->nodes.at[nodes[i]].mark = c->marks;
    for (size_t i = 0; i < c->links.at.len; i++) {
        const struct tug_link *l = &c->links.at.at[i];
        if ((l->bad || !bad_only) && c->nodes.at[l->a].mark == c->marks && c->nodes.at[l->b].mark == c->marks)
            return l;
    }
    return NULL;
}

static size_t pairs_of(const struct tug_core *c, uint32_t node, int bad_only)
{
    size_t n = 0;
    for (size_t i = 0; i < c->links.at.len; i++)
        n += (c->links.at.at[i].bad || !bad_only) && has(&c->links.at.at[i], node);
    return n;
}

int tug_links_forbid(struct tug_core *c, const uint32_t *nodes, size_t n, uint32_t pair[2])
{
    const struct tug_link *l = c->links.n_bad && n > 1 ? pair_among(c, nodes, n, 1) : NULL;
    if (!l)
        return 0;
    int second = pairs_of(c, l->b, 1) > pairs_of(c, l->a, 1);
    pair[0] = second ? l->b : l->a;
    pair[1] = second ? l->a : l->b;
    return 1;
}

int tug_links_forbid_slices(struct tug_core *c, const struct tug_policy_slice *at, size_t n, uint32_t pair[2])
{
    if (!c->links.n_bad || n < 2)
        return 0;
    c->links.nodes.len = 0;
    for (size_t i = 0; i < n; i++)
        tug_vec_push(&c->links.nodes, at[i].node);
    return tug_links_forbid(c, c->links.nodes.at, n, pair);
}

uint32_t tug_links_of(const struct tug_core *c, uint32_t node, int bad_only, uint32_t *out, uint32_t n)
{
    uint32_t found = 0;
    for (size_t i = 0; i < c->links.at.len; i++) {
        const struct tug_link *l = &c->links.at.at[i];
        if ((!l->bad && bad_only) || !has(l, node))
            continue;
        if (found < n)
            out[found] = other_of(l, node);
        found++;
    }
    return found;
}

struct quest {
    struct tug_core *c;
    struct tug_shape there; /* its nodes: 'open' of the core */
    tug_place_search *search;
    int bad_only;
    size_t tries;
};

static void set_bit(uint64_t *bits, uint32_t i, int on)
{
    bits[i / 64] = on ? bits[i / 64] | 1ULL << (i % 64) : bits[i / 64] & ~(1ULL << (i % 64));
}

static int look(struct quest *q);

/* What was picked will do, or is looked for without one of a pair. */
static int settle_on(struct quest *q)
{
    struct tug_core *c = q->c;
    const struct tug_link *l = pair_among(c, c->picked.at, c->picked.len, q->bad_only);
    if (!l)
        return 1;
    int second = pairs_of(c, l->b, q->bad_only) > pairs_of(c, l->a, q->bad_only), found = 0;
    const uint32_t out[2] = {second ? l->b : l->a, second ? l->a : l->b};
    for (size_t i = 0; i < 2 && !found; i++) {
        set_bit(c->links.open.at, out[i], 0);
        found = look(q);
        set_bit(c->links.open.at, out[i], 1);
    }
    return found;
}

static int look(struct quest *q)
{
    if (!q->tries)
        return 0;
    q->tries--;
    return q->search(q->c, &q->there) && settle_on(q);
}

/* Without one node of each pair, those with the most first. */
static int look_without_all(struct quest *q)
{
    struct tug_core *c = q->c;
    uint64_t *open = c->links.open.at;
    for (size_t i = 0; i < c->links.at.len; i++) {
        const struct tug_link *l = &c->links.at.at[i];
        if ((l->bad || !q->bad_only) && tug_bit(open, l->a) && tug_bit(open, l->b))
            set_bit(open, pairs_of(c, l->b, q->bad_only) > pairs_of(c, l->a, q->bad_only) ? l->b : l->a, 0);
    }
    return q->search(c, &q->there);
}

/* From what was picked for the shape on. */
static int look_apart(struct tug_core *c, const struct tug_shape *s, tug_place_search *search, int bad_only)
{
    struct tug_where open = *s->key.where;
    struct quest q = {.c = c, .there = *s, .search = search, .bad_only = bad_only, .tries = TRIES_MAX};
    tug_vec_reserve(&c->links.open, c->index.words + 1);
    memcpy(c->links.open.at, s->key.where->nodes, c->index.words * sizeof *open.nodes);
    open.nodes = c->links.open.at;
    q.there.key.where = &open;
    q.there.family = NULL;
    return settle_on(&q) || (!q.tries && look_without_all(&q));
}

/* One that waits for quality is content with a pair that is only suspected: elsewhere it might be worse. */
int tug_links_search(struct tug_core *c, const struct tug_shape *s, tug_place_search *search)
{
    if (!search(c, s))
        return 0;
    if (!c->links.at.len || s->key.nodes < 2 || !pair_among(c, c->picked.at, c->picked.len, 0))
        return 1;
    if (!s->key.within.quality_milli && look_apart(c, s, search, 0))
        return 1;
    return search(c, s) && look_apart(c, s, search, 1);
}

/* ---- reading */

size_t tug_core_links(const struct tug_core *c)
{
    return c->links.at.len;
}

void tug_core_link(const struct tug_core *c, size_t i, struct tug_core_link *out)
{
    const struct tug_link *l = &c->links.at.at[i];
    *out = (struct tug_core_link){.a = l->a,
                                  .b = l->b,
                                  .bad = l->bad,
                                  .said_ms = l->said_ms == NOT_SAID ? -1 : l->said_ms,
                                  .hits = l->hits.at,
                                  .n_hits = l->hits.len,
                                  .until_ms = -1};
    if (c->link_failures && l->hits.len >= c->link_failures)
        out->until_ms = l->hits.at[l->hits.len - c->link_failures].at_ms + (int64_t) c->link_period_s * 1000;
}

int tug_links_between(const struct tug_core *c, const uint64_t *nodes, uint32_t pair[2], size_t *times, int64_t *since_ms)
{
    for (size_t i = 0; i < c->links.at.len; i++) {
        const struct tug_link *l = &c->links.at.at[i];
        if (!l->bad || !tug_bit(nodes, l->a) || !tug_bit(nodes, l->b))
            continue;
        pair[0] = l->a;
        pair[1] = l->b;
        *times = l->hits.len + (l->said_ms != NOT_SAID);
        *since_ms = l->hits.len ? l->hits.at[0].at_ms : l->said_ms;
        return 1;
    }
    return 0;
}

/* ---- is it so? */

int tug_links_check(const struct tug_core *c, struct tug_err *err)
{
    size_t bad = 0;
    for (size_t i = 0; i < c->links.at.len; i++) {
        const struct tug_link *l = &c->links.at.at[i];
        const struct tug_node *a = &c->nodes.at[l->a], *b = &c->nodes.at[l->b];
        bad += l->bad;
        if (l->a == l->b || strcmp(a->name, b->name) >= 0 || find(c, l->a, l->b) != l || l->bad != is_bad(c, l) ||
            l->hits.len > TUG_LINK_HITS_MAX || (!l->hits.len && l->said_ms == NOT_SAID) ||
            (l->hits.len && c->links.next_ms > forgotten_ms(c, l)))
            return tug_fail(err, -EINVAL, "nodes %s and %s: what is remembered of their link cannot be", a->name, b->name);
        for (size_t k = 0; l->bad && k < a->gangs.len; k++)
            if (a->gangs.at[k]->placed_nth > l->bad_from && tug_job_slice_on(&a->gangs.at[k]->j, l->b))
                return tug_fail(err, -EINVAL, "job %llu was started on nodes %s and %s, which are not used together",
                                (unsigned long long) a->gangs.at[k]->j.id, a->name, b->name);
    }
    return bad != c->links.n_bad ? tug_fail(err, -EINVAL, "links that failed are counted wrongly") : 0;
}
