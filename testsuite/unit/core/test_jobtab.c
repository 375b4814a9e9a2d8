/* test_jobtab.c - jobs are found by id and come out in id order; equal texts are kept once */
#include "unit.h"

#include "core/intern.h"
#include "core/jobtab.h"

struct tug_entry {
    tug_job_id id;
};

START_TEST(ids_that_come_in_any_order_come_out_sorted)
{
    static struct tug_entry e[6] = {{64}, {1}, {1000000}, {63}, {65}, {UINT64_MAX}};
    struct tug_jobtab t = {0};
    for (int i = 0; i < 6; i++)
        tug_jobtab_add(&t, e[i].id, &e[i]);
    const tug_job_id sorted[] = {1, 63, 64, 65, 1000000, UINT64_MAX};
    tug_job_id at = 0;
    for (int i = 0; i < 6; i++) {
        struct tug_entry *next = tug_jobtab_after(&t, at);
        ck_assert_ptr_nonnull(next);
        ck_assert_uint_eq(at = next->id, sorted[i]);
        ck_assert_ptr_eq(tug_jobtab_find(&t, at), next);
    }
    ck_assert_ptr_null(tug_jobtab_after(&t, at));
    ck_assert_ptr_null(tug_jobtab_find(&t, 2));
    tug_jobtab_remove(&t, 64);
    tug_jobtab_remove(&t, 65);
    tug_jobtab_remove(&t, 999); /* not there */
    ck_assert_uint_eq(t.n_jobs, 4);
    ck_assert_uint_eq(t.n_pages, 3);
    ck_assert_uint_eq(tug_jobtab_after(&t, 63)->id, 1000000);
    tug_jobtab_clear(&t);
}
END_TEST

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

UNIT_MAIN("core/jobtab", ids_that_come_in_any_order_come_out_sorted,
          a_text_lives_as_long_as_somebody_holds_it)
