/* test_patience.c - a file whose file system does not answer: here a fifo that nobody writes yet */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/loop.h"
#include "stepd/patience.h"

static char dir[64], path[128];

static void setup(void)
{
    strcpy(dir, "/tmp/tug-patience-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
}

static void clear(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(a_file_that_opens_is_opened)
{
    setup();
    int fd = tug_patience_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640, tug_now_ms() + 20000);
    struct stat st;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0640);
    close(fd);
    clear();
}
END_TEST

START_TEST(one_that_does_not_open_says_why)
{
    setup();
    ck_assert_int_eq(tug_patience_open(path, O_RDONLY | O_CLOEXEC, 0, tug_now_ms() + 20000), -ENOENT);
    clear();
}
END_TEST

START_TEST(one_that_hangs_is_given_up_in_time_and_what_comes_later_is_closed)
{
    setup();
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(tug_patience_open(path, O_RDONLY | O_CLOEXEC, 0, tug_now_ms() + 20), -ETIMEDOUT);
    int fd = open(path, O_WRONLY | O_CLOEXEC);          /* and so the other end opens at last */
    struct pollfd p = {.fd = fd};
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(poll(&p, 1, 20000), 1);
    ck_assert(p.revents & POLLERR);                     /* nobody has it */
    close(fd);
    clear();
}
END_TEST

UNIT_MAIN("stepd/patience", a_file_that_opens_is_opened, one_that_does_not_open_says_why,
          one_that_hangs_is_given_up_in_time_and_what_comes_later_is_closed)
