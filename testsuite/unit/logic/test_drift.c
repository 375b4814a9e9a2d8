/* test_drift.c - what nodes say of NVLink between them against the fabric. Layer: tests. */
#include "unit.h"

#include "base/buf.h"
#include "logic/drift.h"

static struct tug_buf said;

static void on_said(void *arg, size_t row, const char *text)
{
    (void) arg;
    tug_buf_addf(&said, "%zu %s\n", row, text);
}

static void finds(const struct tug_drift_row *rows, size_t n, const char *text)
{
    tug_buf_reset(&said);
    tug_drift_find(rows, n, on_said, NULL);
    ck_assert_str_eq(tug_buf_str(&said), text);
}

START_TEST(a_fabric_that_is_as_nodes_say_has_no_drift)
{
    const struct tug_drift_row rows[] = {{"n1", "X.1", "a", 1}, {"n2", "X.1", "a", 1}, {"n3", "X.2", "b", 1}, {"n4", "X.2", "b", 1}};
    finds(rows, 4, "");
    finds(rows, 0, "");
}
END_TEST

START_TEST(who_is_elsewhere_than_most_of_its_nvlink_domain_is_named)
{
    const struct tug_drift_row rows[] = {
        {"n1", "X.1", "a", 0}, {"n2", "X.1", "b", 0}, {"n3", "X.1", "b", 0}, {"n4", "X.1", "", 0}, {"n5", "Y.1", "a", 0}};
    finds(rows, 5,
          "0 node n1 is in domain 'a' of the fabric; NVLink joins it with n2, which is in domain 'b'\n"
          "3 node n4 is in no domain of the fabric; NVLink joins it with n2, which is in domain 'b'\n");
}
END_TEST

START_TEST(of_two_halves_the_one_that_was_configured_first_is_right)
{
    const struct tug_drift_row rows[] = {{"n1", "X.1", "z", 0}, {"n2", "X.1", "a", 0}};
    finds(rows, 2, "1 node n2 is in domain 'a' of the fabric; NVLink joins it with n1, which is in domain 'z'\n");
}
END_TEST

START_TEST(a_domain_of_nvlinks_own_level_has_nodes_of_one_nvlink_domain)
{
    struct tug_drift_row rows[] = {{"n1", "X.1", "a", 1}, {"n2", "X.1", "a", 1}, {"n3", "X.2", "a", 1}};
    finds(rows, 3, "2 node n3 is in domain 'a' of the fabric with n1; NVLink does not join the two\n");
    for (int i = 0; i < 3; i++)
        rows[i].is_nvlink = 0; /* a leaf may have several */
    finds(rows, 3, "");
}
END_TEST

START_TEST(two_nodes_that_were_swapped_are_both_named)
{
    const struct tug_drift_row rows[] = {{"n1", "X.1", "a", 1}, {"n2", "X.1", "a", 1}, {"n3", "X.2", "a", 1},
                                         {"n4", "X.2", "b", 1}, {"n5", "X.2", "b", 1}, {"n6", "X.1", "b", 1}};
    finds(rows, 6,
          "2 node n3 is in domain 'a' of the fabric; NVLink joins it with n4, which is in domain 'b'\n"
          "5 node n6 is in domain 'b' of the fabric; NVLink joins it with n1, which is in domain 'a'\n");
}
END_TEST

START_TEST(levels_of_nvlink_are_known_by_their_names)
{
    ck_assert(tug_drift_is_nvlink("nvlink") && tug_drift_is_nvlink("NVL72") && tug_drift_is_nvlink("block"));
    ck_assert(!tug_drift_is_nvlink("leaf") && !tug_drift_is_nvlink("") && !tug_drift_is_nvlink("rack"));
}
END_TEST

UNIT_MAIN("logic/drift", a_fabric_that_is_as_nodes_say_has_no_drift, who_is_elsewhere_than_most_of_its_nvlink_domain_is_named,
          of_two_halves_the_one_that_was_configured_first_is_right, a_domain_of_nvlinks_own_level_has_nodes_of_one_nvlink_domain,
          two_nodes_that_were_swapped_are_both_named, levels_of_nvlink_are_known_by_their_names)
