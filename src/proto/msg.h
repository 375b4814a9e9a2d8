/* msg.h - frames and typed messages
 *
 * A frame is a 12-byte header and a body of protobuf:
 *     u32 length of the body   u16 message number   u16 flags (0)   u32 request id     (all little-endian)
 * The request id is the caller's; a reply carries the same one, a message that answers nothing carries 0.
 * A body is decoded into an arena with a byte budget; then every cap of caps.def is checked. Layer: proto.
 */
#ifndef TUG_PROTO_MSG_H
#define TUG_PROTO_MSG_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define TUG_FRAME_HEAD 12

enum tug_channel { TUG_CH_CLIENT, TUG_CH_NODE, TUG_CH_STEPD, TUG_CH_STAR, TUG_CH_RUN, TUG_CH_LAUNCH };

enum tug_msg {
#define TUG_MSG(number, NAME, prefix, channel, max) TUG_MSG_##NAME = number,
#include "proto/msg.def"
#undef TUG_MSG
};

struct tug_msg_info {
    uint16_t number;
    const char *name;                          /* "SUBMIT_REQUEST" */
    const ProtobufCMessageDescriptor *desc;
    enum tug_channel channel;
    size_t max_bytes;                          /* of the body */
};
/* NULL: no such message. */
const struct tug_msg_info *tug_msg_info(uint16_t number);

struct tug_frame {
    uint16_t number;
    uint16_t flags;
    uint32_t rid;
    const uint8_t *body;                       /* borrowed from the bytes that it was cut from */
    size_t len;
};

/* Cut the next frame of 'channel' from bytes.
 *   > 0      bytes that it takes (header included); *out is set
 *   0        more bytes are needed
 *   -EPROTO  unknown number, wrong channel, flags set, or larger than its cap: close the connection */
long tug_frame_cut(const void *data, size_t len, enum tug_channel channel, struct tug_frame *out, struct tug_err *err);

/* The header of a frame whose body the caller has already. */
void tug_frame_head(uint8_t out[TUG_FRAME_HEAD], uint16_t number, uint32_t rid, size_t len);

/* Memory of one decoded message. A fresh arena is all zero; free or reset gives everything back at once. */
struct tug_arena {
    struct tug_arena_block *head;
    size_t used_bytes;
    size_t budget_bytes;                       /* 0 = default, set by tug_msg_decode: 96 x body + 64 KiB up to 64 MiB, or
                                                * 4 x body + 64 KiB where that is more */
};
void tug_arena_clear(struct tug_arena *a);
/* As clear, but the newest block is kept to be used again, and the budget. For an arena that is filled again and again. */
void tug_arena_reset(struct tug_arena *a);
void *tug_arena_alloc(struct tug_arena *a, size_t len_bytes);     /* NULL: over budget; 16-byte aligned, not zeroed */

/* Fields that this version does not know are skipped and not kept. On failure *out is untouched.
 * -EPROTO: not that message, or a cap is broken (names the field and the cap); -ENOMEM: over the arena's budget. */
int tug_msg_decode(struct tug_arena *a, uint16_t number, const void *body, size_t len, ProtobufCMessage **out,
                   struct tug_err *err);
/* The same for a message that has no number: a record of the store, a payload. */
int tug_proto_decode(struct tug_arena *a, const ProtobufCMessageDescriptor *desc, const void *body, size_t len,
                     ProtobufCMessage **out, struct tug_err *err);
/* A copy of its own memory, for tug_proto_drop(); both take NULL. */
ProtobufCMessage *tug_proto_copy(const ProtobufCMessage *m);
void tug_proto_drop(void *m);
/* Check the caps of a message that we made or decoded: -EPROTO names field, value and cap. */
int tug_msg_check(const ProtobufCMessage *m, struct tug_err *err);
/* Append the bytes of a message, without a frame: what protobuf_c_message_pack() gives, in one walk instead of two.
 * Returns how many. */
size_t tug_msg_pack(struct tug_buf *out, const ProtobufCMessage *m);
/* A message of its bytes, in the arena, without what is not known here and without a look at the caps. NULL: not everything about it
 * is ordinary, or the budget is hit; protobuf-c's answer counts. */
ProtobufCMessage *tug_msg_unpack(struct tug_arena *a, const ProtobufCMessageDescriptor *desc, const void *data, size_t len);
/* Append the whole frame to 'out'. The message must be of that number's type (asserted). */
void tug_msg_encode(struct tug_buf *out, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m);

/* Any message as JSON, by walking its descriptor: field names as in the .proto, enums by name, bytes as base64
 * (fields that hold text, such as JobSpec.script, as a string; JobSpec.env as an array of strings; keys and tokens as
 * null: see caps.def), 64-bit integers as numbers. Every field is written; a message that is not there is null.
 * Appends to 'out'; indent 0 = one line. */
void tug_msg_json(struct tug_buf *out, const ProtobufCMessage *m, int indent);

#endif
