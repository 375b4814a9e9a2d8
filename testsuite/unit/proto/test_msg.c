/* test_msg.c - frames, the arena, decoding with a budget. Layer: tests. */
#include "unit.h"

#include <errno.h>

#include "proto/client.pb-c.h"
#include "proto/launch.pb-c.h"
#include "proto/msg.h"
#include "proto/node.pb-c.h"
#include "proto/step.pb-c.h"

#define M(x) (&(x).base)

static struct tug_buf frame_of(enum tug_msg number, uint32_t rid, const ProtobufCMessage *m)
{
    struct tug_buf b = {0};
    tug_msg_encode(&b, number, rid, m);
    return b;
}

START_TEST(every_row_of_the_table_is_found_by_its_number)
{
    size_t rows = 0;
#define TUG_MSG(num, NAME, prefix, ch, max)                                                        \
    {                                                                                              \
        const struct tug_msg_info *i = tug_msg_info(num);                                          \
        ck_assert_ptr_nonnull(i);                                                                  \
        ck_assert_uint_eq(i->number, TUG_MSG_##NAME);                                              \
        ck_assert_str_eq(i->name, #NAME);                                                          \
        ck_assert_ptr_eq(i->desc, &tugpb__##prefix##__descriptor);                                 \
        ck_assert_int_eq(i->channel, TUG_CH_##ch);                                                 \
        ck_assert_uint_eq(i->max_bytes, max);                                                      \
        rows++;                                                                                    \
    }
#include "proto/msg.def"
#undef TUG_MSG
    size_t found = 0;
    for (unsigned n = 0; n <= UINT16_MAX; n++)
        found += tug_msg_info((uint16_t) n) != NULL;
    ck_assert_uint_eq(found, rows); /* and no other number, nor one twice */
}
END_TEST

START_TEST(a_frame_is_cut_as_it_was_encoded)
{
    Tugpb__ShowRequest q = TUGPB__SHOW_REQUEST__INIT;
    q.job = 71;
    struct tug_buf b = frame_of(TUG_MSG_SHOW_REQUEST, 0x01020304, M(q));
    ck_assert_mem_eq(b.data, ((uint8_t[]){2, 0, 0, 0, 107, 0, 0, 0, 4, 3, 2, 1}), 12);
    struct tug_frame f;
    ck_assert_int_eq(tug_frame_cut(b.data, b.len, TUG_CH_CLIENT, &f, NULL), (long) b.len);
    ck_assert(f.number == 107 && f.rid == 0x01020304 && f.len == 2);
    struct tug_arena a = {0};
    ProtobufCMessage *m;
    ck_assert_int_eq(tug_msg_decode(&a, f.number, f.body, f.len, &m, NULL), 0);
    ck_assert_uint_eq(((Tugpb__ShowRequest *) m)->job, 71);
    tug_arena_clear(&a);
    tug_buf_clear(&b);
}
END_TEST

START_TEST(a_frame_that_is_not_whole_takes_nothing)
{
    Tugpb__ShowRequest q = TUGPB__SHOW_REQUEST__INIT;
    q.job = 71;
    struct tug_buf b = frame_of(TUG_MSG_SHOW_REQUEST, 9, M(q));
    struct tug_frame f;
    for (size_t n = 0; n < b.len; n++)
        ck_assert_int_eq(tug_frame_cut(b.data, n, TUG_CH_CLIENT, &f, NULL), 0);
    tug_buf_clear(&b);
}
END_TEST

START_TEST(a_bad_header_is_refused_before_its_body_comes)
{
    struct tug_err err;
    struct tug_frame f;
    uint8_t h[12];
    tug_frame_head(h, 99, 1, 0);
    unit_fails((int) tug_frame_cut(h, 12, TUG_CH_CLIENT, &f, &err), -EPROTO, err, "number 99");
    tug_frame_head(h, TUG_MSG_STEP_KILL, 1, 0);
    unit_fails((int) tug_frame_cut(h, 12, TUG_CH_CLIENT, &f, &err), -EPROTO, err,
               "client connection");
    tug_frame_head(h, TUG_MSG_PING_REQUEST, 1, 4097);
    unit_fails((int) tug_frame_cut(h, 12, TUG_CH_CLIENT, &f, &err), -EPROTO, err,
               "4097 bytes; at most 4096");
    tug_frame_head(h, TUG_MSG_PING_REQUEST, 1, 4096);
    ck_assert_int_eq(tug_frame_cut(h, 12, TUG_CH_CLIENT, &f, NULL), 0);
    h[6] = 1;
    unit_fails((int) tug_frame_cut(h, 12, TUG_CH_CLIENT, &f, &err), -EPROTO, err, "flags");
}
END_TEST

START_TEST(an_arena_gives_aligned_memory_up_to_its_budget)
{
    struct tug_arena a = {.budget_bytes = 100000};
    size_t got = 0;
    for (size_t n = 1;; n = n % 977 + 13) {
        char *p = tug_arena_alloc(&a, n);
        if (!p)
            break;
        ck_assert_uint_eq((uintptr_t) p % 16, 0);
        memset(p, 0xff, n);
        got += n;
    }
    ck_assert_uint_gt(got, 80000);
    ck_assert_uint_le(a.used_bytes, 100000);
    ck_assert_ptr_null(tug_arena_alloc(&a, SIZE_MAX));
    ck_assert_ptr_null(tug_arena_alloc(&a, 50000));
    tug_arena_reset(&a); /* the newest block stays, and the budget */
    ck_assert_uint_gt(a.used_bytes, 0);
    ck_assert_ptr_null(tug_arena_alloc(&a, 100000));
    ck_assert_ptr_nonnull(tug_arena_alloc(&a, 20000));
    ck_assert_ptr_nonnull(tug_arena_alloc(&a, 60000 - a.used_bytes / 2));
    tug_arena_clear(&a);
    ck_assert_uint_eq(a.used_bytes, 0);
    tug_arena_reset(&a);
    ck_assert_ptr_null(a.head);
    ck_assert_ptr_nonnull(tug_arena_alloc(&a, 50000)); /* as new, with the least budget */
    tug_arena_clear(&a);
}
END_TEST

static void set_view(Tugpb__JobView *v, Tugpb__Cause *cause, Tugpb__Slice *slice,
                     Tugpb__Slice **slices)
{
    tugpb__job_view__init(v);
    tugpb__cause__init(cause);
    tugpb__slice__init(slice);
    *slices = slice;
    v->id = 1;
    v->name = (char *) "train";
    v->user = (char *) "ada";
    v->queue = (char *) "default";
    v->state = (char *) "PENDING";
    v->state_code = (char *) "PD";
    v->reason = (char *) "Resources";
    v->nodes = v->ntasks = v->gpus = v->cpus = 8;
    v->submit_ms = v->eligible_ms = 1790000000000;
    v->cause = cause;
    v->n_slices = 1;
    v->slices = slices;
    slice->node = (char *) "gpu001";
}

START_TEST(ten_thousand_jobs_fit_the_default_budget)
{
    Tugpb__JobView v;
    Tugpb__Cause cause;
    Tugpb__Slice slice, *slices;
    set_view(&v, &cause, &slice, &slices);
    Tugpb__JobView **views = calloc(10000, sizeof *views);
    for (int i = 0; i < 10000; i++)
        views[i] = &v;
    Tugpb__JobsReply r = TUGPB__JOBS_REPLY__INIT;
    r.n_jobs = 10000;
    r.jobs = views;
    struct tug_buf b = frame_of(TUG_MSG_JOBS_REPLY, 1, M(r));
    struct tug_arena a = {0};
    ProtobufCMessage *m;
    ck_assert_int_eq(tug_msg_decode(&a, TUG_MSG_JOBS_REPLY, b.data + 12, b.len - 12, &m, NULL), 0);
    Tugpb__JobsReply *back = (Tugpb__JobsReply *) m;
    ck_assert_uint_eq(back->n_jobs, 10000);
    ck_assert_str_eq(back->jobs[9999]->slices[0]->node, "gpu001");
    ck_assert_uint_lt(a.used_bytes, 10000 * 1500);
    tug_arena_clear(&a);
    tug_buf_clear(&b);
    free(views);
}
END_TEST

START_TEST(ranks_that_all_exited_with_zero_fit_the_default_budget)
{
    Tugpb__ExitInfo zero = TUGPB__EXIT_INFO__INIT, **exits = calloc(65536, sizeof *exits);
    for (int i = 0; i < 65536; i++)
        exits[i] = &zero; /* 2 bytes each on the wire, 64 in memory */
    Tugpb__RunDone d = TUGPB__RUN_DONE__INIT;
    d.n_exits = 65536;
    d.exits = exits;
    struct tug_buf b = frame_of(TUG_MSG_RUN_DONE, 0, M(d));
    struct tug_arena a = {0};
    ProtobufCMessage *m;
    struct tug_err err = {0};
    ck_assert_msg(tug_msg_decode(&a, TUG_MSG_RUN_DONE, b.data + 12, b.len - 12, &m, &err) == 0,
                  "%s", err.msg);
    ck_assert_uint_eq(((Tugpb__RunDone *) m)->n_exits, 65536);
    tug_arena_clear(&a);
    tug_buf_clear(&b);
    free(exits);
}
END_TEST

/* The worst that 'len' bytes can do: empty JobViews, each 2 bytes that want several hundred. */
START_TEST(a_small_body_cannot_take_much_memory)
{
    size_t sizes[] = {4096, 65536, 1 << 20, 8 << 20};
    for (size_t k = 0; k < 4; k++) {
        uint8_t *body = malloc(sizes[k]);
        for (size_t i = 0; i < sizes[k]; i += 2) {
            body[i] = 1 << 3 | 2;
            body[i + 1] = 0;
        }
        struct tug_arena a = {0};
        ProtobufCMessage *m = NULL;
        struct tug_err err;
        unit_fails(tug_msg_decode(&a, TUG_MSG_JOBS_REPLY, body, sizes[k], &m, &err), -ENOMEM, err,
                   "of memory");
        ck_assert_ptr_null(m);
        ck_assert_uint_le(a.used_bytes, (size_t) 64 << 20);
        ck_assert_uint_le(a.used_bytes, sizes[k] * 96 + 65536);
        tug_arena_clear(&a);
        free(body);
    }
}
END_TEST

START_TEST(fields_that_repeat_or_are_unknown_do_not_pile_up_memory)
{
    /* one string field 300,000 times: each replaces the one before */
    size_t n = 300000, len = n * 3;
    uint8_t *body = malloc(len);
    for (size_t i = 0; i < len; i += 3)
        memcpy(body + i, ((uint8_t[]){6 << 3 | 2, 1, 'x'}), 3);
    struct tug_arena a = {0};
    ProtobufCMessage *m;
    struct tug_err err = {0};
    ck_assert_msg(tug_msg_decode(&a, TUG_MSG_JOBS_REQUEST, body, len, &m, &err) == 0, "%s",
                  err.msg);
    ck_assert_str_eq(((Tugpb__JobsRequest *) m)->name, "x");
    tug_arena_clear(&a);
    /* unknown fields of a newer peer are taken while they are few */
    uint8_t later[] = {8, 5, 0xf8, 0x06, 1, 0xf2, 0x06, 2, 'h', 'i'};
    ck_assert_int_eq(tug_msg_decode(&a, TUG_MSG_SHOW_REQUEST, later, sizeof later, &m, NULL), 0);
    ck_assert_uint_eq(((Tugpb__ShowRequest *) m)->job, 5);
    ck_assert_uint_eq(m->n_unknown_fields,
                      0); /* what is not known is not kept, also not further in */
    tug_arena_clear(&a);
    uint8_t inside[] = {10, 3, 0xf8, 0x06, 1};
    ck_assert_int_eq(tug_msg_decode(&a, TUG_MSG_SHOW_REPLY, inside, sizeof inside, &m, NULL), 0);
    ck_assert_uint_eq(((Tugpb__ShowReply *) m)->job->base.n_unknown_fields, 0);
    tug_arena_clear(&a);
    free(body);
}
END_TEST

START_TEST(bytes_that_are_not_that_message_are_refused)
{
    struct tug_err err;
    struct tug_arena a = {0};
    ProtobufCMessage *m = NULL;
    uint8_t cut[] = {6 << 3 | 2, 200, 1, 'x'};
    unit_fails(tug_msg_decode(&a, TUG_MSG_JOBS_REQUEST, cut, sizeof cut, &m, &err), -EPROTO, err,
               "not a JobsRequest");
    unit_fails(tug_msg_decode(&a, 99, cut, sizeof cut, &m, &err), -EPROTO, err, "99");
    unit_fails(tug_msg_decode(&a, TUG_MSG_PING_REQUEST, cut, 5000, &m, &err), -EPROTO, err,
               "at most 4096");
    ck_assert_ptr_null(m);
    tug_arena_clear(&a);
}
END_TEST

START_TEST(an_empty_body_is_every_field_at_its_default)
{
    struct tug_arena a = {0};
    ProtobufCMessage *m;
    ck_assert_int_eq(tug_msg_decode(&a, TUG_MSG_SUBMIT_REQUEST, NULL, 0, &m, NULL), 0);
    ck_assert_str_eq(((Tugpb__SubmitRequest *) m)->token, "");
    ck_assert_ptr_null(((Tugpb__SubmitRequest *) m)->spec);
    tug_arena_clear(&a);
}
END_TEST

START_TEST(whatever_the_budget_is_it_is_kept)
{
    Tugpb__JobView v;
    Tugpb__Cause cause;
    Tugpb__Slice slice, *slices;
    set_view(&v, &cause, &slice, &slices);
    Tugpb__JobView *views[20];
    for (int i = 0; i < 20; i++)
        views[i] = &v;
    Tugpb__JobsReply r = TUGPB__JOBS_REPLY__INIT;
    r.n_jobs = 20;
    r.jobs = views;
    struct tug_buf b = frame_of(TUG_MSG_JOBS_REPLY, 1, M(r));
    int refused = 0, taken = 0;
    for (size_t budget = 1; budget < 40000;
         budget += 61) { /* every place where memory can run out */
        struct tug_arena a = {.budget_bytes = budget};
        ProtobufCMessage *m;
        int rc = tug_msg_decode(&a, TUG_MSG_JOBS_REPLY, b.data + 12, b.len - 12, &m, NULL);
        ck_assert(rc == 0 || rc == -ENOMEM);
        ck_assert_uint_le(a.used_bytes, budget);
        refused += rc != 0;
        taken += rc == 0;
        tug_arena_clear(&a);
    }
    ck_assert_int_gt(refused, 50);
    ck_assert_int_gt(taken, 50);
    tug_buf_clear(&b);
}
END_TEST

UNIT_MAIN("proto/msg", every_row_of_the_table_is_found_by_its_number,
          a_frame_is_cut_as_it_was_encoded, a_frame_that_is_not_whole_takes_nothing,
          a_bad_header_is_refused_before_its_body_comes,
          an_arena_gives_aligned_memory_up_to_its_budget, ten_thousand_jobs_fit_the_default_budget,
          ranks_that_all_exited_with_zero_fit_the_default_budget,
          a_small_body_cannot_take_much_memory,
          fields_that_repeat_or_are_unknown_do_not_pile_up_memory,
          bytes_that_are_not_that_message_are_refused, an_empty_body_is_every_field_at_its_default,
          whatever_the_budget_is_it_is_kept)
