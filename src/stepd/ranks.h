/* ranks.h - the processes of a step on this node: started, signalled, reaped, and nothing left
 * behind
 *
 * Every rank leads its own session and process group. What ranks leave behind (also what
 * double-forked) becomes a child of this process and is found again. Layer: stepd.
 */
#ifndef TUG_STEPD_RANKS_H
#define TUG_STEPD_RANKS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "stepd/payload.h"

struct tug_ranks;

struct tug_rank_end {
    unsigned local;
    int exit_code; /* 0..255 when it exited */
    int signal;    /* > 0 when a signal ended it */
    bool core_dumped;
    bool by_itself; /* nobody had told it to: see tug_ranks_told() */
};

/* What shells answer for a command that cannot be run. */
#define TUG_EXIT_NOT_FOUND 127
#define TUG_EXIT_NOT_RUN   126

/* Finds out what to run: the command in the job's PATH, or the batch script, which is written to
 * 'run_dir'. 'env' is any rank's environment. A command that is missing is not an error here;
 * spawning reports it. -errno  the script cannot be written */
int tug_ranks_new(struct tug_ranks **out, const struct tug_payload *p, const char *run_dir,
                  struct tug_err *err);
void tug_ranks_free(struct tug_ranks *r);

/* Start the local-th rank with its environment and descriptors 0, 1, 2 (which stay open here).
 *   0        it runs
 *   -errno   it does not; 'end' holds 126 or 127 as shells say it, 'err' the sentence */
int tug_ranks_spawn(struct tug_ranks *r, unsigned local, char **env, const int fds[3],
                    struct tug_rank_end *end, struct tug_err *err);

/* The next rank that ended, in the order in which they did; false: none has. Call until false after SIGCHLD. */
bool tug_ranks_reap(struct tug_ranks *r, struct tug_rank_end *end);
/* Ranks are about to be told to end: who ends from now on does not do so by itself, but for those that have begun to. */
void tug_ranks_told(struct tug_ranks *r);
unsigned tug_ranks_living(const struct tug_ranks *r);
/* The process of the local-th rank; 0: it was not started, or is gone. */
pid_t tug_ranks_pid(const struct tug_ranks *r, unsigned local);
/* To the process group of every living rank. */
void tug_ranks_signal(struct tug_ranks *r, int signo);
/* Is each of these stopped, or dead? Stopping takes effect when a process comes out of the kernel. */
bool tug_ranks_all_stopped(void);
/* To every process below this one, also those that left their rank's group: for SIGSTOP and SIGCONT. */
void tug_ranks_signal_all(int signo);
/* Who calls vfork(2) cannot be stopped before its child has executed something, and the child may have been stopped
 * before that (sh starts commands in that way). Lets such children go on; how many. Then stop all again. */
size_t tug_ranks_free_vforks(void);
/* "3 (pid 4711), 5 (pid 4713)": ranks that live, for a sentence. Returns 'out'. */
char *tug_ranks_name_living(const struct tug_ranks *r, char *out, size_t size);
/* True when no process of the step is left; else kills what is left: ask again after SIGCHLD or a
 * little later. */
bool tug_ranks_sweep(struct tug_ranks *r);

#endif
