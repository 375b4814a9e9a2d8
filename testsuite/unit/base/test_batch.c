/* test_batch.c - a batch gives back what was put in, in that order. Layer: tests. */
#include "base/batch.h"

#include "unit.h"

START_TEST(operations_come_out_as_they_went_in)
{
    struct tug_batch *b = tug_batch_new();
    struct tug_batch_item it;
    size_t pos = 0;
    static const char bin[] = {0, 1, 0, 2};

    tug_batch_put(b, "job", "71", bin, sizeof bin);
    tug_batch_del(b, "job", "70");
    tug_batch_put(b, "node", "n0", NULL, 0);
    ck_assert_uint_eq(tug_batch_len(b), 3);

    ck_assert(tug_batch_next(b, &pos, &it));
    ck_assert_int_eq(it.op, TUG_BATCH_PUT);
    ck_assert_str_eq(it.kind, "job");
    ck_assert_str_eq(it.id, "71");
    ck_assert_uint_eq(it.len, sizeof bin);
    ck_assert_mem_eq(it.data, bin, sizeof bin);
    ck_assert(tug_batch_next(b, &pos, &it));
    ck_assert_int_eq(it.op, TUG_BATCH_DEL);
    ck_assert_str_eq(it.id, "70");
    ck_assert_ptr_null(it.data);
    ck_assert(tug_batch_next(b, &pos, &it));
    ck_assert_str_eq(it.id, "n0");
    ck_assert_uint_eq(it.len, 0);
    ck_assert_ptr_nonnull(it.data);
    ck_assert(!tug_batch_next(b, &pos, &it));
    tug_batch_free(b);
}
END_TEST

START_TEST(a_row_keeps_the_difference_between_empty_and_none)
{
    struct tug_batch *b = tug_batch_new();
    struct tug_batch_item it;
    size_t pos = 0;
    struct tug_history_row row = {.job = ~0ULL >> 1,
                                  .attempt = 3,
                                  .what = "end",
                                  .at_ms = -5,
                                  .uid = 1000,
                                  .user = "",
                                  .name = "a name",
                                  .view = "",
                                  .view_len = 0};

    tug_batch_history(b, &row);
    ck_assert(tug_batch_next(b, &pos, &it));
    ck_assert_int_eq(it.op, TUG_BATCH_HISTORY);
    ck_assert_uint_eq(it.row.job, row.job);
    ck_assert_uint_eq(it.row.attempt, 3);
    ck_assert_int_eq(it.row.at_ms, -5);
    ck_assert_uint_eq(it.row.uid, 1000);
    ck_assert_str_eq(it.row.what, "end");
    ck_assert_str_eq(it.row.user, "");
    ck_assert_ptr_null(it.row.queue);
    ck_assert_ptr_null(it.row.account);
    ck_assert_str_eq(it.row.name, "a name");
    ck_assert_ptr_null(it.row.state);
    ck_assert_ptr_nonnull(it.row.view);
    ck_assert_uint_eq(it.row.view_len, 0);
    tug_batch_free(b);
}
END_TEST

START_TEST(a_batch_that_was_reset_is_empty_and_usable)
{
    struct tug_batch *b = tug_batch_new();
    struct tug_batch_item it;
    size_t pos = 0;

    tug_batch_put(b, "job", "1", "x", 1);
    tug_batch_reset(b);
    ck_assert_uint_eq(tug_batch_len(b), 0);
    ck_assert(!tug_batch_next(b, &pos, &it));
    tug_batch_put(b, "job", "2", "y", 1);
    ck_assert(tug_batch_next(b, &pos, &it));
    ck_assert_str_eq(it.id, "2");
    tug_batch_free(b);
    tug_batch_free(NULL);
}
END_TEST

START_TEST(large_data_and_many_operations_survive_the_growth_of_the_buffer)
{
    struct tug_batch *b = tug_batch_new();
    struct tug_batch_item it;
    size_t pos = 0, big = 4 << 20;
    char *script = calloc(1, big), id[16];

    memset(script, 's', big);
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "%d", i);
        tug_batch_put(b, "job", id, id, strlen(id));
    }
    tug_batch_put(b, "blob", "script", script, big);
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "%d", i);
        ck_assert(tug_batch_next(b, &pos, &it));
        ck_assert_str_eq(it.id, id);
        ck_assert_mem_eq(it.data, id, it.len);
    }
    ck_assert(tug_batch_next(b, &pos, &it));
    ck_assert_uint_eq(it.len, big);
    ck_assert_mem_eq(it.data, script, big);
    ck_assert_uint_ge(tug_batch_bytes(b), big);
    free(script);
    tug_batch_free(b);
}
END_TEST

UNIT_MAIN("base/batch", operations_come_out_as_they_went_in,
          a_row_keeps_the_difference_between_empty_and_none,
          a_batch_that_was_reset_is_empty_and_usable,
          large_data_and_many_operations_survive_the_growth_of_the_buffer)
