/* keys.c - Ed25519 keys in files, and signatures with a domain
 *
 * A key file is one line of base64: 'path' the 64-byte secret (0600, refused when others may read
 * it), 'path'.pub the 32-byte public key. Both are written beside and renamed, so that a crash
 * leaves either no key or a whole one. Layer: host.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/net.h"

#define B64 sodium_base64_VARIANT_ORIGINAL

int tug_keypair_make(struct tug_keypair *k)
{
    if (sodium_init() < 0)
        return -EIO;
    crypto_sign_keypair(k->pub, k->sec);
    return 0;
}

/* The one line of 'path' as exactly 'len' bytes; secret: nobody but the owner may read the file. */
static int read_key(const char *path, uint8_t *out, size_t len, int secret, struct tug_err *err)
{
    char text[256];
    struct stat st;
    int rc = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return tug_fail(err, -errno, "key file %s: %s", path, strerror(errno));
    ssize_t n = -1;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        rc = tug_fail(err, -EINVAL, "key file %s is not a regular file", path);
    else if (secret && (st.st_mode & 077))
        rc = tug_fail(err, -EPERM, "key file %s can be read by others (mode %04o); chmod 600 it",
                      path, (unsigned) (st.st_mode & 07777));
    else if ((n = read(fd, text, sizeof text)) < 0)
        rc = tug_fail(err, -errno, "key file %s: %s", path, strerror(errno));
    if (!rc) {
        size_t got = 0;
        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
            n--;
        if (sodium_base642bin(out, len, text, (size_t) n, NULL, &got, NULL, B64) != 0 || got != len)
            rc = tug_fail(err, -EINVAL, "key file %s does not hold %zu bytes of base64 in one line",
                          path, len);
    }
    sodium_memzero(text, sizeof text);
    close(fd);
    return rc;
}

static int write_key(const char *path, const uint8_t *key, size_t len, mode_t mode,
                     struct tug_err *err)
{
    char text[128];
    char *tmp = tug_xasprintf("%s.tmp.%d", path, (int) getpid());
    int rc = 0;
    sodium_bin2base64(text, sizeof text - 1, key, len, B64);
    size_t n = strlen(text);
    text[n++] = '\n';
    unlink(tmp);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0 || fchmod(fd, mode) < 0 || write(fd, text, n) != (ssize_t) n || fsync(fd) < 0 ||
        rename(tmp, path) < 0) {
        rc = tug_fail(err, errno ? -errno : -EIO, "key file %s cannot be written: %s", path,
                      strerror(errno));
        unlink(tmp);
    }
    if (fd >= 0)
        close(fd);
    sodium_memzero(text, sizeof text);
    free(tmp);
    return rc;
}

int tug_keypair_load(const char *path, struct tug_keypair *out, int create, struct tug_err *err)
{
    struct tug_keypair k;
    char *pub_path = tug_xasprintf("%s.pub", path);
    int rc;
    if (sodium_init() < 0) {
        rc = tug_fail(err, -EIO, "libsodium does not start");
        goto out;
    }
    if (create && access(path, F_OK) != 0 && errno == ENOENT) {
        crypto_sign_keypair(k.pub, k.sec);
        /* The public one first: a secret key that exists always has its public one. */
        rc = write_key(pub_path, k.pub, sizeof k.pub, 0644, err);
        rc = rc ? rc : write_key(path, k.sec, sizeof k.sec, 0600, err);
    } else {
        rc = read_key(path, k.sec, sizeof k.sec, 1, err);
        if (!rc)
            crypto_sign_ed25519_sk_to_pk(k.pub, k.sec);
    }
    if (!rc)
        *out = k;
    sodium_memzero(&k, sizeof k);
out:
    free(pub_path);
    return rc;
}

int tug_pubkey_load(const char *path, uint8_t out[32], struct tug_err *err)
{
    uint8_t pub[32];
    int rc = read_key(path, pub, sizeof pub, 0, err);
    if (!rc)
        memcpy(out, pub, sizeof pub);
    return rc;
}

/* The signature is over BLAKE2b-512("domain\0", data): no message of one kind can be taken for
 * another. */
static void digest(const char *domain, const void *data, size_t len, uint8_t out[64])
{
    crypto_generichash_state h;
    crypto_generichash_init(&h, NULL, 0, 64);
    crypto_generichash_update(&h, (const uint8_t *) domain, strlen(domain) + 1);
    crypto_generichash_update(&h, data, len);
    crypto_generichash_final(&h, out, 64);
}

void tug_sign(const struct tug_keypair *k, const char *domain, const void *data, size_t len,
              uint8_t sig[64])
{
    uint8_t d[64];
    tug_assert(sodium_init() >= 0);
    digest(domain, data, len, d);
    crypto_sign_detached(sig, NULL, d, sizeof d, k->sec);
}

int tug_verify(const uint8_t pub[32], const char *domain, const void *data, size_t len,
               const uint8_t sig[64])
{
    uint8_t d[64];
    tug_assert(sodium_init() >= 0);
    digest(domain, data, len, d);
    return crypto_sign_verify_detached(sig, d, sizeof d, pub) == 0 ? 0 : -EACCES;
}
