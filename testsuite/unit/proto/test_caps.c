/* test_caps.c - no field of any message is without a cap, and each cap holds at its edge. Layer:
 * tests. */
#include "unit.h"

#include <errno.h>

#include "proto/caps.h"
#include "proto/client.pb-c.h"
#include "proto/launch.pb-c.h"
#include "proto/msg.h"
#include "proto/node.pb-c.h"
#include "proto/record.pb-c.h"
#include "proto/step.pb-c.h"

#define M(x) (&(x).base)

/* Every message there is: those on wires, those in the store, and what is inside of them. */
static const ProtobufCMessageDescriptor *known[256];
static size_t n_known;

static void learn(const ProtobufCMessageDescriptor *d)
{
    for (size_t i = 0; i < n_known; i++)
        if (known[i] == d)
            return;
    ck_assert_uint_lt(n_known, 256);
    known[n_known++] = d;
    for (unsigned i = 0; i < d->n_fields; i++)
        if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            learn(d->fields[i].descriptor);
}

static void learn_all(void)
{
    for (unsigned n = 0; n <= UINT16_MAX; n++)
        if (tug_msg_info((uint16_t) n))
            learn(tug_msg_info((uint16_t) n)->desc);
    learn(&tugpb__meta_record__descriptor);
    learn(&tugpb__job_record__descriptor);
    learn(&tugpb__node_record__descriptor);
    learn(&tugpb__step_payload__descriptor);
    learn(&tugpb__log_entry__descriptor);
}

static struct tug_cap cap_of(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
    size_t n;
    const struct tug_cap *rows = tug_caps_of(d, &n);
    return tug_cap_of_field(rows, n, f);
}

START_TEST(no_field_of_any_message_is_without_a_cap)
{
    learn_all();
    ck_assert_uint_gt(n_known, 60);
    for (size_t i = 0; i < n_known; i++) {
        for (unsigned k = 0; k < known[i]->n_fields; k++) {
            const ProtobufCFieldDescriptor *f = &known[i]->fields[k];
            struct tug_cap cap = cap_of(known[i], f);
            int text = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES;
            if (text)
                ck_assert_msg(cap.item_bytes > 0, "%s.%s", known[i]->name, f->name);
            if (f->label == PROTOBUF_C_LABEL_REPEATED || cap.form == TUG_FORM_LIST)
                ck_assert_msg(cap.items > 0, "%s.%s", known[i]->name, f->name);
            if (cap.form == TUG_FORM_LIST)
                ck_assert_msg(cap.total_bytes > 0, "%s.%s", known[i]->name, f->name);
        }
    }
}
END_TEST

START_TEST(rows_of_one_message_stand_together_and_fit_their_fields)
{
    learn_all();
    size_t rows = 0, at_hand = 0;
#define TUG_CAP(type, prefix, field, form, items, bytes, total) rows++;
#include "proto/caps.def"
#undef TUG_CAP
    for (size_t i = 0; i < n_known; i++) {
        size_t n;
        const struct tug_cap *r = tug_caps_of(known[i], &n);
        at_hand += n;
        for (size_t k = 0; k < n; k++) {
            const ProtobufCFieldDescriptor *f = NULL;
            for (unsigned j = 0; j < known[i]->n_fields && !f; j++)
                if (known[i]->fields[j].offset == r[k].offset)
                    f = &known[i]->fields[j];
            ck_assert_ptr_nonnull(f);
            int text = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES;
            int says_text = r[k].form <= TUG_FORM_SECRET;
            ck_assert_msg(text == says_text, "%s.%s", known[i]->name, f->name);
            ck_assert_msg(r[k].form != TUG_FORM_LIST || f->type == PROTOBUF_C_TYPE_BYTES, "%s.%s",
                          known[i]->name, f->name);
        }
    }
    ck_assert_uint_eq(at_hand,
                      rows); /* one that stands apart from its message's others would be missed */
}
END_TEST

START_TEST(messages_do_not_nest_in_themselves)
{
    learn_all(); /* the walks recurse: their depth must be bounded by the schema */
    for (size_t i = 0; i < n_known; i++) {
        const ProtobufCMessageDescriptor *root = known[i];
        n_known = 0;
        for (unsigned k = 0; k < root->n_fields; k++)
            if (root->fields[k].type == PROTOBUF_C_TYPE_MESSAGE)
                learn(root->fields[k].descriptor);
        for (size_t j = 0; j < n_known; j++)
            ck_assert_msg(known[j] != root, "%s", root->name);
        learn_all();
    }
}
END_TEST

static char *text_of(size_t len)
{
    char *s = malloc(len + 1);
    memset(s, 'x', len);
    s[len] = '\0';
    return s;
}

START_TEST(a_script_is_taken_up_to_4_mib)
{
    struct tug_err err;
    Tugpb__JobSpec s = TUGPB__JOB_SPEC__INIT;
    s.script.data = (uint8_t *) text_of(4194305);
    s.script.len = 4194304;
    ck_assert_int_eq(tug_msg_check(M(s), NULL), 0);
    s.script.len++;
    unit_fails(tug_msg_check(M(s), &err), -EPROTO, err,
               "JobSpec.script has 4194305 bytes; at most 4194304");
    free(s.script.data);
}
END_TEST

START_TEST(an_environment_is_taken_up_to_1_mib_and_its_strings_up_to_128_kib)
{
    struct tug_err err;
    Tugpb__JobSpec s = TUGPB__JOB_SPEC__INIT;
    s.env.data = calloc(1, 1048577);
    for (size_t i = 0; i < 1048577; i++)
        s.env.data[i] = i % 64 == 63 ? 0 : 'e';
    s.env.len = 1048576;
    ck_assert_int_eq(tug_msg_check(M(s), NULL), 0);
    s.env.len = 1048577;
    unit_fails(tug_msg_check(M(s), &err), -EPROTO, err,
               "JobSpec.env has 1048577 bytes; at most 1048576");
    memset(s.env.data, 'e', 131073);
    s.env.len = 131072;
    s.env.data[131071] = 0; /* with its NUL exactly the kernel's limit */
    ck_assert_int_eq(tug_msg_check(M(s), NULL), 0);
    s.env.data[131071] = 'e';
    unit_fails(tug_msg_check(M(s), &err), -EPROTO, err, "entry of 131072 bytes; at most 131071");
    memset(s.env.data, 0, 70000);
    s.env.len = 65536;
    ck_assert_int_eq(tug_msg_check(M(s), NULL), 0);
    s.env.len = 65537;
    unit_fails(tug_msg_check(M(s), &err), -EPROTO, err, "JobSpec.env has 65537 entries");
    free(s.env.data);
}
END_TEST

START_TEST(arguments_are_taken_up_to_1_mib_in_all)
{
    struct tug_err err;
    char *arg = text_of(131072), *argv[9];
    for (int i = 0; i < 9; i++)
        argv[i] = arg;
    Tugpb__JobSpec s = TUGPB__JOB_SPEC__INIT;
    s.argv = argv;
    s.n_argv = 1;
    unit_fails(tug_msg_check(M(s), &err), -EPROTO, err,
               "JobSpec.argv has 131072 bytes; at most 131071");
    arg[131071] = '\0';
    s.n_argv = 8; /* 8 x 128 KiB with their NULs */
    ck_assert_int_eq(tug_msg_check(M(s), NULL), 0);
    s.n_argv = 9;
    unit_fails(tug_msg_check(M(s), &err), -EPROTO, err,
               "JobSpec.argv has in all 1179648 bytes; at most 1048576");
    free(arg);
}
END_TEST

START_TEST(what_is_not_listed_has_the_general_caps)
{
    struct tug_err err;
    Tugpb__JobView v = TUGPB__JOB_VIEW__INIT;
    v.comment = text_of(4097);
    unit_fails(tug_msg_check(M(v), &err), -EPROTO, err,
               "JobView.comment has 4097 bytes; at most 4096");
    v.comment[4096] = '\0';
    ck_assert_int_eq(tug_msg_check(M(v), NULL), 0);
    Tugpb__Slice one = TUGPB__SLICE__INIT;
    v.slices = calloc(65537, sizeof *v.slices);
    for (int i = 0; i < 65537; i++)
        v.slices[i] = &one;
    v.n_slices = 65536;
    ck_assert_int_eq(tug_msg_check(M(v), NULL), 0);
    v.n_slices++;
    unit_fails(tug_msg_check(M(v), &err), -EPROTO, err,
               "JobView.slices has 65537 entries; at most 65536");
    free(v.slices);
    free(v.comment);
    Tugpb__CancelRequest c = TUGPB__CANCEL_REQUEST__INIT;
    c.jobs = calloc(65537, sizeof *c.jobs);
    c.n_jobs = 65537;
    unit_fails(tug_msg_check(M(c), &err), -EPROTO, err, "CancelRequest.jobs has 65537 entries");
    free(c.jobs);
}
END_TEST

START_TEST(caps_hold_inside_of_messages_too)
{
    struct tug_err err;
    Tugpb__Slice s = TUGPB__SLICE__INIT, *slices[] = {&s};
    Tugpb__JobView v = TUGPB__JOB_VIEW__INIT, *views[] = {&v};
    Tugpb__JobsReply r = TUGPB__JOBS_REPLY__INIT;
    r.n_jobs = v.n_slices = 1;
    r.jobs = views;
    v.slices = slices;
    s.node = text_of(257);
    unit_fails(tug_msg_check(M(r), &err), -EPROTO, err, "Slice.node has 257 bytes; at most 256");
    s.node[256] = '\0';
    ck_assert_int_eq(tug_msg_check(M(r), NULL), 0);
    free(s.node);
}
END_TEST

START_TEST(a_message_over_a_cap_is_refused_while_decoding)
{
    struct tug_err err;
    Tugpb__SubmitRequest q = TUGPB__SUBMIT_REQUEST__INIT;
    q.token = text_of(65);
    struct tug_buf b = {0};
    tug_msg_encode(&b, TUG_MSG_SUBMIT_REQUEST, 1, M(q));
    struct tug_arena a = {0};
    ProtobufCMessage *m = NULL;
    unit_fails(tug_msg_decode(&a, TUG_MSG_SUBMIT_REQUEST, b.data + 12, b.len - 12, &m, &err),
               -EPROTO, err, "SubmitRequest.token has 65 bytes; at most 64");
    ck_assert_ptr_null(m);
    tug_arena_clear(&a);
    tug_buf_clear(&b);
    free(q.token);
}
END_TEST

UNIT_MAIN("proto/caps", no_field_of_any_message_is_without_a_cap,
          rows_of_one_message_stand_together_and_fit_their_fields,
          messages_do_not_nest_in_themselves, a_script_is_taken_up_to_4_mib,
          an_environment_is_taken_up_to_1_mib_and_its_strings_up_to_128_kib,
          arguments_are_taken_up_to_1_mib_in_all, what_is_not_listed_has_the_general_caps,
          caps_hold_inside_of_messages_too, a_message_over_a_cap_is_refused_while_decoding)
