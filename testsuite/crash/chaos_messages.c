/* chaos_messages.c - whole messages that come late, twice, in another order, or with the end of the connection not at all
 *
 * Towards the nodes it is the controller and towards the controller the node, with their keys: no session allows what happens
 * here, and nothing behind it may depend on that. What a node says of where its gang's star listens is replaced by a relay.
 * Layer: tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "chaos.h"
#include "host/net.h"
#include "proto/node.pb-c.h"

#define OVERTAKEN_US 300000
#define TWICE_US     4000000 /* also when it is all over */

struct relay {
    const char *to;
    const char *nodes, *state; /* where the keys are; NULL: it is one for commands */
    struct tug_net_opts o;
    struct tug_keypair controller;
    struct tug_listener *listener;
};

enum side { NEAR, FAR }; /* who dialled us, and whom we dialled */
struct flow {
    struct relay *r;
    struct tug_conn *conn[2];
    struct chaos_line *to[2]; /* what is on its way to that side */
    struct tug_keypair key;   /* of the node */
    char name[64];
};

static void flow_free(struct flow *f, bool flush)
{
    for (enum side s = NEAR; s <= FAR; s++) {
        (flush ? tug_conn_close : tug_conn_drop)(f->conn[s]);
        chaos_line_free(f->to[s]);
    }
    free(f);
}

static void arrived(void *arg, struct chaos_line *l, struct chaos_piece *p)
{
    struct flow *f = arg;
    enum side to = l == f->to[FAR] ? FAR : NEAR;
    if (f->conn[to])
        tug_conn_send_raw(f->conn[to], p->number, p->rid, p->body, p->len); /* one that broke is closed */
    if (!f->conn[!to] && chaos_line_is_empty(l))
        flow_free(f, true);
}

static void put(struct flow *f, enum side to, const struct tug_frame *m, int64_t after_us, bool ordered)
{
    struct chaos_piece *p = chaos_line_put(f->to[to], m->body, m->len, after_us, ordered);
    p->number = m->number;
    p->rid = m->rid;
}

/* The head's star, by way of us. The new body is the caller's to free. */
static uint8_t *by_way_of_us(struct tug_frame *m)
{
    struct tug_arena a = {0};
    ProtobufCMessage *pm;
    uint8_t *body = NULL;
    if (tug_msg_decode(&a, m->number, m->body, m->len, &pm, NULL) == 0 && *((Tugpb__StepReady *) pm)->star_addr) {
        Tugpb__StepReady *ready = (Tugpb__StepReady *) pm;
        ready->star_addr = (char *) chaos_bytes_star(ready->star_addr);
        m->len = protobuf_c_message_get_packed_size(pm);
        body = tug_xmalloc(m->len);
        protobuf_c_message_pack(pm, body);
        m->body = body;
    }
    tug_arena_clear(&a);
    return body;
}

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *frame)
{
    struct flow *f = tug_conn_data(c);
    struct tug_frame m = *frame;
    uint8_t *mine = NULL;
    (void) arg;
    if (!f)
        return;
    enum side to = c == f->conn[NEAR] ? FAR : NEAR;
    if (!f->conn[to])
        return;
    chaos_passed(KIND_MESSAGES);
    if (chaos_strikes(KIND_MESSAGES, FAULT_CUT)) {
        flow_free(f, false);
        return;
    }
    if (m.number == TUG_MSG_STEP_READY)
        mine = by_way_of_us(&m);
    bool swapped = chaos_strikes(KIND_MESSAGES, FAULT_SWAPPED);
    put(f, to, &m, chaos_delay_us() + (swapped ? chaos_below(OVERTAKEN_US) : 0), !swapped);
    if (chaos_strikes(KIND_MESSAGES, FAULT_TWICE))
        put(f, to, &m, chaos_below(TWICE_US), false);
    if (chaos_strikes(KIND_MESSAGES, FAULT_HOLE))
        chaos_line_stall(f->to[to], 200000 + chaos_below(2800000));
    free(mine);
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    struct flow *f = tug_conn_data(c);
    (void) arg;
    (void) why;
    if (!f)
        return;
    enum side gone = c == f->conn[NEAR] ? NEAR : FAR;
    f->conn[gone] = NULL;
    if (!f->conn[!gone] || chaos_line_is_empty(f->to[!gone])) /* else what it has said still arrives */
        flow_free(f, true);
}

/* The key of the node, as the node itself has it. */
static int load_key(struct flow *f)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/state/node.key", f->r->nodes, f->name);
    return tug_keypair_load(path, &f->key, 0, NULL);
}

static void on_open(void *arg, struct tug_conn *c)
{
    struct relay *r = arg;
    struct tug_net_opts o = r->o;
    if (tug_conn_data(c))
        return; /* the far side: what came meanwhile waits for it */
    struct flow *f = tug_new(struct flow);
    f->r = r;
    f->conn[NEAR] = c;
    snprintf(f->name, sizeof f->name, "%s", tug_conn_peer(c)->name);
    for (enum side s = NEAR; s <= FAR; s++)
        f->to[s] = chaos_line_new(arrived, f);
    o.own = &f->key;
    o.own_name = f->name;
    o.peer_pub = r->controller.pub;
    if ((r->nodes && load_key(f)) || tug_net_dial(&f->conn[FAR], chaos_loop(), chaos_endpoint(r->to), &o, NULL)) {
        f->conn[FAR] = NULL;
        flow_free(f, false);
        return;
    }
    tug_conn_set_data(c, f);
    tug_conn_set_data(f->conn[FAR], f);
}

static const struct tug_net_ops ops = {on_open, on_frame, on_close};

static int node_key(void *arg, const char *name, uint8_t pub[32])
{
    const struct relay *r = arg;
    char path[4096];
    snprintf(path, sizeof path, "%s/keys/nodes/%s.pub", r->state, name);
    return tug_pubkey_load(path, pub, NULL);
}

static void listen_for(enum tug_auth auth, struct relay *r, const char *from)
{
    struct tug_err err = {0};
    r->o = (struct tug_net_opts){.auth = auth, .channel = auth == TUG_AUTH_NODE ? TUG_CH_NODE : TUG_CH_CLIENT, .ops = &ops,
                                 .arg = r, .own = &r->controller, .node_key = node_key};
    if (tug_net_listen(&r->listener, chaos_loop(), from, 0600, &r->o, &err))
        chaos_fail(from, err.msg);
}

void chaos_messages_client(const char *from, const char *to)
{
    struct relay *r = tug_new(struct relay);
    r->to = to;
    listen_for(TUG_AUTH_UNIX, r, from);
}

void chaos_messages_node(const char *from, const char *to, const char *nodes, const char *state)
{
    struct relay *r = tug_new(struct relay);
    struct tug_err err = {0};
    char path[4096];
    r->to = to;
    r->nodes = nodes;
    r->state = state;
    snprintf(path, sizeof path, "%s/keys/controller", state);
    if (tug_keypair_load(path, &r->controller, 1, &err)) /* made here if the controller has not started yet */
        chaos_fail(path, err.msg);
    listen_for(TUG_AUTH_NODE, r, from);
}
