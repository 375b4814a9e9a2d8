/* test_plugload.c - a policy is found, checked and given its parameters, or refused with its name
 * and file */
#include "unit.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/plugload.h"

static struct tug_err err;
static struct tug_plugload *policy;

/* From this build tree: the real ones and those for tests. */
static int open_policy(const char *name, const struct tug_plugload_param *params, size_t n)
{
    const char *build = getenv("TUG_BUILDDIR") ? getenv("TUG_BUILDDIR") : ".";
    char *real = tug_xasprintf("%s/plugins", build),
         *tests = tug_xasprintf("%s/testsuite/plugins", build);
    const char *dirs[] = {real, tests};
    memset(&err, 0, sizeof err);
    policy = NULL;
    int rc = tug_plugload_open(name, dirs, 2, params, n, &policy, &err);
    free(real);
    free(tests);
    return rc;
}

#define GIVEN(...)                                                                                 \
    (const struct tug_plugload_param[]){__VA_ARGS__},                                              \
        sizeof((const struct tug_plugload_param[]){__VA_ARGS__}) /                                 \
            sizeof(struct tug_plugload_param)

START_TEST(fifo_is_loaded_with_its_defaults)
{
    ck_assert_msg(open_policy("fifo", NULL, 0) == 0, "%s", err.msg);
    ck_assert_str_eq(tug_plugload_ops(policy)->name, "fifo");
    ck_assert_ptr_nonnull(tug_plugload_self(policy));
    ck_assert_ptr_nonnull(strstr(tug_plugload_path(policy), "plugins/fifo.so"));
    ck_assert_str_eq(tug_plugload_value(policy, 0), "no");
    tug_plugload_close(policy);
    tug_plugload_close(NULL);
}
END_TEST

START_TEST(a_name_that_is_a_path_or_empty_is_refused_before_any_file_is_touched)
{
    unit_fails(open_policy("../plugins/fifo", NULL, 0), -EINVAL, err,
               "policy '../plugins/fifo': no policy can have that name");
    unit_fails(open_policy("", NULL, 0), -EINVAL, err, "no policy can have that name");
    unit_fails(open_policy("Fifo", NULL, 0), -EINVAL, err, "a-z");
    unit_fails(open_policy("a2345678901234567890123456789012", NULL, 0), -EINVAL, err, "1 to 31");
}
END_TEST

START_TEST(a_policy_that_is_missing_is_named_with_where_was_looked_and_what_was_meant)
{
    unit_fails(open_policy("fifa", NULL, 0), -ENOENT, err,
               "policy 'fifa': there is no fifa.so in ");
    ck_assert_ptr_nonnull(strstr(err.msg, "testsuite/plugins; did you mean 'fifo'?"));
    unit_fails(open_policy("zzzzzzzzzzz", NULL, 0), -ENOENT, err, "; there are: abi2, broken, conservative, ");
    const char *nowhere[] = {"/nonexistent"};
    unit_fails(tug_plugload_open("fifo", nowhere, 1, NULL, 0, &policy, &err), -ENOENT, err,
               "no fifo.so in /nonexistent");
    unit_fails(tug_plugload_open("fifo", NULL, 0, NULL, 0, &policy, &err), -ENOENT, err,
               "none is configured");
}
END_TEST

START_TEST(a_file_that_is_no_shared_object_is_refused)
{
    char dir[] = "/tmp/tug-plugload-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    const char *dirs[] = {dir};
    char *path = tug_xasprintf("%s/text.so", dir);
    FILE *f = fopen(path, "w");
    fputs("not a shared object\n", f);
    fclose(f);
    unit_fails(tug_plugload_open("text", dirs, 1, NULL, 0, &policy, &err), -ENOEXEC, err,
               "cannot be loaded: ");
    ck_assert_ptr_nonnull(strstr(err.msg, path));
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    unit_fails(tug_plugload_open("text", dirs, 1, NULL, 0, &policy, &err), -ENOEXEC, err,
               "is not a file");
    rmdir(path);
    free(path);
    rmdir(dir);
}
END_TEST

START_TEST(a_shared_object_without_the_symbol_is_no_policy)
{
    unit_fails(open_policy("stranger", NULL, 0), -ENOEXEC, err,
               "stranger.so): is not a policy: it does not export tug_policy()");
}
END_TEST

START_TEST(another_abi_is_refused_with_both_numbers_and_nothing_behind_them_is_read)
{
    unit_fails(open_policy("abi2", NULL, 0), -ENOTSUP, err,
               "abi2.so): was made for policy ABI 2, this program takes ABI 1");
}
END_TEST

static int create(void **self, const struct tug_policy_value *v, char *why, size_t n)
{
    (void) self;
    (void) v;
    (void) why;
    (void) n;
    return 0;
}
static void destroy(void *self)
{
    (void) self;
}
static int pass(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h,
                struct tug_policy_pass *p)
{
    (void) self;
    (void) v;
    (void) h;
    (void) p;
    return 0;
}

static int rekey(void *self, const struct tug_policy_view *v)
{
    (void) self;
    (void) v;
    return 0;
}

START_TEST(a_table_that_is_short_misnamed_or_incomplete_is_refused)
{
    struct tug_policy_ops good = {.size = sizeof good,
                                  .abi = TUG_POLICY_ABI,
                                  .name = "x",
                                  .summary = "",
                                  .create = create,
                                  .destroy = destroy,
                                  .pass = pass},
                          bad;
    ck_assert_int_eq(tug_plugload_check_ops(&good, "x", "x", &err), 0);
    unit_fails(tug_plugload_check_ops(NULL, "x", "here", &err), -ENOEXEC, err,
               "here: is not a policy: tug_policy() gave nothing");
    bad = good;
    bad.size = 4;
    unit_fails(tug_plugload_check_ops(&bad, "x", "here", &err), -ENOEXEC, err, "only 4 bytes");
    bad = good;
    bad.size = offsetof(struct tug_policy_ops, pass);
    unit_fails(tug_plugload_check_ops(&bad, "x", "here", &err), -ENOEXEC, err,
               "its table has only");
    unit_fails(tug_plugload_check_ops(&good, "y", "here", &err), -ENOEXEC, err, "calls itself 'x'");
    bad = good;
    bad.pass = NULL;
    unit_fails(tug_plugload_check_ops(&bad, "x", "here", &err), -ENOEXEC, err, 
               "decides nothing: it has none of key(), pass(), place() and preempt()");
    bad = good;
    bad.rekey = rekey;
    unit_fails(tug_plugload_check_ops(&bad, "x", "here", &err), -ENOEXEC, err,
               "has rekey(), but no key()");
    const struct tug_policy_param twice[] = {
        {.name = "a", .fallback = ""}, {.name = "a", .fallback = ""}, {.name = NULL}};
    bad = good;
    bad.params = twice;
    unit_fails(tug_plugload_check_ops(&bad, "x", "here", &err), -ENOEXEC, err,
               "parameter 'a' is in its table twice");
    const struct tug_policy_param open_end[] = {{.name = "a"}, {.name = NULL}};
    bad = good;
    bad.params = open_end;
    unit_fails(tug_plugload_check_ops(&bad, "x", "here", &err), -ENOEXEC, err,
               "parameter 'a' has no default");
}
END_TEST

START_TEST(parameters_of_every_type_arrive_in_create_whose_refusal_is_passed_on)
{
    unit_fails(open_policy("picky", GIVEN({"flag", "Yes"}, {"depth", "42"}, {"weight", "0.25"},
                                          {"half_life", "1h30m"}, {"refuse", "on purpose"})),
               -EDOM, err,
               "picky.so): could not be created: flag=1 depth=42 weight=0.25 half_life=5400 "
               "refuse=on purpose");
    unit_fails(open_policy("picky", GIVEN({"refuse", "x"})), -EDOM, err,
               "flag=0 depth=10 weight=0.5 half_life=604800 refuse=x");
    ck_assert_int_eq(open_policy("picky", GIVEN({"depth", "7"})), 0);
    ck_assert_str_eq(tug_plugload_value(policy, 1), "7");
    ck_assert_str_eq(tug_plugload_value(policy, 3), "7d");
    tug_plugload_close(policy);
}
END_TEST

START_TEST(wrong_parameters_are_refused_with_what_would_be_right)
{
    const struct {
        const char *name, *value, *says;
    } wrong[] = {
        {"depht", "7", "there is no parameter 'depht'; did you mean 'depth'?"},
        {"colour", "red",
         "there is no parameter 'colour'; there are: flag, depth, weight, half_life, refuse"},
        {"flag", "maybe", "parameter 'flag': 'maybe' is neither yes nor no"},
        {"depth", "1.5", "parameter 'depth': '1.5' is not a whole number"},
        {"depth", "", "parameter 'depth': '' is not a whole number"},
        {"depth", "12x", "'12x' is not a whole number"},
        {"depth", "99999999999999999999", "is not a whole number"},
        {"depth", "101", "parameter 'depth': 101 is out of range; it goes from 1 to 100"},
        {"weight", "heavy", "parameter 'weight': 'heavy' is not a number"},
        {"weight", "nan", "'nan' is not a number"},
        {"weight", "0x10", "'0x10' is not a number"},
        {"weight", "-0.1", "out of range; it goes from 0 to 1"},
        {"half_life", "10", "parameter 'half_life': "},
        {"half_life", "5s", "out of range; it goes from 60 s to"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        unit_fails(open_policy("picky", GIVEN({wrong[i].name, wrong[i].value})), -EINVAL, err,
                   wrong[i].says);
        ck_assert_ptr_nonnull(strstr(err.msg, "policy 'picky' ("));
        ck_assert_ptr_null(policy);
    }
    unit_fails(open_policy("picky", GIVEN({"depth", "1"}, {"depth", "2"})), -EINVAL, err,
               "parameter 'depth' is given twice");
    unit_fails(open_policy("nonsense", GIVEN({"depth", "1"})), -EINVAL, err,
               "there is no parameter 'depth', as it takes none");
}
END_TEST

UNIT_MAIN("host/plugload", fifo_is_loaded_with_its_defaults,
          a_name_that_is_a_path_or_empty_is_refused_before_any_file_is_touched,
          a_policy_that_is_missing_is_named_with_where_was_looked_and_what_was_meant,
          a_file_that_is_no_shared_object_is_refused,
          a_shared_object_without_the_symbol_is_no_policy,
          another_abi_is_refused_with_both_numbers_and_nothing_behind_them_is_read,
          a_table_that_is_short_misnamed_or_incomplete_is_refused,
          parameters_of_every_type_arrive_in_create_whose_refusal_is_passed_on,
          wrong_parameters_are_refused_with_what_would_be_right)
