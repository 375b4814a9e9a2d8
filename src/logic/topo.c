/* topo.c - what is inside nodes as users see it
 *
 * Nodes that say the same of themselves, but for what is each one's own, are one row: a cluster has many nodes and few kinds.
 * Layer: logic.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"
#include "base/vec.h"
#include "logic/control_int.h"
#include "proto/msg.h"

struct kind {
    struct tug_buf key;         /* its inventory without what is a node's own, packed */
    Tugpb__Inventory *first;    /* of its first node, whole */
    struct tug_hostlist *nodes;
};
struct kinds tug_vec(struct kind);

/* UUIDs, addresses of the NVLink network, and the odd page of memory that the firmware keeps; MIG slices stay, without names and numbers. */
static void drop_own(struct tug_arena *a, Tugpb__Inventory *inv)
{
    Tugpb__MigSlice **mig = tug_ctl_alloc(a, (inv->n_mig + 1) * sizeof *mig);

    for (size_t i = 0; i < inv->n_mig; i++) {
        mig[i] = tug_ctl_alloc(a, sizeof **mig);
        *mig[i] = *inv->mig[i];
        mig[i]->uuid = "";
        mig[i]->device = 0;
    }
    inv->mig = mig;
    inv->n_gpu_uuids = 0;
    inv->nvlink_domain = "";
    inv->mem_bytes = inv->mem_bytes >> 30 << 30;
}

static struct kind *kind_of(struct kinds *all, struct tug_arena *a, Tugpb__Inventory *inv)
{
    Tugpb__Inventory bare = *inv;
    struct kind new = {.first = inv};
    size_t i = 0;

    drop_own(a, &bare);
    tug_msg_pack(&new.key, &bare.base);
    while (i < all->len && (all->at[i].key.len != new.key.len || memcmp(all->at[i].key.data, new.key.data, new.key.len)))
        i++;
    if (i < all->len) {
        tug_buf_clear(&new.key);
    } else {
        new.nodes = tug_hostlist_new();
        tug_vec_push(all, new);
    }
    return &all->at[i];
}

static void add_rows(struct tug_arena *a, struct kinds *all, Tugpb__TopoReply *r)
{
    r->kinds = tug_ctl_alloc(a, (all->len + 1) * sizeof *r->kinds);
    for (size_t i = 0; i < all->len; i++) {
        Tugpb__TopoView *v = tug_ctl_alloc(a, sizeof *v);

        tugpb__topo_view__init(v);
        v->n_nodes = (uint32_t) tug_hostlist_count(all->at[i].nodes);
        v->nodes = tug_ctl_nodes_text(a, all->at[i].nodes);
        v->inventory = all->at[i].first;
        if (v->n_nodes > 1)
            drop_own(a, v->inventory);
        r->kinds[r->n_kinds++] = v;
        tug_hostlist_free(all->at[i].nodes);
        tug_buf_clear(&all->at[i].key);
    }
    tug_vec_clear(all);
}

void h_topo(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__TopoRequest *m = (const Tugpb__TopoRequest *) msg;
    Tugpb__TopoReply r = TUGPB__TOPO_REPLY__INIT;
    struct tug_arena a = {.budget_bytes = 256 << 20};
    struct tug_hostlist *only = NULL, *silent = tug_hostlist_new();
    struct kinds all = {0};
    struct tug_err err = {0};

    if (m->nodes[0] && tug_ctl_find_nodes(c, m->nodes, &only, &err) != 0) {
        tug_ctl_reply_error(c, p, rid, err.code, err.msg);
        goto out;
    }
    for (uint32_t i = 0; i < c->n_nodes; i++) {
        const struct ctl_node *n = &c->nodes[i];
        ProtobufCMessage *inv = NULL;
        struct tug_core_node k;

        tug_core_node(c->core, i, &k);
        if (only && !tug_hostlist_contains(only, k.name))
            continue;
        if (!n->inventory_len ||
            tug_proto_decode(&a, &tugpb__inventory__descriptor, n->inventory, n->inventory_len, &inv, NULL))
            tug_hostlist_add(silent, k.name, NULL);
        else
            tug_hostlist_add(kind_of(&all, &a, (Tugpb__Inventory *) inv)->nodes, k.name, NULL);
    }
    add_rows(&a, &all, &r);
    r.silent = tug_ctl_nodes_text(&a, silent);
    tug_outbox_send(c->out, p->id, TUG_MSG_TOPO_REPLY, rid, &r.base);
out:
    tug_hostlist_free(only);
    tug_hostlist_free(silent);
    tug_arena_clear(&a);
}
