/* test_outbox.c - what goes out waits for what it relies on, and for whom it does not go out any more */
#include "unit.h"

#include "logic/outbox.h"
#include "proto/client.pb-c.h"

static struct { tug_peer_id to; uint16_t number; } sent[16];
static size_t n_sent;
static uint64_t committing;

static void env_send(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m)
{
    (void) ctx;
    (void) rid;
    sent[n_sent].to = peer;
    sent[n_sent++].number = m ? (uint16_t) number : 0;
}

static void env_send_packed(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const void *body,
                            size_t len_bytes)
{
    (void) ctx;
    (void) rid;
    (void) body;
    (void) len_bytes;
    sent[n_sent].to = peer;
    sent[n_sent++].number = (uint16_t) number;
}

static void env_persist(void *ctx, struct tug_batch *b, uint64_t ticket)
{
    (void) ctx;
    tug_batch_free(b);
    committing = ticket;
}

static struct tug_outbox *fresh(void)
{
    struct tug_env env = {.send = env_send, .send_packed = env_send_packed, .persist = env_persist};

    n_sent = 0;
    committing = 0;
    return tug_outbox_new(&env);
}

static void say(struct tug_outbox *o, tug_peer_id to)
{
    Tugpb__PingRequest m = TUGPB__PING_REQUEST__INIT;

    tug_outbox_send(o, to, TUG_MSG_PING_REQUEST, 0, &m.base);
}

START_TEST(a_message_leaves_after_the_writes_that_it_relies_on)
{
    struct tug_outbox *o = fresh();

    say(o, 1);
    ck_assert_uint_eq(n_sent, 1);
    tug_batch_put(tug_outbox_batch(o), "a", "b", "c", 1);
    say(o, 2);
    tug_outbox_flush(o);
    say(o, 3);
    ck_assert_uint_eq(n_sent, 1);
    tug_outbox_persisted(o, committing);
    ck_assert_uint_eq(n_sent, 3);
    ck_assert_uint_eq(sent[1].to, 2);
    ck_assert_uint_eq(sent[2].to, 3);
    tug_outbox_free(o);
}
END_TEST

START_TEST(what_is_held_for_a_peer_that_was_given_up_on_never_leaves)
{
    struct tug_outbox *o = fresh();

    tug_batch_put(tug_outbox_batch(o), "a", "b", "c", 1);
    say(o, 1);
    say(o, 2);
    tug_outbox_flush(o);
    tug_batch_put(tug_outbox_batch(o), "a", "b", "d", 1);
    say(o, 1);
    tug_outbox_drop(o, 1);
    tug_outbox_close(o, 1);
    tug_outbox_persisted(o, committing);
    tug_outbox_flush(o);
    tug_outbox_persisted(o, committing);
    ck_assert_uint_eq(n_sent, 2);
    ck_assert_uint_eq(sent[0].to, 2);
    ck_assert_uint_eq(sent[1].to, 1);
    ck_assert_uint_eq(sent[1].number, 0); /* its connection still ends */
    tug_outbox_free(o);
}
END_TEST

START_TEST(what_relies_on_no_write_leaves_aside)
{
    struct tug_outbox *o = fresh();

    tug_batch_put(tug_outbox_batch(o), "a", "b", "c", 1);
    say(o, 1);
    ck_assert_uint_gt(tug_outbox_held_bytes(o), 0);
    tug_outbox_aside(o, 1);
    say(o, 2);
    tug_outbox_aside(o, 0);
    say(o, 3);
    ck_assert_uint_eq(n_sent, 1);
    ck_assert_uint_eq(sent[0].to, 2);
    tug_outbox_loose(o, 1);
    say(o, 4);
    tug_outbox_loose(o, 0);
    tug_outbox_flush(o);
    ck_assert_uint_eq(n_sent, 1);
    tug_outbox_let_go(o);
    ck_assert_uint_eq(n_sent, 2);
    ck_assert_uint_eq(sent[1].to, 4);
    tug_outbox_persisted(o, committing);
    ck_assert_uint_eq(n_sent, 4);
    ck_assert_uint_eq(tug_outbox_held_bytes(o), 0);
    tug_outbox_free(o);
}
END_TEST

UNIT_MAIN("logic/outbox", what_relies_on_no_write_leaves_aside, a_message_leaves_after_the_writes_that_it_relies_on,
          what_is_held_for_a_peer_that_was_given_up_on_never_leaves)
