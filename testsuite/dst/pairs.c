/* pairs.c - two nodes that lose each other and nobody else: what their step daemons see, and who is given both afterwards
 *
 * A world has it or has it not, by a stream of its own. A pair is cut for a while; a gang whose head is on one of them and
 * that has a part on the other notices at both ends 15 to 17 s later, if it is still cut then. What is durable of links
 * is kept here, for as long as one controller lives: no commit after that may give a gang both. Layer: tests.
 */
#include "dst.h"

#include <string.h>

#define SURE_MS 1700000 /* a bit less than link_period: clocks drift */

enum { CUT, LOST };

void dst_pairs_start(struct dst *w)
{
    w->of_pairs = tug_rand_seed(w->opts.seed * 69621u + 7);
    w->conf.pairs = dst_chance(&w->of_pairs, 0.3);
    if (w->conf.pairs)
        dst_later(w, dst_about(&w->of_pairs, 60000), DST_PAIR, 0)->arg = CUT;
}

static bool is_cut(const struct dst *w, unsigned a, unsigned b)
{
    return w->pairs[a < b ? a : b][a < b ? b : a].cut_until_ms > w->now_ms;
}

static void will_lose(struct dst *w, const struct dst_part *p, unsigned peer)
{
    struct dst_event *e = dst_later(w, dst_between(&w->of_pairs, 15000, 17000), DST_PAIR, p->node);
    e->id = p->id;
    e->arg = LOST | (uint64_t) peer << 8;
}

/* Of a gang one is the head, to which the others have connections. */
static void look_at(struct dst *w, const struct dst_part *p, const struct dst_part *o)
{
    if (p == o || p->job != o->job || p->attempt != o->attempt || p->step != o->step || p->head == o->head ||
        p->phase != DST_RUNNING || o->phase != DST_RUNNING || !is_cut(w, p->node, o->node))
        return;
    will_lose(w, p, o->node);
    will_lose(w, o, p->node);
}

void dst_pairs_started(struct dst *w, const struct dst_part *p)
{
    for (size_t i = 0; w->conf.pairs && i < w->parts.len; i++)
        look_at(w, p, w->parts.at[i]);
}

static void cut(struct dst *w)
{
    unsigned a = (unsigned) tug_rand_below(&w->of_pairs, w->conf.nodes),
             b = (a + 1 + (unsigned) tug_rand_below(&w->of_pairs, w->conf.nodes - 1)) % w->conf.nodes;
    int64_t for_ms = dst_about(&w->of_pairs, 120000);

    w->pairs[a < b ? a : b][a < b ? b : a].cut_until_ms = w->now_ms + for_ms;
    w->n.pair_cuts++;
    dst_log(w, "n%u and n%u lose each other for %lld s", a, b, (long long) for_ms / 1000);
    for (size_t i = 0; i < w->parts.len; i++)
        for (size_t k = 0; k < i; k++)
            look_at(w, w->parts.at[i], w->parts.at[k]);
}

void dst_pairs_event(struct dst *w, const struct dst_event *e)
{
    struct dst_part *p = dst_part(w, e->id);
    unsigned peer = (unsigned) (e->arg >> 8);

    if ((e->arg & 0xff) == LOST) {
        if (p && is_cut(w, p->node, peer))
            dst_part_loses(w, p, peer);
    } else if (!w->calm) {
        cut(w);
        dst_later(w, dst_about(&w->of_pairs, 150000), DST_PAIR, 0)->arg = CUT;
    }
}

/* ---- what is durable */

static unsigned node_called(const struct dst *w, const char *name)
{
    unsigned i = 0;

    while (i < w->conf.nodes && strcmp(w->nodes[i].name, name) != 0)
        i++;
    return i;
}

/* How much longer the pair certainly counts as bad: by the last but one of its hits. */
static int64_t bad_for(const Tugpb__NodeRecord *r, const char *peer, int64_t now_ms)
{
    int64_t last_ms = INT64_MIN, before_ms = INT64_MIN;

    for (size_t i = 0; i < r->n_links; i++)
        if (!strcmp(r->links[i]->peer, peer)) {
            before_ms = last_ms;
            last_ms = r->links[i]->at_ms;
        }
    return before_ms == INT64_MIN ? 0 : before_ms + SURE_MS - now_ms;
}

void dst_pairs_record(struct dst *w, const Tugpb__NodeRecord *r)
{
    unsigned a = node_called(w, r->name);
    int64_t now_ms = dst_clock_at(&w->ctls[w->leader].clock, w->now_ms);

    for (unsigned b = a + 1; b < w->conf.nodes; b++) {
        struct dst_pair *p = &w->pairs[a][b];
        int64_t for_ms = bad_for(r, w->nodes[b].name, now_ms);
        w->n.pairs_bad += for_ms > 0 && p->bad_until_ms <= w->now_ms;
        p->bad_until_ms = w->now_ms + for_ms;
    }
}

void dst_pairs_forget(struct dst *w)
{
    for (unsigned a = 0; a < w->conf.nodes; a++)
        for (unsigned b = 0; b < w->conf.nodes; b++)
            w->pairs[a][b].bad_until_ms = 0;
}

void dst_pairs_placed(struct dst *w, const Tugpb__JobRecord *r)
{
    for (size_t i = 0; i < r->n_slices; i++)
        for (size_t k = 0; k < r->n_slices; k++) {
            unsigned a = node_called(w, r->slices[i]->node), b = node_called(w, r->slices[k]->node);
            if (a < b && b < w->conf.nodes && w->pairs[a][b].bad_until_ms > w->now_ms)
                dst_fail(w, "job %llu.%u is given n%u and n%u, whose link failed twice", (unsigned long long) r->id, r->attempt, a, b);
        }
}
