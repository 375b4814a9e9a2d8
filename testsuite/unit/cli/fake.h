/* fake.h - a controller, and the head of a gang, that answer from a script; and a way to run `tug`
 *
 * Jobs it knows: 71 runs, 72 waits, 73 has failed (rank 2 of 4, output in fake_output()), 74 was a
 * tug run. A submission gets id 81. What it does with one depends on the job's name; see
 * h_submit(). Layer: tests.
 */
#ifndef TUG_UNIT_FAKE_H
#define TUG_UNIT_FAKE_H

#include <stddef.h>

/* Starts it in a process of its own and points TUG_SOCKET at it. fake_stop() ends it. */
void fake_start(void);
void fake_stop(void);
const char *fake_dir(void); /* of the socket; other files may be put there */

struct ran {
    int status;      /* exit status; 128 + signal */
    char *out, *err; /* what it printed; until fake_stop() */
};
/* Runs "tug ARGS" through the shell, standard input from /dev/null unless ARGS say otherwise. */
struct ran tug(const char *args, ...) __attribute__((format(printf, 1, 2)));
/* The output must be JSON; hands back the value at 'path' ("jobs.0.id") as text. */
const char *json_at(const struct ran *r, const char *path);

#endif
