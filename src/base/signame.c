/* signame.c - signals by name
 *
 * Layer: base.
 */
#include "base/signame.h"

#include <errno.h>
#include <signal.h>
#include <strings.h>

#include "base/str.h"

static const struct {
    const char *name;
    int signo;
} signals[] = {
    {"SIGHUP", SIGHUP},   {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT}, {"SIGILL", SIGILL},
    {"SIGTRAP", SIGTRAP}, {"SIGABRT", SIGABRT}, {"SIGBUS", SIGBUS},   {"SIGFPE", SIGFPE},
    {"SIGKILL", SIGKILL}, {"SIGUSR1", SIGUSR1}, {"SIGSEGV", SIGSEGV}, {"SIGUSR2", SIGUSR2},
    {"SIGPIPE", SIGPIPE}, {"SIGALRM", SIGALRM}, {"SIGTERM", SIGTERM}, {"SIGCHLD", SIGCHLD},
    {"SIGCONT", SIGCONT}, {"SIGSTOP", SIGSTOP}, {"SIGTSTP", SIGTSTP}, {"SIGTTIN", SIGTTIN},
    {"SIGTTOU", SIGTTOU}, {"SIGURG", SIGURG},   {"SIGXCPU", SIGXCPU}, {"SIGXFSZ", SIGXFSZ},
    {"SIGSYS", SIGSYS},
};

const char *tug_signame(int signo)
{
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (signals[i].signo == signo)
            return signals[i].name;
    return NULL;
}

int tug_signame_parse(const char *text, int *out, struct tug_err *err)
{
    uint64_t n;
    if (tug_str_u64(text, TUG_SIGNAL_MAX, &n) == 0 && n > 0) {
        *out = (int) n;
        return 0;
    }
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (!strcasecmp(text, signals[i].name) || !strcasecmp(text, signals[i].name + 3)) {
            *out = signals[i].signo;
            return 0;
        }
    return tug_fail(err, -EINVAL,
                    "'%.64s' is not a signal; write TERM, SIGUSR1 or a number from 1 to 64", text);
}
