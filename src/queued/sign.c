/* sign.c - launch orders get their digest and signature here, last thing before they leave
 *
 * The logic makes the order; the key never enters it. Layer: programs.
 */
#include <sodium.h>
#include <string.h>

#include "host/loop.h"
#include "proto/node.pb-c.h"
#include "proto/order.h"
#include "queued/daemon.h"

void sign_launch(const struct tugd *d, const void *body, size_t len, struct tug_buf *out)
{
    Tugpb__StepLaunch *m = tugpb__step_launch__unpack(NULL, len, body);
    struct tug_order o;
    uint8_t order[TUG_ORDER_LEN], sig[TUG_ORDER_SIG_LEN];
    ProtobufCBinaryData was_order, was_sig;
    int rc;

    tug_assert(m && m->order.len == TUG_ORDER_LEN); /* we made it */
    rc = tug_order_unpack(m->order.data, &o, NULL);
    tug_assert(rc == 0);
    /* Now, as it may have waited long for its commit; and by the wall clock as it is, as the launcher will look at its own. */
    o.expires_wall_ms = tug_wall_ms() + TUG_ORDER_LIFE_MS;
    crypto_generichash(o.payload_digest, sizeof o.payload_digest, m->payload.data, m->payload.len,
                       NULL, 0);
    rc = tug_order_pack(&o, order, NULL);
    tug_assert(rc == 0);
    tug_sign(&d->key, "tug-order-v1", order, sizeof order, sig);
    was_order = m->order;
    was_sig = m->signature;
    m->order.data = order;
    m->signature.data = sig;
    m->signature.len = sizeof sig;
    tugpb__step_launch__pack(m,
                             (uint8_t *) tug_buf_room(out, tugpb__step_launch__get_packed_size(m)));
    out->len += tugpb__step_launch__get_packed_size(m);
    m->order = was_order;
    m->signature = was_sig;
    tugpb__step_launch__free_unpacked(m, NULL);
}
