/* caps.c - checks that a message holds no more than it may
 *
 * One table (caps.def), one walk over the descriptor. Messages don't nest in themselves, so the
 * walk is as deep as the schema. Layer: proto.
 */
#include "proto/caps.h"

#include <errno.h>
#include <string.h>

#include "proto/client.pb-c.h"
#include "proto/launch.pb-c.h"
#include "proto/msg.h"
#include "proto/node.pb-c.h"
#include "proto/record.pb-c.h"
#include "proto/step.pb-c.h"

#define TUG_CAP(type, prefix, field, form, items, bytes, total)                                    \
    {&tugpb__##prefix##__descriptor, offsetof(type, field), TUG_FORM_##form, items, bytes, total},
static const struct tug_cap caps[] = {
#include "proto/caps.def"
};
#undef TUG_CAP
#define N_CAPS (sizeof caps / sizeof caps[0])

const struct tug_cap *tug_caps_of(const ProtobufCMessageDescriptor *desc, size_t *n)
{
    size_t i = 0, end;
    while (i < N_CAPS && caps[i].desc != desc)
        i++;
    for (end = i; end < N_CAPS && caps[end].desc == desc;)
        end++;
    *n = end - i;
    return &caps[i < N_CAPS ? i : 0];
}

struct tug_cap tug_cap_of_field(const struct tug_cap *rows, size_t n,
                                const ProtobufCFieldDescriptor *f)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].offset == f->offset)
            return rows[i];
    struct tug_cap general = {
        .offset = f->offset, .items = TUG_CAP_ITEMS, .form = TUG_FORM_NUMBERS};
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        general.form = TUG_FORM_TEXT;
        general.item_bytes = TUG_CAP_STRING_BYTES;
    } else if (f->type == PROTOBUF_C_TYPE_BYTES) {
        general.form = TUG_FORM_BYTES;
        general.item_bytes = TUG_CAP_BYTES_BYTES;
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        general.form = TUG_FORM_MESSAGES;
    }
    return general;
}

/* Where we are, for the sentence. */
struct place {
    const ProtobufCMessageDescriptor *desc;
    const ProtobufCFieldDescriptor *f;
    struct tug_err *err;
};

static int too_large(const struct place *at, const char *what, size_t has, const char *unit,
                     size_t cap)
{
    return tug_fail(at->err, -EPROTO, "%s.%s%s %zu %s; at most %zu are taken", at->desc->short_name,
                    at->f->name, what, has, unit, cap);
}

/* "a\0b\0": each within the item cap; a last one without its NUL counts like the others. */
static int check_list(const struct place *at, const struct tug_cap *cap,
                      const ProtobufCBinaryData *v)
{
    if (v->len > cap->total_bytes)
        return too_large(at, " has", v->len, "bytes", cap->total_bytes);
    size_t items = 0;
    for (size_t i = 0; i < v->len;) {
        const uint8_t *end = memchr(v->data + i, 0, v->len - i);
        size_t len = end ? (size_t) (end - v->data) - i : v->len - i;
        if (len > cap->item_bytes)
            return too_large(at, " has an entry of", len, "bytes", cap->item_bytes);
        i += len + 1;
        items++;
    }
    return items > cap->items ? too_large(at, " has", items, "entries", cap->items) : 0;
}

/* One value of a string or bytes field; its size is added to *total. */
static int check_item(const struct place *at, const struct tug_cap *cap, const void *value,
                      size_t *total)
{
    size_t len;
    if (at->f->type == PROTOBUF_C_TYPE_STRING) {
        const char *s = *(char *const *) value;
        len = s ? strlen(s) : 0;
        *total += len + 1;
    } else {
        const ProtobufCBinaryData *v = value;
        if (cap->form == TUG_FORM_LIST)
            return check_list(at, cap, v);
        len = v->len;
        *total += len;
    }
    return len > cap->item_bytes ? too_large(at, " has", len, "bytes", cap->item_bytes) : 0;
}

static int check_repeated(const struct place *at, const struct tug_cap *cap,
                          const ProtobufCMessage *m)
{
    size_t n = *(const size_t *) ((const char *) m + at->f->quantifier_offset);
    if (n > cap->items)
        return too_large(at, " has", n, "entries", cap->items);
    if (n == 0)
        return 0;
    const char *values = *(char *const *) ((const char *) m + at->f->offset);
    size_t total = 0;
    int rc = 0;
    switch (at->f->type) {
    case PROTOBUF_C_TYPE_STRING:
        for (size_t i = 0; i < n && !rc; i++)
            rc = check_item(at, cap, values + i * sizeof(char *), &total);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        for (size_t i = 0; i < n && !rc; i++)
            rc = check_item(at, cap, values + i * sizeof(ProtobufCBinaryData), &total);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        for (size_t i = 0; i < n && !rc; i++)
            rc = tug_msg_check(((ProtobufCMessage *const *) (const void *) values)[i], at->err);
        break;
    default:
        break;
    }
    if (!rc && cap->total_bytes && total > cap->total_bytes)
        return too_large(at, " has in all", total, "bytes", cap->total_bytes);
    return rc;
}

/* Nothing is in there: true of most fields of most messages, and within every cap. */
static int is_empty(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const void *value = (const char *) m + f->offset;
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *) (const void *) ((const char *) m + f->quantifier_offset) == 0;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return !*(char *const *) value || !**(char *const *) value;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *) value)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return !*(ProtobufCMessage *const *) value;
    default: /* numbers have no cap */
        return 1;
    }
}

int tug_msg_check(const ProtobufCMessage *m, struct tug_err *err)
{
    size_t n_rows;
    const struct tug_cap *rows = tug_caps_of(m->descriptor, &n_rows);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (is_empty(m, f))
            continue;
        const void *value = (const char *) m + f->offset;
        struct place at = {m->descriptor, f, err};
        int rc = 0;
        size_t total = 0;
        if (f->label != PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE) {
            rc = tug_msg_check(*(ProtobufCMessage *const *) value, err);
        } else {
            struct tug_cap cap = tug_cap_of_field(rows, n_rows, f);
            rc = f->label == PROTOBUF_C_LABEL_REPEATED ? check_repeated(&at, &cap, m)
                                                       : check_item(&at, &cap, value, &total);
        }
        if (rc)
            return rc;
    }
    return 0;
}
