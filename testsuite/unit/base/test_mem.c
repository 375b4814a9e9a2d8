/* test_mem.c - allocation never hands out NULL for an object, and vectors grow and shrink */
#include "unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/vec.h"

START_TEST(no_bytes_are_still_an_object)
{
    void *a = tug_xmalloc(0), *b = tug_xcalloc(0, 8), *c = tug_xrealloc(NULL, 0);
    ck_assert(a && b && c);
    free(a);
    free(b);
    free(tug_xrealloc(c, 0));
}
END_TEST

START_TEST(copies_are_equal_and_nothing_copies_to_nothing)
{
    char *s = tug_xstrdup("gang"), *f = tug_xasprintf("%s-%d", "r", 7), *m = tug_xmemdup("a\0b", 3);
    ck_assert_str_eq(s, "gang");
    ck_assert_str_eq(f, "r-7");
    ck_assert_int_eq(m[2], 'b');
    ck_assert_ptr_null(tug_xstrdup(NULL));
    ck_assert_ptr_null(tug_xmemdup("x", 0));
    free(s);
    free(f);
    free(m);
}
END_TEST

START_TEST(a_new_object_is_all_zero)
{
    struct thing { int a; void *b; } *t = tug_new(struct thing);
    ck_assert(t->a == 0 && t->b == NULL);
    free(t);
}
END_TEST

START_TEST(a_product_of_sizes_that_overflows_aborts)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        close(2);
        /* Sanitizers would end the process themselves; what counts is that it does not go on. */
        volatile size_t huge = (size_t) -1 / 2;
        _exit(tug_xcalloc(huge, 4) ? 0 : 3);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3));
}
END_TEST

START_TEST(a_vector_keeps_its_order_when_elements_leave)
{
    struct tug_vec(int) v = { 0 };
    for (int i = 0; i < 100; i++)
        tug_vec_push(&v, i);
    ck_assert_uint_eq(v.len, 100);
    ck_assert_uint_ge(v.cap, 100);
    tug_vec_remove(&v, 0);
    tug_vec_remove(&v, 98);
    tug_vec_remove(&v, 49);
    ck_assert_uint_eq(v.len, 97);
    ck_assert_int_eq(v.at[0], 1);
    ck_assert_int_eq(v.at[48], 49);
    ck_assert_int_eq(v.at[49], 51);
    ck_assert_int_eq(v.at[96], 98);
    tug_vec_clear(&v);
    ck_assert(v.at == NULL && v.len == 0 && v.cap == 0);
}
END_TEST

UNIT_MAIN("base/mem",
          no_bytes_are_still_an_object,
          copies_are_equal_and_nothing_copies_to_nothing,
          a_new_object_is_all_zero,
          a_product_of_sizes_that_overflows_aborts,
          a_vector_keeps_its_order_when_elements_leave)
