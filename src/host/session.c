/* session.c - the handshake and the records
 *
 * What always holds: nothing that the peer says is used before the proof over it was checked; a
 * session that refused once refuses for ever; secrets are wiped as soon as they are not needed.
 * Layer: host.
 */
#include "host/session.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define HEAD        16
#define KEY         32
#define SIG         64
#define NAME        64
#define REKEY_EVERY 4096u

enum mode { MODE_NODE = 1, MODE_PSK = 2 };
enum kind { KIND_HELLO = 1, KIND_AUTH = 2, KIND_ACCEPT = 3 };
enum state { WAIT_HELLO, WAIT_AUTH, WAIT_ACCEPT, UP, REFUSED };

struct direction {
    uint8_t key[KEY];
    uint64_t count;
};

struct tug_session {
    enum tug_side side;
    enum mode mode;
    enum state state;
    struct tug_net_opts o; /* its pointers are borrowed until the session is up */
    uint8_t eph_sec[KEY];
    uint8_t hello[TUG_HANDSHAKE_MAX], auth[TUG_HANDSHAKE_MAX], accept[HEAD + KEY];
    size_t have; /* bytes of the frame that we wait for */
    uint8_t accept_key[KEY];
    struct direction in, out;
    char peer_name[NAME];
};

static size_t hello_len(const struct tug_session *s)
{
    return s->mode == MODE_NODE ? HEAD + KEY + KEY + KEY + SIG : HEAD + KEY + KEY;
}

static size_t auth_len(const struct tug_session *s)
{
    return s->mode == MODE_NODE ? HEAD + NAME + KEY + SIG : HEAD + KEY + KEY + KEY;
}

static void put_head(const struct tug_session *s, uint8_t *p, enum kind kind)
{
    memcpy(p, "TUGLINE1", 8);
    p[8] = (uint8_t) kind;
    p[9] = (uint8_t) s->mode;
    p[10] = (uint8_t) s->o.channel;
    p[11] = 1;
    memset(p + 12, 0, 4);
}

static int check_head(const struct tug_session *s, const uint8_t *p, enum kind kind,
                      struct tug_err *err)
{
    uint8_t want[HEAD];
    put_head(s, want, kind);
    if (memcmp(p, want, 8) != 0)
        return tug_fail(err, -EPROTO, "what came is not a Tugline handshake");
    if (p[11] != want[11])
        return tug_fail(err, -EPROTO, "the peer speaks handshake version %u, this program speaks 1",
                        p[11]);
    if (memcmp(p, want, HEAD) != 0)
        return tug_fail(err, -EPROTO, "the handshake is for another kind of connection");
    return 0;
}

/* BLAKE2b over a label and two runs of bytes, keyed or not. */
static void hash2(uint8_t *out, size_t out_len, const uint8_t *key, const char *label,
                  const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    crypto_generichash_state h;
    crypto_generichash_init(&h, key, key ? KEY : 0, out_len);
    crypto_generichash_update(&h, (const uint8_t *) label, strlen(label) + 1);
    crypto_generichash_update(&h, a, a_len);
    crypto_generichash_update(&h, b, b_len);
    crypto_generichash_final(&h, out, out_len);
    sodium_memzero(&h, sizeof h);
}

/* Where the ephemeral key stands in hello and auth. */
static const uint8_t *hello_eph(const struct tug_session *s)
{
    return s->hello + HEAD + (s->mode == MODE_NODE ? KEY : 0);
}
static const uint8_t *auth_eph(const struct tug_session *s)
{
    return s->auth + HEAD + (s->mode == MODE_NODE ? NAME : 0);
}

static int derive_keys(struct tug_session *s, struct tug_err *err)
{
    uint8_t q[KEY], master[64], c2s[KEY], s2c[KEY];
    const uint8_t *peer = s->side == TUG_SIDE_SERVER ? auth_eph(s) : hello_eph(s);
    if (crypto_scalarmult(q, s->eph_sec, peer) != 0)
        return tug_fail(err, -EPROTO, "the peer's ephemeral key is not a good one");
    crypto_generichash_state h;
    crypto_generichash_init(&h, s->mode == MODE_PSK ? s->o.psk : NULL,
                            s->mode == MODE_PSK ? KEY : 0, sizeof master);
    crypto_generichash_update(&h, (const uint8_t *) "tug-session-v1", 15);
    crypto_generichash_update(&h, q, sizeof q);
    crypto_generichash_update(&h, s->hello, hello_len(s));
    crypto_generichash_update(&h, s->auth, auth_len(s));
    crypto_generichash_final(&h, master, sizeof master);
    hash2(c2s, KEY, NULL, "c2s", master, sizeof master, NULL, 0);
    hash2(s2c, KEY, NULL, "s2c", master, sizeof master, NULL, 0);
    hash2(s->accept_key, KEY, NULL, "accept", master, sizeof master, NULL, 0);
    memcpy(s->in.key, s->side == TUG_SIDE_SERVER ? c2s : s2c, KEY);
    memcpy(s->out.key, s->side == TUG_SIDE_SERVER ? s2c : c2s, KEY);
    sodium_memzero(&h, sizeof h);
    sodium_memzero(q, sizeof q);
    sodium_memzero(master, sizeof master);
    sodium_memzero(c2s, sizeof c2s);
    sodium_memzero(s2c, sizeof s2c);
    sodium_memzero(s->eph_sec, sizeof s->eph_sec);
    return 0;
}

static void make_ephemeral(struct tug_session *s, uint8_t pub[KEY])
{
    randombytes_buf(s->eph_sec, KEY);
    crypto_scalarmult_base(pub, s->eph_sec);
}

/* ---- server ---- */

static void say_hello(struct tug_session *s, struct tug_buf *out)
{
    uint8_t *p = s->hello;
    put_head(s, p, KIND_HELLO);
    p += HEAD;
    if (s->mode == MODE_NODE) {
        memcpy(p, s->o.own->pub, KEY);
        p += KEY;
    }
    make_ephemeral(s, p);
    randombytes_buf(p + KEY, KEY);
    p += 2 * KEY;
    if (s->mode == MODE_NODE)
        tug_sign(s->o.own, "tug-hello-v1", s->hello, (size_t) (p - s->hello), p);
    tug_buf_add(out, s->hello, hello_len(s));
}

/* The name in an auth frame: terminated, printable, nothing behind it. */
static int take_name(struct tug_session *s, const uint8_t *p, struct tug_err *err)
{
    const uint8_t *nul = memchr(p, 0, NAME);
    int ok = nul && nul > p;
    for (const uint8_t *c = p; ok && c < p + NAME; c++)
        ok = c < nul ? *c > ' ' && *c < 0x7f : *c == 0;
    if (!ok)
        return tug_fail(err, -EPROTO, "the peer's name is not one");
    memcpy(s->peer_name, p, NAME);
    return 0;
}

static int check_auth_node(struct tug_session *s, struct tug_err *err)
{
    size_t signed_len = auth_len(s) - SIG;
    uint8_t digest[KEY], pub[KEY];
    int rc = take_name(s, s->auth + HEAD, err);
    if (rc)
        return rc;
    rc = s->o.node_key(s->o.arg, s->peer_name, pub);
    if (rc) {
        rc = tug_fail(err, -EACCES, "node '%s' has no key here", s->peer_name);
    } else {
        hash2(digest, KEY, NULL, "tug-auth-v1", s->hello, hello_len(s), s->auth, signed_len);
        if (tug_verify(pub, "tug-auth-v1", digest, KEY, s->auth + signed_len))
            rc = tug_fail(err, -EACCES, "somebody says to be node '%s' but does not have its key",
                          s->peer_name);
    }
    if (rc)
        s->peer_name[0] = '\0';
    return rc;
}

static int check_auth_psk(struct tug_session *s, struct tug_err *err)
{
    size_t proven_len = auth_len(s) - KEY;
    uint8_t proof[KEY];
    hash2(proof, KEY, s->o.psk, "tug-psk-v1 client", s->hello, hello_len(s), s->auth, proven_len);
    if (sodium_memcmp(proof, s->auth + proven_len, KEY) != 0)
        return tug_fail(err, -EACCES, "the peer does not have the shared key");
    return 0;
}

static void make_accept_proof(const struct tug_session *s, uint8_t proof[KEY])
{
    hash2(proof, KEY, s->accept_key, "tug-accept-v1", s->hello, hello_len(s), s->auth, auth_len(s));
}

static int on_auth(struct tug_session *s, struct tug_buf *out, struct tug_err *err)
{
    int rc = check_head(s, s->auth, KIND_AUTH, err);
    if (!rc)
        rc = s->mode == MODE_NODE ? check_auth_node(s, err) : check_auth_psk(s, err);
    if (!rc)
        rc = derive_keys(s, err);
    if (rc)
        return rc;
    put_head(s, s->accept, KIND_ACCEPT);
    make_accept_proof(s, s->accept + HEAD);
    tug_buf_add(out, s->accept, sizeof s->accept);
    s->state = UP;
    return 0;
}

/* ---- client ---- */

static int check_hello_node(const struct tug_session *s, struct tug_err *err)
{
    size_t signed_len = hello_len(s) - SIG;
    if (sodium_memcmp(s->hello + HEAD, s->o.peer_pub, KEY) != 0)
        return tug_fail(err, -EACCES,
                        "the controller there has another key than the one that is configured");
    if (tug_verify(s->o.peer_pub, "tug-hello-v1", s->hello, signed_len, s->hello + signed_len))
        return tug_fail(err, -EACCES, "the controller's signature is not good");
    return 0;
}

static int on_hello(struct tug_session *s, struct tug_buf *out, struct tug_err *err)
{
    int rc = check_head(s, s->hello, KIND_HELLO, err);
    if (!rc && s->mode == MODE_NODE)
        rc = check_hello_node(s, err);
    if (rc)
        return rc;
    uint8_t *p = s->auth + HEAD, digest[KEY];
    put_head(s, s->auth, KIND_AUTH);
    if (s->mode == MODE_NODE) {
        memset(p, 0, NAME);
        memcpy(p, s->o.own_name, strlen(s->o.own_name));
        p += NAME;
    }
    make_ephemeral(s, p);
    p += KEY;
    if (s->mode == MODE_NODE) {
        hash2(digest, KEY, NULL, "tug-auth-v1", s->hello, hello_len(s), s->auth,
              (size_t) (p - s->auth));
        tug_sign(s->o.own, "tug-auth-v1", digest, KEY, p);
    } else {
        randombytes_buf(p, KEY);
        p += KEY;
        hash2(p, KEY, s->o.psk, "tug-psk-v1 client", s->hello, hello_len(s), s->auth,
              (size_t) (p - s->auth));
    }
    rc = derive_keys(s, err);
    if (rc)
        return rc;
    tug_buf_add(out, s->auth, auth_len(s));
    s->state = WAIT_ACCEPT;
    return 0;
}

static int on_accept(struct tug_session *s, struct tug_err *err)
{
    uint8_t proof[KEY];
    int rc = check_head(s, s->accept, KIND_ACCEPT, err);
    if (rc)
        return rc;
    make_accept_proof(s, proof);
    if (sodium_memcmp(proof, s->accept + HEAD, KEY) != 0)
        return tug_fail(err, -EACCES, "the peer does not prove its key");
    s->state = UP;
    return 0;
}

/* ---- life ---- */

static int check_opts(enum tug_side side, const struct tug_net_opts *o, struct tug_err *err)
{
    if (o->auth == TUG_AUTH_UNIX)
        return tug_fail(err, -EINVAL, "a local connection has no handshake");
    if (o->auth == TUG_AUTH_PSK)
        return sodium_is_zero(o->psk, KEY) ? tug_fail(err, -EINVAL, "no shared key was given") : 0;
    if (!o->own)
        return tug_fail(err, -EINVAL, "no own key was given");
    if (side == TUG_SIDE_SERVER)
        return o->node_key ? 0
                           : tug_fail(err, -EINVAL, "nobody was named who knows the nodes' keys");
    if (!o->peer_pub)
        return tug_fail(err, -EINVAL, "no controller key was given");
    if (!o->own_name || !o->own_name[0] || strlen(o->own_name) >= NAME)
        return tug_fail(err, -EINVAL, "node name '%s' must have 1 to %d bytes",
                        o->own_name ? o->own_name : "", NAME - 1);
    return 0;
}

int tug_session_new(struct tug_session **out_session, enum tug_side side,
                    const struct tug_net_opts *o, struct tug_buf *out, struct tug_err *err)
{
    int rc = check_opts(side, o, err);
    if (rc)
        return rc;
    if (sodium_init() < 0)
        return tug_fail(err, -EIO, "libsodium does not start");
    struct tug_session *s = tug_new(struct tug_session);
    s->side = side;
    s->mode = o->auth == TUG_AUTH_NODE ? MODE_NODE : MODE_PSK;
    s->o = *o;
    s->state = WAIT_HELLO;
    if (side == TUG_SIDE_SERVER) {
        say_hello(s, out);
        s->state = WAIT_AUTH;
    }
    *out_session = s;
    return 0;
}

void tug_session_free(struct tug_session *s)
{
    if (!s)
        return;
    sodium_memzero(s, sizeof *s);
    free(s);
}

int tug_session_up(const struct tug_session *s)
{
    return s->state == UP;
}

const char *tug_session_peer_name(const struct tug_session *s)
{
    return s->peer_name;
}

static uint8_t *awaited(struct tug_session *s, size_t *len)
{
    switch (s->state) {
    case WAIT_HELLO:
        *len = hello_len(s);
        return s->hello;
    case WAIT_AUTH:
        *len = auth_len(s);
        return s->auth;
    case WAIT_ACCEPT:
        *len = sizeof s->accept;
        return s->accept;
    default:
        *len = 0;
        return s->accept;
    }
}

uint8_t *tug_session_room(struct tug_session *s, size_t *missing)
{
    size_t len;
    uint8_t *p = awaited(s, &len);
    *missing = len - s->have;
    return p + s->have;
}

int tug_session_got(struct tug_session *s, size_t n, struct tug_buf *out, struct tug_err *err)
{
    size_t len;
    int rc;
    if (s->state == REFUSED)
        return tug_fail(err, -EPROTO, "the handshake was refused");
    awaited(s, &len);
    tug_assert(s->state != UP && n <= len - s->have);
    s->have += n;
    if (s->have < len)
        return 0;
    s->have = 0;
    rc = s->state == WAIT_HELLO  ? on_hello(s, out, err)
         : s->state == WAIT_AUTH ? on_auth(s, out, err)
                                 : on_accept(s, err);
    if (rc)
        s->state = REFUSED;
    if (rc || s->state == UP) { /* the transcript and the psk are not needed any more */
        sodium_memzero(&s->o, sizeof s->o);
        sodium_memzero(s->eph_sec, sizeof s->eph_sec);
        sodium_memzero(s->accept_key, sizeof s->accept_key);
    }
    return rc;
}

/* ---- records ---- */

#define TAG crypto_aead_chacha20poly1305_ietf_ABYTES
_Static_assert(TUG_RECORD_OVER == 4 + TAG, "a record is length, text, tag");

static void next_nonce(struct direction *d, uint8_t nonce[12])
{
    memset(nonce, 0, 4);
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t) (d->count >> (8 * i));
}

static void count_record(struct direction *d)
{
    uint8_t next[KEY];
    if (++d->count % REKEY_EVERY)
        return;
    hash2(next, KEY, NULL, "tug-rekey-v1", d->key, KEY, NULL, 0);
    memcpy(d->key, next, KEY);
    sodium_memzero(next, KEY);
}

void tug_session_seal(struct tug_session *s, struct tug_buf *out, const void *text, size_t len)
{
    uint8_t nonce[12];
    tug_assert(s->state == UP && len > 0 && len <= TUG_RECORD_MAX);
    uint8_t *p = (uint8_t *) tug_buf_room(out, len + TUG_RECORD_OVER);
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t) (len >> (8 * i));
    next_nonce(&s->out, nonce);
    crypto_aead_chacha20poly1305_ietf_encrypt(p + 4, NULL, text, len, p, 4, NULL, nonce,
                                              s->out.key);
    count_record(&s->out);
    out->len += len + TUG_RECORD_OVER;
}

long tug_session_unseal(struct tug_session *s, uint8_t *data, size_t len, uint8_t **text, size_t *n,
                        struct tug_err *err)
{
    uint8_t nonce[12];
    if (s->state != UP)
        return tug_fail(err, -EPROTO, "the session has ended");
    if (len < 4)
        return 0;
    size_t body =
        (size_t) data[0] | (size_t) data[1] << 8 | (size_t) data[2] << 16 | (size_t) data[3] << 24;
    if (body == 0 || body > TUG_RECORD_MAX) {
        s->state = REFUSED;
        return tug_fail(err, -EPROTO, "a record says %zu bytes; 1 to %d are taken", body,
                        TUG_RECORD_MAX);
    }
    if (len < body + TUG_RECORD_OVER)
        return 0;
    next_nonce(&s->in, nonce);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(data + 4, NULL, NULL, data + 4, body + TAG, data,
                                                  4, nonce, s->in.key) != 0) {
        s->state = REFUSED;
        return tug_fail(err, -EPROTO, "a record was changed on its way");
    }
    count_record(&s->in);
    *text = data + 4;
    *n = body;
    return (long) (body + TUG_RECORD_OVER);
}
