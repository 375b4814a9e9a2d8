/* msg.c - frames and typed messages
 *
 * Owns the table made from msg.def, the arena, and the way from bytes to a checked message. What
 * always holds: a message leaves tug_msg_decode() only after its caps were checked, and no peer can
 * make us hold more memory for it than the arena's budget, whatever it sends. Layer: proto.
 */
#include "proto/msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "proto/caps.h"
#include "proto/client.pb-c.h"
#include "proto/launch.pb-c.h"
#include "proto/node.pb-c.h"
#include "proto/step.pb-c.h"

/* ---- the table ---- */

#define TUG_MSG(number, NAME, prefix, channel, max)                                                \
    [number] = {number, #NAME, &tugpb__##prefix##__descriptor, TUG_CH_##channel, max},
static const struct tug_msg_info infos[] = {
#include "proto/msg.def"
};
#undef TUG_MSG

const struct tug_msg_info *tug_msg_info(uint16_t number)
{
    if (number >= sizeof infos / sizeof infos[0] || !infos[number].name)
        return NULL;
    return &infos[number];
}

/* ---- frames ---- */

static const char *const channel_names[] = {
    [TUG_CH_CLIENT] = "client", [TUG_CH_NODE] = "node", [TUG_CH_STEPD] = "step daemon",
    [TUG_CH_STAR] = "gang",     [TUG_CH_RUN] = "run",   [TUG_CH_LAUNCH] = "launcher",
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t) (p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t) v;
    p[1] = (uint8_t) (v >> 8);
    p[2] = (uint8_t) (v >> 16);
    p[3] = (uint8_t) (v >> 24);
}

long tug_frame_cut(const void *data, size_t len, enum tug_channel channel, struct tug_frame *out,
                   struct tug_err *err)
{
    const uint8_t *p = data;
    if (len < TUG_FRAME_HEAD)
        return 0;
    uint32_t body = get32(p);
    uint16_t number = get16(p + 4), flags = get16(p + 6);
    const struct tug_msg_info *info = tug_msg_info(number);
    if (!info)
        return tug_fail(err, -EPROTO,
                        "frame of message number %u, which this version does not know", number);
    if (info->channel != channel)
        return tug_fail(err, -EPROTO, "frame %s does not belong on a %s connection", info->name,
                        channel_names[channel]);
    if (flags)
        return tug_fail(err, -EPROTO, "frame %s has flags 0x%x; none are defined", info->name,
                        flags);
    if (body > info->max_bytes)
        return tug_fail(err, -EPROTO, "frame %s says %u bytes; at most %zu are taken", info->name,
                        body, info->max_bytes);
    if (len - TUG_FRAME_HEAD < body)
        return 0;
    *out = (struct tug_frame){number, flags, get32(p + 8), p + TUG_FRAME_HEAD, body};
    return (long) TUG_FRAME_HEAD + (long) body;
}

void tug_frame_head(uint8_t out[TUG_FRAME_HEAD], uint16_t number, uint32_t rid, size_t len)
{
    put32(out, (uint32_t) len);
    out[4] = (uint8_t) number;
    out[5] = (uint8_t) (number >> 8);
    out[6] = out[7] = 0;
    put32(out + 8, rid);
}

void tug_msg_encode(struct tug_buf *out, enum tug_msg number, uint32_t rid,
                    const ProtobufCMessage *m)
{
    const struct tug_msg_info *info = tug_msg_info((uint16_t) number);
    tug_assert(info && m->descriptor == info->desc);
    size_t at = out->len;
    tug_buf_room(out, TUG_FRAME_HEAD);
    out->len += TUG_FRAME_HEAD;
    size_t len = tug_msg_pack(out, m);
    tug_frame_head((uint8_t *) out->data + at, info->number, rid, len);
}

/* ---- arena ---- */

#define ALIGN         16
#define FIRST_BLOCK   2048
#define LARGEST_BLOCK ((size_t) 256 << 10)
#define OWN_BLOCK     ((size_t) 32 << 10) /* from here on an allocation gets its own block */
#define LEAST_BUDGET  ((size_t) 64 << 10)

struct tug_arena_block {
    struct tug_arena_block *next, *prev;
    size_t size; /* this header included */
    size_t used;
};

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

#define BLOCK_HEAD ((sizeof(struct tug_arena_block) + ALIGN - 1) / ALIGN * ALIGN)

void tug_arena_clear(struct tug_arena *a)
{
    for (struct tug_arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (struct tug_arena){0};
}

void tug_arena_reset(struct tug_arena *a)
{
    struct tug_arena rest = *a;
    struct tug_arena_block *keep = a->head && a->head->size <= LARGEST_BLOCK ? a->head : NULL;

    *a = (struct tug_arena){.budget_bytes = a->budget_bytes};
    if (keep) {
        rest.head = keep->next;
        keep->next = NULL;
        keep->used = BLOCK_HEAD;
        a->head = keep;
        a->used_bytes = keep->size;
    }
    tug_arena_clear(&rest);
}

static size_t left_bytes(const struct tug_arena *a)
{
    size_t budget = a->budget_bytes ? a->budget_bytes : LEAST_BUDGET;
    return a->used_bytes < budget ? budget - a->used_bytes : 0;
}

/* A block of 'size' bytes; put behind the head when it is full from the start. NULL: over budget.
 */
static struct tug_arena_block *block_new(struct tug_arena *a, size_t size, int behind)
{
    if (size > left_bytes(a))
        return NULL;
    struct tug_arena_block *b = malloc(size);
    if (!b)
        return NULL;
    *b = (struct tug_arena_block){.size = size, .used = BLOCK_HEAD};
    if (behind && a->head) {
        b->prev = a->head;
        b->next = a->head->next;
        a->head->next = b;
    } else {
        b->next = a->head;
        a->head = b;
    }
    if (b->next)
        b->next->prev = b;
    a->used_bytes += size;
    return b;
}

static void block_free(struct tug_arena *a, struct tug_arena_block *b)
{
    if (b->prev)
        b->prev->next = b->next;
    else
        a->head = b->next;
    if (b->next)
        b->next->prev = b->prev;
    a->used_bytes -= b->size;
    free(b);
}

/* 'len' is a multiple of 8; what comes back is aligned to 8, or to 16 when 'align' says so. */
static void *carve(struct tug_arena *a, size_t len, size_t align)
{
    struct tug_arena_block *b = a->head;
    if (b) {
        size_t at = round_up(b->used, align);
        if (at <= b->size && len <= b->size - at) {
            b->used = at + len;
            return (char *) b + at;
        }
    }
    size_t size = b ? b->size * 2 : FIRST_BLOCK;
    size = size > LARGEST_BLOCK ? LARGEST_BLOCK : size;
    if (size > left_bytes(a))
        size = left_bytes(a);
    if (size < BLOCK_HEAD + len)
        size = BLOCK_HEAD + len;
    b = block_new(a, size, 0);
    if (!b)
        return NULL;
    b->used += len;
    return (char *) b + BLOCK_HEAD;
}

void *tug_arena_alloc(struct tug_arena *a, size_t len_bytes)
{
    if (len_bytes > SIZE_MAX / 2)
        return NULL;
    len_bytes = round_up(len_bytes ? len_bytes : 1, ALIGN);
    if (len_bytes < OWN_BLOCK)
        return carve(a, len_bytes, ALIGN);
    struct tug_arena_block *b = block_new(a, BLOCK_HEAD + len_bytes, 1);
    if (!b)
        return NULL;
    b->used = b->size;
    return (char *) b + BLOCK_HEAD;
}

/* ---- decode ---- */

/* protobuf-c frees while it decodes: its scratch tables (one for every sub-message with more than
 * 16 fields) and strings that a later field replaces. Given back they are used again, so that they
 * don't eat the budget. Each chunk has its size in the 8 bytes before it; freed ones wait in lists
 * by power of two. Lives for one decode only. */
#define CHUNK_HEAD 8
#define CLASSES    16

struct decoder {
    struct tug_arena *a;
    void *waiting[CLASSES];
    int over; /* the budget was hit */
};

static unsigned class_of(size_t len)
{
    unsigned c = 63 - (unsigned) __builtin_clzll(len);
    return c < CLASSES ? c : CLASSES - 1;
}

static uint64_t *chunk_size(void *p)
{
    return (uint64_t *) ((char *) p - CHUNK_HEAD);
}

static void *dec_alloc(void *arg, size_t len)
{
    struct decoder *d = arg;
    if (len > UINT32_MAX) {
        d->over = 1;
        return NULL;
    }
    len = round_up(len < 8 ? 8 : len, 8);
    char *p;
    if (len >= OWN_BLOCK) {
        p = tug_arena_alloc(d->a, len + ALIGN);
        p = p ? p + ALIGN : NULL;
    } else {
        void **list = &d->waiting[class_of(len)];
        if (*list && *chunk_size(*list) >= len) {
            p = *list;
            *list = *(void **) p;
            return p;
        }
        p = carve(d->a, len + CHUNK_HEAD, 8);
        p = p ? p + CHUNK_HEAD : NULL;
    }
    if (!p) {
        d->over = 1;
        return NULL;
    }
    *chunk_size(p) = len;
    return p;
}

static void dec_free(void *arg, void *p)
{
    struct decoder *d = arg;
    if (!p)
        return;
    size_t len = *chunk_size(p);
    if (len >= OWN_BLOCK) {
        block_free(d->a, (struct tug_arena_block *) ((char *) p - ALIGN - BLOCK_HEAD));
        return;
    }
    void **list = &d->waiting[class_of(len)];
    *(void **) p = *list;
    *list = p;
}

/* A decoded message is larger than its bytes: a rank that exited with 0 is 2 bytes and becomes 64,
 * and while its list is read protobuf-c wants up to 80 more; a job with few fields is 60 and
 * becomes 700. So small bodies may grow 96 times, up to 64 MiB; beyond that lists are paged and 4
 * times is plenty. */
static size_t default_budget(size_t body)
{
    size_t small = body * 96 + LEAST_BUDGET, large = body * 4 + LEAST_BUDGET;
    size_t cap = (size_t) 64 << 20;
    small = small < cap ? small : cap;
    return small > large ? small : large;
}

/* What a newer peer added is skipped, not kept: protobuf-c takes unknown fields that it then
 * encodes to bytes which it refuses, and a record in the store must never come from a peer's hand
 * like that. */
static void forget_unknown(ProtobufCMessage *m)
{
    m->n_unknown_fields = 0;
    m->unknown_fields = NULL;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        char *value = (char *) m + f->offset;
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        size_t n = 1;
        ProtobufCMessage **subs = (ProtobufCMessage **) (void *) value;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            n = *(size_t *) (void *) ((char *) m + f->quantifier_offset);
            subs = *(ProtobufCMessage ***) (void *) value;
        }
        for (size_t k = 0; k < n; k++)
            if (subs[k])
                forget_unknown(subs[k]);
    }
}

int tug_msg_decode(struct tug_arena *a, uint16_t number, const void *body, size_t len,
                   ProtobufCMessage **out, struct tug_err *err)
{
    const struct tug_msg_info *info = tug_msg_info(number);
    if (!info)
        return tug_fail(err, -EPROTO, "message number %u is not known", number);
    if (len > info->max_bytes)
        return tug_fail(err, -EPROTO, "message %s has %zu bytes; at most %zu are taken", info->name,
                        len, info->max_bytes);
    return tug_proto_decode(a, info->desc, body, len, out, err);
}

ProtobufCMessage *tug_proto_copy(const ProtobufCMessage *m)
{
    if (!m)
        return NULL;
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = tug_xmalloc(len + 1);
    protobuf_c_message_pack(m, bytes);
    ProtobufCMessage *copy = protobuf_c_message_unpack(m->descriptor, NULL, len, bytes);
    tug_assert(copy);
    free(bytes);
    return copy;
}

void tug_proto_drop(void *m)
{
    if (m)
        protobuf_c_message_free_unpacked(m, NULL);
}

static int decode_slowly(struct tug_arena *a, const ProtobufCMessageDescriptor *desc, const void *body, size_t len,
                         ProtobufCMessage **out, struct tug_err *err)
{
    struct decoder d = {.a = a};
    ProtobufCAllocator alloc = {dec_alloc, dec_free, &d};
    ProtobufCMessage *m =
        protobuf_c_message_unpack(desc, &alloc, len, len ? body : (const void *) "");
    if (!m && d.over)
        return tug_fail(err, -ENOMEM, "%s of %zu bytes needs more than %zu bytes of memory",
                        desc->short_name, len, a->budget_bytes);
    if (!m)
        return tug_fail(err, -EPROTO, "%zu bytes are not a %s", len, desc->short_name);
    forget_unknown(m);
    *out = m;
    return 0;
}

int tug_proto_decode(struct tug_arena *a, const ProtobufCMessageDescriptor *desc, const void *body,
                     size_t len, ProtobufCMessage **out, struct tug_err *err)
{
    if (!a->budget_bytes)
        a->budget_bytes = default_budget(len);
    ProtobufCMessage *m = tug_msg_unpack(a, desc, len ? body : (const void *) "", len);
    int rc = m ? 0 : decode_slowly(a, desc, body, len, &m, err);
    rc = rc ? rc : tug_msg_check(m, err);
    if (rc)
        return rc;
    *out = m;
    return 0;
}
