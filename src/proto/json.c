/* json.c - any message as JSON, by walking its descriptor
 *
 * What comes out is always valid JSON in UTF-8: bytes that are not UTF-8 become U+FFFD, control
 * characters (also those above ASCII, and DEL) are escaped. Every field is written, also those that
 * are zero, so that a reader can rely on a key being there. Layer: proto.
 */
#include <math.h>
#include <string.h>

#include "proto/caps.h"
#include "proto/msg.h"

struct writer {
    struct tug_buf *out;
    char *p, *end; /* free room inside out->data; out->len is set when it moves and at the end */
    int indent;
    int depth;
};

static void room_slow(struct writer *w, size_t n)
{
    w->out->len = w->p ? (size_t) (w->p - w->out->data) : w->out->len;
    size_t more = w->out->len / 2 > 4096 ? w->out->len / 2 : 4096;
    n = n > more ? n : more;
    w->p = tug_buf_room(w->out, n);
    w->end = w->p + n;
}

static inline void room(struct writer *w, size_t n)
{
    if ((size_t) (w->end - w->p) < n)
        room_slow(w, n);
}

static inline void put(struct writer *w, const char *s, size_t n)
{
    room(w, n);
    memcpy(w->p, s, n);
    w->p += n;
}

static inline void putc1(struct writer *w, char c)
{
    room(w, 1);
    *w->p++ = c;
}

static void put_u64(struct writer *w, uint64_t v)
{
    char tmp[20];
    int n = 0;
    do {
        tmp[n++] = (char) ('0' + v % 10);
        v /= 10;
    } while (v);
    room(w, 20);
    while (n)
        *w->p++ = tmp[--n];
}

static void put_i64(struct writer *w, int64_t v)
{
    if (v < 0)
        putc1(w, '-');
    put_u64(w, v < 0 ? 0 - (uint64_t) v : (uint64_t) v);
}

static void put_double(struct writer *w, double v)
{
    char tmp[32];
    if (!isfinite(v)) {
        put(w, "null", 4);
        return;
    }
    struct tug_buf b = {0};
    tug_buf_addf(&b, "%.17g", v);
    size_t n = b.len < sizeof tmp ? b.len : sizeof tmp;
    memcpy(tmp, tug_buf_str(&b), n);
    tug_buf_clear(&b);
    put(w, tmp, n);
}

static void newline(struct writer *w)
{
    if (!w->indent)
        return;
    size_t n = (size_t) (w->indent * w->depth);
    room(w, n + 1);
    *w->p++ = '\n';
    memset(w->p, ' ', n);
    w->p += n;
}

/* ---- strings ---- */

static void put_escape(struct writer *w, unsigned c)
{
    static const char hex[] = "0123456789abcdef";
    const char *two = c == '"'    ? "\\\""
                      : c == '\\' ? "\\\\"
                      : c == '\n' ? "\\n"
                      : c == '\t' ? "\\t"
                      : c == '\r' ? "\\r"
                      : c == '\b' ? "\\b"
                      : c == '\f' ? "\\f"
                                  : NULL;
    if (two)
        put(w, two, 2);
    else
        put(w, (const char[]){'\\', 'u', '0', '0', hex[c >> 4 & 15], hex[c & 15]}, 6);
}

/* Length of the UTF-8 sequence at s (RFC 3629 table 3-7: no overlong forms, no surrogates), 0 =
 * none. */
static size_t utf8_len(const uint8_t *s, const uint8_t *end)
{
    size_t left = (size_t) (end - s);
#define CONT(i) ((s[i] & 0xc0) == 0x80)
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return left >= 2 && CONT(1) ? 2 : 0;
    if (s[0] >= 0xe0 && s[0] <= 0xef) {
        if (left < 3 || !CONT(1) || !CONT(2))
            return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
            return 0;
        return 3;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if (left < 4 || !CONT(1) || !CONT(2) || !CONT(3))
            return 0;
        if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
            return 0;
        return 4;
    }
#undef CONT
    return 0;
}

static void put_string(struct writer *w, const void *text, size_t len)
{
    const uint8_t *s = len ? text : (const void *) "", *end = s + len;
    room(w, len + 2);
    *w->p++ = '"';
    while (s < end) {
        const uint8_t *run = s;
        while (s < end && *s >= 0x20 && *s < 0x7f && *s != '"' && *s != '\\')
            s++;
        if (s > run)
            put(w, (const char *) run, (size_t) (s - run));
        if (s == end)
            break;
        if (*s < 0x80) {
            put_escape(w, *s++);
            continue;
        }
        size_t n = utf8_len(s, end);
        if (n == 2 && s[0] == 0xc2 && s[1] < 0xa0)
            put_escape(w, s[1]);
        else if (n)
            put(w, (const char *) s, n);
        else
            put(w, "\xef\xbf\xbd", 3);
        s += n ? n : 1;
    }
    putc1(w, '"');
}

static void put_base64(struct writer *w, const uint8_t *s, size_t len)
{
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    room(w, (len + 2) / 3 * 4 + 2);
    *w->p++ = '"';
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t) s[i] << 16;
        v |= i + 1 < len ? (uint32_t) s[i + 1] << 8 : 0;
        v |= i + 2 < len ? (uint32_t) s[i + 2] : 0;
        *w->p++ = abc[v >> 18];
        *w->p++ = abc[v >> 12 & 63];
        *w->p++ = i + 1 < len ? abc[v >> 6 & 63] : '=';
        *w->p++ = i + 2 < len ? abc[v & 63] : '=';
    }
    *w->p++ = '"';
}

/* "a\0b\0" as an array of strings. */
static void put_list(struct writer *w, const ProtobufCBinaryData *v)
{
    putc1(w, '[');
    w->depth++;
    for (size_t i = 0; i < v->len;) {
        const uint8_t *nul = memchr(v->data + i, 0, v->len - i);
        size_t n = nul ? (size_t) (nul - v->data) - i : v->len - i;
        if (i)
            putc1(w, ',');
        newline(w);
        put_string(w, v->data + i, n);
        i += n + 1;
    }
    w->depth--;
    if (v->len)
        newline(w);
    putc1(w, ']');
}

/* ---- values ---- */

static void put_message(struct writer *w, const ProtobufCMessage *m);

static void put_enum(struct writer *w, const ProtobufCFieldDescriptor *f, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);
    if (v)
        put_string(w, v->name, strlen(v->name));
    else
        put_i64(w, value); /* a newer peer's */
}

static void put_bytes(struct writer *w, const ProtobufCBinaryData *v, enum tug_form form)
{
    if (form == TUG_FORM_LIST)
        put_list(w, v);
    else if (form == TUG_FORM_TEXT)
        put_string(w, v->data, v->len);
    else
        put_base64(w, v->data, v->len);
}

static void put_value(struct writer *w, const ProtobufCFieldDescriptor *f, const void *v,
                      enum tug_form form)
{
    const char *s;
    const ProtobufCMessage *sub;
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        put_i64(w, *(const int32_t *) v);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        put_i64(w, *(const int64_t *) v);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        put_u64(w, *(const uint32_t *) v);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        put_u64(w, *(const uint64_t *) v);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        put_double(w, (double) *(const float *) v);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        put_double(w, *(const double *) v);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        if (*(const protobuf_c_boolean *) v)
            put(w, "true", 4);
        else
            put(w, "false", 5);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        put_enum(w, f, *(const int *) v);
        break;
    case PROTOBUF_C_TYPE_STRING:
        s = *(char *const *) v;
        put_string(w, s ? s : "", s ? strlen(s) : 0);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        put_bytes(w, v, form);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        sub = *(ProtobufCMessage *const *) v;
        if (sub)
            put_message(w, sub);
        else
            put(w, "null", 4);
        break;
    }
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

static void put_array(struct writer *w, const ProtobufCFieldDescriptor *f,
                      const ProtobufCMessage *m, enum tug_form form)
{
    size_t n = *(const size_t *) ((const char *) m + f->quantifier_offset), each = size_of(f->type);
    const char *at = *(char *const *) ((const char *) m + f->offset);
    putc1(w, '[');
    w->depth++;
    for (size_t i = 0; i < n; i++) {
        if (i)
            putc1(w, ',');
        newline(w);
        put_value(w, f, at + i * each, form);
    }
    w->depth--;
    if (n)
        newline(w);
    putc1(w, ']');
}

static void put_message(struct writer *w, const ProtobufCMessage *m)
{
    size_t n_rows;
    const struct tug_cap *rows = tug_caps_of(m->descriptor, &n_rows);
    putc1(w, '{');
    w->depth++;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        size_t len = strlen(f->name);
        enum tug_form form = tug_cap_of_field(rows, n_rows, f).form;
        if (i)
            putc1(w, ',');
        newline(w);
        room(w, len + 4);
        *w->p++ = '"';
        memcpy(w->p, f->name, len);
        w->p += len;
        *w->p++ = '"';
        *w->p++ = ':';
        if (w->indent)
            *w->p++ = ' ';
        if (form == TUG_FORM_SECRET)
            put(w, "null", 4);
        else if (f->label == PROTOBUF_C_LABEL_REPEATED)
            put_array(w, f, m, form);
        else
            put_value(w, f, (const char *) m + f->offset, form);
    }
    w->depth--;
    if (m->descriptor->n_fields)
        newline(w);
    putc1(w, '}');
}

void tug_msg_json(struct tug_buf *out, const ProtobufCMessage *m, int indent)
{
    struct writer w = {.out = out, .indent = indent > 0 ? indent : 0};
    put_message(&w, m);
    putc1(&w, '\0');
    out->len = (size_t) (w.p - out->data) - 1;
}
