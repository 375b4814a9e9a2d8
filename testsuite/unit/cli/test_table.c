/* test_table.c - tables, times and JSON text. Layer: tests. */
#include "unit.h"

#include <errno.h>

#include "cli/columns.h"
#include "cli/out.h"

static const struct tug_table_column columns[] = {{"ID", true, 0}, {"NAME", false, 6}};

static const char *table(int width, bool head, const char *const *cells, size_t n)
{
    static struct tug_buf out;
    struct tug_table *t = tug_table_new(columns, 2);
    tug_buf_reset(&out);
    for (size_t i = 0; i < n; i++)
        tug_table_cells(t, cells[i], TUG_PLAIN);
    tug_table_print(t, &out, width, head, false);
    tug_table_free(t);
    return tug_buf_str(&out);
}

START_TEST(numbers_stand_right_text_left_and_no_line_ends_with_blanks)
{
    const char *cells[] = {"7", "ann", "1234", ""};
    ck_assert_str_eq(table(0, true, cells, 4), "  ID  NAME\n   7  ann\n1234\n");
}
END_TEST

START_TEST(a_narrow_terminal_cuts_what_may_be_cut_and_a_pipe_nothing)
{
    const char *cells[] = {"1234", "a name that is long"};
    ck_assert_str_eq(table(16, false, cells, 2), "1234  a name ...\n");
    ck_assert_str_eq(table(3, false, cells, 2), "1234  a n...\n");
    ck_assert_str_eq(table(0, false, cells, 2), "1234  a name that is long\n");
}
END_TEST

START_TEST(control_bytes_are_shown_and_never_sent)
{
    const char *cells[] = {"1", "a\033[2Jb\nc\x9b"};
    ck_assert_str_eq(table(0, false, cells, 2), "1  a\\x1b[2Jb\\nc\\x9b\n");
}
END_TEST

START_TEST(wide_and_combining_characters_keep_the_columns_straight)
{
    const char *cells[] = {"1", "\xe6\xbc\xa2\xe5\xad\x97", "2", "e\xcc\x81"};
    const struct tug_table_column two[] = {{"", false, 0}, {"", false, 4}};
    (void) two;
    ck_assert_int_eq(tug_out_columns(cells[1], 6), 4);
    ck_assert_int_eq(tug_out_columns(cells[3], 3), 1);
}
END_TEST

START_TEST(lengths_of_time_read_as_people_say_them)
{
    char s[32];
    ck_assert_str_eq(tug_out_span(-5, s, sizeof s), "0:00");
    ck_assert_str_eq(tug_out_span(65999, s, sizeof s), "1:05");
    ck_assert_str_eq(tug_out_span(3600000, s, sizeof s), "1:00:00");
    ck_assert_str_eq(tug_out_span(90061000, s, sizeof s), "1-01:01:01");
    ck_assert_str_eq(tug_out_precise(42, s, sizeof s), "0.042 s");
    ck_assert_str_eq(tug_out_precise(12345, s, sizeof s), "12.3 s");
    ck_assert_str_eq(tug_out_time(0, s, sizeof s), "-");
    setenv("TZ", "UTC", 1);
    ck_assert_str_eq(tug_out_time(1795225801000LL, s, sizeof s), "2026-11-21T01:50:01");
}
END_TEST

START_TEST(json_text_is_json_whatever_the_bytes_are)
{
    struct tug_buf b = {0};
    tug_out_json_string(&b, "a\"\\\n\x01\x7f\xff\xc3\xa9\xed\xa0\x80", 12);
    ck_assert_str_eq(tug_buf_str(&b), "\"a\\\"\\\\\\u000a\\u0001\\u007f\xef\xbf\xbd\xc3\xa9\xef\xbf"
                                      "\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    tug_buf_clear(&b);
}
END_TEST

START_TEST(jobs_sort_by_several_columns_and_then_by_id)
{
    Tugpb__JobView v[4], *jobs[4];
    struct tug_sort by = {0};
    struct tug_err err = {0};
    const char *queues[] = {"b", "a", "b", "a"};
    uint32_t gpus[] = {1, 2, 8, 2};
    for (size_t i = 0; i < 4; i++) {
        tugpb__job_view__init(&v[i]);
        v[i].id = 10 - i;
        v[i].queue = (char *) queues[i];
        v[i].gpus = gpus[i];
        jobs[i] = &v[i];
    }
    ck_assert_int_eq(tug_sort_parse("queue,-gpus", &by, &err), 0);
    tug_columns_sort(jobs, 4, &by, 0);
    ck_assert_uint_eq(jobs[0]->id, 7);
    ck_assert_uint_eq(jobs[1]->id, 9);
    ck_assert_uint_eq(jobs[2]->id, 8);
    ck_assert_uint_eq(jobs[3]->id, 10);
    for (size_t i = 0; i < 4; i++)
        v[i].launched_ms = 1000;
    v[0].run_before_ms = 50; /* suspended since then */
    v[1].run_before_ms = 50; /* goes on since 2000 */
    v[1].run_since_ms = 2000;
    v[2].run_since_ms = 1000;
    v[3].launched_ms = 0;
    by.len = 0;
    ck_assert_int_eq(tug_sort_parse("time", &by, &err), 0);
    tug_columns_sort(jobs, 4, &by, 2100);
    ck_assert_uint_eq(jobs[0]->id, 7);
    ck_assert_uint_eq(jobs[1]->id, 10);
    ck_assert_uint_eq(jobs[2]->id, 9);
    ck_assert_uint_eq(jobs[3]->id, 8);
    unit_fails(tug_sort_parse("where", &by, &err), -EINVAL, err, "cannot be sorted by 'where'");
    unit_fails(tug_sort_parse("gpu", &by, &err), -EINVAL, err, "did you mean gpus?");
    tug_vec_clear(&by);
}
END_TEST

UNIT_MAIN("cli/table", numbers_stand_right_text_left_and_no_line_ends_with_blanks,
          a_narrow_terminal_cuts_what_may_be_cut_and_a_pipe_nothing,
          control_bytes_are_shown_and_never_sent,
          wide_and_combining_characters_keep_the_columns_straight,
          lengths_of_time_read_as_people_say_them, json_text_is_json_whatever_the_bytes_are,
          jobs_sort_by_several_columns_and_then_by_id)
