/* outbox.c - frames for a connection that is not up yet
 *
 * Kept as the very frames that would have been sent. Layer: stepd.
 */
#include "stepd/outbox.h"

#include <string.h>

void tug_outbox_clear(struct tug_outbox *o)
{
    enum tug_channel channel = o->channel;

    tug_buf_clear(&o->kept);
    memset(o, 0, sizeof *o);
    o->channel = channel;
}

void tug_outbox_send(struct tug_outbox *o, enum tug_msg number, const ProtobufCMessage *m)
{
    if (o->open)
        tug_conn_send(o->conn, number, 0, m); /* a failure is followed by on_close, which decides */
    else
        tug_msg_encode(&o->kept, number, 0, m);
}

void tug_outbox_open(struct tug_outbox *o, struct tug_conn *c)
{
    struct tug_frame f;
    size_t at = 0;
    long n;

    o->conn = c;
    o->open = true;
    while (at < o->kept.len &&
           (n = tug_frame_cut(o->kept.data + at, o->kept.len - at, o->channel, &f, NULL)) > 0) {
        if (tug_conn_send_raw(c, f.number, 0, f.body, f.len) < 0)
            break;
        at += (size_t) n;
    }
    tug_buf_clear(&o->kept);
}

size_t tug_outbox_bytes(const struct tug_outbox *o)
{
    return o->open ? tug_conn_out_bytes(o->conn) : o->kept.len;
}
