/* check.c - is this launch order one to obey?
 *
 * This is where the network meets root. An order is 1,024 bytes at fixed offsets (proto/order.c); the payload is only
 * ever hashed. Layer: launch.
 */
#include "launch/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/wire.h"

#define DOMAIN "tug-order-v1"

static int check_signature(const struct tug_rules *rules, const uint8_t *order, const uint8_t *signature,
                           struct tug_err *err)
{
    crypto_generichash_state h;
    uint8_t digest[64];
    crypto_generichash_init(&h, NULL, 0, sizeof digest);
    crypto_generichash_update(&h, (const uint8_t *) DOMAIN, sizeof DOMAIN);     /* its NUL included */
    crypto_generichash_update(&h, order, TUG_ORDER_LEN);
    crypto_generichash_final(&h, digest, sizeof digest);
    if (crypto_sign_verify_detached(signature, digest, sizeof digest, rules->controller_pub) != 0)
        return tug_fail(err, -EACCES, "the launch order is not signed with the controller's key");
    return 0;
}

static int check_user(const struct tug_rules *rules, const struct tug_order *o, struct tug_err *err)
{
    if (rules->one_user) {
        if (o->uid != rules->self)
            return tug_fail(err, -EPERM, "the order is for uid %u, and this launcher can only run steps of uid %u, "
                            "as which it runs", o->uid, rules->self);
        return 0;
    }
    if (o->uid == 0)
        return tug_fail(err, -EPERM, "the order is for uid 0; root runs no steps");
    if (o->uid < rules->min_uid)
        return tug_fail(err, -EPERM, "the order is for uid %u; uids below %u (--min-uid) run no steps", o->uid,
                        rules->min_uid);
    if (o->uid == (uid_t) -1 || o->gid == (gid_t) -1)
        return tug_fail(err, -EPERM, "the order is for uid %u, gid %u; -1 is no identity", o->uid, o->gid);
    return 0;
}

static int check_payload(const struct tug_order *o, int fd, struct tug_err *err)
{
    const int sealed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    crypto_generichash_state h;
    uint8_t digest[TUG_ORDER_DIGEST_LEN], chunk[65536];
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & sealed) != sealed)
        return tug_fail(err, -EPROTO, "the payload is not a sealed memfd");
    if (fstat(fd, &st) < 0 || st.st_size > TUG_WIRE_PAYLOAD_MAX)
        return tug_fail(err, -EPROTO, "the payload is larger than %d bytes", TUG_WIRE_PAYLOAD_MAX);
    crypto_generichash_init(&h, NULL, 0, sizeof digest);
    for (off_t at = 0; at < st.st_size;) {
        ssize_t n = pread(fd, chunk, sizeof chunk, at);
        if (n <= 0)
            return tug_fail(err, -EPROTO, "the payload cannot be read");
        crypto_generichash_update(&h, chunk, (unsigned long long) n);
        at += n;
    }
    crypto_generichash_final(&h, digest, sizeof digest);
    if (sodium_memcmp(digest, o->payload_digest, sizeof digest) != 0)
        return tug_fail(err, -EPROTO, "the payload is not the one that the order names (its digest differs)");
    return 0;
}

int tug_check_order(const struct tug_rules *rules, const uint8_t order[TUG_ORDER_LEN],
                    const uint8_t signature[TUG_ORDER_SIG_LEN], int payload_fd, int64_t wall_ms,
                    struct tug_order *out, struct tug_err *err)
{
    struct tug_order o;
    int rc = check_signature(rules, order, signature, err);
    if (!rc)
        rc = tug_order_unpack(order, &o, err);
    if (rc)
        return rc;
    if (strcmp(o.cluster, rules->cluster) != 0)
        return tug_fail(err, -EPERM, "the order is for cluster '%s'; this is '%s'", o.cluster, rules->cluster);
    if (strcmp(o.node, rules->node) != 0)
        return tug_fail(err, -EPERM, "the order is for node '%s'; this is '%s'", o.node, rules->node);
    if (memcmp(o.boot_id, rules->boot_id, sizeof o.boot_id) != 0)
        return tug_fail(err, -EPERM, "the order is for another boot of node '%s'", o.node);
    if (o.epoch < rules->max_epoch)
        return tug_fail(err, -EPERM, "the order is of epoch %llu; epoch %llu has been obeyed",
                        (unsigned long long) o.epoch, (unsigned long long) rules->max_epoch);
    if (wall_ms > o.expires_wall_ms)
        return tug_fail(err, -EPERM, "the order expired %lld s ago (if it is new, this node's clock is wrong)",
                        (long long) (wall_ms - o.expires_wall_ms) / 1000);
    if (o.job == 0 || o.attempt == 0)
        return tug_fail(err, -EPERM, "the order names no job and attempt");
    rc = check_user(rules, &o, err);
    if (!rc)
        rc = check_payload(&o, payload_fd, err);
    if (!rc)
        *out = o;
    return rc;
}

int tug_check_load_key(const char *path, uint8_t out[32], struct tug_err *err)
{
    char text[128];
    struct stat st;
    size_t got = 0;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return tug_fail(err, -errno, "controller key %s: %s", path, strerror(errno));
    int bad_file = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) ||
                   (st.st_mode & 022);
    if (!bad_file)
        n = read(fd, text, sizeof text);
    close(fd);
    if (bad_file)
        return tug_fail(err, -EPERM, "controller key %s must be a file of root or of uid %u that nobody else can write",
                        path, geteuid());
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    if (n <= 0 || sodium_base642bin(out, 32, text, (size_t) n, NULL, &got, NULL, sodium_base64_VARIANT_ORIGINAL) ||
        got != 32)
        return tug_fail(err, -EINVAL, "controller key %s does not hold 32 bytes of base64 in one line", path);
    return 0;
}
