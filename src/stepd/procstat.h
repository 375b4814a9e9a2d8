/* procstat.h - what the processes of a rank do, read from /proc
 *
 * A rank is a process and all below it. What counts is the one of them that has used the most CPU, shells that wait for
 * a child left out. One look takes a few reads of /proc for each process and one for each thread. Layer: stepd.
 */
#ifndef TUG_STEPD_PROCSTAT_H
#define TUG_STEPD_PROCSTAT_H

#include <stdbool.h>
#include <sys/types.h>

#include "stepd/watch.h"

/* Look at 'pid' and what is below it. 'worker' (may be NULL) is the process that counts. When 'pid' is gone all is
 * unknown and 'worker' 0. */
void tug_procstat_look(pid_t pid, struct tug_look *out, pid_t *worker);

/* 'pid' and what is below it, parents first, at most 'max'; how many. */
size_t tug_procstat_list(pid_t pid, pid_t *out, size_t max);

/* Does one who sleeps in this kernel function wait for somebody else? */
bool tug_procstat_is_wait(const char *function);

#endif
