/* runsig.c - what a signal to `tug run` means
 *
 * Layer: cli.
 */
#include "cli/runsig.h"

#include <signal.h>

static bool only_passed_on(int signo)
{
    return signo == SIGUSR1 || signo == SIGUSR2;
}

enum tug_runsig_do tug_runsig_on(struct tug_runsig *s, int signo, int64_t now_ms, bool running)
{
    if (only_passed_on(signo))
        return running ? TUG_RUNSIG_FORWARD : TUG_RUNSIG_IGNORE;
    if (s->ending) {
        if (!s->first)
            s->first = signo;
        return TUG_RUNSIG_LEAVE;
    }
    if (!running) {
        s->ending = true;
        s->first = signo;
        return TUG_RUNSIG_CANCEL;
    }
    if (signo != SIGINT)
        return TUG_RUNSIG_FORWARD;
    bool twice = s->interrupted && now_ms - s->last_int_ms <= TUG_RUNSIG_TWICE_MS;
    s->interrupted = true;
    s->last_int_ms = now_ms;
    if (!twice)
        return TUG_RUNSIG_FORWARD;
    s->ending = true;
    s->first = signo;
    return TUG_RUNSIG_KILL;
}
