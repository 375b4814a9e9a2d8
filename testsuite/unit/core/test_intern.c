/* test_intern.c - equal texts are kept once, as long as somebody holds them */
#include "unit.h"

#include "core/intern.h"

START_TEST(a_text_lives_as_long_as_somebody_holds_it)
{
    struct tug_interns *t = tug_interns_new();
    char copy[] = "train";
    const char *a = tug_intern(t, "train"), *b = tug_intern(t, copy);
    ck_assert_ptr_eq(a, b);
    ck_assert_str_eq(tug_intern(t, NULL), "");
    ck_assert_uint_eq(tug_interns_count(t), 2);
    ck_assert_ptr_eq(tug_intern_hold(a), a);
    tug_intern_drop(t, a);
    tug_intern_drop(t, a);
    ck_assert_str_eq(b, "train");
    tug_intern_drop(t, b);
    tug_intern_drop(t, NULL);
    ck_assert_uint_eq(tug_interns_count(t), 1);
    tug_interns_free(t);
    tug_interns_free(NULL);
}
END_TEST

UNIT_MAIN("core/intern", a_text_lives_as_long_as_somebody_holds_it)
