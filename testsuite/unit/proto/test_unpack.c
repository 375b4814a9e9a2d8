/* test_unpack.c - bytes to messages; protobuf-c is the judge. Layer: tests. */
#include "unit.h"

#include "base/mem.h"
#include "base/rand.h"
#include "proto/msg.h"
#include "proto/record.pb-c.h"

static struct tug_rand rnd;

static uint64_t number(void)
{
    return tug_rand_u64(&rnd) >> tug_rand_below(&rnd, 64);
}

static void put(struct tug_buf *b, uint64_t v)
{
    uint8_t byte;
    for (; v >= 0x80; v >>= 7) {
        byte = (uint8_t) (v | 0x80);
        tug_buf_add(b, &byte, 1);
    }
    byte = (uint8_t) v;
    tug_buf_add(b, &byte, 1);
}

static void tag(struct tug_buf *b, uint32_t id, unsigned wire)
{
    put(b, (uint64_t) id << 3 | wire);
}

static void bytes(struct tug_buf *b, const void *data, size_t len)
{
    put(b, len);
    if (len)
        tug_buf_add(b, data, len);
}

static void any_message(struct tug_buf *b, const ProtobufCMessageDescriptor *desc, int depth);

static void any_field(struct tug_buf *b, const ProtobufCFieldDescriptor *f, int depth)
{
    struct tug_buf sub = {0};
    char text[40];
    size_t len = tug_rand_below(&rnd, sizeof text);
    memset(text, 'a' + (int) tug_rand_below(&rnd, 26), sizeof text);
    if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES) {
        tag(b, f->id, 2);
        bytes(b, text, len);
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        any_message(&sub, f->descriptor, depth - 1);
        tag(b, f->id, 2);
        bytes(b, sub.data, sub.len);
    } else if (f->type == PROTOBUF_C_TYPE_DOUBLE) {
        tag(b, f->id, 1);
        tug_buf_add(b, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    } else if (f->label == PROTOBUF_C_LABEL_REPEATED && tug_rand_below(&rnd, 2)) {
        for (size_t i = len / 4; i > 0; i--)
            put(&sub, number());
        tag(b, f->id, 2);
        bytes(b, sub.data, sub.len);
    } else {
        tag(b, f->id, 0);
        put(b, f->type == PROTOBUF_C_TYPE_BOOL ? number() & 1 : number());
    }
    tug_buf_clear(&sub);
}

/* Some fields, most of them in order, some not, with others between them that nobody knows; numbers too large for them, and zeroes. */
static void any_message(struct tug_buf *b, const ProtobufCMessageDescriptor *desc, int depth)
{
    uint64_t one_of = 1 + tug_rand_below(&rnd, 12);
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &desc->fields[tug_rand_below(&rnd, 20) ? i : tug_rand_below(&rnd, desc->n_fields)];
        if (tug_rand_below(&rnd, one_of) || (f->type == PROTOBUF_C_TYPE_MESSAGE && depth == 0))
            continue;
        for (uint64_t n = f->label == PROTOBUF_C_LABEL_REPEATED ? tug_rand_below(&rnd, 4) : 1; n > 0; n--)
            any_field(b, f, depth);
        if (tug_rand_below(&rnd, 30) == 0) {
            tag(b, 4000 + (uint32_t) tug_rand_below(&rnd, 100), 2);
            bytes(b, "unknown", 7);
        }
    }
}

static void drop_unknown(ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        free(m->unknown_fields[i].data);
    free(m->unknown_fields);
    m->n_unknown_fields = 0;
    m->unknown_fields = NULL;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        char *value = (char *) m + f->offset;
        size_t n = 1;
        ProtobufCMessage **subs = (ProtobufCMessage **) (void *) value;
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            n = *(size_t *) (void *) ((char *) m + f->quantifier_offset);
            subs = *(ProtobufCMessage ***) (void *) value;
        }
        for (size_t k = 0; k < n; k++)
            if (subs[k])
                drop_unknown(subs[k]);
    }
}

/* What was read by us, protobuf-c reads too, and it is the same: 1. 0: it was left to protobuf-c. */
static int same(const ProtobufCMessageDescriptor *desc, const struct tug_buf *b)
{
    struct tug_arena a = {.budget_bytes = 64 << 20};
    struct tug_buf ours = {0}, its = {0};
    const void *data = b->len ? b->data : "";
    ProtobufCMessage *mine = tug_msg_unpack(&a, desc, data, b->len), *judge;
    if (mine) {
        judge = protobuf_c_message_unpack(desc, NULL, b->len, data);
        ck_assert_msg(judge != NULL, "%s: protobuf-c refuses what we took", desc->name);
        drop_unknown(judge);
        tug_msg_pack(&ours, mine);
        tug_msg_pack(&its, judge);
        ck_assert_uint_eq(ours.len, its.len);
        if (its.len)
            ck_assert_mem_eq(ours.data, its.data, its.len);
        protobuf_c_message_free_unpacked(judge, NULL);
    }
    tug_arena_clear(&a);
    tug_buf_clear(&ours);
    tug_buf_clear(&its);
    return mine != NULL;
}

static const uint16_t numbers[] = {
#define TUG_MSG(number, NAME, prefix, channel, max) number,
#include "proto/msg.def"
#undef TUG_MSG
};
#define N_NUMBERS (sizeof numbers / sizeof *numbers)

static const ProtobufCMessageDescriptor *any_desc(void)
{
    return tug_rand_below(&rnd, 3) ? tug_msg_info(numbers[tug_rand_below(&rnd, N_NUMBERS)])->desc
                                   : &tugpb__job_record__descriptor;
}

START_TEST(messages_are_read_as_protobuf_reads_them)
{
    rnd = tug_rand_seed(unit_seed());
    size_t ours = 0;
    for (int i = 0; i < 20000; i++) {
        const ProtobufCMessageDescriptor *desc = any_desc();
        struct tug_buf b = {0};
        any_message(&b, desc, 3);
        ours += (size_t) same(desc, &b);
        tug_buf_clear(&b);
    }
    ck_assert_uint_gt(ours, 15000); /* the others have a message in two pieces */
}
END_TEST

START_TEST(bytes_that_are_spoilt_are_left_to_protobuf_or_read_alike)
{
    rnd = tug_rand_seed(unit_seed() + 1);
    for (int i = 0; i < 20000; i++) {
        const ProtobufCMessageDescriptor *desc = any_desc();
        struct tug_buf b = {0};
        any_message(&b, desc, 2);
        for (uint64_t n = 1 + tug_rand_below(&rnd, 3); n > 0 && b.len; n--)
            b.data[tug_rand_below(&rnd, b.len)] = (char) tug_rand_u64(&rnd);
        if (tug_rand_below(&rnd, 3) == 0)
            b.len = tug_rand_below(&rnd, b.len + 1);
        same(desc, &b);
        tug_buf_clear(&b);
    }
}
END_TEST

/* Each would be read in one go if nobody looked. */
START_TEST(what_is_not_ordinary_is_left_to_protobuf)
{
    static const struct {
        const char *what;
        uint8_t data[16];
        size_t len;
    } odd[] = {
        {"a number in place of a text", {4 << 3 | 0, 1}, 2},
        {"a text in place of a number", {1 << 3 | 2, 1, 'x'}, 3},
        {"a message in two pieces", {0x82, 1, 0, 0x82, 1, 0}, 6},
        {"field 0", {0, 1}, 2},
        {"a group", {1 << 3 | 3}, 1},
        {"a number without end", {1 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 12},
        {"a text that is longer than the bytes", {4 << 3 | 2, 5, 'x'}, 3},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct tug_arena a = {.budget_bytes = 1 << 20};
        ck_assert_msg(!tug_msg_unpack(&a, &tugpb__job_record__descriptor, odd[i].data, odd[i].len), "%s", odd[i].what);
        tug_arena_clear(&a);
    }
}
END_TEST

START_TEST(a_budget_that_is_too_small_is_said)
{
    struct tug_arena a = {.budget_bytes = 4096};
    struct tug_buf b = {0};
    for (int i = 0; i < 3000; i++) { /* gids of a job */
        tag(&b, 39, 0);
        put(&b, 1);
    }
    ck_assert_ptr_null(tug_msg_unpack(&a, &tugpb__job_record__descriptor, b.data, b.len));
    ck_assert_uint_le(a.used_bytes, a.budget_bytes);
    tug_arena_clear(&a);
    tug_buf_clear(&b);
}
END_TEST

UNIT_MAIN("proto/unpack", messages_are_read_as_protobuf_reads_them, bytes_that_are_spoilt_are_left_to_protobuf_or_read_alike,
          what_is_not_ordinary_is_left_to_protobuf, a_budget_that_is_too_small_is_said)
