/* test_session.c - the handshake and the records, byte by byte and without sockets. Layer: tests.
 */
#include "unit.h"

#include <errno.h>

#include "host/session.h"

static struct tug_keypair server_key, node_key, other_key;

static int knows_node(void *arg, const char *name, uint8_t pub[32])
{
    (void) arg;
    if (strcmp(name, "gpu001") != 0)
        return -ENOENT;
    memcpy(pub, node_key.pub, 32);
    return 0;
}

static struct tug_net_opts server_opts(enum tug_auth auth)
{
    struct tug_net_opts o = {
        .auth = auth, .channel = TUG_CH_NODE, .own = &server_key, .node_key = knows_node};
    memset(o.psk, 7, sizeof o.psk);
    return o;
}

static struct tug_net_opts client_opts(enum tug_auth auth)
{
    struct tug_net_opts o = {.auth = auth,
                             .channel = TUG_CH_NODE,
                             .own = &node_key,
                             .own_name = "gpu001",
                             .peer_pub = server_key.pub};
    memset(o.psk, 7, sizeof o.psk);
    return o;
}

static void make_keys(void)
{
    ck_assert_int_eq(tug_keypair_make(&server_key), 0);
    ck_assert_int_eq(tug_keypair_make(&node_key), 0);
    ck_assert_int_eq(tug_keypair_make(&other_key), 0);
}

/* Give all that 'from' holds to 's', as far as it wants it. */
static int give(struct tug_session *s, struct tug_buf *from, struct tug_buf *answer,
                struct tug_err *err)
{
    int rc = 0;
    while (!rc && from->len && !tug_session_up(s)) {
        size_t missing;
        uint8_t *to = tug_session_room(s, &missing);
        size_t n = missing < from->len ? missing : from->len;
        memcpy(to, from->data, n);
        tug_buf_consume(from, n);
        rc = tug_session_got(s, n, answer, err);
    }
    return rc;
}

/* A handshake in which byte 'at' of all bytes on the wire is changed; -1 none. Sizes of the three
 * frames go to 'sizes'. The first refusal is returned, as seen by whoever refused. */
static int shake(const struct tug_net_opts *so, const struct tug_net_opts *co, long at,
                 struct tug_session **s, struct tug_session **c, size_t sizes[3],
                 struct tug_err *err)
{
    struct tug_buf wire[3] = {{0}};
    int rc = tug_session_new(s, TUG_SIDE_SERVER, so, &wire[0], err);
    rc = rc ? rc : tug_session_new(c, TUG_SIDE_CLIENT, co, &wire[1], err);
    ck_assert_int_eq(rc, 0);
    long start = 0;
    for (int i = 0; i < 3 && !rc; i++) {
        long len = (long) wire[i].len;
        if (sizes)
            sizes[i] = wire[i].len;
        if (at >= start && at < start + len)
            wire[i].data[at - start] ^= 0x20;
        start += len;
        rc = give(i == 1 ? *s : *c, &wire[i], i == 2 ? NULL : &wire[i + 1], err);
    }
    for (int i = 0; i < 3; i++)
        tug_buf_clear(&wire[i]);
    return rc;
}

static void free_both(struct tug_session *s, struct tug_session *c)
{
    tug_session_free(s);
    tug_session_free(c);
}

static void says(struct tug_session *from, struct tug_session *to, const char *text)
{
    struct tug_buf wire = {0};
    uint8_t *got;
    size_t n;
    tug_session_seal(from, &wire, text, strlen(text));
    ck_assert_uint_eq(wire.len, strlen(text) + TUG_RECORD_OVER);
    for (size_t k = 0; k < wire.len; k++)
        ck_assert_int_eq(tug_session_unseal(to, (uint8_t *) wire.data, k, &got, &n, NULL), 0);
    ck_assert_int_eq(tug_session_unseal(to, (uint8_t *) wire.data, wire.len, &got, &n, NULL),
                     (long) wire.len);
    ck_assert_uint_eq(n, strlen(text));
    ck_assert_mem_eq(got, text, n);
    tug_buf_clear(&wire);
}

static const enum tug_auth modes[] = {TUG_AUTH_NODE, TUG_AUTH_PSK};

START_TEST(two_sides_with_the_right_keys_talk_both_ways)
{
    make_keys();
    for (int i = 0; i < 2; i++) {
        struct tug_net_opts so = server_opts(modes[i]), co = client_opts(modes[i]);
        struct tug_session *s, *c;
        struct tug_err err = {0};
        size_t sizes[3];
        ck_assert_msg(shake(&so, &co, -1, &s, &c, sizes, &err) == 0, "%s", err.msg);
        ck_assert(tug_session_up(s) && tug_session_up(c));
        ck_assert_str_eq(tug_session_peer_name(s), i == 0 ? "gpu001" : "");
        for (int k = 0; k < 3; k++)
            ck_assert_uint_le(sizes[k], TUG_HANDSHAKE_MAX);
        says(c, s, "ready");
        says(s, c, "start");
        says(c, s, "done");
        free_both(s, c);
    }
}
END_TEST

START_TEST(a_changed_byte_at_any_place_of_the_handshake_is_refused)
{
    make_keys();
    for (int i = 0; i < 2; i++) {
        struct tug_net_opts so = server_opts(modes[i]), co = client_opts(modes[i]);
        struct tug_session *s, *c;
        size_t sizes[3];
        ck_assert_int_eq(shake(&so, &co, -1, &s, &c, sizes, NULL), 0);
        free_both(s, c);
        long all = (long) (sizes[0] + sizes[1] + sizes[2]);
        ck_assert_int_gt(all, 200);
        for (long at = 0; at < all; at++) {
            int rc = shake(&so, &co, at, &s, &c, NULL, NULL);
            ck_assert_msg(rc == -EPROTO || rc == -EACCES, "mode %d byte %ld: %d", i, at, rc);
            ck_assert(!(tug_session_up(s) && tug_session_up(c)));
            free_both(s, c);
        }
    }
}
END_TEST

START_TEST(a_wrong_key_is_refused_and_the_sentence_says_whose)
{
    make_keys();
    struct tug_net_opts so = server_opts(TUG_AUTH_NODE), co = client_opts(TUG_AUTH_NODE);
    struct tug_session *s, *c;
    struct tug_err err;
    co.own = &other_key;
    unit_fails(shake(&so, &co, -1, &s, &c, NULL, &err), -EACCES, err, "to be node 'gpu001'");
    ck_assert_str_eq(tug_session_peer_name(s), "");
    free_both(s, c);
    co = client_opts(TUG_AUTH_NODE);
    co.own_name = "gpu002";
    unit_fails(shake(&so, &co, -1, &s, &c, NULL, &err), -EACCES, err, "node 'gpu002' has no key");
    free_both(s, c);
    co = client_opts(TUG_AUTH_NODE);
    so.own = &other_key;
    unit_fails(shake(&so, &co, -1, &s, &c, NULL, &err), -EACCES, err,
               "another key than the one that is configured");
    free_both(s, c);
    so = server_opts(TUG_AUTH_PSK);
    co = client_opts(TUG_AUTH_PSK);
    co.psk[31] ^= 1;
    unit_fails(shake(&so, &co, -1, &s, &c, NULL, &err), -EACCES, err,
               "does not have the shared key");
    free_both(s, c);
}
END_TEST

START_TEST(a_server_that_only_copies_a_public_key_is_refused)
{
    make_keys();
    struct tug_keypair liar = other_key;
    memcpy(liar.pub, server_key.pub, 32); /* says to be the controller, signs with its own */
    struct tug_net_opts so = server_opts(TUG_AUTH_NODE), co = client_opts(TUG_AUTH_NODE);
    struct tug_session *s, *c;
    struct tug_err err;
    so.own = &liar;
    unit_fails(shake(&so, &co, -1, &s, &c, NULL, &err), -EACCES, err, "signature is not good");
    free_both(s, c);
}
END_TEST

START_TEST(channels_and_modes_do_not_mix)
{
    make_keys();
    struct tug_net_opts so = server_opts(TUG_AUTH_PSK), co = client_opts(TUG_AUTH_PSK);
    struct tug_session *s, *c;
    struct tug_err err;
    co.channel = TUG_CH_STAR;
    unit_fails(shake(&so, &co, -1, &s, &c, NULL, &err), -EPROTO, err, "another kind of connection");
    free_both(s, c);
}
END_TEST

START_TEST(a_replayed_auth_frame_is_refused)
{
    make_keys();
    for (int i = 0; i < 2; i++) {
        struct tug_net_opts so = server_opts(modes[i]), co = client_opts(modes[i]);
        struct tug_session *s1, *s2, *c;
        struct tug_buf hello = {0}, hello2 = {0}, auth = {0}, copy = {0}, none = {0};
        ck_assert_int_eq(tug_session_new(&s1, TUG_SIDE_SERVER, &so, &hello, NULL), 0);
        ck_assert_int_eq(tug_session_new(&s2, TUG_SIDE_SERVER, &so, &hello2, NULL), 0);
        ck_assert_int_eq(tug_session_new(&c, TUG_SIDE_CLIENT, &co, &none, NULL), 0);
        ck_assert_int_eq(give(c, &hello, &auth, NULL), 0);
        tug_buf_add(&copy, auth.data, auth.len);
        ck_assert_int_eq(give(s1, &auth, &none, NULL), 0);
        ck_assert(tug_session_up(s1));
        ck_assert_int_eq(give(s2, &copy, &none, NULL), -EACCES);
        ck_assert(!tug_session_up(s2));
        free_both(s1, c);
        tug_session_free(s2);
        tug_buf_clear(&hello);
        tug_buf_clear(&hello2);
        tug_buf_clear(&auth);
        tug_buf_clear(&copy);
        tug_buf_clear(&none);
    }
}
END_TEST

static void pair(struct tug_session **s, struct tug_session **c)
{
    struct tug_net_opts so = server_opts(TUG_AUTH_PSK), co = client_opts(TUG_AUTH_PSK);
    ck_assert_int_eq(shake(&so, &co, -1, s, c, NULL, NULL), 0);
}

START_TEST(a_changed_byte_at_any_place_of_a_record_is_refused_for_ever)
{
    struct tug_session *s, *c;
    struct tug_buf wire = {0};
    uint8_t *text;
    size_t n;
    for (size_t at = 0; at < 5 + TUG_RECORD_OVER; at++) {
        pair(&s, &c);
        tug_buf_reset(&wire);
        tug_session_seal(c, &wire, "hello", 5);
        wire.data[at] ^= 1;
        long rc = tug_session_unseal(s, (uint8_t *) wire.data, wire.len, &text, &n, NULL);
        /* A length that grew waits for more: what comes later cannot make it good. */
        if (rc == 0) {
            ck_assert_uint_lt(at, 4);
            char more[300] = {0};
            tug_buf_add(&wire, more, sizeof more);
            rc = tug_session_unseal(s, (uint8_t *) wire.data, wire.len, &text, &n, NULL);
        }
        ck_assert_msg(rc == -EPROTO, "byte %zu: %ld", at, rc);
        tug_buf_reset(&wire);
        tug_session_seal(c, &wire, "hello", 5);
        ck_assert_int_eq(tug_session_unseal(s, (uint8_t *) wire.data, wire.len, &text, &n, NULL),
                         -EPROTO);
        free_both(s, c);
    }
    tug_buf_clear(&wire);
}
END_TEST

START_TEST(records_that_are_lost_repeated_swapped_or_sent_back_are_refused)
{
    struct tug_session *s, *c;
    struct tug_buf one = {0}, two = {0};
    uint8_t *text;
    size_t n;
    for (int how = 0; how < 3; how++) {
        pair(&s, &c);
        tug_buf_reset(&one);
        tug_buf_reset(&two);
        tug_session_seal(c, &one, "one", 3);
        tug_session_seal(c, &two, "two", 3);
        struct tug_session *to = how == 2 ? c : s; /* 2: reflected to who sent it */
        struct tug_buf again = {0};
        tug_buf_add(&again, one.data, one.len);
        if (how == 0) /* 0: repeated; 1: the first is lost */
            ck_assert_int_gt(tug_session_unseal(to, (uint8_t *) one.data, one.len, &text, &n, NULL),
                             0);
        struct tug_buf *next = how == 1 ? &two : &again;
        ck_assert_int_eq(tug_session_unseal(to, (uint8_t *) next->data, next->len, &text, &n, NULL),
                         -EPROTO);
        tug_buf_clear(&again);
        free_both(s, c);
    }
    tug_buf_clear(&one);
    tug_buf_clear(&two);
}
END_TEST

START_TEST(keys_change_every_4096_records_without_a_word)
{
    struct tug_session *s, *c;
    pair(&s, &c);
    for (int i = 0; i < 3 * 4096; i++) {
        struct tug_buf wire = {0};
        uint8_t *text;
        size_t n;
        tug_session_seal(c, &wire, &i, sizeof i);
        ck_assert_int_eq(tug_session_unseal(s, (uint8_t *) wire.data, wire.len, &text, &n, NULL),
                         (long) wire.len);
        ck_assert_mem_eq(text, &i, sizeof i);
        tug_buf_clear(&wire);
    }
    says(s, c, "the other way is still at its first key");
    free_both(s, c);
}
END_TEST

START_TEST(missing_keys_are_refused_before_anything_is_said)
{
    make_keys();
    struct tug_session *s = NULL;
    struct tug_buf out = {0};
    struct tug_err err;
    struct tug_net_opts o = server_opts(TUG_AUTH_UNIX);
    unit_fails(tug_session_new(&s, TUG_SIDE_SERVER, &o, &out, &err), -EINVAL, err,
               "has no handshake");
    o = server_opts(TUG_AUTH_PSK);
    memset(o.psk, 0, 32);
    unit_fails(tug_session_new(&s, TUG_SIDE_SERVER, &o, &out, &err), -EINVAL, err, "no shared key");
    o = server_opts(TUG_AUTH_NODE);
    o.own = NULL;
    unit_fails(tug_session_new(&s, TUG_SIDE_SERVER, &o, &out, &err), -EINVAL, err, "no own key");
    o = client_opts(TUG_AUTH_NODE);
    o.peer_pub = NULL;
    unit_fails(tug_session_new(&s, TUG_SIDE_CLIENT, &o, &out, &err), -EINVAL, err,
               "no controller key");
    o = client_opts(TUG_AUTH_NODE);
    o.own_name = "";
    unit_fails(tug_session_new(&s, TUG_SIDE_CLIENT, &o, &out, &err), -EINVAL, err, "node name");
    ck_assert_ptr_null(s);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

UNIT_MAIN("host/session", two_sides_with_the_right_keys_talk_both_ways,
          a_changed_byte_at_any_place_of_the_handshake_is_refused,
          a_wrong_key_is_refused_and_the_sentence_says_whose,
          a_server_that_only_copies_a_public_key_is_refused, channels_and_modes_do_not_mix,
          a_replayed_auth_frame_is_refused,
          a_changed_byte_at_any_place_of_a_record_is_refused_for_ever,
          records_that_are_lost_repeated_swapped_or_sent_back_are_refused,
          keys_change_every_4096_records_without_a_word,
          missing_keys_are_refused_before_anything_is_said)
