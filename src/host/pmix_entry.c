/* pmix_entry.c - published data as bytes, without the PMIx library
 *
 * An entry is u32 rank, u32 length of key with its NUL, u32 length of value (all little-endian),
 * key, value. Layer: host.
 */
#include <string.h>

#include "host/pmix.h"

static void put32(struct tug_buf *b, size_t v)
{
    for (int i = 0; i < 4; i++)
        tug_buf_addc(b, (char) (v >> 8 * i));
}

static size_t get32(const uint8_t *p)
{
    return (size_t) p[0] | (size_t) p[1] << 8 | (size_t) p[2] << 16 | (size_t) p[3] << 24;
}

void tug_pmix_entry_add(struct tug_buf *out, const struct tug_pmix_entry *e)
{
    size_t key_len = strlen(e->key) + 1;

    put32(out, e->rank);
    put32(out, key_len);
    put32(out, e->value_len);
    tug_buf_add(out, e->key, key_len);
    tug_buf_add(out, e->value, e->value_len);
}

bool tug_pmix_entry_next(const void **data, size_t *len, struct tug_pmix_entry *out)
{
    const uint8_t *p = *data;
    size_t key_len, value_len;

    if (*len < 12)
        return false;
    key_len = get32(p + 4);
    value_len = get32(p + 8);
    if (key_len == 0 || key_len > *len - 12 || value_len > *len - 12 - key_len ||
        p[12 + key_len - 1])
        return false;
    out->rank = (unsigned) get32(p);
    out->key = (const char *) p + 12;
    out->value = p + 12 + key_len;
    out->value_len = value_len;
    *data = p + 12 + key_len + value_len;
    *len -= 12 + key_len + value_len;
    return true;
}
