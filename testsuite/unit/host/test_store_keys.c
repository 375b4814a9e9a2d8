/* test_store_keys.c - keys of the shared state sort as they count, and are read as they were written
 *
 * Layer: tests.
 */
#include <errno.h>

#include "unit.h"

#include "host/store_keys.h"

START_TEST(entries_of_the_log_sort_by_number_and_end_before_its_end)
{
    const uint64_t numbers[] = {1, 9, 10, 255, 4096, 1764485112000, UINT64_MAX};
    char *before = tug_store_key_log("/p", 0), *end = tug_store_key_log_end("/p");

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char *key = tug_store_key_log("/p", numbers[i]);
        uint64_t number = 0;
        ck_assert_int_lt(strcmp(before, key), 0);
        ck_assert_int_lt(strcmp(key, end), 0);
        ck_assert_int_eq(tug_store_key_number(key, &number, NULL), 0);
        ck_assert_uint_eq(number, numbers[i]);
        free(before);
        before = key;
    }
    free(before);
    free(end);
}
END_TEST

START_TEST(what_is_no_entry_of_the_log_is_refused_by_its_name)
{
    const char *const keys[] = {"/p/log/", "/p/log/12x", "/p/log/0000000000000000", "nothing"};
    struct tug_err err;
    uint64_t number = 5;

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        ck_assert_int_eq(tug_store_key_number(keys[i], &number, &err), -EILSEQ);
        ck_assert_ptr_nonnull(strstr(err.msg, keys[i]));
    }
    ck_assert_uint_eq(number, 5);
}
END_TEST

START_TEST(how_far_a_history_is_copied_is_read_as_it_was_written)
{
    struct tug_batch *b = tug_batch_new();
    struct tug_batch_item item;
    size_t pos = 0;

    tug_store_copied_put(b, 1764485112345);
    ck_assert(tug_batch_next(b, &pos, &item));
    ck_assert_str_eq(item.kind, TUG_STORE_COPIED);
    ck_assert_uint_eq(tug_store_copied(item.data, item.len), 1764485112345);
    tug_batch_free(b);
}
END_TEST

START_TEST(how_far_a_backup_is_put_back_is_read_as_it_was_written)
{
    struct tug_store_restoring is, was = {.by = "ctl\"1\"",
                                          .at_ms = 1764485112345,
                                          .emptied = 1,
                                          .kept = "/var/lib/tug/state.db.before-20261130T000000Z",
                                          .replaced = {.epoch = UINT64_MAX,
                                                       .next_id_block = (1ull << 53) + 1,
                                                       .commit = 7,
                                                       .attempts_skipped = UINT32_MAX,
                                                       .cluster = "7b0c6d3e-5a0e-4d86-a1a4-5a3b3f0f0c11"}};
    char *text = tug_store_restoring_put(&was);

    ck_assert_int_eq(tug_store_restoring_read(text, strlen(text), &is, NULL), 0);
    ck_assert_str_eq(is.by, was.by);
    ck_assert_int_eq(is.at_ms, was.at_ms);
    ck_assert_int_eq(is.emptied, 1);
    ck_assert_str_eq(is.kept, was.kept);
    ck_assert_str_eq(is.replaced.cluster, was.replaced.cluster);
    ck_assert_uint_eq(is.replaced.epoch, was.replaced.epoch);
    ck_assert_uint_eq(is.replaced.next_id_block, was.replaced.next_id_block);
    ck_assert_uint_eq(is.replaced.commit, was.replaced.commit);
    ck_assert_uint_eq(is.replaced.attempts_skipped, was.replaced.attempts_skipped);
    free(text);
}
END_TEST

START_TEST(a_key_that_does_not_say_how_far_a_backup_is_put_back_is_refused_and_still_keeps_away)
{
    const char *const texts[] = {"", "nothing", "[]", "{\"emptied\":1,\"epoch\":\"3\"}", "{\"emptied\":true}"};
    struct tug_store_restoring is;
    struct tug_err err;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ck_assert_int_eq(tug_store_restoring_read(texts[i], strlen(texts[i]), &is, &err), -EILSEQ);
        ck_assert_int_eq(is.emptied, 0);
        ck_assert_int_eq(tug_store_restoring_refuse(&is, &err), -EBUSY);
        ck_assert_ptr_nonnull(strstr(err.msg, "tug admin restore"));
    }
}
END_TEST

UNIT_MAIN("host/store_keys", entries_of_the_log_sort_by_number_and_end_before_its_end,
          what_is_no_entry_of_the_log_is_refused_by_its_name, how_far_a_history_is_copied_is_read_as_it_was_written,
          how_far_a_backup_is_put_back_is_read_as_it_was_written,
          a_key_that_does_not_say_how_far_a_backup_is_put_back_is_refused_and_still_keeps_away)
