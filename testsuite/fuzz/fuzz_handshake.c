/* fuzz_handshake.c - bytes from somebody without a key never bring a session up, and cost little
 * memory
 *
 * The first byte: bit 0 node or psk, bit 1 which side is attacked, bit 2 how: as they are, or as
 * changes to a real handshake and a real record (pairs of place and mask). */
#include "fuzz.h"

#include <errno.h>
#include <sodium.h>

#include "host/session.h"

#define PREAUTH_MAX 16384 /* bytes of one allocation */

/* From the sanitizer's runtime: called for every allocation. */
__attribute__((weak)) int
__sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                          void (*on_free)(const volatile void *));
static int watching;

static void on_malloc(const volatile void *p, size_t len)
{
    (void) p;
    tug_assert(!watching || len <= PREAUTH_MAX);
}

static void on_free(const volatile void *p)
{
    (void) p;
}

static struct tug_keypair server_key, node_key;

static int knows_node(void *arg, const char *name, uint8_t pub[32])
{
    (void) arg;
    if (strcmp(name, "n") != 0)
        return -ENOENT;
    memcpy(pub, node_key.pub, 32);
    return 0;
}

static void make_keys(void)
{
    uint8_t seed[32] = {1};
    tug_assert(sodium_init() >= 0);
    crypto_sign_seed_keypair(server_key.pub, server_key.sec, seed);
    seed[0] = 2;
    crypto_sign_seed_keypair(node_key.pub, node_key.sec, seed);
    if (__sanitizer_install_malloc_and_free_hooks)
        __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}

static struct tug_session *session(enum tug_side side, enum tug_auth auth, struct tug_buf *out)
{
    struct tug_net_opts o = {
        .auth = auth, .channel = TUG_CH_NODE, .own_name = "n", .node_key = knows_node};
    struct tug_session *s = NULL;
    o.own = side == TUG_SIDE_SERVER ? &server_key : &node_key;
    o.peer_pub = server_key.pub;
    memset(o.psk, 5, sizeof o.psk);
    tug_assert(tug_session_new(&s, side, &o, out, NULL) == 0);
    return s;
}

/* In pieces of 'step' bytes. */
static int feed(struct tug_session *s, const uint8_t *data, size_t len, size_t step,
                struct tug_buf *out)
{
    int rc = 0;
    while (!rc && len && !tug_session_up(s)) {
        size_t missing;
        uint8_t *to = tug_session_room(s, &missing);
        tug_assert(missing > 0 && missing <= TUG_HANDSHAKE_MAX);
        size_t n = missing < len ? missing : len;
        n = n < step ? n : step;
        memcpy(to, data, n);
        data += n;
        len -= n;
        struct tug_err err = {0};
        rc = tug_session_got(s, n, out, &err);
        tug_assert(rc == 0 || ((rc == -EPROTO || rc == -EACCES) && err.msg[0]));
    }
    return rc;
}

static void as_they_are(enum tug_side side, enum tug_auth auth, const uint8_t *data, size_t len)
{
    struct tug_buf out = {0};
    struct tug_session *s = session(side, auth, &out);
    feed(s, data, len, len ? 1 + data[0] % 200u : 1, &out);
    tug_assert(!tug_session_up(s));
    tug_assert(out.len <= 2 * TUG_HANDSHAKE_MAX);
    tug_buf_clear(&out);
    tug_session_free(s);
}

/* XOR the pairs that concern bytes start.. of the conversation; how many bytes differ after it. */
static int change(struct tug_buf *wire, size_t start, const uint8_t *data, size_t len)
{
    int changed = 0;
    uint8_t *before = tug_xmemdup(wire->data, wire->len);
    for (size_t i = 0; i + 2 < len; i += 3) {
        size_t at = (size_t) data[i] | (size_t) data[i + 1] << 8;
        if (at >= start && at < start + wire->len)
            wire->data[at - start] = (char) (wire->data[at - start] ^ data[i + 2]);
    }
    changed = memcmp(before, wire->data, wire->len) != 0;
    free(before);
    return changed;
}

static void as_changes(enum tug_auth auth, const uint8_t *data, size_t len)
{
    struct tug_buf wire[5] = {{0}};
    struct tug_session *s = session(TUG_SIDE_SERVER, auth, &wire[0]),
                       *c = session(TUG_SIDE_CLIENT, auth, &wire[3]);
    size_t start = 0, n;
    int changed = 0, rc = 0;
    for (int i = 0; i < 3 && !rc; i++) {
        changed |= change(&wire[i], start, data, len);
        start += wire[i].len;
        rc = feed(i == 1 ? s : c, (uint8_t *) wire[i].data, wire[i].len, 1000, &wire[i + 1]);
    }
    int both = tug_session_up(s) && tug_session_up(c);
    tug_assert(both == !changed);
    if (both) {
        uint8_t *text;
        tug_session_seal(c, &wire[4], "a record", 8);
        changed = change(&wire[4], start, data, len);
        long took = tug_session_unseal(s, (uint8_t *) wire[4].data, wire[4].len, &text, &n, NULL);
        tug_assert(changed ? took <= 0 : took == (long) wire[4].len && n == 8);
    }
    for (int i = 0; i < 5; i++)
        tug_buf_clear(&wire[i]);
    tug_session_free(s);
    tug_session_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static int ready;
    if (!ready)
        make_keys();
    ready = 1;
    if (len < 1)
        return 0;
    enum tug_auth auth = data[0] & 1 ? TUG_AUTH_PSK : TUG_AUTH_NODE;
    watching = 1;
    if (data[0] & 4)
        as_changes(auth, data + 1, len - 1);
    else
        as_they_are(data[0] & 2 ? TUG_SIDE_CLIENT : TUG_SIDE_SERVER, auth, data + 1, len - 1);
    watching = 0;
    return 0;
}
