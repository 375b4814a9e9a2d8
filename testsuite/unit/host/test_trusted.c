/* test_trusted.c - who could put another program there */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/trusted.h"

static char dir[] = "/tmp/tug-trusted.XXXXXX", sub[64], program[80], link_to[80];
static struct tug_err err;

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(sub, sizeof sub, "%s/sub", dir);
    snprintf(program, sizeof program, "%s/check", sub);
    snprintf(link_to, sizeof link_to, "%s/link", dir);
    ck_assert_int_eq(mkdir(sub, 0755), 0);
    FILE *f = fopen(program, "w");
    ck_assert_ptr_nonnull(f);
    fclose(f);
    ck_assert_int_eq(chmod(program, 0755), 0);
    ck_assert_int_eq(symlink(program, link_to), 0);
}

static void clear(void)
{
    remove(link_to);
    remove(program);
    rmdir(sub);
    ck_assert_int_eq(rmdir(dir), 0);
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
}

START_TEST(what_is_ours_and_nobody_else_can_write_may_be_run_also_below_a_folder_like_tmp)
{
    setup();
    ck_assert_msg(tug_trusted_program(program, &err) == 0, "%s", err.msg);
    ck_assert_msg(tug_trusted_program(link_to, &err) == 0, "%s", err.msg);
    ck_assert_msg(tug_trusted_program("/bin/sh", &err) == 0, "%s", err.msg);
    clear();
}
END_TEST

START_TEST(a_file_or_a_folder_on_its_way_that_others_may_write_is_refused_with_its_name)
{
    setup();
    const struct {
        const char *path;
        mode_t mode, was;
    } open[] = {{program, 0775, 0755}, {program, 0757, 0755}, {sub, 0777, 0755},
                {sub, 01777, 0755},    {dir, 0775, 0700},     {dir, 0772, 0700}};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        ck_assert_int_eq(chmod(open[i].path, open[i].mode), 0);
        ck_assert_int_eq(tug_trusted_program(program, &err), -EACCES);
        ck_assert_int_eq(strncmp(err.msg, open[i].path, strlen(open[i].path)), 0);
        ck_assert_ptr_nonnull(strstr(err.msg, " may be written by others than its owner"));
        ck_assert_int_eq(chmod(open[i].path, open[i].was), 0);
    }
    ck_assert_int_eq(chmod(sub, 0777), 0); /* behind a link that is safe itself */
    ck_assert_int_eq(tug_trusted_program(link_to, &err), -EACCES);
    ck_assert_int_eq(chmod(sub, 0755), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(sub, 4711, 0), 0);
        unit_fails(tug_trusted_program(program, &err), -EACCES, err, " belongs to uid 4711");
    }
    clear();
}
END_TEST

START_TEST(what_is_not_there_or_no_file_is_named)
{
    setup();
    unit_fails(tug_trusted_program("check", &err), -EINVAL, err, "check is not an absolute path");
    unit_fails(tug_trusted_program(dir, &err), -EINVAL, err, "is not a file");
    unit_fails(tug_trusted_program("/no/such/check", &err), -ENOENT, err, "/no/such/check: No such file or directory");
    clear();
}
END_TEST

UNIT_MAIN("host/trusted", what_is_ours_and_nobody_else_can_write_may_be_run_also_below_a_folder_like_tmp,
          a_file_or_a_folder_on_its_way_that_others_may_write_is_refused_with_its_name,
          what_is_not_there_or_no_file_is_named)
