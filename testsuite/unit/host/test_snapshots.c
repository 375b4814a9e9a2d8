/* test_snapshots.c - which files are snapshots, and of when
 *
 * Layer: tests.
 */
#include <fcntl.h>
#include <unistd.h>

#include "unit.h"

#include "base/mem.h"
#include "host/snapshots.h"

static void touch(char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    ck_assert_int_ge(fd, 0);
    close(fd);
    free(path);
}

START_TEST(they_are_told_by_their_names_the_newest_first_and_nothing_else_is_taken_for_one)
{
    char dir[] = "/tmp/tug-snapshots-XXXXXX";
    struct tug_snapshots all = {0};
    const int64_t at = 1764485112000; /* 2025-11-30T06:45:12Z */

    ck_assert_ptr_nonnull(mkdtemp(dir));
    touch(tug_snapshots_name(dir, at));
    touch(tug_snapshots_name(dir, at + 3600000));
    touch(tug_snapshots_name(dir, at - 3600000));
    touch(tug_xasprintf("%s/half.db", dir));
    touch(tug_xasprintf("%s/state-20251130T064512Z.db.part", dir));
    touch(tug_xasprintf("%s/state.lock", dir));
    tug_snapshots_list(dir, &all);
    ck_assert_uint_eq(all.len, 3);
    ck_assert_int_eq(all.at[0].at_ms, at + 3600000);
    ck_assert_int_eq(all.at[1].at_ms, at);
    ck_assert_str_eq(strrchr(all.at[1].path, '/'), "/state-20251130T064512Z.db");
    tug_snapshots_clear(&all);
    tug_snapshots_list("/nowhere", &all);
    ck_assert_uint_eq(all.len, 0);
    char *command = tug_xasprintf("rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
    free(command);
}
END_TEST

UNIT_MAIN("host/snapshots", they_are_told_by_their_names_the_newest_first_and_nothing_else_is_taken_for_one)
