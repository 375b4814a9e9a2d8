/* wait.h - wait for a job's end
 *
 * Layer: cli.
 */
#ifndef TUG_CLI_WAIT_H
#define TUG_CLI_WAIT_H

#include "cli/client.h"

/* Until the job has ended; *job is in the client's arena. A controller that goes away is waited for
 * (30 s), then asked again. timeout_s 0 = for ever; -ETIMEDOUT says so. */
int tug_wait_end(struct tug_client *c, uint64_t id, uint32_t timeout_s, Tugpb__JobView **job,
                 struct tug_err *err);

/* The same for a verb: hands back the exit status of the job, and says why unless 'quiet'. */
int tug_wait_job(struct tug_client *c, uint64_t id, bool quiet);

#endif
