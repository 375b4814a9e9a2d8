/* caps.h - how much each field of a message may hold, and what it holds
 *
 * Every string, bytes and repeated field has a cap: its row in caps.def, or the general one.
 * Layer: proto.
 */
#ifndef TUG_PROTO_CAPS_H
#define TUG_PROTO_CAPS_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

enum tug_form {
    TUG_FORM_TEXT,
    TUG_FORM_BYTES,
    TUG_FORM_LIST,
    TUG_FORM_SECRET,
    TUG_FORM_NUMBERS,
    TUG_FORM_MESSAGES
};

struct tug_cap {
    const ProtobufCMessageDescriptor *desc;
    size_t offset; /* of the field in its struct */
    enum tug_form form;
    size_t items;
    size_t item_bytes;
    size_t total_bytes; /* 0 = no more than items x item_bytes */
};

#define TUG_CAP_ITEMS        65536u
#define TUG_CAP_STRING_BYTES 4096u
#define TUG_CAP_BYTES_BYTES  65536u

/* The rows of one message; *n = 0 when it has none. Look it up once a message, then
 * tug_cap_of_field(). */
const struct tug_cap *tug_caps_of(const ProtobufCMessageDescriptor *desc, size_t *n);
/* The cap of 'f' among the 'n' rows of its message, or the general one. */
struct tug_cap tug_cap_of_field(const struct tug_cap *rows, size_t n,
                                const ProtobufCFieldDescriptor *f);

#endif
