/* order_pack.c - the launch order as 1,024 bytes
 *
 * Layer: proto (libc only).
 */
#include <errno.h>
#include <string.h>

#include "proto/order_impl.h"

static void put(uint8_t *p, uint64_t v, size_t len_bytes)
{
    for (size_t i = 0; i < len_bytes; i++)
        p[i] = (uint8_t) (v >> (8 * i));
}

int tug_order_pack(const struct tug_order *o, uint8_t out[TUG_ORDER_LEN], struct tug_err *err)
{
    if (o->n_gids > TUG_ORDER_GIDS_MAX)
        return tug_fail(err, -EINVAL, "launch order: %u supplementary groups; at most %d fit",
                        o->n_gids, TUG_ORDER_GIDS_MAX);
    if (o->flags & ~TUG_ORDER_REQUEUEABLE)
        return tug_fail(err, -EINVAL, "launch order: flags 0x%x are not defined", o->flags);
    uint8_t wire[TUG_ORDER_LEN] = {0};
    put(wire, TUG_ORDER_VERSION, 4);
    for (size_t i = 0; i < N_FIELDS; i++) {
        const struct tug_order_field *f = &tug_order_fields[i];
        const void *from = (const char *) o + f->offset;
        uint8_t *to = wire + f->wire;
        uint32_t u32;
        uint64_t u64;
        switch (f->kind) {
        case NAME:
            if (!memchr(from, 0, f->len_bytes))
                return tug_fail(err, -EINVAL, "launch order: %s name is longer than %d bytes",
                                f->name, TUG_ORDER_NAME_MAX - 1);
            memcpy(to, from, strlen(from));
            break;
        case RAW:
            memcpy(to, from, f->len_bytes);
            break;
        case U32:
            memcpy(&u32, from, 4);
            put(to, u32, 4);
            break;
        case U64:
            memcpy(&u64, from, 8);
            put(to, u64, 8);
            break;
        case GIDS:
            for (uint32_t g = 0; g < o->n_gids; g++)
                put(to + 4 * g, o->gids[g], 4);
            break;
        }
    }
    memcpy(out, wire, TUG_ORDER_LEN);
    return 0;
}
