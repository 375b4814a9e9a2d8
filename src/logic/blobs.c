/* blobs.c - scripts and environments, kept once per content
 *
 * A hash table by id; every blob's id is BLAKE2b-256 of its bytes, so equal content is one blob and
 * a damaged record is noticed. Layer: logic.
 */
#include "logic/blobs.h"

#include <errno.h>
#include <sodium/crypto_generichash.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"

struct tug_blob {
    uint8_t id[TUG_BLOB_ID_LEN];
    size_t holders;
    size_t len;
    void *data;
    UT_hash_handle hh;
};

struct tug_blobs {
    struct tug_blob *by_id;
};

struct tug_blobs *tug_blobs_new(void)
{
    return tug_new(struct tug_blobs);
}

static void blob_free(struct tug_blobs *s, struct tug_blob *blob)
{
    HASH_DEL(s->by_id, blob);
    free(blob->data);
    free(blob);
}

void tug_blobs_free(struct tug_blobs *s)
{
    struct tug_blob *blob, *next;

    if (!s)
        return;
    HASH_ITER (hh, s->by_id, blob, next)
        blob_free(s, blob);
    free(s);
}

static void hash(uint8_t id[TUG_BLOB_ID_LEN], const void *data, size_t len)
{
    crypto_generichash(id, TUG_BLOB_ID_LEN, data, len, NULL, 0);
}

static void hex(char out[2 * TUG_BLOB_ID_LEN + 1], const uint8_t *id)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < TUG_BLOB_ID_LEN; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[2 * TUG_BLOB_ID_LEN] = '\0';
}

static struct tug_blob *find(struct tug_blobs *s, const uint8_t *id)
{
    struct tug_blob *blob;

    HASH_FIND(hh, s->by_id, id, TUG_BLOB_ID_LEN, blob);
    return blob;
}

static struct tug_blob *add(struct tug_blobs *s, const uint8_t *id, const void *data, size_t len)
{
    struct tug_blob *blob = tug_new(struct tug_blob);

    memcpy(blob->id, id, TUG_BLOB_ID_LEN);
    blob->data = tug_xmemdup(data, len);
    blob->len = len;
    HASH_ADD(hh, s->by_id, id, TUG_BLOB_ID_LEN, blob);
    return blob;
}

struct tug_blob *tug_blobs_hold(struct tug_blobs *s, const void *data, size_t len,
                                struct tug_batch *b)
{
    uint8_t id[TUG_BLOB_ID_LEN];
    char name[2 * TUG_BLOB_ID_LEN + 1];
    struct tug_blob *blob;

    if (len == 0)
        return NULL;
    hash(id, data, len);
    blob = find(s, id);
    if (!blob) {
        blob = add(s, id, data, len);
        hex(name, id);
        tug_batch_put(b, "blob", name, data, len);
    }
    blob->holders++;
    return blob;
}

void tug_blobs_drop(struct tug_blobs *s, struct tug_blob *blob, struct tug_batch *b)
{
    char name[2 * TUG_BLOB_ID_LEN + 1];

    if (!blob)
        return;
    tug_assert(blob->holders > 0);
    if (--blob->holders)
        return;
    hex(name, blob->id);
    tug_batch_del(b, "blob", name);
    blob_free(s, blob);
}

const void *tug_blob_data(const struct tug_blob *blob, size_t *len_out)
{
    *len_out = blob ? blob->len : 0;
    return blob ? blob->data : "";
}

const uint8_t *tug_blob_id(const struct tug_blob *blob)
{
    return blob->id;
}

int tug_blobs_restore(struct tug_blobs *s, const char *id_hex, const void *data, size_t len,
                      struct tug_err *err)
{
    uint8_t id[TUG_BLOB_ID_LEN];
    char name[2 * TUG_BLOB_ID_LEN + 1];

    hash(id, data, len);
    hex(name, id);
    if (strcmp(name, id_hex) != 0)
        return tug_fail(err, -EILSEQ, "record blob/%s is damaged: its content has the hash %s",
                        id_hex, name);
    if (!find(s, id))
        add(s, id, data, len);
    return 0;
}

struct tug_blob *tug_blobs_hold_id(struct tug_blobs *s, const uint8_t *id, size_t id_len)
{
    struct tug_blob *blob = id_len == TUG_BLOB_ID_LEN ? find(s, id) : NULL;

    if (blob)
        blob->holders++;
    return blob;
}

void tug_blobs_sweep(struct tug_blobs *s, struct tug_batch *b)
{
    struct tug_blob *blob, *next;
    char name[2 * TUG_BLOB_ID_LEN + 1];

    HASH_ITER (hh, s->by_id, blob, next)
        if (blob->holders == 0) {
            hex(name, blob->id);
            tug_batch_del(b, "blob", name);
            blob_free(s, blob);
        }
}
