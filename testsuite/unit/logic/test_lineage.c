/* test_lineage.c - a copy that takes the place of a state goes on from the numbers of both
 *
 * Layer: tests.
 */
#include <errno.h>

#include "unit.h"

#include "logic/lineage.h"
#include "proto/msg.h"
#include "proto/record.pb-c.h"

static struct tug_buf meta(uint64_t epoch, uint64_t ids, uint32_t attempts)
{
    Tugpb__MetaRecord m = TUGPB__META_RECORD__INIT;
    struct tug_buf b = {0};

    m.cluster_uuid = (char *) "7e5f";
    m.epoch = epoch;
    m.next_id_block = ids;
    m.attempts_skipped = attempts;
    m.commit = 10 * epoch;
    m.leased_s = 300;
    m.safe = TUGPB__SAFE_MODE__SAFE_DOUBT;
    m.safe_why = (char *) "before";
    m.safe_since_ms = 17;
    m.seen_epoch = 99;
    tug_msg_pack(&b, &m.base);
    return b;
}

START_TEST(a_copy_goes_on_from_the_greater_of_both_numbers_whichever_state_has_it)
{
    struct tug_buf old = meta(5, 9000, 1000), replaced = meta(7, 4000, 2000), marked = {0};
    struct tug_lineage at;

    ck_assert_int_eq(tug_lineage_read(replaced.data, replaced.len, &at, NULL), 0);
    ck_assert_int_eq(tug_lineage_mark(&marked, old.data, old.len, "put back", &at, NULL), 0);
    ck_assert_int_eq(tug_lineage_read(marked.data, marked.len, &at, NULL), 0);
    ck_assert_uint_eq(at.epoch, 7);
    ck_assert_uint_eq(at.next_id_block, 9000);
    ck_assert_uint_eq(at.attempts_skipped, 2000);
    ck_assert_uint_eq(at.commit, 70);
    ck_assert_str_eq(at.cluster, "7e5f");
    tug_buf_clear(&old);
    tug_buf_clear(&replaced);
    tug_buf_clear(&marked);
}
END_TEST

START_TEST(numbers_are_raised_one_by_one_and_never_lowered)
{
    struct tug_lineage to = {.epoch = 5, .next_id_block = 9000, .commit = 1, .attempts_skipped = 3, .cluster = "a"};
    const struct tug_lineage from = {.epoch = 4, .next_id_block = 9001, .commit = 2, .attempts_skipped = 2, .cluster = "b"};

    tug_lineage_raise(&to, &from);
    ck_assert_uint_eq(to.epoch, 5);
    ck_assert_uint_eq(to.next_id_block, 9001);
    ck_assert_uint_eq(to.commit, 2);
    ck_assert_uint_eq(to.attempts_skipped, 3);
    ck_assert_str_eq(to.cluster, "a");
}
END_TEST

START_TEST(a_copy_says_that_it_is_one_and_forgets_whose_safe_mode_it_was_made_in)
{
    struct tug_buf old = meta(5, 9000, 1000), marked = {0};
    Tugpb__MetaRecord *m;

    ck_assert_int_eq(tug_lineage_mark(&marked, old.data, old.len, "put back", NULL, NULL), 0);
    m = tugpb__meta_record__unpack(NULL, marked.len, (const uint8_t *) marked.data);
    ck_assert_int_eq(m->safe, TUGPB__SAFE_MODE__SAFE_MARKED);
    ck_assert_str_eq(m->safe_why, "put back");
    ck_assert_int_eq(m->safe_since_ms, 0);
    ck_assert_uint_eq(m->seen_epoch, 0);
    ck_assert_str_eq(m->cluster_uuid, "7e5f");
    ck_assert_uint_eq(m->leased_s, 300);
    ck_assert_uint_eq(m->epoch, 5);
    tugpb__meta_record__free_unpacked(m, NULL);
    tug_buf_clear(&old);
    tug_buf_clear(&marked);
}
END_TEST

START_TEST(what_is_no_such_record_is_refused_by_its_name_and_nothing_is_said)
{
    struct tug_buf marked = {0};
    struct tug_lineage at = {.epoch = 3};
    struct tug_err err = {0};

    ck_assert_int_eq(tug_lineage_read("\xff\xff", 2, &at, &err), -EPROTO);
    ck_assert_uint_eq(at.epoch, 3);
    ck_assert_ptr_nonnull(strstr(err.msg, "meta/cluster"));
    ck_assert_int_eq(tug_lineage_mark(&marked, "\xff\xff", 2, "put back", NULL, &err), -EPROTO);
    ck_assert_uint_eq(marked.len, 0);
}
END_TEST

UNIT_MAIN("logic/lineage", a_copy_goes_on_from_the_greater_of_both_numbers_whichever_state_has_it,
          numbers_are_raised_one_by_one_and_never_lowered,
          a_copy_says_that_it_is_one_and_forgets_whose_safe_mode_it_was_made_in,
          what_is_no_such_record_is_refused_by_its_name_and_nothing_is_said)
