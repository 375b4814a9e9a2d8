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

#include "base/hashset.h"
#include "base/mem.h"
#include "base/vec.h"

struct tug_blob {
    uint8_t id[TUG_BLOB_ID_LEN];
    size_t holders;
    size_t len;
    uint8_t data[];
};

struct tug_blobs {
    struct tug_hashset by_id;
};

struct tug_blobs *tug_blobs_new(void)
{
    return tug_new(struct tug_blobs);
}

/* An id is a hash already. */
static uint32_t slot_of(const uint8_t *id)
{
    uint32_t slot;

    memcpy(&slot, id, sizeof slot);
    return slot;
}

static void blob_free(struct tug_blobs *s, struct tug_blob *blob)
{
    tug_hashset_remove(&s->by_id, slot_of(blob->id), blob);
    free(blob);
}

void tug_blobs_free(struct tug_blobs *s)
{
    size_t at = 0;

    if (!s)
        return;
    for (void *blob; (blob = tug_hashset_next(&s->by_id, &at)) != NULL;)
        free(blob);
    tug_hashset_clear(&s->by_id);
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

static int is_blob(const void *item, const void *id)
{
    return memcmp(((const struct tug_blob *) item)->id, id, TUG_BLOB_ID_LEN) == 0;
}

static struct tug_blob *find(const struct tug_blobs *s, const uint8_t *id)
{
    return tug_hashset_find(&s->by_id, slot_of(id), is_blob, id);
}

static struct tug_blob *add(struct tug_blobs *s, const uint8_t *id, const void *data, size_t len)
{
    struct tug_blob *blob = tug_xmalloc(sizeof *blob + len);

    memcpy(blob->id, id, TUG_BLOB_ID_LEN);
    blob->holders = 0;
    blob->len = len;
    if (len)
        memcpy(blob->data, data, len);
    tug_hashset_add(&s->by_id, slot_of(id), blob);
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
    return blob ? (const void *) blob->data : "";
}

const uint8_t *tug_blob_id(const struct tug_blob *blob)
{
    return blob->id;
}

int tug_blob_check(const char *id_hex, const void *data, size_t len, uint8_t id[TUG_BLOB_ID_LEN],
                   struct tug_err *err)
{
    char name[2 * TUG_BLOB_ID_LEN + 1];

    hash(id, data, len);
    hex(name, id);
    if (strcmp(name, id_hex) != 0)
        return tug_fail(err, -EILSEQ, "record blob/%s is damaged: its content has the hash %s",
                        id_hex, name);
    return 0;
}

void tug_blobs_restore(struct tug_blobs *s, const uint8_t id[TUG_BLOB_ID_LEN], const void *data,
                       size_t len)
{
    if (!find(s, id))
        add(s, id, data, len);
}

int tug_blobs_has(const struct tug_blobs *s, const uint8_t *id, size_t id_len)
{
    return id_len == 0 || (id_len == TUG_BLOB_ID_LEN && find(s, id));
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
    struct tug_vec(struct tug_blob *) idle = {0};
    char name[2 * TUG_BLOB_ID_LEN + 1];
    struct tug_blob *blob;
    size_t at = 0;

    while ((blob = tug_hashset_next(&s->by_id, &at)) != NULL)
        if (blob->holders == 0)
            tug_vec_push(&idle, blob);
    for (size_t i = 0; i < idle.len; i++) {
        hex(name, idle.at[i]->id);
        tug_batch_del(b, "blob", name);
        blob_free(s, idle.at[i]);
    }
    tug_vec_clear(&idle);
}
