/* test_readfile.c - whole regular files and nothing else */
#include "unit.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/config.h"
#include "host/readfile.h"

static char dir[] = "/tmp/tug-readfile.XXXXXX";

/* A file in 'dir'; the name is good until the next call. */
static const char *make(const char *name, const char *text, size_t len)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
    return path;
}

static void in_dir(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
    static const char *const names[] = {"a.yaml", "b.yaml", "B.yaml", "pipe", "sub"};
    ck_assert_int_eq(chdir(dir), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(names[i]);
    ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(a_file_is_appended_whole_up_to_the_limit)
{
    struct tug_buf b = {0};
    struct tug_err err = {0};
    in_dir();
    tug_buf_adds(&b, "x");
    ck_assert_int_eq(tug_readfile(make("a.yaml", "a\0bc", 4), 4, &b, &err), 0);
    ck_assert_uint_eq(b.len, 5);
    ck_assert_int_eq(memcmp(b.data, "xa\0bc", 6), 0);
    unit_fails(tug_readfile(make("a.yaml", "abcde", 5), 4, &b, &err), -EFBIG, err,
               "is over 4 bytes");
    ck_assert_uint_eq(b.len, 5);
    ck_assert_int_eq(b.data[5], '\0');
    char *big = tug_xcalloc(1, 300000);
    ck_assert_int_eq(tug_readfile(make("a.yaml", big, 300000), 300000, &b, &err), 0);
    ck_assert_uint_eq(b.len, 300005);
    ck_assert_int_eq(tug_readfile("/proc/self/status", 1 << 20, &b, &err), 0); /* its size says 0 */
    ck_assert_uint_gt(b.len, 300005);
    free(big);
    tug_buf_clear(&b);
    ck_assert_int_eq(tug_readfile(make("a.yaml", "", 0), 4, &b, &err), 0);
    ck_assert_str_eq(b.data, "");
    tug_buf_clear(&b);
    remove_dir();
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused_at_once)
{
    struct tug_buf b = {0};
    struct tug_err err = {0};
    char path[200];
    in_dir();
    snprintf(path, sizeof path, "%s/pipe", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    unit_fails(tug_readfile(path, 10, &b, &err), -EINVAL, err, "/pipe' is not a regular file");
    unit_fails(tug_readfile("/dev/zero", 10, &b, &err), -EINVAL, err,
               "'/dev/zero' is not a regular file");
    unit_fails(tug_readfile(dir, 10, &b, &err), -EISDIR, err, "is a directory, not a file");
    unit_fails(tug_readfile("/no/such", 10, &b, &err), -ENOENT, err,
               "cannot open '/no/such': No such file or directory");
    ck_assert_uint_eq(b.len, 0);
    tug_buf_clear(&b);
    remove_dir();
}
END_TEST

START_TEST(a_configuration_is_read_from_real_files)
{
    struct tug_config c = {0};
    struct tug_conf_errors errs = {0};
    struct tug_buf b = {0};
    char *main_path;
    in_dir();
    make("B.yaml", "nodes: [{name: n1}]\n", 20);
    make("b.yaml", "nodes: [{name: n2}]\n", 20);
    main_path = tug_xstrdup(make("a.yaml", "include: '[Bb].yaml'\n", 21));
    int rc = tug_config_load(tug_readfile_reader(), main_path, &c, &errs);
    tug_conf_errors_print(&errs, &b);
    ck_assert_msg(rc == 0, "%s", tug_buf_str(&b));
    /* By bytes, whatever the locale says. */
    ck_assert_str_eq(c.nodes[0].name.text, "n1");
    ck_assert_str_eq(c.nodes[1].name.text, "n2");
    tug_config_clear(&c);
    free(main_path);
    main_path = tug_xstrdup(make("a.yaml", "include: [none*.yaml, sub]\n", 27));
    ck_assert_int_eq(tug_config_load(tug_readfile_reader(), main_path, &c, &errs), -EINVAL);
    tug_conf_errors_print(&errs, &b);
    ck_assert_ptr_nonnull(strstr(tug_buf_str(&b), "a.yaml:1:23: cannot open '"));
    ck_assert_uint_eq(errs.list.len, 1);
    tug_conf_errors_clear(&errs);
    tug_buf_clear(&b);
    free(main_path);
    remove_dir();
}
END_TEST

START_TEST(the_example_files_load)
{
    struct tug_config c = {0};
    struct tug_node_config n = {0};
    struct tug_conf_errors errs = {0};
    struct tug_buf b = {0};
    const char *top = getenv("TUG_SRCDIR");
    char *path = tug_xasprintf("%s/etc/tugline.yaml", top ? top : ".");
    int rc = tug_config_load(tug_readfile_reader(), path, &c, &errs);
    tug_conf_errors_print(&errs, &b);
    ck_assert_msg(rc == 0, "%s", tug_buf_str(&b));
    ck_assert_str_eq(tug_config_default_queue(&c)->name, "train");
    ck_assert_uint_eq(tug_config_count_hosts(&c), 132);
    free(path);
    path = tug_xasprintf("%s/etc/tugnode.yaml", top ? top : ".");
    rc = tug_node_config_load(tug_readfile_reader(), path, &n, &errs);
    tug_conf_errors_print(&errs, &b);
    ck_assert_msg(rc == 0, "%s", tug_buf_str(&b));
    free(path);
    tug_buf_clear(&b);
    tug_config_clear(&c);
    tug_node_config_clear(&n);
}
END_TEST

UNIT_MAIN("host/readfile", a_file_is_appended_whole_up_to_the_limit,
          what_is_no_regular_file_is_refused_at_once, a_configuration_is_read_from_real_files,
          the_example_files_load)
