/* test_log.c - a log line: one write, level and program in it, nothing that moves a terminal */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

static int pipe_fd;

/* From now on fd 2 is a pipe that said() reads. */
static void listen_in(void)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(dup2(fds[1], 2), 2);
    close(fds[1]);
    pipe_fd = fds[0];
}

/* What was written since; "" when nothing was. */
static const char *said(void)
{
    static char text[8192];
    write(2, "", 1); /* so that read() never waits: a NUL ends what was said */
    ssize_t n = read(pipe_fd, text, sizeof text - 1);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    return text;
}

START_TEST(a_line_has_time_level_program_and_sentence)
{
    int year, ms;
    char rest[200];
    listen_in();
    unsetenv("JOURNAL_STREAM");
    tug_log_open("tugd", TUG_LOG_INFO);
    errno = EBUSY;
    tug_warn("node %s is late", "gpu7");
    ck_assert_int_eq(errno, EBUSY);
    const char *line = said();
    ck_assert_int_eq(sscanf(line, "%d-%*d-%*dT%*d:%*d:%*d.%dZ %199[^\n]", &year, &ms, rest), 3);
    ck_assert_int_gt(year, 2000);
    ck_assert_str_eq(rest, "WARN tugd: node gpu7 is late");
    ck_assert_int_eq(line[strlen(line) - 1], '\n');
}
END_TEST

START_TEST(lines_over_the_level_are_not_written)
{
    listen_in();
    tug_log_open("tugd", TUG_LOG_WARN);
    tug_info("not this");
    ck_assert_str_eq(said(), "");
    tug_log_set_level(TUG_LOG_DEBUG);
    tug_debug("but this");
    ck_assert_ptr_nonnull(strstr(said(), "DEBUG tugd: but this\n"));
}
END_TEST

START_TEST(control_bytes_cannot_forge_a_line_or_reach_a_terminal)
{
    listen_in();
    tug_log_open("tugd", TUG_LOG_INFO);
    tug_info("job '%s'", "x\nERROR tugd: fake\033[2J");
    const char *line = said();
    ck_assert_ptr_nonnull(strstr(line, "job 'x\\nERROR tugd: fake\\x1b[2J'\n"));
    ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
}
END_TEST

START_TEST(a_sentence_over_4_kib_is_cut_and_says_so)
{
    char text[6000];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    listen_in();
    tug_log_open("tugd", TUG_LOG_INFO);
    tug_info("%s", text);
    const char *line = said();
    ck_assert_str_eq(line + strlen(line) - 5, "a...\n");
}
END_TEST

START_TEST(level_names_are_read_in_any_case)
{
    enum tug_log_level level = TUG_LOG_ERROR;
    ck_assert_int_eq(tug_log_level_parse("Debug", &level), 0);
    ck_assert_int_eq(level, TUG_LOG_DEBUG);
    ck_assert_int_eq(tug_log_level_parse("loud", &level), -EINVAL);
    ck_assert_int_eq(level, TUG_LOG_DEBUG);
}
END_TEST

START_TEST(an_assertion_that_fails_says_where_and_aborts)
{
    int status = 0;
    listen_in();
    pid_t child = fork();
    if (child == 0) {
        tug_assert(2 + 2 == 5);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    const char *line = said();
    ck_assert_ptr_nonnull(strstr(line, "test_log.c:"));
    ck_assert_ptr_nonnull(strstr(line, "2 + 2 == 5 is false"));
}
END_TEST

UNIT_MAIN("base/log",
          a_line_has_time_level_program_and_sentence,
          lines_over_the_level_are_not_written,
          control_bytes_cannot_forge_a_line_or_reach_a_terminal,
          a_sentence_over_4_kib_is_cut_and_says_so,
          level_names_are_read_in_any_case,
          an_assertion_that_fails_says_where_and_aborts)
