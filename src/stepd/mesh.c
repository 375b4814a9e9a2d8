/* mesh.c - which nodes of a gang do not reach each other. Layer: stepd. */
#include "stepd/mesh.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/vec.h"
#include "host/loop.h"
#include "host/reach.h"
#include "stepd/pairs.h"

#define SILENT_MS 10000u /* four tries of the kernel: at 0, 1, 3 and 7 s */
#define LATE_MS   13000u /* who has not told by then is itself not there */

struct pair {
    unsigned a, b;
};

struct look { /* at one peer */
    struct tug_mesh *m;
    unsigned peer;
    struct tug_reach *reach;
};

struct tug_mesh {
    const struct tug_payload *p;
    struct event_base *base;
    struct tug_star *star;
    struct tug_reached *reached;
    tug_mesh_cb *cb;
    void *arg;
    struct look looks[TUG_PAIRS_MAX];
    size_t n_looks, n_open;
    uint32_t lost[TUG_PAIRS_MAX];
    size_t n_lost;
    /* head */
    uint64_t late_ms; /* 0: nobody was asked */
    bool *told;       /* by node */
    struct tug_vec(struct pair) pairs; /* which one end has told of */
};

int tug_mesh_new(struct tug_mesh **out, struct event_base *base, const struct tug_payload *p, struct tug_star *star, tug_mesh_cb *cb,
                 void *arg, struct tug_err *err)
{
    struct tug_mesh *m = tug_new(struct tug_mesh);
    int rc = tug_reached_new(&m->reached, base, p->address, err);

    if (rc < 0) {
        free(m);
        return rc;
    }
    m->p = p;
    m->base = base;
    m->star = star;
    m->cb = cb;
    m->arg = arg;
    m->told = tug_xcalloc(p->n_stepds, sizeof *m->told);
    tug_star_reached_at(star, tug_reached_port(m->reached));
    *out = m;
    return 0;
}

/* ---- looking ---- */

static void tell(struct tug_mesh *m)
{
    Tugpb__StarMeshSeen seen = TUGPB__STAR_MESH_SEEN__INIT;

    seen.lost = m->lost;
    seen.n_lost = m->n_lost;
    tug_star_send(m->star, 0, TUG_MSG_STAR_MESH_SEEN, &seen.base);
}

static void on_reach(void *arg, enum tug_reach_word word)
{
    struct look *look = arg;
    struct tug_mesh *m = look->m;

    tug_reach_free(look->reach);
    look->reach = NULL;
    if (word == TUG_REACH_SILENT)
        m->lost[m->n_lost++] = look->peer;
    if (--m->n_open == 0)
        tell(m);
}

void tug_mesh_look(struct tug_mesh *m, const Tugpb__StarMesh *order)
{
    unsigned peers[TUG_PAIRS_MAX];
    size_t n = tug_pairs_of(m->p->n_stepds, m->p->me, peers);

    if (m->n_open)
        return;
    m->n_looks = m->n_lost = 0;
    for (size_t i = 0; i < n; i++)
        if (peers[i] < order->n_ports && order->ports[peers[i]])
            m->looks[m->n_looks++] = (struct look){.m = m, .peer = peers[i]};
    m->n_open = m->n_looks;
    for (size_t i = 0; i < m->n_looks; i++) {
        struct look *look = &m->looks[i];
        look->reach = tug_reach_new(m->base, m->p->pb->addresses[look->peer], order->ports[look->peer], SILENT_MS, on_reach, look);
    }
    if (!m->n_looks)
        tell(m);
}

/* ---- the head ---- */

void tug_mesh_ask(struct tug_mesh *m)
{
    Tugpb__StarMesh order = TUGPB__STAR_MESH__INIT;
    unsigned n = m->p->n_stepds;

    if (!tug_mesh_settled(m))
        return;
    order.ports = tug_xcalloc(n, sizeof *order.ports);
    order.n_ports = n;
    m->late_ms = tug_now_ms() + LATE_MS;
    m->pairs.len = 0;
    for (unsigned i = 1; i < n; i++)
        order.ports[i] = tug_star_port(m->star, i);
    for (unsigned i = 1; i < n; i++) {
        m->told[i] = !order.ports[i]; /* it has not joined, or does not know of this */
        if (order.ports[i])
            tug_star_send(m->star, i, TUG_MSG_STAR_MESH, &order.base);
    }
    free(order.ports);
}

bool tug_mesh_settled(const struct tug_mesh *m)
{
    if (!m || tug_now_ms() >= m->late_ms)
        return true;
    for (unsigned i = 1; i < m->p->n_stepds; i++)
        if (!m->told[i] && !tug_star_lost(m->star, i))
            return false;
    return true;
}

void tug_mesh_hears(struct tug_mesh *m, unsigned from, const Tugpb__StarMeshSeen *seen)
{
    if (!m->late_ms || from == 0 || m->told[from])
        return;
    m->told[from] = true;
    for (size_t i = 0; i < seen->n_lost; i++)
        if (seen->lost[i] < m->p->n_stepds && seen->lost[i] != from)
            tug_vec_push(&m->pairs, ((struct pair){.a = from, .b = seen->lost[i]}));
    for (size_t i = 0; i < m->pairs.len; i++) {
        const struct pair p = m->pairs.at[i];
        if (m->told[p.a] && m->told[p.b] && (p.a == from || p.b == from))
            m->cb(m->arg, p.a, p.b);
    }
}
