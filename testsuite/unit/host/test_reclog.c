/* test_reclog.c - records in a log: what was said last holds, and nothing that holds is cleaned away */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rand.h"
#include "host/reclog.h"

#define PART 200

/* The log as a server keeps it: values by number. */
static struct server {
    struct tug_buf value[4096];
    uint64_t first, next;
} sv;

static struct tug_reclog *writer;

static void setup(void)
{
    for (uint64_t i = 0; i < sv.next; i++)
        tug_buf_clear(&sv.value[i]);
    sv = (struct server){.first = 1, .next = 1};
    writer = tug_reclog_new();
}

static void teardown(void)
{
    tug_reclog_free(writer);
    setup();
    tug_reclog_free(writer);
    writer = NULL;
}

static struct tug_batch *put(const char *id, const char *data)
{
    struct tug_batch *b = tug_batch_new();
    tug_batch_put(b, "job", id, data, strlen(data));
    return b;
}

/* Writes up to 'parts' of the entry: fewer is a crash in the middle. */
static void write_parts(struct tug_batch *const *batches, size_t n, size_t parts)
{
    struct tug_buf entry = {0};
    tug_reclog_pack(&entry, batches, n, sv.first);
    size_t all = tug_reclog_parts(entry.len, PART);
    uint64_t first = sv.next;
    for (size_t i = 0; i < all && i < parts; i++)
        tug_reclog_part(&sv.value[sv.next++], &entry, PART, i);
    if (parts >= all && writer)
        tug_reclog_wrote(writer, first, all, &entry, NULL);
    tug_buf_clear(&entry);
}

static void write_one(struct tug_batch *b)
{
    write_parts(&b, 1, SIZE_MAX);
    tug_batch_free(b);
}

static int read_from(struct tug_reclog *l, uint64_t from, struct tug_batch *rows, struct tug_err *err)
{
    int rc = 0;
    for (uint64_t i = from; i < sv.next && !rc; i++)
        rc = tug_reclog_feed(l, i, sv.value[i].data, sv.value[i].len, rows, err);
    return rc;
}

static int add_text(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    tug_buf_addf(arg, "%s/%s=%.*s ", kind, id, (int) len, (const char *) data);
    return 0;
}

static char *all_of(struct tug_reclog *l)
{
    struct tug_buf b = {0};
    tug_reclog_walk(l, NULL, add_text, &b);
    return b.data ? tug_buf_take(&b) : tug_xstrdup("");
}

static void holds(struct tug_reclog *l, const char *text)
{
    char *is = all_of(l);
    ck_assert_str_eq(is, text);
    free(is);
}

START_TEST(a_reader_has_what_was_said_last)
{
    struct tug_reclog *l = tug_reclog_new();
    struct tug_batch *b = tug_batch_new();
    struct tug_err err = {0};
    write_one(put("2", "a"));
    write_one(put("1", "b"));
    write_one(put("2", "c"));
    tug_batch_del(b, "job", "1");
    tug_batch_put(b, "node", "n1", "x", 1);
    write_one(b);
    ck_assert_int_eq(read_from(l, 1, NULL, &err), 0);
    holds(l, "job/2=c node/n1=x ");
    ck_assert_uint_eq(tug_reclog_next(l), 5);
    tug_reclog_free(l);
}
END_TEST

START_TEST(a_large_batch_counts_once_its_last_part_is_there)
{
    struct tug_reclog *l = tug_reclog_new();
    struct tug_err err = {0};
    char big[1000];
    memset(big, 'x', sizeof big);
    struct tug_batch *b = tug_batch_new();
    tug_batch_put(b, "job", "1", big, sizeof big);
    write_one(b);
    ck_assert_uint_ge(sv.next, 7);
    for (uint64_t i = 1; i + 1 < sv.next; i++) {
        ck_assert_int_eq(tug_reclog_feed(l, i, sv.value[i].data, sv.value[i].len, NULL, &err), 0);
        ck_assert_uint_eq(tug_reclog_records(l), 0);
    }
    ck_assert_int_eq(read_from(l, sv.next - 1, NULL, &err), 0);
    ck_assert_uint_eq(tug_reclog_records(l), 1);
    tug_reclog_free(l);
}
END_TEST

START_TEST(what_a_writer_did_not_complete_never_counts)
{
    struct tug_reclog *l = tug_reclog_new();
    struct tug_err err = {0};
    char big[1000];
    memset(big, 'x', sizeof big);
    struct tug_batch *b = tug_batch_new();
    tug_batch_put(b, "job", "1", big, sizeof big);
    write_parts(&b, 1, 3);
    tug_batch_free(b);
    struct tug_reclog *heir = tug_reclog_new(); /* takes over from what is there */
    ck_assert_int_eq(read_from(heir, 1, NULL, &err), 0);
    tug_reclog_free(writer);
    writer = heir;
    write_one(put("2", "y"));
    ck_assert_int_eq(read_from(l, 1, NULL, &err), 0);
    holds(l, "job/2=y ");
    holds(heir, "job/2=y ");
    tug_reclog_free(l);
}
END_TEST

START_TEST(rows_of_the_history_come_once_and_in_order)
{
    struct tug_reclog *l = tug_reclog_new();
    struct tug_batch *b = tug_batch_new(), *rows = tug_batch_new();
    struct tug_batch_item item;
    struct tug_err err = {0};
    struct tug_history_row r = {.job = 7, .what = "end", .at_ms = 42, .user = "ann", .view = "v", .view_len = 1};
    size_t pos = 0;
    tug_batch_history(b, &r);
    tug_batch_put(b, "job", "7", "z", 1);
    write_one(b);
    ck_assert_int_eq(read_from(l, 1, rows, &err), 0);
    ck_assert_uint_eq(tug_batch_len(rows), 1);
    ck_assert(tug_batch_next(rows, &pos, &item));
    ck_assert_uint_eq(item.row.job, 7);
    ck_assert_str_eq(item.row.user, "ann");
    ck_assert_ptr_null(item.row.queue);
    ck_assert_uint_eq(item.row.view_len, 1);
    tug_batch_free(rows);
    tug_reclog_free(l);
}
END_TEST

START_TEST(a_gap_and_damage_are_told)
{
    struct tug_reclog *l = tug_reclog_new();
    struct tug_err err = {0};
    write_one(put("1", "a"));
    write_one(put("1", "b"));
    write_one(put("1", "c"));
    ck_assert_int_eq(tug_reclog_feed(l, 1, sv.value[1].data, sv.value[1].len, NULL, &err), 0);
    unit_fails(tug_reclog_feed(l, 3, sv.value[3].data, sv.value[3].len, NULL, &err), -ESTALE, err, "entries 2 to 2");
    tug_reclog_reset(l);
    for (size_t i = 0; i < sv.value[2].len; i++) {
        sv.value[2].data[i] ^= 1;
        tug_reclog_reset(l);
        ck_assert_msg(tug_reclog_feed(l, 2, sv.value[2].data, sv.value[2].len, NULL, &err) == -EILSEQ,
                      "byte %zu flipped was taken", i);
        sv.value[2].data[i] ^= 1;
    }
    tug_reclog_free(l);
}
END_TEST

/* As the store does it: the oldest entry goes with a commit that says anew what held of it. */
static void commit_and_clean(struct tug_batch *b)
{
    uint64_t first, last;
    int any;
    struct tug_batch *both[] = {tug_batch_new(), b};
    int cleans = tug_reclog_oldest(writer, 2 * PART, &first, &last, &any);
    if (cleans && any)
        ck_assert_int_eq(tug_reclog_rescue(writer, &sv.value[first], last + 1 - first, both[0], NULL), 0);
    if (cleans)
        sv.first = last + 1;
    write_parts(both, 2, SIZE_MAX);
    if (cleans)
        tug_reclog_drop_oldest(writer);
    tug_batch_free(both[0]);
    tug_batch_free(b);
}

START_TEST(cleaning_loses_nothing_that_holds_and_keeps_the_log_short)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    char model[20][48] = {{0}};
    struct tug_err err = {0};
    for (int round = 0; round < 1500 && sv.next < 4000; round++) {
        struct tug_batch *b = tug_batch_new();
        for (uint64_t n = 1 + tug_rand_below(&r, 4); n > 0; n--) {
            unsigned k = (unsigned) tug_rand_below(&r, 20);
            char id[8];
            snprintf(id, sizeof id, "%02u", k);
            if (tug_rand_below(&r, 5) == 0) {
                model[k][0] = 0;
                tug_batch_del(b, "job", id);
            } else {
                snprintf(model[k], sizeof model[k], "%d.%llu", round, (unsigned long long) n);
                tug_batch_put(b, "job", id, model[k], strlen(model[k]));
            }
        }
        if (tug_rand_below(&r, 40) == 0) { /* a crash in the middle of a large one, and an heir */
            struct tug_batch *lost = put("00", "never");
            char big[600];
            memset(big, '-', sizeof big);
            tug_batch_put(lost, "job", "01", big, sizeof big);
            write_parts(&lost, 1, 1 + tug_rand_below(&r, 2));
            tug_batch_free(lost);
            tug_reclog_reset(writer);
            ck_assert_int_eq(read_from(writer, sv.first, NULL, &err), 0);
            tug_reclog_drop_data(writer);
        }
        commit_and_clean(b);
    }
    struct tug_reclog *l = tug_reclog_new();
    struct tug_buf want = {0};
    ck_assert_int_eq(read_from(l, sv.first, NULL, &err), 0);
    for (unsigned k = 0; k < 20; k++)
        if (model[k][0])
            tug_buf_addf(&want, "job/%02u=%s ", k, model[k]);
    holds(l, tug_buf_str(&want));
    ck_assert_msg(sv.next - sv.first < 120, "%llu entries are left", (unsigned long long) (sv.next - sv.first));
    tug_buf_clear(&want);
    tug_reclog_free(l);
}
END_TEST

START_TEST(a_log_that_lost_its_oldest_entries_is_told_by_what_the_newest_says)
{
    struct tug_reclog *l = tug_reclog_new();
    struct tug_err err = {0};
    uint64_t from, to;
    write_one(put("1", "a"));
    write_one(put("2", "b"));
    write_one(put("3", "c"));
    ck_assert_int_eq(read_from(l, 1, NULL, &err), 0);
    ck_assert_uint_eq(tug_reclog_first(l), 1);
    ck_assert(tug_reclog_begins(l, &from, &to));
    tug_reclog_reset(l);
    ck_assert_int_eq(read_from(l, 3, NULL, &err), 0);
    ck_assert(!tug_reclog_begins(l, &from, &to));
    ck_assert_uint_eq(from, 1);
    ck_assert_uint_eq(to, 2);
    tug_reclog_free(l);
}
END_TEST

START_TEST(who_reads_along_forgets_what_was_cleaned_and_notices_what_was_not)
{
    struct tug_reclog *l = tug_reclog_new();
    struct tug_err err = {0};
    uint64_t first, last;
    int holds_any;
    for (int i = 0; i < 200; i++)
        commit_and_clean(put(i % 50 ? "1" : "0", "a record of some length, so that the log is cleaned now and then"));
    ck_assert_uint_gt(sv.first, 100);
    ck_assert_int_eq(read_from(l, 1, NULL, &err), 0); /* as one that was there all the time */
    ck_assert_int_eq(tug_reclog_cut(l, sv.first, &err), 0);
    ck_assert_uint_eq(tug_reclog_first(l), sv.first);
    holds(l, "job/0=a record of some length, so that the log is cleaned now and then "
             "job/1=a record of some length, so that the log is cleaned now and then ");
    ck_assert_int_eq(tug_reclog_oldest(l, 2 * PART, &first, &last, &holds_any),
                     tug_reclog_oldest(writer, 2 * PART, &first, &last, &holds_any));
    unit_fails(tug_reclog_cut(l, sv.next, &err), -EILSEQ, err, "are gone, and no later one says what they said");
    tug_reclog_free(l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host/reclog");
    TCase *tc = tcase_create("host/reclog");
    tcase_set_timeout(tc, UNIT_TIMEOUT_S);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_reader_has_what_was_said_last);
    tcase_add_test(tc, a_large_batch_counts_once_its_last_part_is_there);
    tcase_add_test(tc, what_a_writer_did_not_complete_never_counts);
    tcase_add_test(tc, rows_of_the_history_come_once_and_in_order);
    tcase_add_test(tc, a_gap_and_damage_are_told);
    tcase_add_test(tc, a_log_that_lost_its_oldest_entries_is_told_by_what_the_newest_says);
    tcase_add_test(tc, who_reads_along_forgets_what_was_cleaned_and_notices_what_was_not);
    tcase_add_test(tc, cleaning_loses_nothing_that_holds_and_keeps_the_log_short);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
