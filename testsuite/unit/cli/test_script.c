/* test_script.c - scripts that cannot run are refused, each with its own sentence. Layer: tests. */
#include "unit.h"

#include <errno.h>

#include "cli/script.h"

static struct tug_err err;

static int check(const char *text, size_t n)
{
    return tug_script_check("s.sh", text, n, &err);
}

START_TEST(each_way_to_be_no_script_has_its_sentence)
{
    unit_fails(check("", 0), -ENODATA, err, "s.sh is empty");
    unit_fails(check("echo hi\n", 8), -ENOEXEC, err, "has no #! line");
    unit_fails(check("#!/bin/sh\n\0x", 12), -ENOEXEC, err, "binary file");
    unit_fails(check("\177ELF\0\0", 6), -ENOEXEC, err, "tug submit [options] -- s.sh");
    unit_fails(check("#!/bin/sh\r\necho\r\n", 17), -ENOEXEC, err, "CR LF");
    unit_fails(check("#! \necho\n", 9), -ENOEXEC, err, "names no program");
    ck_assert_int_eq(check("#!/bin/sh\n", 10), 0);
    ck_assert_int_eq(check("#!/bin/sh", 9), 0);
}
END_TEST

START_TEST(a_script_of_4_mib_is_taken_and_one_byte_more_is_not)
{
    char *text = malloc(TUG_SCRIPT_MAX + 1);
    memset(text, 'x', TUG_SCRIPT_MAX + 1);
    memcpy(text, "#!/bin/sh\n", 10);
    ck_assert_int_eq(check(text, TUG_SCRIPT_MAX), 0);
    unit_fails(check(text, TUG_SCRIPT_MAX + 1), -EFBIG, err, "over 4 MiB");
    free(text);
}
END_TEST

START_TEST(what_is_no_file_is_not_read)
{
    struct tug_buf b = {0};
    unit_fails(tug_script_read("/tmp", &b, &err), -EISDIR, err, "is a directory");
    unit_fails(tug_script_read("/nonexistent", &b, &err), -ENOENT, err,
               "/nonexistent: No such file");
    unit_fails(tug_script_read("/dev/null", &b, &err), -EISDIR, err, "not a regular file");
}
END_TEST

UNIT_MAIN("cli/script", each_way_to_be_no_script_has_its_sentence,
          a_script_of_4_mib_is_taken_and_one_byte_more_is_not, what_is_no_file_is_not_read)
