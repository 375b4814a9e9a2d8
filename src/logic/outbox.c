/* outbox.c - what goes out waits for what it relies on
 *
 * 'open' collects writes and the messages that rely on them; 'going' is the one whose commit is
 * under way. Layer: logic.
 */
#include "logic/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/vec.h"

struct held {
    tug_peer_id to; /* 0: nobody any more */
    uint32_t rid;
    uint16_t number; /* 0: close the peer */
    uint8_t loose;   /* relies on no write */
    size_t off, len; /* in bytes.data */
};

struct load {
    struct tug_batch *batch;
    struct tug_vec(struct held) held;
    struct tug_buf bytes;
    int expected; /* writes will come, see tug_outbox_expect_writes */
};

struct tug_outbox {
    struct tug_env env;
    struct load open, going;
    int busy, aside, loose;
    uint64_t ticket;
};

struct tug_outbox *tug_outbox_new(const struct tug_env *env)
{
    struct tug_outbox *o = tug_new(struct tug_outbox);

    o->env = *env;
    o->open.batch = tug_batch_new();
    return o;
}

static void load_clear(struct load *l)
{
    tug_batch_free(l->batch);
    tug_vec_clear(&l->held);
    tug_buf_clear(&l->bytes);
}

void tug_outbox_free(struct tug_outbox *o)
{
    if (!o)
        return;
    load_clear(&o->open);
    load_clear(&o->going);
    free(o);
}

struct tug_batch *tug_outbox_batch(struct tug_outbox *o)
{
    return o->open.batch;
}

void tug_outbox_expect_writes(struct tug_outbox *o)
{
    o->open.expected = 1;
}

/* Where a message has to wait; NULL = nowhere. */
static struct load *behind(struct tug_outbox *o)
{
    if (o->aside)
        return NULL;
    if (o->open.expected || tug_batch_len(o->open.batch) || o->open.held.len)
        return &o->open;
    return o->busy ? &o->going : NULL;
}

void tug_outbox_aside(struct tug_outbox *o, int aside)
{
    o->aside = aside;
}

static size_t load_bytes(const struct load *l)
{
    return l->bytes.len + l->held.len * sizeof *l->held.at;
}

size_t tug_outbox_held_bytes(const struct tug_outbox *o)
{
    return load_bytes(&o->open) + load_bytes(&o->going);
}

static void hold(struct load *l, tug_peer_id to, uint16_t number, uint32_t rid,
                 const ProtobufCMessage *m, int loose)
{
    struct held h = {
        .to = to, .rid = rid, .number = number, .off = l->bytes.len, .loose = (uint8_t) loose};

    if (m)
        h.len = tug_msg_pack(&l->bytes, m);
    tug_vec_push(&l->held, h);
}

void tug_outbox_send(struct tug_outbox *o, tug_peer_id to, enum tug_msg number, uint32_t rid,
                     const ProtobufCMessage *m)
{
    struct load *l;

    if (to == 0)
        return;
    l = behind(o);
    if (l)
        hold(l, to, (uint16_t) number, rid, m, o->loose);
    else
        o->env.send(o->env.ctx, to, number, rid, m);
}

void tug_outbox_close(struct tug_outbox *o, tug_peer_id peer)
{
    struct load *l = behind(o);

    if (l)
        hold(l, peer, 0, 0, NULL, 0);
    else
        o->env.send(o->env.ctx, peer, 0, 0, NULL);
}

static void drop(struct load *l, tug_peer_id peer)
{
    for (size_t i = 0; i < l->held.len; i++)
        if (l->held.at[i].to == peer)
            l->held.at[i].to = 0;
}

void tug_outbox_drop(struct tug_outbox *o, tug_peer_id peer)
{
    drop(&o->open, peer);
    drop(&o->going, peer);
}

void tug_outbox_loose(struct tug_outbox *o, int loose)
{
    o->loose = loose;
}

static void send_held(struct tug_outbox *o, const struct load *l, const struct held *h)
{
    o->env.send_packed(o->env.ctx, h->to, h->number, h->rid,
                       l->bytes.data ? l->bytes.data + h->off : "", h->len);
}

static void let_go(struct tug_outbox *o, struct load *l)
{
    for (size_t i = 0; i < l->held.len; i++)
        if (l->held.at[i].loose && l->held.at[i].to != 0) {
            send_held(o, l, &l->held.at[i]);
            l->held.at[i].to = 0;
        }
}

void tug_outbox_let_go(struct tug_outbox *o)
{
    let_go(o, &o->going);
    let_go(o, &o->open);
}

static void release(struct tug_outbox *o, struct load *l)
{
    struct load done = *l;

    /* Emptied first: a peer that is closed on the way must not find its messages here again, and
     * what its end changes is written like anything else. */
    memset(l, 0, sizeof *l);
    if (l == &o->open)
        l->batch = tug_batch_new();
    for (size_t i = 0; i < done.held.len; i++) {
        const struct held *h = &done.held.at[i];

        if (h->to == 0)
            continue;
        if (h->number == 0)
            o->env.send(o->env.ctx, h->to, 0, 0, NULL);
        else
            send_held(o, &done, h);
    }
    tug_vec_clear(&done.held);
    tug_buf_clear(&done.bytes);
    tug_batch_free(done.batch);
}

int tug_outbox_is_busy(const struct tug_outbox *o)
{
    return o->busy;
}

void tug_outbox_flush(struct tug_outbox *o)
{
    struct tug_batch *b;

    if (o->busy)
        return;
    o->open.expected = 0;
    if (tug_batch_len(o->open.batch) == 0) {
        if (o->open.held.len)
            release(o, &o->open);
        return;
    }
    o->going = o->open;
    memset(&o->open, 0, sizeof o->open);
    o->open.batch = tug_batch_new();
    b = o->going.batch;
    o->going.batch = NULL;
    o->busy = 1;
    o->env.persist(o->env.ctx, b, ++o->ticket);
}

void tug_outbox_persisted(struct tug_outbox *o, uint64_t ticket)
{
    tug_assert(o->busy && ticket == o->ticket);
    o->busy = 0;
    release(o, &o->going);
}
