/* client.h - find the controller, ask it one thing, get its answer or a sentence
 *
 * The socket is $TUG_SOCKET, else the running sandbox's, else the system's. TUG_SOCKET may name several, with commas
 * in between: those of controllers of which one leads. Layer: cli.
 */
#ifndef TUG_CLI_CLIENT_H
#define TUG_CLI_CLIENT_H

#include <stdbool.h>

#include "base/err.h"
#include "cli/out.h"
#include "host/net.h"
#include "proto/client.pb-c.h"
#include "proto/msg.h"

#define TUG_PATH_MAX  4096
#define TUG_ANSWER_MS 30000 /* longer than any answer takes that doesn't wait for a job */

struct tug_client {
    struct tug_call *call;
    uint32_t rid;
    struct tug_arena arena; /* of the last answer */
    char endpoint[TUG_PATH_MAX];
};

/* The directory of this user's own things: $XDG_RUNTIME_DIR/tugline, or /tmp/tugline-UID where that
 * isn't writable. 'make': create it (0700). -EPERM: it is there and somebody else's. */
int tug_client_run_dir(char *out, size_t size_bytes, bool make, struct tug_err *err);
/* "unix:/path" of the controller; nothing is opened. */
void tug_client_endpoint(char *out, size_t size_bytes);
/* The configuration beside that socket, as a sandbox has it; false: there is none. */
bool tug_client_config(char *out, size_t size_bytes);
/* Is it the controller of a sandbox, so that everything runs on this host? */
bool tug_client_is_local(const char *endpoint);

/* TUG_UNREACHABLE: says which socket, and how to start one. */
int tug_client_open(struct tug_client *c, struct tug_err *err);
void tug_client_close(struct tug_client *c);

/* Send and wait for the answer, which is valid until the next call on 'c'. A refusal is the
 * controller's own sentence and its code. timeout_ms < 0: for ever. -ECONNRESET      the connection
 * broke before the answer -ETIMEDOUT       no answer in time */
int tug_client_ask(struct tug_client *c, enum tug_msg number, const ProtobufCMessage *request,
                   enum tug_msg want, ProtobufCMessage **answer, int timeout_ms,
                   struct tug_err *err);
/* The same in two halves, for who waits for more than the answer. */
int tug_client_send(struct tug_client *c, enum tug_msg number, const ProtobufCMessage *request,
                    struct tug_err *err);
int tug_client_recv(struct tug_client *c, enum tug_msg want, ProtobufCMessage **answer,
                    int timeout_ms, struct tug_err *err);

/* And the second half in two, for who sends the next request before it looks at this answer. The
 * frame is valid until the next one is received. */
int tug_client_frame(struct tug_client *c, struct tug_frame *f, int timeout_ms,
                     struct tug_err *err);
int tug_client_take(struct tug_client *c, const struct tug_frame *f, enum tug_msg want,
                    ProtobufCMessage **answer, struct tug_err *err);

/* Turn an ERROR message into err; never 0. */
int tug_client_refused(const Tugpb__Error *e, struct tug_err *err);

/* One request, one answer, closed: for verbs that ask once. Clear 'arena' when done with the
 * answer. */
int tug_client_once(enum tug_msg number, const ProtobufCMessage *request, enum tug_msg want,
                    struct tug_client *c, ProtobufCMessage **answer, struct tug_err *err);

#endif
