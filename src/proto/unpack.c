/* unpack.c - bytes to a message in one walk
 *
 * protobuf-c makes a table of all fields before it reads the first, and asks an allocator for each. Here a field is read where it is
 * met; the array of a repeated one is as long as the rest of the bytes says. Only what is ordinary is done here: what is not (another
 * kind on the wire than the field's, a message in two pieces, bytes that are none) is left to protobuf-c, whose word counts.
 * Layer: proto.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "proto/msg.h"

enum { WIRE_VARINT = 0, WIRE_EIGHT = 1, WIRE_LENGTH = 2, WIRE_FOUR = 5 };
enum { TAG_MAX = 5, LENGTH_MAX = 5, VARINT_MAX = 10 }; /* bytes */

struct in {
    const uint8_t *p, *end;
};

/* How many bytes it has; 0: it is none. */
static size_t get_varint(struct in *in, uint64_t *out)
{
    size_t left = (size_t) (in->end - in->p), max = left < VARINT_MAX ? left : VARINT_MAX;
    uint64_t v = 0;
    for (size_t i = 0; i < max; i++) {
        uint8_t b = in->p[i];
        v |= (uint64_t) (b & 0x7f) << 7 * i;
        if (b & 0x80)
            continue;
        if (i + 1 == VARINT_MAX && b > 1)
            return 0;
        in->p += i + 1;
        *out = v;
        return i + 1;
    }
    return 0;
}

/* One field on the wire: its number and, by its kind, its value or where its bytes are. */
struct item {
    uint32_t id;
    unsigned wire;
    uint64_t v;
    struct in bytes;
};

static int get_item(struct in *in, struct item *it)
{
    uint64_t tag, len = 0;
    size_t n = get_varint(in, &tag);
    if (!n || n > TAG_MAX || tag > UINT32_MAX || tag >> 3 == 0)
        return 0;
    it->id = (uint32_t) (tag >> 3);
    it->wire = tag & 7;
    switch (it->wire) {
    case WIRE_VARINT: return get_varint(in, &it->v) != 0;
    case WIRE_EIGHT: len = 8; break;
    case WIRE_FOUR: len = 4; break;
    case WIRE_LENGTH:
        n = get_varint(in, &len);
        if (!n || n > LENGTH_MAX || len > INT_MAX)
            return 0;
        break;
    default: return 0;
    }
    if (len > (size_t) (in->end - in->p))
        return 0;
    it->bytes = (struct in){in->p, in->p + len};
    in->p += len;
    return 1;
}

/* Fields come in the order of their numbers, nearly always: *at is where the last one was found. */
static const ProtobufCFieldDescriptor *find(const ProtobufCMessageDescriptor *desc, uint32_t id, unsigned *at)
{
    const ProtobufCFieldDescriptor *f = desc->fields;
    if (*at == desc->n_fields || f[*at].id > id)
        *at = 0;
    while (*at < desc->n_fields && f[*at].id < id)
        ++*at;
    return *at < desc->n_fields && f[*at].id == id ? &f[*at] : NULL;
}

static int is_number(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_INT32 || type == PROTOBUF_C_TYPE_UINT32 || type == PROTOBUF_C_TYPE_ENUM ||
           type == PROTOBUF_C_TYPE_INT64 || type == PROTOBUF_C_TYPE_UINT64 || type == PROTOBUF_C_TYPE_BOOL;
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_BOOL: return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING: return sizeof(char *);
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(ProtobufCMessage *);
    default: return sizeof(uint32_t);
    }
}

static void set_number(ProtobufCType type, void *value, uint64_t v)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: *(uint64_t *) value = v; break;
    case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *) value = v != 0; break;
    default: *(uint32_t *) value = (uint32_t) v;
    }
}

static void set_double(double *value, const uint8_t *p)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof bits; i++)
        bits |= (uint64_t) p[i] << 8 * i;
    memcpy(value, &bits, sizeof bits);
}

static void *copy(struct tug_arena *a, const struct in *bytes, size_t more)
{
    size_t len = (size_t) (bytes->end - bytes->p);
    uint8_t *to = tug_arena_alloc(a, len + more);
    if (!to)
        return NULL;
    memcpy(to, bytes->p, len);
    memset(to + len, 0, more);
    return to;
}

static ProtobufCMessage *get_message(struct tug_arena *a, const ProtobufCMessageDescriptor *desc, struct in in);

/* The one value of a field, or the next of a repeated one. */
static int set(struct tug_arena *a, const ProtobufCFieldDescriptor *f, void *value, const struct item *it)
{
    ProtobufCBinaryData *data;
    if (is_number(f->type)) {
        set_number(f->type, value, it->v);
        return it->wire == WIRE_VARINT;
    }
    if (f->type == PROTOBUF_C_TYPE_DOUBLE) {
        if (it->wire == WIRE_EIGHT)
            set_double(value, it->bytes.p);
        return it->wire == WIRE_EIGHT;
    }
    if (it->wire != WIRE_LENGTH)
        return 0;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return (*(char **) value = copy(a, &it->bytes, 1)) != NULL;
    case PROTOBUF_C_TYPE_BYTES:
        data = value;
        data->len = (size_t) (it->bytes.end - it->bytes.p);
        data->data = data->len ? copy(a, &it->bytes, 0) : NULL;
        return !data->len || data->data;
    case PROTOBUF_C_TYPE_MESSAGE:
        return (*(ProtobufCMessage **) value = get_message(a, f->descriptor, it->bytes)) != NULL;
    default: return 0;
    }
}

static int is_packed(const ProtobufCFieldDescriptor *f, const struct item *it)
{
    return is_number(f->type) && it->wire == WIRE_LENGTH;
}

static size_t count_packed(const struct in *bytes)
{
    size_t n = 0;
    for (const uint8_t *p = bytes->p; p < bytes->end; p++)
        n += !(*p & 0x80);
    return n;
}

/* Values of the field in this item and in what follows; 0: what follows is not ordinary. */
static size_t count(const ProtobufCFieldDescriptor *f, struct item it, struct in rest)
{
    size_t n = 0;
    for (;;) {
        if (it.id == f->id)
            n += is_packed(f, &it) ? count_packed(&it.bytes) : 1;
        if (rest.p == rest.end)
            return n;
        if (!get_item(&rest, &it))
            return 0;
    }
}

static int add_packed(const ProtobufCFieldDescriptor *f, char *values, size_t *n, struct in bytes)
{
    uint64_t v;
    while (bytes.p < bytes.end) {
        if (!get_varint(&bytes, &v))
            return 0;
        set_number(f->type, values + (*n)++ * size_of(f->type), v);
    }
    return 1;
}

static int add(struct tug_arena *a, const ProtobufCFieldDescriptor *f, ProtobufCMessage *m, const struct item *it, struct in rest)
{
    size_t *n = (size_t *) (void *) ((char *) m + f->quantifier_offset);
    char **values = (char **) (void *) ((char *) m + f->offset);
    if (!is_number(f->type) && f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_BYTES &&
        f->type != PROTOBUF_C_TYPE_MESSAGE)
        return 0;
    if (is_packed(f, it) && it->bytes.p == it->bytes.end)
        return 1;
    if (*n == 0) {
        size_t all = count(f, *it, rest);
        if (!all || all > SIZE_MAX / 64)
            return 0;
        *values = tug_arena_alloc(a, all * size_of(f->type));
        if (!*values)
            return 0;
    }
    if (is_packed(f, it))
        return add_packed(f, *values, n, it->bytes);
    return set(a, f, *values + (*n)++ * size_of(f->type), it);
}

static int get_field(struct tug_arena *a, const ProtobufCFieldDescriptor *f, ProtobufCMessage *m, const struct item *it,
                     struct in rest)
{
    char *value = (char *) m + f->offset;
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return add(a, f, m, it, rest);
    if (f->label != PROTOBUF_C_LABEL_NONE || f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return 0;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && *(ProtobufCMessage **) (void *) value)
        return 0; /* the second piece */
    return set(a, f, value, it);
}

static ProtobufCMessage *get_message(struct tug_arena *a, const ProtobufCMessageDescriptor *desc, struct in in)
{
    ProtobufCMessage *m = tug_arena_alloc(a, desc->sizeof_message);
    struct item it;
    unsigned at = 0;
    if (!m)
        return NULL;
    desc->message_init(m);
    while (in.p < in.end) {
        if (!get_item(&in, &it))
            return NULL;
        const ProtobufCFieldDescriptor *f = find(desc, it.id, &at);
        if (f && !get_field(a, f, m, &it, in)) /* what a newer peer added is passed over */
            return NULL;
    }
    return m;
}

ProtobufCMessage *tug_msg_unpack(struct tug_arena *a, const ProtobufCMessageDescriptor *desc, const void *data, size_t len)
{
    struct in in = {data, (const uint8_t *) data + len};
    return desc->message_init ? get_message(a, desc, in) : NULL;
}
