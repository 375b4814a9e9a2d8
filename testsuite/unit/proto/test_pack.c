/* test_pack.c - messages to bytes; protobuf-c is the judge. Layer: tests. */
#include "unit.h"

#include "base/mem.h"
#include "base/rand.h"
#include "proto/client.pb-c.h"
#include "proto/msg.h"
#include "proto/node.pb-c.h"
#include "proto/record.pb-c.h"
#include "proto/step.pb-c.h"

/* Packs to what protobuf-c packs to, behind what is in the buffer already. */
static void same(const ProtobufCMessage *m)
{
    struct tug_buf b = {0};
    size_t len = protobuf_c_message_get_packed_size(m), got;
    uint8_t *want = tug_xmalloc(len ? len : 1);
    protobuf_c_message_pack(m, want);
    tug_buf_adds(&b, "before");
    got = tug_msg_pack(&b, m);
    ck_assert_uint_eq(got, len);
    ck_assert_uint_eq(b.len, 6 + len);
    ck_assert_mem_eq(b.data, "before", 6);
    if (len)
        ck_assert_mem_eq(b.data + 6, want, len);
    tug_buf_clear(&b);
    free(want);
}

START_TEST(an_empty_message_is_no_bytes)
{
    Tugpb__JobView v = TUGPB__JOB_VIEW__INIT;
    Tugpb__PingRequest p = TUGPB__PING_REQUEST__INIT;
    struct tug_buf b = {0};
    ck_assert_uint_eq(tug_msg_pack(&b, &v.base), 0);
    ck_assert_uint_eq(b.len, 0);
    same(&p.base);
    tug_buf_clear(&b);
}
END_TEST

START_TEST(numbers_of_every_size_and_sign_are_written_as_protobuf_writes_them)
{
    Tugpb__JobView v = TUGPB__JOB_VIEW__INIT;
    for (unsigned shift = 0; shift < 64; shift++) {
        uint64_t n = (UINT64_C(1) << shift) - 1;
        v.id = n + 1;
        v.submit_ms = (int64_t) n;
        v.end_ms = -(int64_t) n;
        v.priority = (int32_t) -(int64_t) n;
        v.uid = (uint32_t) n;
        v.interactive = shift & 1;
        same(&v.base);
    }
    v.priority = INT32_MIN;
    v.submit_ms = INT64_MIN;
    same(&v.base);
}
END_TEST

START_TEST(sub_messages_around_each_size_of_their_length_are_whole)
{
    static const size_t lens[] = {0, 1, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16370, 16379, 16380, 16381, 16382, 16383, 16384, 2097140, 2097150, 2097152};
    char *text = tug_xcalloc(1, 2097153);
    memset(text, 'x', 2097152);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        Tugpb__Cause c = TUGPB__CAUSE__INIT;
        Tugpb__ExitInfo e = TUGPB__EXIT_INFO__INIT;
        Tugpb__JobView v = TUGPB__JOB_VIEW__INIT, *views[] = {&v, &v, &v};
        Tugpb__JobsReply r = TUGPB__JOBS_REPLY__INIT;
        text[lens[i]] = '\0';
        c.text = text;
        c.exit = &e;
        v.cause = &c;
        r.jobs = views;
        r.n_jobs = 3;
        r.more = 1;
        same(&r.base);
        text[lens[i]] = 'x';
    }
    free(text);
}
END_TEST

START_TEST(lists_of_numbers_texts_and_bytes_keep_their_order_and_their_empty_ones)
{
    uint64_t ids[200];
    char *names[] = {(char *) "a", (char *) "", (char *) "node[1-8]"};
    Tugpb__JobsRequest r = TUGPB__JOBS_REQUEST__INIT;
    Tugpb__JobSpec s = TUGPB__JOB_SPEC__INIT;
    for (size_t i = 0; i < 200; i++)
        ids[i] = i * i * i * 1000003;
    for (size_t n = 0; n <= 200; n += n < 20 ? 1 : 30) {
        r.ids = s.rlimits = ids;
        r.n_ids = s.n_rlimits = n;
        r.users = s.argv = names;
        r.n_users = s.n_argv = n % 4;
        s.env.data = (uint8_t *) "A=1\0B=2";
        s.env.len = n % 9;
        same(&r.base);
        same(&s.base);
    }
}
END_TEST

/* Any message of any kind: fields drawn by their descriptor. */
static ProtobufCMessage *draw(struct tug_rand *r, struct tug_arena *a, const ProtobufCMessageDescriptor *d, int depth);

static void draw_value(struct tug_rand *r, struct tug_arena *a, const ProtobufCFieldDescriptor *f, void *at, int depth)
{
    uint64_t v = tug_rand_u64(r) >> tug_rand_below(r, 64);
    size_t len = tug_rand_below(r, 4) ? tug_rand_below(r, 6) : tug_rand_below(r, 300);
    char *text;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
        text = memset(tug_arena_alloc(a, len + 1), 'a' + (int) (v % 26), len + 1);
        text[len] = '\0';
        if (f->type == PROTOBUF_C_TYPE_STRING)
            *(char **) at = text;
        else
            *(ProtobufCBinaryData *) at = (ProtobufCBinaryData) {len, (uint8_t *) text};
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **) at = draw(r, a, f->descriptor, depth + 1);
        break;
    case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *) at = v & 1; break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: *(uint64_t *) at = v; break;
    case PROTOBUF_C_TYPE_DOUBLE: *(double *) at = v % 5 ? (double) (int64_t) v / 1000 : 0; break;
    default: *(uint32_t *) at = (uint32_t) v; break;
    }
}

static size_t value_size(ProtobufCType t)
{
    return t == PROTOBUF_C_TYPE_BYTES                                        ? sizeof(ProtobufCBinaryData)
           : t == PROTOBUF_C_TYPE_STRING || t == PROTOBUF_C_TYPE_MESSAGE     ? sizeof(void *)
           : t == PROTOBUF_C_TYPE_INT64 || t == PROTOBUF_C_TYPE_UINT64 || t == PROTOBUF_C_TYPE_DOUBLE ? 8
           : t == PROTOBUF_C_TYPE_BOOL                                       ? sizeof(protobuf_c_boolean)
                                                                             : 4;
}

static ProtobufCMessage *draw(struct tug_rand *r, struct tug_arena *a, const ProtobufCMessageDescriptor *d, int depth)
{
    ProtobufCMessage *m = tug_arena_alloc(a, d->sizeof_message);
    protobuf_c_message_init(d, m);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        char *at = (char *) m + f->offset;
        if (tug_rand_below(r, 3) == 0 || (depth > 3 && f->type == PROTOBUF_C_TYPE_MESSAGE))
            continue;
        if (f->label != PROTOBUF_C_LABEL_REPEATED) {
            draw_value(r, a, f, at, depth);
            continue;
        }
        size_t n = tug_rand_below(r, 5);
        char *values = tug_arena_alloc(a, 5 * value_size(f->type));
        for (size_t k = 0; k < n; k++)
            draw_value(r, a, f, values + k * value_size(f->type), depth);
        *(void **) at = values;
        *(size_t *) ((char *) m + f->quantifier_offset) = n;
    }
    return m;
}

START_TEST(any_message_of_any_kind_packs_as_protobuf_packs_it)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {
        &tugpb__jobs_reply__descriptor,  &tugpb__submit_request__descriptor, &tugpb__job_record__descriptor,
        &tugpb__node_record__descriptor, &tugpb__step_payload__descriptor,   &tugpb__node_hello__descriptor,
        &tugpb__sd_result__descriptor,   &tugpb__star_node_done__descriptor,  &tugpb__shares_reply__descriptor,
        &tugpb__usage_record__descriptor};
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int i = 0; i < unit_rounds(400); i++) {
        struct tug_arena a = {.budget_bytes = (size_t) 64 << 20};
        same(draw(&r, &a, kinds[(size_t) i % (sizeof kinds / sizeof *kinds)], 0));
        tug_arena_clear(&a);
    }
}
END_TEST

UNIT_MAIN("proto/pack", an_empty_message_is_no_bytes,
          numbers_of_every_size_and_sign_are_written_as_protobuf_writes_them,
          sub_messages_around_each_size_of_their_length_are_whole,
          lists_of_numbers_texts_and_bytes_keep_their_order_and_their_empty_ones,
          any_message_of_any_kind_packs_as_protobuf_packs_it)
