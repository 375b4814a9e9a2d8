/* test_order.c - the launch order as bytes. Layer: tests. */
#include "unit.h"

#include <errno.h>

#include "proto/order.h"

static struct tug_order full_order(void)
{
    struct tug_order o = {0};
    strcpy(o.cluster, "east");
    strcpy(o.node, "gpu017");
    for (int i = 0; i < 16; i++)
        o.boot_id[i] = (uint8_t) (i + 1);
    o.epoch = 0x0102030405060708u;
    o.job = 71;
    o.attempt = 2;
    o.step = 3;
    o.uid = 1000;
    o.gid = 1001;
    o.n_gids = TUG_ORDER_GIDS_MAX;
    for (uint32_t i = 0; i < o.n_gids; i++)
        o.gids[i] = 2000 + i;
    o.gpus = 0xf0;
    o.cpus = 32;
    memset(o.cpu_mask, 0xa5, sizeof o.cpu_mask);
    o.mem_bytes = 1ull << 40;
    o.pids_max = 16384;
    o.flags = TUG_ORDER_REQUEUEABLE;
    o.expires_wall_ms = 1790000000000;
    memset(o.payload_digest, 0x5a, sizeof o.payload_digest);
    return o;
}

START_TEST(what_was_packed_comes_back)
{
    struct tug_order in = full_order(), out;
    uint8_t wire[TUG_ORDER_LEN];
    ck_assert_int_eq(tug_order_pack(&in, wire, NULL), 0);
    memset(&out, 0xee, sizeof out);
    ck_assert_int_eq(tug_order_unpack(wire, &out, NULL), 0);
    ck_assert_str_eq(out.cluster, "east");
    ck_assert_str_eq(out.node, "gpu017");
    ck_assert_mem_eq(out.boot_id, in.boot_id, 16);
    ck_assert(out.epoch == in.epoch && out.job == 71 && out.attempt == 2 && out.step == 3);
    ck_assert(out.uid == 1000 && out.gid == 1001 && out.n_gids == TUG_ORDER_GIDS_MAX);
    ck_assert_mem_eq(out.gids, in.gids, sizeof in.gids);
    ck_assert(out.gpus == 0xf0 && out.cpus == 32 && out.mem_bytes == 1ull << 40);
    ck_assert_mem_eq(out.cpu_mask, in.cpu_mask, sizeof in.cpu_mask);
    ck_assert(out.pids_max == 16384 && out.flags == TUG_ORDER_REQUEUEABLE);
    ck_assert(out.expires_wall_ms == 1790000000000);
    ck_assert_mem_eq(out.payload_digest, in.payload_digest, TUG_ORDER_DIGEST_LEN);
}
END_TEST

START_TEST(numbers_stand_little_endian_at_their_offsets)
{
    struct tug_order o = full_order();
    uint8_t wire[TUG_ORDER_LEN];
    ck_assert_int_eq(tug_order_pack(&o, wire, NULL), 0);
    ck_assert_mem_eq(wire, ((uint8_t[]){1, 0, 0, 0}), 4);
    ck_assert_mem_eq(wire + 152, ((uint8_t[]){8, 7, 6, 5, 4, 3, 2, 1}), 8);
    ck_assert_mem_eq(wire + 160, ((uint8_t[]){71, 0, 0, 0, 0, 0, 0, 0}), 8);
}
END_TEST

START_TEST(groups_that_are_not_counted_are_not_packed)
{
    struct tug_order o = full_order(), out;
    uint8_t wire[TUG_ORDER_LEN];
    o.n_gids = 1;
    ck_assert_int_eq(tug_order_pack(&o, wire, NULL), 0);
    ck_assert_int_eq(tug_order_unpack(wire, &out, NULL), 0);
    ck_assert_uint_eq(out.gids[0], 2000);
    ck_assert_uint_eq(out.gids[1], 0);
}
END_TEST

START_TEST(what_does_not_fit_is_not_packed_and_out_stays_as_it_was)
{
    struct tug_err err;
    uint8_t wire[TUG_ORDER_LEN], before[TUG_ORDER_LEN];
    memset(wire, 0x77, sizeof wire);
    memcpy(before, wire, sizeof wire);
    struct tug_order o = full_order();
    memset(o.node, 'n', sizeof o.node);
    unit_fails(tug_order_pack(&o, wire, &err), -EINVAL, err, "node name");
    o = full_order();
    o.n_gids = TUG_ORDER_GIDS_MAX + 1;
    unit_fails(tug_order_pack(&o, wire, &err), -EINVAL, err, "65 supplementary groups");
    o = full_order();
    o.flags = 2;
    unit_fails(tug_order_pack(&o, wire, &err), -EINVAL, err, "flags 0x2");
    ck_assert_mem_eq(wire, before, sizeof wire);
}
END_TEST

START_TEST(a_record_that_breaks_a_rule_is_refused_with_the_rule)
{
    struct tug_err err;
    struct tug_order o = full_order(), out;
    uint8_t good[TUG_ORDER_LEN], w[TUG_ORDER_LEN];
    o.n_gids = 2;
    ck_assert_int_eq(tug_order_pack(&o, good, NULL), 0);
#define BROKEN(at, value, words)                                                                   \
    memcpy(w, good, sizeof w);                                                                     \
    w[at] = value;                                                                                 \
    unit_fails(tug_order_unpack(w, &out, &err), -EPROTO, err, words)
    BROKEN(0, 2, "version 2");
    BROKEN(4, 3, "flags 0x3");
    BROKEN(8 + 63, 'x', "after the cluster name");
    BROKEN(184, 65, "65 supplementary groups");
    BROKEN(184, 1, "group entry 1");
    BROKEN(596, 1, "unused bytes");
    BROKEN(640, 1, "unused bytes");
    BROKEN(1023, 0x80, "unused bytes");
    memcpy(w, good, sizeof w);
    memset(w + 72, 'n', 64);
    unit_fails(tug_order_unpack(w, &out, &err), -EPROTO, err, "node name is not terminated");
}
END_TEST

START_TEST(every_record_that_is_taken_packs_to_the_same_bytes)
{
    struct tug_order o = full_order(), out;
    uint8_t wire[TUG_ORDER_LEN], again[TUG_ORDER_LEN], good[TUG_ORDER_LEN];
    ck_assert_int_eq(tug_order_pack(&o, good, NULL), 0);
    int taken = 0;
    for (unsigned at = 0; at < TUG_ORDER_LEN; at++) {
        memcpy(wire, good, sizeof wire);
        wire[at] ^= 0x41;
        if (tug_order_unpack(wire, &out, NULL))
            continue;
        taken++;
        ck_assert_int_eq(tug_order_pack(&out, again, NULL), 0);
        ck_assert_mem_eq(wire, again, sizeof wire);
    }
    ck_assert_int_gt(taken, 400); /* ids, masks and the digest may have any value */
}
END_TEST

UNIT_MAIN("proto/order", what_was_packed_comes_back, numbers_stand_little_endian_at_their_offsets,
          groups_that_are_not_counted_are_not_packed,
          what_does_not_fit_is_not_packed_and_out_stays_as_it_was,
          a_record_that_breaks_a_rule_is_refused_with_the_rule,
          every_record_that_is_taken_packs_to_the_same_bytes)
