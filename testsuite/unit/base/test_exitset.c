/* test_exitset.c - lists of exit codes and signals are read as who writes them means them */
#include <errno.h>
#include <signal.h>

#include "base/exitset.h"
#include "base/signame.h"
#include "unit.h"

START_TEST(codes_ranges_and_signals_are_in_the_set_and_nothing_else_is)
{
    struct tug_exitset s;
    ck_assert_int_eq(tug_exitset_parse("75,100-102,SIGBUS,term", &s, NULL), 0);
    for (int code = 0; code <= 255; code++)
        ck_assert_int_eq(tug_exitset_has(&s, code, 0), code == 75 || (code >= 100 && code <= 102) ||
                                                           code == 128 + SIGBUS || code == 128 + SIGTERM);
    for (int signo = 1; signo <= TUG_SIGNAL_MAX; signo++)
        ck_assert_int_eq(tug_exitset_has(&s, 0, signo), signo == SIGBUS || signo == SIGTERM);
}
END_TEST

START_TEST(a_shell_that_reports_a_signal_counts_as_the_signal_and_the_other_way_round)
{
    struct tug_exitset s;
    ck_assert_int_eq(tug_exitset_parse("137", &s, NULL), 0);
    ck_assert(tug_exitset_has(&s, 0, SIGKILL) && tug_exitset_has(&s, 137, 0));
    ck_assert_int_eq(tug_exitset_parse("KILL", &s, NULL), 0);
    ck_assert(tug_exitset_has(&s, 0, SIGKILL) && tug_exitset_has(&s, 137, 0));
}
END_TEST

START_TEST(any_is_every_bad_end)
{
    struct tug_exitset s;
    ck_assert_int_eq(tug_exitset_parse("any", &s, NULL), 0);
    for (int code = 1; code <= 255; code++)
        ck_assert(tug_exitset_has(&s, code, 0));
    ck_assert(tug_exitset_has(&s, 0, SIGSEGV));
    ck_assert(!tug_exitset_has(&s, 0, 0));
}
END_TEST

START_TEST(what_is_neither_is_refused_with_the_word_and_leaves_the_set_alone)
{
    static const struct {
        const char *text, *says;
    } bad[] = {{"", "an empty list"},
               {"0", "exit code 0 is a good end"},
               {"256", "exit codes are 1 to 255"},
               {"9-5", "from the lower to the higher"},
               {"75,300", "'300'"},
               {"75,,76", "before or after a comma"},
               {"75,", "before or after a comma"},
               {"SIGFOO", "'SIGFOO' is neither an exit code"},
               {"-5", "'-5' is neither"},
               {"7x", "'7x' is neither"},
               {"99999999999999999999", "is neither"},
               {"0123456789012345678901234567890123456789", "too long"}};
    struct tug_err err = {0};
    struct tug_exitset s;
    char longest[TUG_EXITSET_TEXT_MAX + 2];
    ck_assert_int_eq(tug_exitset_parse("75", &s, NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        unit_fails(tug_exitset_parse(bad[i].text, &s, &err), -EINVAL, err, bad[i].says);
    memset(longest, '1', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    unit_fails(tug_exitset_parse(longest, &s, &err), -EINVAL, err, "at most 255 are allowed");
    ck_assert(tug_exitset_has(&s, 75, 0) && !tug_exitset_has(&s, 76, 0));
}
END_TEST

UNIT_MAIN("base/exitset", codes_ranges_and_signals_are_in_the_set_and_nothing_else_is,
          a_shell_that_reports_a_signal_counts_as_the_signal_and_the_other_way_round, any_is_every_bad_end,
          what_is_neither_is_refused_with_the_word_and_leaves_the_set_alone)
