/* star.c - the connections between a gang's step daemons: everybody dials the head
 *
 * A connection counts from its StarHello, which must name this very attempt. A node that is lost
 * stays lost: its ranks die with its step daemon, so there is nothing to come back for. Layer:
 * stepd.
 */
#include "stepd/star.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/loop.h"
#include "host/net.h"
#include "stepd/outbox.h"
#include "stepd/skew.h"

#define OUT_MAX_BYTES   ((size_t) 640 << 20) /* two of the largest frames */
#define REDIAL_FIRST_MS 2
#define REDIAL_LAST_MS  500
#define SILENT_MS       15000
#define STRANGERS_MAX   128 /* anybody may connect; the ranks need descriptors, too */
#define ASK_FIRST_MS    2u /* the head for its clock: it is busy while all join, and later clocks drift */
#define ASK_LAST_MS     60000u

struct peer {
    struct tug_outbox out;
    bool joined, lost;
    struct tug_skew skew; /* of our clock, from its */
    unsigned port;        /* tug_star_port() */
};

struct tug_star {
    const struct tug_payload *p;
    struct event_base *base;
    const struct tug_star_ops *ops;
    void *arg;
    struct tug_net_opts opts;
    struct tug_listener *listener;
    struct peer *peers; /* per node; on others than the head only [0] is used */
    unsigned n_joined;
    bool finished;
    /* dialling */
    struct tug_conn *dialled;
    struct tug_timer *redial;
    char *endpoint;
    uint64_t give_up_ms;
    unsigned wait_ms;
    struct tug_timer *ask;
    unsigned ask_ms;
    unsigned reached_port;
    struct tug_skew skew; /* of the head's clock, from ours */
    uint64_t dialled_ms, silent_from_ms; /* the head's machine has not answered since; 0 = it has, or nobody has asked */
};

static bool is_head(const struct tug_star *s)
{
    return s->p->me == 0;
}

/* ---- what comes in ---- */

static void joined(struct tug_star *s, unsigned node, struct tug_conn *c)
{
    struct peer *peer = &s->peers[node];

    peer->joined = true;
    s->n_joined++;
    tug_conn_set_data(c, peer);
    tug_outbox_open(&peer->out, c);
    s->ops->on_joined(s->arg, node);
}

static void lost(struct tug_star *s, unsigned node, const char *why, bool unreachable)
{
    struct peer *peer = &s->peers[node];

    tug_outbox_clear(&peer->out);
    if (peer->lost)
        return;
    peer->lost = true;
    if (!s->finished)
        s->ops->on_lost(s->arg, node, why, unreachable);
}

static void on_ask(void *arg)
{
    struct tug_star *s = arg;
    Tugpb__StarClock m = TUGPB__STAR_CLOCK__INIT;

    m.asked_us = tug_now_us();
    tug_star_send(s, 0, TUG_MSG_STAR_CLOCK, &m.base);
}

/* A head that does not know of this message never answers, so it is asked only by a field of its hello. */
static void on_clock(struct tug_star *s, unsigned from, const Tugpb__StarClock *m)
{
    Tugpb__StarClock answer = TUGPB__STAR_CLOCK__INIT;

    if (!is_head(s)) {
        tug_skew_take(&s->skew, m->asked_us, m->head_us, tug_now_us());
        s->ask_ms = s->ask_ms ? s->ask_ms * 4 : ASK_FIRST_MS;
        s->ask_ms = s->ask_ms < ASK_LAST_MS ? s->ask_ms : ASK_LAST_MS;
        tug_timer_set(s->ask, tug_now_ms() + s->ask_ms);
        return;
    }
    answer.asked_us = m->asked_us;
    answer.head_us = tug_now_us();
    tug_star_send(s, from, TUG_MSG_STAR_CLOCK, &answer.base);
}

static void on_hello(struct tug_star *s, struct tug_conn *c, const Tugpb__StarHello *h)
{
    const Tugpb__StepKey *mine = s->p->pb->key, *its = h->key;
    unsigned node = h->node_index;

    /* The key proved that it is of this gang; this is a gang member that is confused, or one of an
     * older attempt. */
    if (!its || its->job != mine->job || its->attempt != mine->attempt || its->step != mine->step ||
        node == 0 || node >= s->p->n_stepds || s->peers[node].joined) {
        tug_conn_drop(c);
        return;
    }
    s->peers[node].port = h->reached_port <= UINT16_MAX ? h->reached_port : 0;
    joined(s, node, c);
    if (h->asked_us) {
        Tugpb__StarClock asked = TUGPB__STAR_CLOCK__INIT;

        asked.asked_us = h->asked_us;
        tug_skew_take(&s->peers[node].skew, h->asked_us, tug_now_us(), h->asked_us); /* as if it had taken no time */
        on_clock(s, node, &asked);
    }
}

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct tug_star *s = arg;
    struct peer *peer = tug_conn_data(c);
    struct tug_arena arena = {0};
    ProtobufCMessage *m;

    if (tug_msg_decode(&arena, f->number, f->body, f->len, &m, NULL) < 0) {
        tug_conn_drop(c);
        if (peer)
            lost(s, (unsigned) (peer - s->peers), "it sent a message that cannot be read", false);
    } else if (is_head(s) && f->number == TUG_MSG_STAR_HELLO && !peer) {
        on_hello(s, c, (const Tugpb__StarHello *) m);
    } else if (peer && f->number == TUG_MSG_STAR_CLOCK) {
        on_clock(s, (unsigned) (peer - s->peers), (const Tugpb__StarClock *) m);
    } else if (peer && f->number != TUG_MSG_STAR_HELLO) {
        s->ops->on_message(s->arg, (unsigned) (peer - s->peers), (enum tug_msg) f->number, m);
    }
    tug_arena_clear(&arena);
}

static void redial_later(struct tug_star *s, const char *why, bool unreachable)
{
    if (!unreachable)
        s->silent_from_ms = 0;
    else if (!s->silent_from_ms)
        s->silent_from_ms = s->dialled_ms;
    if (tug_now_ms() >= s->give_up_ms || (s->silent_from_ms && tug_now_ms() >= s->silent_from_ms + SILENT_MS)) {
        lost(s, 0, why, unreachable);
        return;
    }
    s->wait_ms = s->wait_ms ? s->wait_ms * 2 : REDIAL_FIRST_MS;
    if (s->wait_ms > REDIAL_LAST_MS)
        s->wait_ms = REDIAL_LAST_MS;
    tug_timer_set(s->redial, tug_now_ms() + s->wait_ms);
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    struct tug_star *s = arg;
    struct peer *peer = tug_conn_data(c);

    if (c == s->dialled)
        s->dialled = NULL;
    if (peer)
        lost(s, (unsigned) (peer - s->peers), why, tug_conn_was_unreachable(c));
    else if (!is_head(s) && !s->finished)
        redial_later(s, why, tug_conn_was_unreachable(c));
}

static void on_open(void *arg, struct tug_conn *c)
{
    struct tug_star *s = arg;
    Tugpb__StarHello hello = TUGPB__STAR_HELLO__INIT;

    if (is_head(s))
        return;
    hello.key = s->p->pb->key;
    hello.node_index = s->p->me;
    hello.asked_us = tug_now_us();
    hello.reached_port = s->reached_port;
    tug_conn_send(c, TUG_MSG_STAR_HELLO, 0, &hello.base);
    joined(s, 0, c);
}

static const struct tug_net_ops net_ops = {
    .on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void on_redial(void *arg)
{
    struct tug_star *s = arg;
    struct tug_err err;

    s->dialled_ms = tug_now_ms();
    if (tug_net_dial(&s->dialled, s->base, s->endpoint, &s->opts, &err) < 0) {
        s->dialled = NULL;
        redial_later(s, err.msg, false);
    }
}

/* ---- life ---- */

static int listen_here(struct tug_star *s, struct tug_err *err)
{
    const char *host = s->p->address;
    char endpoint[320];
    int rc;

    snprintf(endpoint, sizeof endpoint, strchr(host, ':') && host[0] != '[' ? "[%s]:0" : "%s:0",
             host);
    rc = tug_net_listen(&s->listener, s->base, endpoint, 0, &s->opts, err);
    if (rc < 0)
        return tug_fail_ctx(err, rc,
                            "node %s cannot listen for the other nodes of the gang on its address",
                            s->p->node);
    return 0;
}

int tug_star_new(struct tug_star **out, struct event_base *base, const struct tug_payload *p,
                 const struct tug_star_ops *ops, void *arg, struct tug_err *err)
{
    struct tug_star *s = tug_new(struct tug_star);
    int rc = 0;

    s->p = p;
    s->base = base;
    s->ops = ops;
    s->arg = arg;
    s->peers = tug_xcalloc(p->n_stepds, sizeof *s->peers);
    for (unsigned i = 0; i < p->n_stepds; i++)
        s->peers[i].out.channel = TUG_CH_STAR;
    s->opts = (struct tug_net_opts){.auth = TUG_AUTH_PSK,
                                    .channel = TUG_CH_STAR,
                                    .ops = &net_ops,
                                    .arg = s,
                                    .steady = 1,
                                    .max_conns = p->n_stepds + STRANGERS_MAX,
                                    .max_unauth = STRANGERS_MAX,
                                    .max_unauth_address = STRANGERS_MAX / 2,
                                    .out_max_bytes = OUT_MAX_BYTES};
    if (p->n_stepds > 1) {
        memcpy(s->opts.psk, p->pb->gang_key.data, sizeof s->opts.psk);
        rc = is_head(s) ? listen_here(s, err) : tug_timer_new(&s->redial, base, on_redial, s, err);
        if (rc == 0 && !is_head(s))
            rc = tug_timer_new(&s->ask, base, on_ask, s, err);
    }
    if (rc < 0) {
        tug_star_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void tug_star_free(struct tug_star *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->p->n_stepds; i++) {
        if (s->peers[i].out.conn)
            tug_conn_drop(s->peers[i].out.conn);
        tug_outbox_clear(&s->peers[i].out);
    }
    tug_listener_free(s->listener);
    tug_timer_free(s->redial);
    tug_timer_free(s->ask);
    free(s->peers);
    free(s->endpoint);
    free(s);
}

const char *tug_star_endpoint(const struct tug_star *s)
{
    return s->listener ? tug_listener_endpoint(s->listener) : "";
}

void tug_star_reached_at(struct tug_star *s, unsigned port)
{
    s->reached_port = port;
}

unsigned tug_star_port(const struct tug_star *s, unsigned node)
{
    return s->peers[node].port;
}

void tug_star_dial(struct tug_star *s, const char *endpoint, uint64_t give_up_ms)
{
    free(s->endpoint);
    s->endpoint = tug_xstrdup(endpoint);
    s->give_up_ms = give_up_ms;
    on_redial(s);
}

/* ---- what goes out ---- */

/* Through the same bytes as over a socket, so that both ways behave the same. */
static void to_myself(struct tug_star *s, enum tug_msg number, const ProtobufCMessage *m)
{
    struct tug_arena arena = {0};
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *body = tug_xmalloc(len ? len : 1);
    ProtobufCMessage *copy;

    protobuf_c_message_pack(m, body);
    if (tug_msg_decode(&arena, (uint16_t) number, body, len, &copy, NULL) == 0)
        s->ops->on_message(s->arg, s->p->me, number, copy);
    tug_arena_clear(&arena);
    free(body);
}

void tug_star_send(struct tug_star *s, unsigned to, enum tug_msg number, const ProtobufCMessage *m)
{
    if (to == s->p->me)
        to_myself(s, number, m);
    else if (to < s->p->n_stepds && !s->peers[to].lost)
        tug_outbox_send(&s->peers[to].out, number, m);
}

void tug_star_tell_all(struct tug_star *s, enum tug_msg number, const ProtobufCMessage *m)
{
    for (unsigned i = 1; i < s->p->n_stepds; i++)
        tug_star_send(s, i, number, m);
}

uint64_t tug_star_head_us(const struct tug_star *s, uint64_t us)
{
    return is_head(s) ? us : tug_skew_head_us(&s->skew, us);
}

uint64_t tug_star_our_us(const struct tug_star *s, unsigned node, uint64_t us)
{
    return tug_skew_head_us(&s->peers[node].skew, us);
}

bool tug_star_complete(const struct tug_star *s)
{
    return s->p->n_stepds == 1 || s->n_joined == (is_head(s) ? s->p->n_stepds - 1 : 1);
}

char *tug_star_missing(const struct tug_star *s, char *out, size_t size)
{
    struct tug_buf b = {0};

    for (unsigned i = 1; i < s->p->n_stepds; i++)
        if (!s->peers[i].joined)
            tug_buf_addf(&b, "%s%s", b.len ? ", " : "", s->p->pb->slices[i]->node);
    tug_str_copy(out, size, tug_buf_str(&b));
    tug_buf_clear(&b);
    return out;
}

void tug_star_hurry(struct tug_star *s, uint64_t give_up_ms)
{
    if (give_up_ms < s->give_up_ms)
        s->give_up_ms = give_up_ms;
}

void tug_star_give_up(struct tug_star *s)
{
    for (unsigned i = 1; i < s->p->n_stepds; i++)
        if (!s->peers[i].joined)
            s->peers[i].joined = s->peers[i].lost =
                true; /* a late StarHello finds its place taken */
}

bool tug_star_lost(const struct tug_star *s, unsigned node)
{
    return s->peers[node].lost;
}

size_t tug_star_backlog(const struct tug_star *s)
{
    size_t sum = 0;

    for (unsigned i = 0; i < s->p->n_stepds; i++)
        sum += tug_outbox_bytes(&s->peers[i].out);
    return sum;
}

void tug_star_pause(struct tug_star *s, bool paused)
{
    for (unsigned i = 1; i < s->p->n_stepds; i++)
        if (s->peers[i].out.open)
            tug_conn_pause(s->peers[i].out.conn, paused);
}

void tug_star_finish(struct tug_star *s)
{
    s->finished = true;
}
