/* test_plugset.c - policies are combined, each with its own parameters, or the set is refused with
 * what is wrong and the way out */
#include "unit.h"

#include <errno.h>

#include "base/mem.h"
#include "host/plugset.h"

static struct tug_err err;
static struct tug_plugset *set;

static int open_having(uint32_t has, const char *names, const struct tug_plugload_param *params,
                       size_t n)
{
    const char *build = getenv("TUG_BUILDDIR") ? getenv("TUG_BUILDDIR") : ".";
    char *real = tug_xasprintf("%s/plugins", build),
         *tests = tug_xasprintf("%s/testsuite/plugins", build);
    const char *dirs[] = {real, tests};
    const struct tug_plugset_conf conf = {
        .names = names, .dirs = dirs, .n_dirs = 2, .params = params, .n_params = n, .has = has};
    memset(&err, 0, sizeof err);
    set = NULL;
    int rc = tug_plugset_open(&conf, &set, &err);
    free(real);
    free(tests);
    return rc;
}

static int open_set(const char *names, const struct tug_plugload_param *params, size_t n)
{
    return open_having(0, names, params, n);
}

#define GIVEN(...)                                                                                 \
    (const struct tug_plugload_param[]){__VA_ARGS__},                                              \
        sizeof((const struct tug_plugload_param[]){__VA_ARGS__}) /                                 \
            sizeof(struct tug_plugload_param)

START_TEST(policies_for_different_things_make_a_set_and_what_none_decides_is_said)
{
    ck_assert_msg(open_set("sjf+fifo", NULL, 0) == 0, "%s", err.msg);
    const struct tug_policy_set *p = tug_plugset_policies(set);
    ck_assert_uint_eq(p->n, 2);
    ck_assert_str_eq(p->at[0].ops->name, "sjf");
    ck_assert_str_eq(p->at[1].ops->name, "fifo");
    ck_assert_ptr_nonnull(p->at[1].self);
    ck_assert_ptr_nonnull(strstr(tug_plugload_path(tug_plugset_at(set, 1)), "fifo.so"));
    ck_assert_str_eq(tug_plugset_unfilled(set, 0), "where jobs go: as scheduler.placement says");
    ck_assert_str_eq(tug_plugset_unfilled(set, 1), "who gives way: nobody");
    ck_assert_ptr_null(tug_plugset_unfilled(set, 2));
    tug_plugset_close(set);
    tug_plugset_close(NULL);
    ck_assert_uint_eq(tug_plugset_policies(NULL)->n, 0);
}
END_TEST

START_TEST(a_parameter_goes_to_the_policy_that_is_named_or_the_only_one_that_has_it)
{
    ck_assert_msg(open_set("sjf+picky", GIVEN({"depth", "7"}, {"picky.weight", "0.25"})) == 0, "%s",
                  err.msg);
    ck_assert_str_eq(tug_plugload_value(tug_plugset_at(set, 1), 1), "7");
    ck_assert_str_eq(tug_plugload_value(tug_plugset_at(set, 1), 2), "0.25");
    tug_plugset_close(set);
    ck_assert_msg(open_set("tally+picky", GIVEN({"tally.depth", "3"}, {"picky.depth", "4"})) == 0,
                  "%s", err.msg);
    ck_assert_str_eq(tug_plugload_value(tug_plugset_at(set, 0), 0), "3");
    ck_assert_str_eq(tug_plugload_value(tug_plugset_at(set, 1), 1), "4");
    tug_plugset_close(set);
}
END_TEST

START_TEST(wrong_sets_and_parameters_are_refused_with_the_way_out)
{
    unit_fails(open_set("fifo+easy", NULL, 0), -EINVAL, err,
               "policies 'fifo' and 'easy' both decide which jobs start (pass()); name only one");
    unit_fails(open_set("sjf+tally", NULL, 0), -EINVAL, err,
               "policies 'sjf' and 'tally' both decide in which order jobs wait (key())");
    unit_fails(open_set("sjf+sjf", NULL, 0), -EINVAL, err, "policy 'sjf' is named twice in");
    unit_fails(open_set("sjf+", NULL, 0), -EINVAL, err, "policy '': no policy can have that name");
    unit_fails(open_set("sjf+fifa", NULL, 0), -ENOENT, err, "did you mean 'fifo'?");
    unit_fails(open_set("sjf+fifo+tally+picky+easy", NULL, 0), -EINVAL, err,
               "names more than 4 policies");
    unit_fails(open_set("tally+picky", GIVEN({"depth", "3"})), -EINVAL, err,
               "parameter 'depth' may be 'tally.depth' or 'picky.depth'; say which");
    unit_fails(open_set("tally+picky", GIVEN({"picky.depht", "3"})), -EINVAL, err,
               "policy 'tally+picky': there is no parameter 'picky.depht'; did you mean "
               "'picky.depth'?");
    unit_fails(open_set("sjf+picky", GIVEN({"wieght", "3"})), -EINVAL, err,
               "did you mean 'weight'?");
    unit_fails(open_set("sjf+fifo", GIVEN({"sjf.colour", "red"})), -EINVAL, err,
               "there is no parameter 'sjf.colour'; there are: fifo.overtake");
    unit_fails(open_set("sjf", GIVEN({"overtake", "yes"})), -EINVAL, err,
               "there is no parameter 'overtake', as it takes none");
    unit_fails(open_set("sjf+picky", GIVEN({"picky.depth", "3"}, {"depth", "4"})), -EINVAL, err,
               "parameter 'depth' is given twice");
    unit_fails(open_set("sjf+picky", GIVEN({"refuse", "x"})), -EDOM, err, "could not be created");
    ck_assert_ptr_null(set);
}
END_TEST

START_TEST(what_a_policy_needs_and_the_host_does_not_have_is_said_with_how_to_get_it)
{
    unit_fails(open_having(0, "needy", NULL, 0), -ENOTSUP, err,
               "needy.so): makes running jobs give way to keep its order; set "
               "scheduler.preemption: order");
    unit_fails(open_having(TUG_POLICY_NEEDS_ORDER_PREEMPTION, "needy", NULL, 0), -ENOTSUP, err,
               "needy.so): has to know how long every job is expected to run; give every queue");
    ck_assert_int_eq(open_having(TUG_POLICY_NEEDS_ORDER_PREEMPTION | TUG_POLICY_NEEDS_EXPECTED,
                                 "needy", NULL, 0),
                     0);
    tug_plugset_close(set);
    ck_assert_msg(open_having(0, "multifactor+easy", NULL, 0) == 0, "%s", err.msg); /* shares */
    tug_plugset_close(set);
}
END_TEST

UNIT_MAIN("host/plugset", policies_for_different_things_make_a_set_and_what_none_decides_is_said,
          a_parameter_goes_to_the_policy_that_is_named_or_the_only_one_that_has_it,
          wrong_sets_and_parameters_are_refused_with_the_way_out,
          what_a_policy_needs_and_the_host_does_not_have_is_said_with_how_to_get_it)
