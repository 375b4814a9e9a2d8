/* order.c - the launch order from its 1,024 bytes
 *
 * Small enough to read in one go: this is what stands between the network and root. The way back, which the launcher does not
 * have, is order_pack.c. Layer: proto (libc only).
 */
#include "proto/order_impl.h"

#include <errno.h>
#include <string.h>

#define AT(member) offsetof(struct tug_order, member)
const struct tug_order_field tug_order_fields[N_FIELDS] = {
    /* 0: version, u32 */
    {"flags", U32, 4, AT(flags), 4},
    {"cluster", NAME, 8, AT(cluster), TUG_ORDER_NAME_MAX},
    {"node", NAME, 72, AT(node), TUG_ORDER_NAME_MAX},
    {"boot_id", RAW, 136, AT(boot_id), 16},
    {"epoch", U64, 152, AT(epoch), 8},
    {"job", U64, 160, AT(job), 8},
    {"attempt", U32, 168, AT(attempt), 4},
    {"step", U32, 172, AT(step), 4},
    {"uid", U32, 176, AT(uid), 4},
    {"gid", U32, 180, AT(gid), 4},
    {"n_gids", U32, 184, AT(n_gids), 4},
    {"cpus", U32, 188, AT(cpus), 4},
    {"gids", GIDS, 192, AT(gids), 4 * TUG_ORDER_GIDS_MAX},
    {"gpus", U64, 448, AT(gpus), 8},
    {"cpu_mask", RAW, 456, AT(cpu_mask), 128},
    {"mem_bytes", U64, 584, AT(mem_bytes), 8},
    {"pids_max", U32, 592, AT(pids_max), 4},
    /* 596: zero */
    {"expires_wall_ms", U64, 600, AT(expires_wall_ms), 8},
    {"payload_digest", RAW, 608, AT(payload_digest), TUG_ORDER_DIGEST_LEN},
    /* 640..1023: zero */
};
#define GAP_AT   596
#define TAIL_AT  640

static uint64_t get(const uint8_t *p, size_t len_bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len_bytes; i++)
        v |= (uint64_t) p[i] << (8 * i);
    return v;
}

static int all_zero(const uint8_t *p, size_t len_bytes)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len_bytes; i++)
        any |= p[i];
    return any == 0;
}

static int unpack_field(const struct tug_order_field *f, const uint8_t *from, struct tug_order *o,
                        struct tug_err *err)
{
    void *to = (char *) o + f->offset;
    uint32_t u32;
    uint64_t u64;
    const uint8_t *end;
    switch (f->kind) {
    case NAME:
        end = memchr(from, 0, f->len_bytes);
        if (!end)
            return tug_fail(err, -EPROTO, "launch order: %s name is not terminated", f->name);
        if (!all_zero(end, f->len_bytes - (size_t) (end - from)))
            return tug_fail(err, -EPROTO, "launch order: bytes after the %s name are not zero",
                            f->name);
        memcpy(to, from, f->len_bytes);
        return 0;
    case RAW:
        memcpy(to, from, f->len_bytes);
        return 0;
    case U32:
        u32 = (uint32_t) get(from, 4);
        memcpy(to, &u32, 4);
        return 0;
    case U64:
        u64 = get(from, 8);
        memcpy(to, &u64, 8);
        return 0;
    case GIDS: /* n_gids stands before it and was checked */
        for (uint32_t g = 0; g < TUG_ORDER_GIDS_MAX; g++) {
            o->gids[g] = (uint32_t) get(from + 4 * g, 4);
            if (g >= o->n_gids && o->gids[g])
                return tug_fail(err, -EPROTO,
                                "launch order: group entry %u is not zero, but only %u are counted",
                                g, o->n_gids);
        }
        return 0;
    }
    return 0;
}

int tug_order_unpack(const uint8_t in[TUG_ORDER_LEN], struct tug_order *out, struct tug_err *err)
{
    uint32_t version = (uint32_t) get(in, 4);
    if (version != TUG_ORDER_VERSION)
        return tug_fail(err, -EPROTO, "launch order: version %u; this program knows version %d",
                        version, TUG_ORDER_VERSION);
    if (!all_zero(in + GAP_AT, 4) || !all_zero(in + TAIL_AT, TUG_ORDER_LEN - TAIL_AT))
        return tug_fail(err, -EPROTO, "launch order: unused bytes are not zero");
    struct tug_order o = {0};
    for (size_t i = 0; i < N_FIELDS; i++) {
        int rc = unpack_field(&tug_order_fields[i], in + tug_order_fields[i].wire, &o, err);
        if (rc)
            return rc;
        if (tug_order_fields[i].offset == AT(n_gids) && o.n_gids > TUG_ORDER_GIDS_MAX)
            return tug_fail(err, -EPROTO, "launch order: %u supplementary groups; at most %d fit",
                            o.n_gids, TUG_ORDER_GIDS_MAX);
    }
    if (o.flags & ~TUG_ORDER_REQUEUEABLE)
        return tug_fail(err, -EPROTO, "launch order: flags 0x%x are not defined", o.flags);
    *out = o;
    return 0;
}
