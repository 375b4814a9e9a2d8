/* test_hostlist.c - what a hostlist's text means, what is refused, and that text and set agree */
#include "unit.h"

#include <errno.h>

#include "base/hostlist.h"
#include "base/rand.h"

static struct tug_hostlist *parse(const char *text)
{
    struct tug_hostlist *hl = NULL;
    struct tug_err err = { 0 };
    int rc = tug_hostlist_parse(text, &hl, &err);
    ck_assert_msg(rc == 0, "'%s': %s", text, err.msg);
    return hl;
}

/* 'text' means exactly the names in 'names' (separated by spaces), in that order. */
static void means(const char *text, const char *names)
{
    struct tug_hostlist *hl = parse(text);
    struct tug_buf got = { 0 };
    for (size_t i = 0; i < tug_hostlist_count(hl); i++)
        tug_buf_addf(&got, "%s%s", i ? " " : "", tug_hostlist_nth(hl, i));
    ck_assert_str_eq(tug_buf_str(&got), names);
    tug_buf_clear(&got);
    tug_hostlist_free(hl);
}

/* The set that 'text' means is written as 'folded'. */
static void folds(const char *text, const char *folded)
{
    struct tug_hostlist *hl = parse(text);
    struct tug_buf got = { 0 };
    tug_hostlist_format(hl, &got);
    ck_assert_str_eq(tug_buf_str(&got), folded);
    tug_buf_clear(&got);
    tug_hostlist_free(hl);
}

static void refused(const char *text, int code, const char *words)
{
    struct tug_hostlist *hl = NULL;
    struct tug_err err = { 0 };
    unit_fails(tug_hostlist_parse(text, &hl, &err), code, err, words);
    ck_assert_ptr_null(hl);
}

START_TEST(brackets_mean_their_numbers_with_padding_kept)
{
    means("gpu[1-3]", "gpu1 gpu2 gpu3");
    means("gpu[001-003,200]", "gpu001 gpu002 gpu003 gpu200");
    means("n[08-11]", "n08 n09 n10 n11");
    means("n[8-11]", "n8 n9 n10 n11");
    means("n[098-100]", "n098 n099 n100");
    means("n[08-100,7]x", "n7x n08x n09x n10x n11x n12x n13x n14x n15x n16x n17x n18x n19x n20x n21x n22x n23x "
          "n24x n25x n26x n27x n28x n29x n30x n31x n32x n33x n34x n35x n36x n37x n38x n39x n40x n41x n42x n43x "
          "n44x n45x n46x n47x n48x n49x n50x n51x n52x n53x n54x n55x n56x n57x n58x n59x n60x n61x n62x n63x "
          "n64x n65x n66x n67x n68x n69x n70x n71x n72x n73x n74x n75x n76x n77x n78x n79x n80x n81x n82x n83x "
          "n84x n85x n86x n87x n88x n89x n90x n91x n92x n93x n94x n95x n96x n97x n98x n99x n100x");
    means("[1-2]a", "1a 2a");
    means("a[0]", "a0");
}
END_TEST

START_TEST(several_brackets_multiply)
{
    means("r[1-2]n[01-02]", "r1n01 r1n02 r2n01 r2n02");
    means("a[1-2][3-4]", "a13 a14 a23 a24");
    means("r[1,3]n[1,5]-ib", "r1n1-ib r1n5-ib r3n1-ib r3n5-ib");
}
END_TEST

START_TEST(a_list_is_sorted_naturally_and_each_name_is_once)
{
    means("gpu10,gpu9,gpu2,gpu10", "gpu2 gpu9 gpu10");
    means("b,a,a[1-2],a1", "a a1 a2 b");
    means("n1,n01,n001", "n001 n01 n1");
}
END_TEST

START_TEST(blanks_around_commas_are_free_and_no_text_is_no_host)
{
    means("", "");
    means("  \t\n ", "");
    means(" a , b,\n c ", "a b c");
}
END_TEST

START_TEST(what_is_wrong_is_named_with_its_column)
{
    refused("a,,b", -EINVAL, "column 3: a host name is missing");
    refused("a,", -EINVAL, "column 3: a host name is missing");
    refused(",a", -EINVAL, "column 1: a host name is missing");
    refused("a b", -EINVAL, "column 3: expected ','");
    refused("gpu[1-", -EINVAL, "column 7: ']' is missing");
    refused("gpu[1-3", -EINVAL, "column 8: ']' is missing");
    refused("gpu[]", -EINVAL, "column 5: expected a number");
    refused("gpu[1,]", -EINVAL, "column 7: expected a number");
    refused("gpu[1;2]", -EINVAL, "column 6: expected ',', '-' or ']'");
    refused("gpu[1[2]]", -EINVAL, "column 6");
    refused("gpu[[1]]", -EINVAL, "brackets don't nest");
    refused("gpu]", -EINVAL, "column 4: ']' without '['");
    refused("gpu[3-1]", -EINVAL, "column 5: the range runs backwards");
    refused("gpu[1-010]", -EINVAL, "column 5: the two ends of the range are padded differently");
    refused("gpu[001-10]", -EINVAL, "padded differently");
    refused("gpu[1-3]!", -EINVAL, "column 9: this is not part of a host name");
    refused("-a", -EINVAL, "starts with a letter or digit");
    refused("gpu[1234567890123456789]", -EINVAL, "at most 18 digits");
    refused("ok,ok,a\xc3\xa9", -EINVAL, "column 8");
}
END_TEST

START_TEST(a_long_text_is_quoted_near_the_column)
{
    char text[400];
    memset(text, 'a', sizeof text);
    for (size_t i = 20; i < sizeof text; i += 20)
        text[i] = ',';
    strcpy(text + 360, "here?");
    refused(text, -EINVAL, "here?");
}
END_TEST

START_TEST(the_cap_is_exact_and_found_before_names_are_made)
{
    struct tug_hostlist *hl = parse("n[1-65536]");
    ck_assert_uint_eq(tug_hostlist_count(hl), TUG_HOSTLIST_MAX);
    tug_hostlist_free(hl);
    refused("n[0-65536]", -E2BIG, "65536");
    refused("n[1-65536],x", -E2BIG, "column 12");
    refused("a[1-256]b[1-256]c[1-2]", -E2BIG, "65536");
    refused("a[1-999999999999999999]", -E2BIG, "65536");
    refused("a[1-65536]b[1-65536]c[1-65536]d[1-65536]e[1-65536]", -E2BIG, "65536");
    refused("a[1-40000],a[1-40000]", -E2BIG, "65536"); /* duplicates count: the work is the same */
}
END_TEST

START_TEST(a_name_has_at_most_255_bytes)
{
    char text[300];
    memset(text, 'a', sizeof text);
    text[255] = '\0';
    struct tug_hostlist *hl = parse(text);
    tug_hostlist_free(hl);
    text[255] = 'a';
    text[256] = '\0';
    refused(text, -EINVAL, "at most 255 bytes");
    strcpy(text + 250, "[100000]");
    refused(text, -EINVAL, "at most 255 bytes");
}
END_TEST

START_TEST(names_fold_back_into_the_short_form)
{
    folds("gpu1", "gpu1");
    folds("gpu1,gpu2,gpu3", "gpu[1-3]");
    folds("gpu001,gpu002,gpu200", "gpu[001-002,200]");
    folds("n8,n9,n10,n11", "n[8-11]");
    folds("n08,n09,n10,n11", "n[08-11]");
    folds("r1n01,r1n02,r2n01,r2n02", "r[1-2]n[01-02]");
    folds("r1n1,r1n2,r2n1", "r1n[1-2],r2n1");
    folds("login,gpu[1-2],a.b,a.c", "a.b,a.c,gpu[1-2],login");
    folds("n9,n09,n10", "n[9,09-10]");
    folds("x[1-2]y,x[1-2]z", "x[1-2]y,x[1-2]z");
    folds("", "");
    folds("dgx[1-2]-r[1-2]-n[1-2].cluster7", "dgx[1-2]-r[1-2]-n[1-2].cluster7");
}
END_TEST

START_TEST(numbers_too_long_for_a_bracket_stay_text)
{
    folds("n1234567890123456788,n1234567890123456789", "n1234567890123456788,n1234567890123456789");
    folds("n123456789012345678,n123456789012345679", "n[123456789012345678-123456789012345679]");
    folds("n1234567890123456789a[1-2]", "n1234567890123456789a[1-2]");
}
END_TEST

START_TEST(one_name_can_be_added_found_and_removed)
{
    struct tug_hostlist *hl = tug_hostlist_new();
    struct tug_err err = { 0 };
    size_t i = 99;
    ck_assert_int_eq(tug_hostlist_add(hl, "n10", NULL), 0);
    ck_assert_int_eq(tug_hostlist_add(hl, "n9", NULL), 0);
    ck_assert_int_eq(tug_hostlist_add(hl, "n9", NULL), 0);
    ck_assert_uint_eq(tug_hostlist_count(hl), 2);
    ck_assert(tug_hostlist_find(hl, "n10", &i));
    ck_assert_uint_eq(i, 1);
    i = 99;
    ck_assert(!tug_hostlist_find(hl, "n010", &i));
    ck_assert_uint_eq(i, 99);
    unit_fails(tug_hostlist_add(hl, "n[1-2]", &err), -EINVAL, err, "'n[1-2]' is not a host name");
    tug_hostlist_remove(hl, "n9");
    tug_hostlist_remove(hl, "n9");
    ck_assert(!tug_hostlist_contains(hl, "n9"));
    ck_assert_str_eq(tug_hostlist_nth(hl, 0), "n10");
    tug_hostlist_free(hl);
    tug_hostlist_free(NULL);
}
END_TEST

START_TEST(set_operations_do_what_sets_do)
{
    struct tug_hostlist *a = parse("n[1-5]"), *b = parse("n[4-8],x");
    struct tug_hostlist *u = tug_hostlist_union(a, b), *i = tug_hostlist_intersect(a, b);
    struct tug_hostlist *s = tug_hostlist_subtract(a, b), *c = tug_hostlist_copy(a);
    struct tug_buf out = { 0 };
    tug_hostlist_format(u, &out);
    tug_buf_addc(&out, ' ');
    tug_hostlist_format(i, &out);
    tug_buf_addc(&out, ' ');
    tug_hostlist_format(s, &out);
    ck_assert_str_eq(tug_buf_str(&out), "n[1-8],x n[4-5] n[1-3]");
    ck_assert(tug_hostlist_equal(a, c) && !tug_hostlist_equal(a, b) && !tug_hostlist_equal(a, s));
    tug_buf_clear(&out);
    struct tug_hostlist *all[] = { a, b, u, i, s, c };
    for (size_t k = 0; k < 6; k++)
        tug_hostlist_free(all[k]);
}
END_TEST

START_TEST(natural_order_is_a_total_order)
{
    static const char *const sorted[] = { "1", "2", "10", "a", "a0", "a1b", "a01b2", "a1b3", "a1c", "a01c", "b" };
    size_t n = sizeof sorted / sizeof *sorted;
    ck_assert_int_lt(tug_hostname_cmp("gpu9", "gpu10"), 0);
    ck_assert_int_lt(tug_hostname_cmp("n01", "n1"), 0);
    ck_assert_int_gt(tug_hostname_cmp("n1", "n01"), 0);
    ck_assert_int_lt(tug_hostname_cmp("n1x", "n01y"), 0);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            int ij = tug_hostname_cmp(sorted[i], sorted[j]), ji = tug_hostname_cmp(sorted[j], sorted[i]);
            ck_assert((ij == 0) == (i == j));
            ck_assert((ij < 0) == (ji > 0));
            for (size_t k = 0; k < n; k++)
                if (ij < 0 && tug_hostname_cmp(sorted[j], sorted[k]) < 0)
                    ck_assert_int_lt(tug_hostname_cmp(sorted[i], sorted[k]), 0);
        }
}
END_TEST

/* Random names with few letters and digits, so that runs, gaps, padding and products all happen. */
static void random_name(struct tug_rand *r, char *out)
{
    static const char *const stems[] = { "n", "gpu", "r1n", "r2n", "r02n", "a-" };
    static const char *const tails[] = { "", "", "", "-ib", ".x7", "b3" };
    sprintf(out, "%s%0*u%s", stems[tug_rand_below(r, 6)], (int) tug_rand_below(r, 3) + 1,
            (unsigned) tug_rand_below(r, 120), tails[tug_rand_below(r, 6)]);
}

START_TEST(any_set_reads_back_from_its_text_whatever_the_order_of_its_names)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int round = 0; round < unit_rounds(300); round++) {
        struct tug_hostlist *by_add = tug_hostlist_new();
        struct tug_buf list = { 0 }, folded = { 0 };
        size_t n = tug_rand_below(&r, 200);
        for (size_t i = 0; i < n; i++) {
            char name[64];
            random_name(&r, name);
            tug_buf_addf(&list, "%s%s", i ? "," : "", name);
            ck_assert_int_eq(tug_hostlist_add(by_add, name, NULL), 0);
        }
        struct tug_hostlist *by_parse = parse(tug_buf_str(&list));
        ck_assert(tug_hostlist_equal(by_add, by_parse));
        tug_hostlist_format(by_parse, &folded);
        struct tug_hostlist *again = parse(tug_buf_str(&folded));
        ck_assert_msg(tug_hostlist_equal(again, by_parse), "%s", tug_buf_str(&folded));
        tug_hostlist_free(again);
        tug_hostlist_free(by_parse);
        tug_hostlist_free(by_add);
        tug_buf_clear(&list);
        tug_buf_clear(&folded);
    }
}
END_TEST

START_TEST(set_operations_agree_with_asking_for_each_name)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int round = 0; round < unit_rounds(100); round++) {
        struct tug_hostlist *a = tug_hostlist_new(), *b = tug_hostlist_new();
        for (int i = 0; i < 60; i++) {
            char name[64];
            random_name(&r, name);
            tug_hostlist_add(tug_rand_below(&r, 2) ? a : b, name, NULL);
            if (tug_rand_below(&r, 4) == 0) {
                tug_hostlist_add(a, name, NULL);
                tug_hostlist_add(b, name, NULL);
            }
        }
        struct tug_hostlist *u = tug_hostlist_union(a, b), *i = tug_hostlist_intersect(a, b);
        struct tug_hostlist *s = tug_hostlist_subtract(a, b);
        for (size_t k = 0; k < tug_hostlist_count(u); k++) {
            const char *name = tug_hostlist_nth(u, k);
            bool in_a = tug_hostlist_contains(a, name), in_b = tug_hostlist_contains(b, name);
            ck_assert(in_a || in_b);
            ck_assert(tug_hostlist_contains(i, name) == (in_a && in_b));
            ck_assert(tug_hostlist_contains(s, name) == (in_a && !in_b));
        }
        ck_assert_uint_eq(tug_hostlist_count(u) + tug_hostlist_count(i),
                          tug_hostlist_count(a) + tug_hostlist_count(b));
        struct tug_hostlist *all[] = { a, b, u, i, s };
        for (size_t k = 0; k < 5; k++)
            tug_hostlist_free(all[k]);
    }
}
END_TEST

UNIT_MAIN("base/hostlist",
          brackets_mean_their_numbers_with_padding_kept,
          several_brackets_multiply,
          a_list_is_sorted_naturally_and_each_name_is_once,
          blanks_around_commas_are_free_and_no_text_is_no_host,
          what_is_wrong_is_named_with_its_column,
          a_long_text_is_quoted_near_the_column,
          the_cap_is_exact_and_found_before_names_are_made,
          a_name_has_at_most_255_bytes,
          names_fold_back_into_the_short_form,
          numbers_too_long_for_a_bracket_stay_text,
          one_name_can_be_added_found_and_removed,
          set_operations_do_what_sets_do,
          natural_order_is_a_total_order,
          any_set_reads_back_from_its_text_whatever_the_order_of_its_names,
          set_operations_agree_with_asking_for_each_name)
