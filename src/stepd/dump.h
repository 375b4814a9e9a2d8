/* dump.h - what the processes of a hanging gang are at, written down while they still hang
 *
 * One child does it, as the job's user: for each rank that was named, state and kernel functions of its processes and
 * threads, and their stacks by py-spy and gdb where these are installed. It is ended after TUG_DUMP_MAX_MS, whatever it
 * waits for. Layer: stepd.
 */
#ifndef TUG_STEPD_DUMP_H
#define TUG_STEPD_DUMP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct event_base;
struct tug_dump;

#define TUG_DUMP_MAX_MS 60000u

/* Begin: 'dir' is made where it is not there; into it goes a file 'names[i]' for each of the 'n' processes and all below
 * it. 'title' is the first line of each. Nothing is borrowed after the call. 'on_end' is called once, unless freed. */
int tug_dump_start(struct tug_dump **out, struct event_base *base, char *const *env, const char *dir, const char *title,
                   char *const *names, const pid_t *pids, unsigned n, void (*on_end)(void *arg), void *arg,
                   struct tug_err *err);
bool tug_dump_runs(const struct tug_dump *d);
void tug_dump_free(struct tug_dump *d); /* ends what has not ended */

/* PyTorch's flight recorder: a rank that is written to by its fifo writes down its last collectives (PyTorch's
 * ProcessGroupNCCL.cpp: TORCH_NCCL_DEBUG_INFO_PIPE_FILE). 0, or -ENXIO: nobody reads there; other -errno. */
int tug_dump_recorder(const char *fifo);

#endif
