/* submit.h - what tug submit and tug run do alike
 *
 * Layer: cli.
 */
#ifndef TUG_CLI_SUBMIT_H
#define TUG_CLI_SUBMIT_H

#include "cli/client.h"
#include "cli/jobopts.h"

#define TUG_TOKEN_MAX 65 /* a submission's token, NUL included */

/* Fresh random text: the same token is the same job, however often it is sent. */
void tug_submit_token(char out[TUG_TOKEN_MAX]);

/* The last part of a path. */
const char *tug_submit_base(const char *path);

/* -EINVAL: over 1 MiB in all, or one argument over 128 KiB. */
int tug_submit_argv(struct tug_jobopts *o, int argc, char **argv, struct tug_err *err);

/* Send until it is answered. A connection that breaks before the answer is tried again with the
 * same token for up to 30 s, so there is one job or none. The answer is in the client's arena. */
int tug_submit_send(struct tug_client *c, const Tugpb__SubmitRequest *request,
                    Tugpb__SubmitReply **answer, struct tug_err *err);

/* The options' warnings on stderr. */
void tug_submit_warnings(const struct tug_jobopts *o);

#endif
