/* test_buf.c - bytes go in at the end, out at the front, and always end in a NUL */
#include "unit.h"

#include "base/buf.h"
#include "base/rand.h"

START_TEST(an_empty_buffer_is_an_empty_string)
{
    struct tug_buf b = { 0 };
    ck_assert_str_eq(tug_buf_str(&b), "");
    tug_buf_reset(&b);
    tug_buf_consume(&b, 0);
    char *s = tug_buf_take(&b);
    ck_assert_str_eq(s, "");
    free(s);
    tug_buf_clear(&b);
    tug_buf_clear(NULL);
}
END_TEST

START_TEST(text_can_be_read_as_a_c_string_after_every_addition)
{
    struct tug_buf b = { 0 };
    tug_buf_adds(&b, "job");
    ck_assert_str_eq(b.data, "job");
    tug_buf_addc(&b, ' ');
    ck_assert_str_eq(b.data, "job ");
    tug_buf_addf(&b, "%d of %s", 71, "ann");
    ck_assert_str_eq(b.data, "job 71 of ann");
    tug_buf_add(&b, "", 0);
    ck_assert_uint_eq(b.len, 13);
    tug_buf_reset(&b);
    ck_assert_str_eq(b.data, "");
    tug_buf_clear(&b);
    ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(formatted_text_longer_than_the_room_is_whole)
{
    struct tug_buf b = { 0 };
    for (int width = 1; width < 2000; width += 37) {
        size_t before = b.len;
        tug_buf_addf(&b, "%*d", width, 7);
        ck_assert_uint_eq(b.len, before + (size_t) width);
        ck_assert_int_eq(b.data[b.len - 1], '7');
        ck_assert_uint_eq(strlen(b.data), b.len);
    }
    tug_buf_clear(&b);
}
END_TEST

START_TEST(room_that_is_filled_in_part_reads_up_to_the_length)
{
    struct tug_buf b = { 0 };
    memset(tug_buf_room(&b, 100), 'x', 100);
    b.len += 3;
    ck_assert_str_eq(tug_buf_str(&b), "xxx");
    memset(tug_buf_room(&b, 100), 'y', 100);
    b.len += 1;
    char *s = tug_buf_take(&b);
    ck_assert_str_eq(s, "xxxy");
    ck_assert_ptr_null(b.data);
    free(s);
}
END_TEST

START_TEST(nul_bytes_are_bytes_like_others)
{
    struct tug_buf b = { 0 };
    tug_buf_add(&b, "a\0b", 3);
    ck_assert_uint_eq(b.len, 3);
    tug_buf_consume(&b, 2);
    ck_assert_str_eq(tug_buf_str(&b), "b");
    tug_buf_clear(&b);
}
END_TEST

START_TEST(a_stream_through_the_buffer_comes_out_as_it_went_in)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    struct tug_buf b = { 0 };
    uint8_t in = 0, out = 0;
    for (int i = 0; i < unit_rounds(3000); i++) {
        char piece[300];
        size_t n = tug_rand_below(&r, sizeof piece);
        for (size_t k = 0; k < n; k++)
            piece[k] = (char) in++;
        tug_buf_add(&b, piece, n);
        size_t take = tug_rand_below(&r, b.len + 1);
        for (size_t k = 0; k < take; k++)
            ck_assert_int_eq((uint8_t) b.data[k], out++);
        tug_buf_consume(&b, take);
        ck_assert_int_eq(b.data[b.len], '\0');
    }
    tug_buf_clear(&b);
}
END_TEST

UNIT_MAIN("base/buf",
          an_empty_buffer_is_an_empty_string,
          text_can_be_read_as_a_c_string_after_every_addition,
          formatted_text_longer_than_the_room_is_whole,
          room_that_is_filled_in_part_reads_up_to_the_length,
          nul_bytes_are_bytes_like_others,
          a_stream_through_the_buffer_comes_out_as_it_went_in)
