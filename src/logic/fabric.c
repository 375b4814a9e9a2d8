/* fabric.c - the fabric between nodes as users see it
 *
 * The core has the tree; what is free in it is summed up here, from the nodes up. Layer: logic.
 */
#include <string.h>

#include "base/gpuset.h"
#include "base/hostlist.h"
#include "logic/control_int.h"

char *tug_ctl_nodes_text(struct tug_arena *a, const struct tug_hostlist *hl)
{
    struct tug_buf text = {0};

    tug_hostlist_format(hl, &text);
    char *out = tug_ctl_alloc(a, text.len + 1);
    memcpy(out, tug_buf_str(&text), text.len);
    tug_buf_clear(&text);
    return out;
}

static void add_node(struct tug_control *c, Tugpb__DomainView **of, uint32_t domain,
                     const struct tug_core_node *k)
{
    struct tug_core_domain_view d;
    int usable = k->up && !k->drained;
    uint32_t used = (uint32_t) tug_gpuset_count(k->gpus_used);

    for (uint32_t up = domain; up != UINT32_MAX; up = d.parent) {
        Tugpb__DomainView *v = of[up];

        v->n_nodes++;
        v->n_usable += (uint32_t) usable;
        v->gpus += k->gpus;
        v->gpus_free += usable && k->gpus > used ? k->gpus - used : 0;
        tug_core_domain(c->core, up, &d);
    }
}

/* by_order[i]: the domain at place i of the tree. */
static void add_domains(struct tug_control *c, struct tug_arena *a, Tugpb__DomainView **of,
                        Tugpb__FabricReply *r)
{
    size_t n = tug_core_domains(c->core);
    uint32_t *by_order = tug_ctl_alloc(a, n * sizeof *by_order);
    struct tug_core_domain_view d;
    struct tug_core_room room;

    for (uint32_t i = 0; i < n; i++) {
        tug_core_domain(c->core, i, &d);
        by_order[d.order] = i;
    }
    for (size_t place = 0; place < n; place++) {
        Tugpb__DomainView *v = of[by_order[place]] = tug_ctl_alloc(a, sizeof *v);

        tug_core_domain(c->core, by_order[place], &d);
        tugpb__domain_view__init(v);
        v->name = (char *) d.name;
        v->level = (char *) d.level;
        v->parent = (char *) (d.parent == UINT32_MAX ? "" : of[d.parent]->name);
        v->depth = d.parent == UINT32_MAX ? 0 : of[d.parent]->depth + 1;
        v->bandwidth_bytes_s = d.bandwidth_bytes_s;
        v->oversubscription = d.oversubscription;
        tug_core_domain_room(c->core, by_order[place], &room);
        v->largest_nodes = room.nodes;
        v->largest_gpus = room.gpus_per_node;
        v->shut = room.shut;
        r->domains[r->n_domains++] = v;
    }
}

struct drift {
    struct tug_arena *a;
    Tugpb__FabricReply *r;
};

static void add_drift(void *arg, uint32_t node, const char *text)
{
    struct drift *d = arg;
    char *copy = tug_ctl_alloc(d->a, strlen(text) + 1);

    (void) node;
    memcpy(copy, text, strlen(text));
    d->r->drift[d->r->n_drift++] = copy;
}

void h_fabric(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    Tugpb__FabricReply r = TUGPB__FABRIC_REPLY__INIT;
    struct tug_arena a = {.budget_bytes = 256 << 20};
    size_t n = tug_core_domains(c->core);
    Tugpb__DomainView **of = tug_ctl_alloc(&a, (n + 1) * sizeof *of);
    struct tug_hostlist **own = tug_ctl_alloc(&a, (n + 1) * sizeof *own);

    (void) msg;
    r.domains = tug_ctl_alloc(&a, (n + 1) * sizeof *r.domains);
    for (size_t i = 0; i <= n; i++)
        own[i] = tug_hostlist_new();
    add_domains(c, &a, of, &r);
    for (uint32_t i = 0; i < c->n_nodes; i++) { /* in natural order, as configured */
        struct tug_core_node k;

        tug_core_node(c->core, i, &k);
        tug_hostlist_add(own[k.domain < n ? k.domain : n], k.name, NULL);
        if (k.domain < n)
            add_node(c, of, k.domain, &k);
    }
    for (size_t i = 0; i < n; i++)
        of[i]->nodes = tug_ctl_nodes_text(&a, own[i]);
    r.unwired = tug_ctl_nodes_text(&a, own[n]);
    r.drift = tug_ctl_alloc(&a, (c->n_nodes + 1) * sizeof *r.drift);
    tug_ctl_drift(c, add_drift, &(struct drift){&a, &r});
    tug_outbox_send(c->out, p->id, TUG_MSG_FABRIC_REPLY, rid, &r.base);
    for (size_t i = 0; i <= n; i++)
        tug_hostlist_free(own[i]);
    tug_arena_clear(&a);
}

/* ---- of a job */

/* The lowest domain that has both, UINT32_MAX when none does. */
static uint32_t common(struct tug_control *c, uint32_t x, uint32_t y)
{
    struct tug_core_domain_view d;

    for (uint32_t i = x; i != UINT32_MAX; i = d.parent) {
        for (uint32_t k = y; k != UINT32_MAX; k = d.parent) {
            if (i == k)
                return i;
            tug_core_domain(c->core, k, &d);
        }
        tug_core_domain(c->core, i, &d);
    }
    return UINT32_MAX;
}

void tug_ctl_view_domains(struct tug_control *c, struct tug_arena *a, const struct tug_job *job,
                          Tugpb__JobView *out)
{
    size_t n = tug_core_domains(c->core);
    uint32_t within = 0;

    if (n == 0 || job->n_slices == 0)
        return;
    Tugpb__JobDomain **of = tug_ctl_alloc(a, (n + 1) * sizeof *of);
    out->domains = tug_ctl_alloc(a, job->n_slices * sizeof *out->domains);
    for (size_t i = 0; i < job->n_slices; i++) {
        struct tug_core_domain_view d = {.name = "", .level = ""};
        struct tug_core_node k;

        tug_core_node(c->core, job->slices[i].node, &k);
        uint32_t row = k.domain < n ? k.domain : (uint32_t) n;
        if (!of[row]) {
            of[row] = tug_ctl_alloc(a, sizeof **of);
            tugpb__job_domain__init(of[row]);
            if (row < n)
                tug_core_domain(c->core, row, &d);
            of[row]->name = (char *) d.name;
            of[row]->level = (char *) d.level;
            out->domains[out->n_domains++] = of[row];
        }
        of[row]->nodes++;
        within = row == n               ? UINT32_MAX
                 : i == 0               ? row
                 : within == UINT32_MAX ? UINT32_MAX
                                        : common(c, within, row);
    }
    if (within != UINT32_MAX) {
        struct tug_core_domain_view d;

        tug_core_domain(c->core, within, &d);
        out->within = (char *) d.name;
    }
}
