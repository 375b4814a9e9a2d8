/* histtrace.h - the history as a trace for tug-sim: one line for each job
 *
 * Layer: cli.
 */
#ifndef TUG_CLI_HISTTRACE_H
#define TUG_CLI_HISTTRACE_H

#include "base/buf.h"
#include "base/err.h"
#include "proto/client.pb-c.h"

/* Every job that the request asks for, page by page, and, when it chooses by user at most, those
 * that are not over as well. The request's limits and 'until_ms' are changed.
 * Sorted by submission, as CSV with a header. As tug_client_ask(); -E2BIG: too many jobs ended in
 * the same millisecond to be told page by page. */
int tug_histtrace(Tugpb__HistoryRequest *request, struct tug_buf *out, struct tug_err *err);

/* One job's line, for tests. */
void tug_histtrace_line(struct tug_buf *out, const Tugpb__JobView *j);

#endif
