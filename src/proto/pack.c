/* pack.c - a message to bytes in one walk
 *
 * protobuf-c walks twice, for the size and for the bytes, and looks each field up by a switch in both: a list of
 * 10,000 jobs spends half of its time there. Here a field that is zero costs one load and one compare, and the length
 * of a sub-message is put in front of it when it is known. The bytes are those that protobuf_c_message_pack() makes;
 * only what our .proto files use is known here (asserted): no optional, no oneof, no groups. Layer: proto.
 */
#include <string.h>

#include "proto/msg.h"

#define VARINT_MAX 10
#define GROWTH     256 /* room is asked for at least in these steps */

enum { WIRE_VARINT = 0, WIRE_EIGHT = 1, WIRE_LENGTH = 2 };

struct packer {
    struct tug_buf *out;
    uint8_t *p, *end; /* free room inside out->data; out->len is set when it moves and at the end */
};

static void room_slow(struct packer *w, size_t n)
{
    if (w->p)
        w->out->len = (size_t) (w->p - (uint8_t *) w->out->data);
    size_t more = w->out->len / 2 > GROWTH ? w->out->len / 2 : GROWTH;
    n = n > more ? n : more;
    w->p = (uint8_t *) tug_buf_room(w->out, n);
    w->end = w->p + n;
}

static inline void room(struct packer *w, size_t n)
{
    if ((size_t) (w->end - w->p) < n)
        room_slow(w, n);
}

/* The caller has made room. */
static inline void put_varint(struct packer *w, uint64_t v)
{
    while (v >= 0x80) {
        *w->p++ = (uint8_t) (v | 0x80);
        v >>= 7;
    }
    *w->p++ = (uint8_t) v;
}

static inline void put_tag(struct packer *w, const ProtobufCFieldDescriptor *f, unsigned wire)
{
    put_varint(w, (uint64_t) f->id << 3 | wire);
}

static void put_bytes(struct packer *w, const ProtobufCFieldDescriptor *f, const void *data, size_t len)
{
    room(w, 2 * VARINT_MAX + len);
    put_tag(w, f, WIRE_LENGTH);
    put_varint(w, len);
    if (len)
        memcpy(w->p, data, len);
    w->p += len;
}

/* A scalar as the number that goes on the wire: negative ones are sign-extended to 64 bits. */
static inline uint64_t scalar(ProtobufCType type, const void *value)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM: return (uint64_t) (int64_t) *(const int32_t *) value;
    case PROTOBUF_C_TYPE_UINT32: return *(const uint32_t *) value;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: return *(const uint64_t *) value;
    case PROTOBUF_C_TYPE_BOOL: return *(const protobuf_c_boolean *) value != 0;
    default: tug_assert(!"a type of field that our messages use"); return 0;
    }
}

/* Eight bytes, the lowest first. Neither zero is written. */
static void put_double(struct packer *w, const ProtobufCFieldDescriptor *f, const double *value)
{
    uint64_t bits;

    if (*value == 0)
        return;
    memcpy(&bits, value, sizeof bits);
    room(w, VARINT_MAX + sizeof bits);
    put_tag(w, f, WIRE_EIGHT);
    for (size_t i = 0; i < sizeof bits; i++)
        *w->p++ = (uint8_t) (bits >> 8 * i);
}

static size_t scalar_size(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_INT64 || type == PROTOBUF_C_TYPE_UINT64 ? 8
           : type == PROTOBUF_C_TYPE_BOOL                                  ? sizeof(protobuf_c_boolean)
                                                                           : 4;
}

static void put_fields(struct packer *w, const ProtobufCMessage *m);

/* What was written since 'start' gets its length in front: one byte has been kept free for it. */
static void close_length(struct packer *w, size_t start)
{
    uint8_t *at = (uint8_t *) w->out->data + start, text[VARINT_MAX];
    size_t len = (size_t) (w->p - at) - 1, n = 0;

    for (uint64_t v = len; n == 0 || v; v >>= 7)
        text[n++] = (uint8_t) ((v & 0x7f) | (v >= 0x80 ? 0x80 : 0));
    if (n > 1) {
        room(w, n - 1);
        at = (uint8_t *) w->out->data + start;
        memmove(at + n, at + 1, len);
        w->p += n - 1;
    }
    memcpy(at, text, n);
}

static size_t open_length(struct packer *w, const ProtobufCFieldDescriptor *f)
{
    room(w, VARINT_MAX + 1);
    put_tag(w, f, WIRE_LENGTH);
    w->p++;
    return (size_t) (w->p - (uint8_t *) w->out->data) - 1;
}

static void put_message(struct packer *w, const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m)
{
    size_t start = open_length(w, f);

    put_fields(w, m);
    close_length(w, start);
}

static void put_repeated(struct packer *w, const ProtobufCFieldDescriptor *f, const void *values, size_t n)
{
    size_t start;

    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        for (size_t i = 0; i < n; i++)
            put_bytes(w, f, ((char *const *) values)[i], strlen(((char *const *) values)[i]));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        for (size_t i = 0; i < n; i++)
            put_bytes(w, f, ((const ProtobufCBinaryData *) values)[i].data, ((const ProtobufCBinaryData *) values)[i].len);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        for (size_t i = 0; i < n; i++)
            put_message(w, f, ((ProtobufCMessage *const *) values)[i]);
        break;
    default:
        tug_assert(f->flags & PROTOBUF_C_FIELD_FLAG_PACKED);
        start = open_length(w, f);
        for (size_t i = 0; i < n; i++) {
            room(w, VARINT_MAX);
            put_varint(w, scalar(f->type, (const char *) values + i * scalar_size(f->type)));
        }
        close_length(w, start);
    }
}

static void put_one(struct packer *w, const ProtobufCFieldDescriptor *f, const void *value)
{
    const ProtobufCMessage *sub;
    const ProtobufCBinaryData *bytes;
    const char *text;
    uint64_t v;

    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        text = *(char *const *) value;
        if (text && *text)
            put_bytes(w, f, text, strlen(text));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        bytes = value;
        if (bytes->len)
            put_bytes(w, f, bytes->data, bytes->len);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        sub = *(ProtobufCMessage *const *) value;
        if (sub)
            put_message(w, f, sub);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        put_double(w, f, value);
        break;
    default:
        v = scalar(f->type, value);
        if (!v)
            break;
        room(w, 2 * VARINT_MAX);
        put_tag(w, f, WIRE_VARINT);
        put_varint(w, v);
    }
}

static void put_fields(struct packer *w, const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const char *value = (const char *) m + f->offset;

        if (f->label == PROTOBUF_C_LABEL_NONE) {
            tug_assert(!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF));
            put_one(w, f, value);
        } else {
            size_t n = *(const size_t *) (const void *) ((const char *) m + f->quantifier_offset);

            tug_assert(f->label == PROTOBUF_C_LABEL_REPEATED);
            if (n)
                put_repeated(w, f, *(void *const *) (const void *) value, n);
        }
    }
}

size_t tug_msg_pack(struct tug_buf *out, const ProtobufCMessage *m)
{
    struct packer w = {.out = out};
    size_t before = out->len;

    put_fields(&w, m);
    if (w.p) {
        out->len = (size_t) (w.p - (uint8_t *) out->data);
        out->data[out->len] = '\0';
    }
    return out->len - before;
}
