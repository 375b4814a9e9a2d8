/* capture.h - run a program for so long at most, and keep the last of what it writes
 *
 * It runs in a session of its own, with nothing of ours but what it is given: standard input is empty. It dies with us.
 * When it ends, or its time is over, everything in its process group is killed; what has left the group is not.
 * Layer: host.
 */
#ifndef TUG_HOST_CAPTURE_H
#define TUG_HOST_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct event_base;
struct tug_capture;

struct tug_capture_run {           /* borrowed */
    const char *path;
    char *const *argv;
    char *const *envp;             /* NULL: ours */
    const char *cwd;               /* NULL: ours */
    uint64_t limit_ms;
    size_t keep_bytes;             /* of what it writes, from the end */
    bool trusted;                  /* refuse it where others could put another program there (trusted.h) */
    bool only_output;              /* what it writes to standard error goes where ours does */
    int hold;                      /* it and all that it starts have this as descriptor TUG_LEASH_FD (leash.h); 0 = nothing */
};

struct tug_capture_end {
    int status;                    /* as waitpid(2) has it */
    bool late;                     /* its time was over */
    bool stuck;                    /* and it could not be killed: it hangs in the kernel, and 'status' says nothing */
    const struct tug_buf *output;
};
/* Once for every run, on the loop, never from inside of a call. The capture may be freed, or run again, in it. */
typedef void tug_capture_cb(void *arg, const struct tug_capture_end *e);

int tug_capture_new(struct tug_capture **out, struct event_base *base, tug_capture_cb *cb, void *arg, struct tug_err *err);
/* 0: it runs.
 *   -EBUSY  the one before runs, or is stuck      others: nothing was started, and the sentence says why */
int tug_capture_start(struct tug_capture *c, const struct tug_capture_run *run, struct tug_err *err);
/* Something of the last run is there. */
bool tug_capture_is_busy(const struct tug_capture *c);
/* Its process group while it is busy; 0 = it is not. */
pid_t tug_capture_group(const struct tug_capture *c);
/* End it now; its callback says when it has. */
void tug_capture_stop(struct tug_capture *c);
/* Ends what runs, without a callback; NULL is fine. */
void tug_capture_free(struct tug_capture *c);

/* The last lines of that, as many as go into max_bytes, in one line: "looking; GPU 3 is gone". */
void tug_capture_last_lines(const struct tug_buf *output, size_t max_bytes, struct tug_buf *out);

#endif
