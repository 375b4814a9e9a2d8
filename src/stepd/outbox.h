/* outbox.h - frames for a connection that is not up yet
 *
 * A step does not wait for its connections: what is said before they are up is kept and leaves
 * first. Layer: stepd.
 */
#ifndef TUG_STEPD_OUTBOX_H
#define TUG_STEPD_OUTBOX_H

#include <stdbool.h>

#include "base/buf.h"
#include "host/net.h"

struct tug_outbox {
    enum tug_channel channel;
    struct tug_conn *conn; /* borrowed; NULL or not yet open: keep */
    bool open;
    struct tug_buf kept;
};

void tug_outbox_clear(struct tug_outbox *o);
void tug_outbox_send(struct tug_outbox *o, enum tug_msg number, const ProtobufCMessage *m);
/* The connection is up: what was kept goes out, after which sends are direct. */
void tug_outbox_open(struct tug_outbox *o, struct tug_conn *c);
/* Bytes that have not left. */
size_t tug_outbox_bytes(const struct tug_outbox *o);

#endif
