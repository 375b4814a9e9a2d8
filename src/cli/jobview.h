/* jobview.h - what several verbs say about a job
 *
 * Layer: cli.
 */
#ifndef TUG_CLI_JOBVIEW_H
#define TUG_CLI_JOBVIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "cli/client.h"
#include "proto/job.pb-c.h"

/* 0 when all is well; the exit code, 128 + signal, or 1 for a job that ended badly without either.
 */
int tug_jobview_status(const Tugpb__JobView *j);
/* Of one rank. */
int tug_jobview_exit(const Tugpb__ExitInfo *e);
/* How long this attempt ran, without what it was suspended. */
int64_t tug_jobview_ran_ms(const Tugpb__JobView *j, int64_t now_ms);
bool tug_jobview_is_over(const Tugpb__JobView *j);
enum tug_colour tug_jobview_colour(const char *state);
/* One sentence about how it ended: "rank 3 on n2 exited with code 2". "" when there is no cause. */
void tug_jobview_cause(struct tug_buf *out, const Tugpb__Cause *c);
/* "exited with code 2", "was ended by signal 9 (SIGKILL), out of memory". */
void tug_jobview_exit_text(struct tug_buf *out, const Tugpb__ExitInfo *e);
/* "SIGTERM"; "signal 64" for those without a name. */
const char *tug_signal_name(int signo);

#endif
