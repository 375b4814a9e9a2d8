/* runsig.h - what a signal to `tug run` means
 *
 * While the job waits, INT, TERM and HUP cancel it. While it runs they go to all ranks; INT twice
 * within a second kills. After that, one more leaves at once. USR1 and USR2 are only ever passed
 * on. Layer: cli.
 */
#ifndef TUG_CLI_RUNSIG_H
#define TUG_CLI_RUNSIG_H

#include <stdbool.h>
#include <stdint.h>

#define TUG_RUNSIG_TWICE_MS 1000

struct tug_runsig {
    bool ending; /* cancelled or killed already */
    bool interrupted;
    int64_t last_int_ms;
    int first; /* the signal that ended it; 0 = none */
};

enum tug_runsig_do {
    TUG_RUNSIG_IGNORE,
    TUG_RUNSIG_FORWARD,
    TUG_RUNSIG_CANCEL,
    TUG_RUNSIG_KILL,
    TUG_RUNSIG_LEAVE
};

/* 'running': the head of the gang is connected. */
enum tug_runsig_do tug_runsig_on(struct tug_runsig *s, int signo, int64_t now_ms, bool running);

#endif
