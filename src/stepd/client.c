/* client.c - the terminal of an interactive step: the head's connection to `tug run`. Layer: stepd.
 */
#include "stepd/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "host/net.h"
#include "stepd/outbox.h"

#define PIECE_BYTES ((size_t) 512 << 10) /* well under RunOutput's cap */

struct tug_client {
    const struct tug_payload *p;
    const struct tug_client_ops *ops;
    void *arg;
    struct tug_outbox out;
    struct tug_conn *conn;
    bool gone, done;
};

static void on_open(void *arg, struct tug_conn *conn)
{
    struct tug_client *c = arg;
    Tugpb__RunHello hello = TUGPB__RUN_HELLO__INIT;

    c->conn = conn;
    hello.key = c->p->pb->key;
    hello.ntasks = c->p->n_ranks;
    tug_conn_send(conn, TUG_MSG_RUN_HELLO, 0, &hello.base);
    tug_outbox_open(&c->out, conn);
}

static void gone(struct tug_client *c, const char *why)
{
    c->conn = NULL;
    c->gone = true;
    tug_outbox_clear(&c->out);
    if (!c->done)
        c->ops->on_gone(c->arg, why);
}

static void on_close(void *arg, struct tug_conn *conn, const char *why)
{
    (void) conn;
    gone(arg, why);
}

static void on_frame(void *arg, struct tug_conn *conn, const struct tug_frame *f)
{
    struct tug_client *c = arg;
    struct tug_arena arena = {0};
    ProtobufCMessage *m;

    if (tug_msg_decode(&arena, f->number, f->body, f->len, &m, NULL) < 0) {
        tug_conn_drop(conn);
        gone(c, "it sent a message that cannot be read");
    } else if (f->number == TUG_MSG_RUN_INPUT) {
        const Tugpb__RunInput *in = (const Tugpb__RunInput *) m;
        c->ops->on_input(c->arg, in->data.data, in->data.len, in->eof);
    } else if (f->number == TUG_MSG_RUN_SIGNAL) {
        c->ops->on_signal(c->arg, ((const Tugpb__RunSignal *) m)->signal);
    }
    tug_arena_clear(&arena);
}

static const struct tug_net_ops net_ops = {
    .on_open = on_open, .on_frame = on_frame, .on_close = on_close};

int tug_client_dial(struct tug_client **out, struct event_base *base, const struct tug_payload *p,
                    const struct tug_client_ops *ops, void *arg, struct tug_err *err)
{
    struct tug_client *c = tug_new(struct tug_client);
    struct tug_net_opts o = {
        .auth = TUG_AUTH_PSK, .channel = TUG_CH_RUN, .ops = &net_ops, .arg = c};
    int rc;

    c->p = p;
    c->ops = ops;
    c->arg = arg;
    c->out.channel = TUG_CH_RUN;
    memcpy(o.psk, p->spec->io_key.data, sizeof o.psk);
    *out = c; /* callbacks may come at once */
    rc = tug_net_dial(&c->conn, base, p->spec->io_addr, &o, err);
    if (rc < 0) {
        *out = NULL;
        free(c);
    }
    return rc;
}

void tug_client_output(struct tug_client *c, unsigned rank, unsigned stream, const void *data,
                       size_t len)
{
    while (len && !c->gone) {
        Tugpb__RunOutput m = TUGPB__RUN_OUTPUT__INIT;
        size_t n = len < PIECE_BYTES ? len : PIECE_BYTES;
        m.rank = rank;
        m.stream = stream;
        m.data.data = (uint8_t *) data;
        m.data.len = n;
        tug_outbox_send(&c->out, TUG_MSG_RUN_OUTPUT, &m.base);
        data = (const uint8_t *) data + n;
        len -= n;
    }
}

void tug_client_state(struct tug_client *c, const char *phase, unsigned count, unsigned total)
{
    Tugpb__RunState m = TUGPB__RUN_STATE__INIT;

    if (c->gone)
        return;
    m.phase = (char *) phase;
    m.count = count;
    m.total = total;
    tug_outbox_send(&c->out, TUG_MSG_RUN_STATE, &m.base);
}

void tug_client_done(struct tug_client *c, Tugpb__ExitInfo *const *exits, size_t n,
                     Tugpb__Cause *cause)
{
    Tugpb__RunDone m = TUGPB__RUN_DONE__INIT;

    c->done = true;
    if (c->gone)
        return;
    m.n_exits = n;
    m.exits = (Tugpb__ExitInfo **) exits;
    m.cause = cause;
    tug_outbox_send(&c->out, TUG_MSG_RUN_DONE, &m.base);
}

void tug_client_pause(struct tug_client *c, bool paused)
{
    if (c->out.open)
        tug_conn_pause(c->out.conn, paused);
}

size_t tug_client_backlog(const struct tug_client *c)
{
    return c->gone ? 0 : tug_outbox_bytes(&c->out);
}

bool tug_client_gone(const struct tug_client *c)
{
    return c->gone;
}
